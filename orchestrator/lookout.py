"""Looking at services from outside: the coordinator's own vantage.

What lives here: asking the checks of services, side by side, until they are healthy or time
is up. What must not: agents' opinions; a recovery is verified by what users would see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from orchestrator.core.events import CheckResult
from orchestrator.core.fleet import Service
from tasks.contract import Reading
from tasks.host import Host
from tasks.operation import Probe, take_reading

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  #: seconds between two looks


class Lookout:
    """Asks from one host. `probes` is the catalogue."""

    def __init__(
        self, host: Host, probes: Mapping[str, Probe[Any]], *, vantage: str = "coordinator"
    ) -> None:
        self.host, self.probes, self.vantage = host, probes, vantage
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="lookout")

    def look(self, services: Sequence[Service]) -> dict[str, Reading]:
        """One reading of each service, by name."""

        def ask(service: Service) -> Reading:
            check = service.check
            return take_reading(
                self.host, self.probes[check.probe], check.arguments, vantage=self.vantage
            )

        readings = self._pool.map(ask, services)
        return {service.name: reading for service, reading in zip(services, readings, strict=True)}

    def watch_until_healthy(
        self,
        services: Sequence[Service],
        *,
        required: Collection[str],
        seconds: float,
    ) -> list[CheckResult]:
        """Look again and again until all of `required` are healthy, or `seconds` have passed."""
        ends, pause = self.host.now() + seconds, FIRST_PAUSE
        while True:
            readings = self.look(services)
            healthy = all(readings[name].healthy for name in required)
            if healthy or self.host.now() + pause > ends:
                return [CheckResult(n, each.healthy, each.reason) for n, each in readings.items()]
            self.host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
