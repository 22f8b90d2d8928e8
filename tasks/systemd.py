"""Asking systemd about a unit, and giving it an order: one parser, one set of reasons.

What lives here: reading `systemctl show`, saying in words why a unit does not count as up,
and the orders with their bounds. What must not: which unit, or what its health check is.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host, HostFault, Ran
from tasks.operation import ActFailed, Unmet

#: A unit that has restarted itself counts as up only after this many seconds in one piece:
#: in a restart loop it is active again and again, each time for a moment.
SETTLED_AFTER = 10.0
#: The same for a unit without a health check, because "active" says only that it was started.
ALIVE_AFTER = 1.0
#: For systemctl's own answers, which take milliseconds while systemd is well.
ANSWER_SECONDS = 10.0

PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "InvocationID",
    "ActiveEnterTimestampMonotonic",
    "ExecMainStatus",
    "InactiveExitTimestampMonotonic",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of one unit at one moment. Plain values: it goes to the journal."""

    load: str
    enabled: str
    active: str
    sub: str
    result: str
    restarts: int
    main_pid: int
    invocation: str
    exit_status: int
    tried_at: float  #: when systemd last began to start it, in seconds of uptime
    active_for: float = 0.0  #: seconds in the present active state
    check: str | None = None  #: what its health check complains of; None when not asked
    barred: bool = False  #: it complains only of not being let in
    unproven: bool = False  #: it gets ready, or nothing was learned: neither asks for a restart

    @property
    def state(self) -> str:
        return f"{self.active} ({self.sub})"

    @property
    def end(self) -> str:
        """How its last process ended."""
        return f"{self.result}, status {self.exit_status}"


def show(host: Host, unit: str) -> Unit:
    """One look. Raises HostFault when systemd cannot be asked."""
    ran = host.run(
        ("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", unit),
        seconds=ANSWER_SECONDS,
    )
    said = dict(line.partition("=")[::2] for line in ran.out.splitlines())
    if not ran.ok or "LoadState" not in said:
        raise HostFault(f"systemd could not be asked about {unit}: {first_line(ran)}")
    active = said.get("ActiveState", "")
    entered = _number(said.get("ActiveEnterTimestampMonotonic", ""))
    return Unit(
        load=said["LoadState"],
        enabled=said.get("UnitFileState", ""),
        active=active,
        sub=said.get("SubState", ""),
        result=said.get("Result", ""),
        restarts=_number(said.get("NRestarts", "")),
        main_pid=_number(said.get("MainPID", "")),
        invocation=said.get("InvocationID", ""),
        exit_status=_number(said.get("ExecMainStatus", "")),
        tried_at=_number(said.get("InactiveExitTimestampMonotonic", "")) / 1e6,
        active_for=max(0.0, uptime(host) - entered / 1e6) if active == "active" else 0.0,
    )


def _number(text: str) -> int:
    # Units without a process (targets, mounts) leave some of the numbers out.
    return int(text) if text.isdigit() else 0


def uptime(host: Host) -> float:
    said = host.read("/proc/uptime")
    if not said:
        raise HostFault("/proc/uptime cannot be read, so the age of a unit is not known")
    return float(said.split()[0])


def first_line(ran: Ran) -> str:
    """What systemctl complains of: it says so first, and then how to read more."""
    said = (ran.err.strip() or ran.out.strip()).splitlines()
    return said[0] if said and ran.exit_code is not None else ran.complaint


def cannot_run(name: str, unit: Unit) -> str:
    """Why this unit must not or cannot be started at all, or nothing."""
    match unit.load:
        case "not-found":
            return f"{name} is not installed on this machine"
        case "masked":
            return f"{name} is masked: somebody chose that it must not run"
        case "loaded":
            return ""
        case other:
            return f"the unit file of {name} cannot be used ({other})"


def not_up(name: str, unit: Unit) -> Unmet | None:
    """Why this unit does not count as up, or None when it does."""
    if reason := cannot_run(name, unit):
        return Unmet(reason, final=True)
    if unit.active == "failed":
        return Unmet(f"{name} has failed ({unit.end})", final=True)
    if unit.sub.startswith("auto-restart"):
        return Unmet(
            f"{name} is in a restart loop: systemd has restarted it {_times(unit.restarts)} "
            f"and waits to do so again ({unit.end})"
        )
    if unit.active != "active":
        words = {"inactive": "not running", "activating": "starting", "deactivating": "stopping"}
        return Unmet(f"{name} is {words.get(unit.active, 'not up')}: {unit.state}")
    if unit.restarts and unit.active_for < SETTLED_AFTER:
        return Unmet(
            f"{name} may be in a restart loop: it has restarted itself {_times(unit.restarts)} "
            f"and is up for {unit.active_for:.1f} s, which counts from {SETTLED_AFTER:.0f} s"
        )
    if unit.check is None and unit.active_for < ALIVE_AFTER:
        return Unmet(
            f"{name} is up for {unit.active_for:.1f} s, which without a health check counts "
            f"from {ALIVE_AFTER:.0f} s"
        )
    if unit.barred:
        return Unmet(f"{name} is {unit.state} and no restart helps: {unit.check}", final=True)
    if unit.check:
        return Unmet(f"{name} is {unit.state}, but its check complains: {unit.check}")
    return None


def up(name: str, unit: Unit) -> str:
    checked = "" if unit.check is None else ", and its check is healthy"
    return f"{name} is {unit.state}, pid {unit.main_pid}{checked}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def order(host: Host, verb: str, unit: str, *, seconds: float) -> None:
    """Start, stop or restart, within `seconds` and a little; raises ActFailed when refused.

    When that time has passed and the old process is still being stopped, it is killed: a
    hung service otherwise holds up its own recovery for systemd's stop timeout (90 s as
    shipped, and some units have none). One that is slow to start is left alone.
    """
    begun = host.now()
    ran = host.run(("systemctl", verb, "--", unit), seconds=seconds)
    if ran.ok:
        return
    now = show(host, unit)
    if ran.exit_code is None:
        if now.active == "deactivating":
            _order_at_once(host, "kill", "--signal=KILL", "--", unit)
        return
    if now.active == "failed" and now.tried_at < uptime(host) - (host.now() - begun):
        # It died so often that systemd did not even try: neither its result nor systemctl's
        # message says so. The fault may be mended by now.
        _order_at_once(host, "reset-failed", "--", unit)
        ran = host.run(("systemctl", verb, "--", unit), seconds=seconds)
        if ran.ok or ran.exit_code is None:
            return
    raise ActFailed(first_line(ran))


def _order_at_once(host: Host, *words: str) -> None:
    ran = host.run(("systemctl", *words), seconds=ANSWER_SECONDS)
    if not ran.ok:
        raise ActFailed(first_line(ran))
