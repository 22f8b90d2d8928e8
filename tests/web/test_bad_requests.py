"""Requests that are wrong: the status, the kind of problem, and a sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.ports import Stored, StoreUnavailable
from orchestrator.store import MemoryStore
from orchestrator.web.access import Caller, Role, read_tokens
from tests.web.world import Api, World

BAD = [
    ("GET", "/api/v1/runs/none", None, 404, "unknown-run", "run list"),
    ("POST", "/api/v1/runs/none/cancel", None, 404, "unknown-run", "run list"),
    ("GET", "/api/v1/incidents/none", None, 404, "unknown-incident", "incident list"),
    ("GET", "/api/v1/plans/none", None, 404, "unknown-scenario", "known: asked, restart"),
    ("GET", "/api/v1/events?run=none", None, 404, "unknown-run", "run list"),
    ("GET", "/api/v1/nothing", None, 404, "not-found", "/docs"),
    ("DELETE", "/api/v1/runs", None, 405, "method-not-allowed", "/docs"),
    ("GET", "/api/v1/runs?limit=0", None, 422, "not-understood", "query.limit"),
    ("GET", "/api/v1/runs?limit=100000", None, 422, "not-understood", "query.limit"),
    ("POST", "/api/v1/runs", b'{"scenario": "none"}', 404, "unknown-scenario", "known: asked"),
    ("POST", "/api/v1/runs", b"{}", 422, "not-understood", "body.scenario: field required"),
    ("POST", "/api/v1/runs", b"[]", 422, "not-understood", "body"),
    ("POST", "/api/v1/runs", b'{"scenario": 7}', 422, "not-understood", "body.scenario"),
    ("POST", "/api/v1/runs", b'{"scenario": "restart", "x": 1}', 422, "not-understood", "body.x"),
    ("POST", "/api/v1/runs", b'{"scenario": ', 400, "broken-json", "not JSON"),
    ("POST", "/api/v1/runs", b"\xff\xfe\x00", 400, "broken-json", "not JSON"),
    ("POST", "/api/v1/runs", b"", 422, "not-understood", "body"),
    ("POST", "/api/v1/runs", b"x" * 1_000_000, 413, "body-too-large", "64 KB"),
    ("POST", "/api/v1/runs/x/cancel", b"x" * 70_000, 413, "body-too-large", "64 KB"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "kind", "said"), BAD)
def test_a_bad_request_is_answered_with_a_problem(
    world: World,
    api: Api,
    method: str,
    path: str,
    body: bytes | None,
    status: int,
    kind: str,
    said: str,
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.http.request(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:autobot-dr:problem:{kind}"
    assert problem["status"] == status
    assert said in problem["detail"]
    assert world.store.runs() == []


def test_a_body_that_does_not_say_its_length_is_bounded_too(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(128):
            yield b"x" * 1024

    answer = api.http.post("/api/v1/runs", content=endless())
    assert answer.status_code == 413


PROTECTED = [
    ("GET", "/api/v1/runs", Role.VIEWER),
    ("GET", "/api/v1/runs/x", Role.VIEWER),
    ("GET", "/api/v1/incidents", Role.VIEWER),
    ("GET", "/api/v1/incidents/x", Role.VIEWER),
    ("GET", "/api/v1/status", Role.VIEWER),
    ("GET", "/api/v1/plans/restart", Role.VIEWER),
    ("GET", "/api/v1/events", Role.VIEWER),
    ("GET", "/metrics", Role.VIEWER),
    ("POST", "/api/v1/runs", Role.OPERATOR),
    ("POST", "/api/v1/runs/x/approve", Role.OPERATOR),
    ("POST", "/api/v1/runs/x/cancel", Role.OPERATOR),
    ("POST", "/api/v1/runs/x/resume", Role.OPERATOR),
    ("POST", "/api/v1/incidents/x/ack", Role.OPERATOR),
    ("POST", "/api/v1/incidents/x/notes", Role.OPERATOR),
    ("POST", "/api/v1/incidents/x/resolve", Role.OPERATOR),
    ("POST", "/api/v1/incidents/x/close", Role.OPERATOR),
    ("GET", "/api/v1/incidents/x/review", Role.VIEWER),
    ("GET", "/api/v1/incidents/x/review.md", Role.VIEWER),
    ("GET", "/api/v1/incidents/x/review.html", Role.VIEWER),
    ("POST", "/api/v1/incidents/x/findings", Role.OPERATOR),
    ("GET", "/api/v1/incidents/x/follow-ups", Role.VIEWER),
    ("POST", "/api/v1/incidents/x/follow-ups", Role.OPERATOR),
    ("GET", "/api/v1/follow-ups", Role.VIEWER),
    ("POST", "/api/v1/follow-ups/x/done", Role.OPERATOR),
    ("GET", "/api/v1/maintenance", Role.VIEWER),
    ("POST", "/api/v1/maintenance", Role.OPERATOR),
    ("POST", "/api/v1/maintenance/x/stop", Role.OPERATOR),
    ("GET", "/api/v1/backups", Role.VIEWER),
    ("POST", "/api/v1/backups/x/run", Role.OPERATOR),
    ("POST", "/api/v1/backups/x/doctor", Role.OPERATOR),
    ("GET", "/api/v1/restore-points", Role.VIEWER),
    ("GET", "/api/v1/restore-points/x", Role.VIEWER),
    ("GET", "/api/v1/restore-points/x/plan", Role.VIEWER),
    ("POST", "/api/v1/restore-points/x/verify", Role.OPERATOR),
    ("POST", "/api/v1/restore-points/x/restore", Role.OPERATOR),
    ("POST", "/api/v1/restore-points/x/keys", Role.OPERATOR),
    ("POST", "/api/v1/restore-points/x/rehearse", Role.OPERATOR),
    ("POST", "/api/v1/restores/{which}/undo", Role.OPERATOR),
]


@pytest.mark.parametrize(("method", "path", "needed"), PROTECTED)
def test_without_a_token_or_with_too_low_a_role_nothing_is_told(
    caller: Callable[[Role | None], Api], method: str, path: str, needed: Role
) -> None:
    body = {"scenario": "restart"} if path.endswith("/runs") and method == "POST" else None
    nobody = caller(None).http.request(method, path, json=body)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == "Bearer"
    wrong = caller(None).http.request(
        method, path, json=body, headers={"Authorization": "Bearer guessed"}
    )
    assert wrong.status_code == 401
    if needed is Role.OPERATOR:
        low = caller(Role.VIEWER).http.request(method, path, json=body)
        assert low.status_code == 403
        assert "needs a token of role operator" in low.json()["detail"]


def test_every_path_of_the_api_is_in_the_table_above(api: Api) -> None:
    documented = {
        (method.upper(), re.sub(r"\{(run|incident|number|window|job|point)\}", "x", path))
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    opened = {("GET", "/healthz"), ("GET", "/readyz")}
    tabled = {(m, p.replace("plans/restart", "plans/{scenario}")) for m, p, _ in PROTECTED}
    assert documented - opened == tabled


class AwayStore(MemoryStore):
    """A store whose server went away."""

    def load(self, run: str) -> Stored | None:
        raise StoreUnavailable(f"the store did not answer when asked for {run}")


def test_a_store_that_is_away_is_said_to_be(world: World, api: Api) -> None:
    world.coordinator.store = AwayStore()
    answer = api.get("/api/v1/runs/x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "nothing was started" in answer.json()["detail"]


def test_an_error_of_our_own_tells_nothing_of_the_inside(world: World, api: Api) -> None:
    world.coordinator.store = None  # type: ignore[assignment]
    answer = api.get("/api/v1/runs/x")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:autobot-dr:problem:internal-error"
    assert "NoneType" not in answer.text


def test_tokens_are_read_with_every_fault(tmp_path: Path) -> None:
    good = tmp_path / "tokens.yaml"
    good.write_text(f"tokens:\n  - {{name: first, role: admin, sha256: {'a' * 64}}}\n")
    assert read_tokens(good) == {"a" * 64: Caller("first", Role.ADMIN)}
    bad = tmp_path / "bad.yaml"
    bad.write_text("tokens:\n  - {name: X, role: king, sha256: short}\n")
    faults = read_tokens(bad)
    assert isinstance(faults, tuple)
    assert [each.place.rpartition(", ")[2] for each in faults] == [
        "tokens[0].name",
        "tokens[0].role",
        "tokens[0].sha256",
    ]
    assert isinstance(read_tokens(tmp_path / "none.yaml"), tuple)
