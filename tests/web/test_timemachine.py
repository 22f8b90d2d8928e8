"""A Redis that is captured continuously, and any second of it, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.web import metrics
from tests.web.captured import a_captured_world, picture
from tests.web.world import Api, World

SECOND = "2001-09-09T01:40:00Z"


@pytest.fixture
def world() -> Iterator[World]:
    with a_captured_world() as made:
        yield made


def test_what_is_captured_is_shown_with_its_ranges_and_its_lag(world: World, api: Api) -> None:
    night, all_of_it = api.get("/api/v1/backups").json()["backups"]
    assert night["capture"] is None
    found = all_of_it["capture"]
    assert (found["state"], found["health"], found["lag_seconds"]) == ("following", "healthy", 0.75)
    assert found["folder"] == "/all/captured"
    assert [each["covers_until"] for each in found["ranges"]] == [
        "2001-09-09T00:40:00.000Z",
        "2001-09-09T01:46:40.000Z",
    ], "the newest reaches to where the capture is"
    assert found["verified_until"] == "2001-09-09T01:36:40.000Z"
    assert api.get("/api/v1/status").json()["captures"] == [found]
    world.picture = None
    (unseen,) = api.get("/api/v1/status").json()["captures"]
    assert (unseen["state"], unseen["health"], unseen["reason"]) == ("", "unknown", "not asked yet")


def test_metrics_have_the_lag_of_each_capture() -> None:
    lines = metrics.text([], pending=0, ready=[], picture=picture()).splitlines()
    assert 'autobot_dr_redis_capture_lag_seconds{job="all"} 0.75' in lines
    assert 'autobot_dr_redis_capture_lag_bytes{job="all"} 12' in lines


def test_a_second_is_planned_looked_up_and_restored(world: World, api: Api) -> None:
    planned = api.get("/api/v1/backups/all/at", params={"at": SECOND}).json()
    assert (planned["job"], planned["at"]) == ("all", "2001-09-09T01:40:00.000Z")
    assert "what it has now is kept" in planned["means"]
    assert world.orders() == []
    looked = api.post("/api/v1/backups/all/covers", {"at": SECOND})
    assert looked.status_code == 201, looked.text
    (order,) = world.orders()
    assert (order.operation, order.agent) == ("redis.covers", "two")
    assert order.arguments == {"captured": "/all/captured", "at": 999_999_600}
    world.carry_on()
    begun = api.post("/api/v1/backups/all/restore", {"at": "2001-09-09T03:40:00+02:00"})
    assert begun.status_code == 201, begun.text
    cut, *others = world.orders()[1:]
    assert (cut.operation, cut.arguments["at"]) == ("redis.cut", 999_999_600)
    assert [each.operation for each in others] == ["backup.send", "redis.restore"]


@pytest.mark.parametrize(
    ("job", "at", "status", "said"),
    [
        ("night", SECOND, 409, "is not captured continuously"),
        ("none", SECOND, 404, "known: all, night"),
        ("all", "2100-01-01T00:00:00Z", 409, "2100-01-01T00:00:00Z is not over yet"),
        ("all", "2001-09-09T01:40:00", 422, "at"),
        ("all", "yesterday", 422, "at"),
    ],
)
def test_a_second_that_cannot_be_had_is_refused(
    world: World, api: Api, job: str, at: str, status: int, said: str
) -> None:
    for answer in (
        api.get(f"/api/v1/backups/{job}/at", params={"at": at}),
        api.post(f"/api/v1/backups/{job}/restore", {"at": at}),
    ):
        assert answer.status_code == status, answer.text
        assert said in answer.json()["detail"]
    assert world.orders() == []
