"""The overseer on a store and a publisher: what it opens, begins, holds and remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.fleet import Approval
from orchestrator.core.health import COORDINATOR, Use, Watch
from orchestrator.core.incident import Incident, State
from orchestrator.core.policy import Rules, Window
from orchestrator.lookout import Lookout
from orchestrator.overseer import Overseer
from orchestrator.store import MemoryStore
from tasks.contract import Kind
from tasks.host import LocalHost
from tests.core import worlds
from tests.core.sky import INTERVAL, PLANS, reading, watch
from tests.web.world import KeepingPublisher


class Site:
    """The small fleet under watch; time moves only when told."""

    def __init__(self, store: MemoryStore | None = None, rules: Rules | None = None) -> None:
        self.now = 1000.0
        self.store, self.publisher = store or MemoryStore(), KeepingPublisher()
        protected = Protected(worlds.SMALL, {}, PLANS, {})
        lookout = Lookout(LocalHost(), {})
        self.coordinator = Coordinator(
            protected, self.store, self.publisher, lookout, lambda: self.now
        )
        self.watches: list[Watch] = [
            watch(f"{service}/{use}", use)
            for service in worlds.SMALL.services
            for use in (Use.ANSWERS, Use.UNIT)
        ]
        self.watches.append(watch("m1/power", Use.POWER))
        self.kinds = {each.name: Kind.GOOD for each in self.watches}
        self.invocation = "one"
        self.mute: set[str] = set()  #: machines whose agents are dead
        self.overseer = Overseer(self.coordinator, self.watches, rules or Rules())
        self.overseer.hearing(0.0)

    def go(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += INTERVAL
            told: dict[str, dict[str, object]] = {}
            for each in self.watches:
                answer = {"invocation": self.invocation} if each.use is Use.UNIT else {}
                said = reading(self.kinds[each.name], self.now, vantage=each.vantage, answer=answer)
                if each.vantage == COORDINATOR:
                    self.overseer.take(each.name, said)
                else:
                    told.setdefault(each.vantage, {})[each.name] = said
            for machine in set(worlds.SMALL.machines) - self.mute:
                self.overseer.heard(machine, self.now, told.get(machine, {}))  # type: ignore[arg-type]
            self.overseer.tick()

    def break_(self, service: str) -> None:
        self.kinds |= {f"{service}/answers": Kind.CLOSED, f"{service}/unit": Kind.BAD}

    def mend(self, service: str) -> None:
        self.kinds |= {f"{service}/answers": Kind.GOOD, f"{service}/unit": Kind.GOOD}

    def incident(self) -> Incident:
        [found] = self.store.runs()
        return found


@pytest.fixture
def site() -> Site:
    made = Site()
    made.go(3)
    return made


def test_a_failure_is_opened_and_its_recovery_published(site: Site) -> None:
    site.break_("db")
    site.go(2)
    assert site.incident().state is State.RECOVERING
    [(run, publish)] = site.publisher.published
    assert run == site.incident().run
    assert [each.operation for each in publish.orders] == ["service.status", "service.restart"]


def test_a_new_overseer_takes_up_what_the_last_one_opened(site: Site) -> None:
    site.break_("db")
    site.go(2)
    again = Site(site.store)
    again.now, again.kinds = site.now, site.kinds
    again.go(4)
    assert len(site.store.runs()) == 1


def test_in_a_maintenance_window_it_waits_and_nobody_is_told(site: Site) -> None:
    window = Window("w", "db", site.now, site.now + 100, "alice", "new disks")
    site.store.windows.add(window)
    site.break_("db")
    site.go(3)
    assert site.incident().state is State.OPEN
    assert "new disks" in site.incident().reason
    assert not site.incident().informed
    site.store.windows.stop("w", site.now)
    site.go(1)
    assert site.incident().state is State.RECOVERING


def test_what_comes_back_by_itself_is_resolved_and_closed_when_it_settled(site: Site) -> None:
    site.kinds["db/answers"] = Kind.BUSY
    site.go(1)
    site.kinds["db/answers"] = Kind.GOOD
    site.go(2)
    assert site.incident().state is State.RESOLVED
    site.now += Rules().settle_s
    site.go(1)
    assert site.incident().state is State.CLOSED


def test_an_agent_speaks_only_of_what_it_was_asked(site: Site) -> None:
    forged = reading(Kind.CLOSED, site.now + 1, vantage="m2")
    for _ in range(3):
        forged = replace(forged, asked_at=forged.asked_at + 1)
        site.overseer.heard("m2", forged.asked_at, {"db/answers": forged, "db/unit": forged})
    site.overseer.tick()
    assert site.store.runs() == []


def test_starts_are_noticed_timed_and_remembered(site: Site) -> None:
    site.invocation = "two"
    for service in worlds.SMALL.services:
        site.kinds[f"{service}/answers"] = Kind.BUSY
    site.go(4)
    for service in worlds.SMALL.services:
        site.kinds[f"{service}/answers"] = Kind.GOOD
    site.go(2)
    assert site.store.starts.of("db")[-1] == 4 * INTERVAL


def test_it_is_woken_when_something_goes_down_and_only_then(site: Site) -> None:
    woken: list[float] = []
    wake: Callable[[], None] = lambda: woken.append(site.now)  # noqa: E731
    site.overseer.wake = wake
    site.go(2)
    assert woken == []
    site.kinds["db/answers"] = Kind.CLOSED
    site.go(3)
    assert len(woken) == 1


def test_watches_that_are_not_told_of_are_named(site: Site) -> None:
    assert site.overseer.untold() == ()
    site.watches = [each for each in site.watches if each.name != "db/unit"]
    site.go(6)
    assert site.overseer.untold() == ("db/unit",)


def test_who_is_silent_is_known_only_while_anybody_can_be_heard(site: Site) -> None:
    site.now += 100
    assert set(site.overseer.silent_machines(60)) == set(worlds.SMALL.machines)
    site.overseer.hearing(None)
    assert site.overseer.silent_machines(60) == ()


@pytest.mark.parametrize("reachable", [(), ("m1",)])
def test_a_machine_that_can_be_worked_on_without_its_agent_is_not_dead(
    reachable: tuple[str, ...],
) -> None:
    site = Site(rules=Rules(cut_off=Approval.AUTO))
    site.go(3)
    asked: list[Collection[str]] = []

    def answering(machines: Collection[str]) -> Collection[str]:
        asked.append(machines)
        return reachable

    site.overseer.reachable = answering
    site.mute = {"m1"}
    site.go(4)
    assert (site.overseer.dead_agents(), asked) == (("m1",), [])
    site.break_("db")
    site.go(3)
    assert site.incident().state is State.RECOVERING
    assert site.incident().dead == (() if reachable else ("m1",))
    assert asked == [("m1",)]


def test_a_machine_whose_ssh_server_was_seen_is_not_dead_when_it_is_slow_once() -> None:
    site = Site(rules=Rules(cut_off=Approval.AUTO))
    site.go(3)
    site.mute = {"m1"}
    site.overseer.open_doors({"m1"})
    site.go(4)
    site.break_("db")
    site.go(3)
    # Nobody answers when its run begins; the gentle rung is not passed over for that.
    assert (site.incident().state, site.incident().dead) == (State.RECOVERING, ())
