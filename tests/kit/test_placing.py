"""A kit in its place: whole or not at all, whatever lies there and whenever it is killed."""

from __future__ import annotations

import getpass
import os
import stat
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.host import HostFault, LocalHost, Ran
from tasks.kit import placing
from tasks.kit.placing import place
from tasks.ssh import SshHost
from tests.contracts.sshd import Sshd, running_sshd

FILES = {
    "kit.json": "{}\n",
    "RESTORE.md": "new\n",
    "machines/redis/files/etc/redis.conf": "port 1\n",
}


def content(folder: Path) -> dict[str, str]:
    found = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_text() for each in found}


def test_it_is_there_with_its_sums_and_replaces_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "kit"
    place(LocalHost(), str(folder), {**FILES, "old": "x"})
    place(LocalHost(), str(folder), FILES)
    found = content(folder)
    del found["SHA256SUMS"]
    assert found == FILES
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder)
    assert done.returncode == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in folder.parent.iterdir()] == ["kit"]


def test_what_is_no_kit_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_text("precious")
    with pytest.raises(HostFault, match="is no recovery kit; name an empty or a new folder"):
        place(LocalHost(), str(tmp_path / "home"), FILES)
    assert content(tmp_path) == {"home/thesis": "precious"}


def test_what_arrived_otherwise_is_not_put_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    place(LocalHost(), str(folder), {**FILES, "RESTORE.md": "old\n"})
    # A tar that says something else than the sums, as a bad disk would.
    host = Harmed()
    with pytest.raises(HostFault, match="was not written"):
        place(host, str(folder), FILES)
    assert (folder / "RESTORE.md").read_text() == "old\n"


class Harmed(LocalHost):
    """What is sent arrives with one other letter."""

    def run(
        self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"", user: str = "", **how: Any
    ) -> Ran:
        sent = stdin.replace(b"new\n", b"neW\n")
        return super().run(argv, seconds=seconds, stdin=sent, user=user, **how)


@pytest.mark.parametrize(
    "step", ["tar", "sync", 'mv -T -- "$1"', 'mv -T -- "$new"', 'rm -rf -- "$before"\nsync']
)
def test_killed_at_any_step_a_whole_kit_is_there_and_the_next_one_takes_its_place(
    tmp_path: Path, step: str
) -> None:
    folder = tmp_path / "kit"
    place(LocalHost(), str(folder), {**FILES, "RESTORE.md": "old\n"})
    script = placing._PLACE
    assert step in script
    killed = script.replace(step, f"kill -9 $$\n{step}", 1)
    packed = placing._packed(FILES)
    subprocess.run(["sh", "-c", killed, "sh", str(folder)], input=packed)
    whole = [each for each in tmp_path.iterdir() if (each / "kit.json").exists()]
    good = [each for each in whole if not each.name.endswith(".new")]
    assert good
    assert {content(each)["RESTORE.md"] for each in good} <= {"old\n", "new\n"}
    place(LocalHost(), str(folder), FILES)
    assert content(folder)["RESTORE.md"] == "new\n"
    assert os.listdir(tmp_path) == ["kit"]


def test_it_goes_to_another_machine_and_is_checked_there(tmp_path: Path) -> None:
    folder = tmp_path / "there" / "kit"
    with running_sshd(tmp_path) as sshd, closing(over(sshd, "known_hosts")) as host:
        place(host, str(folder), FILES)
        assert content(folder)["RESTORE.md"] == "new\n"
        place(host, str(folder), {**FILES, "RESTORE.md": "newer\n"})
        assert content(folder)["RESTORE.md"] == "newer\n"
        (tmp_path / "nobody").touch()
        with closing(over(sshd, "nobody")) as stranger, pytest.raises(HostFault, match="host key"):
            place(stranger, str(tmp_path / "secret"), FILES)
    assert not (tmp_path / "secret").exists()


def over(sshd: Sshd, known_hosts: str) -> SshHost:
    return SshHost(
        "127.0.0.1",
        user=getpass.getuser(),
        key_file=str(sshd.home / "key"),
        known_hosts=str(sshd.home / known_hosts),
        port=sshd.port,
    )
