"""What systemctl, journalctl and ps say on a machine of the process lab.

What lives here: the verbs and options that operations use, answered as the real programs
do. What must not: processes; an unknown verb or option is an error, never a guess.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.lab.supervised.unit import Unit

ORDERS = ("start", "stop", "restart", "kill", "reset-failed")
PS = ("-e", "-ww", "-o", "pid=,ppid=,args=")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command prints and ends with."""

    code: int = 0
    out: str = ""
    err: str = ""


class Machine(Protocol):
    """As much of the machine as these answers need."""

    booted_at: float

    @property
    def units(self) -> Mapping[str, Unit]: ...

    def pids(self) -> list[int]: ...


async def answer(machine: Machine, argv: Sequence[str]) -> Reply:
    program, *rest = argv
    options = {word.partition("=")[0]: word.partition("=")[2] for word in rest if word[:1] == "-"}
    if program == "ps":
        return _ps(machine, rest)
    if program == "journalctl":
        return _journal(machine, options)
    verb, *names = [word for word in rest if not word.startswith("-")] or [""]
    names = [each.removesuffix(".service") for each in names]
    match verb:
        case "show":
            return Reply(out="\n".join(_show(machine, name, options) for name in names))
        case "is-active":
            units = [machine.units.get(name) for name in names]
            states = [unit.active if unit else "inactive" for unit in units]
            return Reply(0 if "active" in states else 3, "".join(f"{each}\n" for each in states))
        case "is-system-running":
            return _system(machine)
        case "list-units":
            return Reply(out="".join(_failed(unit) for unit in machine.units.values()))
        case "daemon-reload":
            for each in machine.units.values():
                each.reload()
            return Reply()
        case _ if verb in ORDERS:
            return await _orders(machine, verb, names, options)
    return Reply(1, err=f"Unknown command verb '{verb}' (the process lab knows only a part).\n")


async def _orders(
    machine: Machine, verb: str, names: Sequence[str], options: Mapping[str, str]
) -> Reply:
    for name in names:
        if name not in machine.units:
            unit = f"{name}.service"
            return Reply(5, err=f"Failed to {verb} {unit}: Unit {unit} not found.\n")
        if "--no-block" in options:
            machine.units[name].later(_unawaited(machine.units[name], verb, options))
            continue
        reply = await _order(machine.units[name], verb, options)
        if reply.code:
            return reply
    return Reply()


async def _order(unit: Unit, verb: str, options: Mapping[str, str]) -> Reply:
    match verb:
        case "stop" | "restart":
            await unit.stop()
        case "kill":
            name = options.get("--signal", "TERM").removeprefix("SIG")
            unit.signal(signal.Signals[f"SIG{name}"])
        case "reset-failed":
            unit.reset()
    if verb in ("start", "restart") and not await unit.start():
        hint = f"See 'journalctl -u {unit.name}' for details."
        return Reply(1, err=f"Job for {unit.name}.service failed. {hint}\n")
    return Reply()


async def _unawaited(unit: Unit, verb: str, options: Mapping[str, str]) -> None:
    await _order(unit, verb, options)


def _show(machine: Machine, name: str, options: Mapping[str, str]) -> str:
    values = _target(machine) if name == "multi-user.target" else _properties(machine, name)
    wanted = options.get("--property", "")
    return "".join(f"{key}={values.get(key, '')}\n" for key in wanted.split(",") if key in values)


def _target(machine: Machine) -> dict[str, str]:
    clock = _clock(machine.booted_at)
    about = {"Id": "multi-user.target", "LoadState": "loaded", "ActiveState": "active"}
    return {
        **about,
        "InactiveExitTimestampMonotonic": clock,
        "ActiveEnterTimestampMonotonic": clock,
    }


def _properties(machine: Machine, name: str) -> dict[str, str]:
    unit = machine.units.get(name)
    if unit is None:
        return {
            "Id": f"{name}.service",
            "LoadState": "not-found",
            "UnitFileState": "",
            "ActiveState": "inactive",
            "SubState": "dead",
            "Result": "success",
            "NRestarts": "0",
            "MainPID": "0",
            "InvocationID": "",
            "ActiveEnterTimestampMonotonic": "0",
            "InactiveExitTimestampMonotonic": "0",
            "ExecMainStatus": "0",
        }
    return {
        "Id": f"{name}.service",
        "LoadState": "loaded",
        "UnitFileState": "enabled" if unit.file.restarts else "disabled",
        "ActiveState": unit.active,
        "SubState": unit.sub,
        "Result": unit.result,
        "NRestarts": str(unit.restarts),
        "MainPID": str(unit.main_pid),
        "InvocationID": unit.invocation,
        "ActiveEnterTimestampMonotonic": _clock(unit.became_active),
        "InactiveExitTimestampMonotonic": _clock(unit.left_inactive),
        "ExecMainStatus": str(unit.exit_status),
        "Restart": "always" if unit.file.restarts else "no",
    }


def _clock(seconds: float) -> str:
    return str(int(seconds * 1e6))


def _system(machine: Machine) -> Reply:
    if not machine.booted_at:
        return Reply(1, "starting\n")
    if any(unit.active == "failed" for unit in machine.units.values()):
        return Reply(1, "degraded\n")
    return Reply(0, "running\n")


def _failed(unit: Unit) -> str:
    if unit.active != "failed":
        return ""
    return f"{unit.name}.service loaded failed failed {unit.file.description}\n"


def _journal(machine: Machine, options: Mapping[str, str]) -> Reply:
    name = (options.get("--unit") or options.get("-u") or "").removesuffix(".service")
    if name not in machine.units or not machine.units[name].journal.exists():
        return Reply(out="-- No entries --\n")
    lines = machine.units[name].journal.read_text(errors="replace").splitlines(keepends=True)
    return Reply(out="".join(lines[-int(options.get("--lines") or 1000) :]))


def _ps(machine: Machine, options: Sequence[str]) -> Reply:
    """Only this machine's processes: a pattern must never find one of the laptop's own."""
    if tuple(options) != PS:
        return Reply(1, err=f"ps: the process lab knows only: ps {' '.join(PS)}\n")
    lines = []
    for pid in machine.pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except FileNotFoundError:
            continue
        parent = stat.rpartition(")")[2].split()[1]
        args = command.rstrip("\0").split("\0")
        # The asking program itself appears under the name by which it was called.
        if args[-len(PS) :] == list(PS):
            args = ["ps", *PS]
        lines.append(f"{pid} {parent} {' '.join(args)}\n")
    return Reply(out="".join(lines))
