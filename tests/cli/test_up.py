"""`autobot-dr up` end to end: broker, coordinator, agent and Flower as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.embedded_broker import EmbeddedBroker, prepare, server
from tasks.host import LocalHost
from tests.cli.a_home import Home, Up, up
from tests.integration.rig import free_port, listens, running, wait_for


@pytest.fixture
def watched() -> Iterator[int]:
    """A port that answers, for the fleet's only service."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def home(tmp_path: Path, watched: int) -> Home:
    return Home(tmp_path / "home", watched)


def flower(home: Home) -> httpx.Client:
    password = (home.folder / "state" / "flower" / "password").read_text().strip()
    return httpx.Client(
        base_url=f"http://127.0.0.1:{home.flower}", auth=("autobot", password), trust_env=False
    )


def test_a_run_through_everything_that_up_starts(home: Home) -> None:
    with up(home) as running_up:
        ran = home.run("recover", "port")
        assert ran.returncode == 0, ran.stderr + home.logs()
        assert "machine.reachable on control: done" in ran.stdout
        assert "resolved: verified from outside" in ran.stdout
        assert home.run("status").returncode == 0

        second = home.run("up")
        assert second.returncode == 1
        assert f"runs already on {home.folder} (process {running_up.child.pid})" in second.stderr

        watch_and_do_nothing(home)
        assert_secrets_are_kept(home)
        assert running_up.stop() == 0
    assert home.processes() == []
    assert not listens(home.broker)


def watch_and_do_nothing(home: Home) -> None:
    """Flower shows what a person can read, to who knows the password, and refuses to act."""
    nobody = httpx.get(f"http://127.0.0.1:{home.flower}/api/tasks", trust_env=False)
    assert nobody.status_code == 401
    with flower(home) as client:

        def tasks() -> dict[str, Any]:
            found: dict[str, Any] = client.get("/api/tasks").json()
            return {each["name"]: each for each in found.values()}

        wait_for("the tasks in Flower", lambda: "orchestrator.status_check" in tasks())
        order = tasks()["machine.reachable"]
        assert order["kwargs"].startswith("port: ")
        assert "127.0.0.1" in order["kwargs"]
        assert "signature" not in order["kwargs"]
        assert "port seen from outside" in tasks()["orchestrator.status_check"]["kwargs"]
        page = client.get(f"/task/{order['uuid']}").text
        assert "machine.reachable" in page
        for path in (
            "/api/task/send-task/machine.reachable",
            "/api/worker/shutdown/agent@control",
            f"/api/task/revoke/{order['uuid']}",
        ):
            assert client.post(path, json={}).status_code == 403


def assert_secrets_are_kept(home: Home) -> None:
    state = home.folder / "state"
    passwords = [(state / each / "password").read_text().strip() for each in ("broker", "flower")]
    passwords.append((home.folder / "api.token").read_text().strip())
    for secret in passwords:
        assert not any(secret in line for line in home.processes())
        assert secret not in home.logs()
    for path in ("broker/password", "broker/url", "broker/valkey.conf", "flower/password"):
        assert stat.S_IMODE((state / path).stat().st_mode) == 0o600
    with socket.create_connection(("127.0.0.1", home.broker), timeout=5) as stranger:
        stranger.sendall(b"KEYS *\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_what_dies_is_started_again_and_no_run_is_lost(home: Home) -> None:
    with up(home) as running_up:
        first = home.run("recover", "port", "--json")
        assert json.loads(first.stdout)["state"] == "resolved", first.stderr + home.logs()
        for word in ("workers.coordinator", "workers.agent", "valkey"):
            pid = running_up.pid_of(word)
            os.kill(pid, signal.SIGKILL)
        wait_for(
            "all three again", lambda: running_up.err.read_text().count(" is back") == 3, seconds=90
        )
        assert "ended by itself" in running_up.err.read_text()
        assert json.loads(home.run("run", "list", "--json").stdout)["runs"]
        again = home.run("recover", "port")
        assert again.returncode == 0, again.stderr + home.logs()
    assert home.processes() == []


def test_what_a_killed_up_left_is_ended_by_the_next(home: Home) -> None:
    with up(home) as first:
        first.child.kill()
        first.child.wait()
        left = home.processes()
        assert left
        with up(home) as second:
            assert "ended what a killed `up` had left running: broker" in second.err.read_text()
            assert not set(left) & set(home.processes())
    assert home.processes() == []


def test_ctrl_c_while_it_starts_leaves_nothing(home: Home) -> None:
    started = Up(home)
    try:
        wait_for("the broker", lambda: listens(home.broker), seconds=60)
        assert started.stop(signal.SIGINT) == 0
    finally:
        started.stop()
    assert "is up on" not in started.out.read_text()
    assert home.processes() == []


def test_what_keeps_up_from_starting(home: Home, tmp_path: Path) -> None:
    nowhere = home.run("up", AUTOBOT_DR_HOME=str(tmp_path / "nowhere"))
    assert nowhere.returncode == 1
    assert "is not initialised; run `autobot-dr init" in nowhere.stderr

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for variable in ("LISTEN", "BROKER_LISTEN", "FLOWER_LISTEN"):
            taken = home.run("up", **{f"AUTOBOT_DR_{variable}": f"127.0.0.1:{port}"})
            assert taken.returncode == 1
            assert f"set AUTOBOT_DR_{variable} to another address:port" in taken.stderr

    strange = home.run("up", AUTOBOT_DR_STORE_URL=f"sqlite:///{home.folder}/fleet.yaml")
    assert strange.returncode == 1
    assert "the coordinator did not start" in strange.stderr
    assert "is not a database of AutoBot DR" in strange.stderr

    in_the_way = home.run("up", AUTOBOT_DR_STATE=str(home.folder / "fleet.yaml"))
    assert in_the_way.returncode == 1
    assert f"{home.folder}/fleet.yaml: File exists" in in_the_way.stderr

    (home.folder / "fleet.yaml").write_text("fleet: 7\n")
    broken = home.run("up")
    assert broken.returncode == 1
    assert "fleet.yaml line 1, fleet: must be text" in broken.stderr
    assert home.processes() == []


def test_an_embedded_broker_keeps_what_it_accepted(tmp_path: Path) -> None:
    host, folder, port = LocalHost(), tmp_path / 'a "b" c', free_port()
    program = server(host)
    assert isinstance(program, tuple)
    broker = prepare(host, folder, program, "127.0.0.1", port)

    def serves() -> bool:
        return not broker.complaint(host)

    for _ in range(2):
        with running(list(broker.argv), tmp_path / "log", {}) as process:
            wait_for("the broker", serves)
            said = told(broker, b"RPUSH kept x\r\nLLEN kept\r\nCONFIG GET maxmemory-policy\r\n")
            assert "noeviction" in said
            process.kill()
    # Killed at once after each answer, and nothing is lost.
    assert ":2\r\n" in said
    assert prepare(host, folder, program, "127.0.0.1", port).url == broker.url


def told(broker: EmbeddedBroker, words: bytes) -> str:
    password = broker.password_file.read_bytes().strip()
    with socket.create_connection((broker.address, broker.port), timeout=5) as client:
        client.sendall(b"AUTH " + password + b"\r\n" + words + b"QUIT\r\n")
        received = b""
        while chunk := client.recv(4096):
            received += chunk
    return received.decode()
