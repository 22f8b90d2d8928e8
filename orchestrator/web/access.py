"""Who may do what: bearer tokens with a role, kept only as hashes.

What lives here: reading tokens.yaml and finding the caller of a request. What must not: a token
in clear, here or in a log.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.core.plan import Fault
from orchestrator.schema import Name, Shape, faults_of
from orchestrator.yamlfile import Document, read_document


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token came with a request."""

    name: str
    role: Role


#: Callers by the SHA-256 of their token, in hex.
Tokens = Mapping[str, Caller]


class _TokenShape(Shape):
    name: Name
    role: Annotated[Role, Field(strict=False)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _TokensShape(Shape):
    tokens: list[_TokenShape]


def read_tokens(path: Path) -> Tokens | tuple[Fault, ...]:
    """The callers that tokens.yaml knows, or every fault of it."""
    document = read_document(path)
    if not isinstance(document, Document):
        return document
    try:
        shape = _TokensShape.model_validate(document.content)
    except ValidationError as error:
        return tuple(faults_of(document, _TokensShape, error))
    return {each.sha256: Caller(each.name, each.role) for each in shape.tokens}


def token_of(authorization: str | None) -> str:
    """The token in an Authorization header: as a bearer's, or as the password of a browser."""
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password


def caller_of(tokens: Tokens, authorization: str | None) -> Caller | None:
    """The caller behind an Authorization header. A hash is looked up, so timing tells nothing."""
    if (authorization or "").partition(" ")[0].lower() != "bearer":
        return None
    return caller_with(tokens, token_of(authorization))


def caller_with(tokens: Tokens, token: str) -> Caller | None:
    return tokens.get(hashlib.sha256(token.encode()).hexdigest()) if token else None


def form_token(token: str, place: str) -> str:
    """What a form at this place carries, so that no other site can send it for the caller.

    Only who knows the caller's token can make it, and it outlives the coordinator's process.
    """
    return hmac.new(token.encode(), f"form:{place}".encode(), hashlib.sha256).hexdigest()
