"""Incidents: what is told of them, and what people say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from orchestrator.core.events import Observed, Relapsed
from orchestrator.core.failure import Severity
from tests.web.world import Api, World


@dataclass(frozen=True)
class Called:
    """A call as the call book has it."""

    kind: str = "call"
    level: int = 0
    role: str = "primary"
    reach: str = "mailto://ann@example.com"
    reason: str = "app is down"
    due_at: float = 1000.0
    state: str = "sent"
    ended_at: float | None = 1000.5
    error: str = ""


def test_a_failure_is_told_with_what_follows_from_it(world: World, api: Api) -> None:
    opened = world.fails(consequences=("extra: degraded, slow",), fallback="the cloud answers")
    world.calls.append(Called())
    (listed,) = api.get("/api/v1/incidents").json()["incidents"]
    shown = api.get(f"/api/v1/incidents/{opened.id}").json()
    assert listed.items() <= shown.items()
    assert (listed["service"], listed["machine"], listed["health"]) == ("app", "one", "down")
    assert (listed["severity"], listed["cause"]) == ("critical", "service:app")
    assert listed["since"] < listed["detected_at"]
    assert (listed["acknowledged_by"], listed["missing"]) == (None, [])
    assert shown["consequences"] == shown["suppressed"] == ["extra: degraded, slow"]
    assert shown["fallback"] == "the cloud answers"
    (call,) = shown["escalation"]
    assert (call["role"], call["state"]) == ("primary", "sent")
    assert call["due_at"] == "1970-01-01T00:16:40.000Z"
    assert shown["objectives"]["rto_maximum_s"] == 120
    assert shown["review"] is None


def test_a_consequence_that_is_over_stays_listed(world: World, api: Api) -> None:
    opened = world.fails()
    assert opened.failure is not None
    more = replace(opened.failure, consequences=("extra: down, refused",))
    world.coordinator.apply(opened.run, Observed(more))
    world.coordinator.apply(opened.run, Observed(replace(more, consequences=())))
    shown = api.get(f"/api/v1/incidents/{opened.id}").json()
    assert (shown["consequences"], shown["suppressed"]) == ([], ["extra: down, refused"])


def test_what_nothing_cures_is_an_incident_too(world: World, api: Api) -> None:
    opened = world.fails(
        cause="load:one", services=("one",), scenario="", severity=Severity.WARNING
    )
    shown = api.get(f"/api/v1/incidents/{opened.id}").json()
    assert (shown["service"], shown["scenario"], shown["severity"]) == ("one", "", "warning")
    assert api.get(f"/api/v1/runs/{opened.run}").json()["objectives"]["rto_target_s"] == 60


def test_an_old_incident_is_found_by_its_id(world: World, api: Api) -> None:
    first = world.coordinator.recover("restart", reason="the first")
    for number in range(120):
        world.coordinator.recover("restart", reason=f"later {number}")
    assert api.get(f"/api/v1/incidents/{first.id}").json()["run"] == first.run


def test_it_is_acknowledged_by_name(world: World, api: Api) -> None:
    opened = world.fails()
    told = api.post(f"/api/v1/incidents/{opened.id}/ack").json()
    assert (told["id"], told["acknowledged_by"]) == (opened.id, "operator")
    assert "acknowledged by operator" in world.store.timeline(opened.run)[-1].text


def test_a_note_is_in_the_timeline_whatever_the_state(world: World, api: Api) -> None:
    opened = world.fails()
    place = f"/api/v1/incidents/{opened.id}"
    assert api.post(f"{place}/notes", {"text": "  the fan is loud\n"}).status_code == 200
    api.post(f"{place}/resolve", {"reason": "cleaned it"})
    api.post(f"{place}/close", {"reason": "it is quiet"})
    assert api.post(f"{place}/notes", {"text": "bought a fan"}).status_code == 200
    told = [each["text"] for each in api.get(place).json()["timeline"] if each["kind"] == "person"]
    assert told == ["operator: the fan is loud", "operator: bought a fan"]


def test_it_is_resolved_and_closed_by_hand_and_the_watcher_may_disagree(
    world: World, api: Api
) -> None:
    opened = world.fails()
    assert opened.failure is not None
    place = f"/api/v1/incidents/{opened.id}"
    told = api.post(f"{place}/resolve", {"reason": "plugged it in"}).json()
    assert (told["state"], told["reason"]) == ("resolved", "plugged it in (said by operator)")
    world.coordinator.apply(opened.run, Relapsed(opened.failure))
    assert api.get(place).json()["state"] == "open"
    api.post(f"{place}/resolve", {"reason": "plugged it in better"})
    closed = api.post(f"{place}/close", {"reason": "it holds"}).json()
    assert (closed["state"], closed["reason"]) == ("closed", "it holds (operator)")
    assert closed["missing"] == ["root cause not written"]
    assert api.get(place).json()["review"] == f"/incidents/{opened.id}/review"


ILLEGAL = [
    ("ack", None, "is closed: nobody is called"),
    ("resolve", {"reason": "again"}, "can be resolved by hand"),
]


@pytest.mark.parametrize(("verb", "body", "said"), ILLEGAL)
def test_what_does_not_fit_a_closed_incident_is_a_conflict(
    world: World, api: Api, verb: str, body: dict[str, str] | None, said: str
) -> None:
    opened = world.fails()
    place = f"/api/v1/incidents/{opened.id}"
    api.post(f"{place}/resolve", {"reason": "done"})
    api.post(f"{place}/close", {"reason": "done"})
    lines = len(world.store.timeline(opened.run))
    answer = api.post(f"{place}/{verb}", body)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:autobot-dr:problem:illegal-move"
    assert said in answer.json()["detail"]
    assert len(world.store.timeline(opened.run)) == lines


def test_what_still_goes_on_is_not_closed_by_hand(world: World, api: Api) -> None:
    run = world.coordinator.recover("restart", reason="a test")
    answer = api.post(f"/api/v1/incidents/{run.id}/close", {"reason": "enough"})
    assert answer.status_code == 409
    assert "is recovering; only one that is resolved or escalated" in answer.json()["detail"]


def test_what_was_given_up_is_closed_and_not_called_recovered(world: World, api: Api) -> None:
    run = world.coordinator.recover("restart", reason="a test")
    world.coordinator.cancel(run.run, "ann")
    api.post(f"/api/v1/incidents/{run.id}/close", {"reason": "thrown away"})
    told = api.get(f"/api/v1/incidents/{run.id}/review").json()
    assert (told["final"], told["recovered"], told["times"]["rta_s"]) == (True, False, None)
