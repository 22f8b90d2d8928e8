"""The captures that `autobot-dr up` runs: those whose vault is this machine.

What lives here: their settings files and their children. What must not: keeping them alive
(supervisor.py). On another vault systemd does it, with deploy/systemd/autobot-dr-capture@.service.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orchestrator.config import Configuration
from orchestrator.core.captures import capture_settings, continuous
from orchestrator.core.fleet import Fleet
from orchestrator.core.redisbackups import RedisJob
from orchestrator.supervisor import Child
from tasks.host import LocalHost


def capture_children(configuration: Configuration, state: Path) -> list[Child]:
    """One for each continuous job that is kept here; written anew, since fleet.yaml decides."""
    fleet, folder = configuration.fleet, state / "captures"
    jobs = continuous(configuration.inventory.backups.values())
    mine = [each for each in jobs if each.vault == fleet.control]
    if mine:
        folder.mkdir(mode=0o700, exist_ok=True)
    return [_child(each, fleet, folder, state) for each in mine]


def _child(job: RedisJob, fleet: Fleet, folder: Path, state: Path) -> Child:
    settings = folder / f"{job.name}.json"
    LocalHost().write(str(settings), settings_file(job, fleet).encode(), mode=0o600)
    argv = (sys.executable, "-m", "tasks.backup.capture", "--settings", str(settings))
    log = state / "logs" / f"capture-{job.name}.log"
    # It is not waited for: a source that is down, or a wrong password, is its alarm and not ours.
    return Child(f"capture of {job.name}", argv, {}, log, lambda: "")


def settings_file(job: RedisJob, fleet: Fleet) -> str:
    return json.dumps(capture_settings(job, fleet), indent=1) + "\n"
