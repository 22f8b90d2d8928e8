"""From a failure to a resolved incident without a hand, on real machines; and what is left alone.

The whole table, with the shipped pace, is `make sweep`. Here everything is asked every two
seconds, and the troubles that must be borne are short.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest

from deploy.lab import lab as labs
from tests.fleet.test_faults import cloud
from tests.integration.rig import wait_for
from tests.sweeps.acts import break_it, forbear, nothing_restarted, recovered
from tests.sweeps.cases import CASES, Case, Forbearance
from tests.sweeps.watched import PEOPLE, Incident, Watched, seconds, watched

pytestmark = pytest.mark.timeout(400)

LEVELS = (0.0, 8.0, 16.0)  #: seconds; the seed's are 0, 15 and 30 minutes
#: What fails again within ten seconds is the same incident; between tests all are closed.
BUDGET = {"attempts": 3, "per": "60 s", "backoff": "1 s", "settle": "10 s"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    pace = {"interval": "2 s", "timeout": "2 s"}
    place = tmp_path_factory.mktemp("watched")
    with watched(place, levels=LEVELS, watch=pace, recovery=BUDGET) as made:
        yield made


@pytest.fixture(autouse=True)
def mended(fleet: Watched) -> Iterator[None]:
    yield
    fleet.lab.mend()
    fleet.await_peace()


def case(scenario: str, way: str) -> Case:
    return next(each for each in CASES if (each.scenario, each.way) == (scenario, way))


@pytest.mark.parametrize(
    ("scenario", "way"),
    [
        ("redis", "crash"),
        pytest.param("redis", "disk full", marks=pytest.mark.long),
        pytest.param("redis", "wrong permissions", marks=pytest.mark.long),
        ("backend", "hang"),
        pytest.param("frontend", "machine off", marks=pytest.mark.long),
        ("full-system", "power lost"),
    ],
)
def test_a_failure_is_found_and_cured_without_a_hand(
    fleet: Watched, scenario: str, way: str
) -> None:
    chosen = case(scenario, way)
    took = recovered(fleet, chosen, break_it(fleet, chosen))
    assert took.detected <= took.decided <= took.first_effect <= took.executed <= took.verified


def test_a_dead_redis_is_one_incident_with_the_backend_under_it(fleet: Watched) -> None:
    began = time.time()
    fleet.lab.break_("wrong-permissions", "redis")
    fleet.await_incident("redis", began, ("resolved", "closed"), 120)
    assert {each["service"] for each in fleet.since(began)} == {"redis"}


@pytest.mark.parametrize(
    "trouble",
    [
        Forbearance("password", "password-changed", "redis", "redis", 20),
        Forbearance("loading", "loading", "redis", "redis", 20),
        pytest.param(
            Forbearance("initialising", "initialising", "backend", "backend", 25),
            marks=pytest.mark.long,
        ),
        Forbearance("cut off", "coordinator-cut", "", "", 40),
        pytest.param(
            Forbearance("half", "half-cut", "redis,backend,ai", "", 30), marks=pytest.mark.long
        ),
    ],
    ids=lambda trouble: trouble.name,
)
def test_what_lives_or_is_only_out_of_sight_is_not_restarted(
    fleet: Watched, trouble: Forbearance
) -> None:
    began = time.time()
    forbear(fleet, trouble)
    nothing_restarted(fleet, began)
    if not trouble.service:
        calls = [each for each in fleet.since(began) if each["cause"] == "vantage"]
        assert len(calls) == 1, fleet.since(began)


def test_nothing_is_restarted_in_a_maintenance_window_and_it_is_afterwards(fleet: Watched) -> None:
    reason = ("--reason", "new disks")
    window = fleet.theatre.ask("maintenance", "start", "frontend", "--for", "1h", *reason)
    began = time.time()
    fleet.lab.break_("service-crash", "frontend")
    incident = fleet.await_incident("frontend", began, ("open",), 30)
    wait_for("the reason", lambda: "new disks" in told(fleet, incident), seconds=10)
    time.sleep(5)
    nothing_restarted(fleet, began)
    fleet.theatre.ask("maintenance", "stop", window["id"])
    fleet.await_incident("frontend", began, ("resolved", "closed"), 60)


def test_a_fallback_that_serves_lowers_the_severity_and_is_named(fleet: Watched) -> None:
    with cloud(fleet.lab):
        time.sleep(6)
        began = time.time()
        fleet.lab.break_("service-crash", "ai")
        incident = fleet.await_incident("ollama", began, ("resolved", "closed"), 60)
    assert incident["severity"] == "warning"
    assert "cloud" in str(fleet.theatre.ask("incident", "show", incident["id"])["fallback"])


def test_each_level_is_called_once_though_the_coordinator_is_killed_between(
    fleet: Watched,
) -> None:
    began = time.time()
    fleet.lab.break_("password-changed", "redis")
    incident = fleet.await_incident("redis", began, ("escalated",), 30)
    needed = seconds(incident["ended_at"])
    wait_for("the first level's mail", lambda: len(calls(fleet, began)) == 1, seconds=6)
    wait_for("its mark", lambda: "called " in told(fleet, incident), seconds=6, pause=0.2)
    os.kill(coordinator(fleet), signal.SIGKILL)
    wait_for("all levels' mails", lambda: len(calls(fleet, began)) == 3, seconds=40, pause=0.5)
    time.sleep(6)
    found = calls(fleet, began)
    names = [name for _, name in PEOPLE]
    assert sorted(str(each["To"]).partition("@")[0] for each in found) == sorted(names)
    for each in found:
        level = names.index(str(each["To"]).partition("@")[0])
        late = parsedate_to_datetime(str(each["Date"])).timestamp() - (needed + LEVELS[level])
        assert -2 < late < 4, (each["To"], late)  # a mail's date is in whole seconds


def calls(fleet: Watched, since: float) -> list[EmailMessage]:
    return [
        each
        for each in fleet.mails()
        if "[CRITICAL] redis" in str(each["Subject"])
        and parsedate_to_datetime(str(each["Date"])).timestamp() >= since - 1
    ]


def coordinator(fleet: Watched) -> int:
    """The coordinator's process, as `up` has written it down."""
    record = json.loads((fleet.theatre.home / "state" / "up.json").read_text())
    return int(record["coordinator"]["pid"])


def told(fleet: Watched, incident: Incident) -> str:
    return "\n".join(f"{each['text']} {each['detail']}" for each in fleet.timeline(incident))


def test_a_unit_that_crashes_again_and_again_ends_with_a_person_who_has_the_journal(
    fleet: Watched,
) -> None:
    began = time.time()
    fleet.lab.break_("crash-loop", "backend", seconds=5)
    incident = fleet.await_incident("backend", began, ("escalated",), 120)
    assert "budget is spent" in incident["reason"]
    assert seconds(fleet.run(incident)["ended_at"]) - began < 120

    def called() -> list[str]:
        mails = [str(each.get_content()) for each in fleet.mails() if "CRITICAL" in each["Subject"]]
        return [each for each in mails if "out of file handles" in each]

    wait_for("the mail with the journal's last lines", lambda: bool(called()), seconds=20)


def test_every_closed_incident_has_its_review(fleet: Watched) -> None:
    closed = [each for each in fleet.incidents() if each["state"] == "closed"]
    assert closed
    review = fleet.theatre.ask("incident", "review", closed[-1]["id"])
    assert review["times"], review
