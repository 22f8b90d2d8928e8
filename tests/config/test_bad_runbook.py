"""Every way in which a runbook can be wrong: the exact sentence that the operator reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import load
from tests.config.small import FLEET, RUNBOOK, cases, sentences, told, written


@pytest.mark.parametrize(("change", "into", "said"), cases("bad_runbook.yaml"))
def test_a_fault_is_one_sentence_with_its_place(
    tmp_path: Path, change: str, into: str, said: list[str]
) -> None:
    assert change in RUNBOOK
    assert told(tmp_path, FLEET, {"shop": RUNBOOK.replace(change, into, 1)}) == said


def test_an_unknown_operation_lists_the_known_ones(tmp_path: Path) -> None:
    [fault] = told(tmp_path, FLEET, {"shop": RUNBOOK.replace("service.restart", "service.reboot")})
    assert fault.startswith(
        "runbooks/shop.yaml, rung 1 (Restart it), step 2 (service.reboot): "
        "there is no such operation (known: "
    )
    assert "service.restart" in fault


def test_machines_that_wait_for_each_other_are_named(tmp_path: Path) -> None:
    # No circle of services, but one of machines: desk → store → desk.
    fleet = FLEET + (
        "  till:\n    machine: store\n    unit: till\n    check: {probe: systemd, unit: till}\n"
        "    depends_on: [web]\n"
    )
    book = RUNBOOK.replace("[web]", "[database, web, till]").replace(
        "    steps:\n", "    each: machine\n    steps:\n"
    )
    assert told(tmp_path, fleet, {"shop": book}) == [
        (
            "runbooks/shop.yaml, rung 1 (Restart it): "
            "the machines wait for each other in a circle: store → desk → store"
        )
    ]


def test_a_step_of_each_machine_tells_its_fault_once(tmp_path: Path) -> None:
    book = RUNBOOK.replace("[web]", "[database, web]").replace(
        "    steps:\n", "    each: machine\n    steps:\n"
    )
    found = told(tmp_path, FLEET, {"shop": book.replace("service.status", "tea.make")})
    assert len([each for each in found if "tea.make" in each]) == 1


@pytest.mark.parametrize("name", ["Shop", "läden", "1st", "a" * 42])
def test_a_file_whose_name_is_no_name(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, FLEET, {name: RUNBOOK}) == [
        (
            f"runbooks/{name}.yaml: the file's name is the scenario's: use lower-case letters, "
            "digits and '-', a letter first, at most 41 of them, then .yaml"
        )
    ]


def test_a_file_that_would_be_passed_over(tmp_path: Path) -> None:
    fleet, runbooks = written(tmp_path)
    (runbooks / "other.yml").write_text(RUNBOOK)
    assert sentences(load(fleet, runbooks), tmp_path) == [
        "runbooks/other.yml: would be passed over; rename it to end in .yaml"
    ]


def test_no_runbook_and_no_folder(tmp_path: Path) -> None:
    fleet, runbooks = written(tmp_path, FLEET, {})
    assert sentences(load(fleet, runbooks), tmp_path) == [
        "runbooks: holds no runbook; `autobot-dr init` writes some"
    ]
    runbooks.rmdir()
    assert sentences(load(fleet, runbooks), tmp_path) == [
        "runbooks: is not a folder; name the runbooks' folder, or let `autobot-dr init` write one"
    ]
