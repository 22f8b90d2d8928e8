"""Putting a kit in its place, here or on another machine: whole, or not at all.

What lives here: one script for both, which the Host port runs. What must not: what is in the kit.
The kit that was there before is kept under another name until the new one has its place, so that
at any moment one of them is whole; its files are checked by their hashes where they arrived.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

from tasks.host import Host, HostFault

SECONDS = 600.0
SUMS, MARK = "SHA256SUMS", "kit.json"

_PLACE = f"""\
set -e
umask 077
new="$1.new" before="$1.before"
mkdir -p -- "$(dirname -- "$1")"
if [ -e "$1" ] && [ ! -f "$1/{MARK}" ] && [ -n "$(ls -A -- "$1")" ]; then
    echo "$1 is there and is no recovery kit; name an empty or a new folder" >&2
    exit 1
fi
rm -rf -- "$new"
mkdir -- "$new"
tar -C "$new" --no-same-owner -xf -
(cd -- "$new" && sha256sum --quiet -c {SUMS} >&2)
find "$new" -type f -exec sync -- {{}} +
if [ -e "$1" ]; then
    rm -rf -- "$before"
    mv -T -- "$1" "$before"
fi
mv -T -- "$new" "$1"
rm -rf -- "$before"
sync -- "$(dirname -- "$1")"
sha256sum <"$1/{SUMS}"
"""


def place(host: Host, folder: str, files: Mapping[str, str]) -> None:
    """Raises HostFault: then what was there before is there."""
    sums = "".join(
        f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n"
        for path, text in sorted(files.items())
    )
    packed = _packed({**files, SUMS: sums})
    ran = host.run(("sh", "-c", _PLACE, "sh", folder), seconds=SECONDS, stdin=packed)
    if not ran.ok:
        raise HostFault(f"the kit was not written to {folder}: {ran.complaint}")
    if ran.out[:64] != hashlib.sha256(sums.encode()).hexdigest():
        raise HostFault(f"the kit in {folder} is not what was sent: its SHA-256 differ")


def _packed(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in sorted(files.items()):
            content = text.encode()
            about = tarfile.TarInfo(path)
            about.size, about.mode = len(content), 0o600
            tar.addfile(about, io.BytesIO(content))
    return buffer.getvalue()
