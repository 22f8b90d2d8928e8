"""Live updates: what a reader hears, in which order, and after a break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.core.events import Entry
from orchestrator.web.events import Feed, event
from tests.web.world import Api, World


def read(news: Iterator[str]) -> list[tuple[str, dict[str, Any], str]]:
    """(kind, data, id) of each event."""
    found = []
    for each in news:
        fields = dict(line.split(": ", 1) for line in each.strip().splitlines())
        found.append((fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return found


def test_a_run_is_heard_from_its_first_line_to_its_end(world: World) -> None:
    run = world.coordinator.recover("restart", reason="a test").run
    feed = Feed(world.store, run, "")
    first = read(feed.news())
    assert [kind for kind, _, _ in first] == ["entry", "run"]
    assert first[0][2] == f"{run}/0"
    assert first[1][1]["state"] == "recovering"
    assert read(feed.news()) == []
    world.carry_on()
    last = read(feed.news())
    assert [kind for kind, _, _ in last] == ["entry"] * 4 + ["run"]
    assert last[-1][1]["state"] == "resolved"


def test_a_reader_goes_on_after_the_line_it_heard_last(world: World) -> None:
    run = world.coordinator.recover("restart", reason="a test").run
    world.carry_on()
    heard = read(Feed(world.store, run, f"{run}/2").news())
    assert [number for _, _, number in heard] == [f"{run}/3", f"{run}/4", ""]


def test_a_reader_of_everything_hears_what_is_new_and_where_each_run_stands(world: World) -> None:
    old = world.coordinator.recover("restart", reason="a test").run
    feed = Feed(world.store, "", "")
    assert [(kind, data["id"]) for kind, data, _ in read(feed.news())] == [("run", old)]
    new = world.coordinator.recover("asked", reason="a test").run
    world.store.add_entry(old, Entry(1.0, "progress", "half of it"))
    heard = read(feed.news())
    assert [(kind, data.get("run") or data["id"]) for kind, data, _ in heard] == [
        ("entry", old),
        ("entry", new),
        ("run", new),
    ]


def test_how_far_a_step_is_is_heard_once_until_it_has_ended(world: World) -> None:
    run = world.coordinator.recover("restart", reason="a test").run
    (order,) = world.orders()
    feed = Feed(world.store, run, "")
    read(feed.news())
    world.moves(order, 3_000_000, 9_000_000)
    ((kind, data, _),) = read(feed.news())
    assert (kind, data["run"], data["step"]) == ("progress", run, order.id)
    assert (data["operation"], data["machine"]) == ("service.restart", "one")
    assert (data["done_bytes"], data["total_bytes"], data["left_s"]) == (3_000_000, 9_000_000, 3.0)
    assert read(feed.news()) == []
    world.moves(order, 4_000_000, key=world.keys["two"][0])
    assert read(feed.news()) == [], "nobody else speaks for that agent"
    world.moves(order, 5_000_000)
    world.carry_on()
    assert {kind for kind, _, _ in read(feed.news())} == {"entry", "run"}


def test_what_an_agent_wrote_cannot_make_an_event() -> None:
    text = event("entry", {"text": "x\n\nevent: run\ndata: {}"}, "r/0")
    assert text.count("\n") == 4


def test_the_stream_over_http(world: World, api: Api) -> None:
    run = api.start()["id"]
    heard: list[str] = []
    with api.http.stream("GET", f"/api/v1/events?run={run}", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            data = json.loads(line.removeprefix("data: "))
            heard.append(data.get("text") or data["state"])
            if heard[-1] == "recovering":
                world.carry_on()
            if heard[-1] == "resolved":
                break
    assert heard[-2:] == ["resolved: verified from outside", "resolved"]
