"""The redis probe against a real redis-server: what the fixtures only claim of Redis."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.catalog import probes
from tasks.contract import Kind, Reading
from tasks.host import LocalHost
from tasks.operation import take_reading
from tests.contracts.certificates import Authority, authority
from tests.contracts.sshd import wait_for
from tests.integration.rig import free_port


@contextmanager
def server(home: Path, port: int, *words: str) -> Iterator[None]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: the package redis-server is not installed")
    child = subprocess.Popen(
        [program, "--bind", "127.0.0.1", "--dir", home, "--logfile", home / "log", *words]
    )
    try:
        wait_for(port)
        yield
    finally:
        child.terminate()
        child.wait(10)


def read(port: int, **arguments: Any) -> Reading:
    given = {"address": "127.0.0.1", "port": port, **arguments}
    return take_reading(LocalHost(), probes()["redis"], given, vantage="here")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return authority(tmp_path)


def test_over_tls_with_a_password(tmp_path: Path, ours: Authority) -> None:
    port, mine = free_port(), ours.sign("redis")
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"{name}\n")
    words = ("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(mine.file), "--tls-key-file", str(mine.key))
    ca = ("--tls-ca-cert-file", str(ours.ca.file))
    tls = {"tls": True, "ca_file": str(ours.ca.file)}
    right, wrong = str(tmp_path / "right"), str(tmp_path / "wrong")
    with server(tmp_path, port, *words, *files, *ca, "--requirepass", "right"):
        reading = read(port, password_file=right, **tls)
        assert (reading.kind, reading.reason) == (Kind.GOOD, "answers as expected")
        assert 0 < reading.metrics["memory_percent"] < 100
        assert reading.metrics["connected_clients"] == 1
        assert read(port, password_file=wrong, **tls).kind is Kind.BARRED
        assert read(port, **tls).kind is Kind.BARRED
        assert read(port, password_file=right, tls=True, pin_sha256=mine.pin).healthy
        stranger = read(port, password_file=right, tls=True, pin_sha256="0" * 64)
        assert (stranger.kind, "is pinned" in stranger.error) == (Kind.SILENT, True)
        assert not read(port, password_file=right).healthy, "plain words to a TLS port"


def test_memory_is_measured_against_the_limit(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port, "--port", str(port), "--maxmemory", "100mb"):
        measured = read(port, expect_role="replica").metrics
    assert 0 < measured["memory_percent"] < 10
    assert measured["replication_broken"] == 1
    assert read(port).kind is Kind.CLOSED
