"""Any second of a captured Redis: proved at the source's own offset, compacted, had back."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import choosing, cutting, history
from tasks.backup.cutting import NotCut, Settings
from tasks.backup.manifest import Count, State
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out
from tests.backup.orders import do, production
from tests.backup.rig import Capture, Redis, capture, loaded, redis
from tests.backup.test_capture import busy, writing
from tests.integration.rig import ROOT, wait_for

HOST = LocalHost()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path / "source") as server:
        yield server


def settings(made: Capture, **more: Any) -> Settings:
    into = made.root.parent / "backups"
    into.mkdir(exist_ok=True)
    return Settings(str(into), str(made.root), "127.0.0.1", made.source.port, **more)


def order(operation: str, wanted: Settings, **more: Any) -> Result:
    given: dict[str, Any] = {"into": wanted.into, "captured": wanted.captured}
    given |= {"address": "127.0.0.1", "port": wanted.port, **more}
    known = set(operations()[operation].arguments.__dataclass_fields__)
    only = {key: value for key, value in given.items() if key in known}
    return carry_out(HOST, operations()[operation], only, ends=HOST.now() + 60)


def next_second(made: Capture) -> int:
    """The second that is going on, and what is written from now on is in a later one."""
    made.wait_covered()
    at = int(time.time())
    time.sleep(at + 1.2 - time.time())
    made.wait_covered()
    wait_for("it to be covered", lambda: (made.status()["covers_until"] or 0) > at + 1)
    return at


@contextmanager
def captured(source: Redis, home: Path, **given: Any) -> Iterator[Capture]:
    with capture(home, source, **given) as made:
        made.wait_covered()
        yield made
        assert "waiting" not in made.process.log.read_text(), "the link was never lost"


def test_under_writes_it_is_cut_where_the_source_counted_and_becomes_the_next_base(
    source: Redis, tmp_path: Path
) -> None:
    with captured(source, tmp_path / "c", segment_seconds=1.0) as made:
        busy(source)
        source.ask("SET", "short", "gone soon", "PX", "900")
        with writing(source) as count:
            time.sleep(1.5)
            proved = cutting.cut(settings(made, base_bytes=1))
            assert (proved.manifest.state, proved.manifest.reason) == (State.VERIFIED, "")
            assert proved.manifest.covers_until > time.time() - 20
            wait_for("a new base", lambda: len(made.histories()) == 2)
            assert count[0] > 500
            time.sleep(2.2)
        made.wait_covered()
        old, new = made.histories()
        assert history.read_about(new).base_sha256 == proved.manifest.sha256
        assert history.read_about(new).offset == proved.manifest.offset
        again = cutting.cut(settings(made))
        assert again.manifest.state is State.VERIFIED
    for folder in (old, new):
        assert not list(history.faults(folder))
    with loaded(tmp_path / "copy", new) as copy:
        assert copy.digest() == source.digest()
    assert json.loads((made.root / "verified.json").read_text())["history"] == new.name


def test_a_mass_delete_is_undone_to_the_second_before(source: Redis, tmp_path: Path) -> None:
    with captured(source, tmp_path / "c", segment_seconds=1.0) as made, production(tmp_path) as at:
        source.fill(300)
        busy(source)
        second = next_second(made)
        before = source.digest()
        source.ask("FLUSHALL")
        source.fill(20, "after:")
        next_second(made)
        wanted = settings(made)
        looked = order("redis.covers", wanted, at=second)
        assert looked.outcome is Outcome.DONE
        assert made.histories()[0].name in looked.reason
        assert "appendonly.aof.1.base.rdb" in looked.detail
        name = "redis-20260101T000000.000Z-at-then"
        made_of_it = order("redis.cut", wanted, at=second, name=name, patterns=["doc:*"])
        assert made_of_it.outcome is Outcome.DONE, made_of_it.reason
        assert json.loads(made_of_it.detail)["restore_point"]["covers_until"] == second
        again = order("redis.cut", wanted, at=second, name=name)
        assert again.outcome is Outcome.UNCHANGED
        restored = do(at, backup=f"{wanted.into}/{name}", id=name)
        assert restored.outcome is Outcome.DONE, restored.reason
        assert at.digest() == before
        # And the mistake itself is still there, for whoever wants to see it.
        assert cutting.cut(wanted).manifest.contents is not None


def test_a_second_is_taken_from_the_history_that_has_it(source: Redis, tmp_path: Path) -> None:
    with captured(source, tmp_path / "c", segment_seconds=1.0) as made:
        wanted = settings(made, base_bytes=1)
        seconds = []
        for number in range(2):
            source.ask("RPUSH", "log", str(number))
            seconds.append(next_second(made))
            assert cutting.cut(wanted).manifest.state is State.VERIFIED
            _wait_for_base(made, number + 2)
        for number, at in enumerate(seconds):
            manifest = cutting.cut(replace(wanted, at=at)).manifest
            assert manifest.state is State.VERIFIED
            folder = tmp_path / f"copy{number}"
            folder.mkdir()
            (folder / "dump.rdb").write_bytes(
                (Path(wanted.into) / manifest.id / "dump.rdb").read_bytes()
            )
            with redis(folder) as copy:
                assert copy.ask("LLEN", "log") == number + 1
        with pytest.raises(NotCut, match="is before what was captured: that begins at 20"):
            cutting.cut(replace(wanted, at=seconds[0] - 3600))
        with pytest.raises(NotCut, match="is not over in what was captured"):
            cutting.cut(replace(wanted, at=int(time.time()) + 60))
        fault = order("redis.covers", wanted, at=seconds[0] - 3600)
        assert "not covered" in fault.reason


def test_what_is_not_what_the_source_has_is_found(source: Redis, tmp_path: Path) -> None:
    with captured(source, tmp_path / "c") as made:
        source.fill(50)
        script = "redis.set_repl(redis.REPL_NONE) redis.call('SET', 'ghost', 1)"
        source.ask("EVAL", script, "0")
        result = order("redis.cut", settings(made))
        assert result.outcome is Outcome.FAILED
        assert "database 0 has 50 keys" in result.reason
        assert "the source had 51" in result.reason
        assert "rename" in result.reason
        assert not (made.root / "next-base.json").exists()


def test_a_flipped_byte_in_what_was_sealed_is_found_before_it_is_loaded(
    source: Redis, tmp_path: Path
) -> None:
    with captured(source, tmp_path / "c", segment_seconds=0.5) as made:
        source.fill(100)
        at = next_second(made)
        time.sleep(1.0)
        log = made.histories()[0] / history.LOG_FOLDER / history.segment_name(1)
        content = bytearray(log.read_bytes())
        # A value, which Redis itself would load.
        content[content.index(b"value 7") + 6] ^= 1
        log.write_bytes(content)
        for wanted in (settings(made), settings(made, at=at)):
            with pytest.raises(NotCut, match="its SHA-256 differs"):
                cutting.cut(wanted)
        assert not [each for each in Path(wanted.into).iterdir() if each.name != ".lock"]


def test_a_source_that_is_gone_is_proved_from_what_is_on_the_vault(
    source: Redis, tmp_path: Path
) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        source.fill(70)
        made.wait_covered()
        time.sleep(1.2)
        source.kill()
        manifest = cutting.cut(settings(made)).manifest
        assert manifest.state is State.VERIFIED
        assert manifest.contents is not None
        assert manifest.contents.databases == {"0": Count(70)}
        assert manifest.covers_until <= time.time()


def test_killed_at_any_moment_it_leaves_nothing_under_a_name(source: Redis, tmp_path: Path) -> None:
    dice = random.Random(11)  # noqa: S311 - moments, not secrets
    with captured(source, tmp_path / "c", segment_seconds=1.0) as made:
        source.fill(2000)
        wanted = settings(made, base_bytes=1)
        file = tmp_path / "cut.json"
        file.write_text(json.dumps(asdict(wanted)))
        argv = [sys.executable, "-m", "tasks.backup.cutting", "--settings", str(file)]
        for _ in range(4):
            child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(dice.uniform(0.1, 1.6))
            child.kill()
            child.communicate()
            for folder in Path(wanted.into).glob("redis-*"):
                assert (folder / "manifest.json").exists()
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not list(Path(wanted.into).glob(".incoming-*"))
        made.wait_covered()
        time.sleep(1.2)
    with loaded(tmp_path / "copy", made.histories()[-1]) as copy:
        assert copy.digest() == source.digest()


def test_a_capture_killed_while_it_takes_a_new_base_goes_on(source: Redis, tmp_path: Path) -> None:
    dice = random.Random(5)  # noqa: S311 - moments, not secrets
    with capture(tmp_path / "c", source, segment_seconds=1.0) as made:
        made.wait_covered()
        with writing(source):
            for _ in range(2):
                proved = cutting.cut(settings(made, base_bytes=1))
                assert proved.manifest.state is State.VERIFIED, proved.manifest.reason
                time.sleep(dice.uniform(0, 1.1))
                made.process.kill()
                made.process.start()
                made.wait_covered()
        made.wait_covered()
    assert len(made.histories()) > 1
    for folder in made.histories():
        assert not list(history.faults(folder))
    with loaded(tmp_path / "copy", made.histories()[-1]) as copy:
        assert copy.digest() == source.digest()


def test_old_histories_go_after_a_proof_and_never_the_newest(source: Redis, tmp_path: Path) -> None:
    with captured(source, tmp_path / "c", segment_seconds=0.5) as made:
        wanted = settings(made, base_bytes=1, window_s=0.0)
        for number in range(2):
            source.fill(10)
            next_second(made)
            assert cutting.cut(wanted).manifest.state is State.VERIFIED
            _wait_for_base(made, number + 2)
        next_second(made)
        time.sleep(1.1)
        source.kill()
        # Without the source nothing is compared, and it is proved all the same.
        assert cutting.cut(replace(wanted, base_bytes=10**9)).manifest.state is State.VERIFIED
        assert [_number(each) for each in made.histories()] == [3]
        assert not list(made.root.glob(f"{choosing.GOING}*"))
        made.process.log.write_text("")


def _wait_for_base(made: Capture, number: int) -> None:
    wait_for("its base", lambda: _number(made.histories()[-1]) == number)


def _number(folder: Path) -> int:
    return int(folder.name.split("-")[1])
