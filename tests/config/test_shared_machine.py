"""The shipped fleet where the backend shares the coordinator's machine, which is no VM (WSL)."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from orchestrator.config import Configuration, load
from orchestrator.setup import SHIPPED
from tests.config.small import sentences


def shared(folder: Path) -> tuple[Path, Path]:
    """As fleet.yaml says beside the backend: no VM, its rung taken out, `control: backend`."""
    fleet = yaml.safe_load((SHIPPED / "fleet.yaml").read_text())
    fleet["control"], fleet["contacts"] = "backend", "nobody"
    del fleet["machines"]["backend"]["vm"], fleet["machines"]["backend"]["hypervisor"]
    books = folder / "runbooks"
    shutil.copytree(SHIPPED / "runbooks", books)
    backend = yaml.safe_load((books / "backend.yaml").read_text())
    del backend["ladder"][1]
    (books / "backend.yaml").write_text(yaml.safe_dump(backend, sort_keys=False))
    (folder / "fleet.yaml").write_text(yaml.safe_dump(fleet, sort_keys=False))
    return folder / "fleet.yaml", books


def test_nothing_special_breaks(tmp_path: Path) -> None:
    found = load(*shared(tmp_path))
    assert isinstance(found, Configuration), sentences(found, tmp_path)
    start, restart, reboot = (
        ["machine.ready", "service.start"],
        ["service.restart"],
        ["machine.ready", "service.start"],
    )
    for rung, steps in zip(found.plans["full-system"].rungs, (start, restart, reboot), strict=True):
        branches = {each.name: each for each in rung.branches}
        own = branches["backend"]
        assert [each.operation for each in own.steps] == steps
        assert [rung.branches[each].name for each in own.needs] == ["redis"]
        assert own.awaits == (), "nothing ends it, so it waits for nobody"
        assert [rung.branches[each].name for each in branches["frontend"].needs] == ["backend"]
    # What reaches the hypervisor is carried out there.
    first = found.plans["full-system"].rungs[0].branches[0].steps[0]
    assert (first.operation, first.machine, first.agent) == ("vm.start", "redis", "backend")


def test_its_vm_cannot_be_restarted_from_within(tmp_path: Path) -> None:
    fleet, books = shared(tmp_path)
    content = yaml.safe_load(fleet.read_text())
    content["machines"]["backend"] |= {"vm": "Own", "hypervisor": "hyperv"}
    fleet.write_text(yaml.safe_dump(content, sort_keys=False))
    shutil.copy(SHIPPED / "runbooks" / "backend.yaml", books)
    found = load(fleet, books)
    assert not isinstance(found, Configuration)
    (told,) = [each for each in sentences(found, tmp_path) if each.startswith("runbooks/")]
    assert told.startswith("runbooks/backend.yaml, rung 2 (Restart its VM), step 1 (vm.restart): ")
    assert "would end the agent of backend" in told
