"""An agent's part of a backup job, done by itself: for a timer, with no broker and no coordinator.

    python -m workers.alone JOB

What lives here: doing the steps of the job sheet that the coordinator signed, one after the
other. What must not: what a step is (executor.py). Each takes the lock that an order for the same
service takes, so it waits for one that is being carried out, and the other way round; its report
lies in the agent's journal until somebody of this agent reaches the broker. Exit codes are those
of the command line: 0 done, 2 a setting or the sheet is missing, 3 not backed up.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping

from tasks.contract import JobSheet, Json, Outcome, WorkOrder, alone_run
from tasks.host import LocalHost
from tasks.pinging import FAIL, START, SUCCESS, ping
from workers.agent import SettingMissing, identity_from
from workers.broker import make_app
from workers.executor import Executor, Identity
from workers.jobsheets import NoSheet, held_sheet
from workers.journal import Journal
from workers.ledger import JOURNAL
from workers.outbox import mark, send_by
from workers.voice import Unheard, Voice

log = logging.getLogger("autobot_dr.agent")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if len(sys.argv) != 2:
        print("usage: python -m workers.alone JOB", file=sys.stderr)
        return 2
    try:
        identity = identity_from(os.environ)
        sheet = held_sheet(identity, sys.argv[1])
    except (SettingMissing, NoSheet) as fault:
        print(f"autobot-dr backup: {fault}", file=sys.stderr)
        return 2
    failed = back_up(identity, sheet)
    _deliver(identity, os.environ.get("AUTOBOT_DR_BROKER_URL", ""))
    return 3 if failed else 0


def back_up(identity: Identity, sheet: JobSheet) -> str:
    """Why it failed, or nothing. What went wrong at the ping is only logged."""
    _ping(sheet, START)
    journal = Journal(identity.state / JOURNAL)
    executor = Executor(identity, journal, LocalHost(), lambda said: log.info("%s", said.text))
    run, failed = alone_run(sheet.job, time.time()), ""
    for step in sheet.steps:
        report = executor.handle_own(_order(run, identity, step))
        log.info("%s: %s: %s", step["operation"], report.outcome, report.reason)
        if not Outcome(report.outcome).succeeded:
            failed = f"{step['operation']}: {report.reason}"
            break
    journal.close()
    _ping(sheet, FAIL if failed else SUCCESS, failed)
    return failed


def _order(run: str, by: Identity, step: Mapping[str, Json]) -> WorkOrder:
    """Signed by nobody: it never leaves this process, and its sheet was."""
    return WorkOrder(
        incident=run,
        run=run,
        epoch=0,
        rung=0,
        step=step["number"],
        attempt=1,
        agent=by.machine,
        machine=step["machine"],
        service=step["service"],
        operation=step["operation"],
        arguments=step["arguments"],
        not_after=time.time(),
        seconds=step["seconds"],
    )


def _ping(sheet: JobSheet, what: str, said: str = "") -> None:
    if sheet.ping and (problem := ping(LocalHost(), sheet.ping, what, said)):
        log.warning("%s: its %s could not be pinged: %s", sheet.job, what, problem)


def _deliver(identity: Identity, broker_url: str) -> None:
    """Now if the broker is there; else the agent does when it reaches it again."""
    mark(identity).touch()
    if not broker_url:
        return
    voice = Voice(make_app(broker_url), f"alone@{identity.machine}")
    try:
        send_by(voice, identity)
    except Unheard as away:
        log.info("the report waits for the broker: %s", away)
    finally:
        voice.close()


if __name__ == "__main__":
    raise SystemExit(main())
