"""Gauges for Prometheus, in its plain text format.

What lives here: a pure function from what the store says to text. What must not: a client
library; a handful of gauges that are read from the store need no registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.core.incident import Incident, State

MEDIA_TYPE = "text/plain; version=0.0.4"
NEWEST = 100  #: runs that are counted; a scrape must not read a year of history


def text(runs: Sequence[Incident], *, pending: int, ready: Sequence[str]) -> str:
    states = Counter(each.state for each in runs)
    times: dict[str, float] = {}
    for each in reversed(runs):
        if each.rta_s is not None:
            times[each.scenario] = each.rta_s
    gauges = [
        _gauge(
            "autobot_dr_runs",
            f"The newest {NEWEST} runs by state.",
            {f'{{state="{state.value}"}}': states[state] for state in State},
        ),
        _gauge(
            "autobot_dr_last_rta_seconds",
            "Recovery time achieved by the newest resolved run of a scenario.",
            {f'{{scenario="{name}"}}': value for name, value in sorted(times.items())},
        ),
        _gauge("autobot_dr_pending_effects", "Decided and not yet sent.", {"": pending}),
        _gauge("autobot_dr_ready", "1 when store and broker answer.", {"": int(not ready)}),
    ]
    return "".join(line for gauge in gauges for line in gauge)


def _gauge(name: str, said: str, values: Mapping[str, float]) -> Iterable[str]:
    yield f"# HELP {name} {said}\n# TYPE {name} gauge\n"
    for labels, value in values.items():
        yield f"{name}{labels} {value:g}\n"
