"""Another process that changes a run: `python -m tests.contracts.writer URL RUN TIMES NAME`.

It says a line for each change once the store has answered, so that a test can kill it and
compare what was answered with what is there.
"""

from __future__ import annotations

import sys

from orchestrator.store import open_store
from tests.contracts.databases import count_up


def main() -> None:
    url, run, times, name = sys.argv[1:]
    store = open_store(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(times)):
        count_up(store, run, 1, f"{name} {number}")
        print(number, flush=True)
    store.close()


if __name__ == "__main__":
    main()
