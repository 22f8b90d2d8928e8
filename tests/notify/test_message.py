"""What a person is told: everything that is needed, the most important first, in bounded lines."""

from __future__ import annotations

from dataclasses import asdict, replace

from orchestrator.core.advance import advance
from orchestrator.core.escalation import Call, CallKind, CallState, NewCall, plan_calls, plan_notice
from orchestrator.core.events import Approved, Begin, Checked, CheckResult, Entry, Publish
from orchestrator.core.failure import Severity
from orchestrator.core.fleet import Approval, Scenario
from orchestrator.core.health import Health
from orchestrator.core.incident import Incident, State
from orchestrator.notify.message import EVIDENCE_LINES, LINE_LENGTH, Notice, Site, compose
from tasks.contract import Outcome
from tests.contracts.databases import reported
from tests.core import worlds
from tests.core.test_escalation import SEED

DOWN_AT = 1765595527.0  # 2025-12-13 03:12:07 UTC
FAILURE = replace(
    worlds.FAILURE,
    services=("redis",),
    first_bad_at=DOWN_AT,
    reason="nothing listens",
    consequences=("backend: degraded: no cache", "frontend: slow"),
    fallback="cloud cache answers",
)
SCENARIO = Scenario("test", "Redis fails", "Session loss, cache miss", (), (), (), (1.0, 2.0))
SITE = Site("shop", "https://dr.example.com/", {"test": SCENARIO})
JOURNAL = "\n".join(f"line {number}" for number in range(1, 41))


def escalated() -> tuple[Incident, tuple[Entry, ...]]:
    """A restart that worked and did not help: nobody is left but people."""
    plan = worlds.plan(worlds.rung("journal.tail", "service.restart"))
    opened = replace(worlds.incident(plan, opened_at=DOWN_AT), failure=FAILURE)
    decision = advance(opened, Begin(), DOWN_AT + 5)
    lines = list(decision.timeline)
    [published] = [each for each in decision.effects if isinstance(each, Publish)]
    for order in published.orders:
        event = reported(order, "systemd says active")
        if order.operation == "journal.tail":
            event = replace(event, report=replace(event.report, detail=JOURNAL))
        decision = advance(decision.incident, event, DOWN_AT + 9)
        lines += decision.timeline
    checked = Checked(0, 0, (CheckResult("api", healthy=False, reason="nothing listens"),))
    decision = advance(decision.incident, checked, DOWN_AT + 840)
    assert decision.incident.state is State.ESCALATED
    return decision.incident, (*lines, *decision.timeline)


def rows(planned: tuple[NewCall, ...], first: int = 1) -> tuple[Call, ...]:
    return tuple(Call(**asdict(each), id=number) for number, each in enumerate(planned, first))


def called(incident: Incident, timeline: tuple[Entry, ...] = ()) -> Notice:
    known = rows(plan_calls(incident, SEED, "no rung is left", DOWN_AT + 840, 7))
    return Notice(known[:1], incident, timeline, known)


def informed(incident: Incident, reason: str = "nothing listens") -> Notice:
    known = rows(plan_notice(incident, SEED, reason, DOWN_AT + 5, 3), first=9)
    return Notice(known[:1], incident, (), known)


def test_a_call_says_all_that_is_needed_to_act() -> None:
    message = compose([called(*escalated())], SITE, DOWN_AT + 840)
    assert message.title == "[CRITICAL] redis is down since 03:12:07 UTC (shop)"
    assert message.key == "run-1/7/0/Primary"
    for line in (
        "since 2025-12-13 03:12:07 UTC, for 14 min",
        "  no rung is left",
        "IMPACT\n  Session loss, cache miss",
        "ALSO ILL BECAUSE OF IT\n  backend: degraded: no cache\n  frontend: slow",
        "USERS ARE SERVED MEANWHILE BY\n  cloud cache answers",
        "  nothing more is done without a person",
        "autobot-dr incident ack inc-run-1",
        "autobot-dr run resume run-1",
        "Secondary is called at 03:41:07 UTC if nobody has it by then",
        "Lead is called at 03:56:07 UTC if nobody has it by then",
        "  rung 1 of 1, restart:",
        "service.restart on m4: done: systemd says active",
        "EVIDENCE: journal.tail on m4: done: systemd says active\n  | line 21\n",
        "  | line 40\n",
        "https://dr.example.com/incidents/inc-run-1",
        "call run-1/7/0/Primary\n",
    ):
        assert line in message.body, message.body
    assert message.body.count("  | ") == EVIDENCE_LINES
    assert "Primary is called at" not in message.body


def test_approval_is_asked_for_with_the_command() -> None:
    plan = worlds.plan(worlds.rung("service.restart", approval=Approval.ASK))
    opened = replace(worlds.incident(plan), failure=FAILURE)
    waiting = advance(opened, Begin(), DOWN_AT + 5).incident
    message = compose([called(waiting)], SITE, DOWN_AT + 60)
    assert message.title == (
        "[CRITICAL] redis is down since 03:12:07 UTC, waits for your yes (shop)"
    )
    assert "'restart' is started when a person allows it, and not before" in message.body
    assert "autobot-dr run approve run-1" in message.body
    assert "run resume" not in message.body
    going = advance(waiting, Approved("me"), DOWN_AT + 90).incident
    assert "autobot-dr run approve" not in compose([informed(going)], SITE, DOWN_AT + 91).body


def test_titles_tell_what_asks_for_nothing() -> None:
    incident, _ = escalated()
    recovering = replace(incident, state=State.RECOVERING)
    title = compose([informed(recovering)], SITE, DOWN_AT + 10).title
    assert title == "[INFO] redis is down since 03:12:07 UTC, recovering (shop)"
    over = replace(incident, state=State.RESOLVED, ended_at=DOWN_AT + 120)
    message = compose([informed(over, "resolved: verified from outside")], SITE, DOWN_AT + 9999)
    assert message.title == "[RESOLVED] redis was down since 03:12:07 UTC (shop)"
    assert "for 2 min" in message.body
    assert "is called at" not in message.body


def test_a_warning_is_no_alarm() -> None:
    incident, _ = escalated()
    slow = replace(FAILURE, severity=Severity.WARNING, health=Health.DEGRADED)
    title = compose([called(replace(incident, failure=slow))], SITE, DOWN_AT).title
    assert title == "[WARNING] redis is degraded since 03:12:07 UTC (shop)"


def test_what_a_person_ordered_has_no_failure_to_tell_of() -> None:
    incident, timeline = escalated()
    ordered = replace(incident, failure=None)
    message = compose([called(ordered, timeline)], SITE, DOWN_AT + 840)
    assert message.title == "[CRITICAL] recovery of test of 03:12:07 UTC needs you (shop)"
    assert "ALSO ILL" not in message.body


def test_a_failed_backup_is_told_as_one() -> None:
    incident, _ = escalated()
    plan = replace(incident.plan, scenario="backup-night", urgent=False)
    failed = replace(incident, failure=None, scenario="backup-night", plan=plan)
    title = compose([informed(failed)], SITE, DOWN_AT + 840).title
    assert title == "[INFO] backup-night of 03:12:07 UTC, escalated (shop)"


def test_several_runs_make_one_message_and_what_asks_comes_first() -> None:
    incident, timeline = escalated()
    other = replace(incident, run="run-2", id="inc-run-2", state=State.RECOVERING)
    message = compose([informed(other), called(incident, timeline)], SITE, DOWN_AT + 840)
    assert message.title == "[CRITICAL] redis is down since 03:12:07 UTC, and 1 more (shop)"
    assert message.key == "run-1/7/0/Primary, run-2/3/0/Primary"
    assert message.body.index("inc-run-1") < message.body.index("incidents/inc-run-2")


def test_the_newest_journal_is_the_evidence_else_a_log_else_any_step() -> None:
    incident, _ = escalated()
    lines = (
        Entry(1.0, "step", "journal.tail on a: done: seen", "old"),
        Entry(2.0, "step", "journal.tail on b: done: seen", "newer"),
        Entry(3.0, "step", "log.tail on b: done: seen", "from a log"),
        Entry(4.0, "step", "service.restart on b: failed: no", "said systemctl"),
        Entry(5.0, "progress", "40 %", "no evidence"),
    )
    for kept, expected in ((lines, "newer"), (lines[2:], "from a log"), (lines[3:], "said sys")):
        assert f"  | {expected}" in compose([called(incident, kept)], SITE, DOWN_AT).body
    assert "EVIDENCE" not in compose([called(incident)], SITE, DOWN_AT).body


def test_a_machines_words_break_neither_the_subject_nor_the_lines() -> None:
    incident, _ = escalated()
    nasty = "x" * 5000 + "\r\nBcc: all@example.com\n\x1b[31m"
    steps = tuple(replace(each, reason=nasty, outcome=Outcome.FAILED) for each in incident.steps)
    failure = replace(FAILURE, services=(nasty,), consequences=(nasty,) * 3)
    odd = replace(incident, failure=failure, reason=nasty, steps=steps, scenario=nasty)
    timeline = (Entry(1.0, "step", nasty, f"{nasty}\n" * 50),)
    message = compose([called(odd, timeline)], SITE, DOWN_AT)
    assert message.title.isprintable()
    assert len(message.title) <= LINE_LENGTH
    lines = message.body.splitlines()
    assert all(each.isprintable() for each in lines)
    assert len(lines) < 120


def test_every_state_can_be_told_of() -> None:
    incident, timeline = escalated()
    for state in State:
        for kind in CallKind:
            calls = (replace(called(incident).calls[0], kind=kind),)
            known = tuple(replace(each, state=CallState.WAITING) for each in calls)
            notice = Notice(calls, replace(incident, state=state), timeline, known)
            assert "WHAT TO DO\n  " in compose([notice], SITE, DOWN_AT).body
