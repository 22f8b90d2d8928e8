"""What is ill because of what, how sure that is, and what must not be touched meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.common import Verdict
from orchestrator.core.health import Health, Limit, Use
from orchestrator.core.sight import Condition, Evidence, Start
from tasks.contract import Kind
from tests.core.sky import Sky


def test_all_is_well() -> None:
    picture = Sky().go(3).picture()
    assert {each.health for each in picture.services.values()} == {Health.HEALTHY}
    assert {each.condition for each in picture.machines.values()} == {Condition.UP}


def test_who_needs_what_failed_is_a_consequence_down_the_line() -> None:
    sky = Sky().down("db")
    sky.kinds |= {"cache/answers": Kind.BAD, "api/answers": Kind.BAD, "web/answers": Kind.BAD}
    views = sky.go(2).picture().services
    assert {name: each.because for name, each in views.items()} == {
        "db": "",
        "cache": "db",
        "npu": "",
        "api": "db",
        "web": "db",
    }


def test_one_that_fails_a_moment_before_its_need_waits_for_the_needs_verdict() -> None:
    sky = Sky()
    sky.kinds["api/answers"] = Kind.BAD
    sky.go()
    sky.kinds["db/answers"] = Kind.CLOSED
    views = sky.go().picture().services
    assert views["api"].health is Health.DOWN
    assert views["db"].health is Health.HEALTHY  # missed once
    assert views["api"].because == "db"


def test_after_its_need_is_back_it_has_time_to_follow() -> None:
    sky = Sky().down("db")
    sky.kinds["api/answers"] = Kind.BAD
    sky.go(2)
    sky.kinds |= {"db/answers": Kind.GOOD, "db/local": Kind.GOOD, "db/unit": Kind.GOOD}
    assert sky.go(2).picture().services["db"].health is Health.HEALTHY
    assert sky.picture().services["api"].because == "db"
    assert sky.go(1).picture().services["api"].because == "db"
    assert sky.go(1).picture().services["api"].because == ""  # two misses since: its own trouble


def test_after_a_run_brought_its_need_back_it_has_time_to_follow_too() -> None:
    sky = Sky().down("db")
    sky.kinds["api/answers"] = Kind.BAD
    sky.go(2)
    sky.verified["db"] = sky.now
    sky.kinds |= {"db/answers": Kind.GOOD, "db/local": Kind.GOOD, "db/unit": Kind.GOOD}
    assert sky.picture().services["api"].because == "db"
    assert sky.go(1).picture().services["api"].because == "db"
    assert sky.go(1).picture().services["api"].because == "db"
    assert sky.go(2).picture().services["api"].because == ""


def test_an_answer_confirms_that_it_is_down_and_silence_alone_does_not() -> None:
    sky = Sky()
    sky.kinds["db/answers"] = Kind.BAD
    assert sky.go(2).picture().services["db"].evidence is Evidence.CONFIRMED
    sky = Sky()
    sky.mute.add("m1")
    sky.kinds["db/answers"] = Kind.SILENT
    assert sky.go(2).picture().services["db"].evidence is Evidence.WAITING


def test_its_own_machine_agrees_or_contradicts() -> None:
    sky = Sky()
    sky.kinds["db/answers"] = Kind.SILENT
    view = sky.go(2).picture().services["db"]
    assert view.evidence is Evidence.CONTRADICTED  # its agent reaches it
    assert "m1 reaches it" in view.witness
    sky.kinds["db/local"] = Kind.SILENT
    assert sky.go(1).picture().services["db"].evidence is Evidence.CONFIRMED


def test_what_was_seen_before_it_failed_is_no_witness() -> None:
    sky = Sky()
    sky.kinds["db/local"] = Kind.BAD
    sky.go(1)
    sky.mute.add("m1")
    sky.kinds["db/answers"] = Kind.SILENT
    assert sky.go(2).picture().services["db"].evidence is Evidence.WAITING


def test_who_reached_it_before_our_first_silence_was_over_is_no_witness() -> None:
    """Power is lost while we wait for an answer: a neighbour may have had one a moment before."""
    sky = Sky()
    sky.add("db/seen-from-m2", Use.NEIGHBOUR, vantage="m2")
    sky.kinds["db/answers"] = Kind.SILENT
    sky.go(1)
    sky.mute |= {"m1", "m2"}
    assert sky.go(1).picture().services["db"].evidence is Evidence.WAITING


def test_a_neighbour_that_reaches_it_contradicts_our_silence() -> None:
    sky = Sky()
    sky.add("db/seen-from-m2", Use.NEIGHBOUR, vantage="m2")
    sky.mute.add("m1")
    sky.kinds["db/answers"] = Kind.SILENT
    assert sky.go(2).picture().services["db"].evidence is Evidence.WAITING
    view = sky.go(1).picture().services["db"]
    assert (view.evidence, view.witness[:13]) == (Evidence.CONTRADICTED, "m2 reaches it")


def test_a_hung_service_still_accepts_connections_and_that_is_no_doubt() -> None:
    sky = Sky()
    sky.add("db/seen-from-m2", Use.NEIGHBOUR, vantage="m2")
    sky.kinds["db/answers"] = Kind.SILENT
    del sky.watches["db/local"]  # its own agent's answer is still out
    del sky.standings["db/local"]
    assert sky.go(4).picture().services["db"].evidence is not Evidence.CONTRADICTED


@pytest.mark.parametrize(
    ("power", "times", "condition"),
    [
        (Kind.BAD, 1, Condition.OFF),
        (Kind.GOOD, 3, Condition.UP),
        (Kind.GOOD, 4, Condition.CUT_OFF),
        (Kind.SILENT, 4, Condition.SILENT),
    ],
)
def test_a_machine_that_is_off_is_told_from_one_that_is_cut_off(
    power: Kind, times: int, condition: Condition
) -> None:
    assert (
        Sky().lose("m1", power=power, times=times).picture().machines["m1"].condition is condition
    )


def test_a_machine_that_ssh_reaches_is_not_cut_off() -> None:
    sky = Sky().lose("m1", power=Kind.GOOD, times=4)
    sky.doors.add("m1")
    view = sky.picture().machines["m1"]
    assert view.condition is Condition.AGENTLESS
    assert view.reason.startswith("its SSH server answers, but its agent was not heard")


def test_an_agent_with_a_wrong_clock_is_said_to_be_heard_and_not_believed() -> None:
    sky = Sky().lose("m1", power=Kind.GOOD, times=4)
    sky.doors.add("m1")
    sky.doubts["m1"] = sky.now, "its clock is 3600 s behind"
    view = sky.picture().machines["m1"]
    assert view.condition is Condition.AGENTLESS
    assert view.reason.startswith("its SSH server answers, but its agent is not believed for ")
    assert view.reason.endswith(" s now: its clock is 3600 s behind")
    sky.doubts["m1"] = sky.now - 60, "its clock is 3600 s behind"
    assert "its agent was not heard for " in sky.picture().machines["m1"].reason


def test_a_cut_machine_has_the_neighbours_that_do_not_reach_it_as_witnesses() -> None:
    sky = Sky()
    sky.add("db/seen-from-m2", Use.NEIGHBOUR, vantage="m2")
    sky.kinds["db/seen-from-m2"] = Kind.SILENT
    view = sky.lose("m1", power=Kind.GOOD, times=4).picture().machines["m1"]
    assert view.condition is Condition.CUT_OFF
    assert view.reason.endswith(", and m2 cannot reach it either")


def test_nobody_is_silent_while_nobody_can_be_heard() -> None:
    sky = Sky().lose("m1", power=Kind.GOOD, times=10)
    sky.hearing_since = None
    assert sky.picture().machines["m1"].condition is Condition.UP
    sky.hearing_since = sky.now - 10
    assert sky.picture().machines["m1"].condition is not Condition.CUT_OFF


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.BUSY, "not ready yet"),
        (Kind.BARRED, "does not let us in"),
        (Kind.CHOSEN, "somebody chose"),
    ],
)
def test_what_lives_is_held(kind: Kind, said: str) -> None:
    sky = Sky()
    sky.kinds["db/answers"] = kind
    assert said in sky.go(20).picture().services["db"].hold


def test_a_start_holds_until_its_grace_is_over_or_it_was_healthy_once() -> None:
    sky = Sky()
    sky.starts["db"], sky.grace_s["db"] = Start("one", sky.now, healthy=False), 60.0
    sky.kinds["db/answers"] = Kind.BAD
    assert "may take 60 s" in sky.go(2).picture().services["db"].hold
    assert sky.go(10).picture().services["db"].hold == ""
    sky = Sky()
    sky.starts["db"], sky.grace_s["db"] = Start("one", sky.now, healthy=True), 60.0
    sky.kinds["db/answers"] = Kind.BAD
    assert sky.go(2).picture().services["db"].hold == ""


def test_a_unit_that_failed_is_not_starting() -> None:
    sky = Sky()
    sky.starts["db"], sky.grace_s["db"] = Start("one", sky.now, healthy=False), 600.0
    assert sky.down("db").picture().services["db"].hold == ""


def test_a_restart_loop_is_down_while_it_answers() -> None:
    sky = Sky()
    sky.kinds["db/unit"], sky.metrics["db/unit"] = Kind.BAD, {"restarts": 3.0}
    assert sky.go(2).picture().services["db"].health is Health.DOWN


def test_a_service_that_runs_without_its_unit_is_well() -> None:
    sky = Sky()
    sky.kinds["db/unit"] = Kind.BAD
    assert sky.go(5).picture().services["db"].health is Health.HEALTHY


def test_numbers_over_a_limit_are_degraded_and_held() -> None:
    sky = Sky()
    sky.add("db/load", Use.LOAD, {"memory_percent": Limit(80, 95)})
    sky.metrics["db/load"] = {"memory_percent": 97.0}
    view = sky.go(4).picture().services["db"]
    assert (view.health, view.over_limit, view.critical) == (Health.DEGRADED, True, True)
    assert "restart does not cure" in view.hold


def test_a_verified_recovery_forgives_what_was_bad_before() -> None:
    sky = Sky().down("db")
    sky.verified["db"] = sky.now
    assert sky.picture().services["db"].health is Health.UNKNOWN
    assert sky.go(2).picture().services["db"].health is Health.DOWN


class TestManyAtOnce:
    def test_two_of_five_are_not_many(self) -> None:
        assert Sky().lose("m1", "m2").common() is None

    def test_half_of_them_wait_for_a_witness_from_the_first_miss_on(self) -> None:
        common = Sky().lose("m1", "m2", "m3", power=Kind.GOOD, times=1).common()
        assert common is not None
        assert common.verdict is Verdict.WAITING

    def test_all_off_is_real(self) -> None:
        common = Sky().lose("m1", "m2", "m3", "m4", "m5").common()
        assert common is not None
        assert common.verdict is Verdict.REAL
        assert "5 of them are off" in common.reason

    def test_all_running_and_unheard_is_our_own_sight(self) -> None:
        common = Sky().lose("m1", "m2", "m3", "m4", "m5", power=Kind.GOOD, times=4).common()
        assert common is not None
        assert common.verdict is Verdict.VANTAGE
        assert "hypervisor says that 5 of them run" in common.reason

    def test_one_who_reaches_them_is_enough_for_doubt(self) -> None:
        sky = Sky()
        sky.add("db/seen-from-m5", Use.NEIGHBOUR, vantage="m5")
        common = sky.lose("m1", "m2", "m3", power=Kind.GOOD, times=3).common()
        assert common is not None
        assert common.verdict is Verdict.VANTAGE
        assert "m5 reaches it" in common.reason

    def test_all_services_crashed_is_real_when_each_machine_says_so(self) -> None:
        sky = Sky()
        for service in sky.fleet.services:
            sky.down(service, times=0)
        common = sky.go(2).common()
        assert common is not None
        assert common.verdict is Verdict.REAL

    def test_refusals_alone_are_not_enough_for_many(self) -> None:
        """A firewall that rejects looks the same from here."""
        sky = Sky()
        for service in sky.fleet.services:
            sky.kinds[f"{service}/answers"] = Kind.CLOSED
        common = sky.go(1).common()
        assert common is not None
        assert common.verdict is not Verdict.REAL

    def test_failures_of_different_hours_are_not_one(self) -> None:
        sky = Sky().lose("m1", "m2").go(20)
        assert sky.lose("m3").common() is None


def test_a_picture_is_made_of_values_alone() -> None:
    sky = Sky().down("db")
    assert sky.picture() == sky.picture()
    assert replace(sky.picture()) == sky.picture()
