"""unseal.sh and place-files.sh under dash, with real age keys."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.kit.sealing import NotSealed, Recipient, read_recipient, seal
from tests.backup.rig import Redis
from tests.kit.conftest import Sh, facts, lay_kit
from tests.kit.keys import age_key

SECRET = "Sesame-4711"


@pytest.fixture
def kit(source: Redis, tmp_path: Path) -> Path:
    """Sealed for Ada, by age, and Grace, by SSH."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "grace")], check=True
    )
    public = " ".join((tmp_path / "grace.pub").read_text().split()[:2])
    recipients = [Recipient(age_key(tmp_path / "ada"), "Ada"), Recipient(public, "Grace")]
    made = lay_kit(tmp_path, facts(source))
    (made / "recipients.txt").write_text("".join(each.line for each in recipients))
    files = made / "sealed" / "machines" / "redis" / "files" / "etc"
    files.mkdir(parents=True)
    (files / "password.age").write_text(seal(LocalHost(), SECRET, recipients))
    return made


@pytest.mark.parametrize("who", ["ada", "grace"])
def test_each_recipient_opens_it_alone(kit: Path, tmp_path: Path, sh: Sh, who: str) -> None:
    done = sh(kit / "unseal.sh", str(tmp_path / who))
    assert done.returncode == 0, done.stderr
    opened = kit / "unsealed" / "machines" / "redis" / "files" / "etc" / "password"
    assert opened.read_text() == SECRET
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    assert stat.S_IMODE((kit / "unsealed").stat().st_mode) == 0o700


def test_a_wrong_key_says_whose_is_needed(kit: Path, tmp_path: Path, sh: Sh) -> None:
    age_key(tmp_path / "mallory")
    done = sh(kit / "unseal.sh", str(tmp_path / "mallory"))
    assert done.returncode == 1
    assert "mallory does not open" in done.stderr
    assert "# Ada;age1" in done.stderr
    assert "# Grace;ssh-ed25519" in done.stderr
    assert not [each for each in (kit / "unsealed").rglob("*") if each.is_file()]


def test_without_age_its_package_is_named(kit: Path, tmp_path: Path, sh: Sh) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("dirname", "sed"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    done = sh(kit / "unseal.sh", str(tmp_path / "ada"), env={"PATH": str(bare)})
    assert "age is missing; install it with: apt-get install age" in done.stderr


def listed(kit: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two files of the machine: one in clear, one sealed; where they belong."""
    me = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
    plain, sealed = tmp_path / "root" / "unit.service", tmp_path / "root" / "password"
    folder = kit / "machines" / "redis"
    own = folder / f"files{plain}"
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\n")
    (folder / "files.txt").write_text(f"644 {me} plain {plain}\n600 {me} sealed {sealed}\n")
    opened = kit / "unsealed" / "machines" / "redis" / f"files{sealed}"
    opened.parent.mkdir(parents=True)
    opened.write_text(SECRET)
    return plain, sealed


def test_files_are_placed_with_owner_and_mode_and_what_is_there_is_kept(
    kit: Path, tmp_path: Path, sh: Sh
) -> None:
    plain, sealed = listed(kit, tmp_path)
    sealed.parent.mkdir()
    sealed.write_text("another")
    rehearsed = sh(kit / "place-files.sh", "-n", "redis")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert (plain.exists(), sealed.read_text()) == (False, "another")
    done = sh(kit / "place-files.sh", "redis")
    assert done.returncode == 0, done.stderr
    assert (plain.read_text(), sealed.read_text()) == ("[Service]\n", SECRET)
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert stat.S_IMODE(plain.stat().st_mode) == 0o644
    (kept,) = sealed.parent.glob("password.before-kit-*")
    assert kept.read_text() == "another"
    again = sh(kit / "place-files.sh", "redis")
    assert "is as it was" in again.stdout
    assert list(sealed.parent.glob("password.before-kit-*")) == [kept]


def test_nothing_is_placed_while_a_file_or_a_user_is_missing(
    kit: Path, tmp_path: Path, sh: Sh
) -> None:
    plain, sealed = listed(kit, tmp_path)
    opened = kit / "unsealed" / "machines" / "redis" / f"files{sealed}"
    opened.unlink()
    done = sh(kit / "place-files.sh", "redis")
    assert "nothing was changed" in done.stderr
    assert "sh unseal.sh KEY opens it" in done.stderr
    opened.write_text(SECRET)
    names = kit / "machines" / "redis" / "files.txt"
    names.write_text(f"644 nobody-here root plain {plain}\n")
    done = sh(kit / "place-files.sh", "redis")
    assert "there is no user nobody-here" in done.stderr
    assert not plain.exists()
    assert "it has those of: redis" in sh(kit / "place-files.sh", "other").stderr


def test_recipients_are_public_keys_of_age_and_ssh(tmp_path: Path) -> None:
    key = age_key(tmp_path / "key")
    assert read_recipient(f"{key} Ada Lovelace") == Recipient(key, "Ada Lovelace")
    assert read_recipient("ssh-ed25519 AAAAC3Nz ada@home") == Recipient(
        "ssh-ed25519 AAAAC3Nz", "ada@home"
    )
    assert read_recipient(key[:-1]) is None
    assert read_recipient(f"{key}x") is None
    assert read_recipient((tmp_path / "key").read_text().split()[-1]) is None, "a private key"
    with pytest.raises(NotSealed, match="age: "):
        seal(LocalHost(), SECRET, [Recipient("age1" + "q" * 58)])
