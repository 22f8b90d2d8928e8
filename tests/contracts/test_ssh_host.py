"""What only the SSH host promises: it trusts no unknown machine, and it connects again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.host import HostFault
from tests.contracts.sshd import Sshd, running_sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_an_unknown_host_key_is_refused(sshd: Sshd) -> None:
    (sshd.home / "empty").touch()
    with pytest.raises(HostFault, match=r"cannot be reached: .*not found in known_hosts"):
        sshd.connect(known_hosts="empty").run(("true",), seconds=5)


def test_a_changed_host_key_is_refused(sshd: Sshd) -> None:
    (sshd.home / "other").write_text(
        f"[127.0.0.1]:{sshd.port} {(sshd.home / 'key.pub').read_text()}"
    )
    with pytest.raises(HostFault, match="cannot be reached"):
        sshd.connect(known_hosts="other").run(("true",), seconds=5)


def test_a_key_that_is_not_there_is_a_fault(sshd: Sshd) -> None:
    host = sshd.connect(key="no_key")
    with pytest.raises(HostFault):
        host.run(("true",), seconds=5)


def test_ssh_connects_again_after_the_connection_was_lost(sshd: Sshd) -> None:
    host = sshd.connect()
    assert host.run(("true",), seconds=5).ok
    with pytest.raises(HostFault):
        # Its parent is the sshd process of this one connection.
        host.run(("sh", "-c", "kill $(ps -o ppid= -p $PPID)"), seconds=5)
    assert host.run(("true",), seconds=5).ok
    host.close()
