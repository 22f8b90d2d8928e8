"""Whom a TLS connection trusts: the system's CAs, a CA of our own, or one certificate.

What lives here: saying so, and the one SSL context made of it. What must not: connections.
The pin is compared inside the handshake, so whoever uses the context, with threads or with
asyncio, has sent nothing to a stranger: no password, no request.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Trust:
    """Neither given: the system's CAs. With a pin alone, that certificate and no CA counts."""

    ca_pem: str = ""  #: the text of a CA file and not its path: it is read where the asker is
    pin_sha256: str = ""  #: of the certificate in DER, as hex
    name: str = ""  #: that the certificate must have, where another address than its own is asked


SYSTEM_CAS = Trust()


def pin(text: str) -> str:
    """A pin as it is compared; `openssl x509 -fingerprint` writes it in capitals with colons."""
    return text.replace(":", "").lower()


def is_pin(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", pin(text)) is not None


@lru_cache(maxsize=64)
def context(trust: Trust) -> ssl.SSLContext:
    """Kept, because reading the system's CAs takes longer than most answers.

    Raises ssl.SSLError or ValueError when the CA's text is none.
    """
    made = ssl.create_default_context(cadata=trust.ca_pem or None)
    if trust.pin_sha256:
        if not trust.ca_pem:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        _pin(made, pin(trust.pin_sha256))
    return made


def _pin(made: ssl.SSLContext, wanted: str) -> None:
    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _compare(self.getpeercert(binary_form=True), wanted)

    class PinnedObject(ssl.SSLObject):  # what asyncio uses
        def do_handshake(self) -> None:
            super().do_handshake()
            _compare(self.getpeercert(binary_form=True), wanted)

    made.sslsocket_class = PinnedSocket
    made.sslobject_class = PinnedObject


def _compare(certificate: bytes | None, wanted: str) -> None:
    found = hashlib.sha256(certificate or b"").hexdigest()
    if found != wanted:
        error = ssl.SSLCertVerificationError(1, "another certificate than the pinned one")
        error.verify_message = f"it is {found}, and {wanted} is pinned"
        raise error
