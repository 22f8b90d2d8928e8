"""Whether a recovery may start by itself: each rule, with the reason that people read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.fleet import Approval
from orchestrator.core.health import Limit, Use
from orchestrator.core.incident import State
from orchestrator.core.policy import (
    Allowed,
    Ask,
    Forbidden,
    Rules,
    Ruling,
    Wait,
    Window,
    at_work,
)
from orchestrator.core.sight import Condition, Start
from tasks.contract import Kind
from tests.core import worlds
from tests.core.sky import RULES, Sky


def window(target: str = "", *, starts: float = 0.0, ends: float = 5000.0) -> Window:
    return Window("w", target, starts, ends, "alice", "new disks")


def down() -> Sky:
    return Sky().down("db")


def test_a_service_that_is_down_for_sure_may_be_recovered() -> None:
    sky = down()
    assert isinstance(sky.ruling(sky.incident()), Allowed)


def test_what_a_person_ordered_is_not_asked_about() -> None:
    sky = down()
    by_hand = replace(sky.incident(), failure=None)
    assert isinstance(sky.ruling(by_hand, windows=(window(),)), Allowed)


@pytest.mark.parametrize("target", ["", "db", "m1"])
def test_maintenance_waits_and_says_for_whom(target: str) -> None:
    sky = down()
    ruling = sky.ruling(sky.incident(), windows=(window(target),))
    assert isinstance(ruling, Wait)
    assert "by alice: new disks" in ruling.reason
    assert ruling.until == 5000.0


@pytest.mark.parametrize(
    "other", [window("web"), window("m5"), window(ends=1010.0), window(starts=2000.0)]
)
def test_maintenance_of_something_else_or_at_another_time_does_not(other: Window) -> None:
    sky = down()
    assert isinstance(sky.ruling(sky.incident(), windows=(other,)), Allowed)


@pytest.mark.parametrize(
    ("kind", "ruling"),
    [(Kind.BARRED, Forbidden), (Kind.CHOSEN, Forbidden), (Kind.BUSY, Wait)],
)
def test_what_lives_is_not_restarted(kind: Kind, ruling: type[Ruling]) -> None:
    sky = Sky()
    sky.kinds["db/answers"] = kind
    incident = sky.go(2).incident()
    for _ in range(50):
        assert isinstance(sky.go(1).ruling(incident), ruling)


def test_a_start_is_waited_for_and_then_not() -> None:
    sky = Sky()
    sky.starts["db"], sky.grace_s["db"] = Start("one", sky.now, healthy=False), 420.0
    sky.kinds["db/answers"] = Kind.BAD
    incident = sky.go(2).incident()
    while sky.now < 1000 + 415:
        assert isinstance(sky.go(1).ruling(incident), Wait)
    assert isinstance(sky.go(2).ruling(incident), Allowed)


def test_one_good_answer_after_a_long_start_is_not_answered_with_a_restart() -> None:
    sky = Sky()
    sky.starts["db"], sky.grace_s["db"] = Start("one", sky.now, healthy=False), 420.0
    sky.kinds["db/answers"] = Kind.BAD
    incident = sky.go(2).incident()
    sky.kinds["db/answers"] = Kind.GOOD
    sky.starts["db"] = Start("one", 1000.0, healthy=True)
    assert isinstance(sky.go(1).ruling(incident), Wait)


def test_silence_alone_waits_for_a_witness_then_asks() -> None:
    sky = Sky().lose("m1", power=Kind.SILENT, times=2)
    incident = sky.incident()
    assert isinstance(sky.ruling(incident), Wait)
    assert isinstance(sky.go(2).ruling(incident), Forbidden)  # its machine is silent by now


@pytest.mark.parametrize(
    ("policy", "ruling"),
    [(Approval.ASK, Ask), (Approval.AUTO, Allowed), (Approval.NEVER, Forbidden)],
)
def test_a_machine_that_runs_but_is_cut_off_is_power_cycled_as_policy_says(
    policy: Approval, ruling: type[Ruling]
) -> None:
    sky = Sky().lose("m1", power=Kind.GOOD, times=5)
    found = sky.ruling(sky.incident(), replace(RULES, cut_off=policy))
    assert isinstance(found, ruling)
    assert "says that it runs" in found.reason or policy is Approval.AUTO


def test_nobody_is_asked_about_a_machine_that_was_looked_at_over_ssh() -> None:
    sky = Sky().lose("m1", power=Kind.GOOD, times=4)
    sky.doors.add("m1")
    incident = sky.incident()
    assert isinstance(sky.ruling(incident), Wait)
    sky.mute.clear()  # its questions are asked over SSH instead, its agent stays silent
    beats = dict(sky.beats)
    sky.kinds["db/unit"] = Kind.BAD
    sky.go()
    sky.beats = beats
    assert sky.picture().machines["m1"].condition is Condition.AGENTLESS
    assert isinstance(sky.ruling(incident), Allowed)


def test_a_machine_that_is_off_is_recovered_at_once() -> None:
    sky = Sky().lose("m1", times=2)
    assert isinstance(sky.ruling(sky.incident()), Allowed)


def test_one_whom_others_reach_is_left_alone() -> None:
    sky = Sky()
    sky.kinds["db/answers"] = Kind.SILENT
    incident = sky.go(2).incident()
    assert isinstance(sky.ruling(incident), Forbidden)


def test_one_recovery_at_a_time_for_each_machine() -> None:
    sky = down()
    incident = sky.incident()
    ruling = sky.ruling(incident, working={"m1": "run-other"})
    assert isinstance(ruling, Wait)
    assert "run-other is working on m1" in ruling.reason
    assert isinstance(sky.ruling(incident, working={"m1": incident.run}), Allowed)
    assert isinstance(sky.ruling(incident, working={"m2": "run-other"}), Allowed)


def test_a_backup_holds_up_no_recovery() -> None:
    recovery = worlds.incident(worlds.plan(worlds.RESTART), run="recovery")
    working = replace(recovery, state=State.RECOVERING)
    machines = {step.machine for step in recovery.plan.branch(0, 0).steps}
    assert at_work([recovery]) == {}
    assert at_work([working]) == dict.fromkeys(machines, "recovery")
    assert at_work([replace(working, plan=replace(working.plan, urgent=False))]) == {}


def test_the_budget_of_a_service_is_spent_by_flapping() -> None:
    sky = down()
    incident = sky.incident()
    begun = tuple(("db", sky.now - ago) for ago in (900, 600, 300))
    ruling = sky.ruling(incident, begun=begun)
    assert isinstance(ruling, Forbidden)
    assert "recovered 3 times within 30 min and failed again" in ruling.reason
    assert isinstance(sky.ruling(incident, begun=begun[1:]), Allowed)
    long_ago = tuple((name, at - 1800) for name, at in begun)
    assert isinstance(sky.ruling(incident, begun=long_ago), Allowed)


def test_the_budget_of_the_fleet_counts_all_services() -> None:
    sky = down()
    begun = tuple((f"other-{n}", sky.now - 1) for n in range(RULES.fleet_attempts))
    assert isinstance(sky.ruling(sky.incident(), begun=begun), Forbidden)


def test_the_pause_grows_with_each_recovery() -> None:
    sky = down()
    incident = sky.incident()
    rules = Rules(attempts=5, backoff_s=10)
    for count, pause in ((1, 10.0), (2, 20.0), (3, 40.0)):
        begun = tuple(("db", sky.now - n) for n in range(count, 0, -1))
        ruling = sky.ruling(incident, rules, begun=begun)
        assert isinstance(ruling, Wait)
        assert ruling.until == sky.now - 1 + pause


def test_a_common_cause_freezes_what_is_behind_it_and_nothing_else() -> None:
    sky = Sky().down("db")
    incident = sky.incident()
    sky.go(10).lose("m2", "m4", "m5", power=Kind.GOOD, times=5)
    assert isinstance(sky.ruling(incident), Allowed)
    frozen = replace(incident, failure=replace(incident.failure, services=("web",)))  # type: ignore[type-var]
    ruling = sky.ruling(frozen)
    assert isinstance(ruling, Wait)
    assert ruling.reason.startswith("frozen: ")


def test_numbers_are_watched_or_called_about_but_never_restarted() -> None:
    for value, expected in ((85.0, Wait), (97.0, Forbidden)):
        sky = Sky()
        sky.add("db/load", Use.LOAD, {"memory_percent": Limit(80, 95)})
        sky.metrics["db/load"] = {"memory_percent": value}
        assert isinstance(sky.ruling(sky.go(4).incident()), expected)


def test_a_failure_of_everything_has_a_budget_of_its_own() -> None:
    sky = Sky().lose("m1", "m2", "m3", "m4", "m5", times=2)
    incident = sky.incident()
    begun = tuple(("db", sky.now - ago) for ago in (900, 600, 300))
    assert isinstance(sky.ruling(incident, begun=begun), Allowed)
    again = tuple(("fleet", at) for _, at in begun)
    assert isinstance(sky.ruling(incident, begun=again), Forbidden)
