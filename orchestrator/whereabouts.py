"""Whether this machine is the one that an address of the fleet file means.

What lives here: that question. What must not: what follows from the answer (up.py).
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

ANY_PORT = 9  #: nothing is sent to it


def is_here(address: str) -> bool:
    """Whether what is sent to this address or name would never leave this machine."""
    try:
        found = socket.getaddrinfo(address, ANY_PORT, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_is_ours(family, place) for family, _, _, _, place in found)


def _is_ours(family: int, place: Any) -> bool:
    if ip_address(place[0]).is_loopback:
        return True
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Not `bind`, which some machines let succeed with any address.
            probe.connect(place)
        except OSError:
            return False
        return bool(probe.getsockname()[0] == place[0])
