"""The coordinator: turns requests, reports, checks and the clock into decisions, and sends them.

What lives here: the loop load → advance → save → send, and looking from outside. What must
not: Celery (the Publisher port stands for it), SQL, and any decision; those are in core/.

Every method may be called from any thread, any number of times with the same thing: who loses
the compare-and-swap reads again and decides again, and effects are sent from stored rows until
they are marked, so a death between deciding and sending loses nothing.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nacl.signing import VerifyKey

from orchestrator.booting import learn, timed
from orchestrator.cataloguing import bound, catalogue
from orchestrator.core.advance import advance
from orchestrator.core.backups import Job
from orchestrator.core.branch import unfinished
from orchestrator.core.epochs import obeyed
from orchestrator.core.events import (
    Acknowledged,
    Approved,
    Begin,
    Cancelled,
    Checked,
    Entry,
    Event,
    Noted,
    Publish,
    Reported,
    Resumed,
    Settled,
    SettledByHand,
    Tick,
    Withdraw,
)
from orchestrator.core.failure import Failure
from orchestrator.core.fleet import Fleet, Scenario
from orchestrator.core.incident import WORKING, IllegalMove, Incident, State
from orchestrator.core.plan import Plan
from orchestrator.core.told import first_entries
from orchestrator.handingout import take_alone
from orchestrator.lookout import Lookout
from orchestrator.notebook import UnknownIncident
from orchestrator.ports import Caller, Clock, Publisher, PublishFailed, Store
from tasks.contract import Headway, Progress, WorkReport
from tasks.signing import is_signed_by

log = logging.getLogger("autobot_dr.coordinator")

#: For reading the reports that waited for a new leader.
READ_SECONDS = 3.0

#: A change that somebody else overtakes this often points to a fault, not to a race.
MAX_RACES = 50


class UnknownScenario(LookupError):
    """There is no such scenario; nothing was started."""


class UnknownRun(LookupError):
    """There is no such run."""


@dataclass(frozen=True, slots=True)
class Protected:
    """What this coordinator takes care of."""

    fleet: Fleet
    scenarios: Mapping[str, Scenario]
    plans: Mapping[str, Plan]
    agents: Mapping[str, VerifyKey]  #: whose signature a report must carry, by machine
    #: Signs reports of what the coordinator carried out itself, in place of a dead agent.
    own: VerifyKey | None = None
    jobs: Mapping[str, Job] = field(default_factory=dict)  #: backups that agents may take alone

    def is_signed(self, message: WorkReport | Progress | Headway) -> bool:
        keys = (self.agents.get(message.agent), self.own)
        known = message.agent in self.agents
        return known and any(key and is_signed_by(message, key) for key in keys)


class Coordinator:
    """One per process; of several on one store one leads, and the others write nothing."""

    def __init__(
        self,
        protected: Protected,
        store: Store,
        publisher: Publisher,
        lookout: Lookout,
        now: Clock,
        *,
        caller: Caller | None = None,
        only: str = "",
    ) -> None:
        """`only` is the one run that it takes care of, where it stands in for a coordinator."""
        self.protected, self.store, self.publisher = protected, store, publisher
        self.lookout, self.now, self.caller, self.only = lookout, now, caller, only
        self._sending = threading.Lock()
        self._listening_since: float | None = None
        #: Whether this is the one that carries out what was decided; asked before each effect.
        self.leads: Callable[[], bool] = lambda: True
        #: Since when it carries out what is decided; what was begun before, another one began.
        self.began_at, self._taken = now(), set[str]()

    def recover(self, scenario: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        """Open a run and set it going. The same run id or key again gives the run there is."""
        plan = self.protected.plans.get(scenario)
        if plan is None:
            known = ", ".join(sorted(self.protected.plans))
            raise UnknownScenario(f"there is no scenario {scenario!r} (known: {known})")
        return self.carry_out(plan, reason=reason, run=run, key=key)

    def carry_out(self, plan: Plan, *, reason: str, run: str = "", key: str = "") -> Incident:
        """The same for a plan that is no scenario's."""
        run = run or str(uuid.uuid4())
        if key:
            run = self.store.run_for_key(key, run)
        incident = Incident(
            id=f"inc-{run}",
            run=run,
            epoch=0,
            scenario=plan.scenario,
            reason=reason,
            plan=timed(bound(plan, self.store, self.protected.fleet), self.store),
            opened_at=self.now(),
        )
        self.store.open(incident)
        return self.apply(run, Begin())

    def open_failure(self, failure: Failure) -> Incident:
        """Write down what the watcher found. Whether anything is begun is ruled on afterwards."""
        plan = self.protected.plans.get(failure.scenario) or Plan("", ())
        run = str(uuid.uuid4())
        log.warning("%s: %s", failure.cause, failure.reason)
        incident = Incident(
            id=f"inc-{run}",
            run=run,
            epoch=0,
            scenario=plan.scenario,
            reason=failure.reason,
            plan=timed(bound(plan, self.store, self.protected.fleet), self.store),
            opened_at=self.now(),
            failure=failure,
        )
        stored = self.store.open(incident)
        for entry in first_entries(failure, incident.opened_at):
            self.store.add_entry(run, entry)
        return stored.incident

    def apply(self, run: str, event: Event) -> Incident:
        """Decide on an event, save it, send what follows. IllegalMove if it does not fit."""
        for _ in range(MAX_RACES):
            stored = self.store.load(run)
            if stored is None:
                raise UnknownRun(f"there is no run {run!r}; `autobot-dr run list` shows them")
            decision = advance(stored.incident, event, self.now())
            for reason in decision.reasons:
                log.info("%s: %s", run, reason)
            if self.store.save(decision, stored.version):
                if decision.effects:
                    self.send_effects()
                return decision.incident
        raise RuntimeError(f"run {run} changed {MAX_RACES} times while one event was decided")

    def approve(self, run: str, by: str) -> Incident:
        return self.apply(run, Approved(by))

    def cancel(self, run: str, by: str) -> Incident:
        return self.apply(run, Cancelled(by))

    def resume(self, run: str, by: str) -> Incident:
        return self.apply(run, Resumed(by))

    def acknowledge(self, incident: str, by: str) -> Incident:
        return self.apply(self._run_of(incident), Acknowledged(by))

    def note(self, incident: str, by: str, text: str) -> Incident:
        return self.apply(self._run_of(incident), Noted(by, text))

    def resolve(self, incident: str, by: str, reason: str) -> Incident:
        return self.apply(self._run_of(incident), SettledByHand(by, reason))

    def close(self, incident: str, by: str, reason: str) -> Incident:
        """Close what is over or given up. What still goes on is not closed by hand."""
        left = self.apply(self._run_of(incident), Settled(reason, by))
        if left.state is not State.CLOSED:
            raise IllegalMove(
                f"incident {incident} is {left.state}; only one that is resolved or escalated "
                "can be closed"
            )
        return left

    def _run_of(self, incident: str) -> str:
        run = self.store.run_of_incident(incident)
        if run is None:
            raise UnknownIncident(incident)
        return run

    def report(self, report: WorkReport) -> None:
        """Take an agent's report, if that agent signed it and its run is known."""
        if not self.protected.is_signed(report):
            log.warning("a report for %s is not signed by %s; ignored", report.order, report.agent)
            return
        if take_alone(report, self.store, self.protected.fleet, self.protected.jobs):
            return
        try:
            catalogue(report, self.store, self.protected.fleet)
            if epoch := obeyed(report):
                self.store.epoch_at_least(epoch)
            self.apply(report.run, Reported(report))
            learn(report, self.store)
        except UnknownRun:
            log.warning("a report for %s, of a run that is not known; ignored", report.order)
            return
        self.store.add_report(report)

    def progress(self, progress: Progress) -> None:
        if self.protected.is_signed(progress) and self.store.load(progress.run):
            self.store.add_entry(progress.run, Entry(progress.at, "progress", progress.text))

    def headway(self, headway: Headway) -> None:
        if self.protected.is_signed(headway) and self.store.load(headway.run):
            self.store.headways.record(headway)

    def check(self, run: str, rung: int, branch: int, seconds: float) -> None:
        """Look at a branch's services from outside until they are healthy or time is up."""
        stored = self.store.load(run)
        if stored is None or not stored.incident.plan.has(rung, branch):
            log.warning("a check of branch %s.%s of run %s, unknown; ignored", rung, branch, run)
            return
        planned = stored.incident.plan.branch(rung, branch)
        results = self.lookout.watch_until_healthy(
            [self.protected.fleet.services[name] for name in planned.checks],
            required=planned.required,
            seconds=min(planned.check_seconds, seconds),
        )
        self.apply(run, Checked(rung, branch, tuple(results)))

    def tick(self) -> None:
        """Once a second: find what is overdue, send what was left unsent."""
        self._listen()
        for run in filter(self._is_mine, self.store.unfinished()):
            stored = self.store.load(run)
            if stored is not None:
                self._take_over(self.apply(run, self._due(stored.incident)))
        self.send_effects()

    def _take_over(self, incident: Incident) -> None:
        """The same orders again, where the way is gone that they went by, or who was carrying
        them out: our predecessor may have done that itself."""
        if incident.state not in WORKING:
            return
        inherited = incident.opened_at < self.began_at and incident.run not in self._taken
        # What is still out then was not begun, or its report was lost: it is given again.
        inherited = inherited and self.now() >= self.began_at + READ_SECONDS
        out = [e for e in unfinished(incident) if inherited or self.publisher.stranded(e)]
        if sum(self._publish(incident, each) for each in out) == len(out) and inherited:
            self._taken.add(incident.run)

    def _is_mine(self, run: str) -> bool:
        return self.only in ("", run) and self.leads()

    def _due(self, incident: Incident) -> Event:
        """What a person ordered and a crash kept from beginning begins now."""
        if incident.state is State.OPEN and incident.failure is None:
            return Begin()
        return Tick(self._listening_since)

    @property
    def listening_since(self) -> float | None:
        """Since when orders and reports get through; None while they do not."""
        return self._listening_since

    def hears(self) -> bool:
        """Whether orders get through by some way, as of the last second."""
        return self._listening_since is not None or self._listen() or self.publisher.carries()

    def _listen(self) -> bool:
        if not self.publisher.listening():
            self._listening_since = None
        elif self._listening_since is None:
            self._listening_since = self.now()
        return self._listening_since is not None

    def _publish(self, incident: Incident, effect: Publish | Withdraw) -> bool:
        try:
            if isinstance(effect, Publish):
                self.publisher.publish(incident, effect)
            else:
                self.publisher.withdraw(incident, effect)
        except PublishFailed as failure:
            log.warning("%s: not sent yet: %s", incident.run, failure)
            return False
        return True

    def send_effects(self) -> None:
        """Carry out stored effects, oldest first; what cannot be sent stays for the next time."""
        broker_away = False
        with self._sending:
            for pending in self.store.pending_effects():
                if not self._is_mine(pending.run):
                    continue
                stored = self.store.load(pending.run)
                if stored is None:
                    log.error("effect %d belongs to no run; dropped", pending.id)
                elif isinstance(pending.effect, Publish | Withdraw):
                    # People are called all the same, then more than ever.
                    broker_away = broker_away or not self._publish(stored.incident, pending.effect)
                    if broker_away:
                        continue
                else:
                    log.warning("%s, for people: %s", pending.run, pending.effect.reason)
                    if self.caller:
                        self.caller.take(pending.effect, stored.incident, pending.id)
                self.store.effect_sent(pending.id)
