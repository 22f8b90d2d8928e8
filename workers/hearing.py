"""Which beats the coordinator believes, and which agent gets its watch list: pure.

What lives here: the two decisions and the dates of readings. What must not: any broker
(ears.py). The clock is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nacl.signing import SigningKey, VerifyKey

from orchestrator.core.health import Watch
from tasks.contract import Reading
from tasks.signing import is_signed_by, sign
from tasks.watching import Beat, WatchLine, WatchList

#: How far an agent's clock may be from ours; less than what an order has to be picked up in.
STALE_SECONDS = 15.0
STALE = "stale: "  #: begins the refusal of a beat that is the agent's own
LIST_PAUSE, LIST_LONGEST_PAUSE = 10.0, 320.0  #: before a list is sent again, doubled each time


class Gate:
    """Which beats are believed: an agent's own, fresh, and each of them once."""

    def __init__(self, agents: Mapping[str, VerifyKey]) -> None:
        self.agents = agents
        self._last: dict[tuple[str, str], tuple[int, float]] = {}

    def refusal(self, beat: Beat, now: float) -> str | None:
        """Why it is not believed, or None; then it is the last one of its process."""
        key = self.agents.get(beat.agent)
        if key is None:
            return "foreign: no machine of the fleet has this agent"
        if not is_signed_by(beat, key):
            return "forged: the signature is not the agent's"
        if (off := abs(now - beat.at)) > STALE_SECONDS:
            late = "behind" if beat.at < now else "ahead"
            return f"{STALE}its clock is {off:.0f} s {late}, or the beat was kept"
        number, _ = self._last.get((beat.agent, beat.boot), (0, 0.0))
        if beat.number <= number:
            return "replayed: this beat or a later one was heard already"
        if number == 0:
            self._forget(now)
        self._last[beat.agent, beat.boot] = beat.number, now
        return None

    def _forget(self, now: float) -> None:
        """A beat of a process not heard for so long would be stale by itself."""
        kept = {key: last for key, last in self._last.items() if now - last[1] <= 2 * STALE_SECONDS}
        self._last = kept


class Lists:
    """Which list each agent should hold, and when it is sent to one that does not."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self._wanted: Mapping[str, tuple[WatchList, str]] | None = None  #: with its digest
        self._names: Mapping[str, frozenset[str]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}

    def want(self, lists: Mapping[str, Sequence[Watch]]) -> None:
        """From now on. Of each list only what has that machine as its vantage."""
        made = {machine: _unsigned(machine, watches) for machine, watches in lists.items()}
        self._names = {name: frozenset(x["name"] for x in w.watches) for name, w in made.items()}
        self._wanted = {name: (each, each.digest) for name, each in made.items()}
        self.ask_afresh()

    def ask_afresh(self) -> None:
        """What was sent before may be lost."""
        self._pauses = {}

    def names(self, machine: str) -> frozenset[str]:
        return self._names.get(machine, frozenset())

    def due_for(self, beat: Beat, now: float) -> WatchList | None:
        """The list to send to this agent now, signed, if it holds another one."""
        wanted = self._other_than_held(beat)
        if wanted is None:
            self._pauses.pop(beat.agent, None)
            return None
        not_before, pause = self._pauses.get(beat.agent, (now, LIST_PAUSE))
        if now < not_before:
            return None
        # An agent busy with a long order takes it after that; its queue must not fill meanwhile.
        self._pauses[beat.agent] = now + pause, min(2 * pause, LIST_LONGEST_PAUSE)
        # A clock that was put back must not make every new list older than the one held.
        issued_at = max(now, beat.list_issued_at + 0.001)
        return sign(replace(wanted, issued_at=issued_at), self.key)

    def _other_than_held(self, beat: Beat) -> WatchList | None:
        if self._wanted is None:
            return None
        if beat.agent in self._wanted:
            wanted, digest = self._wanted[beat.agent]
            return None if digest == beat.list_digest else wanted
        # Nothing is asked of this machine any more, which an agent with an old list must learn.
        nothing = _unsigned(beat.agent, ())
        return None if beat.list_digest in ("", nothing.digest) else nothing


def _unsigned(machine: str, watches: Sequence[Watch]) -> WatchList:
    lines = [
        WatchLine(
            each.name, each.probe, dict(each.arguments), each.interval_s, each.timeout_s
        ).to_wire()
        for each in sorted(watches, key=lambda each: each.name)
        if each.vantage == machine
    ]
    return WatchList(machine, 0.0, lines)


def readings_of(beat: Beat, names: frozenset[str], now: float) -> dict[str, Reading]:
    """Of the watches that this agent was given, dated by our clock instead of its own."""
    return {
        name: replace(each, asked_at=now - max(0.0, beat.at - each.asked_at), vantage=beat.agent)
        for name, each in beat.taken().items()
        if name in names
    }
