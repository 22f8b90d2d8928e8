"""A fleet of one Redis with its vault, as fleet.yaml has it, and a home for it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config import Configuration, load
from orchestrator.settings import Settings

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
            key=key or folder / "ssh-key",
            offsite=f"offsite: {offsite}" if offsite else "",
        )
    )
    settings = Settings(home=folder)
    found = load(settings.fleet, settings.runbooks)
    assert isinstance(found, Configuration), "\n".join(map(str, found))
    return found, settings
