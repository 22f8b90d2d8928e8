"""The figures of `make bench`: their goals, the table that people read, build/bench.json.

What lives here: names, units and goals as FACES.md and the issues have them, and both ways of
showing figures. What must not: measuring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Literal

from tasks.contract import Json


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach, and in which unit it is told."""

    unit: str
    value: float
    better: Literal["lower", "higher"]

    def met(self, value: float) -> bool:
        return value <= self.value if self.better == "lower" else value >= self.value


TIMES = "\N{MULTIPLICATION SIGN}"

GOALS: Mapping[str, Goal] = {
    "ordered_restart_ratio": Goal(f"{TIMES} limit", 1.15, "lower"),
    "boot_ratio": Goal(f"{TIMES} critical path", 1.25, "lower"),
    "hyperv_boot_ratio": Goal(f"{TIMES} critical path", 1.25, "lower"),
    "trigger_to_effect_p50_ms": Goal("ms", 30, "lower"),
    "trigger_to_effect_p99_ms": Goal("ms", 250, "lower"),
    "step_overhead_ms": Goal("ms", 10, "lower"),
    "agent_pss_mb": Goal("MB", 70, "lower"),
    "agent_idle_cpu_pct": Goal("%", 0.5, "lower"),
    "watch_5000_p99_lateness_s": Goal("s", 1.0, "lower"),
    "watch_5000_cpu_pct": Goal("%", 15, "lower"),
    "watch_5000_rss_mb": Goal("MB", 64, "lower"),
    "detection_p95_ratio": Goal(f"{TIMES} (2 {TIMES} interval + timeout)", 1.0, "lower"),
    "rpo_loss_median_s": Goal("s", 1.0, "lower"),
    "rpo_loss_max_s": Goal("s", 2.0, "lower"),
    "restore_ratio": Goal(f"{TIMES} plain load", 1.3, "lower"),
    "capture_cost_pct": Goal("%", 5, "lower"),
    "capture_rss_mb": Goal("MB", 40, "lower"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `spread` is the interquartile range of the runs, in its unit."""

    name: str
    value: float
    runs: int
    spread: float
    conditions: str
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def goal(self) -> Goal:
        return GOALS[self.name]


def of_runs(name: str, values: Sequence[float], conditions: str) -> Figure:
    """The median of several runs."""
    return Figure(name, median(values), len(values), spread(values), conditions)


def spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def to_json(figures: Sequence[Figure]) -> dict[str, Json]:
    """The shape of build/bench.json."""
    return {
        each.name: {
            "value": round(each.value, 4),
            "unit": each.goal.unit,
            "goal": each.goal.value,
            "better": each.goal.better,
            "runs": each.runs,
            "spread": round(each.spread, 4),
            "peers": {name: round(value, 4) for name, value in each.peers.items()},
            "conditions": each.conditions,
        }
        for each in figures
    }


def merged(written: str, figures: Sequence[Figure]) -> str:
    """What build/bench.json becomes: a run of one benchmark keeps the figures of the others."""
    return json.dumps({**json.loads(written or "{}"), **to_json(figures)}, indent=2) + "\n"


def table(figures: Sequence[Figure]) -> str:
    """One line a figure, its peers below it, then the conditions."""
    head = ("figure", "value", "unit", "goal", "", "spread", "runs")
    rows = [row for each in figures for row in _rows(each)]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    said = [f"{each.name}: {each.conditions}" for each in figures]
    return "\n".join([*lines, "", *said])


def _rows(figure: Figure) -> list[tuple[str, ...]]:
    goal = figure.goal
    sign = "≤" if goal.better == "lower" else "≥"
    verdict = "met" if goal.met(figure.value) else "NOT MET"
    own = (
        figure.name,
        _number(figure.value),
        goal.unit,
        f"{sign} {goal.value:g}",
        verdict,
        _number(figure.spread),
        str(figure.runs),
    )
    peers = [
        (f"  {name}", _number(value), goal.unit, "", "", "", "")
        for name, value in figure.peers.items()
    ]
    return [own, *peers]


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
