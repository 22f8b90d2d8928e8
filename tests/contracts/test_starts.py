"""What is remembered of starts and boots, on every store."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.booting import learn, timed
from orchestrator.core.incident import Incident
from orchestrator.core.plan import Plan
from orchestrator.core.steps import orders_for
from orchestrator.ports import Store
from tasks.contract import Outcome, WorkReport
from tests.core import worlds
from tests.core.test_boots import boot


def test_the_first_word_of_a_start_counts_and_the_newest_are_given(store: Store) -> None:
    for number in range(5):
        store.starts.add("db", f"i{number}", float(number), 10.0 + number)
    store.starts.add("db", "i4", 99.0, 99.0)
    store.starts.add("web", "i9", 9.0, 9.0)
    assert list(store.starts.of("db", limit=3)) == [12.0, 13.0, 14.0]
    assert list(store.starts.of("cache")) == []


def reported(incident: Incident, number: int) -> WorkReport:
    step = incident.steps[number]
    (order,) = orders_for(incident, [step])
    return WorkReport(
        order=order.id,
        incident=order.incident,
        run=order.run,
        epoch=order.epoch,
        rung=order.rung,
        step=order.step,
        attempt=order.attempt,
        agent=order.agent,
        outcome=Outcome.DONE.value,
        reason="",
        detail="",
        started_at=step.started_at or 0.0,
        ended_at=step.ended_at or 0.0,
    )


def test_a_boot_is_learned_from_once_and_the_next_plan_knows_it(store: Store) -> None:
    plan = worlds.plan(worlds.REBOOT)
    assert timed(plan, store) == plan
    incident = replace(worlds.incident(plan), steps=tuple(boot()))
    store.open(incident)
    for number in (0, 1, 2, 3, 2):
        learn(reported(incident, number), store)
    assert list(store.starts.of("m1/power")) == [2.0]
    assert list(store.starts.of("m1/network")) == [8.0]
    assert list(store.starts.of("m1/agent")) == [15.0]
    assert list(store.starts.of("m1/systemd")) == [1.5]
    assert list(store.starts.of("m1")) == []
    learn(replace(reported(incident, 0), run="another"), store)

    step = plan.branch(0, 0).steps[0]
    slow = replace(plan.rungs[0].branches[0], steps=(replace(step, machine="m1", seconds=3.0),))
    short = Plan("x", (replace(plan.rungs[0], branches=(slow,)),))
    assert timed(short, store).branch(0, 0).steps[0].seconds == 4.0
