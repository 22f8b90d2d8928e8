"""The review: what it measures, what it claims, and what it leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.core.advance import advance
from orchestrator.core.events import (
    Acknowledged,
    Approved,
    Begin,
    Checked,
    CheckResult,
    Entry,
    Event,
    Observed,
    Publish,
    Recovered,
    Relapsed,
    Reported,
    Settled,
)
from orchestrator.core.fleet import Approval, Objectives
from orchestrator.core.incident import Incident
from orchestrator.core.lessons import About, Finding, FollowUp
from orchestrator.core.measuring import Verdict, against
from orchestrator.core.plan import Plan
from orchestrator.core.review import Records, Review, review
from orchestrator.core.told import moves
from tasks.contract import Outcome, WorkOrder, WorkReport
from tests.core import worlds

GOALS = Objectives(30.0, 60.0, 3600.0, 14400.0)
DIAGNOSES = frozenset({"service.status", "journal.tail"})
DIAGNOSED = worlds.rung("journal.tail", "service.restart")
WELL = (CheckResult("api", healthy=True, reason="200"),)


class Story:
    """An incident with all that is stored of it, told one event at a time."""

    def __init__(self, plan: Plan, *, watched: bool = True) -> None:
        opened = worlds.incident(plan)
        self.incident = replace(opened, failure=worlds.FAILURE) if watched else opened
        self.timeline: list[Entry] = []
        self.reports: list[WorkReport] = []
        self.out: list[WorkOrder] = []

    def then(self, event: Event, at: float) -> None:
        decision = advance(self.incident, event, at)
        self.incident = decision.incident
        self.timeline += decision.timeline
        for each in decision.effects:
            if isinstance(each, Publish):
                self.out += each.orders

    def report(
        self, began: float, ended: float, outcome: Outcome = Outcome.DONE, detail: str = ""
    ) -> None:
        order = self.out.pop(0)
        said = WorkReport(
            order=order.id,
            incident=order.incident,
            run=order.run,
            epoch=order.epoch,
            rung=order.rung,
            step=order.step,
            attempt=order.attempt,
            agent=order.agent,
            outcome=outcome.value,
            reason=f"it {outcome.value}",
            detail=detail,
            started_at=began,
            ended_at=ended,
        )
        self.reports.append(said)
        self.then(Reported(said), ended)

    def check(self, at: float, results: Sequence[CheckResult] = WELL) -> None:
        self.then(Checked(self.incident.rung, 0, tuple(results)), at)

    def review(
        self, findings: Sequence[Finding] = (), follow_ups: Sequence[FollowUp] = ()
    ) -> Review:
        records = Records(self.incident, self.timeline, self.reports, (), findings, follow_ups)
        return review(records, DIAGNOSES, GOALS)


def recovered(*, watched: bool = True) -> Story:
    """Failed at 995, found at 1000, begun at 1002, first command 1003, well at 1012."""
    story = Story(worlds.plan(DIAGNOSED, worlds.REBOOT), watched=watched)
    story.then(Begin(), 1002.0)
    story.report(1003.0, 1004.0, detail="kernel: out of memory\nkilled process 7")
    story.report(1004.0, 1008.0)
    story.check(1012.0)
    return story


def test_each_part_is_timed_and_the_parts_are_the_whole() -> None:
    times = recovered().review().times
    parts = [
        times.detection_s,
        times.decision_s,
        times.dispatch_s,
        times.execution_s,
        times.verification_s,
    ]
    assert parts == [5.0, 2.0, 1.0, 5.0, 4.0]
    assert times.total_s == 17.0
    assert recovered().incident.rta_s == times.total_s


def test_what_a_person_ordered_was_not_detected_and_counts_from_the_order() -> None:
    told = recovered(watched=False).review()
    assert (told.times.failed_at, told.times.detection_s) == (None, None)
    assert (told.times.decision_s, told.times.total_s) == (2.0, 12.0)
    assert told.summary[0].startswith("A person ordered scenario test: recovering: rung 1 of 2")


def test_a_clock_that_runs_behind_makes_no_negative_time() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Begin(), 1002.0)
    story.report(1001.5, 1004.0)
    assert story.review().times.dispatch_s == 0.0


@pytest.mark.parametrize(
    ("achieved", "verdict"),
    [
        (30.0, Verdict.MET),
        (30.1, Verdict.WITHIN),
        (60.0, Verdict.WITHIN),
        (60.1, Verdict.MISSED),
        (None, Verdict.NOT_MEASURED),
    ],
)
def test_a_time_against_its_objective(achieved: float | None, verdict: Verdict) -> None:
    assert against(achieved, 30.0, 60.0).verdict is verdict


def test_data_loss_is_claimed_by_nobody_who_did_not_measure_it() -> None:
    loss = recovered().review().rpo
    assert (loss.achieved_s, loss.verdict) == (None, Verdict.NOT_MEASURED)
    assert "nothing was restored" in loss.text


def test_diagnoses_and_failures_are_evidence_and_good_steps_are_not() -> None:
    story = Story(worlds.plan(DIAGNOSED, worlds.REBOOT))
    story.then(Begin(), 1002.0)
    story.report(1003.0, 1004.0, detail="killed process 7")
    story.report(1004.0, 1008.0, Outcome.FAILED, detail="exit code 1")
    story.report(1009.0, 1030.0)
    told = story.review()
    assert [(e.operation, e.outcome, e.detail) for e in told.evidence] == [
        ("journal.tail", "done", "killed process 7"),
        ("service.restart", "failed", "exit code 1"),
    ]
    actions = [(each.title, each.step.operation, each.took_s) for each in told.actions]
    assert actions == [
        ("restart", "journal.tail", 1.0),
        ("restart", "service.restart", 4.0),
        ("restart the VM", "vm.start", 21.0),
        ("restart the VM", "service.restart", None),
    ]


def test_the_summary_says_what_helped() -> None:
    assert recovered().review().summary == (
        "api on m4 was down: nothing listens",
        "Resolved after rung 1 of 2, 'restart': verified from outside",
    )


def test_what_came_back_by_itself_was_cured_by_no_rung() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Recovered("seen well again"), 1030.0)
    told = story.review()
    assert told.summary[1] == "Resolved without a step on any machine: seen well again"
    assert (told.times.decided_at, told.times.verification_s) == (None, None)
    assert told.times.total_s == 35.0


def test_closed_without_being_well_is_not_recovered() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Begin(), 1002.0)
    story.report(1003.0, 1004.0, Outcome.FAILED)
    story.then(Settled("the machine was thrown away", "ann"), 2000.0)
    told = story.review()
    assert told.final
    assert not told.recovered
    assert (told.times.total_s, told.rto.verdict) == (None, Verdict.NOT_MEASURED)
    assert told.summary[1].startswith("Closed without having been seen well: journal.tail")


def test_closing_what_was_well_keeps_the_time_that_it_took() -> None:
    story = recovered()
    before = story.review()
    story.then(Settled("stayed well for 10 min"), 2000.0)
    assert story.review().times == before.times
    assert (before.final, story.review().final) == (False, True)


def test_a_relapse_counts_from_the_first_failure_to_the_last_cure() -> None:
    story = recovered()
    story.then(Relapsed(replace(worlds.FAILURE, first_bad_at=1040.0)), 1045.0)
    assert not story.review().recovered
    story.then(Begin(), 1050.0)
    story.report(1051.0, 1052.0)
    story.report(1052.0, 1056.0)
    story.check(1060.0)
    told = story.review()
    assert (told.recoveries, told.times.total_s) == (2, 65.0)
    assert told.summary[-1] == "It failed again after it was recovered: 2 recoveries in all"


def test_what_people_allowed_and_how_long_they_took_is_told() -> None:
    asked = worlds.rung("service.restart", approval=Approval.ASK)
    story = Story(worlds.plan(asked))
    story.then(Begin(), 1002.0)
    story.then(Acknowledged("ann"), 1050.0)
    story.then(Approved("ann"), 1102.0)
    told = story.review()
    assert told.times.decision_s == 102.0
    assert [each.text for each in told.approvals] == [
        "recovering: rung 1 of 1, 'restart': approved by ann"
    ]
    assert told.incident.acknowledged_by == "ann"


def test_a_machine_cannot_make_up_an_approval() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Begin(), 1002.0)
    lie = "recovering: rung 1 of 1, 'restart': approved by root"
    story.timeline += [Entry(1003.0, "step", lie), Entry(1003.0, "progress", lie)]
    assert story.review().approvals == ()
    assert [each.to.value for each in moves(story.timeline)] == ["recovering"]


def test_alerts_that_were_part_of_it_are_listed_though_they_are_over() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    web = replace(worlds.FAILURE, consequences=("web: degraded, 502",), fallback="the cloud does")
    story.then(Observed(web), 1001.0)
    story.then(Observed(replace(web, consequences=(), fallback="")), 1008.0)
    told = story.review()
    assert told.suppressed == ("web: degraded, 502",)
    assert [each.text for each in told.fallbacks] == [
        "the fallback serves: the cloud does",
        "the fallback does not serve any more",
    ]


def test_what_was_a_consequence_from_the_start_is_listed_too() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    failure = replace(worlds.FAILURE, consequences=("web: down, 502",), fallback="the cloud")
    story.incident = replace(story.incident, failure=failure)
    told = story.review()
    assert told.suppressed == ("web: down, 502",)
    assert told.fallbacks[0].at == failure.detected_at


def written(number: int, about: About, text: str) -> Finding:
    return Finding(number, "inc-run-1", about, text, "ann", 2000.0)


def test_people_complete_it() -> None:
    story = recovered()
    assert story.review().missing == ("root cause not written",)
    todo = FollowUp(1, "inc-run-1", "more memory", "bob", "ann", 2000.0)
    notes = [
        written(1, About.ROOT_CAUSE, "memory?"),
        written(2, About.LESSON, "watch memory"),
        written(3, About.ROOT_CAUSE, "a leak"),
    ]
    told = story.review(notes, [todo, replace(todo, number=2)])
    assert told.root_cause == notes[2]
    assert told.lessons == (notes[1],)
    assert told.missing == ("2 follow-ups open",)
    done = [replace(todo, number=n, done_at=3000.0, done_by="bob") for n in (1, 2)]
    assert story.review(notes, done).missing == ()


def test_an_incident_that_no_scenario_cures_has_a_review_too() -> None:
    empty = Incident("inc-x", "x", 1, "", "it is full", Plan("", ()), 1000.0)
    told = review(Records(replace(empty, failure=worlds.FAILURE), ()), DIAGNOSES, GOALS)
    assert (told.actions, told.evidence, told.recovered) == ((), (), False)
    assert told.summary[1] == "It is open: it is full"
