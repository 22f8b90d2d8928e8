"""A world whose Redis is captured continuously, with the picture that its watcher has of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.core.health import Health, Standing
from orchestrator.core.redisbackups import Continuous
from orchestrator.core.sight import Picture
from tasks.contract import Kind, Reading
from tests.web.world import NIGHT, World, a_world

ALL = replace(NIGHT, name="all", folder="/all", at_s=None, every_s=1800.0, continuous=Continuous())
UNTIL = 1_000_000_000.0
ANSWER = {
    "state": "following",
    "reason": "",
    "age_s": 0.5,
    "history": "history-000002-x",
    "lag_bytes": 12,
    "lag_seconds": 0.75,
    "covers_until": UNTIL,
    "ranges": [
        ["history-000001-x", UNTIL - 5000, UNTIL - 4000],
        ["history-000002-x", UNTIL - 3000, UNTIL - 60],
    ],
    "verified_until": UNTIL - 600,
    "verified_backup": "redis-1-cut",
    "last_fault": "the link was cut",
    "last_fault_at": UNTIL - 90,
}


@contextmanager
def a_captured_world() -> Iterator[World]:
    with a_world() as world:
        inventory = replace(world.configuration.inventory, backups={"night": NIGHT, "all": ALL})
        world.configuration = replace(world.configuration, inventory=inventory)
        world.picture = picture()
        yield world


def picture() -> Picture:
    metrics = {"lag_seconds": 0.75, "lag_bytes": 12.0}
    reading = Reading("capture", "two", UNTIL, 0.01, ANSWER, (), "", Kind.GOOD, metrics)
    standing = Standing("own/capture-all", Health.HEALTHY, "answers as expected", last=reading)
    return Picture(time.time(), {}, {}, {"own/capture-all": standing})
