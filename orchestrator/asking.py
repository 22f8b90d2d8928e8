"""Asking a probe's question on the event loop, from the coordinator's own vantage.

What lives here: from a question to a Reading. What must not: when to ask (watcher.py), and what
an answer means, which the probe itself says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.exchange import put
from tasks.asking import Probe, reading_of
from tasks.contract import Json, Reading
from tasks.exchange import HostFault, HttpReply, NotAsked
from tasks.operation import read_arguments
from tasks.questions import Read


async def ask(
    probe: Probe[Any],
    arguments: Mapping[str, Json],
    vantage: str,
    *,
    read: Read,
    clock: Callable[[], float],
    seconds: float,
) -> Reading:
    """Ask once. No answer within `seconds`, or within the question's own, is a reading too.

    `clock` stamps the reading; how long it took is measured on a clock that cannot jump.
    """
    bound = read_arguments(probe.arguments, arguments)
    loop = asyncio.get_running_loop()
    asked_at, began = clock(), loop.time()
    reply: HttpReply | bytes | HostFault
    try:
        if probe.pose is None:
            raise NotAsked(f"{probe.name} can only be asked on the machine itself")
        question = probe.pose(read, bound)
        reply = await put(question, seconds=min(seconds, question.seconds))
    except HostFault as fault:
        reply = fault
    return reading_of(
        probe,
        bound,
        vantage=vantage,
        asked_at=asked_at,
        latency_s=loop.time() - began,
        reply_or_fault=reply,
    )
