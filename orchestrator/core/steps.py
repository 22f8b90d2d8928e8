"""One attempt at one step: its record, its order, its report.

What lives here: the record and the pure functions that make orders from it and read reports
into it. What must not: what follows for the branch (branch.py).

Deadlines are absolute and are fixed when a chain is published: the k-th order may begin until
all before it could have ended, plus the time to pick one up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.plan import Step
from tasks.contract import Json, Outcome, WorkOrder, WorkReport

if TYPE_CHECKING:
    from orchestrator.core.incident import Incident

PICKUP_SECONDS = 20.0  #: an agent that has not begun an order by then is not going to
REPORT_SECONDS = 10.0  #: a report or a check may be this late before it counts as missing


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One attempt at one step. `outcome` is None while it is out."""

    rung: int
    branch: int
    number: int
    attempt: int
    operation: str
    agent: str
    machine: str
    service: str
    arguments: Mapping[str, Json]
    not_after: float
    overdue_at: float
    outcome: Outcome | None = None
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.rung, self.number, self.attempt)

    @property
    def late(self) -> bool:
        """Refused only because it came too late: the remedy itself was not tried."""
        refused = self.outcome is Outcome.REFUSED and self.started_at is not None
        return refused and (self.started_at or 0) > self.not_after


def next_attempt(incident: Incident, rung: int, steps: Sequence[Step]) -> int:
    """Higher than any at one of these steps: an order's id must never come twice."""
    numbers = {each.number for each in steps}
    tried = [e.attempt for e in incident.steps if e.rung == rung and e.number in numbers]
    return max(tried, default=0) + 1


def new_records(
    rung: int, branch: int, steps: Sequence[Step], attempt: int, now: float
) -> list[StepRecord]:
    ends = now + PICKUP_SECONDS
    records = []
    for step in steps:
        not_after, ends = ends, ends + step.seconds
        records.append(
            StepRecord(
                rung,
                branch,
                step.number,
                attempt,
                step.operation,
                step.agent,
                step.machine,
                step.service,
                step.arguments,
                not_after=not_after,
                overdue_at=ends + REPORT_SECONDS,
            )
        )
    return records


def order_id(incident: Incident, step: StepRecord) -> str:
    """The id that the step's order has (`WorkOrder.id`)."""
    return f"{incident.id}.{step.rung}.{step.number}.{step.attempt}"


def orders_for(incident: Incident, records: Sequence[StepRecord]) -> tuple[WorkOrder, ...]:
    """The orders of these attempts, not signed yet."""
    return tuple(
        WorkOrder(
            incident=incident.id,
            run=incident.run,
            epoch=incident.epoch,
            rung=each.rung,
            step=each.number,
            attempt=each.attempt,
            agent=each.agent,
            machine=each.machine,
            service=each.service,
            operation=each.operation,
            arguments=each.arguments,
            not_after=each.not_after,
            seconds=each.overdue_at - REPORT_SECONDS - each.not_after,
        )
        for each in records
    )


def record_report(
    steps: Sequence[StepRecord], report: WorkReport, run: str
) -> tuple[StepRecord | None, str]:
    """The step with its outcome, or None and why the report changes nothing."""
    key = (report.rung, report.step, report.attempt)
    step = next((each for each in steps if each.key == key), None)
    if step is None or report.run != run or report.agent != step.agent:
        return None, f"report {report.order} from {report.agent} fits no order of run {run}"
    # A step that counted as unknown may still be told by its agent; a told one is settled.
    if step.outcome is not None and (step.outcome, step.ended_at) != (Outcome.UNKNOWN, None):
        return None, f"report {report.order} came again"
    told = replace(
        step,
        outcome=Outcome(report.outcome),
        reason=report.reason,
        started_at=report.started_at,
        ended_at=report.ended_at,
    )
    return told, f"{told.operation} on {told.machine}: {told.outcome}: {told.reason}"


def current_steps(incident: Incident, branch: int) -> tuple[StepRecord, ...]:
    """The newest attempt at each step of a branch of the current rung."""
    newest: dict[int, StepRecord] = {}
    for each in incident.steps:
        if (each.rung, each.branch) == (incident.rung, branch):
            newest[each.number] = each
    return tuple(newest[number] for number in sorted(newest))


def as_unknown(
    history: Sequence[StepRecord], steps: Sequence[StepRecord], reason: str
) -> tuple[StepRecord, ...]:
    """The history in which nothing is known of these steps; a late report may still tell."""
    keys = {each.key for each in steps}
    return tuple(
        replace(each, outcome=Outcome.UNKNOWN, reason=reason) if each.key in keys else each
        for each in history
    )
