"""Gauges for Prometheus, in its plain text format.

What lives here: a pure function from what the store says to text. What must not: a client
library; a handful of gauges that are read from the store need no registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.core.health import CAPTURES, Health
from orchestrator.core.incident import Incident, State
from orchestrator.core.sight import Picture
from orchestrator.leadership import Standing
from orchestrator.schedule import Lateness

MEDIA_TYPE = "text/plain; version=0.0.4"
NEWEST = 100  #: runs that are counted; a scrape must not read a year of history


def text(
    runs: Sequence[Incident],
    *,
    pending: int,
    ready: Sequence[str],
    picture: Picture | None = None,
    lateness: Lateness | None = None,
    standing: Standing | None = None,
) -> str:
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
    gauges += _leading(standing) if standing else []
    gauges += _watched(picture) if picture else []
    gauges += _late(lateness) if lateness else []
    gauges += _captured(picture) if picture else []
    return "".join(line for gauge in gauges for line in gauge)


def _leading(standing: Standing) -> list[Iterable[str]]:
    leads = standing.role == "leader" and not standing.complaint
    return [
        _gauge("autobot_dr_leading", "1 where decisions are made.", {"": int(leads)}),
        _gauge("autobot_dr_term", "Counted up by every take-over.", {"": standing.term}),
    ]


def _watched(picture: Picture) -> list[Iterable[str]]:
    services = picture.services.values()
    asked = {e.service: picture.at - e.last.asked_at for e in services if e.last}
    return [
        _gauge(
            "autobot_dr_service_health",
            "1 for the health that each service has now.",
            {
                f'{{service="{each.service}",health="{health.value}"}}': int(each.health is health)
                for each in services
                for health in Health
            },
        ),
        _gauge(
            "autobot_dr_reading_age_seconds",
            "Since the newest reading of what decides a service's health.",
            {f'{{service="{name}"}}': age for name, age in asked.items()},
        ),
    ]


def _captured(picture: Picture) -> list[Iterable[str]]:
    """Of each capture of a Redis, by its job; none where nothing is captured."""
    told = {
        name.removeprefix(CAPTURES): each.last.metrics
        for name, each in picture.own.items()
        if name.startswith(CAPTURES) and each.last
    }
    said = {
        "lag_seconds": "Since when something written is not on the vault yet.",
        "lag_bytes": "Of the replication stream that are not on the vault yet.",
    }
    return [
        _gauge(
            f"autobot_dr_redis_capture_{metric}",
            text,
            {
                f'{{job="{job}"}}': values[metric]
                for job, values in told.items()
                if metric in values
            },
        )
        for metric, text in said.items()
        if told
    ]


def _late(lateness: Lateness) -> list[Iterable[str]]:
    values = {"0.5": lateness.p50, "0.99": lateness.p99, "1": lateness.max}
    return [
        _gauge(
            "autobot_dr_probe_lateness_seconds",
            "From due to started, of the watcher's probes in the last minutes.",
            {f'{{quantile="{name}"}}': value for name, value in values.items()},
        ),
        _gauge(
            "autobot_dr_probes_skipped",
            "Of them never started, because too many of the same were still out.",
            {"": lateness.skipped},
        ),
    ]


def _gauge(name: str, said: str, values: Mapping[str, float]) -> Iterable[str]:
    yield f"# HELP {name} {said}\n# TYPE {name} gauge\n"
    for labels, value in values.items():
        yield f"{name}{labels} {value:g}\n"
