"""`backup restore` of keys and its dry run, and `backup undo`.

What lives here: these. What must not: the other commands of `backup` (backups.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from orchestrator.commands import follow, plan
from orchestrator.commands.api import Client
from orchestrator.commands.ending import print_json
from orchestrator.commands.recover import watch
from orchestrator.commands.text import console


def order(client: Client, path: str, body: Mapping[str, Any], *, wait: bool, as_json: bool) -> None:
    """Order a run, and follow it to its end."""
    started = client.post(path, body, str(uuid.uuid4()))
    if not as_json:
        follow.print_head(console(), started)
    if wait:
        watch(client, started["id"], as_json)
    elif as_json:
        print_json(started)
    else:
        shown = f"watch it with: autobot-dr run watch {started['id']}"
        console().print(shown, soft_wrap=True)


def look_at(client: Client, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run that only looks, to its end; what it says is the reasons of its steps."""
    started = client.post(path, body, str(uuid.uuid4()))
    return follow.follow(client, started["id"], as_json=True)


def dry_run(
    client: Client, found: Mapping[str, Any], reason: str, *, look: bool, as_json: bool
) -> None:
    """The plan, and what the machine says: what would be replaced, and how long it would take."""
    if not as_json:
        out = console()
        out.print("DRY RUN: nothing is changed; a restore would do what follows")
        for rung in found["rungs"]:
            for line in plan.waves(rung):
                out.print(line, soft_wrap=True)
    path = f"/api/v1/restore-points/{found['restore_point']['id']}/rehearse"
    seen = look_at(client, path, {"reason": reason}) if look else None
    if as_json:
        print_json({**found, "rehearsal": seen})
    elif seen:
        show_look(seen)
    if seen:
        follow.end(seen)


def show_look(run: Mapping[str, Any]) -> None:
    out = console()
    for step in run["steps"]:
        out.print(f"{step['machine']}: {step['reason']}", soft_wrap=True)
    for entry in run["timeline"]:
        for line in entry["detail"].splitlines():
            out.print(f"  {line}", soft_wrap=True)
