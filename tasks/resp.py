"""The Redis protocol (RESP 2): commands out, replies in. Pure.

What lives here: bytes to values and back. What must not: connections, and what a reply means.
A client library is not used because a probe wants the error replies themselves, and because
the one that a broker may bring along shares its pools and retries with the broker.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error that the server sent as its answer."""

    text: str

    @property
    def kind(self) -> str:
        """Its first word: LOADING, NOAUTH, MISCONF, ERR."""
        return self.text.partition(" ")[0]


class NotRedis(ValueError):
    """What came is no Redis reply: something else listens at this port."""


def command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
    return b"".join(parts)


def replies(received: bytes) -> list[object]:
    """Every complete reply in what has been received so far."""
    found: list[object] = []
    at = 0
    while (next_one := _reply(received, at)) is not None:
        value, at = next_one
        found.append(value)
    return found


def _reply(data: bytes, at: int) -> tuple[object, int] | None:
    """The reply that begins here and where it ends, or None when it is not whole yet."""
    if at < len(data) and data[at : at + 1] not in b"+-:$*":
        raise NotRedis(f"no Redis reply begins with {data[at : at + 20]!r}")
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    match kind:
        case b"+":
            return line.decode(errors="replace"), after
        case b"-":
            return ErrorReply(line.decode(errors="replace")), after
        case b":":
            return _number(line), after
        case b"$":
            return _bulk(data, after, _number(line))
        case _:
            return _array(data, after, _number(line))


def _bulk(data: bytes, at: int, length: int) -> tuple[object, int] | None:
    if length < 0:
        return None, at
    if len(data) < at + length + 2:
        return None
    return data[at : at + length], at + length + 2


def _array(data: bytes, at: int, length: int) -> tuple[object, int] | None:
    if length < 0:
        return None, at
    values: list[object] = []
    for _ in range(length):
        element = _reply(data, at)
        if element is None:
            return None
        value, at = element
        values.append(value)
    return values, at


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError as error:
        raise NotRedis(f"no Redis reply has the number {line[:20]!r}") from error
