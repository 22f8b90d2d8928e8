"""The seven scenarios on six real systemd machines: broken for real, recovered by the operator's
own command, and verified from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.stage import Theatre
from tests.integration.rig import wait_for

pytestmark = pytest.mark.timeout(600)

Run = Mapping[str, Any]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """All machines on, all services started by the tool itself."""
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    place = tmp_path_factory.mktemp("fleet")
    lab = labs.prepare("nspawn", place / "lab")
    try:
        theatre = Theatre(lab, place / "home")
        with theatre.up():
            recovered(theatre, "full-system")
            yield theatre
    finally:
        lab.down()


def recover(theatre: Theatre, scenario: str) -> tuple[int, Run]:
    """The exit code and the run, as `autobot-dr recover` gives them."""
    done = theatre.call(*theatre.command("recover", scenario, "--json"))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def recovered(theatre: Theatre, scenario: str) -> Run:
    code, run = recover(theatre, scenario)
    assert (code, run["state"]) == (0, "resolved"), json.dumps(run, indent=1)
    wait_for("a healthy status", lambda: health(theatre) == 0, seconds=60)
    return run


def health(theatre: Theatre) -> int:
    return theatre.call(*theatre.command("status")).returncode


def outcomes(run: Run, rung: int = 0) -> dict[str, str]:
    return {each["operation"]: each["outcome"] for each in run["steps"] if each["rung"] == rung}


def told(theatre: Theatre, run: Run) -> str:
    return "\n".join(
        f"{each['text']} {each['detail']}"
        for each in theatre.ask("run", "show", run["id"])["timeline"]
    )


def test_complete_failure_starts_machines_in_the_order_of_their_needs(theatre: Theatre) -> None:
    theatre.lab.break_("everything-down")
    # A look serves everybody who asks within half a second, so the first may be of before.
    wait_for("the failure to be seen", lambda: health(theatre) == 3)
    run = recovered(theatre, "full-system")
    started = {e["machine"]: e for e in run["steps"] if e["operation"] == "vm.start"}
    served = {e["machine"]: e for e in run["steps"] if e["operation"] == "service.start"}
    assert len(started) == 6
    for machine, needs in theatre.needs().items():
        for need in needs:
            assert served[need]["ended_at"] < started[machine]["started_at"]


def test_the_ai_stack_gets_its_missing_models_with_progress(theatre: Theatre) -> None:
    """Before the watch on the models looks again: without one, no status is a healthy one."""
    theatre.lab.break_("service-crash", "ai")
    run = recovered(theatre, "ai-stack")
    assert outcomes(run)["ollama.pull_missing"] == "done"
    timeline = theatre.ask("run", "show", run["id"])["timeline"]
    progress = [each["text"] for each in timeline if each["kind"] == "progress"]
    assert any("nomic-embed-text" in each for each in progress), progress


def test_a_crashed_redis_is_restarted_and_answers(theatre: Theatre) -> None:
    theatre.lab.break_("service-crash", "redis")
    run = recovered(theatre, "redis")
    assert outcomes(run)["service.restart"] == "done"
    assert "PONG" in told(theatre, run)


def test_a_hanging_redis_is_brought_back_by_its_first_rung(theatre: Theatre) -> None:
    theatre.lab.break_("service-hang", "redis")
    run = recovered(theatre, "redis")
    assert {each["rung"] for each in run["steps"]} == {0}


def test_a_redis_whose_machine_is_off_is_brought_back_by_the_second_rung(theatre: Theatre) -> None:
    """No report from its agent is not taken for a failure; a look from outside decides."""
    theatre.lab.break_("machine-off", "redis")
    run = recovered(theatre, "redis")
    assert outcomes(run, 1)["vm.restart"] == "done"
    # The agent may find the old order when its machine is back: then it is too late to obey it.
    first = run["steps"][0]
    assert (first["outcome"], first["reason"].split()[0]) in (
        ("unknown", "no"),
        ("refused", "late:"),
    )


def test_a_redis_that_cannot_start_ends_with_a_person(theatre: Theatre) -> None:
    """Its data is damaged: no restart helps, and the restore asks before it does anything."""
    manifest = "/var/lib/redis-stack/appendonlydir/appendonly.aof.manifest"
    for argv in (
        ["systemctl", "stop", "redis-stack-server"],
        ["cp", "--preserve", manifest, f"{manifest}.sound"],
        ["sed", "--in-place", "s/^file/damaged/", manifest],
    ):
        done = theatre.lab.inside("redis", argv)
        assert done.ok, done.complaint
    code, run = recover(theatre, "redis")
    assert (code, run["state"]) == (4, "awaiting_approval")
    assert outcomes(run, 0)["service.restart"] == "failed"
    assert outcomes(run, 1)["service.start"] == "failed"
    approved = theatre.call(*theatre.command("run", "approve", run["id"], "--json"))
    assert approved.returncode in (0, 3), approved.stderr
    watched = theatre.call(*theatre.command("run", "watch", run["id"], "--json"))
    assert watched.returncode == 3
    refused = json.loads(watched.stdout)
    assert refused["state"] == "escalated"
    assert outcomes(refused, 2) == {"redis.restore": "refused"}
    assert theatre.lab.inside("redis", ["mv", f"{manifest}.sound", manifest]).ok
    recovered(theatre, "redis")


@pytest.mark.parametrize("kind", ["service-crash", "service-hang"])
def test_the_backend_is_diagnosed_stopped_and_started(theatre: Theatre, kind: str) -> None:
    theatre.lab.break_(kind, "backend")
    run = recovered(theatre, "backend")
    assert outcomes(run)["service.start"] == "done"
    kept = told(theatre, run)
    assert "journal" in kept
    assert "backend.log" in kept


def test_a_frontend_whose_machine_is_off_is_powered_on(theatre: Theatre) -> None:
    theatre.lab.break_("machine-off", "frontend")
    run = recovered(theatre, "frontend")
    assert outcomes(run)["vm.start"] == "done"
    assert {each["rung"] for each in run["steps"]} == {0}


def test_a_frontend_that_crashed_leaves_its_machine_alone(theatre: Theatre) -> None:
    theatre.lab.break_("service-crash", "frontend")
    run = recovered(theatre, "frontend")
    assert outcomes(run)["vm.start"] == "unchanged"
    assert outcomes(run)["service.restart"] == "done"


def test_the_npu_worker_shows_openvinos_devices(theatre: Theatre) -> None:
    theatre.lab.break_("service-crash", "npu")
    run = recovered(theatre, "npu-worker")
    assert outcomes(run)["openvino.verify_devices"] == "done"
    assert "CPU" in told(theatre, run)


def test_the_browser_machine_shows_a_real_page_in_a_real_browser(theatre: Theatre) -> None:
    theatre.lab.break_("service-crash", "browser")
    run = recovered(theatre, "browser")
    assert outcomes(run)["browser.verify_page"] == "done"


def test_a_run_started_by_celery_call_has_the_tasks_id(theatre: Theatre) -> None:
    url = (theatre.home / "state" / "broker" / "url").read_text().strip()
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "call", "orchestrator.recover"]
    argv = [*theatre.lab.prefix(), "env", f"AUTOBOT_DR_BROKER_URL={url}", *celery]
    done = theatre.call(*argv, "--kwargs", '{"scenario": "frontend"}')
    run = done.stdout.split()[-1]
    watched = theatre.call(*theatre.command("run", "watch", run, "--json"))
    assert (watched.returncode, json.loads(watched.stdout)["state"]) == (0, "resolved")


def test_every_run_has_a_higher_epoch_than_the_one_before(theatre: Theatre) -> None:
    runs = theatre.ask("run", "list", "--limit", "100")["runs"]
    assert len(runs) > 1
    assert all(newer["epoch"] > older["epoch"] for newer, older in pairwise(runs))


def test_agents_know_nothing_of_the_coordinator(theatre: Theatre) -> None:
    """The machines carry tasks/ and workers/ and no more."""
    there = theatre.lab.inside("redis", ["ls", "/opt/autobot-dr/src"]).out.split()
    assert sorted(there) == ["tasks", "workers"]
    assert Path(theatre.lab.kept("redis"), "state", "journal.db").exists()
