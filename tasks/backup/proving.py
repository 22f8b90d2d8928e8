"""A backup folder, and proving it: load its dump in a scratch server and judge what is there.

What lives here: the folder's layout, proving, and making a backup of any second of a captured
history. What must not: where backups are kept. A backup is a folder with `dump.rdb` and
`manifest.json`; both can be read without this program.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tasks.backup import manifest as manifests
from tasks.backup.history import ABOUT
from tasks.backup.manifest import Evidence, Manifest, NotAManifest
from tasks.backup.rolling import Spot
from tasks.backup.scratch import Cut, Dump, NotLoaded, Programs, loaded, ran, size_and_sha256
from tasks.host import Host
from tasks.operation import SILENT, Tell

DUMP, MANIFEST = "dump.rdb", "manifest.json"


def read_manifest(host: Host, folder: str) -> Manifest:
    """Raises NotAManifest with the file's name."""
    path = f"{folder}/{MANIFEST}"
    text = host.read(path)
    if text is None:
        raise NotAManifest(f"{path} is missing")
    try:
        return manifests.from_json(text)
    except NotAManifest as fault:
        raise NotAManifest(f"{path}: {fault}") from fault


def write_manifest(host: Host, folder: str, manifest: Manifest) -> None:
    host.write(f"{folder}/{MANIFEST}", manifests.to_json(manifest).encode(), mode=0o600)


def load(
    host: Host,
    folder: str,
    manifest: Manifest,
    programs: Programs,
    patterns: Sequence[str] = (),
    *,
    tell: Tell = SILENT,
    hashed: Callable[[], tuple[int, str]] | None = None,
) -> Evidence:
    """What a scratch server shows of this backup's dump. Raises NotLoaded.

    What is copied anyway is hashed there, by `hashed`, while it loads. Counting by patterns
    takes longer than loading: it is done only for those that are given.
    """
    wanted = manifest.contents
    path = f"{folder}/{DUMP}"
    taken: list[tuple[int, str]] = []

    def compared() -> None:
        if not taken and hashed:
            taken.append(hashed())
        # Told before what the server says of it: that believes what it can read.
        if complaints := manifests.compare_file(manifest, *taken[0]):
            raise NotLoaded(manifests.told(complaints))

    if hashed is None:
        taken.append(size_and_sha256(host, path))
        compared()
    with loaded(host, Dump(path), programs, meanwhile=compared, tell=tell) as scratch:
        contents = scratch.contents(patterns, tuple(wanted.samples) if wanted else ())
        info = scratch.info()
    return Evidence(
        host.now(),
        *taken[0],
        info["redis_version"],
        scratch.load_seconds,
        int(info["used_memory"]),
        contents,
    )


def prove(
    host: Host,
    folder: str,
    programs: Programs,
    patterns: Sequence[str] = (),
    *,
    tell: Tell = SILENT,
) -> tuple[Manifest, Evidence | None]:
    """Verified or failed, with the reason, and written beside the dump."""
    manifest = read_manifest(host, folder)
    evidence = None
    try:
        known = tuple(manifest.contents.patterns) if manifest.contents else ()
        evidence = load(host, folder, manifest, programs, known or patterns, tell=tell)
        judged = manifests.judged(manifest, evidence)
    except NotLoaded as fault:
        judged = manifests.failed(manifest, str(fault))
    write_manifest(host, folder, judged)
    return judged, evidence


def cut(
    host: Host,
    history: str,
    into: str,
    programs: Programs,
    *,
    at: int | None = None,
    patterns: Sequence[str] = (),
    spot: Spot | None = None,
    name: str = "",
    covers_until: float | None = None,
) -> Manifest:
    """A backup of a captured history as it was after the second `at`, in the new folder `into`.

    Or up to `spot`. It is `taken`: prove it, as any other. No fork and no transfer on the source.
    """
    about = json.loads(host.read(f"{history}/{ABOUT}") or "{}")
    if not about:
        raise NotLoaded(f"{history} is no captured history: it has no {ABOUT}")
    ran(host, ("mkdir", "-m", "700", "--", into))
    place = (spot.segment, spot.position) if spot else ()
    with loaded(host, Cut(history, at, *place), programs) as scratch:
        contents = scratch.contents(patterns)
        info = scratch.info()
        scratch.save_as(f"{into}/{DUMP}")
    size, digest = size_and_sha256(host, f"{into}/{DUMP}")
    covers = host.now() if at is None else float(at)
    rdb_version = ran(host, ("head", "-c", "9", "--", f"{into}/{DUMP}")).out[5:9]
    manifest = Manifest(
        id=name or f"{manifests.new_id(host.now(), about['replid'])}-cut",
        source=f"{about['source']} by {history}",
        taken_at=host.now(),
        covers_until=covers if covers_until is None else covers_until,
        size_bytes=size,
        sha256=digest,
        rdb_version=int(rdb_version),
        checksummed=True,
        redis_version=info["redis_version"],
        module_files=programs.modules,
        replid=spot.replid if spot else about["replid"],
        offset=spot.offset if spot else -1,
        load_seconds=scratch.load_seconds,
        contents=contents,
    )
    write_manifest(host, into, manifest)
    return manifest
