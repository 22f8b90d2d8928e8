"""The store is lost with its machine, restored from its own backup, and the agents obey it."""

from __future__ import annotations

import getpass
import json
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator.backups import Backups
from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Keep
from orchestrator.core.fleet import Machine, StepTemplate
from orchestrator.core.incident import State
from orchestrator.core.restorepoints import PointState
from orchestrator.core.statejobs import StateJob
from orchestrator.store import open_store
from tests.cli.conftest import AUTOBOT_DR, environment
from tests.contracts.sshd import running_sshd
from tests.integration import rig
from tests.integration.site import Site

STEPS = (StepTemplate("service.restart", "on-one"), StepTemplate("service.restart", "on-two"))


def state(site: Site, *words: str) -> str:
    told = environment(
        AUTOBOT_DR_HOME=str(site.directory / "home"),
        AUTOBOT_DR_STORE_URL=f"sqlite:///{site.directory}/store.db",
    )
    ran = subprocess.run(
        [AUTOBOT_DR, "state", *words], env=told, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("broker", ["valkey"], indirect=True)
@pytest.mark.parametrize("restored", [True, False], ids=["restored", "begun anew"])
def test_agents_obey_a_store_that_was_lost(site: Site, restored: bool) -> None:
    site.start_agent("one")
    site.start_agent("two")
    plans = {"test": site.plan(STEPS)}
    with ExitStack() as life:
        coordinator = site.coordinator(plans, life)
        first = site.ended(coordinator.recover("test", reason="before the backup").run)
        folder = json.loads(state(site, "backup", "--json", str(site.directory / "vault")))[
            "folder"
        ]
        runs = [coordinator.recover("test", reason="after it").run for _ in range(2)]
        later = [site.ended(each) for each in runs]
    site.store.close()
    for ending in ("", "-wal", "-shm"):
        (site.directory / f"store.db{ending}").unlink(missing_ok=True)
    if restored:
        state(site, "restore", folder)
    site.store = open_store(f"sqlite:///{site.directory}/store.db")
    site.stack.callback(site.store.close)
    known = {each.run for each in site.store.runs()}
    assert known == ({first.run} if restored else set())
    done = len(site.effects("one"))
    incident = site.ended(site.coordinator(plans).recover("test", reason="once more").run)
    assert incident.state is State.RESOLVED, incident.reason
    assert incident.epoch > max(each.epoch for each in later)
    assert len(site.effects("one")) == done + 1
    assert {each.state for each in (first, *later)} <= {State.RESOLVED, State.ESCALATED}


class StateSite(Site):
    """Machine `one` is the control machine, with the coordinator's home."""

    vault = "one"

    def register(self, app: Celery, coordinator: Coordinator) -> None:
        self.job = StateJob(
            name="own",
            vault=self.vault,
            folder=f"{self.directory}/vault",
            home=f"{self.directory}/home",
            program=str(AUTOBOT_DR),
            rpo_target_s=60,
            rpo_maximum_s=120,
            keep=Keep(within_s=0.0, daily=1, weekly=0, monthly=0),
        )
        self.backups = Backups(coordinator, {"own": self.job})


@pytest.mark.parametrize("broker", ["valkey"], indirect=True)
@pytest.mark.parametrize("vault", ["one", "two"])
def test_a_job_takes_it_to_the_vault(broker: rig.Broker, tmp_path: Path, vault: str) -> None:
    with ExitStack() as stack:
        site = StateSite(broker, tmp_path, stack)
        site.vault = vault
        (tmp_path / "ssh").mkdir()
        sshd = stack.enter_context(running_sshd(tmp_path / "ssh"))
        way: dict[str, Any] = {
            "ssh_user": getpass.getuser(),
            "ssh_key": f"{sshd.home}/key",
            "ssh_port": sshd.port,
            "ssh_known_hosts": f"{sshd.home}/known_hosts",
        }
        machines = {**site.fleet.machines, "one": Machine("one", "127.0.0.1", way)}
        site.fleet = replace(site.fleet, machines=machines)
        site.coordinator({})
        for machine in {"one", vault}:
            site.start_agent(machine, AUTOBOT_DR_STORE_URL=f"sqlite:///{tmp_path}/store.db")
        for _ in range(2):
            incident = site.ended(site.backups.take("own", reason="a test").run)
            assert incident.state is State.RESOLVED, incident.reason
            rig.wait_for("the next second, which is in the name", _a_second_later())
        (point,) = site.store.restore_points.newest(limit=9)
        assert (point.kind, point.state, point.vault) == ("state", PointState.VERIFIED, vault)
        assert point.folder == f"{tmp_path}/vault/{point.id}"
        (kept,) = (tmp_path / "vault").iterdir()
        assert kept.name == point.id, "the older one went"
        proved = site.ended(site.backups.verify(point.id, reason="a test").run)
        assert proved.state is State.RESOLVED, proved.reason
        assert "rows are what they should be" in proved.steps[0].reason


def _a_second_later() -> Callable[[], bool]:
    begun = int(time.time())
    return lambda: int(time.time()) > begun
