"""Copies of single things into the folder that is pushed, each with its manifest's entry.

What lives here: SQLite by its own backup, git as a bundle, Ollama's list, and owner and mode as
they were. What must not: which things (collecting.py). A database or repository that is not
sound is an error: its copy would be none.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from tasks.backup.filemanifest import Entry, Part, sha256_of
from tasks.host import HostFault, LocalHost, Ran

BUSY_SECONDS, GIT_SECONDS, ASK_SECONDS = 60.0, 3600.0, 30.0
_HOST = LocalHost()


class NotCopied(Exception):
    """Something cannot be backed up as it is; nothing was pushed."""


def entry(part: Part, path: Path, into: Path, at: str, was: os.stat_result) -> Entry:
    """What was copied, with the owner, mode and time that it had."""
    copy = into / at
    _like(copy, was)
    size, mode = copy.stat().st_size, was.st_mode & 0o7777
    return Entry(part, str(path), at, size, sha256_of(copy), mode, was.st_uid, was.st_gid)


def _like(copy: Path, was: os.stat_result) -> None:
    with suppress(PermissionError):
        # Only root may give files away; anybody else can back up just what is theirs.
        os.chown(copy, was.st_uid, was.st_gid)
    copy.chmod(was.st_mode & 0o7777)
    os.utime(copy, ns=(was.st_atime_ns, was.st_mtime_ns))


def with_folders(path: Path, copy: Path) -> None:
    """The folders above the copy, like those above what is copied."""
    missing = [each for each in copy.parents if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700)
    for like, folder in zip(path.parents, missing, strict=False):
        _like(folder, like.stat())
        # Who copies must be able to go on, also where it is not root.
        folder.chmod(folder.stat().st_mode & 0o7777 | 0o700)


def database(path: Path, into: Path) -> Entry:
    """By SQLite's own backup, so that it is of one moment while others write to it."""
    at = f"sqlite{path}"
    with_folders(path, into / at)
    try:
        source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        with closing(source), closing(sqlite3.connect(into / at)) as copy:
            source.backup(copy)
        sound(into / at)
    except sqlite3.Error as error:
        raise NotCopied(f"the database {path} cannot be copied: {error}") from error
    return entry(Part.DATABASE, path, into, at, path.stat())


def sound(path: Path) -> None:
    """Opens and checks a copy whole, and leaves nothing beside it. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as opened:
        said = [row[0] for row in opened.execute("PRAGMA integrity_check")]
    if said != ["ok"]:
        raise sqlite3.DatabaseError(f"integrity_check: {said[0]}")


def repository(path: Path, into: Path) -> Entry:
    """As a bundle: one file, all branches and tags, that plain git clones."""
    at = f"git{path}.bundle"
    (into / at).parent.mkdir(parents=True, exist_ok=True)
    try:
        was = path.stat()
        # As the repository's owner: what is configured in it must not run as anybody else.
        user = "" if was.st_uid == os.geteuid() else pwd.getpwuid(was.st_uid).pw_name
        with tempfile.TemporaryDirectory(prefix="autobot-dr-git-") as folder:
            if user:
                os.chown(folder, was.st_uid, was.st_gid)
            bundle = f"{folder}/all.bundle"
            _git(path, user, "bundle", "create", "--quiet", bundle, "--all")
            _git(path, user, "bundle", "verify", "--quiet", bundle)
            heads = _git(path, user, "bundle", "list-heads", bundle).out.splitlines()
            shutil.copyfile(bundle, into / at)
    except (OSError, KeyError) as error:
        raise NotCopied(f"the repository {path} cannot be copied: {error}") from error
    refs = {name: sha for sha, _, name in (line.partition(" ") for line in heads)}
    size, digest = (into / at).stat().st_size, sha256_of(into / at)
    return Entry(Part.REPOSITORY, str(path), at, size, digest, 0o600, refs=refs)


def _git(path: Path, user: str, *words: str) -> Ran:
    # One thread packs the same history into the same bytes, which restic then has already.
    argv = ("git", "-C", str(path), "-c", "pack.threads=1", *words)
    ran = _HOST.run(argv, seconds=GIT_SECONDS, user=user)
    if not ran.ok:
        raise NotCopied(f"the repository {path} cannot be copied: {ran.complaint}")
    return ran


def models(url: str, into: Path) -> Entry:
    """The names and digests of what Ollama has; the models themselves are pulled again."""
    at = "ollama.json"
    try:
        reply = _HOST.http("GET", f"{url.rstrip('/')}/api/tags", seconds=ASK_SECONDS)
        known = json.loads(reply.body)["models"]
        named = {each["name"]: each["digest"] for each in known}
    except (HostFault, ValueError, KeyError, TypeError) as fault:
        raise NotCopied(f"Ollama at {url} does not say what it has: {fault}") from fault
    (into / at).write_text(json.dumps(named, indent=1, sort_keys=True))
    size, digest = (into / at).stat().st_size, sha256_of(into / at)
    return Entry(Part.MODELS, url, at, size, digest, 0o600)
