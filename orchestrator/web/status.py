"""What there is to say of the fleet when somebody asks: the watcher's picture, or one look.

What lives here: choosing between the two, and sharing a look. What must not: the shape of the
answer (statusshape.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Job
from orchestrator.core.captures import continuous
from orchestrator.core.sight import Picture
from orchestrator.leadership import Standing
from orchestrator.ports import StoreUnavailable
from orchestrator.web.captureshape import capture_shape
from orchestrator.web.standing import standing_shape
from orchestrator.web.statusshape import Around, StatusShape, as_looked, as_watched
from tasks.contract import Reading

#: A look serves everybody who asks within this time, so that viewers do not add up.
FRESH_SECONDS = 0.5


class StatusBoard:
    """One per app. `picture` gives what the watcher sees, None while it has seen nothing."""

    def __init__(
        self,
        coordinator: Coordinator,
        picture: Callable[[], Picture | None],
        standing: Callable[[], Standing],
        jobs: Iterable[Job] = (),
    ) -> None:
        self.coordinator, self.picture, self.standing = coordinator, picture, standing
        self.jobs = tuple(jobs)
        self._lock = threading.Lock()
        self._readings: Mapping[str, Reading] = {}
        self._looked_at = float("-inf")

    def status(self, roles: Mapping[str, str]) -> StatusShape:
        picture = self.picture()
        readings = self.readings() if picture is None else {}
        fleet, around = self.coordinator.protected.fleet, self._around(self.coordinator.now())
        captures = [capture_shape(each, picture) for each in continuous(self.jobs)]
        around = replace(around, captures=captures)
        if picture is not None:
            return as_watched(fleet, picture, around, roles)
        return as_looked(fleet, readings, around, roles)

    def _around(self, now: float) -> Around:
        """Health is told also while the store is away: it may be what has failed."""
        store, by = self.coordinator.store, standing_shape(self.standing())
        try:
            return Around(store.not_closed(), store.windows.current(now), now, by)
        except StoreUnavailable as away:
            return Around((), (), now, by, f"incidents and maintenance are not shown: {away}")

    def readings(self) -> Mapping[str, Reading]:
        """Fresh ones; while somebody looks, the last ones, whose age says what they are.

        Services that are slow to answer must not hold every thread that a run could need.
        """
        if not self._lock.acquire(blocking=not self._readings):
            return self._readings
        try:
            here = self.coordinator
            if here.now() - self._looked_at > FRESH_SECONDS:
                self._readings = here.lookout.look(list(here.protected.fleet.services.values()))
                self._looked_at = here.now()
            return self._readings
        finally:
            self._lock.release()
