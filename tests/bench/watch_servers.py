"""A process of health pages for the benchmarks of the watcher: `watch_servers COUNT`.

What lives here: a server that costs as little as one can, at COUNT ports; it prints them as its
first line. What must not: measuring; it runs on another core than the watcher.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

BODY = b'{"status": "healthy", "version": "1.0.0", "uptime_seconds": 86400}'
PAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)
)


class Page(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, _data: bytes) -> None:
        self._transport.write(PAGE)
        self._transport.close()


async def serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(Page, "127.0.0.1", 0, backlog=4096, start_serving=False)
        for _ in range(count)
    ]
    for server in servers:
        await server.start_serving()
    print(json.dumps([each.sockets[0].getsockname()[1] for each in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
