"""Runs and incidents over HTTP, against a real coordinator."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from orchestrator.web.access import Role
from tests.web.world import Api, World

RUN_KEYS = {
    *("id", "scenario", "state", "reason", "opened_at", "first_effect_at", "ended_at"),
    *("rta_s", "epoch", "steps"),
}
STEP_KEYS = {
    *("id", "rung", "wave", "machine", "operation", "arguments", "outcome", "reason"),
    *("attempt", "started_at", "ended_at"),
}


def test_a_run_is_started_followed_and_resolved(world: World, api: Api) -> None:
    answer = api.post("/api/v1/runs", {"scenario": "restart", "reason": "it hangs"})
    assert answer.status_code == 201
    started = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{started['id']}"
    assert set(started) >= RUN_KEYS
    assert started["state"] == "recovering"
    assert "it hangs (operator)" in started["reason"]
    (order,) = world.orders()
    assert (order.run, order.operation) == (started["id"], "service.restart")
    assert started["steps"][0]["id"] == order.id
    assert set(started["steps"][0]) >= STEP_KEYS
    assert started["steps"][0]["outcome"] is None

    world.carry_on()
    run = api.get(f"/api/v1/runs/{started['id']}").json()
    assert run["state"] == "resolved"
    assert run["rta_s"] > 0
    assert run["steps"][0]["outcome"] == "done"
    assert run["steps"][0]["started_at"].endswith("Z")
    assert [each["kind"] for each in run["timeline"]] == [
        "state",
        "step",
        "state",
        "check",
        "state",
    ]

    assert [each["id"] for each in api.get("/api/v1/runs").json()["runs"]] == [started["id"]]


def test_the_same_key_starts_one_run(world: World, api: Api) -> None:
    first, again = api.start(key="k-1"), api.start(key="k-1")
    assert first["id"] == again["id"]
    assert len(world.publisher.published) == 1
    assert api.start(key="k-2")["id"] != first["id"]


def test_the_same_key_at_the_same_moment_starts_one_run(world: World, api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: api.start(key="k-1")["id"], range(16)))
    assert len(found) == 1
    assert len({order.id for order in world.orders()}) == 1


def test_a_key_is_not_used_for_two_scenarios(api: Api) -> None:
    first = api.start(key="k-1")
    answer = api.post("/api/v1/runs", {"scenario": "asked"}, headers={"Idempotency-Key": "k-1"})
    assert answer.status_code == 422
    assert first["id"] in answer.json()["detail"]


def test_keys_of_two_callers_are_apart(api: Api, caller: Callable[[Role | None], Api]) -> None:
    assert api.start(key="k")["id"] != caller(Role.ADMIN).start(key="k")["id"]


def test_a_run_that_waits_is_approved_by_name(world: World, api: Api) -> None:
    started = api.start("asked")
    assert started["state"] == "awaiting_approval"
    assert world.publisher.published == []
    approved = api.post(f"/api/v1/runs/{started['id']}/approve")
    assert approved.status_code == 200
    assert "approved by operator" in approved.json()["reason"]
    assert len(world.publisher.published) == 1


def test_a_run_is_cancelled_and_resumed(api: Api) -> None:
    run = f"/api/v1/runs/{api.start()['id']}"
    assert api.post(f"{run}/cancel").json()["state"] == "escalated"
    assert api.post(f"{run}/cancel").status_code == 409
    assert api.post(f"{run}/resume").json()["state"] == "recovering"
    conflict = api.post(f"{run}/approve").json()
    assert conflict["type"] == "urn:autobot-dr:problem:illegal-move"
    assert "only a run that is awaiting_approval can be approved" in conflict["detail"]


def test_without_a_broker_nothing_is_started(world: World, api: Api) -> None:
    world.publisher.away = True
    refused = api.post("/api/v1/runs", {"scenario": "restart"})
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("the broker cannot be reached, so nothing was")
    assert api.get("/api/v1/runs").json() == {"runs": []}


def test_a_broker_that_goes_away_loses_no_run(world: World, api: Api) -> None:
    world.coordinator.tick()
    world.publisher.away = True
    run = api.start()["id"]
    world.publisher.away = False
    world.coordinator.tick()
    assert [each for each, _ in world.publisher.published] == [run]


def test_an_incident_tells_what_its_run_tells_and_more(world: World, api: Api) -> None:
    run = api.start()
    world.carry_on()
    (listed,) = api.get("/api/v1/incidents").json()["incidents"]
    incident = api.get(f"/api/v1/incidents/{listed['id']}").json()
    assert incident["run"] == run["id"]
    assert (incident["service"], incident["health"]) == ("app", "healthy")
    assert incident["timeline"][-1]["text"] == "resolved: verified from outside"
    assert (incident["escalation"], incident["review"]) == ([], None)
    assert set(incident) >= RUN_KEYS


def test_times_are_utc_to_the_millisecond(api: Api) -> None:
    opened = api.start()["opened_at"]
    assert opened[10] == "T"
    assert opened[-5] == "."
    assert opened.endswith("Z")
