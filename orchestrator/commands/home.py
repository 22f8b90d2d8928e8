"""The settings that a command works with.

What lives here: reading them, with every fault turned into the end of the command. What must
not: the fleet and its runbooks; a command that only asks the coordinator starts twice as fast
without them.
"""

from __future__ import annotations

from orchestrator.commands.ending import faulty
from orchestrator.settings import Settings, read_settings


def settings() -> Settings:
    found = read_settings()
    if isinstance(found, tuple):
        raise faulty(found)
    return found
