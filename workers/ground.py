"""What an agent stands on and cannot work without: room for its journal, and the right time.

What lives here: looking at both from over SSH, mending what is ours, and the sentences. What must
not: the agent's unit (reached.py) and its journal's rows (faraway.py). Ours is the reserve beside
the journal (ledger.py); whatever else fills a disk is a person's, and is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestrator.core.policy import Clocks
from tasks.host import Host, HostFault, Ran

Say = Callable[[str], None]

#: An agent with a clock that is further off is not believed, and may refuse orders as late.
CLOCK_SECONDS = 10.0
ASK_SECONDS, STEP_SECONDS, SIZES_SECONDS = 5.0, 15.0, 10.0
FULL_KB = 1024  #: with less, a disk counts as full
LARGEST = 3
#: Each with the unit that must run, and what makes it step instead of slew.
TIME_SERVICES = (
    ("chrony", ("chronyc", "-a", "makestep")),
    ("chronyd", ("chronyc", "-a", "makestep")),
    ("systemd-timesyncd", ("systemctl", "restart", "systemd-timesyncd")),
)
_DF = re.compile(r"\s(\d+)\s+(?:\d+%|-)\s+(/.*)$")


def mend_clock(host: Host, policy: Clocks, say: Say) -> None:
    """Told if it is off; mended as policy allows. `host.now()` is the time that counts."""
    off = _off(host)
    if off is None or abs(off) <= CLOCK_SECONDS:
        return
    say(f"its clock is {_span(off)}, so its agent is not believed and refuses orders")
    if policy is Clocks.NEVER:
        say("its clock is left as it is: `recovery: {clock: never}`")
        return
    tried = _by_itself(host)
    if policy is Clocks.SET and _still_off(host):
        ran = host.run(("date", "-u", "-s", f"@{host.now():.3f}"), seconds=ASK_SECONDS)
        tried = _told("date -s", ran)
    say(f"{tried}: {_now_is(_off(host))}")


def _by_itself(host: Host) -> str:
    """Its own time service knows best what time it is."""
    for unit, argv in TIME_SERVICES:
        if host.run(("systemctl", "is-active", "--quiet", "--", unit), seconds=ASK_SECONDS).ok:
            told = _told(" ".join(argv), host.run(argv, seconds=STEP_SECONDS))
            ends = host.now() + STEP_SECONDS
            while _still_off(host) and host.now() < ends:
                host.sleep(0.5)
            return told
    return "it has no time service that could step its clock"


def _told(what: str, ran: Ran) -> str:
    return what if ran.ok else f"{what} failed ({ran.complaint})"


def _still_off(host: Host) -> bool:
    off = _off(host)
    return off is not None and abs(off) > CLOCK_SECONDS


def _off(host: Host) -> float | None:
    """Seconds that its clock is ahead, less what the question took; None if it does not say."""
    before = host.now()
    ran = host.run(("date", "+%s.%N"), seconds=ASK_SECONDS)
    after = host.now()
    try:
        return float(ran.out) - (before + after) / 2 if ran.ok else None
    except ValueError:
        return None


def _span(off: float) -> str:
    return f"{abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"


def _now_is(off: float | None) -> str:
    if off is None:
        return "its clock cannot be read any more"
    right = abs(off) <= CLOCK_SECONDS
    return "its clock is right now" if right else f"its clock is still {_span(off)}"


def about_disk(host: Host, folder: str) -> str:
    """Why nothing can be written there, where a full disk is the reason; else nothing."""
    try:
        ran = host.run(("df", "-P", "-k", "--", folder), seconds=ASK_SECONDS)
        found = _DF.search(ran.out.strip())
        if not found or int(found[1]) >= FULL_KB:
            return ""
        disk = found[2]
        return (
            f"the disk of {folder} ({disk}) is full, and nothing there is ours to delete; a person "
            f"must make room: {_largest(host, disk)}"
        )
    except HostFault:
        return ""


def _largest(host: Host, disk: str) -> str:
    options = ("--all", "--one-file-system", "--block-size=1M", "--threshold=4M")
    ran = host.run(("du", *options, "--", disk), seconds=SIZES_SECONDS)
    pairs = [line.partition("\t")[::2] for line in ran.out.splitlines()]
    sizes = {path: int(size) for size, path in pairs if size.isdecimal()}
    whole = [p for p in sizes if not any(e.startswith(f"{p.rstrip('/')}/") for e in sizes)]
    first = sorted(whole, key=lambda path: -sizes[path])[:LARGEST]
    return ", ".join(f"{path} {sizes[path]} MB" for path in first) or "what takes it is not known"
