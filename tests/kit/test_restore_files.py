"""restore-files.sh under dash, from a real restic repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.conftest import SCRIPTS, Sh

#: Names as people give them, and worse.
NAMES = ("plain.conf", "Größe und Maß.txt", 'it\'s "quoted".env', "back\\slash", "\U0001f600.md")


@dataclass(frozen=True, slots=True)
class Vault:
    """A repository with one snapshot, and a kit that lists it."""

    repository: Path
    password: Path
    kit: Path
    snapshot: str
    live: Path  #: the folder that it is a backup of

    @property
    def id(self) -> str:
        return f"job-{self.snapshot[:8]}"


def restic(repository: Path, password: Path, *words: str) -> str:
    argv = ["restic", "-r", str(repository), "--password-file", str(password), "--no-cache"]
    done = subprocess.run([*argv, *words], capture_output=True, text=True)
    assert done.returncode == 0, f"restic is missing, or: {done.stderr}"
    return done.stdout


def entry(part: str, path: Path, at: str = "", **more: Any) -> dict[str, Any]:
    about = path.lstat()
    plain = {"part": part, "path": str(path), "at": at, "refs": {}, "target": ""}
    numbers = {"size": 0, "sha256": "", "mode": 0o640, "uid": about.st_uid, "gid": about.st_gid}
    if at:
        content = path.read_bytes()
        numbers |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {**plain, **numbers, **more}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    live, stage = tmp_path / "live", tmp_path / "stage"
    live.mkdir()
    stage.mkdir()
    entries = []
    for number, name in enumerate(NAMES):
        (live / name).write_text(f"content of {number}\n")
        at = f"files{live}/{name}"
        (stage / at).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(live / name, stage / at)
        entries.append(entry("file", live / name, at))
    (stage / f"files{live}").chmod(0o750)
    (live / "link").symlink_to("plain.conf")
    entries.append(entry("link", live / "link", target="plain.conf"))
    (live / "app.db").write_bytes(b"SQLite")
    shutil.copy(live / "app.db", stage / "files" / "app.db")
    entries.append(entry("database", live / "app.db", "files/app.db"))
    told = {"version": 1, "job": "job", "machine": "m", "taken_at": 1.0, "left_out": []}
    text = json.dumps({**told, "entries": entries}, indent=1, sort_keys=True)
    (stage / "manifest.json").write_text(text)
    repository, password = tmp_path / "repository", tmp_path / "password"
    password.write_text("Sesame-4711")
    restic(repository, password, "init", "--quiet")
    restic(repository, password, "backup", "--quiet", "--tag", "job", str(stage))
    (taken,) = json.loads(restic(repository, password, "snapshots", "--json"))
    kit = tmp_path / "kit"
    shutil.copytree(SCRIPTS, kit)
    found = Vault(repository, password, kit, taken["id"], live)
    (kit / "manifests").mkdir()
    listed = {"id": found.id, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (kit / "manifests" / f"{found.id}.json").write_text(json.dumps(listed, indent=1))
    (kit / "points.txt").write_text(f"job job-00000000 later 1 - x\njob {found.id} then 1 - x\n")
    (kit / "files").mkdir()
    (kit / "files" / "job.sh").write_text(f"REPOSITORY={repository}\n")
    return found


def content(folder: Path) -> Mapping[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir() if not each.is_symlink()}


def test_every_file_comes_back_by_its_hash_whatever_its_name(
    vault: Vault, tmp_path: Path, sh: Sh
) -> None:
    into = tmp_path / "into"
    done = sh(vault.kit / "restore-files.sh", "-j", "job", "-p", str(vault.password), str(into))
    assert done.returncode == 0, done.stderr
    assert f"holds {vault.id}: {len(NAMES) + 1} files" in done.stdout
    back = content(into / f"files{vault.live}")
    assert {name: back[name] for name in NAMES} == {
        name: text for name, text in content(vault.live).items() if name in NAMES
    }
    assert not (tmp_path / "into.part").exists()


def test_they_are_put_where_they_were_and_what_is_there_is_kept(
    vault: Vault, tmp_path: Path, sh: Sh
) -> None:
    was = content(vault.live)
    for each in NAMES[1:]:
        (vault.live / each).unlink()
    (vault.live / NAMES[0]).write_text("another")
    (vault.live / "app.db-wal").write_text("of another moment")
    into = tmp_path / "into"
    words = ("-j", "job", "-p", str(vault.password), "-r", str(vault.repository), "-P")
    done = sh(vault.kit / "restore-files.sh", *words, str(into))
    assert done.returncode == 0, done.stderr
    now = content(vault.live)
    assert {name: now[name] for name in was} == was
    assert now[f"{NAMES[0]}.before-{vault.id}"] == "another"
    assert now[f"app.db-wal.before-{vault.id}"] == "of another moment"
    assert "app.db-wal" not in now
    assert os.readlink(vault.live / "link") == "plain.conf"
    assert stat.S_IMODE((vault.live / NAMES[1]).stat().st_mode) == 0o640


def test_a_folder_that_is_gone_comes_back_as_it_was(vault: Vault, tmp_path: Path, sh: Sh) -> None:
    was = content(vault.live)
    shutil.rmtree(vault.live)
    words = ("-j", "job", "-p", str(vault.password), "-P", str(tmp_path / "into"))
    done = sh(vault.kit / "restore-files.sh", *words)
    assert done.returncode == 0, done.stderr
    assert content(vault.live) == was
    assert stat.S_IMODE(vault.live.stat().st_mode) == 0o750


def test_a_copy_elsewhere_is_known_by_what_it_is_a_copy_of(
    vault: Vault, tmp_path: Path, sh: Sh
) -> None:
    other = tmp_path / "elsewhere"
    restic(other, vault.password, "init", "--quiet")
    source = ("--from-repo", str(vault.repository), "--from-password-file", str(vault.password))
    restic(other, vault.password, "copy", "--quiet", *source)
    (copy,) = json.loads(restic(other, vault.password, "snapshots", "--json"))
    assert copy["id"] != vault.snapshot
    words = ("-j", "job", "-p", str(vault.password), "-r", str(other), "-b", vault.id)
    done = sh(vault.kit / "restore-files.sh", *words, str(tmp_path / "into"))
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout


def test_what_is_not_what_was_proved_is_refused(vault: Vault, tmp_path: Path, sh: Sh) -> None:
    words = ("-j", "job", "-p", str(vault.password), str(tmp_path / "into"))
    listed = vault.kit / "manifests" / f"{vault.id}.json"
    right = listed.read_text()
    listed.write_text(json.dumps({"id": vault.id, "sha256": "0" * 64}, indent=1))
    done = sh(vault.kit / "restore-files.sh", *words)
    assert "is not the one that was proved" in done.stderr
    listed.write_text(right)
    pack = max(vault.repository.glob("data/*/*"), key=lambda each: each.stat().st_size)
    pack.chmod(0o600)
    harmed = bytearray(pack.read_bytes())
    harmed[10] ^= 1
    pack.write_bytes(harmed)
    done = sh(vault.kit / "restore-files.sh", *words)
    assert done.returncode == 1
    assert "Nothing was restored" in done.stderr or "refused" in done.stderr
    assert not list(tmp_path.glob("into*"))


def test_wrong_words_and_missing_programs_are_named(vault: Vault, tmp_path: Path, sh: Sh) -> None:
    script, into = vault.kit / "restore-files.sh", str(tmp_path / "into")
    wrong = tmp_path / "wrong"
    wrong.write_text("another")
    done = sh(script, "-j", "job", "-p", str(wrong), into)
    assert "wrong password or no key found" in done.stderr
    done = sh(script, "-j", "job", "-p", str(tmp_path / "nowhere"), into)
    assert "sh unseal.sh KEY opens it" in done.stderr
    done = sh(script, "-j", "other", "-p", str(vault.password), into)
    assert "the kit knows no job other" in done.stderr
    done = sh(script, "-j", "job", "-p", str(vault.password), "-b", "job-12345678", into)
    assert "has no snapshot job-12345678" in done.stderr
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("dirname", "sed"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    done = sh(script, "-j", "job", "-p", str(vault.password), into, env={"PATH": str(bare)})
    assert "restic is missing; install it with: apt-get install restic" in done.stderr
    assert not list(tmp_path.glob("into*"))
