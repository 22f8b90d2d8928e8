"""machine: how much of its processor, memory and disks a machine uses, asked on it.

Full is no complaint here: thresholds compare the numbers. Complaints are what should not be at
all, a disk that is not mounted or does not answer.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.asking import Probe
from tasks.contract import Json
from tasks.host import Host, HostFault

#: From the right, because a device's name may have spaces: used, available, the mount point.
_DF_LINE = re.compile(r"\s\d+\s+(\d+)\s+(\d+)\s+(?:\d+%|-)\s+(/.*)$")
#: A network disk whose server is away would otherwise hold up the whole reading.
DF_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Arguments:
    mounts: tuple[str, ...] = ("/",)  #: mount points
    sample_seconds: float = 0.2  #: over which the processor's use is measured


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    before = _processor(host)
    host.sleep(wanted.sample_seconds)
    after = _processor(host)
    disks, error = _disks(host, wanted.mounts)
    return {
        "cpu_percent": _share(after[0] - before[0], after[1] - before[1]),
        "memory_percent": _memory(host),
        "disks": disks,
        "disks_error": error,
        "load": [float(each) for each in _read(host, "/proc/loadavg").split()[:3]],
    }


def _read(host: Host, path: str) -> str:
    text = host.read(path)
    if not text:
        raise HostFault(f"{path} cannot be read, so the use of this machine is not known")
    return text


def _processor(host: Host) -> tuple[int, int]:
    """The ticks spent working and all ticks, since the start of the machine."""
    # user nice system idle iowait irq softirq steal; what guests use is in user already.
    ticks = [int(each) for each in _read(host, "/proc/stat").splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _share(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole > 0 else None


def _memory(host: Host) -> float | None:
    lines = _read(host, "/proc/meminfo").splitlines()
    said = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines)}
    total = int(said["MemTotal"])
    return _share(total - int(said["MemAvailable"]), total)


def _disks(host: Host, mounts: tuple[str, ...]) -> tuple[dict[str, float | None], str]:
    ran = host.run(("df", "-P", "--", *mounts), seconds=DF_SECONDS)
    found = [line for each in ran.out.splitlines() if (line := _DF_LINE.search(each))]
    disks = {line[3]: _share(int(line[1]), int(line[1]) + int(line[2])) for line in found}
    return disks, "" if ran.ok else ran.complaint


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    if answer["disks_error"]:
        return (f"the disks cannot all be asked: {answer['disks_error']}",)
    # Of a folder whose disk is not mounted df tells the one below it, and all seems well.
    return tuple(
        f"{each} is not mounted"
        for each in wanted.mounts
        if os.path.normpath(each) not in answer["disks"]
    )


def measure(_wanted: Arguments, answer: Mapping[str, Json]) -> Mapping[str, float]:
    used = [each for each in answer["disks"].values() if each is not None]
    found = {
        "cpu_percent": answer["cpu_percent"],
        "memory_percent": answer["memory_percent"],
        "disk_percent": max(used, default=None),
        "load": answer["load"][0],
    }
    return {name: value for name, value in found.items() if value is not None}


machine = Probe(
    "machine",
    "How much of its processor, memory and disks a machine uses",
    Arguments,
    ask,
    judge,
    measure=measure,
)
