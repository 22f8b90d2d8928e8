"""Which epoch the next run gets: above all that machines have obeyed, whatever store it is from.

What lives here: the floor that time gives, and what a machine's refusal tells. What must not:
counting; each store does that. A store that is new, or restored from a backup, knows nothing of
the runs since; but there never was one a second, so the seconds are always ahead of them.
"""

from __future__ import annotations

import re

from tasks.contract import Outcome, WorkReport

FROM = 1_735_689_600  #: 2025-01-01, before the first release
#: Some stores count in 32 bits. A clock that is set to nonsense must leave room to count on, and
#: so must a machine that says it has obeyed what no store can have given.
HIGHEST_FLOOR, HIGHEST_BELIEVED = 2_000_000_000, 2_100_000_000

_OBEYED = re.compile(r"^stale: epoch \d+, but .+ has obeyed epoch (\d{1,10})\b")


def next_epoch(highest: int, now: float) -> int:
    """After the highest that the store has given."""
    return max(highest + 1, min(int(now) - FROM, HIGHEST_FLOOR))


def obeyed(report: WorkReport) -> int:
    """The epoch that a machine says it has obeyed when it refuses a lower one; else 0.

    So a clock that is far behind costs one run and not all.
    """
    found = _OBEYED.match(report.reason) if report.outcome == Outcome.REFUSED else None
    return min(int(found[1]), HIGHEST_BELIEVED) if found else 0
