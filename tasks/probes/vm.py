"""vm: a virtual machine is powered, as its hypervisor sees it. Says nothing of what runs on it."""

from __future__ import annotations

from collections.abc import Mapping

from tasks import machines
from tasks.asking import Probe
from tasks.contract import Json, Kind
from tasks.host import Host
from tasks.hypervisors import Power


def ask(host: Host, wanted: machines.Arguments) -> Mapping[str, Json]:
    return {"state": machines.hypervisor(host, wanted).state(wanted.vm).value}


def judge(wanted: machines.Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    if answer["state"] == Power.RUNNING:
        return ()
    return (f"{wanted.vm} is {answer['state']}",)


def sort(_wanted: machines.Arguments, answer: Mapping[str, Json]) -> Kind | None:
    match answer["state"]:
        case Power.STARTING | Power.STOPPING:
            return Kind.BUSY
        case Power.UNKNOWN:
            return Kind.UNKNOWN
        case _:
            return None


vm = Probe("vm", "A VM is powered", machines.Arguments, ask, judge, sort)
