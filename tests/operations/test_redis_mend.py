"""redis.mend on a real machine with a real Redis: what really was full or closed, and what is
really left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tasks.contract import Outcome
from tasks.ssh import SshHost
from tests.integration.rig import wait_for
from tests.operations.a_machine import do, unit

pytestmark = pytest.mark.timeout(900)

UNIT, FOLDER, CONF = "mended", "/mnt/mended", "/etc/mended.conf"
CHECK = {"probe": "redis", "address": "127.0.0.1", "port": 6399}
#: By its log, and by its snapshots: each stops writes in its own way, and heals in its own.
SAVING = {"log": 'appendonly yes\nsave ""\n', "snapshots": "appendonly no\nsave 1 1\n"}


def sh(host: SshHost, text: str) -> str:
    ran = host.run(("sh", "-c", text), seconds=30)
    assert ran.ok, ran.complaint
    return ran.out.strip()


def cli(host: SshHost, *words: str) -> str:
    return host.run(("redis-cli", "-p", "6399", *words), seconds=10).out.strip()


def answers(host: SshHost, said: str, *words: str) -> None:
    wait_for(f"{said} to {words}", lambda: said in cli(host, *words))


@pytest.fixture
def redis(machine: SshHost, request: pytest.FixtureRequest) -> Iterator[SshHost]:
    """A Redis of its own on a small disk, with a key and things beside it that are not Redis's."""
    saving = getattr(request, "param", SAVING["log"])
    sh(machine, f"mkdir -p {FOLDER} && mount -t tmpfs -o size=96m small {FOLDER}")
    sh(machine, f"chown redis:redis {FOLDER} && mkdir {FOLDER}/pre-restore-1")
    for kept in ("pre-restore-1/dump.rdb", "notes", "temp-notes.rdb"):
        machine.write(f"{FOLDER}/{kept}", b"kept")
    machine.write(CONF, f"port 6399\ndir {FOLDER}\n{saving}".encode())
    start = f"ExecStart=/usr/bin/redis-server {CONF}"
    unit(machine, UNIT, "User=redis", "Group=redis", "TimeoutStopSec=5", start)
    try:
        start_it(machine)
        yield machine
    finally:
        machine.run(("systemctl", "kill", "--signal=KILL", "--", UNIT), seconds=10)
        machine.run(("systemctl", "stop", "--", UNIT), seconds=20)
        sh(machine, f"umount {FOLDER}")


def start_it(host: SshHost) -> None:
    assert do(host, "service.start", unit=UNIT, check=CHECK).outcome.succeeded
    assert cli(host, "SET", "before", "1") == "OK"


def fill(host: SshHost, name: str) -> None:
    """What is free goes into one file, as an ended Redis leaves it or a person puts it there."""
    sh(host, f"dd if=/dev/zero of={FOLDER}/{name} bs=1M 2>/dev/null; chown redis: {FOLDER}/{name}")


def write_until_refused(host: SshHost) -> None:
    def refused() -> bool:
        sh(host, "head -c 65536 /dev/zero | tr '\\0' x | redis-cli -p 6399 -x SET big >/dev/null")
        return cli(host, "PING").startswith("MISCONF")

    wait_for("MISCONF", refused)


def kept(host: SshHost) -> None:
    for name in ("pre-restore-1/dump.rdb", "notes", "temp-notes.rdb"):
        assert host.read(f"{FOLDER}/{name}") == "kept"


@pytest.mark.parametrize("redis", SAVING.values(), ids=SAVING, indirect=True)
def test_leftovers_that_fill_the_disk_are_deleted_and_redis_writes_on(redis: SshHost) -> None:
    redis.run(("systemctl", "kill", "--signal=KILL", "--", UNIT), seconds=10)
    fill(redis, "temp-4711.rdb")
    assert do(redis, "service.start", unit=UNIT).outcome.succeeded
    pid = sh(redis, f"systemctl show --property=MainPID --value {UNIT}")
    write_until_refused(redis)
    result = do(redis, "redis.mend", unit=UNIT)
    assert result.outcome is Outcome.DONE, result.reason
    assert result.detail == f"{FOLDER}/temp-4711.rdb"
    assert "deleted a half-written file of ended servers" in result.reason
    again = do(redis, "service.restart", unit=UNIT, check=CHECK, if_ill=True)
    assert again.outcome is Outcome.UNCHANGED, again.reason
    assert cli(redis, "SET", "after", "1") == "OK"
    assert sh(redis, f"systemctl show --property=MainPID --value {UNIT}") == pid
    kept(redis)
    assert do(redis, "redis.mend", unit=UNIT).outcome is Outcome.UNCHANGED


def test_a_folder_that_redis_may_not_enter_is_given_back(redis: SshHost) -> None:
    redis.run(("systemctl", "kill", "--signal=KILL", "--", UNIT), seconds=10)
    sh(redis, f"chown -R root:root {FOLDER} && chmod 0700 {FOLDER}")
    assert do(redis, "service.start", unit=UNIT, within=5).outcome is Outcome.FAILED
    result = do(redis, "redis.mend", unit=UNIT)
    assert result.outcome is Outcome.DONE, result.reason
    assert "(was root:root 0700)" in result.reason
    assert do(redis, "service.restart", unit=UNIT, check=CHECK, if_ill=True).outcome is Outcome.DONE
    assert cli(redis, "GET", "before") == "1"
    kept(redis)
    owner = sh(redis, f"stat -c %U {FOLDER}/pre-restore-1 {FOLDER}/notes")
    assert owner.split() == ["root", "root"], "what is not Redis's stays whose it is"


def test_what_is_not_ours_is_never_deleted_and_a_person_is_told_what_it_is(redis: SshHost) -> None:
    fill(redis, "film.mkv")
    write_until_refused(redis)
    result = do(redis, "redis.mend", unit=UNIT)
    assert result.outcome is Outcome.FAILED
    assert f"{FOLDER}/film.mkv 9" in result.reason
    assert "A person must make room" in result.reason
    sh(redis, f"test -s {FOLDER}/film.mkv")
    kept(redis)


def test_a_snapshot_that_is_being_written_is_no_leftover(redis: SshHost) -> None:
    script = "for number = 1, 200 do redis.call('SET', 'key:' .. number, 'x') end"
    cli(redis, "EVAL", script, "0")
    assert int(cli(redis, "DBSIZE")) >= 200
    cli(redis, "CONFIG", "SET", "rdb-key-save-delay", "200000")
    cli(redis, "BGSAVE")
    time.sleep(0.5)
    written = sh(redis, f"ls {FOLDER} | grep '^temp-[0-9]*.rdb$'")
    # As old as a clock that was put back would make it: only who has it open tells.
    sh(redis, f"touch -d 2020-01-01 {FOLDER}/{written}")
    fill(redis, "film.mkv")
    assert do(redis, "redis.mend", unit=UNIT).outcome is Outcome.FAILED
    sh(redis, f"test -e {FOLDER}/{written}")
