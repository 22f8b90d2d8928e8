"""Proves a snapshot of files: restores it to a scratch folder, opens and compares everything.

    python -m tasks.backup.fileproof --settings FILE     1 and a sentence where that cannot be done

What lives here: the proof, and the evidence that is kept of it beside the repository. What must
not: whether a snapshot counts; the evidence says it. That restic ends well is no proof: 0.14
leaves a wrong file of the right size behind, so every hash is counted again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import copying, filemanifest
from tasks.backup.filemanifest import Entry, FileManifest, NotAManifest, Part, sha256_of
from tasks.backup.history import write_durably
from tasks.backup.restic import COPY_SECONDS, Repository, complaint, point_id
from tasks.host import Host, HostFault, LocalHost

GIT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    folder: str  #: the job's repository on the vault: evidence and scratch are beside it
    location: str  #: the repository that is read: that one, or the one with the copies
    password_file: str
    job: str
    snapshot: str  #: as it is called in the job's repository
    copy: str = ""  #: as it is called in the other one, if that is read


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a snapshot, as the coordinator is told of it."""

    id: str
    folder: str
    taken_at: float
    covers_until: float
    verified_at: float | None
    state: str
    reason: str
    size_bytes: int
    sha256: str  #: of its manifest, which has the hashes of all else
    offsite: str = ""  #: the repository in which its copy was proved
    holds: str = ""

    @property
    def told(self) -> str:
        said = {name: value for name, value in asdict(self).items() if name != "holds"}
        return json.dumps({"restore_point": said}, sort_keys=True)


class NotTried(Exception):
    """The proof could not be made, so nothing was learned of the snapshot."""


def evidence_file(folder: str, snapshot: str) -> str:
    return f"{folder}.evidence/{snapshot[:8]}.json"


def known(host: Host, folder: str, snapshot: str) -> Evidence | None:
    """What an earlier proof found. The file may be lost: then it is proved again."""
    text = host.read(evidence_file(folder, snapshot))
    try:
        return Evidence(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        return None


def prove(settings: Settings) -> Evidence:
    """The new evidence, which is also written. Raises NotTried."""
    with _restored(settings) as (root, said):
        try:
            found = _examined(root, said)
        except NotAManifest as fault:
            found = Evidence("", "", 0.0, 0.0, None, "failed", str(fault), 0, "")
    found = replace(found, id=point_id(settings.job, settings.snapshot), folder=settings.folder)
    before = known(LocalHost(), settings.folder, settings.snapshot)
    if settings.copy:
        found = _of_copy(settings, before, found)
    elif before:
        found = replace(found, offsite=before.offsite)
    path = Path(evidence_file(settings.folder, settings.snapshot))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_durably(path, json.dumps(asdict(found), indent=1, sort_keys=True))
    return found


def _of_copy(settings: Settings, before: Evidence | None, found: Evidence) -> Evidence:
    """A copy that is not sound says nothing against what it was copied from."""
    if found.state == "failed":
        raise NotTried(f"the copy in {settings.location} is not sound: {found.reason}")
    if before is None or before.sha256 != found.sha256:
        raise NotTried(f"the copy in {settings.location} is not of what was proved here")
    return replace(before, offsite=settings.location)


@contextmanager
def _restored(settings: Settings) -> Iterator[tuple[Path, str]]:
    """The restored tree, and what restic complained of."""
    scratch = Path(f"{settings.folder}.scratch")
    try:
        # Whatever a killed proof left; there is one at a time.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        repository = Repository(settings.location, settings.password_file)
        wanted = settings.copy or settings.snapshot
        words = ("restore", "--quiet", "--no-lock", wanted, "--target", str(scratch))
        ran = LocalHost().run(repository.command(*words), seconds=COPY_SECONDS)
        if "no space left" in ran.err.lower():
            raise NotTried(f"{scratch} is full; make room for what the snapshot holds")
        tops = list(scratch.rglob(filemanifest.NAME))
        if not ran.ok and not tops:
            raise NotTried(f"snapshot {wanted[:8]} was not restored: {complaint(ran)}")
        top = min(tops, key=lambda each: len(each.parts), default=scratch / filemanifest.NAME)
        yield top.parent, "" if ran.ok else complaint(ran)
    except OSError as error:
        raise NotTried(f"{scratch} cannot be used: {error.strerror or error}") from error
    except HostFault as fault:
        raise NotTried(str(fault)) from fault
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _examined(root: Path, said: str) -> Evidence:
    """Raises NotAManifest."""
    path = root / filemanifest.NAME
    if not path.is_file():
        raise NotAManifest("there is no manifest in the snapshot")
    manifest = filemanifest.read(path.read_text())
    wrong = said or next(faults(root, manifest), "")
    at, now = manifest.taken_at, time.time()
    return Evidence(
        *("", "", at, at),
        verified_at=None if wrong else now,
        state="failed" if wrong else "verified",
        reason=wrong,
        size_bytes=manifest.size_bytes,
        sha256=sha256_of(path),
        holds=manifest.told(),
    )


def faults(root: Path, manifest: FileManifest) -> Iterator[str]:
    """What is not as the manifest says, one sentence each."""
    there = {str(each.relative_to(root)) for each in root.rglob("*") if not each.is_dir()}
    wanted = {each.at for each in manifest.entries if each.at} | {filemanifest.NAME}
    yield from (f"{each} is missing in the snapshot" for each in sorted(wanted - there))
    yield from (f"{each} is not in the manifest" for each in sorted(there - wanted))
    for entry in manifest.entries:
        if entry.at in there and (wrong := _fault(root / entry.at, entry)):
            yield f"{entry.path}: {wrong}"


def _fault(path: Path, entry: Entry) -> str:
    if path.is_symlink() or not path.is_file():
        return "is no plain file in the snapshot"
    if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
        return "has another SHA-256 than its manifest says"
    match entry.part:
        case Part.DATABASE:
            try:
                copying.sound(path)
            except sqlite3.Error as error:
                return f"SQLite: {error}"
        case Part.REPOSITORY:
            return _cloned(path, entry)
        case Part.MODELS:
            json.loads(path.read_text())
        case Part.FILE if path.stat().st_mode & 0o7777 != entry.mode:
            return "has another mode than its manifest says"
    return ""


def _cloned(bundle: Path, entry: Entry) -> str:
    """Whether plain git makes the repository of it again, with each branch and tag."""
    with tempfile.TemporaryDirectory(dir=bundle.parent) as folder:
        host = LocalHost()
        clone = ("git", "clone", "--quiet", "--mirror", str(bundle), f"{folder}/clone")
        if not (ran := host.run(clone, seconds=GIT_SECONDS)).ok:
            return f"git clone: {ran.complaint}"
        ask = ("git", "-C", f"{folder}/clone", "show-ref")
        lines = host.run(ask, seconds=GIT_SECONDS).out.splitlines()
    found = {name: sha for sha, _, name in (line.partition(" ") for line in lines)}
    lost = [name for name, sha in entry.refs.items() if name != "HEAD" and found.get(name) != sha]
    return f"the clone has no {lost[0]} as it was" if lost else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tasks.backup.fileproof")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        prove(read_arguments(Settings, json.loads(arguments.settings.read_text())))
    except (NotTried, BadArguments, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
