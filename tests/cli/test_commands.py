"""Every command: its help, its JSON, what it shows and with which code it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.web.access import Role
from tasks.contract import Outcome
from tests.cli.conftest import AUTOBOT_DR, Run, environment
from tests.integration.rig import wait_for
from tests.web.world import TOKENS, World


def every_command(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(every_command(cli))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_json_and_help(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert any("--json" in each.opts for each in command.params)
    assert command.help
    # One line of the overview must hold it whole.
    assert not command.get_short_help_str(80).endswith("...")


def test_the_commands_are_those_of_the_faces() -> None:
    first = {path[0] for path in ALL}
    assert first == {
        *("init", "validate", "plan", "recover", "run", "status", "incident"),
        *("backup", "maintenance", "up", "coordinator", "beat", "agent", "lab", "state"),
    }
    runs = {path[1] for path in ALL if path[0] == "run"}
    assert runs == {"list", "show", "watch", "approve", "cancel", "resume"}
    incidents = {path[1:] for path in ALL if path[0] == "incident"}
    plain = ("list", "show", "ack", "note", "resolve", "close", "review")
    later = ("add", "done", "list")
    assert incidents == {*((each,) for each in plain), *(("follow-up", each) for each in later)}
    backups = {path[1] for path in ALL if path[0] == "backup"}
    assert backups == {
        "run",
        "scan",
        "list",
        "show",
        "verify",
        "restore",
        "undo",
        "prune",
        "doctor",
        "capture",
        "kit",
    }
    assert {path[1] for path in ALL if path[0] == "state"} == {"backup", "restore"}
    assert {path[1] for path in ALL if path[0] == "maintenance"} == {"start", "stop", "list"}


def test_init_writes_a_sound_home_and_never_overwrites(tmp_path: Path, offline: Run) -> None:
    first = json.loads(offline("init", str(tmp_path), "--json").stdout)
    assert str(tmp_path / "fleet.yaml") in first["written"]
    again = json.loads(offline("init", str(tmp_path), "--json").stdout)
    assert again["written"] == []


def name_contacts(home: Path, reach: str) -> None:
    fleet = home / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("reach: null", f"reach: {reach}"))


def test_a_home_is_sound_once_people_can_be_called(tmp_path: Path, offline: Run) -> None:
    offline("init", str(tmp_path))
    here = {"AUTOBOT_DR_HOME": str(tmp_path)}
    for command in ("validate", "up"):
        ran = offline(command, **here)
        assert (ran.returncode, ran.stderr.count("cannot be called; give")) == (1, 3)
    told = json.loads(offline("validate", "--json", **here).stdout)
    assert len(told["faults"]) == 3
    name_contacts(tmp_path, "mailto://person@example.com")
    [fault] = offline("validate", **here).stderr.splitlines()[:1]
    assert fault.startswith("autobot-dr: AUTOBOT_DR_SMTP_URL: is not set, and Primary On-Call, ")
    secret = offline("validate", AUTOBOT_DR_SMTP_URL="smtp+plain://me:hunter2@mail", **here)
    assert "unprotected" in secret.stderr
    assert "hunter2" not in secret.stderr
    checked = offline("validate", AUTOBOT_DR_SMTP_URL="smtp://me:hunter2@mail", **here)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("sound: fleet autobot")


def test_who_wants_nobody_to_be_called_is_warned(tmp_path: Path, offline: Run) -> None:
    offline("init", str(tmp_path))
    fleet = tmp_path / "fleet.yaml"
    text = fleet.read_text()
    first = text.index("contacts:\n  -")
    fleet.write_text(f"{text[:first]}contacts: nobody{text[text.index(chr(10) * 2, first) :]}")
    checked = offline("validate", AUTOBOT_DR_HOME=str(tmp_path))
    assert checked.returncode == 0, checked.stderr
    assert "contacts: nobody: nobody will be called, whatever happens" in checked.stderr


def test_validate_tells_every_fault(tmp_path: Path, offline: Run) -> None:
    offline("init", str(tmp_path))
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("control: control", "control: nobody\nx: 1"))
    ran = offline("validate", AUTOBOT_DR_HOME=str(tmp_path))
    assert ran.returncode == 1
    assert "nobody" in ran.stderr
    assert "is not a key here" in ran.stderr
    told = json.loads(offline("validate", "--json", AUTOBOT_DR_HOME=str(tmp_path)).stdout)
    assert len(told["faults"]) == len(ran.stderr.splitlines())


@pytest.mark.parametrize("command", [("plan",), ("recover", "--dry-run")])
def test_a_plan_is_shown_without_a_coordinator(offline: Run, command: tuple[str, ...]) -> None:
    ran = offline(*command, "redis")
    assert ran.returncode == 0, ran.stderr
    assert "RUNG 1 of 3" in ran.stdout
    assert "systemctl restart -- redis-stack-server" in ran.stdout
    told = json.loads(offline(*command, "redis", "--json").stdout)
    steps = told["rungs"][0]["waves"][0][0]["steps"]
    assert [each["operation"] for each in steps[2:4]] == ["redis.mend", "service.restart"]


def test_lines_of_a_plan_fit_a_terminal_but_for_commands(offline: Run) -> None:
    for line in offline("plan", "full-system").stdout.splitlines():
        if not line.startswith(" " * 10):
            assert len(line) <= 100, line


def test_recover_follows_to_the_end(world: World, online: Run) -> None:
    def agent() -> None:
        wait_for("an order", lambda: bool(world.orders()))
        world.carry_on()

    acting = threading.Thread(target=agent)
    acting.start()
    ran = online("recover", "restart", "--reason", "it hangs")
    acting.join()
    assert ran.returncode == 0, ran.stderr
    assert "it hangs (operator)" in ran.stdout
    assert "service.restart on one: done" in ran.stdout
    assert re.search(r"^resolved: verified from outside$", ran.stdout, re.M)
    assert re.search(r"recovered in .* \(RTA\); objective 1 min, at most 2 min", ran.stdout)


def test_recover_in_json_is_the_run(world: World, online: Run) -> None:
    started = json.loads(online("recover", "restart", "--no-wait", "--json").stdout)
    world.carry_on()
    watched = json.loads(online("run", "watch", started["id"], "--json").stdout)
    assert (watched["id"], watched["state"]) == (started["id"], "resolved")


def test_a_run_that_waits_ends_with_4_and_is_approved(world: World, online: Run) -> None:
    ran = online("recover", "asked")
    assert ran.returncode == 4
    (run,) = [each.run for each in world.store.runs()]
    assert f"autobot-dr run approve {run}" in ran.stdout
    approved = online("run", "approve", run)
    assert approved.returncode == 0, approved.stderr
    assert "approved by operator" in approved.stdout
    world.carry_on()
    assert online("run", "watch", run).returncode == 0


def test_a_run_without_success_ends_with_3(world: World, online: Run) -> None:
    def agent() -> None:
        wait_for("the withdrawal", lambda: bool(world.publisher.withdrawn))
        (order,) = world.orders()
        world.report(order, Outcome.REFUSED, "withdrawn: cancelled by operator")

    run = world.coordinator.recover("restart", reason="a test").run
    acting = threading.Thread(target=agent)
    acting.start()
    assert "cancelled by operator" in online("run", "cancel", run).stdout
    acting.join()
    ran = online("run", "watch", run)
    assert ran.returncode == 3
    assert f"autobot-dr run resume {run}" in ran.stdout
    again = online("run", "cancel", run)
    assert again.returncode == 1
    assert "cannot be cancelled" in again.stderr
    assert online("run", "resume", run).returncode == 0


def test_a_recovery_that_took_too_long_ends_with_5(world: World, online: Run) -> None:
    long_ago = world.coordinator.now
    world.coordinator.now = lambda: long_ago() - 1000
    run = world.coordinator.recover("restart", reason="a test").run
    world.coordinator.now = long_ago
    world.carry_on()
    ran = online("run", "watch", run)
    assert ran.returncode == 5
    assert "at most 2 min (RTO): missed" in ran.stdout


def test_ctrl_c_leaves_the_run_going(world: World, url: str, home: Path) -> None:
    more = {"AUTOBOT_DR_API_URL": url, "AUTOBOT_DR_TOKEN": TOKENS[Role.OPERATOR]}
    child = subprocess.Popen(
        [AUTOBOT_DR, "recover", "restart"],
        env=environment(AUTOBOT_DR_HOME=str(home), PYTHONUNBUFFERED="1", **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    # The first line of the timeline shows that it follows.
    child.stdout.readline()
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    (run,) = world.store.runs()
    assert child.returncode == 130
    assert f"autobot-dr run watch {run.run}" in said
    assert run.state.value == "recovering"


def test_runs_and_incidents_are_listed_and_shown(world: World, online: Run) -> None:
    assert "no run yet" in online("run", "list").stdout
    assert "no incident yet" in online("incident", "list").stdout
    run = world.coordinator.recover("restart", reason="a test")
    world.carry_on()
    assert run.run in online("run", "list").stdout
    assert run.id in online("incident", "list").stdout
    shown = online("run", "show", run.run)
    assert shown.returncode == 0, shown.stderr
    assert "active since a moment ago" in shown.stdout
    assert json.loads(online("run", "show", run.run, "--json").stdout)["state"] == "resolved"
    assert json.loads(online("run", "list", "--json").stdout)["runs"][0]["id"] == run.run
    incident = online("incident", "show", run.id)
    assert incident.returncode == 0, incident.stderr
    assert "app, ordered by a person" in incident.stdout
    assert json.loads(online("incident", "list", "--json").stdout)["incidents"]
    assert json.loads(online("incident", "show", run.id, "--json").stdout)["run"] == run.run


def test_status_shows_reasons(online: Run) -> None:
    ran = online("status")
    assert ran.returncode == 0, ran.stderr
    assert "fleet small is degraded" in ran.stdout
    assert "extra (optional)" in ran.stdout
    assert json.loads(online("status", "--json").stdout)["health"] == "degraded"
