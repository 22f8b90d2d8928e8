"""What an agent stands on: room for its journal, and a clock that can be believed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.policy import Clocks
from tasks.fake import Exchange, FakeHost
from tasks.host import Ran
from workers.ground import about_disk, mend_clock
from workers.ledger import JOURNAL, RESERVE, RESERVE_BYTES, Ledger, keep_reserve

OK, NO = Ran(0, "", ""), Ran(3, "", "")
STATE = "/var/lib/autobot-dr"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be filled."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "of-somebody-else").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError:
                return


def test_on_a_full_disk_the_reserve_is_given_up_and_the_journal_is_written(
    small_disk: Path,
) -> None:
    ledger = Ledger(small_disk / JOURNAL)
    keep_reserve(small_disk)
    assert (small_disk / RESERVE).stat().st_size == RESERVE_BYTES
    fill(small_disk)
    for number in range(200):
        ledger.begin(f"order-{number}", 1.0, "x" * 2000, "redis", number)
        ledger.finish(f"order-{number}", 1.0, "y" * 2000, "redis", number)
    assert ledger.recall("order-199") == ["x" * 2000, "y" * 2000]
    assert "is full; the agent's reserve there, 8 MB, was given up" in ledger.note
    assert not (small_disk / RESERVE).exists()
    ledger.close()
    # As long as there is no room it is not taken again; with room it is.
    keep_reserve(small_disk)
    assert not (small_disk / RESERVE).exists()
    (small_disk / "of-somebody-else").unlink()
    keep_reserve(small_disk)
    assert (small_disk / RESERVE).exists()


def test_what_takes_the_space_is_named_where_nothing_of_ours_is_left() -> None:
    df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 100 100 0 100% /\n"
    du = "900\t/\n800\t/var\n800\t/var/log/huge.log\n90\t/home/dump\n"
    sizes = "du --all --one-file-system --block-size=1M --threshold=4M -- /"
    host = FakeHost(
        [Exchange(f"df -P -k -- {STATE}", Ran(0, df, "")), Exchange(sizes, Ran(0, du, ""))]
    )
    assert about_disk(host, STATE) == (
        f"the disk of {STATE} (/) is full, and nothing there is ours to delete; a person must make "
        "room: /var/log/huge.log 800 MB, /home/dump 90 MB"
    )
    host.finish()


def test_a_disk_with_room_is_no_reason() -> None:
    df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 9 1 8000 1% /\n"
    host = FakeHost([Exchange(f"df -P -k -- {STATE}", Ran(0, df, ""))])
    assert about_disk(host, STATE) == ""


def clock(at: float) -> Exchange:
    return Exchange("date +%s.%N", Ran(0, f"{at:.9f}\n", ""))


def active(unit: str, answer: Ran = OK) -> Exchange:
    return Exchange(f"systemctl is-active --quiet -- {unit}", answer)


NONE = [active("chrony", NO), active("chronyd", NO), active("systemd-timesyncd", NO)]
AHEAD = "its clock is 300 s ahead, so its agent is not believed and refuses orders"


@pytest.mark.parametrize(
    ("policy", "exchanges", "told"),
    [
        (Clocks.OWN, [clock(2.0)], []),
        (
            Clocks.NEVER,
            [clock(300.0)],
            [AHEAD, "its clock is left as it is: `recovery: {clock: never}`"],
        ),
        (
            Clocks.OWN,
            [
                clock(300.0),
                active("chrony"),
                Exchange("chronyc -a makestep", OK),
                clock(0.1),
                clock(0.1),
            ],
            [AHEAD, "chronyc -a makestep: its clock is right now"],
        ),
        (
            Clocks.OWN,
            [clock(300.0), *NONE, clock(300.0)],
            [
                AHEAD,
                "it has no time service that could step its clock: its clock is still 300 s ahead",
            ],
        ),
        (
            Clocks.SET,
            [
                clock(300.0),
                *NONE,
                clock(300.0),
                Exchange("date -u -s @0.000", OK),
                clock(0.0),
            ],
            [AHEAD, "date -s: its clock is right now"],
        ),
        (
            Clocks.SET,
            [
                clock(300.0),
                *NONE,
                clock(300.0),
                Exchange("date -u -s @0.000", Ran(1, "", "Operation not permitted")),
                clock(300.0),
            ],
            [AHEAD, "date -s failed (Operation not permitted): its clock is still 300 s ahead"],
        ),
    ],
)
def test_a_clock_that_is_off_is_told_of_and_mended_as_policy_allows(
    policy: Clocks, exchanges: list[Exchange], told: list[str]
) -> None:
    host, said = FakeHost(exchanges), list[str]()
    mend_clock(host, policy, said.append)
    assert said == told
    host.finish()
