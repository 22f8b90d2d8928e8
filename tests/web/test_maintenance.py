"""Maintenance windows over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.world import Api, World

DAY = 86400


def test_a_window_is_started_listed_and_stopped(world: World, api: Api) -> None:
    body = {"target": "app", "for_s": 7200, "reason": "new disk"}
    answer = api.post("/api/v1/maintenance", body)
    assert answer.status_code == 201
    window = answer.json()
    assert (window["target"], window["by"], window["running"]) == ("app", "operator", True)
    (kept,) = world.store.windows.current(world.coordinator.now())
    assert kept.ends_at - kept.starts_at == 7200
    assert api.get("/api/v1/maintenance").json() == {"windows": [window]}
    stopped = api.post(f"/api/v1/maintenance/{window['id']}/stop").json()
    assert (stopped["id"], stopped["running"]) == (window["id"], False)
    assert stopped["ends_at"] < window["ends_at"]
    assert list(world.store.windows.current(world.coordinator.now())) == []


def test_without_a_target_it_is_for_the_fleet_and_windows_may_overlap(api: Api) -> None:
    for _ in range(2):
        answer = api.post("/api/v1/maintenance", {"for_s": 1, "reason": "power"})
        assert answer.json()["target"] == ""
    assert len(api.get("/api/v1/maintenance").json()["windows"]) == 2


def test_a_machine_is_a_target(api: Api) -> None:
    body = {"target": "two", "for_s": 30 * DAY, "reason": "moved"}
    assert api.post("/api/v1/maintenance", body).status_code == 201


def test_a_doubled_request_starts_one_window(api: Api) -> None:
    body, headers = {"for_s": 60, "reason": "power"}, {"Idempotency-Key": "k"}
    first, second = (api.post("/api/v1/maintenance", body, headers=headers) for _ in "ab")
    assert first.json()["id"] == second.json()["id"]
    assert len(api.get("/api/v1/maintenance").json()["windows"]) == 1


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"target": "none", "for_s": 60, "reason": "x"}, "unknown-target", "app, extra, one, two"),
    ({"for_s": 30 * DAY + 1, "reason": "x"}, "not-understood", "body.for_s"),
    ({"for_s": 0, "reason": "x"}, "not-understood", "body.for_s"),
    ({"for_s": -5, "reason": "x"}, "not-understood", "body.for_s"),
    ({"for_s": "2h", "reason": "x"}, "not-understood", "body.for_s"),
    ({"for_s": 60, "reason": "  "}, "not-understood", "body.reason"),
    ({"for_s": 60}, "not-understood", "body.reason"),
    ({"reason": "x"}, "not-understood", "body.for_s"),
]


@pytest.mark.parametrize(("body", "kind", "said"), BAD)
def test_a_window_that_cannot_be_is_refused(
    api: Api, body: dict[str, Any], kind: str, said: str
) -> None:
    answer = api.post("/api/v1/maintenance", body)
    assert answer.status_code == 422
    assert answer.json()["type"] == f"urn:autobot-dr:problem:{kind}"
    assert said in answer.json()["detail"]
    assert api.get("/api/v1/maintenance").json() == {"windows": []}


def test_a_length_that_is_no_number_is_refused(api: Api) -> None:
    for text in ("Infinity", "NaN", "1e999"):
        content = f'{{"for_s": {text}, "reason": "x"}}'
        headers = {"Content-Type": "application/json"}
        answer = api.http.post("/api/v1/maintenance", content=content, headers=headers)
        assert answer.status_code in (400, 422), text


def test_an_unknown_window_is_not_stopped(api: Api) -> None:
    answer = api.post("/api/v1/maintenance/none/stop")
    assert answer.status_code == 404
    assert "maintenance list" in answer.json()["detail"]
