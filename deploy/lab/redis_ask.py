"""Asks a Redis of the lab: `python -S redis_ask.py ADDRESS PORT '[["PING"], …]'`.

Prints the replies as JSON. A program of its own, because only a process can be put into a
machine's network; with the standard library, because the Redis of a process lab need not
come with a redis-cli. An error reply is a text that begins with a dash.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import BinaryIO

TIMEOUT = 20.0


def encode(words: list[str]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def reply(stream: BinaryIO) -> str:
    line = stream.readline()
    if not line:
        raise ConnectionError("Redis hung up")
    kind, rest = line[:1], line[1:].strip().decode()
    if kind == b"$":
        size = int(rest)
        return "" if size < 0 else stream.read(size + 2)[:-2].decode(errors="replace")
    return f"-{rest}" if kind == b"-" else rest


def main(arguments: list[str]) -> int:
    address, port, commands = arguments
    try:
        with socket.create_connection((address, int(port)), timeout=TIMEOUT) as connection:
            stream = connection.makefile("rb")
            replies = []
            for words in json.loads(commands):
                connection.sendall(encode(words))
                replies.append(reply(stream))
    except OSError as error:
        print(f"no answer from Redis at {address}:{port}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(replies))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
