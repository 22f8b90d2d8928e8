"""What is known of one backup, and whether what was loaded from it is what it should be. Pure.

What lives here: the manifest, which travels beside the backup and from which a catalogue can be
rebuilt; the evidence of one load in a scratch server; comparing the two. What must not: any IO.
A manifest is `taken`, then `stored`; only evidence makes it `verified`, and evidence that does
not fit makes it `failed`, from any state.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum

VERSION = 1
#: How many complaints are told in a reason; one wrong file can make thousands.
TOLD = 5


class State(StrEnum):
    TAKEN = "taken"  #: whole, by its own marks; nobody has loaded it yet
    STORED = "stored"  #: also where it is to be kept
    VERIFIED = "verified"  #: loaded in a scratch server, and what was there was what should be
    FAILED = "failed"  #: it is not what it should be: never restore from it


@dataclass(frozen=True, slots=True)
class Count:
    """Keys, and how many of them have a time to live: those may be fewer at the next load."""

    keys: int
    volatile: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump holds, as counted in a scratch server."""

    total: int  #: keys in the dump, the expired ones included
    databases: Mapping[str, Count]
    patterns: Mapping[str, Count]  #: such as doc:*, over all databases
    functions: int
    samples: Mapping[str, str]  #: "DATABASE:KEY IN HEX", without time to live, to its digest


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one load in a scratch server showed."""

    at: float
    size_bytes: int
    sha256: str
    redis_version: str
    load_seconds: float
    memory_bytes: int  #: that its data took there
    contents: Contents


@dataclass(frozen=True, slots=True)
class Manifest:
    """One dump: where it comes from, what file it is, and what it must hold. Times are Unix."""

    id: str
    source: str  #: address and port, or the captured history it was cut from
    taken_at: float
    covers_until: float  #: all that was written until then is in it
    size_bytes: int
    sha256: str
    rdb_version: int
    checksummed: bool  #: without, a damaged dump would load silently: only the SHA-256 tells
    redis_version: str = ""
    modules: tuple[str, ...] = ()  #: each with its version
    module_files: tuple[str, ...] = ()  #: and what it was loaded from, with its arguments
    replid: str = ""
    offset: int = -1
    source_keys: int = -1  #: just before, as the source said; -1 when it was not asked
    evicted_keys: int = -1  #: by the source since its start: these are in no backup
    state: State = State.TAKEN
    reason: str = ""
    verified_at: float | None = None
    load_seconds: float = 0.0  #: when it was verified
    memory_bytes: int = 0  #: the same
    contents: Contents | None = None
    version: int = field(default=VERSION, kw_only=True)


def new_id(taken_at: float, replid: str) -> str:
    """Sorted as the times are, and another one for each backup."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(taken_at))
    return f"redis-{stamp}.{int(taken_at % 1 * 1000):03d}Z-{replid[:8]}"


class NotAManifest(ValueError):
    """The file is no manifest of a backup, or of a version that is not known here."""


def to_json(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> Manifest:
    try:
        said = json.loads(text)
        if said["version"] != VERSION:
            raise NotAManifest(f"version {said['version']!r}, here {VERSION} is known")
        known = {each.name for each in fields(Manifest)}
        if strange := sorted(set(said) - known):
            raise NotAManifest(f"unknown field {strange[0]!r}")
        contents = said.pop("contents")
        return Manifest(
            **{
                **said,
                "state": State(said["state"]),
                "modules": tuple(said["modules"]),
                "module_files": tuple(said["module_files"]),
                "contents": contents and contents_from(contents),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, NotAManifest):
            raise
        raise NotAManifest(f"not readable: {error!r}") from error


def contents_from(said: Mapping[str, object]) -> Contents:
    """From what `asdict` made of it."""
    values = dict(said)
    for name in ("databases", "patterns"):
        counts: Mapping[str, Mapping[str, int]] = values[name]  # type: ignore[assignment]
        values[name] = {key: Count(**each) for key, each in counts.items()}
    return Contents(**values)  # type: ignore[arg-type]


def evidence_from(said: Mapping[str, object]) -> Evidence:
    values = dict(said)
    return Evidence(**{**values, "contents": contents_from(values["contents"])})  # type: ignore[arg-type]


def compare(manifest: Manifest, evidence: Evidence) -> tuple[str, ...]:
    """What differs between what should be there and what was; nothing means it is the backup."""
    return (
        *compare_file(manifest, evidence.size_bytes, evidence.sha256),
        *_held(manifest, evidence),
    )


def compare_file(manifest: Manifest, size_bytes: int, sha256: str) -> tuple[str, ...]:
    """Of the file alone. Redis itself accepts trailing bytes, so the size counts too."""
    if size_bytes != manifest.size_bytes:
        return (f"the file has {size_bytes} bytes, its manifest says {manifest.size_bytes}",)
    if sha256 != manifest.sha256:
        return (f"the file's SHA-256 is {sha256[:12]}…, its manifest says {manifest.sha256[:12]}…",)
    return ()


def _held(manifest: Manifest, evidence: Evidence) -> Iterator[str]:
    wanted, found = manifest.contents, evidence.contents
    if wanted is None:
        if manifest.source_keys > 0 and not found.total:
            yield f"no key was loaded, and the source had {manifest.source_keys}"
        return
    if found.total != wanted.total:
        yield f"{found.total} keys were loaded (expired ones included), not {wanted.total}"
    if found.functions != wanted.functions:
        yield f"{found.functions} functions were loaded, not {wanted.functions}"
    yield from _counts("database", wanted.databases, found.databases)
    yield from _counts("pattern", wanted.patterns, found.patterns)
    for name, digest in wanted.samples.items():
        if found.samples.get(name) != digest:
            database, _, key = name.partition(":")
            yield f"key {bytes.fromhex(key)!r} of database {database} has another value"


def _counts(kind: str, wanted: Mapping[str, Count], found: Mapping[str, Count]) -> Iterator[str]:
    # Another load may have been asked for other patterns; a database that was lost counts.
    names = wanted if kind == "pattern" else {**wanted, **found}
    for name in names:
        if kind == "pattern" and name not in found:
            continue
        was, now = wanted.get(name, Count(0)), found.get(name, Count(0))
        if now.keys - now.volatile != was.keys - was.volatile:
            yield (
                f"{kind} {name} has {now.keys - now.volatile} keys without time to live, "
                f"not {was.keys - was.volatile}"
            )
        elif now.volatile > was.volatile:
            yield f"{kind} {name} has {now.volatile} keys with a time to live, not {was.volatile}"


def stored(manifest: Manifest) -> Manifest:
    return replace(manifest, state=State.STORED) if manifest.state is State.TAKEN else manifest


def judged(manifest: Manifest, evidence: Evidence) -> Manifest:
    """Verified or failed by this evidence; the first evidence says what later ones must show."""
    if complaints := compare(manifest, evidence):
        return failed(manifest, told(complaints))
    return replace(
        manifest,
        state=State.VERIFIED,
        reason="",
        verified_at=evidence.at,
        load_seconds=evidence.load_seconds,
        memory_bytes=evidence.memory_bytes,
        contents=manifest.contents or evidence.contents,
    )


def failed(manifest: Manifest, reason: str) -> Manifest:
    return replace(manifest, state=State.FAILED, reason=reason)


def told(complaints: tuple[str, ...]) -> str:
    more = len(complaints) - TOLD
    return "; ".join(complaints[:TOLD]) + (f"; and {more} more" if more > 0 else "")
