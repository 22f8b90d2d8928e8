"""From a decided effect to a mail in a real server, once and on time, whatever dies."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from orchestrator.core.escalation import CallState
from orchestrator.core.events import (
    Acknowledged,
    Begin,
    CallHuman,
    Cancelled,
    Inform,
    Recovered,
    Resumed,
)
from orchestrator.ports import Store
from orchestrator.store import open_store
from tests.integration.rig import wait_for
from tests.notify.mailbox import Mailbox
from tests.notify.world import (
    Recorder,
    calls,
    contacts,
    coordinator,
    decide,
    deliverer,
    escalated,
    keep_turning,
    mail_channel,
    opened,
    turn,
)

LATE_SECONDS = 2.0  #: a call may be so late


def test_killed_between_levels_each_is_called_once_and_on_time(
    tmp_path: Path, box: Mailbox
) -> None:
    url, delays = f"sqlite:///{tmp_path}/store.db", (0, 6, 9)
    store = open_store(url)
    escalated(store)
    with coordinator(url, box.url(), *delays) as first:
        wait_for("the first level's mail", lambda: len(box.mails) == 1)
        wait_for("its mark", lambda: calls(store)["primary"].state is CallState.SENT)
        first.send_signal(signal.SIGKILL)
        assert first.wait(timeout=10) == -signal.SIGKILL
    with coordinator(url, box.url(), *delays):
        back_at = time.time()
        wait_for("the last level's mail", lambda: len(box.mails) == 3)
        time.sleep(1.0)
    for role, call in calls(store).items():
        [mail] = box.to(role)
        # On a busy machine a process may take longer to come back than the next level's delay.
        could_at = max(call.due_at, back_at if role != "primary" else 0.0)
        assert call.due_at <= mail.at < could_at + LATE_SECONDS
        assert (call.state, call.attempts) == (CallState.SENT, 1)
        assert mail.message["X-AutoBot-DR-Call"] == call.key
    due = [each.due_at for each in calls(store).values()]
    assert [round(each - due[0], 3) for each in due] == [0, 6, 9]
    told = [each.text for each in store.timeline("run-1") if each.kind == "call"]
    assert told == [
        f"called {role} (level {number}): its budget is spent"
        for number, role in enumerate(("primary", "secondary", "lead"), 1)
    ]
    store.close()


def test_two_coordinators_on_one_store_call_once(tmp_path: Path, box: Mailbox) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    with coordinator(url, box.url(), 0, 0.5, 1), coordinator(url, box.url(), 0, 0.5, 1):
        escalated(store)
        wait_for("the last level's mail", lambda: len(box.mails) >= 3)
        time.sleep(0.5)
    assert sorted(each.recipients[0] for each in box.mails) == [
        "lead@example.com",
        "primary@example.com",
        "secondary@example.com",
    ]
    store.close()


def test_what_a_process_left_on_its_way_is_sent_by_the_next(store: Store, box: Mailbox) -> None:
    made = deliverer(store, mail_channel(box.url()), contacts(0))
    escalated(store)
    [pending] = store.pending_effects()
    stored = store.load("run-1")
    assert stored is not None
    for _ in range(2):
        # Killed before the effect was marked: it is taken again, and changes nothing.
        assert isinstance(pending.effect, CallHuman)
        made.take(pending.effect, stored.incident, pending.id)
    assert store.calls.claim(1, time.time() - 31) is not None
    keep_turning(store, made, 10, lambda: bool(box.mails))
    made.close()
    assert len(box.mails) == 1
    assert calls(store)["primary"].attempts == 2


def test_acknowledging_stops_the_rest(store: Store, box: Mailbox) -> None:
    made = deliverer(store, mail_channel(box.url()), contacts(0, 1, 2))
    escalated(store)
    keep_turning(store, made, 10, lambda: bool(box.mails))
    decide(store, Acknowledged("alice"))
    keep_turning(store, made, 2.5)
    made.close()
    assert [each.recipients for each in box.mails] == [("primary@example.com",)]
    assert [each.state.value for each in calls(store).values()] == ["sent", "stopped", "stopped"]
    assert "acknowledged by alice" in calls(store)["lead"].error


def test_a_run_that_goes_on_calls_nobody_and_calls_anew_when_it_fails_again(store: Store) -> None:
    channel = Recorder()
    made = deliverer(store, channel, contacts(0, 0.5))
    escalated(store)
    keep_turning(store, made, 5, lambda: bool(channel.sent))
    decide(store, Resumed("alice"))
    keep_turning(store, made, 1)
    assert len(channel.sent) == 1
    assert calls(store)["secondary"].error == "resumed by alice"
    decide(store, Cancelled("alice"))
    keep_turning(store, made, 5, lambda: len(channel.sent) == 3)
    made.close()


def test_notices_to_one_contact_at_one_moment_are_one_mail(store: Store, box: Mailbox) -> None:
    for number in range(3):
        opened(store, f"run-{number}")
        decide(store, Begin(), f"run-{number}")
    escalated(store, "run-9")
    made = deliverer(store, mail_channel(box.url()), contacts(0, 900))
    keep_turning(store, made, 10, lambda: bool(box.mails))
    keep_turning(store, made, 1)
    made.close()
    [mail] = box.mails
    assert mail.subject.startswith("[CRITICAL] api is down since ")
    assert mail.subject.endswith(", and 3 more (shop)")
    for number in (0, 1, 2, 9):
        assert f"/incidents/inc-run-{number}" in mail.text


def test_the_same_notice_twice_within_a_minute_is_sent_once(store: Store) -> None:
    channel = Recorder()
    made = deliverer(store, channel, contacts(0))
    incident = opened(store)
    for number in (71, 72):
        made.take(Inform("it is down"), incident, number)
        keep_turning(store, made, 5, lambda: all(ended(store)))
    made.take(Inform("it is worse"), incident, 73)
    keep_turning(store, made, 5, lambda: len(channel.sent) == 2)
    made.close()
    assert [each.state.value for each in store.calls.of_run("run-1")] == ["sent", "stopped", "sent"]


def ended(store: Store) -> list[bool]:
    return [each.ended_at is not None for each in store.calls.of_run("run-1")]


def test_who_is_called_hears_of_the_end(store: Store) -> None:
    channel = Recorder()
    made = deliverer(store, channel, contacts(0, 900))
    escalated(store)
    keep_turning(store, made, 5, lambda: len(channel.sent) == 1)
    decide(store, Recovered("answers as expected"))
    keep_turning(store, made, 5, lambda: len(channel.sent) == 2)
    made.close()
    assert channel.sent[1][1].title.startswith("[RESOLVED] api was down since ")
    assert [each.state.value for each in store.calls.of_run("run-1")] == ["sent", "stopped", "sent"]


def test_nobody_to_call_is_no_failure(store: Store) -> None:
    channel = Recorder()
    made = deliverer(store, channel, ())
    escalated(store)
    turn(store, made)
    made.close()
    assert channel.sent == []
    assert list(store.pending_effects()) == []
