"""The review: what it measures, what it claims, and what it leaves open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.events import (
    Acknowledged,
    Approved,
    Begin,
    Entry,
    Observed,
    Recovered,
    Relapsed,
    Settled,
    SettledByHand,
)
from orchestrator.core.fleet import Approval
from orchestrator.core.incident import Incident
from orchestrator.core.lessons import About, Finding, FollowUp
from orchestrator.core.measuring import Measured, Verdict
from orchestrator.core.plan import Plan
from orchestrator.core.review import Records, review
from orchestrator.core.told import A_CONSEQUENCE_OF, PART_OF, moves
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.story import DIAGNOSES, GOALS, Story

DIAGNOSED = worlds.rung("journal.tail", "service.restart")


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
    assert Measured(achieved, 30.0, 60.0).verdict is verdict


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
        "Tried up to rung 1 of 2, 'restart'",
        "Resolved: verified from outside",
    )


def test_what_came_back_by_itself_was_cured_by_no_rung() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Recovered("seen well again"), 1030.0)
    told = story.review()
    assert told.summary[1:] == (
        "No step was ordered on any machine",
        "Resolved: seen well again",
    )
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
    assert told.summary[-1].startswith("Not seen recovered: journal.tail on m4 failed")


def test_closing_what_was_well_keeps_the_time_that_it_took() -> None:
    story = recovered()
    before = story.review()
    story.then(Settled("stayed well for 10 min"), 2000.0)
    assert story.review().times == before.times
    assert (before.final, story.review().final) == (False, True)


def test_what_only_a_person_says_is_marked_as_such() -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(SettledByHand("ann", "plugged it in"), 1020.0)
    rto = story.review().rto
    assert (rto.achieved_s, rto.verdict, rto.text) == (25.0, Verdict.MET, "by what a person said")
    assert recovered().review().rto.text == ""


@pytest.mark.parametrize(
    "reason", [f"{A_CONSEQUENCE_OF}db, whose incident goes on", f"{PART_OF}many machines at once"]
)
def test_what_turned_out_to_be_part_of_another_was_not_recovered(reason: str) -> None:
    story = Story(worlds.plan(DIAGNOSED))
    story.then(Recovered(reason), 1020.0)
    told = story.review()
    assert (told.recovered, told.rto.verdict) == (False, Verdict.NOT_MEASURED)
    assert told.summary[-1] == f"Not seen recovered: {reason}"


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
    assert told.summary[-1] == "It is open: it is full"
