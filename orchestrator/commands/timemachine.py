"""What `backup` shows and does of a Redis that is captured continuously.

What lives here: the covered ranges, the settings file, and a restore to any second. What must
not: how a run is followed (follow.py).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from orchestrator.commands import follow, home, plan
from orchestrator.commands.api import Client
from orchestrator.commands.ending import Exit, Stop, faulty, print_json
from orchestrator.commands.text import clock, console, table, word
from orchestrator.config import load
from orchestrator.core.captures import continuous
from orchestrator.upcaptures import settings_file
from orchestrator.wording import duration

LAST = "last"


def moment(given: str) -> str:
    """RFC 3339, or a time of today in UTC, as RFC 3339 in UTC. A bad one ends the command."""
    if given == LAST:
        return LAST
    text = given.strip().replace(" ", "T", 1)
    if "T" not in text:
        text = f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d}T{text}"
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{given!r} is no time; use 2026-11-28T14:03:20Z, 14:03:20 for today (UTC), or last",
            param_hint="--at",
        ) from error
    return f"{(at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def captures(client: Client) -> list[dict[str, Any]]:
    jobs = client.get("/api/v1/backups")["backups"]
    return [each["capture"] for each in jobs if each["capture"]]


def the_job(client: Client, given: str | None) -> str:
    """The job that was named, or the only one that is captured."""
    if given:
        return given
    names: list[str] = [each["job"] for each in captures(client)]
    if len(names) != 1:
        known = ", ".join(names) or "none; `continuous: true` in a job of fleet.yaml makes one"
        raise Stop(Exit.USAGE, f"name the job whose second is meant (captured: {known})")
    return names[0]


def show_ranges(found: Sequence[Mapping[str, Any]]) -> None:
    """What can be restored to any second, a line for each stretch."""
    rows = [
        (
            each["job"] if not number else "",
            word(each["state"] or "unknown") if not number else "",
            _lag(each) if not number else "",
            clock(stretch["covers_from"]),
            clock(stretch["covers_until"]),
            (clock(each["verified_until"]) or "-") if not number else "",
            each["reason"] if not number and each["health"] != "healthy" else stretch["history"],
        )
        for each in found
        for number, stretch in enumerate(list(reversed(each["ranges"])) or [_NO_RANGE])
    ]
    heads = ("CAPTURED", "STATE", "LAG", "ANY SECOND FROM", "UNTIL", "VERIFIED UNTIL", "HISTORY")
    console().print(table(heads, rows))


def show_fault(captured: Mapping[str, Any]) -> None:
    if captured["last_fault"]:
        when = clock(captured["last_fault_at"])
        console().print(f"last fault, at {when}: {captured['last_fault']}", soft_wrap=True)


_NO_RANGE = {"covers_from": None, "covers_until": None, "history": ""}


def _lag(each: Mapping[str, Any]) -> str:
    seconds = each["lag_seconds"]
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def print_settings(job: str) -> None:
    """The settings file of this job's capture, for a vault that is not the control machine."""
    settings = home.settings()
    configuration = load(settings.fleet, settings.runbooks)
    if isinstance(configuration, tuple):
        raise faulty(configuration)
    known = {each.name: each for each in continuous(configuration.inventory.backups.values())}
    if job not in known:
        names = ", ".join(known) or "none"
        raise Stop(Exit.USAGE, f"{job!r} is not captured continuously (those that are: {names})")
    click.echo(settings_file(known[job], configuration.fleet), nl=False)


def dry_run(client: Client, job: str, at: str, reason: str, *, as_json: bool) -> None:
    """What would be done, and which files: the vault is asked, nothing is changed."""
    planned = client.get(f"/api/v1/backups/{job}/at", at=at)
    body = {"reason": reason, "at": at}
    begun = client.post(f"/api/v1/backups/{job}/covers", body, str(uuid.uuid4()))
    looked = follow.follow(client, begun["id"], as_json=True)
    if as_json:
        print_json({**planned, "covers": looked})
    else:
        out = console()
        out.print("DRY RUN: nothing is changed; a restore would do what follows")
        for rung in planned["rungs"]:
            for line in plan.waves(rung):
                out.print(line, soft_wrap=True)
        for step in looked["steps"]:
            out.print(f"{step['machine']}: {step['reason']}", soft_wrap=True)
        for entry in looked["timeline"]:
            for line in entry["detail"].splitlines():
                out.print(f"  {line}", soft_wrap=True)
    if not any(entry["detail"] for entry in looked["timeline"]):
        raise Stop(Exit.FAILED)


def confirm(client: Client, job: str, at: str) -> None:
    means = client.get(f"/api/v1/backups/{job}/at", at=at)["means"]
    when = "with all that was captured" if at == LAST else f"as it was after {clock(at)}"
    click.confirm(f"{when}: {means}. Go on?", abort=True, err=True)
