"""An agent is ready, as its machine's systemd understands it, whatever becomes of its broker."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backup.proxy import Proxy
from tests.integration import rig
from tests.integration.site import Site


@pytest.mark.parametrize("connections", range(4))
def test_the_boot_of_a_machine_does_not_wait_for_a_broker_that_dies_meanwhile(
    tmp_path: Path, connections: int
) -> None:
    """Dead at each connection that an agent makes as it starts, so at each place in between."""
    with ExitStack() as stack:
        site = Site(stack.enter_context(rig.broker("valkey", tmp_path)), tmp_path, stack)
        link = Proxy(site.broker.port)
        stack.callback(link.close)
        link.at_most = connections
        told = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        agent = site.start_agent(
            "one",
            AUTOBOT_DR_BROKER_URL=f"redis://127.0.0.1:{link.port}/0",
            NOTIFY_SOCKET=str(tmp_path / "notify"),
        )
        assert told.recv(100) == b"READY=1"
        assert agent.child.poll() is None
