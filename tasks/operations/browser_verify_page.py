"""browser.verify_page: a real page shows in a real browser, where one is installed."""

from __future__ import annotations

from tasks.operation import Act, Leave
from tasks.probes.browser import NO_BROWSER, Arguments, browser
from tasks.verifying import Asked, verify


def decide(wanted: Arguments, seen: Asked) -> Act | Leave:
    if seen.answer.get("browser") == NO_BROWSER:
        return Leave(f"no browser is installed on this machine: {wanted.page} was not looked at")
    return Act()


verify_page = verify(
    "browser.verify_page",
    "Show a page in a real browser",
    browser,
    lambda wanted, answer: f"{wanted.page} shows in {answer['browser']}: {answer['title']!r}",
    seconds=120,
    decide=decide,
)
