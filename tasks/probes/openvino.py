"""openvino: the library loads and sees a device that is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.asking import Probe
from tasks.contract import Json
from tasks.host import Host

# Its own Python, because a fault in a driver can take the process down. The older name of
# the module is the one of many machines in service.
SCRIPT = """\
import json
try:
    from openvino import Core
except ImportError:
    from openvino.runtime import Core
print(json.dumps(Core().available_devices))
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    python: str = "python3"
    library: str = ""  #: where the package is, when that Python does not find it by itself
    devices: tuple[str, ...] = ()  #: any of these will do; with none given, any at all
    seconds: float = 60.0


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    place = ("env", f"PYTHONPATH={wanted.library}") if wanted.library else ()
    ran = host.run((*place, wanted.python, "-c", SCRIPT), seconds=wanted.seconds)
    if not ran.ok:
        return {"devices": [], "error": ran.complaint}
    try:
        return {"devices": json.loads(ran.out.strip().splitlines()[-1]), "error": ""}
    except (ValueError, IndexError):
        return {"devices": [], "error": f"not a list of devices: {ran.out.strip()[-200:]!r}"}


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    if answer["error"]:
        return (f"OpenVINO cannot be asked for its devices: {answer['error']}",)
    seen = answer["devices"]
    # A second device of a kind is named GPU.1, and then the first is GPU.0.
    kinds = {name.partition(".")[0] for name in seen} | set(seen)
    if not seen:
        return ("OpenVINO sees no device",)
    if wanted.devices and not kinds & set(wanted.devices):
        return (f"OpenVINO sees {', '.join(seen)}, none of {', '.join(wanted.devices)}",)
    return ()


openvino = Probe("openvino", "OpenVINO sees a wanted device", Arguments, ask, judge)
