"""Stands in for AutoBot's web interface. `/health` is static, as the real nginx serves it."""

from __future__ import annotations

from .serve import Server, ready

PAGE = b"<!doctype html><html><head><title>AutoBot</title></head><body><div id=app></div></body>"


def answer(path: str) -> tuple[int, str, bytes] | None:
    if path in ("/", "/index.html"):
        return 200, "text/html; charset=utf-8", PAGE
    if path == "/health":
        return 200, "text/plain", b"OK"
    return None


if __name__ == "__main__":
    server = Server("5173", answer)
    ready()
    server.serve_forever()
