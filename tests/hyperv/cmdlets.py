"""The cmdlets of the test's Hyper-V host: what they take, give and complain about.

What lives here: names and parameters as Microsoft documents them, and the objects that come
back. What must not: the wire. A cmdlet that would ask a person fails, as it does in a session
without one: hence Confirm and Force.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from psrpcore.types import PSCustomObject, PSEnumBase, PSNoteProperty, PSObject, PSType

from tests.hyperv.files import Files
from tests.hyperv.machines import CannotDo, Machine

Parameters = Mapping[str, Any]


@PSType(["Microsoft.HyperV.PowerShell.VMState"], rehydrate=False)
class VMState(PSEnumBase):
    """State as a value of its own, which arrives at the client as a GenericComplexObject."""

    Running = 2
    Off = 3
    Stopping = 4
    Saved = 6
    Paused = 9
    Starting = 10


@dataclass
class Behaviour:
    """What a test sets to break the host, rather than one machine."""

    #: `asked`: as ErrorAction says; `streamed`: an error record beside a pipeline that completed.
    errors: Literal["asked", "streamed"] = "asked"
    state: Literal["text", "number", "enum"] = "text"
    hang: set[str] = field(default_factory=set)  #: cmdlets that go on until they are stopped
    cannot: dict[str, CannotDo] = field(default_factory=dict)  #: cmdlets that fail, and how
    unsound: set[str] = field(default_factory=set)  #: disks in which Test-VHD finds a fault
    export_ends: str = ""  #: an export fails with this sentence when half of it is written


class Cmdlets:
    """All of them, over the machines of one host. The log says what was asked, and when."""

    def __init__(self, machines: list[Machine], behaviour: Behaviour) -> None:
        self.machines = machines
        self.behaviour = behaviour
        self.files = Files(behaviour.unsound)
        self._known: dict[str, Callable[[Parameters, threading.Event], list[Any]]] = {
            "Get-Date": lambda _given, _stopped: [datetime.datetime.now(datetime.UTC)],
            "Get-VM": lambda given, _stopped: [self._shown(e) for e in self._named(given)],
            "Start-VM": lambda given, _stopped: self._each(given, Machine.start),
            "Stop-VM": self._stop,
            "Restart-VM": self._restart,
            "Checkpoint-VM": lambda given, _stopped: self._each(
                given, lambda each: each.checkpoint(str(given["SnapshotName"]))
            ),
            "Get-VMSnapshot": self._snapshots,
            "Restore-VMSnapshot": self._restore,
            "Remove-VMSnapshot": self._remove,
            "Export-VMSnapshot": self._export,
            "Get-ChildItem": lambda given, _stopped: [
                thing("FileInfo", FullName=path, Length=size)
                for path, size in self.files.below(str(given["LiteralPath"]))
            ],
            "Test-VHD": lambda given, _stopped: self.files.test(str(given["Path"])),
            "Rename-Item": lambda given, _stopped: self.files.rename(
                str(given["LiteralPath"]), str(given["NewName"])
            ),
            "Remove-Item": lambda given, _stopped: self.files.remove(str(given["LiteralPath"])),
        }

    def run(
        self, name: str, given: Parameters, piped: list[Any], stopped: threading.Event
    ) -> list[Any]:
        """What the cmdlet gives out; `piped` is what the one before it gave."""
        if name == "Select-Object":
            return [selected(each, list(given["Property"])) for each in piped]
        if name not in self._known:
            raise CannotDo(
                f"The term '{name}' is not recognized as the name of a cmdlet.",
                "CommandNotFoundException",
            )
        if name in self.behaviour.hang:
            stopped.wait()
            return []
        if name in self.behaviour.cannot:
            raise self.behaviour.cannot[name]
        return self._known[name](given, stopped)

    def _named(self, given: Parameters, key: str = "Name") -> list[Machine]:
        """As Hyper-V finds them: a name is a pattern, and its case does not matter."""
        found = self.machines
        if key in given:
            wanted = str(given[key]).casefold()
            found = [each for each in self.machines if fnmatchcase(each.name.casefold(), wanted)]
        if not found:
            raise CannotDo(
                f'Hyper-V was unable to find a virtual machine with name "{given[key]}".',
                "InvalidParameter",
            )
        for each in found:
            each.settle()
        return list(found)

    def _each(
        self, given: Parameters, act: Callable[[Machine], None], key: str = "Name"
    ) -> list[Any]:
        for each in self._named(given, key):
            act(each)
        return []

    def _shown(self, machine: Machine) -> PSObject:
        state: Any = machine.state.name
        if self.behaviour.state == "number":
            state = int(machine.state)
        elif self.behaviour.state == "enum":
            state = VMState(int(machine.state))
        uptime = datetime.timedelta(seconds=machine.uptime())
        return thing(
            "VirtualMachine",
            Name=machine.name,
            State=state,
            Uptime=uptime,
            ParentSnapshotId=machine.parent,
        )

    def _stop(self, given: Parameters, stopped: threading.Event) -> list[Any]:
        unasked(given, "Force")
        if given.get("TurnOff"):
            return self._each(given, Machine.cut)
        return self._each(given, lambda each: each.shut_down(stopped))

    def _restart(self, given: Parameters, _stopped: threading.Event) -> list[Any]:
        unasked(given, "Force")
        return self._each(given, Machine.reset)

    def _snapshots(self, given: Parameters, _stopped: threading.Event) -> list[Any]:
        found = []
        for machine in self._named(given, "VMName"):
            for each in machine.checkpoints:
                taken = datetime.datetime.fromtimestamp(each.taken_at, datetime.UTC)
                found.append(
                    thing(
                        "VMSnapshot",
                        Name=each.name,
                        VMName=machine.name,
                        CreationTime=taken,
                        Id=each.id,
                    )
                )
        return found

    def _restore(self, given: Parameters, _stopped: threading.Event) -> list[Any]:
        unasked(given, "Confirm")
        return self._each(given, lambda each: each.restore(str(given["Name"])), "VMName")

    def _remove(self, given: Parameters, _stopped: threading.Event) -> list[Any]:
        unasked(given, "Confirm")
        return self._each(given, lambda each: each.remove(str(given["Name"])), "VMName")

    def _export(self, given: Parameters, _stopped: threading.Event) -> list[Any]:
        for machine in self._named(given, "VMName"):
            machine.the(str(given["Name"]))
            self.files.export(machine.name, str(given["Path"]), self.behaviour.export_ends)
        return []


def unasked(given: Parameters, switch: str) -> None:
    """Complain unless it was told not to ask: Force true, or Confirm false."""
    if given.get(switch) is not (switch == "Force"):
        raise CannotDo(
            "A command that prompts the user failed because the host program or the command type "
            "does not support user interaction.",
            "InvalidOperation",
        )


def selected(whole: PSObject, names: list[Any]) -> PSObject:
    """As Select-Object does: the properties are extended ones from now on."""
    wanted = {str(each) for each in names}
    there = {each.name: each.get_value(whole) for each in whole.PSObject.adapted_properties}
    return PSCustomObject(**{name: there[name] for name in there if name in wanted})


def thing(kind: str, **properties: Any) -> PSObject:
    """An object with its adapted properties, as a cmdlet's own objects come over the wire."""
    made = PSObject()
    made.PSObject.type_names = [f"Microsoft.HyperV.PowerShell.{kind}", "System.Object"]
    made.PSObject.adapted_properties = [
        PSNoteProperty(name, value=value) for name, value in properties.items()
    ]
    return made
