"""`continuous` in a backup job of fleet.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import Configuration, load
from orchestrator.core.backups import Keep
from orchestrator.core.redisbackups import Continuous, RedisJob
from tests.config.small import FLEET, sentences, told, written

JOB = "\nbackups:\n  all: {{kind: redis, service: database, vault: desk, folder: /b, {}}}\n"


def job(folder: Path, text: str) -> RedisJob:
    found = load(*written(folder, FLEET + JOB.format(text)))
    assert isinstance(found, Configuration), sentences(found, folder)
    made = found.inventory.backups["all"]
    assert isinstance(made, RedisJob)
    return made


def test_true_is_enough(tmp_path: Path) -> None:
    made = job(tmp_path, "continuous: true")
    assert made.continuous == Continuous(60.0, 15.0, 2 * 86400.0)
    assert made.every_s == 1800.0, "it is proved twice an hour"
    assert made.keep == Keep(7200.0, 7, 4, 6), "and what is proved so often is not all kept"
    assert made.captured == "/b/captured"


def test_all_of_it_can_be_chosen(tmp_path: Path) -> None:
    text = "continuous: {segment: 30 s, lag: 1 min, window: 7 d}, every: 10 min, keep: {daily: 1}"
    made = job(tmp_path, text)
    assert made.continuous == Continuous(30.0, 60.0, 7 * 86400.0)
    assert (made.every_s, made.keep) == (600.0, Keep(2 * 86400.0, 1, 0, 0))


def test_false_is_as_if_it_were_left_out(tmp_path: Path) -> None:
    made = job(tmp_path, "continuous: false, every: 10 min")
    assert (made.continuous, made.keep) == (None, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("continuous: often", "backups.all.continuous: must be a mapping, not 'often'"),
        ("continuous: {lag: 0 s}", "backups.all.continuous.lag: must be greater than 0, not '0 s'"),
        (
            "continuous: {lags: 1 s}",
            "backups.all.continuous.lags: is not a key here (known: segment, lag, window)",
        ),
    ],
)
def test_a_fault_in_it_is_said_with_its_place(tmp_path: Path, given: str, said: str) -> None:
    (fault,) = told(tmp_path, FLEET + JOB.format(given))
    assert said in fault
