"""What we need ourselves, watched like everything else: the broker, the queues, our readings.

What lives here: asking each of them every few seconds, in one thread, and making a reading of
the answer. What must not: how each is asked; that is given as functions that complain.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.core.health import COORDINATOR, Rule, Use, Watch
from orchestrator.ports import Clock
from tasks.contract import Kind, Reading

log = logging.getLogger("autobot_dr.own")

SECONDS: Final = 5.0

Complaint = Callable[[], str]  #: what is wrong, or nothing


#: That some readings are missing shows for a moment after every cut, and has to last.
LASTING = {"readings": Rule(bad=6, of=6)}


def own_watches(names: tuple[str, ...]) -> tuple[Watch, ...]:
    return tuple(
        Watch(
            f"own/{name}",
            Use.OWN,
            "",
            "",
            name,
            {},
            interval_s=SECONDS,
            rule=LASTING.get(name, Rule()),
        )
        for name in names
    )


class OwnChecks(threading.Thread):
    """Asks until stopped. One that cannot even be asked complains by that."""

    def __init__(
        self, asked: Mapping[str, Complaint], take: Callable[[str, Reading], None], now: Clock
    ) -> None:
        super().__init__(name="own-checks", daemon=True)
        self._asked, self._take, self._now = asked, take, now
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(SECONDS):
            for name, complaint in self._asked.items():
                at = self._now()
                try:
                    said = complaint()
                except Exception as error:
                    log.exception("own check %s failed", name)
                    said = f"could not be asked: {type(error).__name__}: {error}"
                kind = Kind.BAD if said else Kind.GOOD
                self._take(f"own/{name}", _reading(name, at, self._now() - at, said, kind))

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=2 * SECONDS)


def _reading(name: str, at: float, latency: float, said: str, kind: Kind) -> Reading:
    return Reading(name, COORDINATOR, at, latency, {}, (said,) if said else (), "", kind)
