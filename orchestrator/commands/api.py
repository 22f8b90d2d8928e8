"""The command line's side of the HTTP API: one request, or following a run.

What lives here: the client, and the way from what can go wrong to a sentence and an exit code.
What must not: showing anything.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.commands.ending import Exit, Stop, faulty
from orchestrator.core.plan import Fault
from orchestrator.settings import Settings, read_token

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  #: status asks every service, and each may be slow to answer
HEARD_SECONDS = 40.0  #: a stream says something every 15 s
AWAY_SECONDS = 60.0  #: a coordinator that restarts is waited for this long
PAUSE_SECONDS = 0.5

_CODES = {"unknown-scenario": Exit.USAGE, "unknown-run": Exit.USAGE}
_CODES |= {"unknown-incident": Exit.USAGE, "not-understood": Exit.USAGE}
_CODES |= {"store-unavailable": Exit.UNREACHABLE, "not-ready": Exit.UNREACHABLE}
_CODES |= {"broker-away": Exit.UNREACHABLE, "unknown-target": Exit.USAGE}
_CODES |= {"unknown-job": Exit.USAGE, "unknown-restore-point": Exit.USAGE}
_CODES |= {"unknown-window": Exit.USAGE, "unknown-follow-up": Exit.USAGE}


class Away(Exception):
    """The coordinator did not answer. Trying again may help."""


class StandsBy(Exception):
    """It answers, and another one leads."""


class Client:
    """Talks to the coordinator of these settings, with the home's token."""

    def __init__(self, settings: Settings) -> None:
        import httpx

        token = read_token(settings)
        if isinstance(token, Fault):
            raise faulty([token])
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise Stop(Exit.FAULT, "the API token is empty or holds odd characters; set it anew")
        self._urls = [each.strip() for each in settings.api_urls.split(",") if each.strip()]
        self.url = self._urls[0] if self._urls else ""
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # A proxy may be down on the very day, and the coordinator is one of ours.
            trust_env=False,
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self.request("POST", path, json=body, headers=headers)

    def request(self, method: str, path: str, **more: Any) -> Any:
        """The answer's JSON. Every other end ends the command."""
        return _json(self.text(method, path, **more), self.url)

    def text(self, method: str, path: str, **more: Any) -> str:
        """The answer as it is. Every other end ends the command."""
        try:
            return self._answer(method, path, **more)
        except Away as away:
            raise self._unreachable(away) from away

    def start(self, scenario: str, reason: str, key: str) -> Any:
        """Start a run. An answer that was lost is asked for again; the key makes it one run."""
        body = {"scenario": scenario, "reason": reason}
        headers = {"Idempotency-Key": key}
        try:
            return _json(self._answer("POST", "/api/v1/runs", json=body, headers=headers), self.url)
        except Away:
            time.sleep(PAUSE_SECONDS)
        return self.request("POST", "/api/v1/runs", json=body, headers=headers)

    def _answer(self, method: str, path: str, **more: Any) -> str:
        """Of the first who can: the one who answered the last time is asked first."""
        failed: Away | StandsBy | None = None
        for _ in self._urls:
            try:
                return self._answer_here(method, path, **more)
            except (Away, StandsBy) as elsewhere:
                # Who stands by says more than who does not answer: it is told in the end.
                failed = failed if isinstance(failed, StandsBy) else elsewhere
                self._next()
        if isinstance(failed, StandsBy):
            raise Stop(Exit.UNREACHABLE, failed)
        raise failed or Away("AUTOBOT_DR_API_URLS names none")

    def _next(self) -> None:
        self._urls.append(self._urls.pop(0))
        self.url = self._urls[0]

    def _answer_here(self, method: str, path: str, **more: Any) -> str:
        import httpx

        try:
            answer = self._http.request(method, f"{self.url}{path}", **more)
        except httpx.HTTPError as error:
            raise Away(_said(error)) from error
        except httpx.InvalidURL as error:
            raise Stop(Exit.FAULT, f"AUTOBOT_DR_API_URL: {self.url!r}: {error}") from error
        self._demand(answer)
        return answer.text

    def _demand(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        if answer.headers.get("content-type") != "application/problem+json":
            raise Stop(
                Exit.FAULT,
                f"{self.url} answers with {answer.status_code} and is no AutoBot DR coordinator; "
                "set AUTOBOT_DR_API_URL to where yours listens",
            )
        problem = _json(answer.text, self.url)
        kind = str(problem["type"]).rpartition(":")[2]
        if kind == "standby":
            raise StandsBy(problem["detail"])
        raise Stop(_CODES.get(kind, Exit.FAULT), problem["detail"])

    def _unreachable(self, away: Away) -> Stop:
        where = ", ".join(sorted(self._urls))
        return Stop(
            Exit.UNREACHABLE,
            f"the coordinator at {where} cannot be reached ({away}); start it with "
            "`autobot-dr up`, or set AUTOBOT_DR_API_URL to where it listens",
        )

    def events(self, run: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(kind, data) of a run's events from its first line on, whatever breaks in between."""
        last = ""
        ends = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                for kind, data, number in self._stream(run, last):
                    last, ends = number or last, time.monotonic() + AWAY_SECONDS
                    yield kind, data
            except Away as away:
                if time.monotonic() > ends:
                    raise self._unreachable(away) from away
                self._next()
            time.sleep(PAUSE_SECONDS)

    def _stream(self, run: str, last: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
        import httpx

        headers = {"Last-Event-ID": last} if last else {}
        timeout = httpx.Timeout(HEARD_SECONDS, connect=CONNECT_SECONDS)
        stream = self._http.stream(
            "GET",
            f"{self.url}/api/v1/events",
            params={"run": run},
            headers=headers,
            timeout=timeout,
        )
        try:
            with stream as answer:
                if not answer.is_success:
                    answer.read()
                    self._demand(answer)
                fields: dict[str, str] = {}
                for line in answer.iter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                        continue
                    if "event" in fields:
                        data = json.loads(fields["data"])
                        yield fields["event"], data, fields.get("id", "")
                    fields = {}
        except httpx.HTTPError as error:
            raise Away(_said(error)) from error


def _said(error: Exception) -> str:
    """What went wrong, without the system's number for it."""
    said = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", said)


def _json(text: str, url: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Stop(
            Exit.FAULT,
            f"what {url} answers is no JSON, so it is no AutoBot DR coordinator; "
            "set AUTOBOT_DR_API_URL to where yours listens",
        ) from error
