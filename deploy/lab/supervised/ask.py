"""`systemctl`, `journalctl` and `ps` on a machine of the process lab: asks its supervisor.

Run as `python ask.py HOME NAME PROGRAM ARGUMENTS...`, with the standard library only, since
an agent runs it for every look. Its exit code is the real program's.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(arguments: list[str]) -> int:
    home, name, *argv = arguments
    try:
        os.chdir(os.path.join(home, "machines"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.connect(f"{name}.sock")
            control.sendall(json.dumps(argv).encode() + b"\n")
            answer = json.loads(b"".join(iter(lambda: control.recv(65536), b"")))
    except (OSError, ValueError):
        print("Failed to connect to bus: the machine is off", file=sys.stderr)
        return 1
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
