"""The size of a request is bounded before anything reads it.

What lives here: one ASGI middleware. What must not: any knowledge of paths; no request of this
API is large.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.web.problems import Problem

BODY_LIMIT = 64 * 1024  #: bytes; the longest text in a form takes most of it, encoded


class BodyLimit:
    """Answers 413 to a body above the limit, whether it says its length or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT or _said_length(scope) > BODY_LIMIT:
                detail = f"the body is larger than {BODY_LIMIT // 1024} KB; send less"
                await Problem(413, "body-too-large", detail).answer()(scope, receive, send)
                return
        await self.app(scope, _again(body, receive), send)


def _said_length(scope: Scope) -> int:
    said: bytes = dict(scope["headers"]).get(b"content-length", b"0")
    return int(said) if said.isdigit() else 0


def _again(body: bytes, receive: Receive) -> Receive:
    """The body in one piece, then whatever comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message
