"""Faulty fleet files: faults in one, files that are none at all, and nothing hides another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.config import load
from tests.config.small import FLEET, cases, sentences, told, written


@pytest.mark.parametrize(("change", "into", "said"), cases("bad_fleet.yaml"))
def test_a_fault_is_one_sentence_with_its_place(
    tmp_path: Path, change: str, into: str, said: list[str]
) -> None:
    assert change in FLEET
    assert told(tmp_path, FLEET.replace(change, into, 1)) == said


def test_a_backup_of_a_kind_that_is_not_known(tmp_path: Path) -> None:
    job = "backups: {night: {kind: tape, vault: desk, folder: /b}}\nmachines:"
    [fault] = told(tmp_path, FLEET.replace("machines:", job, 1))
    assert fault.startswith("fleet.yaml line 9, backups.night.kind: must be one of ")
    assert "'files'" in fault
    assert fault.endswith(", not 'tape'")


def test_a_number_of_very_many_digits(tmp_path: Path) -> None:
    [fault] = told(tmp_path, FLEET.replace("port: 80", f"port: {'9' * 5000}"))
    assert fault.startswith("fleet.yaml line 21, services.web.port: must be a whole number, not '9")
    assert len(fault) < 140


#: What the whole file may be, and what is then said.
WHOLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "fleet.yaml: is empty; `autobot-dr init` writes one to start from"),
    "only a comment": (
        b"# later\n",
        "fleet.yaml: is empty; `autobot-dr init` writes one to start from",
    ),
    "only a word": (
        b"hello",
        "fleet.yaml line 1: must be a mapping with machines, services and so on",
    ),
    "ten megabytes": (
        b"# x\n" * 2_500_000,
        "fleet.yaml: is larger than 1 MB; no configuration is",
    ),
    "not UTF-8": (
        b"fleet: \xff\xfe\n",
        "fleet.yaml: is not UTF-8 text at byte 7; save it as UTF-8",
    ),
    "a control character": (
        b"fleet: a\x00b\n",
        (
            "fleet.yaml: is not YAML: unacceptable character #x0000: "
            "control characters are not allowed; mind the indentation and the quotes"
        ),
    ),
    "nested without end": (
        b"a: " + b"[" * 100_000,
        "fleet.yaml line 1: is nested more than 20 deep; make it flatter",
    ),
    "aliases that multiply": (
        b"a: &a [x, x]\nb: &b [*a, *a]\n",
        "fleet.yaml line 1, a: anchors and aliases are not accepted (a); write it out",
    ),
}


@pytest.mark.parametrize(("content", "expected"), WHOLE.values(), ids=WHOLE.keys())
def test_a_file_that_is_no_fleet_at_all(tmp_path: Path, content: bytes, expected: str) -> None:
    fleet, runbooks = written(tmp_path)
    fleet.write_bytes(content)
    found = load(fleet, runbooks)
    assert sentences(found, tmp_path)[0] == expected


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    fleet, runbooks = written(tmp_path)
    fleet.unlink()
    assert sentences(load(fleet, runbooks), tmp_path) == [
        "fleet.yaml: does not exist; name another file, or let `autobot-dr init` write one"
    ]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    fleet, runbooks = written(tmp_path)
    fleet.unlink()
    os.mkfifo(fleet)
    assert sentences(load(fleet, runbooks), tmp_path) == [
        "fleet.yaml: is not a file; name a YAML file"
    ]


def test_every_fault_of_all_files_is_told_at_once(tmp_path: Path) -> None:
    fleet = (
        FLEET.replace("port: 80", "port: eighty")
        .replace("machine: store", "machine: cellar")
        .replace("address: 10.0.0.2", "address: 10.0.0.1")
    )
    assert told(tmp_path, fleet, {"one": "title: 3\n", "two": "title: ["}) == [
        "fleet.yaml line 21, services.web.port: must be a whole number, not 'eighty'",
        (
            "fleet.yaml line 11, machines.store.address: "
            "10.0.0.1 is the address of 'desk' too; give each its own"
        ),
        (
            "fleet.yaml line 14, services.database.machine: "
            "'cellar' is not a machine here (known: desk, store)"
        ),
        "runbooks/one.yaml line 1, title: must be text, not 3",
        "runbooks/one.yaml line 1, impact: is missing; add it",
        "runbooks/one.yaml line 1, services: is missing; add it",
        "runbooks/one.yaml line 1, estimate: is missing; add it",
        "runbooks/one.yaml line 1, ladder: is missing; add it",
        (
            "runbooks/two.yaml line 2: is not YAML: did not find expected node content; "
            "mind the indentation and the quotes"
        ),
    ]
