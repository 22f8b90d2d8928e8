"""http.check: a page or an API answers as expected, asked from this machine."""

from __future__ import annotations

from tasks.probes.http import http
from tasks.verifying import verify

check = verify(
    "http.check",
    "Wait until a page or an API answers as expected",
    http,
    lambda wanted, answer: f"{wanted.url} answers {answer['status']} as expected",
    seconds=60,
)
