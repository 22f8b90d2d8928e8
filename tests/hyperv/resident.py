"""Powers a lab's machines from processes that are there already, as a hypervisor's own are.

What lives here: that, and nothing slow to import. What must not: the Hyper-V host. `lab.power`
starts an interpreter for each start, which takes as long as a tenth of a machine's boot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from deploy.lab.nspawn import NspawnMachine


def power(home: Path, verb: str, name: str) -> None:
    getattr(NspawnMachine(home, name), verb)()


@contextmanager
def powering(home: Path, count: int) -> Iterator[Callable[[str, str], None]]:
    """What starts, stops or kills a machine, as many of them at a time as `count`."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        # Each takes long enough that the next one needs a process of its own.
        for each in [pool.submit(time.sleep, 0.5) for _ in range(count)]:
            each.result()
        yield lambda verb, name: pool.submit(power, home, verb, name).result(90)
