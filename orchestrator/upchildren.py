"""The processes that `autobot-dr up` keeps: what each is told, and how it shows that it is ready.

What lives here: that, one function for each. What must not: which of them run here, and what
people are told (up.py), and keeping them alive (supervisor.py). Secrets reach them through files
and their environment, never through arguments.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.fleet import Fleet
from orchestrator.embedded_broker import EmbeddedBroker
from orchestrator.settings import Settings, local_url
from orchestrator.setup import SHIPPED
from orchestrator.supervisor import Child, Notified
from tasks.host import HostFault, LocalHost

FLOWER_USER = "autobot"
CONTROL_CONCURRENCY = 8


def answers(url: str) -> str:
    """What is wrong with what listens there; nothing when all is well."""
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


def broker(broker: EmbeddedBroker, state: Path) -> Child:
    log = state / "logs" / "broker.log"
    return Child("broker", broker.argv, {}, log, lambda: broker.complaint(LocalHost()))


def coordinator(api: str, common: Mapping[str, str], state: Path) -> Child:
    # It has to come up without the broker too: that may be what is to be recovered.
    return Child(
        "coordinator",
        (sys.executable, "-m", "workers.coordinator"),
        common,
        state / "logs" / "coordinator.log",
        lambda: answers(f"{api}/healthz"),
    )


def beat(common: Mapping[str, str], state: Path) -> Child:
    argv, log = (sys.executable, "-m", "workers.beat"), state / "logs" / "beat.log"
    return Child("beat", argv, common, log, lambda: "")


def agent(
    settings: Settings,
    fleet: Fleet,
    common: Mapping[str, str],
    state: Path,
    notified: Notified,
) -> Child:
    keys, control = settings.keys.resolve(), fleet.control
    drivers = {str(each.settings.get("hypervisor", "")) for each in fleet.machines.values()}
    environment = {
        **common,
        "AUTOBOT_DR_MACHINE": control,
        # It starts the VMs of a whole wave side by side.
        "AUTOBOT_DR_CONCURRENCY": str(CONTROL_CONCURRENCY),
        "AUTOBOT_DR_HYPERVISORS": ",".join(sorted(drivers - {""})),
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


def flower(listen: tuple[str, int], common: Mapping[str, str], state: Path) -> Child:
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
        lambda: answers(f"{local_url(*listen)}/healthcheck"),
    )
