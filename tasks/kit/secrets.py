"""Finding the secrets in a configuration file, and hiding them in what is kept in clear. Pure.

What lives here: the grammar of where a secret stands. What must not: files, and sealing. A secret
that is found once is hidden wherever it stands, in other files too; who is not sure hides: the
whole file is sealed beside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

HIDDEN = "(sealed)"
#: A shorter one, or a mere word, is hidden only where it was found: it stands anywhere by chance.
SHORT = 8

_NAMED = r"(?:pass(?:word|wd|phrase)?|secret|token|api_?key|credentials?|private_?key|access_?key)"
_PATTERNS = (
    # Redis's own, and what users may log in with.
    re.compile(
        r"^[ \t]*(?:requirepass|masterauth|tls-(?:client-)?key-file-pass)[ \t]+"
        r"(?P<value>.+?)[ \t]*$",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"^[ \t]*user[ \t][^\n]*?[ \t][>#](?P<value>\S+)", re.IGNORECASE | re.MULTILINE),
    # NAME_PASSWORD=value, "api_key": "value", --requirepass value.
    re.compile(
        rf"\b[\w.-]*{_NAMED}[\w-]*[\"']?[ \t]*[:=][ \t]*"
        r"(?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s,;\"'}]+)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"--[\w-]*{_NAMED}[\w-]*[ \t=]+(?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s\"']+)", re.IGNORECASE
    ),
    re.compile(r"--(?:requirepass|masterauth)[ \t]+(?P<value>\S+)", re.IGNORECASE),
    # scheme://user:secret@host
    re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:(?P<value>[^\s/@\"']+)@", re.IGNORECASE),
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|^AGE-SECRET-KEY-", re.MULTILINE)
#: No secrets, though they stand where one would: the place of one, a switch, nothing.
_PLACES = re.compile(r"[/~$%{].*|yes|no|true|false|none|null|on|off|\d{1,4}|\(sealed\)", re.DOTALL)


def all_secret(text: str) -> bool:
    """A private key has nothing that could be kept in clear."""
    return _PRIVATE_KEY.search(text) is not None


def found_in(text: str) -> frozenset[str]:
    return frozenset(value for _, _, value in _spots(text))


def hidden(text: str, secrets: Collection[str] = ()) -> str:
    """The text without what is found in it, and without these, wherever they stand."""
    for start, end, _ in sorted(_spots(text), reverse=True):
        # Two patterns may find the same one, or one a part of the other's.
        if HIDDEN not in text[start:end]:
            text = text[:start] + HIDDEN + text[end:]
    for each in sorted(filter(tells, secrets), key=len, reverse=True):
        text = text.replace(each, HIDDEN)
    return text


def tells(secret: str) -> bool:
    """Whether it can be told from a word that stands in a text by chance."""
    return len(secret) >= SHORT and not re.fullmatch(r"[a-z._-]+|[A-Z._-]+", secret)


def _spots(text: str) -> set[tuple[int, int, str]]:
    return {spot for pattern in _PATTERNS for spot in _matches(pattern, text)}


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        start, end = match.span("value")
        value = match["value"]
        if value[0] == value[-1] and value[0] in "\"'" and len(value) > 1:
            start, end, value = start + 1, end - 1, value[1:-1]
        if value and not _PLACES.fullmatch(value):
            yield start, end, value
