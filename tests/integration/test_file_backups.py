"""Files of one machine on another's vault, through a real broker, agents, sshd and restic."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from orchestrator.backups import Backups
from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Keep, Offsite
from orchestrator.core.filebackups import FilesJob, Push
from orchestrator.core.incident import State
from orchestrator.core.restorepoints import PointState
from tests.backup import filesrig
from tests.integration import rig
from tests.integration.site import Site
from workers.inbox import register_backups


class FilesSite(Site):
    """Machine `one` has files, and `two` is its vault behind an append-only door."""

    def __init__(self, broker: rig.Broker, directory: Path, stack: ExitStack) -> None:
        home = directory / "files"
        home.mkdir()
        self.files = stack.enter_context(filesrig.site(home, over_ssh=True))
        super().__init__(broker, directory, stack)
        door = self.files.sshd
        assert door
        self.job = FilesJob(
            name="one-files",
            machine="one",
            vault="two",
            folder=str(self.files.repository),
            password_file=str(self.files.password),
            rpo_target_s=60,
            rpo_maximum_s=120,
            include=(f"{self.files.live}/.env",),
            git=(f"{self.files.live}/repo",),
            max_bytes=10**7,
            room=str(self.files.room),
            push=Push(getpass.getuser(), f"{door.home}/key", door.port, f"{door.home}/known_hosts"),
            keep=Keep(86400.0, 7, 4, 6),
            offsite=Offsite(f"{home}/away", str(self.files.password)),
        )

    def register(self, app: Celery, coordinator: Coordinator) -> None:
        self.backups = Backups(coordinator, {self.job.name: self.job})
        register_backups(app, self.backups)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[FilesSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        yield FilesSite(broker, tmp_path, stack)


def test_pushed_proved_copied_listed_and_restored(here: FilesSite) -> None:
    here.coordinator({})
    for machine in ("one", "two"):
        here.start_agent(machine)
    taken = here.ended(here.backups.take("one-files", reason="a test").run, seconds=120)
    assert taken.state is State.RESOLVED, taken.reason
    assert [(each.operation, each.agent) for each in taken.steps] == [
        ("files.backup", "one"),
        ("files.prove", "two"),
        ("files.check", "two"),
        ("files.prune", "two"),
        ("files.offsite", "two"),
        ("files.prune", "two"),
    ]
    (point,) = here.store.restore_points.newest(limit=10)
    assert (point.state, point.kind, point.machine) == (PointState.VERIFIED, "files", "one")
    assert point.location == (f"two:{here.files.repository}", f"{here.files.home}/away")

    # The catalogue is lost; the repository tells it again.
    here.store.restore_points.forget([point.id])
    scanned = here.ended(here.backups.scan("one-files", reason="a test").run, seconds=60)
    assert scanned.state is State.RESOLVED, scanned.reason
    (again,) = here.store.restore_points.newest(limit=10)
    assert (again.id, again.state, again.offsite) == (point.id, PointState.VERIFIED, point.offsite)

    back = here.ended(here.backups.restore(point.id, reason="a test").run, seconds=60)
    assert back.state is State.RESOLVED, back.reason
    folder = here.files.room / "restored" / point.id
    assert (folder / f"files{here.files.live}/.env").read_text() == "SECRET=1\n"


def test_what_is_missing_fails_the_run_and_makes_no_restore_point(here: FilesSite) -> None:
    here.coordinator({})
    here.start_agent("one")
    (here.files.live / ".env").unlink()
    ended = here.ended(here.backups.take("one-files", reason="a test").run, seconds=60)
    assert ended.state is State.ESCALATED
    assert ".env is not there; see to it" in ended.reason
    assert list(here.store.restore_points.newest(limit=10)) == []
