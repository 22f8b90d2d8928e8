"""What only the SSH host promises: it trusts no unknown machine, and it connects again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.host import HostFault
from tasks.ssh import SshHost
from tests.contracts.sshd import Sshd, make_key, running_sshd
from tests.integration.rig import free_port


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_an_unknown_host_key_is_refused(sshd: Sshd) -> None:
    (sshd.home / "empty").touch()
    with pytest.raises(
        HostFault, match=r"cannot be reached: its host key \(ssh-ed25519 .*is not in "
    ):
        sshd.connect(known_hosts="empty").run(("true",), seconds=5)


def test_a_changed_host_key_is_refused(sshd: Sshd) -> None:
    (sshd.home / "other").write_text(
        f"[127.0.0.1]:{sshd.port} {(sshd.home / 'key.pub').read_text()}"
    )
    with pytest.raises(HostFault, match=r"its host key is not the one in .*replace its line"):
        sshd.connect(known_hosts="other").run(("true",), seconds=5)


def test_a_key_that_is_not_there_is_a_fault(sshd: Sshd) -> None:
    host = sshd.connect(key="no_key")
    with pytest.raises(HostFault, match="no_key: the SSH key cannot be read: No such file"):
        host.run(("true",), seconds=5)


def test_a_machine_that_is_not_there_is_not_looked_for_elsewhere(sshd: Sshd) -> None:
    key, known = str(sshd.home / "key"), str(sshd.home / "known_hosts")
    nobody = SshHost("127.0.0.1", port=free_port(), user="u", key_file=key, known_hosts=known)
    with pytest.raises(HostFault, match=r"nothing answers there \(.*\); it is off, .*or it has an"):
        nobody.run(("true",), seconds=5)


def test_ssh_connects_again_after_the_connection_was_lost(sshd: Sshd) -> None:
    host = sshd.connect()
    assert host.run(("true",), seconds=5).ok
    with pytest.raises(HostFault):
        # Its parent is the sshd process of this one connection.
        host.run(("sh", "-c", "kill $(ps -o ppid= -p $PPID)"), seconds=5)
    assert host.run(("true",), seconds=5).ok
    host.close()


def test_a_key_that_others_may_read_is_not_used(sshd: Sshd) -> None:
    shutil.copyfile(sshd.home / "key", sshd.home / "open_key")
    (sshd.home / "open_key").chmod(0o644)
    with pytest.raises(HostFault, match="open_key: others may read this SSH key; chmod 600 it"):
        sshd.connect(key="open_key").run(("true",), seconds=5)


def test_a_key_that_the_machine_does_not_know_is_said_so(sshd: Sshd) -> None:
    make_key(sshd.home / "strange")
    with pytest.raises(HostFault, match=r"does not let \w+ in with the key .*strange; add its"):
        sshd.connect(key="strange").run(("true",), seconds=5)


def test_known_hosts_that_are_not_there_are_said_so(sshd: Sshd) -> None:
    with pytest.raises(HostFault, match=r"nowhere: the known SSH hosts cannot be read"):
        sshd.connect(known_hosts="nowhere").run(("true",), seconds=5)


def test_a_machine_is_reached_over_another_one(sshd: Sshd) -> None:
    """Its own sshd listens where only the machine in between is asked to go."""
    host = sshd.connect(jump=True)
    said = host.run(("sh", "-c", "echo $SSH_CONNECTION"), seconds=5)
    assert said.ok
    assert said.out.split()[3] == str(sshd.port)
    host.close()


def test_the_machine_in_between_must_be_a_known_one_too(sshd: Sshd) -> None:
    (sshd.home / "only_the_end").write_text(
        (sshd.home / "known_hosts").read_text().replace("127.0.0.1", "localhost")
    )
    with pytest.raises(HostFault, match=r"@127.0.0.1:\d+ cannot be reached: its host key"):
        sshd.connect(known_hosts="only_the_end", jump=True).run(("true",), seconds=5)


def test_a_command_is_asked_line_by_line_until_it_ends(sshd: Sshd) -> None:
    host = sshd.connect()
    with host.talk(("sh", "-c", "read a; echo got $a; read b; echo no >&2"), seconds=5) as talk:
        talk.say("one")
        assert talk.hear(seconds=5) == "got one"
        talk.say("two")
        with pytest.raises(HostFault, match="ended: no"):
            talk.hear(seconds=5)
    host.close()


def test_a_sudo_that_asks_for_a_password_is_said_so(tmp_path: Path) -> None:
    """What it says in C locale, said by a stand-in: the real one's rules are the system's."""
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    with running_sshd(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}) as server:
        host = server.connect(sudo=True)
        with pytest.raises(HostFault, match=r"sudo asks for a password; give this user NOPASSWD"):
            host.run(("true",), seconds=5)
        host.close()
