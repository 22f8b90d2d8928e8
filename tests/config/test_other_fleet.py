"""Any other fleet works: nothing of the shipped one is needed. Warnings, and odd files."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config import Configuration, load
from orchestrator.core.fleet import Check
from orchestrator.core.plan import Fault
from orchestrator.sshfile import Access
from tests.config.small import FLEET, RUNBOOK, sentences, written


def configured(folder: Path, fleet: str = FLEET, book: str = RUNBOOK) -> Configuration:
    found = load(*written(folder, fleet, {"shop": book}))
    assert isinstance(found, Configuration), sentences(found, folder)
    return found


def test_a_fleet_of_two_machines(tmp_path: Path) -> None:
    found = configured(tmp_path)
    assert found.warnings == ()
    assert found.fleet.services["database"].check == Check(
        "tcp", {"address": "10.0.0.2", "port": 5432}
    )
    assert found.fleet.services["web"].check.arguments["url"] == "http://10.0.0.1:80/"
    assert found.fleet.objectives.rto_maximum_s == 3600
    assert found.inventory.access == {
        "desk": Access("admin", "/etc/keys/admin", 22, "/etc/keys/known_hosts"),
        "store": Access("root", "/etc/keys/root", 2222, "/etc/keys/known_hosts"),
    }
    [rung] = found.plans["shop"].rungs
    [[branch]] = rung.waves
    assert [(step.operation, step.agent, step.seconds) for step in branch.steps] == [
        ("service.status", "desk", 15),
        ("service.restart", "desk", 30),
    ]


def test_a_driver_of_a_later_version_is_a_warning(tmp_path: Path) -> None:
    fleet = FLEET.replace("machines:\n", "hypervisors: {h: {driver: xen, at: here}}\nmachines:\n")
    [warning] = sentences(configured(tmp_path, fleet), tmp_path)
    assert warning.startswith(
        "fleet.yaml line 9, hypervisors.h.driver: this version has no driver 'xen' (known: "
    )
    assert warning.endswith("steps on its VMs will be refused")


def test_a_service_that_needs_an_optional_one_is_a_warning(tmp_path: Path) -> None:
    fleet = FLEET.replace("    unit: postgresql\n", "    unit: postgresql\n    optional: true\n")
    [warning] = sentences(configured(tmp_path, fleet), tmp_path)
    assert warning.startswith("fleet.yaml line 24, services.web.depends_on[0]: 'database' is ")
    assert "'web' is not and will not be started without it" in warning


def test_deadlines_that_miss_the_objectives_are_warnings(tmp_path: Path) -> None:
    book = RUNBOOK.replace("seconds: 30", "seconds: 4000")
    assert sentences(configured(tmp_path, FLEET, book), tmp_path) == [
        (
            "runbooks/shop.yaml: the first rung may last 4075 s, "
            "but the RTO target is 10 min; give its steps less time"
        ),
        (
            "runbooks/shop.yaml: the ladder may last 4075 s, "
            "but the RTO maximum is 60 min; give its steps less time"
        ),
    ]


def test_a_rung_that_waits_for_a_person_has_no_deadline_to_miss(tmp_path: Path) -> None:
    book = RUNBOOK + (
        "  - rung: By hand\n    approval: ask\n    steps:\n"
        "      - service.restart: {seconds: 4000}\n"
    )
    assert configured(tmp_path, FLEET, book).warnings == ()


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, object]:
    """Services on machines, each depending only on machines before its own, in any order."""
    count = draw(st.integers(1, 5))
    services: dict[str, object] = {}
    on: dict[str, int] = {}
    for number in range(draw(st.integers(1, 8))):
        machine = draw(st.integers(0, count - 1))
        allowed = [name for name, each in on.items() if each < machine]
        needs = draw(st.lists(st.sampled_from(allowed), unique=True)) if allowed else []
        on[f"s{number}"] = machine
        services[f"s{number}"] = {
            "machine": f"m{machine}",
            "unit": f"unit{number}",
            "check": {"probe": "systemd", "unit": f"unit{number}"},
            "depends_on": needs,
            "optional": draw(st.booleans()),
        }
    machines = {f"m{number}": {"address": f"10.0.0.{number}"} for number in range(count)}
    base = yaml.safe_load(FLEET)
    shuffled = draw(st.permutations(list(services.items())))
    return {**base, "control": "m0", "machines": machines, "services": dict(shuffled)}


@settings(max_examples=60, deadline=None)
@given(fleets())
def test_every_fleet_starts_what_is_needed_first(fleet: dict[str, object]) -> None:
    names = list(yaml.safe_load(json.dumps(fleet["services"])))
    book = RUNBOOK.replace("[web]", f"[{', '.join(names)}]").replace(
        "      - service.status\n      - service.restart: {on: web, seconds: 30}\n",
        "      - service.start: {on: services}\n",
    )
    book = book.replace("    steps:\n", "    each: machine\n    steps:\n")
    with TemporaryDirectory() as folder:
        found = configured(Path(folder), json.dumps(fleet), book)
    branches = found.plans["shop"].rungs[0].branches
    at = {step.service: n for n, each in enumerate(branches) for step in each.steps}
    assert set(at) == set(names)
    for service in found.fleet.services.values():
        needed = {at[need] for need in service.depends_on}
        branch = branches[at[service.name]]
        assert set(branch.needs) >= needed
        assert all(branches[need].wave < branch.wave for need in needed)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(list(yaml.safe_load(FLEET)))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, PLAIN, max_size=3), st.sampled_from(["fleet", "book"]))
def test_any_content_is_a_configuration_or_faults(odd: dict[str, object], which: str) -> None:
    fleet, book = FLEET, RUNBOOK
    if which == "fleet":
        fleet = yaml.safe_dump({**yaml.safe_load(FLEET), **odd}, allow_unicode=True)
    else:
        values = list(odd.values())
        content = {**yaml.safe_load(RUNBOOK), "ladder": values, "services": values}
        book = yaml.safe_dump(content, allow_unicode=True)
    with TemporaryDirectory() as folder:
        found = load(*written(Path(folder), fleet, {"shop": book}))
    assert isinstance(found, Configuration) or (
        found and all(isinstance(each, Fault) and "\n" not in str(each) for each in found)
    )


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(FLEET)), st.integers(0, 40))
def test_any_bytes_are_a_configuration_or_faults(noise: bytes, at: int, cut: int) -> None:
    with TemporaryDirectory() as folder:
        fleet, runbooks = written(Path(folder))
        text = FLEET.encode()
        fleet.write_bytes(text[:at] + noise + text[at + cut :])
        found = load(fleet, runbooks)
    assert isinstance(found, Configuration) or (
        found and all(isinstance(each, Fault) and "\n" not in str(each) for each in found)
    )
