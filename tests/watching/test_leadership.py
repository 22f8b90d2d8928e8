"""Taking the lease, keeping it, and stopping in time: on a store whose clock and ours are told."""

from __future__ import annotations

import pytest

from orchestrator.leadership import LEASE_SECONDS, SPARE_SECONDS, Leadership
from orchestrator.lease import Candidate
from orchestrator.ports import NotLeading, StoreUnavailable
from orchestrator.store import MemoryStore
from orchestrator.store.lease import MemoryLease

ONE, TWO = (Candidate(each, f"machine-{each}", f"http://{each}") for each in ("one", "two"))


class FarLease(MemoryLease):
    """Its server may be away."""

    away = False

    def take(self, candidate: Candidate, seconds: float) -> int | None:
        self._answer()
        return super().take(candidate, seconds)

    def renew(self, term: int, seconds: float) -> bool:
        self._answer()
        return super().renew(term, seconds)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("the store did not answer")


class World:
    """One coordinator's store; the lease in it is everybody's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = MemoryStore()
        self.store.lease = self.lease = FarLease(lambda: self.now)
        self.ended: list[str] = []
        self.own = Leadership(self.store, ONE, self.ended.append, lambda: self.now)

    def ask(self) -> None:
        """As the thread does, every second."""
        try:
            self.own.ask()
        except StoreUnavailable as away:
            self.own._unanswered(str(away))


@pytest.fixture
def world() -> World:
    return World()


def test_before_it_is_asked_for_nothing_is_written(world: World) -> None:
    assert not world.own.leads()
    with pytest.raises(NotLeading):
        world.store.epoch_at_least(1)
    world.ask()
    assert world.own.leads()
    world.store.epoch_at_least(1)
    assert world.own.standing().role == "leader"


def test_it_stops_before_the_lease_ends_for_others(world: World) -> None:
    world.ask()
    world.lease.away = True
    world.now += LEASE_SECONDS - SPARE_SECONDS - 0.1
    world.ask()
    assert world.own.leads()
    world.now += 0.2
    assert not world.own.leads()
    assert "cannot be renewed: the store did not answer" in world.own.standing().complaint
    world.lease.away = False
    assert world.lease.take(TWO, LEASE_SECONDS) is None, "and nobody else leads yet"


def test_who_was_away_and_not_overtaken_goes_on(world: World) -> None:
    world.ask()
    world.lease.away = True
    world.now += 3 * LEASE_SECONDS
    world.ask()
    assert not world.own.leads()
    world.lease.away = False
    world.ask()
    assert world.own.leads()
    assert world.own.standing().term == 1
    assert world.ended == []


def test_who_was_overtaken_ends_and_writes_nothing(world: World) -> None:
    world.ask()
    world.now += LEASE_SECONDS + 0.1
    assert world.lease.take(TWO, LEASE_SECONDS) == 2
    with pytest.raises(NotLeading):
        world.store.epoch_at_least(9)
    world.ask()
    assert world.ended == ["another coordinator took over from term 1"]
    assert not world.own.leads()


def test_who_stands_by_names_the_leader_and_follows_it(world: World) -> None:
    assert world.lease.take(TWO, LEASE_SECONDS) == 1
    world.ask()
    standing = world.own.standing()
    assert (standing.role, standing.leader, standing.leader_url) == (
        "standby",
        "machine-two",
        TWO.url,
    )
    with pytest.raises(NotLeading, match=r"machine-two \(http://two\) leads"):
        world.store.epoch_at_least(9)
    world.now += LEASE_SECONDS + 0.1
    world.ask()
    assert world.own.leads()


def test_an_orderly_end_leaves_it_to_others_at_once(world: World) -> None:
    world.ask()
    world.own.stop()
    assert not world.own.leads()
    with pytest.raises(NotLeading):
        world.store.epoch_at_least(9)
    assert world.lease.take(TWO, LEASE_SECONDS) is not None
