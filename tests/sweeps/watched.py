"""A practice fleet under watch, with a mail server that receives what people are told.

What lives here: setting it up, breaking it, and waiting for what the watcher makes of it. What
must not: which faults there are (cases.py) and what is asked of them (the tests, __main__.py).
"""

from __future__ import annotations

import email
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.stage import Theatre, fitted
from tests.integration.rig import wait_for

MAIL_PORT = 2525
CLOUD_PORT = 8090
PEOPLE = (
    ("Primary On-Call", "primary"),
    ("Secondary On-Call", "second"),
    ("Infrastructure Lead", "lead"),
)
Incident = Mapping[str, Any]


@dataclass(frozen=True)
class Times:
    """Seconds from the fault to each thing that followed."""

    detected: float
    decided: float
    first_effect: float
    executed: float
    verified: float


class Watched:
    """The fleet, its operator's command line, and the mails that came."""

    def __init__(self, theatre: Theatre, mails: Path) -> None:
        self.theatre, self._mails = theatre, mails

    @property
    def lab(self) -> Lab:
        return self.theatre.lab

    def incidents(self) -> list[Incident]:
        """The newest first."""
        found: list[Incident] = self.theatre.ask("incident", "list", "--limit", "100")["incidents"]
        return found

    def since(self, moment: float) -> list[Incident]:
        return [each for each in self.incidents() if seconds(each["opened_at"]) >= moment]

    def of(self, service: str, moment: float) -> Incident | None:
        """The incident of this service or cause that was opened since, if there is one."""
        found = [each for each in self.since(moment) if service in (each["service"], each["cause"])]
        return found[0] if found else None

    def timeline(self, incident: Incident) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.run(incident)["timeline"]
        return found

    def run(self, incident: Incident) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.theatre.ask("run", "show", incident["run"])
        return found

    def mails(self) -> list[EmailMessage]:
        found = []
        for path in sorted(self._mails.glob("new/*")):
            message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    def await_incident(
        self, service: str, moment: float, states: tuple[str, ...], limit: float
    ) -> Incident:
        """The service's incident since `moment`, once it is in one of these states."""
        found: list[Incident] = []

        def there() -> bool:
            incident = self.of(service, moment)
            found[:] = [incident] if incident else []
            return incident is not None and incident["state"] in states

        try:
            wait_for(f"{service} to be {' or '.join(states)}", there, seconds=limit, pause=0.5)
        except TimeoutError as late:
            said = json.dumps(self.since(moment), indent=1)
            raise AssertionError(f"{late}; there is {said}") from late
        return found[0]

    def await_peace(self, limit: float = 120) -> None:
        """Until the watcher sees everything well and every incident is closed."""

        def peace() -> bool:
            going = [each for each in self.incidents() if each["state"] != "closed"]
            return not going and self.theatre.call(*self.theatre.command("status")).returncode == 0

        try:
            wait_for("peace", peace, seconds=limit, pause=1.0)
        except TimeoutError as late:
            said = self.theatre.call(*self.theatre.command("incident", "list")).stdout
            seen = self.theatre.call(*self.theatre.command("status")).stdout
            raise AssertionError(f"{late}; {said}\n{seen}") from late


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(run: Mapping[str, Any], fault_at: float) -> Times:
    """When what happened after a fault, from the run's own record."""
    ends = [seconds(each["ended_at"]) for each in run["steps"] if each["ended_at"]]
    began = next(e for e in run["timeline"] if e["text"].startswith("recovering"))
    return Times(
        detected=seconds(run["opened_at"]) - fault_at,
        decided=seconds(began["at"]) - fault_at,
        first_effect=seconds(run["first_effect_at"]) - fault_at,
        executed=max(ends) - fault_at,
        verified=seconds(run["ended_at"]) - fault_at,
    )


def watched_fleet(
    lab: Lab, levels: Sequence[float], changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The lab's fleet with people to call, and with incidents that settle at once."""
    fleet = fitted(lab)
    people = zip(PEOPLE, levels, strict=True)
    fleet["contacts"] = [
        {"role": role, "after": after, "reach": f"mailto://{name}@example.com"}
        for (role, name), after in people
    ]
    # What serves meanwhile for Ollama; a test may have it answer.
    fleet["services"]["ollama"]["fallback"] = {
        "probe": "http",
        "from": "coordinator",
        "url": f"http://{lab.coordinator_address}:{CLOUD_PORT}/v1/models",
        "interval": "2 s",
        "timeout": "2 s",
        "title": "cloud LLM",
    }
    # A sweep breaks the same service again and again; that it flaps is another test.
    fleet["recovery"] = {
        "attempts": 50,
        "fleet_attempts": 500,
        "settle": "2 s",
        "backoff": 0,
    }
    for section, settings in changes.items():
        fleet[section] = {**fleet[section], **settings}
    # The model that is missing at first would be an incident of its own all the time.
    fleet["services"]["ollama"]["settings"]["models"] = ["llama3.2"]
    return fleet


@contextmanager
def watched(
    place: Path, *, levels: Sequence[float] = (0, 900, 1800), **changes: Mapping[str, Any]
) -> Iterator[Watched]:
    """Six real machines, all services started, `autobot-dr up` watching them."""
    lab = labs.prepare("nspawn", place / "lab")
    try:
        smtp = {"AUTOBOT_DR_SMTP_URL": f"smtp+plain://{lab.coordinator_address}:{MAIL_PORT}"}
        theatre = Theatre(lab, place / "home", watched_fleet(lab, levels, changes), smtp)
        mails = place / "mails"
        with _mail_server(lab, mails), theatre.up():
            done = theatre.call(*theatre.command("recover", "full-system", "--json"))
            assert done.returncode == 0, done.stdout + done.stderr
            found = Watched(theatre, mails)
            found.await_peace()
            time.sleep(6)  # every agent has told what it sees
            yield found
    finally:
        lab.down()


@contextmanager
def _mail_server(lab: Lab, mails: Path) -> Iterator[None]:
    """A real SMTP server in the lab's network that keeps what it gets in a maildir."""
    listen = f"{lab.coordinator_address}:{MAIL_PORT}"
    argv = [*lab.prefix(), sys.executable, "-m", "aiosmtpd", "-n", "-l", listen]
    child = subprocess.Popen([*argv, "-c", "aiosmtpd.handlers.Mailbox", str(mails)])
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=10)
