"""What can be wrong on the command line: one sentence on standard error, and the exit code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.web.access import Role
from tests.cli.conftest import AUTOBOT_DR, Run, environment
from tests.web.world import TOKENS, World

OFFLINE = [
    (("plan", "none"), 2, "there is no scenario 'none' (known: ai-stack, backend"),
    (("plan", "../../etc/passwd"), 2, "there is no scenario '../../etc/passwd'"),
    (("plan", "; reboot"), 2, "there is no scenario '; reboot'"),
    (("plan",), 2, "Missing argument 'SCENARIO'; `autobot-dr plan --help`"),
    (("nothing",), 2, "No such command 'nothing'"),
    (("run", "nothing"), 2, "No such command 'nothing'"),
    (("run", "list", "--limit", "0"), 2, "'--limit'"),
    (("recover", "redis"), 6, "start it with `autobot-dr up`"),
    (("run", "list"), 6, "start it with `autobot-dr up`"),
    (("status",), 6, "(Connection refused)"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), OFFLINE)
def test_without_a_coordinator(
    offline: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = offline(*arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("autobot-dr: ")


ONLINE = [
    (("recover", "none"), 2, "there is no scenario 'none' (known: asked, restart)"),
    (("run", "show", "none"), 2, "there is no run 'none'; `autobot-dr run list`"),
    (("run", "watch", "none"), 2, "there is no run 'none'"),
    (("run", "approve", "none"), 2, "there is no run 'none'"),
    (("incident", "show", "none"), 2, "there is no incident 'none'"),
    (("recover", "restart", "--reason", "x" * 501), 2, "body.reason"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), ONLINE)
def test_with_a_coordinator(
    world: World, online: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = online(*arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert world.store.runs() == []


def test_the_wrong_token_and_a_role_too_low(online: Run) -> None:
    wrong = online("run", "list", AUTOBOT_DR_TOKEN="guessed")
    assert wrong.returncode == 1
    assert "no valid bearer token" in wrong.stderr
    low = online("recover", "restart", AUTOBOT_DR_TOKEN=TOKENS[Role.VIEWER])
    assert low.returncode == 1
    assert "needs a token of role operator" in low.stderr


def test_a_folder_that_is_no_home(tmp_path: Path, offline: Run) -> None:
    here = {"AUTOBOT_DR_HOME": str(tmp_path)}
    for command in (("validate",), ("plan", "redis")):
        ran = offline(*command, **here)
        assert ran.returncode == 1
        assert "fleet.yaml" in ran.stderr
        assert "autobot-dr init" in ran.stderr
    ran = offline("status", **here)
    assert ran.returncode == 1
    assert "api.token" in ran.stderr


def test_settings_that_are_wrong(offline: Run) -> None:
    ran = offline("status", AUTOBOT_DR_LISTEN="nowhere")
    assert ran.returncode == 1
    assert "AUTOBOT_DR_LISTEN: must be address:port" in ran.stderr
    ran = offline("status", AUTOBOT_DR_API_URL="no url at all")
    assert ran.returncode in (1, 6)
    assert "AUTOBOT_DR_API_URL" in ran.stderr


@pytest.mark.parametrize("token", ["schlüssel", "two words", "a\nb"])
def test_a_token_that_cannot_be_sent(offline: Run, token: str) -> None:
    ran = offline("status", AUTOBOT_DR_TOKEN=token)
    assert ran.returncode == 1
    assert ran.stderr.startswith("autobot-dr: the API token is empty or holds odd characters")


def test_something_else_that_listens(online: Run, url: str) -> None:
    ran = online("status", AUTOBOT_DR_API_URL=f"{url}/docs")
    assert ran.returncode == 1, ran.stderr


def test_a_reader_that_has_enough_is_no_fault_to_complain_of(home: Path) -> None:
    child = subprocess.Popen(
        [AUTOBOT_DR, "plan", "full-system"],
        env=environment(AUTOBOT_DR_HOME=str(home), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    child.wait(timeout=20)
