"""Publishes a branch as one Celery chain: each order on its agent's queue, then the check.

What lives here: signing and the shape of the messages. What must not: deciding what to send.
Publishing twice is harmless: task ids are the orders' ids, and an order takes effect once.
"""

from __future__ import annotations

import time

from celery import Celery, chain
from celery.canvas import Signature
from kombu.exceptions import OperationalError
from nacl.signing import SigningKey

from orchestrator.core.events import Publish, Withdraw
from orchestrator.core.incident import Incident
from orchestrator.ports import PublishFailed
from tasks.contract import JobSheet, Withdrawal, WorkOrder
from tasks.signing import sign
from workers.broker import COORDINATOR_QUEUE, host_queue
from workers.withdrawing import withdrawals_queue

#: A step's own deadlines end it; Celery's is the last resort against a process that hangs.
LAST_RESORT_SECONDS = 60
LISTEN_SECONDS = 2  #: for the broker to say that it is there


class ChainPublisher:
    """The Publisher port on a real broker."""

    def __init__(self, app: Celery, key: SigningKey) -> None:
        self.app, self.key = app, key

    def publish(self, incident: Incident, effect: Publish) -> None:
        links = [self._order(sign(each, self.key)) for each in effect.orders]
        links.append(self._check(incident, effect))
        try:
            chain(*links, app=self.app).apply_async(
                root_id=incident.run,
                retry=True,
                retry_policy={"max_retries": 2},
                # Else the result backend is asked as well, and breaks for good without a broker.
                ignore_result=True,
            )
        except OperationalError as error:
            raise PublishFailed(f"the broker did not take the chain: {error}") from error

    def withdraw(self, incident: Incident, effect: Withdraw) -> None:
        for agent in dict.fromkeys(each for each, _ in effect.orders):
            withdrawal = Withdrawal(
                incident=incident.id,
                run=incident.run,
                epoch=incident.epoch,
                agent=agent,
                orders=tuple(order for to, order in effect.orders if to == agent),
                reason=effect.reason,
                at=time.time(),
            )
            queue = withdrawals_queue(agent)
            try:
                with self.app.producer_or_acquire() as producer:
                    producer.publish(
                        sign(withdrawal, self.key).to_wire(),
                        serializer="json",
                        exchange=queue.exchange,
                        routing_key=queue.routing_key,
                        declare=[queue],
                        retry=True,
                        retry_policy={"max_retries": 2},
                    )
            except OperationalError as error:
                raise PublishFailed(f"the broker did not take a withdrawal: {error}") from error

    def hand_out(self, sheet: JobSheet) -> None:
        try:
            self.app.send_task(
                "agent.job",
                kwargs={"sheet": sign(sheet, self.key).to_wire()},
                queue=host_queue(sheet.agent),
                ignore_result=True,
                kwargsrepr=f"{sheet.job}, to be backed up without an order",
                retry=True,
                retry_policy={"max_retries": 2},
            )
        except OperationalError as error:
            raise PublishFailed(f"the broker did not take a job sheet: {error}") from error

    def listening(self) -> bool:
        try:
            with self.app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=1, timeout=LISTEN_SECONDS)
        except OperationalError:
            return False
        return True

    def carries(self) -> bool:
        return self.listening()

    def stranded(self, _effect: Publish) -> bool:
        """What a broker has taken it delivers when it is back."""
        return False

    def _order(self, order: WorkOrder) -> Signature:
        arguments = ", ".join(f"{name}={value!r}" for name, value in order.arguments.items())
        return self.app.signature(
            order.operation,
            kwargs={"order": order.to_wire()},
            immutable=True,
            queue=host_queue(order.agent),
            task_id=order.id,
            # What Flower shows: what is done to what, instead of a signed envelope.
            kwargsrepr=f"{order.service or order.machine}: {arguments} (attempt {order.attempt})",
            time_limit=order.seconds + LAST_RESORT_SECONDS,
        )

    def _check(self, incident: Incident, effect: Publish) -> Signature:
        planned = incident.plan.branch(effect.rung, effect.branch)
        return self.app.signature(
            "orchestrator.status_check",
            kwargs={
                "run": incident.run,
                "rung": effect.rung,
                "branch": effect.branch,
                "seconds": effect.check_seconds,
            },
            immutable=True,
            queue=COORDINATOR_QUEUE,
            kwargsrepr=f"{', '.join(planned.checks)} seen from outside (run {incident.run})",
        )
