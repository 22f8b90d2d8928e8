"""The port behind which maintenance windows are kept, and how long one may be.

What lives here: the protocol with its contract. What must not: implementations (store/) and
what a window forbids (core/policy.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.policy import Window

#: A window that somebody forgot must not leave the fleet without recovery for ever.
LONGEST_SECONDS = 30 * 86400.0


class Windows(Protocol):
    """Maintenance windows, for good. They may overlap.

    Contract, for every implementation:
    - `add` keeps a window once: an id that is known gives back what is stored;
    - `stop` ends a window now. One that is over stays as it was, None is unknown, and one that
      had not begun is over before it began;
    - any implementation may be called from several threads at once.
    """

    def add(self, window: Window) -> Window: ...

    def stop(self, window: str, now: float) -> Window | None: ...

    def current(self, now: float) -> Sequence[Window]:
        """Those that have not ended, the one that ends first in front."""
        ...

    def newest(self, limit: int) -> Sequence[Window]:
        """The one that ends last in front, those that are over included."""
        ...
