"""The watch list that an agent holds: taken from the coordinator, kept over a restart.

What lives here: the one file, written by whoever takes a list (a pool process) and read by who
watches (the agent's main process). What must not: asking any probe. The signature is checked
at each reading too, so that nothing rests on who could write the file.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from tasks.contract import Json, WireError
from tasks.host import HostFault, LocalHost
from tasks.watching import WatchList
from workers.executor import Identity
from workers.guard import list_refusal

log = logging.getLogger("autobot_dr.agent")


def list_file(identity: Identity) -> Path:
    return identity.state / "watch.json"


def held_list(identity: Identity) -> WatchList | None:
    """The list that this agent holds; one that is damaged or not ours is none."""
    try:
        text = list_file(identity).read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("the watch list cannot be read: %s", error)
        return None
    try:
        kept = WatchList.from_wire(json.loads(text))
    except ValueError as fault:  # WireError is one
        log.warning("the watch list in %s is damaged: %s", list_file(identity), fault)
        return None
    if reason := _refusal(identity, kept, None):
        log.warning("the watch list in %s is refused, %s", list_file(identity), reason)
        return None
    return kept


def take_list(identity: Identity, message: Mapping[str, Json]) -> str:
    """Keep this list instead of the one held; the reason if it is refused, else nothing."""
    try:
        offered = WatchList.from_wire(message)
    except WireError as fault:
        return str(fault)
    with (identity.state / "watch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if reason := _refusal(identity, offered, held_list(identity)):
            return reason
        text = json.dumps(offered.to_wire())
        try:
            LocalHost().write(str(list_file(identity)), text.encode(), mode=0o600)
        except HostFault as fault:
            return str(fault)
    return ""


def _refusal(identity: Identity, offered: WatchList, held: WatchList | None) -> str | None:
    return list_refusal(
        offered, agent=identity.machine, coordinator=identity.coordinator, held=held
    )
