"""Reading what Hyper-V's cmdlets answer: states, times and durations in all their forms.

What lives here: values in, values out. What must not: asking. The same property comes as text,
as a number or as an object, depending on how it was asked for and by which Windows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.hypervisors import HypervisorFault, Power

#: Names and numbers of Microsoft.HyperV.PowerShell.VMState. A saved machine is not off: its
#: start goes on from where it was, and is no boot.
POWERS = {
    "running": Power.RUNNING,
    "off": Power.OFF,
    "stopping": Power.STOPPING,
    "saved": Power.PAUSED,
    "paused": Power.PAUSED,
    "starting": Power.STARTING,
    "reset": Power.STARTING,
    "saving": Power.STOPPING,
    "pausing": Power.STOPPING,
    "resuming": Power.STARTING,
}
NUMBERS = {
    2: "running",
    3: "off",
    4: "stopping",
    6: "saved",
    9: "paused",
    10: "starting",
    11: "reset",
    32773: "saving",
    32776: "pausing",
    32777: "resuming",
}
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def power_of(state: Any) -> Power:
    """From a name, a number, or an object that stands for one of them."""
    if isinstance(state, int):
        name = NUMBERS.get(state, "")
    else:
        # A machine on storage that is lost is RunningCritical and so on: its power is the same.
        name = str(state).strip().casefold().removesuffix("critical")
        name = NUMBERS.get(int(name), "") if name.isdecimal() else name
    return POWERS.get(name, Power.UNKNOWN)


def powered_at(now: Any, uptime: Any) -> str:
    """When it was powered, by the host's clock: the name of this boot."""
    lasted = DURATION.fullmatch(str(uptime))
    if lasted is None:
        raise HypervisorFault(f"Hyper-V gave an uptime that is none: {uptime!r}", retry=False)
    days, hours, minutes, seconds = (float(each or 0) for each in lasted.groups())
    on = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return (moment(now) - on).isoformat()


def moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise HypervisorFault(f"Hyper-V gave a time that is none: {text!r}", retry=False) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def property_of(thing: Any, name: str) -> Any:
    """Extended on what Select-Object gave, adapted on a cmdlet's own object."""
    for held in (thing.extended_properties, thing.adapted_properties):
        if name in held:
            return held[name]
    raise HypervisorFault(f"Hyper-V gave an object without {name}", retry=False)
