"""One incident for each cause: opened, kept up to date, resolved, opened again, closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.advance import advance
from orchestrator.core.detection import Tell
from orchestrator.core.events import Begin, Event, Observed, Recovered, Relapsed, Settled
from orchestrator.core.failure import Severity
from orchestrator.core.health import Health, Limit, Use
from orchestrator.core.incident import Incident, State
from tasks.contract import Kind
from tests.core.sky import RULES, Sky


def told(sky: Sky, *incidents: Incident) -> list[Event]:
    return [each.event for each in sky.findings(*incidents) if isinstance(each, Tell)]


def resolved(sky: Sky, incident: Incident) -> Incident:
    return replace(incident, state=State.RESOLVED, ended_at=sky.now)


def test_nothing_is_opened_while_all_is_well() -> None:
    assert Sky().go(5).findings() == ()


def test_one_miss_opens_nothing_and_two_do() -> None:
    sky = Sky().down("db", times=1)
    assert sky.opened() == []
    [failure] = sky.go(1).opened()
    assert (failure.cause, failure.services, failure.machine) == ("service:db", ("db",), "m1")
    assert (failure.health, failure.severity) == (Health.DOWN, Severity.CRITICAL)
    assert failure.scenario == "db"
    assert (failure.first_bad_at, failure.detected_at) == (1005.0, 1010.0)


def test_a_dead_database_is_one_incident_with_its_consequences_under_it() -> None:
    sky = Sky().down("db", times=0)
    sky.kinds |= {f"{each}/answers": Kind.BAD for each in ("cache", "api", "web")}
    [failure] = sky.go(3).opened()
    assert failure.cause == "service:db"
    assert [each.partition(":")[0] for each in failure.consequences] == ["cache", "api", "web"]


def test_a_known_cause_is_not_opened_twice() -> None:
    sky = Sky().down("db")
    incident = sky.incident()
    assert sky.go(3).findings(incident) == ()


def test_what_a_run_is_bringing_back_needs_no_incident() -> None:
    sky = Sky().down("db")
    by_hand = replace(sky.incident(), failure=None, state=State.RECOVERING)
    assert sky.findings(by_hand) == ()


def test_an_incident_hears_of_new_consequences() -> None:
    sky = Sky().down("db")
    incident = sky.incident()
    sky.kinds["api/answers"] = Kind.BAD
    [event] = told(sky.go(2), incident)
    assert isinstance(event, Observed)
    assert event.failure.consequences[0].startswith("api: down")
    assert event.failure.first_bad_at == 1005.0


def test_what_comes_back_by_itself_is_resolved() -> None:
    sky = Sky().down("db")
    incident = sky.incident()
    sky.kinds |= {"db/answers": Kind.GOOD, "db/local": Kind.GOOD, "db/unit": Kind.GOOD}
    assert told(sky.go(1), incident) == []
    assert told(sky.go(1), incident) == [Recovered("seen well again")]
    assert told(sky, replace(incident, state=State.RECOVERING)) == []


def test_what_turns_out_to_be_a_consequence_ends_in_its_causes_favour() -> None:
    sky = Sky()
    sky.kinds["api/answers"] = Kind.BAD
    incident = sky.go(2).incident()
    findings = sky.down("db").findings(incident)
    assert [type(each) for each in findings] == [Tell, type(findings[1])]
    assert told(sky, incident) == [Recovered("a consequence of db, whose incident goes on")]


def test_a_resolved_incident_is_closed_when_it_settled() -> None:
    sky = Sky().down("db")
    incident = resolved(sky, sky.incident())
    sky.kinds |= {"db/answers": Kind.GOOD, "db/local": Kind.GOOD, "db/unit": Kind.GOOD}
    assert told(sky.go(2), incident) == []
    sky.now = incident.ended_at + RULES.settle_s if incident.ended_at else 0
    assert told(sky.go(1), incident) == [Settled("stayed well for 10 min")]


def test_failing_again_before_that_is_the_same_incident() -> None:
    sky = Sky().down("db")
    incident = resolved(sky, sky.incident())
    sky.verified["db"] = sky.now
    assert told(sky, incident) == []  # what was bad before it was verified does not count
    assert told(sky.go(1), incident) == []
    [event] = told(sky.go(1), incident)
    assert isinstance(event, Relapsed)


def test_machines_that_go_together_wait_for_a_witness_and_are_then_one_incident() -> None:
    sky = Sky().lose("m1", "m2", "m3", "m4", "m5", power=Kind.GOOD, times=2)
    assert sky.opened() == []
    for number in range(1, 6):
        sky.kinds[f"m{number}/power"] = Kind.BAD
    [failure] = sky.go(1).opened()
    assert (failure.cause, failure.scenario) == ("fleet", "all")
    assert set(failure.services) == set(sky.fleet.services)


def test_our_own_blindness_is_one_page_and_nothing_else() -> None:
    sky = Sky().lose("m1", "m2", "m3", "m4", "m5", power=Kind.GOOD, times=5)
    [failure] = sky.opened()
    assert (failure.cause, failure.scenario) == ("vantage", "")
    assert sky.go(10).findings(sky.incident()) == ()


def test_when_we_see_again_the_page_is_over() -> None:
    sky = Sky().lose("m1", "m2", "m3", power=Kind.GOOD, times=5)
    incident = sky.incident()
    sky.mute.clear()
    sky.kinds = dict.fromkeys(sky.kinds, Kind.GOOD)
    assert Recovered("seen well again") in told(sky.go(3), incident)


@pytest.mark.parametrize(
    ("value", "severity"), [(85.0, Severity.WARNING), (96.0, Severity.CRITICAL)]
)
def test_a_machines_numbers_are_told_with_their_weight(value: float, severity: Severity) -> None:
    sky = Sky()
    sky.add("m1/load", Use.LOAD, {"cpu_percent": Limit(80, 95)})
    sky.metrics["m1/load"] = {"cpu_percent": value}
    [failure] = sky.go(4).opened()
    assert (failure.cause, failure.severity, failure.scenario) == ("load:m1", severity, "")


def test_a_verified_fallback_lowers_the_severity_and_is_named() -> None:
    sky = Sky()
    sky.add("db/fallback", Use.FALLBACK)
    [failure] = sky.down("db").opened()
    assert failure.severity is Severity.WARNING
    assert failure.fallback == "answers as expected"
    incident = sky.incident()
    sky.kinds["db/fallback"] = Kind.BAD
    [event] = told(sky.go(2), incident)
    assert isinstance(event, Observed)
    assert event.failure.severity is Severity.CRITICAL


def test_an_optional_service_is_a_warning() -> None:
    assert Sky().down("npu").opened()[0].severity is Severity.WARNING


def test_loading_is_a_warning_that_nothing_is_done_about() -> None:
    sky = Sky()
    sky.kinds["db/answers"] = Kind.BUSY
    [failure] = sky.go(1).opened()
    assert (failure.health, failure.severity) == (Health.DEGRADED, Severity.WARNING)


def test_a_password_that_does_not_fit_is_critical() -> None:
    sky = Sky()
    sky.kinds["db/answers"] = Kind.BARRED
    [failure] = sky.go(1).opened()
    assert failure.severity is Severity.CRITICAL


def test_a_flapping_service_stays_one_incident_through_all_its_recoveries() -> None:
    sky = Sky().down("db")
    incident = sky.incident()
    for _ in range(3):
        incident = advance(incident, Begin(), sky.now).incident
        incident = resolved(sky, replace(incident, branches=()))
        sky.verified["db"] = sky.now
        [event] = told(sky.go(2), incident)
        incident = advance(incident, event, sky.now).incident
        assert incident.state is State.OPEN
    assert len(incident.begun) == 3
