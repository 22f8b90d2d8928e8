"""Thousands of random histories of a recovery, each watched at every decision.

A failure names its profile and seed; `World(plan, seed, faults, observe)` replays it exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.core.advance import advance
from orchestrator.core.branch import MAX_ATTEMPTS, BranchState
from orchestrator.core.events import (
    Approved,
    CallHuman,
    Cancelled,
    Checked,
    Event,
    Publish,
    Reported,
    Resumed,
)
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.graph import machine_graph
from orchestrator.core.incident import (
    ENDED,
    MOVES,
    WORKING,
    Decision,
    IllegalMove,
    Incident,
    State,
)
from orchestrator.core.plan import Plan
from orchestrator.core.steps import current_steps
from orchestrator.store.codec import INCIDENT, decode, encode
from tests.core import worlds
from tests.core.simulation import Faults, World

HISTORIES = 600  #: of each profile

PROFILES = {
    "calm": Faults(),
    "lossy": Faults(lost=0.2, doubled=0.1, sick=0.2),
    "late": Faults(late=0.4, doubled=0.3, failed=0.05, sick=0.2),
    "dying": Faults(death=0.3, late=0.2, sick=0.3),
    "failing": Faults(failed=0.3, sick=0.5, lost=0.05),
    "hostile": Faults(forged=0.4, people=0.05, doubled=0.5, sick=0.3, failed=0.1),
    "everything": Faults(0.15, 0.3, 0.3, 0.15, 0.15, 0.4, 0.2, 0.03),
}

ASKING = replace(worlds.RESTART, approval=Approval.ASK, title="ask first")
SMALL, BESIDE, STRICT = worlds.SMALL, worlds.BESIDE, worlds.STRICT
PLANS = (
    (SMALL, worlds.plan(worlds.RESTART, worlds.REBOOT)),
    (SMALL, worlds.plan(worlds.rung("service.restart"), ASKING, services=("db", "api", "npu"))),
    (SMALL, worlds.plan(worlds.ALL_MACHINES, worlds.REBOOT, services=worlds.EVERYTHING)),
    (SMALL, worlds.plan(worlds.RESTART, worlds.ALL_MACHINES, services=worlds.EVERYTHING)),
    (BESIDE, worlds.plan(worlds.ALL_MACHINES, services=tuple(BESIDE.services), of=BESIDE)),
    (STRICT, worlds.plan(worlds.ALL_MACHINES, services=tuple(STRICT.services), of=STRICT)),
)


class Observer:
    """What must hold at every decision, whatever happened before."""

    def __init__(self, fleet: Fleet, plan: Plan, *, codec: bool) -> None:
        self.graph = machine_graph(fleet, fleet.services)
        self.plan, self.codec = plan, codec
        self.ordered: set[str] = set()
        self.sent: Counter[int] = Counter()  #: orders of each branch of this rung
        self.healthy: set[int] = set()  #: branches of this rung that were seen healthy

    def __call__(self, before: Incident, event: Event, decision: Decision, now: float) -> None:
        after = decision.incident
        self._keeps_what_never_changes(before, after)
        self._moves_legally(before, decision)
        if isinstance(event, Checked):
            self._remember(before, event)
        published = [each for each in decision.effects if isinstance(each, Publish)]
        if published:
            self._publishes_in_order(before, event, after, published, now)
        if after.state in WORKING:
            self._nothing_waits_in_vain(after)
        if after.state is State.RESOLVED and before.state is not State.RESOLVED:
            assert self._all_seen_healthy(after), "resolved without a healthy look at the end"
            assert isinstance(event, Checked), "resolved by something else than a look"
        if decision.reasons and not decision.timeline and not decision.effects:
            assert after == before, "an ignored event changed something"
        self._twice_is_once(event, decision, now)
        if self.codec:
            assert decode(INCIDENT, encode(INCIDENT, after)) == after

    def _keeps_what_never_changes(self, before: Incident, after: Incident) -> None:
        for name in ("id", "run", "epoch", "scenario", "plan", "opened_at"):
            assert getattr(before, name) == getattr(after, name)
        assert len(after.steps) >= len(before.steps), "a step was forgotten"
        for old, new in zip(before.steps, after.steps, strict=False):
            assert old.key == new.key
            if old.ended_at is not None:
                assert old == new, "what an agent said was changed"

    def _moves_legally(self, before: Incident, decision: Decision) -> None:
        after = decision.incident
        assert (after.ended_at is not None) == (after.state in ENDED)
        if after.state is not before.state:
            assert after.state in MOVES[before.state]
            assert any(each.kind == "state" for each in decision.timeline), "moved in silence"
            if after.state in (State.ESCALATED, State.AWAITING_APPROVAL):
                assert any(isinstance(each, CallHuman) for each in decision.effects)
        if after.state not in WORKING:
            assert not any(isinstance(each, Publish) for each in decision.effects)

    def _remember(self, before: Incident, event: Checked) -> None:
        asked = event.rung == before.rung and 0 <= event.branch < len(before.branches)
        if asked and self._can_be_judged(before, event.branch):
            planned = before.plan.branch(event.rung, event.branch)
            healthy = {each.service for each in event.results if each.healthy}
            well = healthy >= set(planned.required)
            (self.healthy.add if well else self.healthy.discard)(event.branch)

    def _can_be_judged(self, before: Incident, branch: int) -> bool:
        """A look counts only while there is no verdict and after all orders were answered."""
        out = any(each.outcome is None for each in current_steps(before, branch))
        return before.branches[branch].running and not out

    def _all_seen_healthy(self, incident: Incident) -> bool:
        planned = enumerate(incident.plan.rungs[incident.rung].branches)
        return all(each.optional or index in self.healthy for index, each in planned)

    def _nothing_waits_in_vain(self, after: Incident) -> None:
        """What may start has started; what failed or hangs holds up only what needs it."""
        steps_left = False
        for index, state in enumerate(after.branches):
            planned = after.plan.branch(after.rung, index)
            needs = [after.branches[each].passed for each in planned.needs]
            awaited = [after.branches[each].passed for each in planned.awaits]
            out = any(each.outcome is None for each in current_steps(after, index))
            steps_left |= state.running and out
            if state.started or state.passed is not None:
                assert state.started or False in needs, "given up though all its needs are up"
                continue
            assert False not in needs, "left waiting for what will not come"
            assert None in (*needs, *awaited), "not started although nothing is missing"
            steps_left |= bool(planned.steps)
        assert (after.state is State.RECOVERING) == steps_left

    def _publishes_in_order(
        self, before: Incident, event: Event, after: Incident, effects: list[Publish], now: float
    ) -> None:
        assert all(each.rung == after.rung for each in effects)
        moved = after.rung != before.rung or before.state not in WORKING
        if moved:
            self._starts_a_rung(before, event, after)
        for effect in effects:
            if moved or not before.branches[effect.branch].started:
                self._starts_a_branch(after, effect.branch)
            else:
                assert before.branches[effect.branch].passed is None
            self._orders_anew(effect, now)

    def _starts_a_branch(self, after: Incident, index: int) -> None:
        planned = after.plan.branch(after.rung, index)
        assert self.healthy.issuperset(planned.needs), "started before its needs were up"
        assert all(after.branches[each].passed is not None for each in planned.awaits)
        # Said once more by the fleet itself, in case the plan's needs are wrong.
        branches = enumerate(after.plan.rungs[after.rung].branches)
        up = {each.name for number, each in branches if number in self.healthy}
        assert up.issuperset(self.graph.get(planned.name, ()))

    def _starts_a_rung(self, before: Incident, event: Event, after: Incident) -> None:
        if before.state in WORKING:
            assert after.rung == before.rung + 1, "a rung was left out"
            running = [each for each in before.branches if each.running]
            assert isinstance(event, Checked | Reported) <= (len(running) <= 1)
        elif before.state is State.ESCALATED:
            assert isinstance(event, Resumed)
        elif before.state is State.AWAITING_APPROVAL:
            assert isinstance(event, Approved)
        assert after.plan.rungs[after.rung].approval is Approval.AUTO or before.state in (
            State.AWAITING_APPROVAL,
            State.ESCALATED,
            *WORKING,
        )
        self.sent.clear()
        self.healthy.clear()

    def _orders_anew(self, effect: Publish, now: float) -> None:
        if effect.orders:
            self.sent[effect.branch] += 1
            assert self.sent[effect.branch] <= MAX_ATTEMPTS, "tried too often"
            self.healthy.discard(effect.branch)
        planned = self.plan.branch(effect.rung, effect.branch)
        numbers = [each.number for each in planned.steps]
        ordered = [each.step for each in effect.orders]
        assert ordered == numbers[len(numbers) - len(ordered) :], "not the rest of its branch"
        for order in effect.orders:
            assert order.id not in self.ordered, f"order {order.id} was published twice"
            assert order.not_after > now
            self.ordered.add(order.id)

    def _twice_is_once(self, event: Event, decision: Decision, now: float) -> None:
        try:
            again = advance(decision.incident, event, now)
        except IllegalMove:
            assert isinstance(event, Approved | Cancelled | Resumed)
            return
        assert not again.effects, "a doubled message had effects"
        assert not again.timeline
        calm = replace(again.incident, branches=_without_early(again.incident))
        assert calm == replace(decision.incident, branches=_without_early(decision.incident))


def _without_early(incident: Incident) -> tuple[BranchState, ...]:
    """A doubled check may ask for one more look; that is all it may do."""
    return tuple(replace(each, checked_early=False) for each in incident.branches)


def _play(seed: int, faults: Faults) -> tuple[World, Incident]:
    fleet, plan = PLANS[seed % len(PLANS)]
    world = World(plan, seed, faults, Observer(fleet, plan, codec=seed % 10 == 0))
    return world, world.run()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_history_ends_and_nothing_forbidden_happens(profile: str) -> None:
    ends: Counter[State] = Counter()
    for seed in range(HISTORIES):
        try:
            world, incident = _play(seed, PROFILES[profile])
            assert incident.state in ENDED | {State.AWAITING_APPROVAL}, "it never ended"
            assert len(world.effects) == len(set(world.effects)), "an order took effect twice"
        except Exception as error:
            error.add_note(f"profile {profile!r}, seed {seed}")
            raise
        ends[incident.state] += 1
    assert ends[State.RESOLVED] > 0
    if profile == "calm":
        assert ends == {State.RESOLVED: HISTORIES}
    else:
        assert ends[State.ESCALATED] > 0, "this profile is too calm to show anything"
