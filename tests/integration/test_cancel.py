"""Cancelling a run in the middle of a long step, and going on with it: real brokers and agents."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.backups import Keep
from orchestrator.core.incident import State
from orchestrator.core.restorepoints import PointState
from orchestrator.core.steps import order_id
from tasks.contract import Outcome, Withdrawal
from tasks.signing import new_keys, private_key, public_key, sign
from tests.integration import rig
from tests.integration.test_backups import BackupSite
from workers.executor import Identity
from workers.journal import Journal
from workers.ledger import JOURNAL
from workers.withdrawing import heed

SLOW = 300_000.0


@pytest.fixture(params=["valkey", "rabbitmq"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackupSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker(request.param, tmp_path))
        yield BackupSite(broker, tmp_path, stack)


def begun(here: BackupSite) -> str:
    """A backup that would take half a minute, and of which some bytes have come."""
    here.redis.ask("CONFIG", "SET", "rdbcompression", "no")
    here.redis.ask("DEBUG", "POPULATE", "8000", "doc:", "1000")
    here.job = replace(here.job, bytes_per_s=SLOW, keep=Keep(0.001, 1, 0, 0))
    here.coordinator({})
    here.begin()
    run = here.backups.take("night", reason="a test").run
    rig.wait_for("progress", lambda: bool(here.store.headways.of_run(run)), seconds=40)
    return run


def test_a_cancelled_backup_ends_at_once_leaves_nothing_and_is_resumed(here: BackupSite) -> None:
    run = begun(here)
    (said,) = here.store.headways.of_run(run).values()
    assert (said.what, said.agent) == ("receiving the dump", "one")
    assert 0 < said.done_bytes < 8_000_000
    assert said.per_second < 4 * SLOW, "it is throttled"
    coordinator = here.backups.coordinator
    cancelled_at = time.time()
    assert coordinator.cancel(run, "eve").state is State.ESCALATED

    def told() -> bool:
        stored = here.store.load(run)
        return stored is not None and stored.incident.steps[0].outcome is not None

    rig.wait_for("the step's end", told, seconds=15)
    stored = here.store.load(run)
    assert stored is not None
    first, second = stored.incident.steps
    assert first.outcome is Outcome.FAILED
    assert "ended: cancelled by eve" in first.reason
    assert (first.ended_at or 0) - cancelled_at < 10
    assert second.outcome is None, "its chain has ended, and nobody began it"
    folder = Path(here.job.folder)
    assert [each.name for each in folder.iterdir()] == [".lock"]
    assert list(here.store.restore_points.newest(limit=10)) == []

    # Faster, or the test would take as long as the backup.
    here.redis.ask("FLUSHALL")
    here.redis.fill(100)
    coordinator.resume(run, "eve")
    ended = here.ended(run)
    assert ended.state is State.RESOLVED, ended.reason
    (point,) = here.store.restore_points.newest(limit=10)
    assert point.state is PointState.VERIFIED
    assert [each.attempt for each in ended.steps] == [1, 1, 2, 2]


def test_a_withdrawn_order_that_was_not_begun_is_refused(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        here = BackupSite(broker, tmp_path, stack)
        coordinator = here.coordinator({})
        run = here.backups.take("night", reason="a test").run
        coordinator.cancel(run, "eve")
        here.begin()

        def told() -> bool:
            stored = here.store.load(run)
            return stored is not None and stored.incident.steps[0].outcome is not None

        rig.wait_for("the refusal", told, seconds=30)
        stored = here.store.load(run)
        assert stored is not None
        (step,) = stored.incident.steps
        assert (step.outcome, step.reason) == (Outcome.REFUSED, "withdrawn: cancelled by eve")
        assert not Path(here.job.folder).exists()
        # It is written down for good: a replay of the order is refused as well.
        journal = Journal(tmp_path / "one" / JOURNAL)
        assert journal.withdrawn(order_id(stored.incident, step)) == "cancelled by eve"
        journal.close()


def test_a_withdrawal_is_heeded_only_when_it_is_the_coordinators_and_ours(tmp_path: Path) -> None:
    def said(withdrawal: Withdrawal) -> str:
        return heed(identity, json.loads(json.dumps(withdrawal.to_wire())))

    ours, coordinator, stranger = new_keys(), new_keys(), new_keys()
    identity = Identity("one", private_key(ours[0]), public_key(coordinator[1]), tmp_path)
    plain = Withdrawal("inc-1", "run-1", 7, "one", ("inc-1.0.0.1",), "cancelled by eve", 1.0)
    key = private_key(coordinator[0])
    assert said(sign(plain, private_key(stranger[0]))).startswith("forged")
    assert said(sign(replace(plain, agent="two"), key)).startswith("foreign")
    assert "version" in heed(identity, {"anything": 1})
    journal = Journal(tmp_path / JOURNAL)
    assert journal.withdrawn("inc-1.0.0.1") == ""
    assert said(sign(plain, key)) == ""
    assert said(sign(plain, key)) == "", "twice is once"
    assert journal.withdrawn("inc-1.0.0.1") == "cancelled by eve"
    journal.close()
