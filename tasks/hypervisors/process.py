"""The practice lab of supervised local processes; `at` is its home folder."""

from __future__ import annotations

from tasks.host import Host
from tasks.hypervisors import Hypervisor
from tasks.hypervisors._lab_home import LabHome


def connect(at: str, host: Host) -> Hypervisor:
    return LabHome(at, host)
