"""Incidents, reviews, maintenance and the watched status, on the command line."""

from __future__ import annotations

import json
import re
import time

import pytest

from orchestrator.core.events import Begin
from orchestrator.core.health import Health
from orchestrator.core.incident import Incident
from tests.cli.conftest import Run
from tests.web.test_incidents import Called
from tests.web.test_status import ill, picture, window
from tests.web.world import World


def closed(world: World) -> Incident:
    opened = world.fails()
    world.coordinator.resolve(opened.id, "ann", "plugged it in")
    return world.coordinator.close(opened.id, "ann", "it holds")


def test_an_incident_shows_what_failed_what_follows_and_who_was_called(
    world: World, online: Run
) -> None:
    opened = world.fails(consequences=("extra: degraded, slow",), fallback="the cloud answers")
    world.calls.append(Called())
    ran = online("incident", "show", opened.id)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == f"incident {opened.id}: app, down, critical"
    assert lines[1].startswith("service:app, ill since ")
    assert "a consequence: extra: degraded, slow" in lines
    assert "the fallback serves: the cloud answers" in lines
    assert re.search("call +1 +primary +mailto://ann@example.com +sent", ran.stdout)
    assert lines[-1] == f"take it in hand: autobot-dr incident ack {opened.id}"


def test_it_is_taken_in_hand_noted_resolved_and_closed(world: World, online: Run) -> None:
    opened = world.fails()
    acked = online("incident", "ack", opened.id)
    assert "in the hands of operator; nobody further is called" in acked.stdout
    listed = online("incident", "list").stdout
    assert "app, down, critical, in the hands of operator: nothing listens" in listed
    assert online("incident", "note", opened.id, "the fan is loud").returncode == 0
    resolved = online("incident", "resolve", opened.id, "--reason", "cleaned it")
    assert resolved.stdout == "resolved: cleaned it (said by operator)\n"
    ended = online("incident", "close", opened.id, "--reason", "it is quiet")
    assert f"write its review: autobot-dr incident review {opened.id}" in ended.stdout
    shown = online("incident", "show", opened.id).stdout
    assert "operator: the fan is loud" in shown
    assert "review: root cause not written" in shown
    again = online("incident", "ack", opened.id)
    assert (again.returncode, "is closed: nobody is called" in again.stderr) == (1, True)


def test_the_list_marks_what_is_missing_until_it_is_there(world: World, online: Run) -> None:
    over = closed(world)
    assert "  review: root cause not written" in online("incident", "list").stdout.splitlines()
    written = online("incident", "review", over.id, "--root-cause", "a leak", "--lesson", "look")
    assert written.returncode == 0, written.stderr
    assert "a leak (operator, " in written.stdout
    assert "- look (operator, " in written.stdout
    added = online("incident", "follow-up", "add", over.id, "more memory", "--owner", "bob")
    number = added.stdout.partition(":")[0].removeprefix("follow-up ")
    assert "  review: 1 follow-up open" in online("incident", "list").stdout.splitlines()
    left = online("incident", "follow-up", "list").stdout
    assert re.search(rf"{number} +since .* bob +more memory", left)
    assert over.id in left
    done = online("incident", "follow-up", "done", number)
    assert re.search("^done .* by operator: more memory$", done.stdout)
    assert "nothing is left" in online("incident", "follow-up", "list").stdout
    assert "more memory" in online("incident", "follow-up", "list", "--of", over.id).stdout
    assert "review:" not in online("incident", "list").stdout


def test_a_review_is_markdown_html_or_json(world: World, online: Run) -> None:
    over = closed(world)
    assert online("incident", "review", over.id).stdout.startswith("# Review of incident inc-")
    page = online("incident", "review", over.id, "--html").stdout
    assert page.startswith("<!doctype html>")
    assert "<form" not in page
    told = json.loads(online("incident", "review", over.id, "--json").stdout)
    assert (told["incident"], told["final"]) == (over.id, True)


def test_a_preliminary_review_says_so(world: World, online: Run) -> None:
    opened = world.fails()
    world.coordinator.apply(opened.run, Begin())
    said = online("incident", "review", opened.id).stdout
    assert "**Preliminary: the incident is recovering.**" in said


def test_maintenance_is_started_listed_and_stopped(world: World, online: Run) -> None:
    assert "no maintenance" in online("maintenance", "list").stdout
    started = online("maintenance", "start", "app", "--for", "2h", "--reason", "new disk")
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("app is in maintenance until ")
    (kept,) = world.store.windows.current(time.time())
    assert kept.ends_at - kept.starts_at == 7200
    assert f"autobot-dr maintenance stop {kept.id}" in started.stdout
    listed = online("maintenance", "list").stdout
    assert re.search(rf"{kept.id} +app +running .* operator: new disk", listed)
    stopped = online("maintenance", "stop", kept.id)
    assert stopped.stdout.startswith("the maintenance of app ended ")
    assert re.search(" over ", online("maintenance", "list").stdout)
    fleet = online("maintenance", "start", "--for", "30 min", "--reason", "power")
    assert fleet.stdout.startswith("the fleet is in maintenance until ")


def test_a_watched_status_says_why_since_when_and_what_holds(world: World, online: Run) -> None:
    opened = world.fails()
    world.store.windows.add(window("w", "app", -9, 60))
    world.picture = picture(
        app=ill("app", hold="it may take 60 s"),
        extra=ill("extra", Health.DEGRADED, because="app", fallback="the cloud answers"),
    )
    ran = online("status")
    assert ran.returncode == 3
    said = [line.strip() for line in ran.stdout.splitlines()]
    assert said[0].startswith("fleet small is down, watched from outside at ")
    assert re.search(r"^app +one +down +3\d(\.\d)? s +- +nothing listens *$", ran.stdout, re.M)
    for line in (
        "nothing is started: it may take 60 s",
        "a consequence of app",
        "its fallback serves: the cloud answers",
        f"incident {opened.id}",
    ):
        assert line in said
    assert any(line.startswith("maintenance until ") and "ann: new disk" in line for line in said)


def test_a_window_of_the_whole_fleet_is_said_once(world: World, online: Run) -> None:
    world.store.windows.add(window("w", "", -9, 60))
    world.picture = picture(app=ill("app"))
    said = online("status").stdout
    assert said.count("maintenance until ") == 1
    assert said.splitlines()[1].startswith("maintenance until ")


@pytest.mark.parametrize(
    ("name", "health", "code"),
    [
        ("app", Health.DEGRADED, 3),
        ("app", Health.UNKNOWN, 3),
        ("app", Health.DOWN, 3),
        ("extra", Health.DOWN, 0),
    ],
)
def test_status_ends_with_3_unless_all_that_is_not_optional_is_healthy(
    world: World, online: Run, name: str, health: Health, code: int
) -> None:
    world.picture = picture(**{name: ill(name, health)})
    assert online("status").returncode == code


USAGE = [
    (("maintenance", "start", "none", "--for", "2h", "--reason", "x"), "known: app, extra, one"),
    (("maintenance", "start", "--for", "31 d", "--reason", "x"), "must be at most 30 d"),
    (("maintenance", "start", "--for", "soon", "--reason", "x"), "text such as 90 s, 5 min"),
    (("maintenance", "start", "--for", "2h"), "--reason"),
    (("maintenance", "start", "--reason", "x"), "--for"),
    (("maintenance", "stop", "none"), "there is no window 'none'"),
    (("incident", "ack", "none"), "there is no incident 'none'"),
    (("incident", "note", "none", "x"), "there is no incident 'none'"),
    (("incident", "resolve", "none"), "--reason"),
    (("incident", "review", "none"), "there is no incident 'none'"),
    (("incident", "review", "none", "--lesson", "x"), "there is no incident 'none'"),
    (("incident", "follow-up", "done", "7"), "there is no follow-up 7"),
    (("incident", "follow-up", "done", "x"), "not a valid integer"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_wrong_usage_is_one_sentence(online: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = online(*arguments)
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
