"""`autobot-dr up` and `backup`, end to end: a real Redis beside real processes of ours."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.backup.rig import redis
from tests.cli.a_home import Home, up
from tests.integration.rig import wait_for
from tests.kit.keys import age_key

SECTION = """\
  redis:
    machine: control
    unit: redis-of-nobody
    port: {port}
    check: {{probe: redis}}
backups:
  night: {{kind: redis, service: redis, vault: control, folder: "{folder}", at: "02:00"}}
kit: {{folder: "{kit}", recipients: [{recipient}]}}
"""

CAPTURED = """\
  redis:
    machine: control
    unit: redis-of-nobody
    port: {port}
    check: {{probe: redis}}
backups:
  all:
    kind: redis
    service: redis
    vault: control
    folder: "{folder}"
    every: 10 h
    rpo: {{target: 11 h, maximum: 12 h}}
    continuous: {{segment: 2 s}}
"""


def test_a_backup_is_taken_by_the_processes_of_up_and_listed(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as server:
        server.fill(100)
        home = Home(tmp_path / "home", server.port)
        fleet = home.folder / "fleet.yaml"
        kit = tmp_path / "kit"
        section = SECTION.format(
            port=server.port,
            folder=tmp_path / "backups",
            kit=kit,
            recipient=age_key(tmp_path / "key"),
        )
        fleet.write_text(fleet.read_text() + section)
        warned = home.run("validate")
        assert warned.returncode == 0
        assert "up to 24 h between two backups, and the RPO target is 1 h" in warned.stderr
        assert f"there is none in {kit} yet; `autobot-dr backup kit` makes it" in warned.stderr
        assert "one only: when that key is lost, so are the passwords" in warned.stderr
        with up(home) as started:
            assert started.pid_of("workers.beat")
            ran = home.run("backup", "run", "night")
            assert ran.returncode == 0, ran.stdout + ran.stderr + home.logs()
            (point,) = json.loads(home.run("backup", "list", "--json").stdout)["restore_points"]
            assert (point["state"], point["job"]) == ("verified", "night")
            listed = kit / "points.txt"
            wait_for("the kit", lambda: listed.exists() and point["id"] in listed.read_text())
            made = json.loads(home.run("backup", "kit", str(tmp_path / "stick"), "--json").stdout)
            assert made["points"] == [point["id"]]
            assert (tmp_path / "stick" / "RESTORE.md").exists()
            again = home.run("backup", "verify", point["id"])
            assert again.returncode == 0, again.stdout + again.stderr
            server.kill()
            failed = home.run("backup", "run", "night")
            assert failed.returncode == 3
            assert "no dump was taken" in failed.stdout
            assert "Traceback" not in home.logs()


def test_a_capture_is_a_child_of_up_and_any_of_its_seconds_can_be_had(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as server:
        home = Home(tmp_path / "home", server.port)
        fleet = home.folder / "fleet.yaml"
        section = CAPTURED.format(port=server.port, folder=tmp_path / "all")
        fleet.write_text(fleet.read_text() + section)
        printed = json.loads(home.run("backup", "capture", "all").stdout)
        assert (printed["port"], printed["segment_seconds"]) == (server.port, 2.0)
        with up(home) as started:
            status = tmp_path / "all" / "captured" / "status.json"
            wait_for("the capture", lambda: '"following"' in said(status))
            os.kill(started.pid_of("tasks.backup.capture"), signal.SIGKILL)
            wait_for("another", lambda: "starting it again" in started.err.read_text())
            server.fill(20, "after:")
            proved = home.run("backup", "run", "all")
            assert proved.returncode == 0, proved.stdout + proved.stderr + home.logs()
            second = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3))
            asked = home.run("backup", "restore", "all", "--at", second, "--dry-run")
            assert asked.returncode == 0, asked.stdout + asked.stderr
            assert "appendonly.aof.1.base.rdb" in asked.stdout
            assert "redis.restore" in asked.stdout
            # The coordinator looks at it every few seconds.
            wait_for("its state", lambda: ("following", "all") in captures(home), pause=0.5)


def captures(home: Home) -> list[tuple[str, str]]:
    told = json.loads(home.run("status", "--json").stdout)
    return [(each["state"], each["job"]) for each in told["captures"]]


def said(status: Path) -> str:
    return status.read_text() if status.exists() else ""


def test_a_kit_that_nobody_described_is_not_made(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", 1)
    done = home.run("backup", "kit", str(tmp_path / "kit"))
    assert done.returncode == 1
    assert "fleet.yaml has no `kit`: say where it goes and who can open it" in done.stderr
    assert not (tmp_path / "kit").exists()
