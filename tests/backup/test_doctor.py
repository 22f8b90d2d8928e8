"""Discovery on a real server, and what the doctor says of what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import redisconf
from tasks.backup.asking import Where
from tasks.backup.discovery import FileFacts, Found, discover, programs
from tasks.backup.doctor import Severity, doctor
from tasks.backup.fencing import Fence
from tasks.host import LocalHost
from tests.backup.rig import redis
from tests.backup.systemd import fake_systemd

GB = 1024**3
HEALTHY = Found(
    Where("redis", "10.0.0.5"),
    unit_type="notify",
    restart="on-failure",
    config_file="/etc/redis.conf",
    at_start={"supervised": "systemd"},
    now={"repl-backlog-size": str(GB), "save": "3600 1"},
    info={"role": "master", "cluster_enabled": "0", "used_memory": "1000"},
    free_bytes=GB,
)

CASES: dict[str, dict[str, Any]] = {
    "cluster": {"info": {"cluster_enabled": "1"}},
    "replica": {"info": {"role": "slave"}},
    "not_read": {"unread": ("no",)},
    "unfinished": {"fence": Fence("*", "/d", "/d/in", "/d/kept", (), (), ())},
    "append_only": {"now": {"appendonly": "yes"}},
    "append_only_not_kept": {"now": {"appendonly": "yes"}, "at_start": {"appendonly": "no"}},
    "stale_log": {"now": {"appendonly": "no"}, "log_folder": FileFacts("/d/a", 1, 0, 0, "700")},
    "not_persistent": {"now": {"save": ""}},
    "memory_limit": {"memory_limit": GB, "now": {"maxmemory": str(GB)}},
    "evicts_anything": {"now": {"maxmemory": str(GB), "maxmemory-policy": "allkeys-lru"}},
    "cannot_save": {"info": {"rdb_last_bgsave_status": "err"}},
    "misconf_risk": {"free_bytes": 10, "dump": FileFacts("/d", 6, 0, 0, "600")},
    "no_checksum": {"now": {"rdbchecksum": "no"}},
    "disk_sync": {"now": {"repl-diskless-sync": "no"}},
    "small_backlog": {"now": {"repl-backlog-size": "1048576"}},
    "start_timeout": {"start_timeout": 90.0, "info": {"used_memory": str(8 * GB)}},
    "never_ready": {"at_start": {}},
    "stop_timeout": {"stop_timeout": 10.0, "info": {"used_memory": str(8 * GB)}},
    "no_restart": {"restart": "no"},
    "restart_always": {"restart": "always"},
}


def test_a_healthy_one_has_nothing_to_say() -> None:
    assert doctor(HEALTHY) == ()


@pytest.mark.parametrize("name", CASES)
def test_what_bites_is_said_with_its_remedy(name: str) -> None:
    change = dict(CASES[name])
    for field in ("now", "info", "at_start"):
        if field in change and change[field] != {}:
            change[field] = {**getattr(HEALTHY, field), **change[field]}
    findings = {each.name: each for each in doctor(replace(HEALTHY, **change))}
    assert name in findings
    assert findings[name].what
    assert findings[name].remedy
    refusing = {each for each, finding in findings.items() if finding.severity is Severity.REFUSE}
    assert refusing == ({name} & {"cluster", "replica"})


def test_a_running_server_is_found_whatever_its_names_are(tmp_path: Path) -> None:
    with redis(
        tmp_path / "data",
        dbfilename="autobot-dump.rdb",
        appendonly="yes",
        appendfilename="autobot-appendonly.aof",
        requirepass="hidden",
        maxmemory="100mb",
    ) as server:
        (tmp_path / "password").write_text("hidden\n")
        with fake_systemd(tmp_path, server) as unit:
            where = Where(unit, "127.0.0.1", server.port, str(tmp_path / "password"))
            found = discover(LocalHost(), where)
    assert "hidden" not in repr(found)
    assert found.append_only
    assert found.setting("appendfilename") == "autobot-appendonly.aof"
    assert found.setting("maxmemory") == str(100 * 1024**2)
    assert found.folder is not None
    assert found.folder.path == str(tmp_path / "data")
    assert found.log_folder is not None
    assert found.unread == ()
    assert programs(LocalHost(), found).server.endswith("redis-server")


def test_a_server_that_is_down_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "more.conf").write_text("appendonly yes\nrequirepass hidden\n")
    (tmp_path / "redis.conf").write_text(
        f'# dir /nowhere\ndir "{tmp_path}/data"\ninclude {tmp_path}/more.conf\n'
        "save 900 1\nsave 300 10\n"
    )
    with redis(tmp_path / "running") as server:
        exec_start = f"/usr/bin/redis-server {tmp_path}/redis.conf --dbfilename x.rdb"
        with fake_systemd(tmp_path, server, exec_start=exec_start) as unit:
            server.kill()
            found = discover(LocalHost(), Where(unit, "127.0.0.1", server.port))
    assert "hidden" not in repr(found)
    assert found.append_only
    assert (found.setting("dbfilename"), found.setting("save")) == ("x.rdb", "900 1 300 10")
    assert found.folder is not None
    assert found.folder.path == f"{tmp_path}/data"
    assert found.info is None
    assert "could not be asked" in found.unread[0]


def test_what_a_script_starts_is_read_from_the_file_that_it_names(tmp_path: Path) -> None:
    script, conf = tmp_path / "redis-stack-server", tmp_path / "redis-stack.conf"
    script.write_text(f"#!/bin/sh\nCONFFILE={conf}\nexec redis-server $CONFFILE --port 6379\n")
    conf.write_text(f"dir {tmp_path}\nappendonly yes\n")
    with (
        redis(tmp_path / "running") as server,
        fake_systemd(tmp_path, server, exec_start=str(script)) as unit,
    ):
        server.kill()
        where = Where(unit, "127.0.0.1", server.port)
        found = discover(LocalHost(), where)
        script.write_text("#!/bin/sh\nexec redis-server\n")
        unknown = discover(LocalHost(), where)
    assert (found.append_only, found.config_file) == (True, str(conf))
    assert unknown.append_only, "what is not known may be on"
    assert any("is not known" in each for each in unknown.unread)


def test_a_wrong_password_is_no_reason_to_guess(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    with (
        redis(tmp_path / "data", requirepass="right") as server,
        fake_systemd(tmp_path, server) as unit,
    ):
        where = Where(unit, "127.0.0.1", server.port, str(tmp_path / "password"))
        found = discover(LocalHost(), where)
    assert found.info is None
    assert "is not accepted" in found.unread[0]


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("0", 0), ("1gb", GB), ("1g", 10**9), ("100", 100), ("5MB", 5 * 1024**2), ("x", 0)],
)
def test_sizes_are_read_as_redis_writes_them(text: str, bytes_: int) -> None:
    assert redisconf.size(text) == bytes_
