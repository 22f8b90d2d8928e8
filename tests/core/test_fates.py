"""Hundreds of random failures of a watched fleet: what must hold in every one of them."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.core.incident import State
from tests.core.fates import Fate, lived

HISTORIES = 30  #: for each of the ten parts


def one_cause_one_incident(fate: Fate) -> None:
    living = [e for e in fate.incidents.values() if e.state is not State.CLOSED and e.failure]
    causes = Counter(each.failure.cause for each in living if each.failure)
    assert not causes or max(causes.values()) == 1, causes


@pytest.mark.parametrize("part", range(10))
def test_no_history_does_what_must_not_be_done(part: int) -> None:
    for seed in range(part * HISTORIES, (part + 1) * HISTORIES):
        fate = lived(seed, one_cause_one_incident)
        for effect in fate.effects:
            assert effect.state not in ("loading", "barred"), (seed, effect)
            assert not effect.seen_wrongly, (seed, effect)
        open_ones = [
            each
            for each in fate.incidents.values()
            if each.state not in (State.RESOLVED, State.CLOSED)
        ]
        assert not open_ones, (seed, [(e.state, e.reason) for e in open_ones])


def test_a_crash_is_found_and_cured_without_a_hand() -> None:
    fate = Fate(1)
    for _ in range(3):
        fate.step()
    fate.state["db"] = "crashed"
    for _ in range(8):
        fate.step()
    assert [each.operation for each in fate.effects] == ["service.restart"]
    assert fate.state["db"] == "up"
    [incident] = fate.incidents.values()
    assert incident.state is State.RESOLVED


def test_everything_off_is_one_recovery_of_everything() -> None:
    fate = Fate(1)
    fate.step()
    fate.off |= {each.machine for each in fate.sky.fleet.services.values()}
    for _ in range(40):
        fate.step()
    assert not fate.off
    [incident] = fate.incidents.values()
    assert incident.failure is not None
    assert incident.failure.cause == "fleet"
    assert incident.state is State.RESOLVED


def test_our_own_cut_cable_starts_nothing_however_long() -> None:
    fate = Fate(1)
    fate.step()
    fate.blind = True
    for _ in range(100):
        fate.step()
    assert fate.effects == []
    [incident] = fate.incidents.values()
    assert (incident.state, incident.episode) == (State.ESCALATED, 1)


def test_a_flapping_service_spends_its_budget() -> None:
    fate = Fate(1)
    for _ in range(200):
        if fate.serves("db"):
            fate.state["db"] = "crashed"
        fate.step()
    assert len([e for e in fate.effects if e.operation == "service.restart"]) == 3
    [incident] = [each for each in fate.incidents.values() if each.state is State.ESCALATED]
    assert "budget is spent" in incident.reason
