"""browser.verify_page: a real page shows in a real browser, where one is installed."""

from __future__ import annotations

import shlex

from tasks.operation import Act, Leave
from tasks.probes.browser import BROWSERS, FLAGS, NO_BROWSER, Arguments, browser
from tasks.verifying import Asked, verify


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    """Without the profile's folder, which is made when it is needed and removed again."""
    return (shlex.join([wanted.browser or BROWSERS[0], *FLAGS, "--dump-dom", wanted.page]),)


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
    in_plan=in_plan,
)
