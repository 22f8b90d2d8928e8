"""redis.ping: Redis answers PING, and INFO says that its data is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.contract import Json
from tasks.probes.redis import Arguments, redis
from tasks.verifying import verify


def met(wanted: Arguments, answer: Mapping[str, Json]) -> str:
    count = sum(answer["keys"].values())
    return (
        f"Redis at {wanted.address}:{wanted.port} answers PONG and has loaded its data: "
        f"{answer.get('role', 'role not said')}, {count} keys"
    )


# A store of some gigabytes takes minutes to load, and that is no failure.
ping = verify(
    "redis.ping",
    "Wait until Redis answers PING and has loaded its data",
    redis,
    met,
    seconds=600,
)
