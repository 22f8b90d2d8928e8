"""Status from the watcher's picture: what is ill, since when, because of what, and what holds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.health import Health, Standing
from orchestrator.core.incident import Incident
from orchestrator.core.policy import Window
from orchestrator.core.sight import Condition, MachineView, Picture, ServiceView
from orchestrator.ports import StoreUnavailable
from orchestrator.store import MemoryStore
from tasks.contract import Reading
from tests.web.world import Api, World


def answer(at: float) -> Reading:
    return Reading("tcp", "coordinator", at, 0.01, {"open": True}, (), "")


def picture(**changed: ServiceView) -> Picture:
    """Everything well, a while ago, but for what is given."""
    now = time.time()
    services = {
        "app": ServiceView("app", "one", Health.HEALTHY, "it answers", now - 60, last=answer(now)),
        "extra": ServiceView("extra", "two", Health.HEALTHY, "it answers", now - 60),
    }
    machines = {
        name: MachineView(name, Condition.UP, "its agent was heard", heard_at=now - 2)
        for name in ("one", "two")
    }
    return Picture(now, {**services, **changed}, machines, {})


def ill(name: str, health: Health = Health.DOWN, **more: Any) -> ServiceView:
    machine = {"app": "one", "extra": "two"}[name]
    return ServiceView(name, machine, health, "nothing listens", time.time() - 30, **more)


def told(api: Api) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The status, and its services and machines by name."""
    status = api.get("/api/v1/status").json()
    by_name = [{each["name"]: each for each in status[k]} for k in ("services", "machines")]
    return status, by_name[0], by_name[1]


def test_until_the_watcher_has_seen_something_one_look_is_taken(world: World, api: Api) -> None:
    status, services, _ = told(api)
    assert (status["watched"], services["extra"]["health"]) == (False, "unknown")
    assert services["app"]["since"] is None
    world.picture = picture()
    status, services, _ = told(api)
    assert (status["watched"], status["health"]) == (True, "healthy")
    assert services["app"]["since"] is not None


def test_a_reading_has_its_age_and_one_that_was_never_taken_is_not_made_up(
    world: World, api: Api
) -> None:
    world.picture = picture()
    _, services, machines = told(api)
    assert services["app"]["reading"]["age_s"] >= 0
    assert services["extra"]["reading"] is None
    assert machines["one"]["age_s"] == pytest.approx(2, abs=1.5)


def test_down_is_down_and_what_follows_names_its_cause_and_incident(world: World, api: Api) -> None:
    opened = world.fails()
    hold = "it started 3 s ago and may take 60 s"
    world.picture = picture(app=ill("app", hold=hold), extra=ill("extra", because="app"))
    status, services, _ = told(api)
    assert status["health"] == "down"
    app, extra = services["app"], services["extra"]
    assert (app["health"], app["hold"], app["because"]) == ("down", hold, None)
    assert (extra["because"], extra["hold"]) == ("app", None)
    assert app["incident"] == extra["incident"] == opened.id


def test_an_optional_service_that_is_down_makes_the_fleet_degraded(world: World, api: Api) -> None:
    world.picture = picture(extra=ill("extra", fallback="the cloud answers"))
    status, services, _ = told(api)
    assert (status["health"], services["extra"]["fallback"]) == ("degraded", "the cloud answers")


def test_an_incident_that_is_over_is_not_shown(world: World, api: Api) -> None:
    opened = world.fails()
    world.coordinator.resolve(opened.id, "ann", "plugged it in")
    world.picture = picture()
    assert told(api)[1]["app"]["incident"] is None


def test_what_a_person_ordered_is_shown_while_it_works(world: World, api: Api) -> None:
    run = world.coordinator.recover("restart", reason="a test")
    world.picture = picture()
    assert told(api)[1]["app"]["incident"] == run.id
    assert told(api)[1]["extra"]["incident"] is None


@pytest.mark.parametrize(
    ("condition", "health"),
    [
        (Condition.OFF, "down"),
        (Condition.CUT_OFF, "unknown"),
        (Condition.SILENT, "unknown"),
        (Condition.AGENTLESS, "unknown"),
        (Condition.UNKNOWN, "unknown"),
    ],
)
def test_a_machine_is_judged_by_what_is_known_of_it(
    world: World, api: Api, condition: Condition, health: str
) -> None:
    opened = world.fails()
    view = MachineView("one", condition, "so it is", since=time.time() - 9)
    world.picture = replace(picture(), machines={"one": view})
    one = told(api)[2]["one"]
    assert (one["health"], one["condition"], one["reason"]) == (health, condition, "so it is")
    assert (one["age_s"], one["incident"], one["services"]) == (None, opened.id, ["app"])
    assert one["since"] is not None


def test_a_machine_over_its_limits_is_degraded(world: World, api: Api) -> None:
    load = Standing("one/load", Health.DEGRADED, "disk is 97, over the critical 95")
    view = MachineView("one", Condition.UP, "its agent was heard", load=load)
    world.picture = replace(picture(), machines={"one": view})
    one = told(api)[2]["one"]
    assert (one["health"], one["reason"]) == ("degraded", load.reason)


def window(name: str, target: str, starts: float, ends: float) -> Window:
    now = time.time()
    return Window(name, target, now + starts, now + ends, "ann", "new disk")


@pytest.mark.parametrize(
    ("target", "covered"),
    [
        ("", {"app", "extra", "one", "two"}),
        ("one", {"app", "one"}),
        ("app", {"app"}),
        ("two", {"extra", "two"}),
    ],
)
@pytest.mark.parametrize("watched", [True, False])
def test_maintenance_is_shown_where_it_holds(
    world: World, api: Api, target: str, covered: set[str], watched: bool
) -> None:
    world.store.windows.add(window("w", target, -10, 60))
    world.picture = picture() if watched else None
    _, services, machines = told(api)
    both = {**services, **machines}
    assert {name for name, each in both.items() if each["maintenance"]} == covered
    shown = next(each["maintenance"] for each in both.values() if each["maintenance"])
    assert (shown["id"], shown["by"], shown["reason"]) == ("w", "ann", "new disk")


def test_the_window_that_ends_last_is_shown_and_none_that_does_not_run(
    world: World, api: Api
) -> None:
    for each in (("sooner", -9, 60), ("later", -9, 90), ("over", -90, -1), ("to-come", 50, 500)):
        world.store.windows.add(window(each[0], "app", each[1], each[2]))
    world.picture = picture()
    assert told(api)[1]["app"]["maintenance"]["id"] == "later"


class NoIncidents(MemoryStore):
    """A store whose server went away."""

    def not_closed(self) -> list[Incident]:
        raise StoreUnavailable("the store did not answer: gone")


def test_health_is_told_also_while_the_store_is_away(world: World, api: Api) -> None:
    world.coordinator.store = NoIncidents()
    for each in (None, picture()):
        world.picture = each
        status, services, _ = told(api)
        assert "the store did not answer: gone" in (status["unread"] or ""), each
        assert services["app"]["health"] == "healthy"
