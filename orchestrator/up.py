"""`autobot-dr up`: broker, coordinator, beat, this machine's agent and Flower as one.

What lives here: which processes there are, with what they are told, and what people are told.
What must not: keeping them alive (supervisor.py). Secrets reach the children through files and
their environment, never through arguments.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator import embedded_broker
from orchestrator.commands.ending import Exit, Stop, faulty, tell
from orchestrator.config import Configuration, load
from orchestrator.core.plan import Fault
from orchestrator.embedded_broker import EmbeddedBroker
from orchestrator.notify.opening import calling_faults
from orchestrator.settings import Settings, address_and_port
from orchestrator.setup import SHIPPED, load_keys
from orchestrator.supervisor import (
    Child,
    Notified,
    NotReady,
    Supervisor,
    a_listener,
    end_leftovers,
)
from orchestrator.web.access import read_tokens
from tasks.host import HostFault, LocalHost

FLOWER_USER = "autobot"
CONTROL_CONCURRENCY = 8


def run_up(settings: Settings, *, as_json: bool) -> None:
    """Start everything, say where it is, and keep it running until SIGTERM or Ctrl-C."""
    try:
        _run_up(settings, as_json=as_json)
    except HostFault as fault:
        raise Stop(Exit.FAULT, fault) from fault
    except OSError as error:
        raise Stop(Exit.FAULT, f"{error.filename or 'the system'}: {error.strerror}") from error


def _run_up(settings: Settings, *, as_json: bool) -> None:
    configuration = _demand_sound(settings)
    if not configuration.inventory.contacts:
        tell("warning: `contacts` is nobody: nobody will be called, whatever happens")
    state = settings.state.resolve()
    for folder in (state, state / "logs", state / "flower", state / "agent"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(settings, state):
        if left := end_leftovers(state / "up.json"):
            tell(f"ended what a killed `up` had left running: {', '.join(left)}")
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: stopping.set())
        supervisor = Supervisor(state / "up.json", stopping, tell)
        try:
            with a_listener() as notified:
                site = _start(supervisor, settings, configuration, notified)
                click.echo(json.dumps(site.shape()) if as_json else site.text())
                sys.stdout.flush()
                supervisor.keep()
        except NotReady as reason:
            if not stopping.is_set():
                code = Exit.UNREACHABLE if reason.waited else Exit.FAULT
                raise Stop(code, reason) from reason
        finally:
            supervisor.end()


def _demand_sound(settings: Settings) -> Configuration:
    """The configuration; every fault of home ends the command before anything is started."""
    home = settings.home.resolve()
    if not (settings.fleet.exists() and settings.keys.exists() and settings.tokens.exists()):
        raise Stop(Exit.FAULT, f"{home} is not initialised; run `autobot-dr init {home}`")
    configuration = load(settings.fleet, settings.runbooks)
    if isinstance(configuration, tuple):
        raise faulty(configuration)
    if faults := calling_faults(configuration, settings):
        raise faulty(faults)
    for read in (
        load_keys(settings.keys, configuration.fleet.machines),
        read_tokens(settings.tokens),
    ):
        if isinstance(read, tuple):
            raise faulty(read)
    return configuration


@contextmanager
def _only_one(settings: Settings, state: Path) -> Iterator[None]:
    with (state / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Stop(
                Exit.FAULT,
                f"`autobot-dr up` runs already on {settings.home.resolve()} "
                f"(process {lock.read().strip()}); stop that one first",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything is."""

    settings: Settings
    state: Path
    control: str
    flower_url: str
    broker: EmbeddedBroker | None

    def shape(self) -> dict[str, str]:
        return {
            "home": str(self.settings.home.resolve()),
            "api": _local_url(self.settings.listen_address, self.settings.listen_port),
            "flower": self.flower_url,
            "broker": _without_password(self),
            "agent": self.control,
            "logs": str(self.state / "logs"),
        }

    def text(self) -> str:
        where, password = self.shape(), self.state / "flower" / "password"
        lines = [
            f"AutoBot DR is up on {where['home']}; Ctrl-C ends it",
            f"  API      {where['api']}/docs, token in {self.settings.token_file.resolve()}",
            f"  Flower   {where['flower']}, user {FLOWER_USER}, password in {password}",
            f"  broker   {where['broker']}",
            f"  agent    of {self.control}",
            f"  logs     {where['logs']}",
        ]
        if self.broker:
            lines.insert(4, f"           its URL with the password is in {self.broker.url_file}")
        return "\n".join(lines)


def _without_password(site: Site) -> str:
    if site.broker:
        return f"redis://{site.broker.address}:{site.broker.port}/0 (embedded)"
    return "as AUTOBOT_DR_BROKER_URL says"


def _start(
    supervisor: Supervisor, settings: Settings, configuration: Configuration, notified: Notified
) -> Site:
    state = settings.state.resolve()
    flower = address_and_port(settings.flower_listen)
    _demand_free("AUTOBOT_DR_LISTEN", settings.listen_address, settings.listen_port)
    _demand_free("AUTOBOT_DR_FLOWER_LISTEN", *flower)
    if settings.broker_url:
        broker, url = None, settings.broker_url.get_secret_value()
    else:
        broker = _prepare_broker(settings, state)
        url = broker.url
        supervisor.start(_broker(broker, state))
    common = {"AUTOBOT_DR_HOME": str(settings.home.resolve()), "AUTOBOT_DR_BROKER_URL": url}
    api = _local_url(settings.listen_address, settings.listen_port)
    supervisor.start(
        _coordinator(api, common, state),
        _beat(common, state),
        _agent(settings, configuration.fleet.control, common, state, notified),
        _flower(flower, common, state),
    )
    if complaint := _answers(f"{api}/readyz"):
        tell(f"warning: {complaint}; until that is mended, orders go over SSH")
    return Site(settings, state, configuration.fleet.control, _local_url(*flower), broker)


def _prepare_broker(settings: Settings, state: Path) -> EmbeddedBroker:
    host = LocalHost()
    program = embedded_broker.server(host)
    if isinstance(program, Fault):
        raise faulty([program])
    address, port = address_and_port(settings.broker_listen)
    _demand_free("AUTOBOT_DR_BROKER_LISTEN", address, port)
    return embedded_broker.prepare(host, state / "broker", program, address, port)


def _demand_free(variable: str, address: str, port: int) -> None:
    """Nobody else may listen there; found out now, it is one sentence instead of a log."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise Stop(
                Exit.FAULT,
                f"cannot listen at {address}:{port} ({error.strerror}); "
                f"set {variable} to another address:port",
            ) from error


def _local_url(address: str, port: int) -> str:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _answers(url: str) -> str:
    try:
        reply = LocalHost().http("GET", url, seconds=3)
    except HostFault as fault:
        return str(fault)
    if reply.status == 200:
        return ""
    try:
        said = json.loads(reply.body)["detail"]
    except (ValueError, LookupError, TypeError):
        said = f"status {reply.status}"
    return f"{url}: {said}"


def _broker(broker: EmbeddedBroker, state: Path) -> Child:
    log = state / "logs" / "broker.log"
    return Child("broker", broker.argv, {}, log, lambda: broker.complaint(LocalHost()))


def _coordinator(api: str, common: Mapping[str, str], state: Path) -> Child:
    # It has to come up without the broker too: that may be what is to be recovered.
    return Child(
        "coordinator",
        (sys.executable, "-m", "workers.coordinator"),
        common,
        state / "logs" / "coordinator.log",
        lambda: _answers(f"{api}/healthz"),
    )


def _beat(common: Mapping[str, str], state: Path) -> Child:
    argv, log = (sys.executable, "-m", "workers.beat"), state / "logs" / "beat.log"
    return Child("beat", argv, common, log, lambda: "")


def _agent(
    settings: Settings,
    control: str,
    common: Mapping[str, str],
    state: Path,
    notified: Notified,
) -> Child:
    keys = settings.keys.resolve()
    environment = {
        **common,
        "AUTOBOT_DR_MACHINE": control,
        # It starts the VMs of a whole wave side by side.
        "AUTOBOT_DR_CONCURRENCY": str(CONTROL_CONCURRENCY),
        "AUTOBOT_DR_STATE": str(state / "agent"),
        "AUTOBOT_DR_AGENT_KEY": str(keys / f"{control}.key"),
        "AUTOBOT_DR_COORDINATOR_PUB": str(keys / "coordinator.pub"),
        "NOTIFY_SOCKET": notified.address,
    }
    return Child(
        "agent",
        (sys.executable, "-m", "workers.agent"),
        environment,
        state / "logs" / "agent.log",
        lambda: "" if notified.ready() else "it does not take orders yet",
    )


def _flower(listen: tuple[str, int], common: Mapping[str, str], state: Path) -> Child:
    password = state / "flower" / "password"
    if not password.exists():
        LocalHost().write(str(password), f"{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
    configuration = SHIPPED / "flower" / "flowerconfig.py"
    environment = {
        **common,
        "FLOWER_ADDRESS": listen[0],
        "FLOWER_PORT": str(listen[1]),
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password.read_text().strip()}",
        "FLOWER_DB": str(state / "flower" / "tasks.db"),
    }
    return Child(
        "Flower",
        (sys.executable, "-m", "celery", "-A", "workers.app", "flower", f"--conf={configuration}"),
        environment,
        state / "logs" / "flower.log",
        lambda: _answers(f"{_local_url(*listen)}/healthcheck"),
    )
