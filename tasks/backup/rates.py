"""How fast restores were on this machine, so that the next one can say how long it takes.

What lives here: the file, and the rates where there is none. What must not: measuring; the
restore does (operations/redis_restore.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tasks.host import Host, HostFault

FILE = "/var/tmp/autobot-dr/restore-rates.json"  # noqa: S108 - a folder for its owner only
#: Slower than any machine that was measured.
UNKNOWN = 100e6
#: What is smaller takes as long as starting a server takes.
SMALLEST = 16e6


@dataclass(frozen=True, slots=True)
class Rates:
    """In bytes of a dump per second."""

    prove: float = UNKNOWN  #: copied, hashed and loaded in a scratch server
    load: float = UNKNOWN  #: by the service
    measured: bool = False


def read(host: Host) -> Rates:
    try:
        said = json.loads(host.read(FILE) or "{}")
        return Rates(float(said["prove"]), float(said["load"]), measured=True)
    except (ValueError, KeyError, TypeError):
        return Rates()


def keep(host: Host, size_bytes: int, prove_seconds: float, load_seconds: float) -> None:
    """Only of what is large enough; that it cannot be written is no fault of a restore."""
    if size_bytes < SMALLEST or min(prove_seconds, load_seconds) <= 0:
        return
    rates = Rates(size_bytes / prove_seconds, size_bytes / load_seconds, measured=True)
    try:
        host.run(("mkdir", "-p", "-m", "700", "--", FILE.rpartition("/")[0]), seconds=10)
        host.write(FILE, json.dumps(asdict(rates)).encode(), mode=0o600)
    except HostFault:
        return
