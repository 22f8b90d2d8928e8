"""A stranger follows RESTORE.md on a machine that has nothing of ours, not even a Python."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.machines import AUTOBOT, MachineDefinition
from tasks.backup import proving
from tasks.backup.scratch import Programs
from tasks.host import LocalHost
from tests.cli.conftest import AUTOBOT_DR
from tests.kit.keys import age_key
from tests.kit.test_making import in_clear
from tests.kit.world import configured, files_job, take_files

pytestmark = pytest.mark.timeout(300)

PASSWORD, PASSWORD_FILE = "Sesame-of-4711", "/etc/autobot-dr/redis-password"
UNIT = "redis-stack-server"
REDIS = AUTOBOT[0]
KEYS = 2000


def told(lab: Lab, machine: str, script: str) -> str:
    done = lab.inside(machine, ["sh", "-c", script], seconds=120)
    assert done.ok, f"{script}\n{done.out}{done.err}"
    return done.out.strip()


def asked(lab: Lab, machine: str, words: str) -> str:
    return told(lab, machine, f"REDISCLI_AUTH={PASSWORD} redis-cli {words}")


def stand_up(lab: Lab) -> tuple[str, dict[str, str]]:
    """A Redis as it is in production; what it holds, and its files by their hashes."""
    lab.power_all("start")
    lab.wait_booted()
    lines = f"requirepass {PASSWORD}\\nenable-debug-command local\\n"
    told(lab, "redis", f"printf '{lines}' >>/etc/redis-stack.conf; systemctl start {UNIT}")
    told(lab, "redis", f"mkdir /etc/autobot-dr; umask 077; echo {PASSWORD} >{PASSWORD_FILE}")
    asked(lab, "redis", f"DEBUG POPULATE {KEYS} doc 50")
    asked(lab, "redis", "-n 1 SADD fact:set a b c")
    return asked(lab, "redis", "DEBUG DIGEST"), sums(lab, "redis")


def sums(lab: Lab, machine: str) -> dict[str, str]:
    """With owner and mode, which matter as much."""
    unit = f"/usr/local/lib/systemd/system/{UNIT}.service"
    files = f"/etc/redis-stack.conf {PASSWORD_FILE} {unit}"
    said = told(lab, machine, f"sha256sum {files}; stat -c '%n %a %U %G' {files}")
    return {line: line for line in said.splitlines()}


def run(lab: Lab, argv: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*lab.prefix(), *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def take_backup(lab: Lab, place: Path) -> Path:
    """As the vault does, and proved."""
    (place / "password").write_text(PASSWORD)
    settings = place / "dump.json"
    source = {"address": REDIS.address, "password_file": str(place / "password")}
    settings.write_text(json.dumps({"into": str(place / "backups"), **source}))
    argv = [sys.executable, "-m", "tasks.backup.dump", "--settings", str(settings)]
    taken = json.loads(run(lab, argv).stdout)
    proved, _ = proving.prove(LocalHost(), taken["folder"], Programs())
    assert proved.state == "verified", proved.reason
    return Path(taken["folder"])


def make_kit(lab: Lab, place: Path) -> Path:
    """By the operator's own command: everything comes from the machine itself, over SSH."""
    keys = [age_key(place / "key.txt"), age_key(place / "other.txt")]
    found, _ = configured(
        place / "home",
        port=6379,
        password=PASSWORD_FILE,
        backups=place / "backups",
        recipients=", ".join(keys),
        token="t0ken-of-the-test",
        addresses=(lab.coordinator_address, REDIS.address),
        unit=UNIT,
        key=lab.ssh_key,
        jobs=files_job(place / "vault"),
    )
    take_files(found)
    run(lab, [str(AUTOBOT_DR), "backup", "kit"], AUTOBOT_DR_HOME=str(place / "home"))
    kit = place / "home" / "kit"
    own_key = lab.ssh_key.read_text().splitlines()[1]
    for secret in (PASSWORD, "t0ken-of-the-test", own_key):
        assert secret not in in_clear(kit)
    return kit


def blocks(page: str) -> tuple[str, list[str]]:
    """The variables that are set first, and what is to be run, in the order of the page."""
    found = re.findall(r"^```sh( install)?\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    first, *rest = [text for install, text in found if not install]
    return first, rest


def test_the_page_gives_a_stranger_the_data_and_the_files_back(tmp_path: Path) -> None:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    lab = labs.prepare("nspawn", tmp_path / "lab", [REDIS])
    try:
        digest, files = stand_up(lab)
        take_backup(lab, tmp_path)
        kit = make_kit(lab, tmp_path)
    finally:
        lab.down()
    brought = {kit: "/mnt/kit", tmp_path / "backups": "/mnt/backups/night"}
    brought[tmp_path / "key.txt"] = "/root/key.txt"
    brought[tmp_path / "vault" / "repository"] = "/mnt/backups/papers"
    bare = MachineDefinition("bare", REDIS.address, "Bare", ())
    bare = replace(bare, brings={str(here): there for here, there in brought.items()})
    lab = labs.prepare("nspawn", tmp_path / "after", [bare])
    try:
        lab.power_all("start")
        lab.wait_booted()
        nothing_of_ours(lab)
        first, steps = blocks((kit / "RESTORE.md").read_text())
        assert len(steps) == 6
        said = [told(lab, "bare", f"{first}\n{each}") for each in steps]
        assert any(f"done: {UNIT} loaded all {KEYS + 1} keys" in each for each in said), said
        assert asked(lab, "bare", "DEBUG DIGEST") == digest
        assert asked(lab, "bare", "DBSIZE") == str(KEYS)
        assert sums(lab, "bare") == files
        assert papers(lab) == {
            hashlib.sha256(each.read_bytes()).hexdigest()
            for each in (tmp_path / "vault" / "papers").iterdir()
        }
        # And after the next start as well.
        told(lab, "bare", f"systemctl restart {UNIT}")
        assert asked(lab, "bare", "DEBUG DIGEST") == digest
    finally:
        lab.down()


def papers(lab: Lab) -> set[str]:
    """The files that came back, by their hashes."""
    said = told(lab, "bare", "cd /root/restored/papers && find files -type f -exec sha256sum {} +")
    return {line.split()[0] for line in said.splitlines()}


def nothing_of_ours(lab: Lab) -> None:
    assert lab.inside("bare", ["python3", "-c", "pass"]).exit_code == 1
    assert lab.inside("bare", ["test", "-e", "/opt/autobot-dr"]).exit_code == 1
    assert lab.inside("bare", ["systemctl", "cat", UNIT]).exit_code == 1
