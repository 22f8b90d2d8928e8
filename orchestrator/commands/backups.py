"""`backup`: run, scan, list, show, verify, restore, undo, capture, prune, doctor, kit.

What lives here: these commands. What must not: how a run is followed (follow.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click

from orchestrator.commands import follow, home, restores, timemachine
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.kit import kit
from orchestrator.commands.text import clock, console, table, word

_reason = click.option(
    "--reason", default="by hand", show_default=True, help="Why; kept in the timeline."
)
_no_wait = click.option("--no-wait", is_flag=True, help="Start the run and do not follow it.")


@click.group()
def backup() -> None:
    """Backups and restore points: run, scan, list, show, verify, restore, undo, prune, doctor, kit.

    A backup counts only once it was opened in a scratch place and compared.
    """


backup.add_command(kit)


@backup.command()
@click.argument("job")
@_reason
@_no_wait
@json_option
def run(job: str, reason: str, no_wait: bool, as_json: bool) -> None:
    """Take a backup now and follow it.

    JOB is its name in fleet.yaml. Ends with 3 when there is no new verified backup.
    """
    _order(f"/api/v1/backups/{job}/run", reason, no_wait=no_wait, as_json=as_json)


@backup.command()
@click.argument("job")
@_reason
@_no_wait
@json_option
def scan(job: str, reason: str, no_wait: bool, as_json: bool) -> None:
    """Ask JOB's vault for the restore points that its repository has.

    For a catalogue that was lost: what is found is listed again, and `verify` proves it.
    """
    _order(f"/api/v1/backups/{job}/scan", reason, no_wait=no_wait, as_json=as_json)


@backup.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--job", default="", help="Only those of this job.")
@json_option
def list_points(limit: int, job: str, as_json: bool) -> None:
    """The newest restore points, failed ones included."""
    client = Client(home.settings())
    found = client.get("/api/v1/restore-points", limit=limit, job=job)
    captured = [each for each in timemachine.captures(client) if job in ("", each["job"])]
    if as_json:
        print_json({**found, "captures": captured})
        return
    if captured:
        timemachine.show_ranges(captured)
        console().print()
    if not found["restore_points"]:
        click.echo("no backup yet; `autobot-dr backup run JOB` takes one")
        return
    console().print(_table(found["restore_points"]))


def _table(points: Sequence[Mapping[str, Any]]) -> Any:
    rows = (
        (
            each["id"],
            each["job"],
            each["kind"],
            word(each["state"]),
            clock(each["covers_until"]),
            clock(each["verified_at"]),
            _size(each["size_bytes"]),
            each["reason"] or ", ".join(each["location"]),
        )
        for each in points
    )
    wrong = "WHERE, OR WHAT IS WRONG"
    heads = ("ID", "JOB", "KIND", "STATE", "COVERS UNTIL", "VERIFIED", "SIZE", wrong)
    return table(heads, rows)


def _size(count: int) -> str:
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"


@backup.command()
@click.argument("point_id", metavar="ID")
@json_option
def show(point_id: str, as_json: bool) -> None:
    """All that is known of a restore point, or of a job that is captured continuously."""
    client = Client(home.settings())
    captured = [each for each in timemachine.captures(client) if each["job"] == point_id]
    if captured and not as_json:
        timemachine.show_ranges(captured)
        timemachine.show_fault(captured[0])
        return
    found = captured[0] if captured else client.get(f"/api/v1/restore-points/{point_id}")
    if as_json:
        print_json(found)
        return
    out = console()
    for name, value in found.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        out.print(f"{name:<13} {'' if shown is None else shown}", soft_wrap=True)


@backup.command()
@click.argument("point_id", metavar="ID")
@_reason
@_no_wait
@json_option
def verify(point_id: str, reason: str, no_wait: bool, as_json: bool) -> None:
    """Open a backup in a scratch place once more, and compare it with its manifest."""
    path = f"/api/v1/restore-points/{point_id}/verify"
    _order(path, reason, no_wait=no_wait, as_json=as_json)


@backup.command()
@click.argument("point_id", metavar="[ID|JOB]", required=False)
@click.option("--at", metavar="TIME", help="As it was after this second; JOB says of what.")
@click.option("--keys", metavar="PATTERN", help="Only such keys, into the live Redis: doc:*")
@click.option("--dry-run", is_flag=True, help="Show what would be done; nothing is changed.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@_reason
@_no_wait
@json_option
def restore(
    point_id: str | None,
    at: str | None,
    keys: str | None,
    dry_run: bool,
    yes: bool,
    reason: str,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Bring a backup back: of a Redis, in the place of what it has now, or of a VM.

    What is there is kept, and `autobot-dr backup undo ID` puts it back. A Redis's backup is proved
    once more before anything is touched. A snapshot brings the whole machine back, when somebody
    has approved the run. A dry run also looks at the machine, for what would be replaced and how
    long it would take; with --no-wait it does not.

    With --at a backup is first made of what was captured: 2026-11-28T14:03:20Z, or 14:03:20 for
    today in UTC, has all that was written until the end of that second; `last` has all that was
    captured. JOB can be left out where only one job is captured continuously. With --keys the
    Redis is not stopped, and only such keys are put into it.
    """
    if at is not None and keys is not None:
        raise click.UsageError("--at and --keys do not go together; restore a second, or some keys")
    client = Client(home.settings())
    if at is not None:
        second, job = timemachine.moment(at), timemachine.the_job(client, point_id)
        if dry_run:
            timemachine.dry_run(client, job, second, reason, as_json=as_json)
            return
        if not yes:
            timemachine.confirm(client, job, second)
        path = f"/api/v1/backups/{job}/restore"
        _order(path, reason, no_wait=no_wait, as_json=as_json, more={"at": second})
        return
    if point_id is None:
        raise click.UsageError("name a restore point, or a second with --at")
    if keys is not None:
        body = {"reason": reason, "pattern": keys, "dry_run": dry_run}
        restores.keys(client, point_id, body, yes=yes, wait=not no_wait, as_json=as_json)
        return
    found = client.get(f"/api/v1/restore-points/{point_id}/plan")
    if dry_run:
        look = not no_wait and found["restore_point"]["kind"] == "redis"
        restores.dry_run(client, found, reason, look=look, as_json=as_json)
        return
    point = found["restore_point"]
    if not yes:
        click.confirm(
            f"{point['id']} is of {clock(point['covers_until'])}: {found['means']}. Go on?",
            abort=True,
            err=True,
        )
    path = f"/api/v1/restore-points/{point_id}/restore"
    _order(path, reason, no_wait=no_wait, as_json=as_json)


@backup.command()
@click.argument("which", metavar="RUN|ID")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@_reason
@_no_wait
@json_option
def undo(which: str, yes: bool, reason: str, no_wait: bool, as_json: bool) -> None:
    """Put back what a restore replaced.

    RUN is the restore's, ID the restore point's that it restored: of its newest restore.
    What is there now is kept too. A restore that was left half-way is taken back as well.
    """
    if not yes:
        said = "what that restore replaced is put back; what is there now is kept beside it"
        click.confirm(f"{which}: {said}. Go on?", abort=True, err=True)
    path = f"/api/v1/restores/{which}/undo"
    restores.order(
        Client(home.settings()), path, {"reason": reason}, wait=not no_wait, as_json=as_json
    )


@backup.command()
@click.argument("job")
@json_option
def capture(job: str, as_json: bool) -> None:  # noqa: ARG001 the file is JSON in any case
    """Print the settings file of JOB's capture, for another vault.

    There, deploy/systemd/autobot-dr-capture@.service runs it; on the control machine `up` does.
    """
    timemachine.print_settings(job)


@backup.command()
@click.argument("job")
@_reason
@json_option
def doctor(job: str, reason: str, as_json: bool) -> None:
    """Find what will bite the backups and restores of JOB's service.

    Changes nothing. Each finding has its remedy; those of kind `refuse` keep a restore from
    beginning.
    """
    client = Client(home.settings())
    found = restores.look_at(client, f"/api/v1/backups/{job}/doctor", {"reason": reason})
    if as_json:
        print_json(found)
    else:
        restores.show_look(found)
    follow.end(found)


@backup.command()
@click.argument("job")
@click.option("--dry-run", is_flag=True, help="Only show which would go.")
@_reason
@json_option
def prune(job: str, dry_run: bool, reason: str, as_json: bool) -> None:
    """Remove backups of JOB that its `keep` does not ask for.

    Where none is verified, nothing goes; the newest verified one never does. The vault's agent
    looks at what is there, also for the dry run.
    """
    client = Client(home.settings())
    body = {"reason": reason, "dry_run": dry_run}
    found = restores.look_at(client, f"/api/v1/backups/{job}/prune", body)
    if as_json:
        print_json(found)
    else:
        out = console()
        for step in found["steps"]:
            head = "DRY RUN: nothing was removed; " if dry_run else ""
            out.print(f"{head}{step['machine']}: {step['reason']}", soft_wrap=True)
        if found["state"] == "escalated":
            out.print(found["reason"], soft_wrap=True)
    follow.end(found)


def _order(
    path: str,
    reason: str,
    *,
    no_wait: bool,
    as_json: bool,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    client = Client(home.settings())
    restores.order(client, path, {"reason": reason, **more}, wait=not no_wait, as_json=as_json)
