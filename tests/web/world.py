"""A coordinator over the in-memory store, its web app on a real port, and a publisher that keeps.

The services' checks ask real loopback ports. Agents are played by `World.report`.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import uvicorn

from orchestrator.catalog import TaskCatalog
from orchestrator.config import Configuration
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.compiling import compile_plan
from orchestrator.core.events import Publish, Withdraw
from orchestrator.core.failure import Failure, Severity
from orchestrator.core.fleet import (
    Approval,
    Check,
    Fleet,
    Machine,
    Objectives,
    Rung,
    Scenario,
    Service,
    StepTemplate,
)
from orchestrator.core.health import Health, Rule
from orchestrator.core.incident import Incident
from orchestrator.core.plan import Plan
from orchestrator.core.policy import Rules
from orchestrator.core.redisbackups import RedisJob
from orchestrator.core.review import Called
from orchestrator.core.sight import Picture
from orchestrator.fleetfile import Inventory
from orchestrator.leadership import Standing
from orchestrator.lookout import Lookout
from orchestrator.ports import PublishFailed
from orchestrator.store import MemoryStore
from orchestrator.web.access import Caller, Role
from orchestrator.web.app import make_web
from tasks import catalog
from tasks.contract import Headway, JobSheet, Outcome, WorkOrder, WorkReport
from tasks.host import LocalHost
from tasks.signing import new_keys, private_key, public_key, sign

TOKENS = {role: f"the-token-of-{role}" for role in Role}

#: `app` is backed up by the agent of `two`.
NIGHT = RedisJob(
    name="night",
    service="app",
    vault="two",
    folder="/b",
    rpo_target_s=3600,
    rpo_maximum_s=7200,
    at_s=7200.0,
)


class KeepingPublisher:
    """A Publisher that keeps what it is given; `away` makes it a broker that is not there."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Publish]] = []
        self.withdrawn: list[tuple[str, Withdraw]] = []
        self.handed_out: list[JobSheet] = []
        self.away = False

    def publish(self, incident: Incident, effect: Publish) -> None:
        if self.away:
            raise PublishFailed("the broker did not take the chain: connection refused")
        self.published.append((incident.run, effect))

    def withdraw(self, incident: Incident, effect: Withdraw) -> None:
        self.withdrawn.append((incident.run, effect))

    def hand_out(self, sheet: JobSheet) -> None:
        self.handed_out.append(sheet)

    def carries(self) -> bool:
        return self.listening()

    def stranded(self, effect: Publish) -> bool:
        return False

    def listening(self) -> bool:
        return not self.away


def _scenario(name: str, approval: Approval) -> Scenario:
    restart = Rung("restart the service", (StepTemplate("service.restart", "app"),), approval)
    return Scenario(name, f"{name} it", "users wait", ("it hangs",), ("app",), (restart,), (1, 9))


class World:
    """Machine `one` with a service that answers, machine `two` with one that does not."""

    def __init__(self, good: int, bad: int) -> None:
        self.keys = {name: new_keys() for name in ("one", "two")}
        self.fleet = self._fleet(good, bad)
        scenarios = {
            each.name: each
            for each in (_scenario("restart", Approval.AUTO), _scenario("asked", Approval.ASK))
        }
        plans: dict[str, Plan] = {}
        for name, scenario in scenarios.items():
            plan = compile_plan(scenario, self.fleet, TaskCatalog())
            assert isinstance(plan, Plan), plan
            plans[name] = plan
        roles = {"one": "the front", "two": "the side"}
        self.configuration = Configuration(
            Inventory(self.fleet, (), {}, (), roles, Rule(), Rules(), backups={"night": NIGHT}),
            scenarios,
            plans,
            (),
        )
        agents = {name: public_key(pair[1]) for name, pair in self.keys.items()}
        self.store, self.publisher = MemoryStore(), KeepingPublisher()
        self.coordinator = Coordinator(
            Protected(self.fleet, scenarios, plans, agents),
            self.store,
            self.publisher,
            Lookout(LocalHost(), catalog.probes()),
            time.time,
        )
        self.complaints: list[str] = []
        self.picture: Picture | None = None
        self.calls: list[Called] = []
        self.standing = Standing("one")

    def _fleet(self, good: int, bad: int) -> Fleet:
        ports = {"app": ("one", good), "extra": ("two", bad)}
        services = {
            name: Service(
                name,
                machine,
                f"{name}.service",
                Check("tcp", {"address": "127.0.0.1", "port": port}),
                optional=name == "extra",
                start_seconds=2,
            )
            for name, (machine, port) in ports.items()
        }
        way = {"ssh_user": "autobot", "ssh_key": "/k"}
        machines = {name: Machine(name, "127.0.0.1", way) for name in ("one", "two")}
        return Fleet("small", "one", machines, services, Objectives(60, 120, 60, 120))

    def orders(self) -> list[WorkOrder]:
        return [order for _, effect in self.publisher.published for order in effect.orders]

    def report(self, order: WorkOrder, outcome: Outcome, reason: str, *, detail: str = "") -> None:
        """What the order's agent would say, signed by it."""
        now = time.time()
        said = WorkReport(
            order=order.id,
            incident=order.incident,
            run=order.run,
            epoch=order.epoch,
            rung=order.rung,
            step=order.step,
            attempt=order.attempt,
            agent=order.agent,
            outcome=outcome,
            reason=reason,
            detail=detail,
            started_at=now - 0.5,
            ended_at=now,
        )
        self.coordinator.report(sign(said, private_key(self.keys[order.agent][0])))

    def moves(self, order: WorkOrder, done: int, total: int = 0, *, key: str = "") -> None:
        """How far the order's agent says that it is."""
        said = Headway(
            order=order.id,
            incident=order.incident,
            run=order.run,
            rung=order.rung,
            step=order.step,
            attempt=order.attempt,
            agent=order.agent,
            what="receiving the dump",
            done_bytes=done,
            total_bytes=total,
            per_second=2_000_000.0,
            left_s=(total - done) / 2_000_000 if total else -1.0,
            at=time.time(),
        )
        signed_by = private_key(key or self.keys[order.agent][0])
        self.coordinator.headway(sign(said, signed_by))

    def fails(self, **changed: Any) -> Incident:
        """The watcher finds `app` down, and nothing is begun yet."""
        now = time.time()
        failure = Failure(
            "service:app",
            ("app",),
            "one",
            Health.DOWN,
            Severity.CRITICAL,
            "nothing listens",
            first_bad_at=now - 7,
            detected_at=now,
            scenario="restart",
        )
        return self.coordinator.open_failure(replace(failure, **changed))

    def carry_on(self) -> None:
        """Every order so far is done, and the coordinator looks from outside."""
        for run, effect in list(self.publisher.published):
            for order in effect.orders:
                self.report(order, Outcome.DONE, "active since a moment ago")
            self.coordinator.check(run, effect.rung, effect.branch, 2.0)


@contextmanager
def a_world() -> Iterator[World]:
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket() as bad:
        # Bound and not listening: nobody else takes the port, and nobody answers at it.
        bad.bind(("127.0.0.1", 0))
        yield World(good.getsockname()[1], bad.getsockname()[1])


@contextmanager
def serving(world: World) -> Iterator[str]:
    """The world's app at a real port; gives its URL."""
    tokens = {
        hashlib.sha256(token.encode()).hexdigest(): Caller(role.value, role)
        for role, token in TOKENS.items()
    }
    app = make_web(
        world.coordinator,
        world.configuration,
        tokens,
        ready=lambda: world.complaints,
        picture=lambda: world.picture,
        calls=lambda _run: world.calls,
        standing=lambda: world.standing,
    )
    # By port and not by a socket of ours: asyncio sets TCP_NODELAY only on those it makes itself,
    # and without it each answer waits 40 ms for an acknowledgement.
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        ends = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the web server did not start"
            assert time.monotonic() < ends, "the web server did not start in time"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


class Api:
    """A caller of the API with the token of one role, or with none."""

    def __init__(self, url: str, role: Role | None) -> None:
        headers = {"Authorization": f"Bearer {TOKENS[role]}"} if role else {}
        self.http = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> httpx.Response:
        return self.http.post(path, json=body, **more)

    def start(self, scenario: str = "restart", key: str = "") -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.post("/api/v1/runs", {"scenario": scenario}, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found
