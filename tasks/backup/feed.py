"""A file's bytes from one place on, into a pipe, at a pace: what backup.send puts before its ssh.

    python -m tasks.backup.feed FILE FROM BYTES_PER_S BEFORE TOTAL

What lives here: reading, pacing and saying how far it is. What must not: where the bytes go. It
says so on descriptor 3, because its output is the file; BEFORE are bytes of TOTAL that were there
without it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.backup.pacing import Brake, Sayer

CHUNK = 64 * 1024


def feed(path: Path, begin: int, bytes_per_s: float, before: int, total: int) -> None:
    with os.fdopen(3, "w") as words, path.open("rb", buffering=0) as file:
        brake, sayer, sent = Brake(bytes_per_s), Sayer(total, words), 0
        file.seek(begin)
        while data := file.read(CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
            sent += len(data)
            sayer.moved(before + sent)
            brake.passed(len(data))


def main() -> int:
    path, begin, bytes_per_s, before, total = sys.argv[1:]
    try:
        feed(Path(path), int(begin), float(bytes_per_s), int(before), int(total))
    except OSError as error:
        # Also when the other end of the pipe is gone; what arrived is compared afterwards.
        print(f"{path}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
