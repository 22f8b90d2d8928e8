"""Signing what goes over the broker, and telling whose it is: Ed25519, keys as hex.

What lives here: keys and signatures. What must not: what is signed (contract.py), and where keys
are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from nacl.encoding import HexEncoder
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from tasks.contract import Message

_M = TypeVar("_M", bound=Message)


def sign(message: _M, key: SigningKey) -> _M:
    return replace(message, signature=key.sign(message.canonical()).signature.hex())


def is_signed_by(message: Message, key: VerifyKey) -> bool:
    try:
        key.verify(message.canonical(), bytes.fromhex(message.signature))
    except (BadSignatureError, ValueError):
        return False
    return True


def new_keys() -> tuple[str, str]:
    """A fresh Ed25519 pair as hex: (private, public)."""
    private = SigningKey.generate()
    return (
        private.encode(HexEncoder).decode(),
        private.verify_key.encode(HexEncoder).decode(),
    )


def private_key(text: str) -> SigningKey:
    return SigningKey(text.strip().encode(), encoder=HexEncoder)


def public_key(text: str) -> VerifyKey:
    return VerifyKey(text.strip().encode(), encoder=HexEncoder)
