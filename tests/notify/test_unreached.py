"""Who is not reached: tried again, then the next level, and never silence."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from orchestrator.core.escalation import CallState, Contact
from orchestrator.core.events import (
    Begin,
    Cancelled,
)
from orchestrator.core.incident import Decision
from orchestrator.core.plan import Plan
from orchestrator.notify.channel import Failed, Message
from orchestrator.ports import Store
from tests.notify.mailbox import Mailbox
from tests.notify.webhook import hook
from tests.notify.world import (
    PAUSES,
    Recorder,
    calls,
    contacts,
    decide,
    deliverer,
    escalated,
    keep_turning,
    mail_channel,
    opened,
    turn,
)


def test_a_dead_mail_server_is_tried_again_and_then_the_next_level_is_called(store: Store) -> None:
    dead = Mailbox()
    with hook() as (kept, at):
        people = (*contacts(0), Contact("secondary", 900.0, f"json://{at}/"))
        made = deliverer(store, mail_channel(dead.url()), people)
        escalated(store)
        began = time.monotonic()
        keep_turning(store, made, 20, lambda: bool(kept.posted))
        assert time.monotonic() - began >= sum(PAUSES)
        made.close()
    first, second = calls(store)["primary"], calls(store)["secondary"]
    assert (first.state, first.attempts) == (CallState.FAILED, 1 + len(PAUSES))
    assert "Connection refused" in first.error
    assert (second.state, second.attempts) == (CallState.SENT, 1)
    assert len(kept.posted) == 1
    told = [each.text for each in store.timeline("run-1") if each.kind == "call"]
    assert len(told) == 3
    assert told[0].startswith("primary (level 1) was not reached: mail server localhost:")
    assert told[1].endswith("given up; the next level is called now")
    assert told[2].startswith("called secondary (level 2)")


def test_a_mail_server_that_comes_back_gets_the_mail_once(store: Store) -> None:
    late = Mailbox()
    made = deliverer(store, mail_channel(late.url()), contacts(0, 900), pauses=(0.5,) * 9)
    escalated(store)
    keep_turning(store, made, 10, lambda: bool(calls(store)["primary"].error))
    with late.open():
        keep_turning(store, made, 10, lambda: bool(late.mails))
        keep_turning(store, made, 1)
        made.close()
    assert len(late.mails) == 1
    assert calls(store)["secondary"].state is CallState.WAITING


def test_when_nobody_can_be_reached_the_last_is_tried_until_somebody_is(store: Store) -> None:
    late = Mailbox()
    made = deliverer(store, mail_channel(late.url()), contacts(0, 900, 1800), pauses=(0.2,))
    escalated(store)
    keep_turning(store, made, 20, lambda: calls(store)["lead"].attempts > 3)
    assert [each.state.value for each in calls(store).values()][:2] == ["failed", "failed"]
    with late.open():
        keep_turning(store, made, 10, lambda: bool(late.mails))
        made.close()
    assert [each.recipients for each in late.mails] == [("lead@example.com",)]


def test_a_person_who_is_unknown_is_not_tried_again(store: Store, box: Mailbox) -> None:
    box.unknown = {"primary@example.com"}
    made = deliverer(store, mail_channel(box.url()), contacts(0, 900))
    escalated(store)
    keep_turning(store, made, 10, lambda: bool(box.mails))
    made.close()
    assert [each.recipients for each in box.mails] == [("secondary@example.com",)]
    assert calls(store)["primary"].attempts == 1


def test_a_channel_that_hangs_holds_up_neither_the_tick_nor_others(store: Store) -> None:
    release = threading.Event()

    class Hanging(Recorder):
        def send(self, reach: str, message: Message) -> Failed | None:
            if "primary" in reach:
                release.wait(20)
            return super().send(reach, message)

    channel = Hanging()
    made = deliverer(store, channel, contacts(0, 0.2))
    escalated(store)
    keep_turning(store, made, 10, lambda: bool(channel.sent))
    assert channel.sent[0][0] == "mailto://secondary@example.com"
    release.set()
    keep_turning(store, made, 10, lambda: len(channel.sent) == 2)
    made.close()


def test_a_contact_that_was_taken_out_is_passed_over(store: Store) -> None:
    channel = Recorder()
    before = deliverer(store, channel, contacts(60, 900))
    escalated(store)
    turn(store, before)
    before.close()
    people = (Contact("secondary", 900.0, "mailto://secondary@example.com"),)
    after = deliverer(store, channel, people)
    claimed = store.calls.claim(1, time.time())
    assert claimed is not None
    store.calls.failed(claimed, "", time.time(), retry_at=time.time())
    keep_turning(store, after, 10, lambda: bool(channel.sent))
    after.close()
    assert [reach for reach, _ in channel.sent] == ["mailto://secondary@example.com"]
    assert calls(store)["primary"].error == "is no contact any more"


def test_a_message_that_cannot_be_worded_does_not_keep_the_alarm_back(store: Store) -> None:
    channel = Recorder()
    made = deliverer(store, channel, contacts(0))
    opened(store)
    decide(store, Begin())
    incident = decide(store, Cancelled("alice"))
    stored = store.load("run-1")
    assert stored is not None
    # Steps of a rung that the plan does not have.
    assert store.save(Decision(replace(incident, plan=Plan("test", ()))), stored.version)
    keep_turning(store, made, 5, lambda: len(channel.sent) == 1)
    made.close()
    [(_, message)] = channel.sent
    assert message.title == "[CRITICAL] a person is needed (shop)"
    assert "run-1: cancelled by alice" in message.body
    assert message.key.endswith("/0/primary")
