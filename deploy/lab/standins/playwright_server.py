"""Stands in for AutoBot's browser service: its health answer, and a page for a real browser.

Like the real one it says "healthy" even when no browser is connected; only
`browser_connected` tells. Settings: LISTEN, PORT, BROWSER (the program looked for).
"""

from __future__ import annotations

import shutil

from .serve import Server, as_json, ready, setting, timestamp

PAGE = (
    b"<!doctype html><html><head><title>AutoBot browser check</title></head>"
    b"<body><h1 id=check>loading</h1>"
    b"<script>document.getElementById('check').textContent = 6 * 7</script></body></html>"
)


def answer(path: str) -> tuple[int, str, bytes] | None:
    if path == "/":
        return 200, "text/html; charset=utf-8", PAGE
    if path == "/health":
        connected = shutil.which(setting("BROWSER", "chromium")) is not None
        return as_json(
            {"status": "healthy", "timestamp": timestamp(), "browser_connected": connected}
        )
    return None


if __name__ == "__main__":
    server = Server("3000", answer)
    ready()
    server.serve_forever()
