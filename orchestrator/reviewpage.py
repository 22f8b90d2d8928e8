"""A review as a document for people.

What lives here: which parts a review has, in which order, in which words. What must not: how
they are laid out (document.py) and what is in them (core/review.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator import document
from orchestrator.core.lessons import Finding
from orchestrator.core.measuring import Measured, Times
from orchestrator.core.review import Review
from orchestrator.document import Block, Exhibit, Grid, Heading, Items, Paragraph, Slot
from orchestrator.wording import duration, moment


def as_markdown(review: Review) -> str:
    return document.markdown(blocks(review))


def as_html(review: Review, slots: Mapping[str, str] | None = None) -> str:
    """A whole page; `slots` are forms, by the name of their place."""
    return document.page(title(review), document.html(blocks(review), slots or {}))


def title(review: Review) -> str:
    what = review.failure.services[0] if review.failure else review.incident.scenario
    return f"Review of incident {review.incident.id}: {what}"


def blocks(review: Review) -> Iterator[Block]:
    yield Heading(1, title(review))
    if not review.final:
        text = f"Preliminary: the incident is {review.incident.state.replace('_', ' ')}."
        yield Paragraph(text, strong=True)
    if review.missing:
        yield Paragraph(f"Still to do: {', '.join(review.missing)}.", strong=True)
    for part in (_summary, _times, _cause, _actions, _alerts, _people, _learned, _timeline):
        yield from part(review)


def _summary(review: Review) -> Iterator[Block]:
    incident, failure = review.incident, review.failure
    for sentence in review.summary:
        yield Paragraph(f"{sentence}.")
    rows = [
        ("Scenario", incident.scenario or "none cures it"),
        ("Run", incident.run),
        ("Opened", moment(incident.opened_at)),
        ("Recoveries", str(review.recoveries)),
    ]
    if failure:
        rows[:0] = [
            ("Failed", ", ".join(failure.services)),
            ("Severity", failure.severity.value),
            ("Cause, as watched", failure.cause),
        ]
    if incident.acknowledged_by:
        rows.append(("Acknowledged by", incident.acknowledged_by))
    if incident.notes:
        rows.append(("Still wrong beside it", "; ".join(incident.notes)))
    yield Grid(("What", "Value"), rows)


def _times(review: Review) -> Iterator[Block]:
    yield Heading(2, "Times")
    yield Grid(("Moment", "At", "Part", "Took"), list(_moments(review.times)))
    yield Heading(3, "Against the objectives")
    yield Grid(
        ("Objective", "Achieved", "Target", "At most", "Verdict"),
        [_measured("Recovery time", review.rto), _measured("Data loss", review.rpo)],
    )


def _moments(times: Times) -> Iterator[tuple[str, str, str, str]]:
    if times.failed_at is None:
        yield "ordered by a person", moment(times.opened_at), "", ""
    else:
        yield "first bad answer", moment(times.failed_at), "", ""
        yield "detected", moment(times.detected_at), "detection", _took(times.detection_s)
    yield "first order", _at(times.decided_at), "decision", _took(times.decision_s)
    yield "first command on a machine", _at(times.effect_at), "dispatch", _took(times.dispatch_s)
    yield "last step ended", _at(times.executed_at), "execution", _took(times.execution_s)
    yield "resolved", _at(times.resolved_at), "verification", _took(times.verification_s)


def _at(at: float | None) -> str:
    return moment(at) or "did not happen"


def _took(seconds: float | None) -> str:
    return duration(seconds) or "-"


def _measured(name: str, found: Measured) -> tuple[str, ...]:
    verdict = ": ".join(filter(None, [found.verdict.value, found.text]))
    achieved = duration(found.achieved_s) or "-"
    return name, achieved, duration(found.target_s), duration(found.maximum_s), verdict


def _cause(review: Review) -> Iterator[Block]:
    yield Heading(2, "Root cause")
    if review.root_cause:
        yield Paragraph(_signed(review.root_cause))
    else:
        yield Paragraph("Not written yet.")
    yield Slot("root-cause")
    yield Heading(3, "What the diagnosis found")
    if not review.evidence:
        yield Paragraph("No diagnosis was made on a machine.")
    for each in review.evidence:
        about = f" of {each.service}" if each.service and each.service != each.machine else ""
        line = f"{each.operation}{about} on {each.machine}, {each.outcome.value}: {each.reason}"
        yield Exhibit(line, each.detail) if each.detail.strip() else Items([line])


def _signed(finding: Finding) -> str:
    return f"{finding.text} ({finding.by}, {moment(finding.at)})"


def _actions(review: Review) -> Iterator[Block]:
    yield Heading(2, "Actions taken")
    if not review.actions:
        yield Paragraph("No step was ordered on any machine.")
        return
    rows = [
        (
            f"{each.step.rung + 1} {each.title}",
            each.step.machine,
            each.step.operation,
            str(each.step.attempt),
            each.step.outcome.value if each.step.outcome else "out",
            _took(each.took_s),
            each.step.reason,
        )
        for each in review.actions
    ]
    yield Grid(("Rung", "Machine", "Operation", "Try", "Outcome", "Took", "Reason"), rows)


def _alerts(review: Review) -> Iterator[Block]:
    yield Heading(2, "Consequences")
    if review.suppressed:
        yield Paragraph("Ill because of it; for these nobody was alerted on their own:")
        yield Items(review.suppressed)
    else:
        yield Paragraph("Nothing else was seen ill because of it.")
    if review.fallbacks:
        yield Items([f"{moment(each.at)} {each.text}" for each in review.fallbacks])


def _people(review: Review) -> Iterator[Block]:
    yield Heading(2, "People")
    if review.calls:
        rows = [
            (
                moment(each.due_at),
                f"{each.kind}, level {each.level + 1}",
                f"{each.role} ({each.reach})",
                " ".join(filter(None, [each.state, moment(each.ended_at)])),
                "; ".join(filter(None, [each.reason, each.error])),
            )
            for each in review.calls
        ]
        yield Grid(("Due", "What", "Who", "State", "About"), rows)
    else:
        yield Paragraph("Nobody was told or called.")
    if review.approvals:
        yield Items([f"{moment(each.at)} {each.text}" for each in review.approvals])


def _learned(review: Review) -> Iterator[Block]:
    yield Heading(2, "Lessons")
    if review.lessons:
        yield Items([_signed(each) for each in review.lessons])
    else:
        yield Paragraph("None written yet.")
    yield Slot("lesson")
    yield Heading(2, "Follow-ups")
    if review.follow_ups:
        rows = [
            (
                str(each.number),
                f"done {moment(each.done_at)} by {each.done_by}" if each.done_at else "open",
                each.owner or "nobody",
                each.text,
            )
            for each in review.follow_ups
        ]
        yield Grid(("Number", "State", "Owner", "What"), rows)
    else:
        yield Paragraph("None written yet.")
    yield Slot("follow-up")


def _timeline(review: Review) -> Iterator[Block]:
    yield Heading(2, "Timeline")
    began = review.times.failed_at or review.times.opened_at
    rows = [
        (moment(each.at), f"+{duration(max(0.0, each.at - began))}", each.kind, each.text)
        for each in review.timeline
    ]
    yield Grid(("At", "Since", "Kind", "What"), rows)
