"""A push by a real restic that is throttled, tells how far it is, and is ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from tasks.backup.restic import complaint, heard, throttled
from tasks.contract import Outcome
from tasks.ending import EndableHost
from tasks.host import Ran
from tasks.operation import Moved, Tell
from tests.backup.filesrig import HOST, site

RATE = 400_000.0


def test_a_push_keeps_its_pace_and_is_ended_and_made_again(tmp_path: Path) -> None:
    with site(tmp_path) as here:
        (here.live / "store" / "big.bin").write_bytes(os.urandom(2_000_000))
        moved: list[Moved] = []
        at: list[float] = []

        def take(said: Moved) -> None:
            moved.append(said)
            at.append(time.monotonic())

        host = EndableHost(HOST, lambda: "ended: a test" if moved else "")
        wanted = here.wanted(bytes_per_s=RATE)
        tell = Tell(moved=take)
        ended = here.do("files.backup", wanted, host=host, tell=tell)
        assert time.monotonic() - at[0] < 10, "promptly"
        assert ended.outcome is Outcome.FAILED
        assert "ended: a test" in ended.reason
        assert list((here.room / "staging" / wanted["job"]).iterdir()) == []
        assert here.snapshots() == []

        begun = time.monotonic()
        done = here.do("files.backup", wanted, tell=tell)
        assert done.outcome is Outcome.DONE, done.reason
        assert time.monotonic() - begun > 2.0
        assert {each.what for each in moved} == {"pushing"}
        assert max(each.total for each in moved) > 2_000_000
        assert here.prove().outcome is Outcome.DONE


def test_a_proof_that_is_ended_leaves_no_scratch_folder(tmp_path: Path) -> None:
    with site(tmp_path) as here:
        (here.live / "store" / "big.bin").write_bytes(os.urandom(20_000_000))
        assert here.backup(max_bytes=100_000_000).outcome is Outcome.DONE
        scratch = Path(f"{here.repository}.scratch")
        host = EndableHost(HOST, lambda: "ended: a test" if scratch.exists() else "")
        given = {"job": "one-files", "folder": str(here.repository)}
        given["password_file"] = str(here.password)
        ended = here.do("files.prove", given, host=host)
        assert ended.outcome is Outcome.FAILED, ended.reason
        assert not scratch.exists()


def test_status_lines_are_progress_and_nothing_else_is() -> None:
    moved: list[Moved] = []
    take = heard("pushing", Tell(moved=moved.append))
    status = {"message_type": "status", "percent_done": 0.1, "total_bytes": 10, "bytes_done": 1}
    take(json.dumps(status).encode())
    take(json.dumps({"message_type": "status", "total_bytes": 10}).encode())
    for line in (b'{"message_type": "summary"}', b'{"message_type": "status"}', b"[]", b"no"):
        take(line)
    assert moved == [Moved("pushing", 1, 10), Moved("pushing", 0, 10)]


def test_last_words_in_json_are_understood_as_well() -> None:
    said = json.dumps(
        {"message_type": "exit_error", "code": 12, "message": "Fatal: wrong password"}
    )
    assert complaint(Ran(12, "", f"{said}\n")) == "wrong password"


def test_the_limit_is_in_whole_kibibytes_and_never_none() -> None:
    assert throttled(0.0) == ()
    assert throttled(20_000_000.0) == ("--limit-upload", "19531")
    assert throttled(10.0) == ("--limit-upload", "1")
