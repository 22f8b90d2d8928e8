"""What a pool process of an agent says of the step it is at, while it is at it.

What lives here: the way of a line to the coordinator, and of how far a step is to it and to
Flower. What must not: a reason to wait; nothing rests on it, so what the broker does not take
within seconds is lost, and the step goes on.
"""

from __future__ import annotations

import logging

from celery import Celery

from tasks.contract import Headway, Progress
from tasks.headway import Moved, Pace, in_words
from workers.broker import COORDINATOR_QUEUE
from workers.voice import Unheard, Voice

log = logging.getLogger("autobot_dr.agent")

#: Celery makes the state PROGRESS of it, which Flower shows with the event's `result`.
PROGRESS_EVENT = "task-progress"


class Teller:
    """One for each process; its connection is made at the first word."""

    def __init__(self, app: Celery, machine: str) -> None:
        self._voice = Voice(app, f"agent@{machine}")

    def tell(self, progress: Progress) -> None:
        self._put("orchestrator.progress", progress=progress.to_wire())

    def show(self, headway: Headway) -> None:
        self._put("orchestrator.headway", headway=headway.to_wire())
        try:
            self._voice.say(PROGRESS_EVENT, uuid=headway.order, result=in_words(pace_of(headway)))
        except Unheard as reason:
            log.info("Flower does not hear of it: %s", reason)

    def _put(self, task: str, **arguments: object) -> None:
        try:
            self._voice.put(task, COORDINATOR_QUEUE, **arguments)
        except Unheard as reason:
            log.info("the coordinator does not hear of it: %s", reason)


def pace_of(headway: Headway) -> Pace:
    return Pace(
        Moved(headway.what, headway.done_bytes, headway.total_bytes),
        None if headway.per_second < 0 else headway.per_second,
        None if headway.left_s < 0 else headway.left_s,
    )
