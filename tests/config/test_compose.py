"""compose.yaml against the code, since no container engine runs here: what it names exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli import cli
from orchestrator.settings import Settings, read_settings
from tasks.backup.link import Link, Server
from tasks.resp import ErrorReply
from tests.integration.rig import ROOT, Process, free_port, listens, wait_for

FILE = ROOT / "compose.yaml"
OURS = ("coordinator", "beat", "flower")


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(FILE.read_text())
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Made by the very lines of the head comment."""
    comment = re.findall(r"^#   ( ?.*)$", FILE.read_text(), re.MULTILINE)
    lines = [each for each in comment if not each.startswith("docker")]
    subprocess.run(["sh", "-c", "\n".join(lines)], cwd=tmp_path, check=True)
    return tmp_path / "secrets"


def test_everything_that_it_names_is_there(compose: Mapping[str, Any], secrets: Path) -> None:
    for each in compose["secrets"].values():
        path = secrets.parent / each["file"]
        assert path.read_text().strip()
        assert path.stat().st_mode & 0o077 == 0
    for name, service in compose["services"].items():
        for secret in service["secrets"]:
            assert (secret if isinstance(secret, str) else secret["source"]) in compose["secrets"]
        for needed in service.get("depends_on", ()):
            assert "healthcheck" in compose["services"][needed], (name, needed)
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in compose["volumes"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"secrets", "home"} <= set(ignored), "no secret gets into the image"


def test_the_secrets_are_settings_that_the_coordinator_reads(
    compose: Mapping[str, Any], secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("coordinator", "beat"):
        service = compose["services"][name]
        mounted = tmp_path / name
        mounted.mkdir()
        for each in service["secrets"]:
            shutil.copy(secrets / each["source"], mounted / each["target"])
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, value)
            setting = variable.removeprefix("AUTOBOT_DR_").lower()
            assert variable == "CREDENTIALS_DIRECTORY" or setting in Settings.model_fields
        assert service["environment"]["CREDENTIALS_DIRECTORY"] == "/run/secrets"
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(mounted))
        read = read_settings()
        assert isinstance(read, Settings), read
        password = (secrets / "broker").read_text().strip()
        assert read.broker_url is not None
        assert read.broker_url.get_secret_value() == f"redis://:{password}@broker:6379/0"
        assert "@store/autobot_dr" in read.store_url.get_secret_value()
    assert read_settings()


def test_the_commands_and_ports_are_the_codes_own(compose: Mapping[str, Any]) -> None:
    services = compose["services"]
    for name in ("coordinator", "beat"):
        program, command = services[name]["command"]
        assert program == "autobot-dr"
        assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0
    listen = services["coordinator"]["environment"]["AUTOBOT_DR_LISTEN"]
    assert services["coordinator"]["ports"] == [f"127.0.0.1:8470:{listen.rpartition(':')[2]}"]
    script = services["flower"]["command"][-1]
    conf = re.search(r"--conf=(\S+)", script)
    assert conf
    assert (ROOT / conf[1]).is_file()
    assert "-A workers.app flower" in script
    assert "AUTOBOT_DR_BROKER_URL" in (ROOT / "workers" / "app.py").read_text()
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / each).exists() for each in sources.split())
    pinned = re.search(r"uv==(\S+)", dockerfile)
    assert pinned
    assert pinned[0] in (ROOT / "deploy" / "lab" / "prepare.sh").read_text()


def test_the_broker_has_a_password_and_loses_nothing(
    compose: Mapping[str, Any], secrets: Path, tmp_path: Path
) -> None:
    """Its own command, with this machine's server in the place of the image's."""
    with broker(compose, secrets, tmp_path) as server, Link(server) as link:
        settings = ("appendonly", "appendfsync", "save", "maxmemory-policy")
        asked = link.ask_all([("CONFIG", "GET", name) for name in settings])
        said = {each[0].decode(): each[1] for each in asked if isinstance(each, list)}
        assert said == {
            "appendonly": b"yes",
            "appendfsync": b"always",
            "save": b"",
            "maxmemory-policy": b"noeviction",
        }
        with Link(Server(server.address, server.port)) as stranger:
            assert isinstance(stranger.ask("PING"), ErrorReply)


@contextmanager
def broker(compose: Mapping[str, Any], secrets: Path, place: Path) -> Iterator[Server]:
    port = free_port()
    entry = place / "bin" / "docker-entrypoint.sh"
    entry.parent.mkdir()
    entry.write_text('#!/bin/sh\nshift\nexec redis-server "$@"\n')
    entry.chmod(0o755)
    script = compose["services"]["broker"]["command"][-1].replace("$$", "$")
    for there, here in (
        ("/run/secrets", str(secrets)),
        ("dir /data", f"dir {place}"),
        ("port 6379", f"port {port}"),
    ):
        assert there in script
        script = script.replace(there, here)
    path = f"{entry.parent}:/usr/bin:/bin"
    child = Process(["sh", "-c", script], place / "log", {"PATH": path})
    try:
        wait_for("the broker", lambda: listens(port))
        yield Server("127.0.0.1", port, str(secrets / "broker"))
    finally:
        child.kill()
