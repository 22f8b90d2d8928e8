"""A restore that is ended from outside, at any moment: nothing was changed, or it was finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contract import Outcome
from tasks.ending import EndableHost
from tasks.operation import Moved, Tell
from tests.backup.orders import HOST, do, holds_backup, production, untouched


def ended_at(backup: Path, tmp_path: Path, asked_for: int) -> Outcome:
    """Ended when it has been asked so often whether it goes on."""
    asked, said, moved = 0, [""], list[Moved]()

    def why() -> str:
        nonlocal asked
        asked += 1
        return "ended: a test" if asked > asked_for else ""

    host = EndableHost(HOST, why)
    tell = Tell(said.append, moved.append, host.keep_on)
    with production(tmp_path) as server:
        result = do(server, backup=str(backup), host=host, tell=tell)
        if result.outcome is Outcome.DONE:
            assert holds_backup(server)
        else:
            assert result.outcome is Outcome.FAILED, result.reason
            assert "ended: a test" in result.reason
            untouched(server, tmp_path)
    return result.outcome


def test_before_the_exchange_it_is_ended_and_after_that_it_is_finished(
    backup: Path, tmp_path: Path
) -> None:
    assert ended_at(backup, tmp_path / "a", 40) is Outcome.FAILED
    assert ended_at(backup, tmp_path / "b", 10_000) is Outcome.DONE


@pytest.mark.long
@pytest.mark.timeout(600)
def test_at_whatever_moment_it_is_ended_it_is_all_or_nothing(backup: Path, tmp_path: Path) -> None:
    moments = range(0, 240, 8)
    outcomes = [ended_at(backup, tmp_path / str(each), each) for each in moments]
    # How often it is asked depends on how long its commands take, so not where the turn is.
    assert {*outcomes[:10]} == {Outcome.FAILED}
    assert outcomes[-1] is Outcome.DONE
