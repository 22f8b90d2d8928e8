"""Search indexes of RediSearch: a dump holds their definitions, and the server fills them anew.

What lives here: asking whether that is over. What must not: waiting. Until it is, searches find
too little and say nothing of it. RediSearch before 2 has no list of indexes and keeps what is
in them in the dump: there is nothing to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup.asking import Where, ask
from tasks.host import Host
from tasks.resp import ErrorReply


@dataclass(frozen=True, slots=True)
class Indexing:
    """The indexes of one server that has loaded."""

    host: Host
    where: Where

    def told(self) -> str:
        """Those that are not filled yet, each with how far it is; nothing when all are."""
        (names,) = ask(self.host, self.where, ("FT._LIST",))
        if isinstance(names, ErrorReply) or not isinstance(names, list) or not names:
            return ""
        known = [name.decode(errors="replace") for name in names]
        answers = ask(self.host, self.where, *(("FT.INFO", name) for name in known))
        return ", ".join(filter(None, map(_unfilled, known, answers)))


def _unfilled(name: str, answer: object) -> str:
    if not isinstance(answer, list):
        return ""
    facts = dict(zip(map(_text, answer[::2]), map(_text, answer[1::2]), strict=False))
    if facts.get("indexing", "0") == "0":
        return ""
    return f"{name} ({float(facts.get('percent_indexed', '0')) * 100:.0f} %)"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
