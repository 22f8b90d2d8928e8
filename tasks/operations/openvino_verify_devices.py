"""openvino.verify_devices: OpenVINO loads and sees a device that is wanted."""

from __future__ import annotations

from tasks.probes.openvino import openvino
from tasks.verifying import verify

verify_devices = verify(
    "openvino.verify_devices",
    "Wait until OpenVINO sees a wanted device",
    openvino,
    lambda _wanted, answer: f"OpenVINO sees {', '.join(answer['devices'])}",
    seconds=120,
)
