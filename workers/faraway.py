"""The journal of a machine's agent, kept in its place while it is dead.

What lives here: finding where the agent keeps it, and its rows over SSH. What must not: SQL
(ledger.py, which is sent there) and any decision. The same file and the same locks as the
agent's own, so that an agent that comes back in the middle refuses what is stale, waits for
what is being done, and never repeats what was done.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.host import Host, HostFault
from tasks.ssh import SshHost
from tasks.ssh_talk import Talk
from workers import ledger

log = logging.getLogger("autobot_dr.direct")

Say = Callable[[str], None]

#: Where an agent keeps its state unless its unit says otherwise, as its shipped unit has it.
STATE = "/var/lib/autobot-dr"
ANSWER_SECONDS = 15.0  #: for one call; the disk may be slow on such a day


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent's state is, and whose it is; an empty user is who is logged in."""

    state: str
    user: str = ""


def find_place(host: Host, unit: str, default: str = STATE) -> Place:
    """As the agent's unit has it. HostFault when systemd cannot be asked."""
    properties = "User,Environment,EnvironmentFiles"
    ran = host.run(("systemctl", "show", f"--property={properties}", "--", unit), seconds=10)
    if not ran.ok:
        raise HostFault(f"systemd could not be asked about {unit}: {ran.complaint}")
    said = [line.partition("=")[::2] for line in ran.out.splitlines()]
    state = ""
    for name, value in said:
        if name == "Environment":
            state = _state_in(value) or state
        elif name == "EnvironmentFiles":
            # The path, and in brackets whether it may be missing.
            path = value.rpartition(" (")[0] or value
            state = _state_in(host.read(path) or "") or state
    return Place(state or default, dict(said).get("User", ""))


def _state_in(text: str) -> str:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return ""
    pairs = dict(word.partition("=")[::2] for word in words)
    return pairs.get("AUTOBOT_DR_STATE", "")


@cache
def _program() -> str:
    return Path(ledger.__file__).read_text()


class FarRows:
    """Rows of a ledger on another machine; usable while its lock is held."""

    def __init__(
        self, host: SshHost, place: Place, say: Say, *, seconds: float, patience: float
    ) -> None:
        """The lock is given up after `seconds`; for another's it waits for `patience`."""
        self._say = say
        self._host, self._place, self._seconds = host, place, seconds
        self._patience = patience
        self._talk: Talk | None = None
        self._target = ""

    @contextmanager
    def alone(self, target: str) -> Iterator[None]:
        self._target = target
        with self._opened() as talk:
            self._talk = talk
            try:
                yield
            finally:
                self._talk = None

    def recall(self, order: str) -> list[str | None] | None:
        found: list[str | None] | None = self._ask("recall", order)
        return found

    def highest_epoch(self, machine: str) -> int:
        return int(self._ask("highest_epoch", machine))

    def top_epoch(self) -> int:
        return int(self._ask("top_epoch"))

    def withdrawn(self, order: str) -> str:
        return str(self._ask("withdrawn", order))

    def begin(self, *row: Any) -> None:
        self._ask("begin", *row)

    def finish(self, *row: Any) -> None:
        """What cannot be written down is still reported; a fresh look is what tells the agent."""
        try:
            self._ask("finish", *row)
            return
        except HostFault as fault:
            log.info("%s: connecting again: %s", row[0], fault)
        try:
            # A machine that was restarted has dropped the connection, and the lock with it.
            with self._opened() as talk:
                self._call(talk, "finish", row)
        except HostFault as fault:
            log.warning("%s: its end is not in the machine's journal: %s", row[0], fault)

    @contextmanager
    def _opened(self) -> Iterator[Talk]:
        argv = ("python3", "-I", "-c", _program(), self._place.state)
        more = (self._target, f"{self._patience:.1f}")
        seconds = self._seconds + self._patience
        with self._host.talk((*argv, *more), seconds=seconds, user=self._place.user) as talk:
            if note := _taken(talk.hear(seconds=self._patience + ANSWER_SECONDS)):
                self._say(str(note))
            yield talk

    def _ask(self, name: str, *arguments: Any) -> Any:
        if self._talk is None:
            raise HostFault("the machine's journal is not open")
        return self._call(self._talk, name, arguments)

    def _call(self, talk: Talk, name: str, arguments: Sequence[Any]) -> Any:
        talk.say(json.dumps([name, arguments]))
        return _taken(talk.hear(seconds=ANSWER_SECONDS), self._say)


def _taken(line: str, say: Say = lambda _: None) -> Any:
    try:
        answer: Mapping[str, Any] = json.loads(line)
    except ValueError as error:
        raise HostFault(f"the machine's journal answers {line[:100]!r}") from error
    if "fault" in answer:
        raise HostFault(f"the machine's journal: {answer['fault']}")
    if note := answer.get("note"):
        say(note)
    return answer["said"]
