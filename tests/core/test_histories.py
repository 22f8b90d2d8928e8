"""Thousands of random histories of a recovery, each watched at every decision.

A failure names its profile and seed; `World(plan, seed, faults, observe)` replays it exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.core.branch import MAX_ATTEMPTS, BranchState
from orchestrator.core.events import (
    Approved,
    CallHuman,
    Cancelled,
    Checked,
    Event,
    Publish,
    Reported,
    Resumed,
)
from orchestrator.core.fleet import Approval
from orchestrator.core.incident import (
    ENDED,
    MOVES,
    WORKING,
    Decision,
    IllegalMove,
    Incident,
    State,
    advance,
)
from orchestrator.core.plan import Plan
from orchestrator.core.steps import current_steps
from orchestrator.store.codec import INCIDENT, decode, encode
from tests.core import worlds
from tests.core.simulation import Faults, World

HISTORIES = 600  #: of each profile

PROFILES = {
    "calm": Faults(),
    "lossy": Faults(lost=0.2, doubled=0.1, sick=0.2),
    "late": Faults(late=0.4, doubled=0.3, failed=0.05, sick=0.2),
    "dying": Faults(death=0.3, late=0.2, sick=0.3),
    "failing": Faults(failed=0.3, sick=0.5, lost=0.05),
    "hostile": Faults(forged=0.4, people=0.05, doubled=0.5, sick=0.3, failed=0.1),
    "everything": Faults(0.15, 0.3, 0.3, 0.15, 0.15, 0.4, 0.2, 0.03),
}

ASKING = replace(worlds.RESTART, approval=Approval.ASK, title="ask first")
PLANS = (
    worlds.plan(worlds.RESTART, worlds.REBOOT),
    worlds.plan(worlds.rung("service.restart"), ASKING, services=("db", "api", "npu")),
    worlds.plan(worlds.ALL_MACHINES, worlds.REBOOT, services=worlds.EVERYTHING),
    worlds.plan(worlds.RESTART, worlds.ALL_MACHINES, services=worlds.EVERYTHING),
)


class Observer:
    """What must hold at every decision, whatever happened before."""

    def __init__(self, plan: Plan, *, codec: bool) -> None:
        self.plan, self.codec = plan, codec
        self.ordered: set[str] = set()
        self.sent: Counter[tuple[int, int, int]] = Counter()  #: orders of a branch, since its wave
        self.healthy: set[tuple[int, int, int]] = set()  #: branches seen healthy, since their wave

    def __call__(self, before: Incident, event: Event, decision: Decision, now: float) -> None:
        after = decision.incident
        self._keeps_what_never_changes(before, after)
        self._moves_legally(before, decision)
        if isinstance(event, Checked):
            self._remember(before, event)
        published = [each for each in decision.effects if isinstance(each, Publish)]
        if published:
            self._publishes_in_order(before, event, after, published, now)
        if after.state is State.RESOLVED and before.state is not State.RESOLVED:
            assert self._all_seen_healthy(after), "resolved without a healthy look at the end"
            assert isinstance(event, Checked), "resolved by something else than a look"
        if decision.reasons and not decision.timeline and not decision.effects:
            assert after == before, "an ignored event changed something"
        self._twice_is_once(event, decision, now)
        if self.codec:
            assert decode(INCIDENT, encode(INCIDENT, after)) == after

    def _keeps_what_never_changes(self, before: Incident, after: Incident) -> None:
        for name in ("id", "run", "epoch", "scenario", "plan", "opened_at"):
            assert getattr(before, name) == getattr(after, name)
        assert len(after.steps) >= len(before.steps), "a step was forgotten"
        for old, new in zip(before.steps, after.steps, strict=False):
            assert old.key == new.key
            if old.ended_at is not None:
                assert old == new, "what an agent said was changed"

    def _moves_legally(self, before: Incident, decision: Decision) -> None:
        after = decision.incident
        assert (after.ended_at is not None) == (after.state in ENDED)
        if after.state is not before.state:
            # Two moves in one decision are the start of a wave that has no steps.
            through = {before.state, *MOVES[before.state]}
            assert any(after.state in MOVES[each] for each in through)
            assert any(each.kind == "state" for each in decision.timeline), "moved in silence"
            if after.state in (State.ESCALATED, State.AWAITING_APPROVAL):
                assert any(isinstance(each, CallHuman) for each in decision.effects)
        if after.state not in WORKING:
            assert not any(isinstance(each, Publish) for each in decision.effects)

    def _remember(self, before: Incident, event: Checked) -> None:
        here = (event.rung, event.wave) == (before.rung, before.wave)
        asked = here and 0 <= event.branch < len(before.branches)
        if asked and self._can_be_judged(before, event.branch):
            planned = before.plan.branch(event.rung, event.wave, event.branch)
            healthy = {each.service for each in event.results if each.healthy}
            key = (event.rung, event.wave, event.branch)
            (self.healthy.add if healthy >= set(planned.required) else self.healthy.discard)(key)

    def _can_be_judged(self, before: Incident, branch: int) -> bool:
        """A look counts only while there is no verdict and after all orders were answered."""
        out = any(each.outcome is None for each in current_steps(before, branch))
        return before.branches[branch].passed is None and not out

    def _all_seen_healthy(self, incident: Incident) -> bool:
        wave = incident.plan.rungs[incident.rung].waves[incident.wave]
        return all(
            each.optional or (incident.rung, incident.wave, index) in self.healthy
            for index, each in enumerate(wave)
        )

    def _publishes_in_order(
        self, before: Incident, event: Event, after: Incident, effects: list[Publish], now: float
    ) -> None:
        here = (after.rung, after.wave)
        assert all((each.rung, each.wave) == here for each in effects if each.orders)
        moved = here != (before.rung, before.wave) or before.state not in WORKING
        if moved:
            self._starts_a_wave(before, event, after)
        else:
            assert all(before.branches[each.branch].passed is None for each in effects)
        for effect in effects:
            self._orders_anew(effect, now)

    def _starts_a_wave(self, before: Incident, event: Event, after: Incident) -> None:
        if before.state in WORKING:
            if after.rung == before.rung:
                assert after.wave == before.wave + 1, "a wave was left out"
                assert self._all_seen_healthy(before), "a wave started before its needs were up"
            else:
                assert (after.rung, after.wave) == (before.rung + 1, 0)
                waiting = [each for each in before.branches if each.passed is None]
                assert isinstance(event, Checked | Reported) <= (len(waiting) <= 1)
        elif before.state is State.ESCALATED:
            assert isinstance(event, Resumed)
        elif before.state is State.AWAITING_APPROVAL:
            assert isinstance(event, Approved)
        assert after.plan.rungs[after.rung].approval is Approval.AUTO or before.state in (
            State.AWAITING_APPROVAL,
            State.ESCALATED,
            *WORKING,
        )
        for branch in range(len(after.branches)):
            self.sent[(after.rung, after.wave, branch)] = 0
            self.healthy.discard((after.rung, after.wave, branch))

    def _orders_anew(self, effect: Publish, now: float) -> None:
        where = (effect.rung, effect.wave, effect.branch)
        if effect.orders:
            self.sent[where] += 1
            assert self.sent[where] <= MAX_ATTEMPTS, "tried too often"
            self.healthy.discard(where)
        planned = self.plan.branch(*where)
        numbers = [each.number for each in planned.steps]
        ordered = [each.step for each in effect.orders]
        assert ordered == numbers[len(numbers) - len(ordered) :], "not the rest of its branch"
        for order in effect.orders:
            assert order.id not in self.ordered, f"order {order.id} was published twice"
            assert order.not_after > now
            self.ordered.add(order.id)

    def _twice_is_once(self, event: Event, decision: Decision, now: float) -> None:
        try:
            again = advance(decision.incident, event, now)
        except IllegalMove:
            assert isinstance(event, Approved | Cancelled | Resumed)
            return
        assert not again.effects, "a doubled message had effects"
        assert not again.timeline
        calm = replace(again.incident, branches=_without_early(again.incident))
        assert calm == replace(decision.incident, branches=_without_early(decision.incident))


def _without_early(incident: Incident) -> tuple[BranchState, ...]:
    """A doubled check may ask for one more look; that is all it may do."""
    return tuple(replace(each, checked_early=False) for each in incident.branches)


def _play(plan: Plan, seed: int, faults: Faults) -> tuple[World, Incident]:
    world = World(plan, seed, faults, Observer(plan, codec=seed % 10 == 0))
    return world, world.run()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_history_ends_and_nothing_forbidden_happens(profile: str) -> None:
    ends: Counter[State] = Counter()
    for seed in range(HISTORIES):
        plan = PLANS[seed % len(PLANS)]
        try:
            world, incident = _play(plan, seed, PROFILES[profile])
            assert incident.state in ENDED | {State.AWAITING_APPROVAL}, "it never ended"
            assert len(world.effects) == len(set(world.effects)), "an order took effect twice"
        except Exception as error:
            error.add_note(f"profile {profile!r}, seed {seed}")
            raise
        ends[incident.state] += 1
    assert ends[State.RESOLVED] > 0
    if profile == "calm":
        assert ends == {State.RESOLVED: HISTORIES}
    else:
        assert ends[State.ESCALATED] > 0, "this profile is too calm to show anything"
