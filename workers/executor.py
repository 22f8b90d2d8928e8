"""What an agent does with one order, from the message to the signed report.

What lives here: the sequence guard → journal → look, act, look again → journal. What must
not: Celery (agent.py) and any particular operation. One order at a time per service: the
journal's lock is held from the look at it to the finished report, so a doubled delivery waits
and then finds the order finished. On a machine whose agent is dead, the coordinator runs this
same sequence with a host and a journal over SSH (carrier.py); `way` is then in each reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey, VerifyKey

from tasks import catalog
from tasks.contract import Headway, Json, Outcome, Progress, WorkOrder, WorkReport
from tasks.ending import EndableHost
from tasks.headway import Meter, Moved, Tell
from tasks.host import Host
from tasks.operation import (
    RECONSIDER_SECONDS,
    BadArguments,
    Operation,
    Result,
    carry_out,
    reconsider,
)
from tasks.signing import sign
from workers.guard import refusal
from workers.journal import Book

ASK_SECONDS = 0.5  #: between two looks at whether an order was withdrawn


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is and whom it obeys."""

    machine: str
    key: SigningKey
    coordinator: VerifyKey
    state: Path


class Executor:
    """Carries out orders on one host. `tell` and `show` take progress, for people only."""

    def __init__(
        self,
        identity: Identity,
        journal: Book,
        host: Host,
        tell: Callable[[Progress], None] = lambda _: None,
        show: Callable[[Headway], None] = lambda _: None,
        *,
        way: str = "",
        withdrawn: Callable[[str], str] | None = None,
    ) -> None:
        """`withdrawn` says why an order is to be ended, where its journal does not know it."""
        self.identity, self.journal, self.host, self.tell = identity, journal, host, tell
        self.show, self.way = show, way
        self._withdrawn = withdrawn or journal.withdrawn

    def handle(self, message: Mapping[str, Json], *, sent_as: str) -> WorkReport:
        """The report on this order, journalled. Raises WireError if it is not an order at all."""
        order = WorkOrder.from_wire(message)
        operation = catalog.operations().get(order.operation)
        with self.journal.alone_on(order, beside=operation is not None and operation.beside):
            started = self.host.now()
            known = self.journal.recall(order.id)
            if known and known.report:
                return known.report
            reason = refusal(
                order,
                sent_as=sent_as,
                agent=self.identity.machine,
                coordinator=self.identity.coordinator,
                epoch=self.journal.highest_epoch(order.machine),
                # What was begun in time is looked at however late it comes back.
                now=order.not_after if known else started,
            )
            if not reason and not known and (why := self._withdrawn(order.id)):
                reason = f"withdrawn: {why}"
            if reason:
                return self._report(order, Result(Outcome.REFUSED, reason), started)
            result = self._result(order, known.before if known else None)
            report = self._report(order, result, started)
            self.journal.finish(order, report)
            return report

    def handle_own(self, order: WorkOrder) -> WorkReport:
        """The report on what nobody ordered, and a job sheet lets this agent do by itself.

        Under the same lock as any order, and in the same journal. It commands nothing: whoever
        orders something for the machine afterwards is not refused.
        """
        with self.journal.alone_on(order):
            started = self.host.now()
            order = replace(order, epoch=self.journal.highest_epoch(order.machine))
            report = self._report(order, self._result(order, None), started)
            self.journal.finish(order, report)
            return report

    def _result(self, order: WorkOrder, before: Mapping[str, Json] | None) -> Result:
        operation = catalog.operations().get(order.operation)
        if operation is None:
            known = ", ".join(sorted(catalog.operations()))
            reason = f"this agent has no operation {order.operation!r} (known: {known})"
            return Result(Outcome.REFUSED, reason)
        try:
            if before is not None:
                ends = self.host.now() + min(order.seconds, RECONSIDER_SECONDS)
                return reconsider(self.host, operation, order.arguments, before, ends=ends)
            host, tell = self._endable(order, operation)
            return carry_out(
                host,
                operation,
                order.arguments,
                ends=self.host.now() + order.seconds,
                begun=lambda seen: self.journal.begin(order, seen, self.host.now()),
                tell=tell,
            )
        except BadArguments as fault:
            return Result(Outcome.REFUSED, f"{order.operation}: {fault}")

    def _endable(self, order: WorkOrder, operation: Operation[Any, Any]) -> tuple[Host, Tell]:
        """The host as this order sees it, and what it may say."""
        meter = Meter()

        def moved(what: Moved) -> None:
            self._show(order, meter, what)

        if not operation.endable:
            return self.host, Tell(lambda text: self._tell(order, text), moved)
        host = EndableHost(self.host, self._now_and_then(order))
        return host, Tell(lambda text: self._tell(order, text), moved, host.keep_on)

    def _now_and_then(self, order: WorkOrder) -> Callable[[], str]:
        """Why it is withdrawn, asked not more often than is worth it."""
        asked_at, said = -ASK_SECONDS, ""

        def why() -> str:
            nonlocal asked_at, said
            if not said and time.monotonic() - asked_at >= ASK_SECONDS:
                asked_at, said = time.monotonic(), self._withdrawn(order.id)
            return f"ended: {said}" if said else ""

        return why

    def _report(self, order: WorkOrder, result: Result, started: float) -> WorkReport:
        return report_on(order, result, started, self.host.now(), self.identity, self.way)

    def _tell(self, order: WorkOrder, text: str) -> None:
        said = Progress(
            order=order.id,
            incident=order.incident,
            run=order.run,
            agent=self.identity.machine,
            text=text,
            at=self.host.now(),
        )
        self.tell(sign(said, self.identity.key))

    def _show(self, order: WorkOrder, meter: Meter, moved: Moved) -> None:
        now = self.host.now()
        if pace := meter.take(moved, now):
            rate, left = pace.per_second, pace.left_s
            said = Headway(
                order=order.id,
                incident=order.incident,
                run=order.run,
                rung=order.rung,
                step=order.step,
                attempt=order.attempt,
                agent=self.identity.machine,
                what=moved.what,
                done_bytes=moved.done,
                total_bytes=moved.total,
                per_second=-1.0 if rate is None else rate,
                left_s=-1.0 if left is None else left,
                at=now,
            )
            self.show(sign(said, self.identity.key))


def report_on(
    order: WorkOrder, result: Result, started: float, ended: float, by: Identity, way: str
) -> WorkReport:
    """The signed report of what became of an order, with the way that was taken."""
    return sign(
        WorkReport(
            order=order.id,
            incident=order.incident,
            run=order.run,
            epoch=order.epoch,
            rung=order.rung,
            step=order.step,
            attempt=order.attempt,
            agent=by.machine,
            outcome=result.outcome.value,
            reason=f"{result.reason} ({way})" if way else result.reason,
            detail=result.detail,
            started_at=started,
            ended_at=ended,
        ),
        by.key,
    )
