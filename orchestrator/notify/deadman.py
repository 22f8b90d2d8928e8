"""The dead man's switch: somebody elsewhere hears regularly that all is well, and misses it.

What lives here: asking for a URL on a schedule as long as nothing speaks against it. What must
not: judging whether all is well; `complaints` says. It has a thread of its own, so that neither
a store nor a server that hangs delays anything else; what hangs also keeps the ping away, which
is what a dead man's switch is for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.contactfile import DeadMan
from orchestrator.ports import Clock
from tasks.host import Host, HostFault

log = logging.getLogger("autobot_dr.notify")

PING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Pinged:
    """How the last ping went. `problem` is why it failed or was kept back."""

    at: float | None = None  #: of the last one that was taken
    problem: str = ""


class DeadManSwitch:
    """Pings until it is stopped."""

    def __init__(
        self, settings: DeadMan, host: Host, complaints: Callable[[], Sequence[str]], now: Clock
    ) -> None:
        self._settings, self._host, self._complaints, self._now = settings, host, complaints, now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-man", daemon=True)
        self.last = Pinged()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Not waited for: it may be in the middle of a request."""
        self._stopping.set()

    def _run(self) -> None:
        while True:
            self.ping()
            if self._stopping.wait(self._settings.every_s):
                return

    def ping(self) -> None:
        """Once, unless something is wrong with us."""
        problem = self._problem()
        if problem and problem != self.last.problem:
            log.warning("the dead man's switch: %s", problem)
        elif self.last.problem and not problem:
            log.info("the dead man's switch is pinged again")
        self.last = Pinged(self.last.at if problem else self._now(), problem)

    def _problem(self) -> str:
        try:
            if complaints := list(self._complaints()):
                return f"not pinged, because {'; '.join(complaints)}"
            reply = self._host.http("GET", self._settings.url, seconds=PING_SECONDS)
        except HostFault as fault:
            return f"the ping failed: {self._without_url(str(fault))}"
        except Exception as error:
            log.exception("the dead man's switch could not be pinged")
            return f"not pinged: {type(error).__name__}"
        return "" if 200 <= reply.status < 300 else f"the ping was answered with {reply.status}"

    def _without_url(self, text: str) -> str:
        """Whoever has the URL can keep the switch quiet."""
        url = self._settings.url
        path = url.partition("://")[2].partition("/")[2]
        for secret in filter(None, (url, path)):
            text = text.replace(secret, "…")
        return text
