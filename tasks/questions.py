"""A probe's question to the network as a plain value, so that anyone may put it.

What lives here: the questions, and reading what a question needs. What must not: putting them;
an operation puts one through its Host (tasks/asking.py), the watcher with asyncio, and both
get the same reading from the same reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.exchange import NotAsked
from tasks.trust import SYSTEM_CAS, Trust, is_pin

#: Reads a file on the machine that asks; None when it is not there.
Read = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """One request without redirects. `seconds` bounds all of it; `trust` counts for https."""

    method: str
    url: str
    seconds: float
    body: bytes = b""
    trust: Trust = SYSTEM_CAS


@dataclass(frozen=True, slots=True)
class TcpQuestion:
    """Connect, send, and read until `complete` says that the answer is whole."""

    address: str
    port: int
    send: bytes
    complete: Callable[[bytes], bool]
    seconds: float
    trust: Trust | None = None  #: None: without TLS


Question = HttpQuestion | TcpQuestion


def read_secret(read: Read, path: str) -> str:
    """A password from its file."""
    secret = (read(path) or "").strip()
    if not secret:
        raise NotAsked(f"the password file {path} is missing or empty")
    return secret


def read_trust(read: Read, ca_file: str, pin_sha256: str) -> Trust:
    if not ca_file:
        return Trust(pin_sha256=pin_sha256)
    trust = Trust(read(ca_file) or "", pin_sha256)
    if not trust.ca_pem:
        raise NotAsked(f"the CA file {ca_file} is missing or empty")
    return trust


def trust_faults(ca_file: str, pin_sha256: str, *, tls: bool) -> tuple[str, ...]:
    """What is wrong with these arguments of a probe."""
    faults = []
    if pin_sha256 and not is_pin(pin_sha256):
        faults.append(f"'pin_sha256' must be a SHA-256 as 64 hex digits, not {pin_sha256!r}")
    if (ca_file or pin_sha256) and not tls:
        faults.append("'ca_file' and 'pin_sha256' do nothing without TLS")
    return tuple(faults)
