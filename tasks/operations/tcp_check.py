"""tcp.check: a port accepts connections, asked from this machine."""

from __future__ import annotations

from tasks.probes.tcp import tcp
from tasks.verifying import verify

check = verify(
    "tcp.check",
    "Wait until a port accepts connections",
    tcp,
    lambda wanted, _answer: f"{wanted.address}:{wanted.port} accepts connections",
    seconds=60,
)
