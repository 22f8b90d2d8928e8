"""What a person is told: a text to act on at three in the morning. Pure: values in, text out.

What lives here: title and body, with all that the incident and its timeline know, the most
important first because a messenger may cut the rest. What must not: sending, and any look at
the world. Several runs for one contact at one moment make one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.core.escalation import NEEDING, Call, CallKind, CallState
from orchestrator.core.events import Entry
from orchestrator.core.fleet import Scenario
from orchestrator.core.incident import WORKING, Incident, State
from orchestrator.notify.channel import Message

EVIDENCE_LINES = 20
TRIED_STEPS = 20
LINE_LENGTH = 300
#: Operations whose detail is a log's last lines; the newest of the first kind that was kept wins.
_LOGS = ("journal.tail", "log.tail")


@dataclass(frozen=True, slots=True)
class Site:
    """Who is writing, and where it can be looked up."""

    fleet: str
    url: str
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """All that one message says of one run."""

    calls: tuple[Call, ...]  #: of this run, to this contact, due now
    incident: Incident
    timeline: tuple[Entry, ...]
    known: tuple[Call, ...] = ()  #: every call of the run

    @property
    def asks(self) -> bool:
        return any(each.kind is CallKind.CALL for each in self.calls)


def compose(notices: Sequence[Notice], site: Site, now: float) -> Message:
    """One message; what asks for something comes first."""
    ordered = sorted(notices, key=lambda each: not each.asks)
    keys = ", ".join(call.key for each in ordered for call in each.calls)
    titles = [_one_line(_title(each)) for each in ordered]
    title = titles[0] if len(titles) == 1 else f"{titles[0]}, and {len(titles) - 1} more"
    parts = ["\n".join(_body(each, site, now)) for each in ordered]
    if len(parts) > 1:
        contents = "\n".join(f"{number}. {each}" for number, each in enumerate(titles, 1))
        parts = [contents, *(f"{'=' * 72}\n{each}" for each in parts)]
    foot = f"-- \nAutoBot DR, fleet {site.fleet}\ncall {keys}\n"
    return Message(keys, _one_line(f"{title} ({site.fleet})"), "\n\n".join([*parts, foot]))


def _title(notice: Notice) -> str:
    incident, failure = notice.incident, notice.incident.failure
    if failure is None:
        # The run of a backup is named like it, and recovers nothing.
        what = f"recovery of {incident.scenario}" if incident.plan.urgent else incident.scenario
        began = incident.opened_at
    else:
        named = failure.services[0] if failure.services else failure.machine or failure.cause
        what, began = f"{named} is {failure.health}", failure.first_bad_at
        if incident.state in (State.RESOLVED, State.CLOSED):
            return f"[RESOLVED] {named} was {failure.health} since {_clock(began)}"
    since = f"{what} since {_clock(began)}" if failure else f"{what} of {_clock(began)}"
    if not notice.asks:
        return f"[INFO] {since}, {_words(incident.state)}"
    severity = failure.severity.upper() if failure else "CRITICAL"
    if incident.state is State.AWAITING_APPROVAL:
        return f"[{severity}] {since}, waits for your yes"
    return f"[{severity}] {since}" if failure else f"[{severity}] {since} needs you"


def _body(notice: Notice, site: Site, now: float) -> Iterator[str]:
    incident, failure = notice.incident, notice.incident.failure
    began = failure.first_bad_at if failure else incident.opened_at
    ended = incident.ended_at if incident.state in (State.RESOLVED, State.CLOSED) else None
    yield _one_line(_title(notice))
    yield f"{_day(began)}, for {_lasting((ended or now) - began)}"
    for reason in dict.fromkeys([*(call.reason for call in notice.calls), incident.reason]):
        yield f"  {_cut(reason)}"
    scenario = site.scenarios.get(incident.scenario)
    if scenario:
        yield from _section("IMPACT", [scenario.impact])
    if failure:
        yield from _section("ALSO ILL BECAUSE OF IT", failure.consequences)
        yield from _section("USERS ARE SERVED MEANWHILE BY", [failure.fallback])
    yield from _section("WHAT TO DO", _next(notice))
    yield from _section("WHAT WAS TRIED", _tried(incident))
    evidence = _evidence(notice.timeline)
    if evidence:
        yield from _section(f"EVIDENCE: {_cut(evidence.text)}", _last_lines(evidence.detail))
    yield ""
    yield f"{site.url.rstrip('/')}/incidents/{incident.id}"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    written = [f"  {_cut(line)}" for line in lines if line.strip()]
    if written:
        yield from ("", title, *written)


def _next(notice: Notice) -> list[str]:
    """What a person can do, to be copied as it is, and what happens otherwise."""
    incident = notice.incident
    lines = [_standing(incident)]
    if incident.state in NEEDING:
        lines.append(f"say that you have it:  autobot-dr incident ack {incident.id}")
    if incident.state is State.AWAITING_APPROVAL:
        lines.append(f"allow it:              autobot-dr run approve {incident.run}")
        lines.append(f"refuse it:             autobot-dr run cancel {incident.run}")
    if incident.state is State.ESCALATED and incident.plan.rungs:
        lines.append(f"have it tried again:   autobot-dr run resume {incident.run}")
    if incident.state in WORKING:
        lines.append(f"watch it:              autobot-dr run watch {incident.run}")
    if incident.state in NEEDING:
        lines += _others(notice)
    return lines


def _others(notice: Notice) -> list[str]:
    """Who is called next, and when."""
    told = {each.id for each in notice.calls}
    waiting = [
        each
        for each in sorted(notice.known, key=lambda call: call.due_at)
        if (each.kind, each.state) == (CallKind.CALL, CallState.WAITING) and each.id not in told
    ]
    return [f"{c.role} is called at {_clock(c.due_at)} if nobody has it by then" for c in waiting]


def _standing(incident: Incident) -> str:
    match incident.state:
        case State.ESCALATED:
            return "nothing more is done without a person"
        case State.AWAITING_APPROVAL:
            rungs = incident.plan.rungs
            title = rungs[incident.rung].title if incident.rung < len(rungs) else "the next rung"
            return f"{title!r} is started when a person allows it, and not before"
        case State.RECOVERING | State.VERIFYING:
            return "nothing: it is being recovered, and people are called if that fails"
        case State.OPEN:
            return "nothing yet: it is watched, and people are called if they are needed"
        case State.RESOLVED | State.CLOSED:
            return "nothing: it is over"


def _tried(incident: Incident) -> list[str]:
    lines: list[str] = []
    rung = None
    for step in incident.steps[-TRIED_STEPS:]:
        if step.rung != rung:
            rung = step.rung
            title = incident.plan.rungs[rung].title
            lines.append(f"rung {rung + 1} of {len(incident.plan.rungs)}, {title}:")
        when = f" ({_clock(step.ended_at)})" if step.ended_at is not None else ""
        outcome = f"{step.outcome}: {step.reason}" if step.outcome else "is out"
        lines.append(f"  {step.operation} on {step.machine}: {outcome}{when}")
    return lines


def _evidence(timeline: Sequence[Entry]) -> Entry | None:
    steps = [each for each in timeline if each.kind == "step" and each.detail.strip()]
    for log in _LOGS:
        of_log = [each for each in steps if each.text.startswith(log)]
        if of_log:
            return of_log[-1]
    return steps[-1] if steps else None


def _last_lines(text: str) -> list[str]:
    return [f"| {line}" for line in text.strip().splitlines()[-EVIDENCE_LINES:]]


def _words(state: State) -> str:
    return state.value.replace("_", " ")


def _cut(text: str) -> str:
    """One line of bounded length: a machine's words must not push away our own."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def _one_line(text: str) -> str:
    return _cut(" ".join(text.split()))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("since %Y-%m-%d %H:%M:%S UTC")


def _lasting(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
