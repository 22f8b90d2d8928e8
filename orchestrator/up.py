"""`autobot-dr up`: broker, coordinator, beat, this machine's agent, captures, Flower as one.

What lives here: which processes run on this machine, and what people are told. What must not:
what each of them is told (upchildren.py), and keeping them alive (supervisor.py).

The agent and the captures are the control machine's, and there must be one of each. On another
machine with the same PostgreSQL all else is started, and stands by.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator import embedded_broker, upchildren
from orchestrator.commands.ending import Exit, Stop, faulty, tell
from orchestrator.config import Configuration, load
from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Fault
from orchestrator.embedded_broker import EmbeddedBroker
from orchestrator.notify.opening import calling_faults
from orchestrator.settings import Settings, address_and_port, local_url
from orchestrator.setup import load_keys
from orchestrator.supervisor import (
    Notified,
    NotReady,
    Supervisor,
    a_listener,
    end_leftovers,
)
from orchestrator.upcaptures import capture_children
from orchestrator.upchildren import FLOWER_USER
from orchestrator.web.access import read_tokens
from orchestrator.whereabouts import is_here
from tasks.host import HostFault, LocalHost


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
    standby: str  #: why the control machine's agent is not started here, if it is not

    def shape(self) -> dict[str, str]:
        return {
            "home": str(self.settings.home.resolve()),
            "api": local_url(self.settings.listen_address, self.settings.listen_port),
            "flower": self.flower_url,
            "broker": _without_password(self),
            "agent": "" if self.standby else self.control,
            "logs": str(self.state / "logs"),
        }

    def text(self) -> str:
        where, password = self.shape(), self.state / "flower" / "password"
        lines = [
            f"AutoBot DR is up on {where['home']}; Ctrl-C ends it",
            f"  API      {where['api']}/docs, token in {self.settings.token_file.resolve()}",
            f"  Flower   {where['flower']}, user {FLOWER_USER}, password in {password}",
            f"  broker   {where['broker']}",
            f"  agent    {self.standby or f'of {self.control}'}",
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
    state, fleet = settings.state.resolve(), configuration.fleet
    flower = address_and_port(settings.flower_listen)
    _demand_free("AUTOBOT_DR_LISTEN", settings.listen_address, settings.listen_port)
    _demand_free("AUTOBOT_DR_FLOWER_LISTEN", *flower)
    standby = _why_standby(settings, fleet)
    if settings.broker_url:
        broker, url = None, settings.broker_url.get_secret_value()
    else:
        broker = _prepare_broker(settings, state)
        url = broker.url
        supervisor.start(upchildren.broker(broker, state))
    common = {"AUTOBOT_DR_HOME": str(settings.home.resolve()), "AUTOBOT_DR_BROKER_URL": url}
    api = local_url(settings.listen_address, settings.listen_port)
    children = [
        upchildren.coordinator(api, common, state),
        upchildren.beat(common, state),
        upchildren.flower(flower, common, state),
    ]
    if not standby:
        children.insert(2, upchildren.agent(settings, fleet, common, state, notified))
        children += capture_children(configuration, state)
    supervisor.start(*children)
    if complaint := upchildren.answers(f"{api}/readyz"):
        tell(f"warning: {complaint}; until that is mended, orders go over SSH")
    return Site(settings, state, fleet.control, local_url(*flower), broker, standby)


def _why_standby(settings: Settings, fleet: Fleet) -> str:
    """Why another machine is the control machine of this fleet, if that is so.

    A store that is a file here has no other machine beside this one.
    """
    address = fleet.machines[fleet.control].address
    shared = settings.store_url.get_secret_value().startswith("postgres")
    if not shared or is_here(address):
        return ""
    if settings.broker_url is None:
        raise Stop(
            Exit.FAULT,
            f"the machine {fleet.control} has the address {address}, which is not this one's: "
            "what would run here is a second coordinator, and it needs the broker of the first; "
            "set AUTOBOT_DR_BROKER_URL",
        )
    return f"not here: {fleet.control} is the machine with the address {address}"


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
