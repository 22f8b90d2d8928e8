"""A fleet of one Redis with its vault, as fleet.yaml has it, and a home for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.catalog import TaskCatalog
from orchestrator.config import Configuration, load
from orchestrator.core.plan import Plan
from orchestrator.kitkeeping import write
from orchestrator.settings import Settings
from tasks.backup import dump, proving
from tasks.backup.scratch import Programs
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import Host, LocalHost
from tasks.operation import carry_out
from tests.backup.rig import Redis, redis
from tests.backup.systemd import fake_systemd
from tests.kit.keys import age_key

PASSWORD, TOKEN = "Sesame-4711", "t0ken-of-the-test"
NOW = 1_800_000_000.0

FLEET = """\
fleet: here
control: control
objectives:
  rto: {{target: 60 s, maximum: 2 min}}
  rpo: {{target: 1 h, maximum: 4 h}}
ssh: {{user: root, key: {key}}}
contacts:
  - {{role: First, after: 0, reach: "json://tell.example/{token}"}}
dead_man: {{url: "https://hc.example/{token}-too"}}
machines:
  control: {{address: {addresses[0]}, role: the coordinator and the backups}}
  redis: {{address: {addresses[1]}, role: the data}}
services:
  redis:
    machine: redis
    unit: {unit}
    port: {port}
    check: {{probe: redis}}
    settings: {{password_file: {password}}}
backups:
  night: {{kind: redis, service: redis, vault: control, folder: "{backups}", at: "02:00"}}
{jobs}
kit:
  folder: {folder}/kit
  recipients: [{recipients}]
  {offsite}
"""

RUNBOOK = """\
title: Redis does not answer
impact: None
symptoms: [Nobody answers]
services: [redis]
estimate: [1 s, 10 s]
ladder:
  - rung: Restart it
    steps:
      - service.restart: {}
"""


def configured(
    folder: Path,
    *,
    port: int,
    password: str,
    backups: Path,
    recipients: str,
    token: str,
    offsite: str = "",
    addresses: tuple[str, str] = ("127.0.0.1", "127.0.0.2"),
    unit: str = "redis-of-the-test",
    key: Path | None = None,
    jobs: str = "",
) -> tuple[Configuration, Settings]:
    (folder / "runbooks").mkdir(parents=True, exist_ok=True)
    (folder / "runbooks" / "redis.yaml").write_text(RUNBOOK)
    (folder / "fleet.yaml").write_text(
        FLEET.format(
            folder=folder,
            port=port,
            password=password,
            backups=backups,
            recipients=recipients,
            token=token,
            addresses=addresses,
            unit=unit,
            jobs=jobs,
            key=key or folder / "ssh-key",
            offsite=f"offsite: {offsite}" if offsite else "",
        )
    )
    settings = Settings(home=folder)
    found = load(settings.fleet, settings.runbooks)
    assert isinstance(found, Configuration), "\n".join(map(str, found))
    return found, settings


@dataclass(frozen=True, slots=True)
class World:
    server: Redis
    backup: Path
    folder: Path
    configuration: Configuration
    settings: Settings

    @property
    def kit(self) -> Path:
        return self.folder / "kit"

    def write(self, host: Host | None = None) -> dict[str, str]:
        chosen = host or LocalHost()
        made = write(self.configuration, self.settings, NOW, hosts=lambda _: chosen)
        return dict(made.files)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "home"
    folder.mkdir()
    with standing(tmp_path) as (server, backup):
        keys = [age_key(tmp_path / who) for who in ("ada", "grace")]
        found = configured(
            folder,
            port=server.port,
            password=server.server.password_file,
            backups=backup.parent,
            recipients=f"{keys[0]} Ada, {keys[1]} Grace",
            token=TOKEN,
            offsite=str(tmp_path / "elsewhere" / "kit"),
        )
        (folder / "ssh-key").write_text(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n"
        )
        yield World(server, backup, folder, *found)


@contextmanager
def standing(place: Path) -> Iterator[tuple[Redis, Path]]:
    """A Redis with a password behind a unit with a configuration file, and its proved backup."""
    conf = place / "redis.conf"
    # On both machines of the fleet file.
    given = {"requirepass": PASSWORD, "appendonly": "yes", "bind": "127.0.0.1 127.0.0.2"}
    with redis(place / "redis", **given) as server:
        server.fill(50)
        conf.write_text(f"port {server.port}\nrequirepass {PASSWORD}\nappendonly yes\n")
        line = f"/usr/bin/redis-server {conf} --port {server.port}"
        with fake_systemd(place, server, exec_start=line):
            settings = dump.Settings(
                str(place / "backups"), "127.0.0.1", server.port, server.server.password_file
            )
            taken, _ = dump.take(settings)
            proved, _ = proving.prove(LocalHost(), str(taken), Programs())
            assert proved.state == "verified", proved.reason
            yield server, taken


FILES_JOB = """\
  papers:
    kind: files
    machine: control
    vault: control
    folder: {place}/repository
    password_file: {place}/restic-password
    include: ["{place}/papers"]
    at: "03:00"
"""


def files_job(place: Path) -> str:
    """A job of this machine's files, with some, one of them with a name in another script."""
    (place / "papers").mkdir(parents=True)
    (place / "papers" / "Größe.txt").write_text("so groß\n")
    (place / "papers" / "plain.conf").write_text("a = 1\n")
    (place / "restic-password").write_text(f"restic-{PASSWORD}\n")
    return FILES_JOB.format(place=place)


def take_files(configuration: Configuration) -> str:
    """Pushed and proved by the job's own plan, by the agent's means; the point's id."""
    job = configuration.inventory.backups["papers"]
    plan = job.backup_plan(configuration.fleet, TaskCatalog())
    assert isinstance(plan, Plan)
    host, detail = LocalHost(), ""
    for step in plan.rungs[0].branches[0].steps[:2]:
        operation = operations()[step.operation]
        result = carry_out(host, operation, step.arguments, ends=host.now() + 60)
        assert result.outcome is Outcome.DONE, result.reason
        detail = result.detail
    return str(json.loads(detail)["restore_point"]["id"])
