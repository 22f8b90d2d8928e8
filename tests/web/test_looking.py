"""Status, plans, health of the process, metrics and the docs page."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.schedule import Lateness
from orchestrator.web import metrics
from orchestrator.web.access import Role
from orchestrator.web.status import StatusBoard
from tests.core.sky import Sky
from tests.web.world import Api, World


def test_status_gives_each_service_a_reason_and_an_age(api: Api) -> None:
    status = api.get("/api/v1/status").json()
    good, bad = status["services"]
    assert (good["name"], good["health"]) == ("app", "healthy")
    assert good["reading"]["probe"] == "tcp"
    assert good["reading"]["vantage"] == "coordinator"
    assert good["reading"]["age_s"] >= 0
    # No answer is no verdict: the service may be down, or only out of reach.
    assert (bad["name"], bad["health"]) == ("extra", "unknown")
    assert "refused" in bad["reason"]
    one, two = status["machines"]
    assert (one["health"], one["services"], one["role"]) == ("healthy", ["app"], "the front")
    assert two["reason"].startswith("extra: no answer")
    # What is optional makes the fleet worse, not unavailable.
    assert status["health"] == "degraded"


def test_viewers_share_one_look(api: Api) -> None:
    asked = {api.get("/api/v1/status").json()["services"][0]["reading"]["asked_at"] for _ in "ab"}
    assert len(asked) == 1


def test_while_somebody_looks_others_see_the_last_readings(world: World) -> None:
    board = StatusBoard(world.coordinator, lambda: None, lambda: world.standing)
    first, now = board.readings(), world.coordinator.now
    world.coordinator.now = lambda: now() + 100
    with board._lock:
        assert board.readings() is first
    assert board.readings() is not first


def test_a_plan_tells_commands_and_deadlines_and_changes_nothing(world: World, api: Api) -> None:
    plan = api.get("/api/v1/plans/restart").json()
    assert (plan["scenario"], plan["rto_target_s"]) == ("restart", 60)
    (branch,) = plan["rungs"][0]["waves"][0]
    (step,) = branch["steps"]
    assert step["commands"] == ["systemctl restart -- app.service"]
    assert step["ends_by_s"] == step["begins_by_s"] + step["seconds"]
    assert branch["checks"][0]["required"] is True
    assert world.store.runs() == []
    assert world.publisher.published == []


def test_health_of_the_process(world: World, caller: Callable[[Role | None], Api]) -> None:
    nobody = caller(None)
    assert nobody.get("/healthz").json() == {"alive": True}
    ready = nobody.get("/readyz").json()
    assert (ready["ready"], ready["role"]) == (True, "leader")
    world.complaints.append("the broker 127.0.0.1:6390 does not answer; is `autobot-dr up` up?")
    answer = nobody.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == world.complaints[0]
    assert nobody.get("/healthz").status_code == 200


def test_metrics_tell_how_late_the_watcher_is_and_how_services_are() -> None:
    late = Lateness(0.001, 0.2, 0.5, 100, 2)
    lines = metrics.text(
        [], pending=0, ready=[], picture=Sky().down("db").picture(), lateness=late
    ).splitlines()
    assert 'autobot_dr_probe_lateness_seconds{quantile="0.99"} 0.2' in lines
    assert "autobot_dr_probes_skipped 2" in lines
    assert 'autobot_dr_service_health{service="db",health="down"} 1' in lines
    assert 'autobot_dr_service_health{service="web",health="down"} 0' in lines


def test_metrics_count_runs(world: World, api: Api) -> None:
    api.start()
    world.carry_on()
    api.start("asked")
    lines = api.get("/metrics").text.splitlines()
    assert 'autobot_dr_runs{state="resolved"} 1' in lines
    assert 'autobot_dr_runs{state="awaiting_approval"} 1' in lines
    assert "autobot_dr_ready 1" in lines
    assert any(
        line.startswith('autobot_dr_last_rta_seconds{scenario="restart"} ') for line in lines
    )


def test_the_docs_page_shows_every_path_and_loads_nothing(api: Api) -> None:
    page = api.get("/docs").text
    for path in api.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
