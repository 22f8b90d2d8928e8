"""Withdrawals: orders that are not to be carried out any more, said past an agent that is at work.

What lives here: their queue, and taking them in an agent's main process, which is
free while its pool works. What must not: ending anything; whoever carries an order out asks the
journal now and then (executor.py). The queue is durable, so one that comes while the agent is
away is heeded as soon as it is back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import Celery, bootsteps
from kombu import Consumer, Exchange, Queue

from tasks.contract import Json, WireError, Withdrawal
from workers.broker import host_queue
from workers.executor import Identity
from workers.guard import withdrawal_refusal
from workers.journal import Journal
from workers.ledger import JOURNAL

log = logging.getLogger("autobot_dr.agent")


def withdrawals_queue(machine: str) -> Queue:
    name = f"{host_queue(machine)}.withdrawn"
    return Queue(name, Exchange(name), routing_key=name)


def heed(identity: Identity, message: Mapping[str, Json]) -> str:
    """Write down what it withdraws; why it is not heeded, or nothing."""
    try:
        withdrawal = Withdrawal.from_wire(message)
    except WireError as fault:
        return str(fault)
    if refused := withdrawal_refusal(
        withdrawal, agent=identity.machine, coordinator=identity.coordinator
    ):
        return refused
    # Opened for this alone: the pool's processes are forked from this one.
    journal = Journal(identity.state / JOURNAL)
    try:
        journal.withdraw(withdrawal)
    finally:
        journal.close()
    log.info("withdrawn: %s: %s", ", ".join(withdrawal.orders), withdrawal.reason)
    return ""


def take_withdrawals(app: Celery, identity: Identity) -> None:
    """From now on, in the worker of this app, beside whatever its pool does."""

    class Withdrawals(bootsteps.ConsumerStep):  # type: ignore[misc]
        def get_consumers(self, channel: Any) -> list[Consumer]:
            queue = withdrawals_queue(identity.machine)
            return [Consumer(channel, [queue], callbacks=[self.taken], accept=["json"])]

        def taken(self, body: Any, message: Any) -> None:
            try:
                if refused := heed(identity, body):
                    log.warning("a withdrawal is refused, %s", refused)
            except Exception:
                # It must not end the worker's loop; the order then runs to its own end.
                log.exception("a withdrawal could not be written down")
            message.ack()

    app.steps["consumer"].add(Withdrawals)
