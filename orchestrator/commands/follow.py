"""Following a run live, and what there is to say at its end.

What lives here: timeline lines, the table of steps, the outcome and its exit code. What must
not: starting or changing runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commands.api import Client
from orchestrator.commands.ending import Exit, Stop, tell
from orchestrator.commands.progress import NoLine, line_for
from orchestrator.commands.text import between, clock, console, moment, table, word
from orchestrator.wording import duration

DETAIL_LINES = 3  #: of evidence under a line; `run show` gives more

ENDED = ("resolved", "escalated", "closed")
STAYS = (*ENDED, "awaiting_approval")  #: nothing happens any more until a person acts


def follow(client: Client, run: str, *, as_json: bool) -> Mapping[str, Any]:
    """Show each line as it comes until the run needs nothing or a person; gives the run."""
    out = console()
    opened = client.get(f"/api/v1/runs/{run}")["opened_at"]
    try:
        with NoLine() if as_json else line_for(out) as line:
            for kind, data in client.events(run):
                if kind == "entry" and not as_json:
                    print_entry(out, data, opened, DETAIL_LINES)
                if kind == "progress":
                    line.show(data)
                if kind == "run" and data["state"] in STAYS:
                    break
    except KeyboardInterrupt:
        tell(
            f"the run goes on without you; `autobot-dr run watch {run}` shows it, "
            f"`autobot-dr run cancel {run}` stops it"
        )
        raise
    found: Mapping[str, Any] = client.get(f"/api/v1/runs/{run}")
    return found


def print_entry(out: Console, entry: Mapping[str, Any], opened: str, lines: int) -> None:
    """Time, time since the opening, and what happened, with the end of its evidence."""
    row = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    since = between(opened, entry["at"]) or 0.0
    row.add_row(
        Text(entry["at"][11:19] + "Z", style="dim"),
        Text(f"{'+' + _since(since):>10}"),
        Text(f"{entry['kind']:<8}", style="cyan"),
        _said(entry["text"]),
    )
    out.print(row)
    evidence = entry["detail"].strip().splitlines()
    for line in evidence[-lines:]:
        out.print(Text(f"{'':33}│ {line}", style="dim"), no_wrap=True, overflow="ellipsis")


def _since(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else duration(seconds)


def _said(text: str) -> Text:
    """The line, with the outcome or state that it begins with or names in its colour."""
    line = Text(text)
    for part in text.split(": ")[:2]:
        coloured = word(part)
        if coloured.style:
            line.highlight_words([part], coloured.style)
            break
    return line


def print_steps(out: Console, run: Mapping[str, Any]) -> None:
    if not run["steps"]:
        return
    out.print()
    out.print(
        table(
            ("RUNG", "MACHINE", "OPERATION", "TRY", "TOOK", "OUTCOME", "REASON"),
            (
                (
                    each["rung"] + 1,
                    each["machine"],
                    each["operation"],
                    each["attempt"],
                    duration(between(each["started_at"], each["ended_at"])),
                    word(each["outcome"] or "out"),
                    each["reason"],
                )
                for each in run["steps"]
            ),
        )
    )


def print_end(out: Console, run: Mapping[str, Any]) -> None:
    """The outcome, the time it took against the objective, what a person can do now."""
    out.print()
    line = Text.assemble(word(run["state"]), ": ", run["reason"])
    line.stylize("bold", 0, len(run["state"]))
    out.print(line)
    if run["rta_s"] is not None:
        objectives = run["objectives"]
        target, most = objectives["rto_target_s"], objectives["rto_maximum_s"]
        met = "met" if run["rta_s"] <= target else "missed; still within the maximum"
        met = "missed" if run["rta_s"] > most else met
        out.print(
            f"recovered in {duration(run['rta_s'])} (RTA); "
            f"objective {duration(target)}, at most {duration(most)} (RTO): {met}"
        )
    run_id = run["id"]
    if run["state"] == "awaiting_approval":
        out.print(f"allow it:  autobot-dr run approve {run_id}", soft_wrap=True)
        out.print(f"refuse it: autobot-dr run cancel {run_id}", soft_wrap=True)
    if run["state"] == "escalated":
        out.print("a person is needed; look with: autobot-dr status", soft_wrap=True)
        if run["scenario"]:
            out.print(f"try its rung again: autobot-dr run resume {run_id}", soft_wrap=True)


def print_head(out: Console, run: Mapping[str, Any]) -> None:
    of = f" of scenario {run['scenario']}" if run["scenario"] else ""
    text = f"run {run['id']}{of}, opened {clock(run['opened_at'])}"
    out.print(Text(text, style="bold"), soft_wrap=True)


def still_out(run: Mapping[str, Any]) -> list[str]:
    """The steps of which nobody knows yet how they ended."""
    return [f"{e['operation']} on {e['machine']}" for e in run["steps"] if e["outcome"] is None]


def end(run: Mapping[str, Any]) -> None:
    """Leave with the exit code of the outcome. A run without a problem returns."""
    state = run["state"]
    if state == "awaiting_approval":
        raise Stop(Exit.WAITING)
    if state == "escalated":
        raise Stop(Exit.FAILED)
    if moment(run["ended_at"]) and (run["rta_s"] or 0) > run["objectives"]["rto_maximum_s"]:
        raise Stop(Exit.OBJECTIVES)
