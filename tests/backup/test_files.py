"""Files, databases and repositories of a machine, through a real sshd, rclone and restic."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tasks.contract import Outcome
from tests.backup.filesrig import JOB, Site, point, site
from tests.contracts.sshd import running_sshd
from tests.integration.rig import running, wait_for


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """Where the machine is its own vault."""
    with site(tmp_path) as made:
        yield made


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, over_ssh=True) as made:
        yield made


def restored(at: Site, name: str) -> Path:
    snapshot = name.rpartition("-")[2]
    where = {**at.way(), "snapshot": snapshot, "restored": str(at.room / "restored")}
    result = at.do("files.restore", where)
    assert result.outcome is Outcome.DONE, result.reason
    assert "place.sh" in result.reason
    return at.room / "restored" / name


def test_pushed_proved_copied_and_restored(far: Site) -> None:
    inner = far.live / "store" / "index"
    inner.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(inner, 4242, 4343)
        os.chown(inner / "data.bin", 4242, 4343)
    owner = inner.stat().st_uid, inner.stat().st_gid, inner.stat().st_mode
    pushed = far.backup()
    assert pushed.outcome is Outcome.DONE, pushed.reason
    assert "is stored in a new repository, and not proved yet" in pushed.reason
    assert not (far.room / "staging" / JOB).exists(), "what was collected does not stay"
    proved = far.prove()
    assert proved.outcome is Outcome.DONE, proved.reason
    assert "files: 4, databases: 1, repositories: 1" in proved.reason
    known = point(proved)
    assert (known["state"], known["folder"]) == ("verified", str(far.repository))
    assert known["covers_until"] <= known["verified_at"]
    assert far.at_vault("files.check").outcome is Outcome.DONE

    with closing(far.database()) as opened:
        opened.execute("DELETE FROM notes")
        opened.commit()
    (far.live / ".env").write_text("damaged")
    shutil.rmtree(inner)
    folder = restored(far, known["id"])
    assert (far.live / ".env").read_text() == "damaged", "nothing in use is touched"
    subprocess.run(["sh", folder / "place.sh"], check=True)
    subprocess.run(["sh", folder / "place.sh"], check=True)
    assert (far.live / ".env").read_text() == "SECRET=1\n"
    assert (far.live / ".env").stat().st_mode & 0o777 == 0o600
    assert (inner / "data.bin").stat().st_size == 300_000
    assert (inner / "data.bin").stat().st_uid == owner[0]
    assert (inner.stat().st_uid, inner.stat().st_gid, inner.stat().st_mode) == owner
    with closing(far.database()) as opened:
        assert opened.execute("SELECT count(*) FROM notes").fetchone() == (500,)
    clone = far.home / "clone"
    bundle = folder / f"git{far.live}/repo.bundle"
    subprocess.run(["git", "clone", "--quiet", bundle, clone], check=True)
    assert (clone / "file").read_text() == "first"
    subprocess.run(["sh", folder / "undo.sh"], check=True)
    assert (far.live / ".env").read_text() == "damaged"
    with closing(far.database()) as opened:
        assert opened.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_the_machines_key_can_add_and_not_remove(far: Site) -> None:
    assert far.backup().outcome is Outcome.DONE
    assert far.sshd
    (snapshot,) = far.snapshots()
    way = f"ssh -i {far.sshd.home}/key -p {far.sshd.port} -o BatchMode=yes"
    program = f"{way} -o UserKnownHostsFile={far.sshd.home}/known_hosts 127.0.0.1"
    argv = ["restic", "-r", "rclone:x", "-o", f"rclone.program={program}", "--no-cache"]
    argv += ["--password-file", str(far.password), "forget", snapshot]
    log = far.home / "forget.log"
    with running(argv, log, {}):
        # It tries for minutes; the first answer shows enough.
        wait_for("a refusal", lambda: "403 Forbidden" in log.read_text(), seconds=60)
    assert far.snapshots() == [snapshot]
    shell = subprocess.run(
        [*program.split(), "cat", "/etc/passwd"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "root:" not in shell.stdout


def test_a_database_is_of_one_moment_while_it_is_written_to(here: Site) -> None:
    ending = threading.Event()

    def write() -> None:
        with closing(here.database()) as opened:
            number = 1000
            while not ending.wait(0.001):
                # Both or neither: a torn copy would show.
                opened.execute("INSERT INTO notes VALUES (?, 'a')", (number,))
                opened.execute("INSERT INTO notes VALUES (?, 'b')", (number,))
                opened.commit()
                number += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        pushed = here.backup()
    finally:
        ending.set()
        writing.join()
    assert pushed.outcome is Outcome.DONE, pushed.reason
    folder = restored(here, point(here.prove())["id"])
    with closing(sqlite3.connect(folder / f"sqlite{here.live}/store/notes.sqlite3")) as opened:
        ask = "SELECT sum(what = 'a'), sum(what = 'b') FROM notes"
        first, second = opened.execute(ask).fetchone()
    assert first == second > 0


def test_copies_elsewhere_are_proved_there(here: Site, tmp_path: Path) -> None:
    other = tmp_path / "away"
    (tmp_path / "other").write_text("another secret\n")
    copy = {"offsite": str(other), "offsite_password_file": str(tmp_path / "other")}
    assert here.backup().outcome is Outcome.DONE
    early = here.at_vault("files.offsite", **copy)
    assert early.outcome is Outcome.REFUSED
    assert "only what is proved is copied" in early.reason
    assert here.prove().outcome is Outcome.DONE
    copied = here.at_vault("files.offsite", **copy)
    assert copied.outcome is Outcome.DONE, copied.reason
    assert point(copied)["offsite"] == str(other)
    assert point(copied)["state"] == "verified"
    assert here.at_vault("files.offsite", **copy).outcome is Outcome.UNCHANGED
    assert point(here.prove())["offsite"] == str(other), "it still is there"

    # A stranger with restic alone gets everything from the copy.
    argv = ["restic", "-r", str(other), "--password-file", str(tmp_path / "other"), "--no-cache"]
    argv += ["restore", "latest", "--target", str(tmp_path / "stranger")]
    subprocess.run(argv, check=True, capture_output=True)
    (found,) = (tmp_path / "stranger").rglob(".env")
    assert found.read_text() == "SECRET=1\n"


def test_copies_over_sftp(here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the ssh settings of whoever runs the vault's agent, which are a file of the test's."""
    with running_sshd(tmp_path) as door:
        settings = tmp_path / "ssh_config"
        settings.write_text(
            f"Host elsewhere\n HostName 127.0.0.1\n Port {door.port}\n"
            f" User {getpass.getuser()}\n IdentityFile {door.home}/key\n"
            f" UserKnownHostsFile {door.home}/known_hosts\n BatchMode yes\n"
        )
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {settings} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        assert here.backup().outcome is Outcome.DONE
        assert here.prove().outcome is Outcome.DONE
        where = f"sftp:elsewhere:{tmp_path}/away"
        other = {"offsite": where, "offsite_password_file": str(here.password)}
        copied = here.at_vault("files.offsite", **other)
        assert copied.outcome is Outcome.DONE, copied.reason
        assert point(copied)["offsite"] == where
    away = here.at_vault("files.offsite", **{**other, "offsite": f"{where}-too"})
    assert away.outcome is Outcome.FAILED, "nobody listens there any more"
    assert point(here.prove())["state"] == "verified", "which says nothing against it here"


def test_the_catalogue_is_rebuilt_from_the_repository_alone(here: Site) -> None:
    for _ in range(2):
        assert here.backup().outcome is Outcome.DONE
        assert here.prove().outcome is Outcome.DONE
    first, second = here.snapshots()
    (Path(f"{here.repository}.evidence") / f"{first[:8]}.json").unlink()
    listed = here.at_vault("files.list")
    assert listed.outcome is Outcome.DONE, listed.reason
    assert "2 snapshots of one-files, 1 of them proved" in listed.reason
    found = json.loads(listed.detail)["restore_points"]
    assert [(e["id"], e["state"]) for e in found] == [
        (f"{JOB}-{first[:8]}", "stored"),
        (f"{JOB}-{second[:8]}", "verified"),
    ]
    assert here.prove(snapshot=first[:8]).outcome is Outcome.DONE, "and proved again"


def test_old_snapshots_go_by_age_and_the_newest_stays(here: Site) -> None:
    assert here.backup().outcome is Outcome.DONE
    (newest,) = here.snapshots()
    way = ("--quiet", "--tag", JOB, "--host", "one")
    old = [time.strftime("%F %T", time.localtime(time.time() - days * 86400)) for days in (9, 99)]
    for each in old:
        here.restic("backup", *way, "--time", each, str(here.live / ".env"))
    keep = {"within_s": 86400.0, "daily": 30, "weekly": 0, "monthly": 0}
    pruned = here.at_vault("files.prune", **keep)
    assert pruned.outcome is Outcome.DONE, pruned.reason
    assert pruned.reason == "1 removed, 2 snapshots are kept"
    assert here.at_vault("files.prune", **keep).outcome is Outcome.UNCHANGED
    # Whoever has the machine's key can add any number, and one of a time to come.
    far = time.strftime("%F %T", time.localtime(time.time() + 86400 * 400))
    here.restic("backup", *way, "--time", far, str(here.live / ".env"))
    refused = here.at_vault("files.prune", **keep)
    assert refused.outcome is Outcome.REFUSED
    assert "is of a time to come; see to the clock of its machine" in refused.reason
    assert here.prove().outcome is Outcome.REFUSED
    assert newest in here.snapshots()
