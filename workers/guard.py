"""Whether an agent obeys an order: pure, so that every refusal can be tested with plain values.

The rule (P2): an order is obeyed only by the agent it names, if the coordinator signed every
part of it, if it came under the name of its own operation, if it is not late, and if no run
with a higher epoch has commanded that machine. Each refusal says which of these it was.
A withdrawal ends what was ordered; it must be signed, and for this agent.
A job sheet lets an agent back up by itself; it must be signed, for this agent, and not older
than the one that the agent holds.
A watch list commands nothing that changes a machine; it must be signed, for this agent, and
not older than the one that the agent holds.
"""

from __future__ import annotations

from nacl.signing import VerifyKey

from tasks.contract import JobSheet, Withdrawal, WorkOrder
from tasks.signing import is_signed_by
from tasks.watching import WatchList


def refusal(
    order: WorkOrder, *, sent_as: str, agent: str, coordinator: VerifyKey, epoch: int, now: float
) -> str | None:
    """Why this agent must not begin the order, or None. `epoch` is the highest it has seen."""
    if not is_signed_by(order, coordinator):
        return "forged: the signature is not the coordinator's"
    if order.operation != sent_as:
        return f"forged: signed as {order.operation} but sent as {sent_as}"
    if order.agent != agent:
        return f"foreign: it is for the agent of {order.agent}, this is {agent}"
    if order.epoch < epoch:
        return f"stale: epoch {order.epoch}, but {order.machine} has obeyed epoch {epoch}"
    if now > order.not_after:
        return f"late: it was to begin {now - order.not_after:.0f} s ago"
    return None


def withdrawal_refusal(withdrawal: Withdrawal, *, agent: str, coordinator: VerifyKey) -> str | None:
    """Why this agent does not heed it, or None. Its epoch is not compared: it names the orders,
    and what a later run orders has other names."""
    if not is_signed_by(withdrawal, coordinator):
        return "forged: the signature is not the coordinator's"
    if withdrawal.agent != agent:
        return f"foreign: it is for the agent of {withdrawal.agent}, this is {agent}"
    return None


def sheet_refusal(
    sheet: JobSheet, *, agent: str, coordinator: VerifyKey, held: JobSheet | None
) -> str | None:
    """Why this agent must not take the job sheet, or None. `held` is the one that it has."""
    if not is_signed_by(sheet, coordinator):
        return "forged: the signature is not the coordinator's"
    if sheet.agent != agent:
        return f"foreign: it is for the agent of {sheet.agent}, this is {agent}"
    if held and sheet.issued_at < held.issued_at:
        return f"stale: this agent holds one of {sheet.job!r} that was issued later"
    return None


def list_refusal(
    watch_list: WatchList, *, agent: str, coordinator: VerifyKey, held: WatchList | None
) -> str | None:
    """Why this agent must not take the watch list, or None. `held` is the one that it has."""
    if not is_signed_by(watch_list, coordinator):
        return "forged: the signature is not the coordinator's"
    if watch_list.agent != agent:
        return f"foreign: it is for the agent of {watch_list.agent}, this is {agent}"
    if held and watch_list.issued_at < held.issued_at:
        later = held.issued_at - watch_list.issued_at
        return f"stale: this agent holds one that was issued {later:.0f} s later"
    return None
