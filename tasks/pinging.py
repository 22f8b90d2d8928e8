"""A ping in the way of healthchecks.io: `/start`, the URL itself for success, `/fail`.

What lives here: the URL for each, and asking for it. What must not: when that is done. The URL is
a secret, so no fault names it.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from tasks.host import Host, HostFault

START, SUCCESS, FAIL = "start", "success", "fail"
PING_SECONDS = 10.0


def ping(host: Host, url: str, what: str, said: str = "") -> str:
    """What went wrong, or nothing."""
    body = said.encode()
    method = "POST" if body else "GET"
    try:
        reply = host.http(method, _url(url, what), seconds=PING_SECONDS, body=body)
    except HostFault as fault:
        return str(fault).rpartition(": ")[2]
    return "" if 200 <= reply.status < 300 else f"answered with {reply.status}"


def _url(url: str, what: str) -> str:
    parts = urlsplit(url)
    ending = "" if what == SUCCESS else f"/{what}"
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}{ending}"))
