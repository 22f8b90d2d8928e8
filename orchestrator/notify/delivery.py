"""Turns decided effects into calls, and calls that are due into messages.

What lives here: the way from an effect to rows and from rows to a channel. What must not: who
is called when and what follows a failure (core/escalation.py), and the words (message.py).

Each attempt is claimed, sent and marked by one thread of a pool, so that a server that does
not answer holds up nobody else, and the coordinator's tick never waits. A death between sending
and marking doubles a call; the message's key tells.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from orchestrator.core.escalation import (
    PAUSES,
    Again,
    Call,
    CallKind,
    Contact,
    after_failure,
    plan_calls,
    plan_notice,
    stopped_by,
    why_not,
)
from orchestrator.core.events import CallHuman, Entry, Inform, StopCalls
from orchestrator.core.incident import Incident
from orchestrator.notify.channel import Channel, Failed, Message
from orchestrator.notify.message import Notice, Site, compose
from orchestrator.ports import Clock, Store, StoreUnavailable

log = logging.getLogger("autobot_dr.notify")

SENDERS = 8  #: so many messages may be on their way at once
MARKING_TRIES = 5  #: a second apart; all that others wait before they try is CLAIM_SECONDS


class Deliverer:
    """One per process; the call book keeps several of them in step."""

    def __init__(
        self,
        store: Store,
        channel: Channel,
        contacts: Sequence[Contact],
        site: Site,
        now: Clock,
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.store, self.channel, self.contacts = store, channel, tuple(contacts)
        self.site, self.now, self.pauses = site, now, pauses
        self._reach = {each.role: each.reach for each in contacts if each.reach}
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="notify")
        self._lock = threading.Lock()
        self._busy: set[int] = set()

    def take(self, effect: CallHuman | Inform | StopCalls, incident: Incident, number: int) -> None:
        """Write down what a stored effect asks for. The same number again changes nothing."""
        book, run, now = self.store.calls, incident.run, self.now()
        match effect:
            case CallHuman(reason):
                known = book.of_run(run)
                calls = plan_calls(incident, self.contacts, reason, now, number, known)
                book.plan(calls)
                if not (calls or known):
                    log.error("%s needs a person, and nobody can be called: %s", run, reason)
            case Inform(reason):
                book.plan(plan_notice(incident, self.contacts, reason, now, number))
            case StopCalls(reason):
                book.stop(stopped_by(number, book.of_run(run)), reason, now)

    def deliver_due(self) -> None:
        """Set going what is due. Returns at once; call it about every half second."""
        now, book = self.now(), self.store.calls
        if found := book.recover(now):
            log.warning("%d calls were left unfinished by a process that ended", found)
        groups: dict[str, list[Call]] = {}
        with self._lock:
            for call in book.due(now):
                if call.id not in self._busy:
                    self._busy.add(call.id)
                    # One message for all that is due to the same contact now.
                    groups.setdefault(self._reach.get(call.role, call.key), []).append(call)
        for calls in groups.values():
            self._pool.submit(self._deliver, calls)

    def close(self) -> None:
        """Wait for the messages that are on their way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, calls: Sequence[Call]) -> None:
        try:
            notices = [
                notice
                for run in dict.fromkeys(call.run for call in calls)
                if (notice := self._claimed([call for call in calls if call.run == run]))
            ]
            if notices:
                self._send(notices)
        except StoreUnavailable as error:
            log.warning("calls are not delivered: %s", error)
        except Exception:
            log.exception("calls are not delivered")
        finally:
            with self._lock:
                self._busy.difference_update(call.id for call in calls)

    def _claimed(self, calls: Sequence[Call]) -> Notice | None:
        """What to say of one run, with the calls that are ours now; None if none is."""
        run, book = calls[0].run, self.store.calls
        stored = self.store.load(run)
        if stored is None:
            return None
        ours = []
        for call in calls:
            now = self.now()
            if reason := why_not(call, stored.incident, book.of_run(run), now):
                book.drop(call.id, reason, now)
            elif claimed := book.claim(call.id, now):
                ours.append(claimed)
        if not ours:
            return None
        timeline, known = tuple(self.store.timeline(run)), tuple(book.of_run(run))
        return Notice(tuple(ours), stored.incident, timeline, known)

    def _send(self, notices: Sequence[Notice]) -> None:
        calls = [call for each in notices for call in each.calls]
        reach = self._reach.get(calls[0].role)
        if reach is None:
            failed: Failed | None = Failed("is no contact any more", hopeless=True)
        else:
            failed = self.channel.send(reach, self._message(notices))
        for call in calls:
            if failed:
                self._failed(call, failed)
            else:
                self._mark_sent(call)

    def _message(self, notices: Sequence[Notice]) -> Message:
        try:
            return compose(notices, self.site, self.now())
        except Exception:
            # A mistake of ours in the wording must not keep the alarm back.
            log.exception("a message could not be written in full")
            calls = [call for each in notices for call in each.calls]
            reasons = "\n".join(f"{call.run}: {call.reason}" for call in calls)
            keys = ", ".join(call.key for call in calls)
            return Message(keys, f"[CRITICAL] a person is needed ({self.site.fleet})", reasons)

    def _mark_sent(self, call: Call) -> None:
        """Tried for a while, since a call that is not marked would be made again."""
        did = "called" if call.kind is CallKind.CALL else "told"
        text = f"{did} {call.role} (level {call.level + 1}): {call.reason}"
        told = Entry(self.now(), "call", text)
        for _ in range(MARKING_TRIES):
            try:
                return self.store.calls.sent(call, told)
            except StoreUnavailable as error:
                log.warning("%s: sent, but not marked yet: %s", call.key, error)
                time.sleep(1)
        return self.store.calls.sent(call, told)

    def _failed(self, call: Call, failed: Failed) -> None:
        book, now = self.store.calls, self.now()
        known = book.of_run(call.run)
        follows = after_failure(call, known, now, hopeless=failed.hopeless, pauses=self.pauses)
        told = f"{call.role} (level {call.level + 1}) was not reached: {failed.reason}"
        if isinstance(follows, Again):
            book.failed(call, failed.reason, now, retry_at=follows.at)
            told = f"{told}; again in {follows.at - now:.0f} s"
        else:
            book.failed(call, failed.reason, now, sooner=follows.sooner)
            told = f"{told}; given up" + ("; the next level is called now" * bool(follows.sooner))
        # One line for each person, not for each attempt: the book counts those.
        if call.attempts == 1 or not isinstance(follows, Again):
            self._note(call, told)
        log.warning("%s: %s", call.run, told)

    def _note(self, call: Call, text: str) -> None:
        self.store.add_entry(call.run, Entry(self.now(), "call", text))
