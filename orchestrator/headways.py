"""The port for how far steps are. Its suite: tests/contracts/test_headways.py.

What lives here: the protocol. What must not: any decision; only people look at it, and it may be
lost with the process that said it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tasks.contract import Headway


class Headways(Protocol):
    """The newest of each order.

    Contract, for every implementation:
    - `record` keeps one for an order: what was said later counts, in whichever order it comes;
    - `of_run` gives them by the order's id;
    - any implementation may be called from several threads at once.
    """

    def record(self, headway: Headway) -> None: ...

    def of_run(self, run: str) -> Mapping[str, Headway]: ...
