"""Reading a Redis configuration as the server would: its file, then the words of its command line.

What lives here: the grammar. What must not: files, and what a setting means for a backup. Needed
because a server that does not start cannot be asked, and because one that runs may have been
changed since: what is in the file is what counts at the next start.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

#: What Redis 7 does when a setting is not given.
DEFAULTS: Mapping[str, str] = {
    "dir": ".",
    "dbfilename": "dump.rdb",
    "appendonly": "no",
    "appendfilename": "appendonly.aof",
    "appenddirname": "appendonlydir",
    "save": "3600 1 300 100 60 10000",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "rdbchecksum": "yes",
    "stop-writes-on-bgsave-error": "yes",
    "repl-diskless-sync": "yes",
    "repl-backlog-size": "1mb",
    "port": "6379",
    "bind": "* -::*",
    "databases": "16",
    "cluster-enabled": "no",
}
_MANY = ("save", "loadmodule", "include")
#: Never kept: what is found goes into journals and reports.
_SECRET = ("requirepass", "masterauth", "user", "tls-key-file-pass", "tls-client-key-file-pass")
_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
}


def directives(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each setting of a file, in order: its name in small letters, and its words."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                name, *words = shlex.split(line)
            except ValueError:
                name, *words = line.split()
            yield name.lower(), tuple(words)


def command_line(argv: Sequence[str]) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """The configuration file that a server's command names, and the settings after it."""
    words = list(argv[1:])
    file = words.pop(0) if words and not words[0].startswith("--") else ""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            found.append((word[2:].lower(), []))
        elif found:
            found[-1][1].append(word)
    return file, tuple((name, tuple(values)) for name, values in found)


def named_in_script(text: str) -> str:
    """The first configuration file that a starting script names, or nothing."""
    match = re.search(r"/[\w./-]+\.conf\b", text) if text.startswith("#!") else None
    return match[0] if match else ""


def settled(given: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """What holds in the end: the last one of most, all together of some."""
    found: dict[str, str] = {}
    for name, words in given:
        value = " ".join(words)
        if name in _SECRET:
            continue
        if name == "save" and value in ("", '""'):
            found[name] = ""
        elif name in _MANY and name in found:
            separator = "\n" if name != "save" else " "
            found[name] = f"{found[name]}{separator}{value}".strip()
        else:
            found[name] = value
    return found


def size(text: str) -> int:
    """A size as Redis writes it, in bytes; 0 when it is none."""
    match = re.fullmatch(r"(\d+)([a-z]*)", text.strip().lower())
    return int(match[1]) * _UNITS.get(match[2], 1) if match else 0
