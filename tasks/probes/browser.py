"""browser: a real page, loaded and rendered by a real browser on the machine."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.asking import Probe
from tasks.contract import Json, Kind
from tasks.host import Host, NotAsked, Ran

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root otherwise; it loads only the page given here
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    # The page given here and nothing else: it otherwise looks up its maker's hosts.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages that scripts build get this much of their own time to do so.
    "--virtual-time-budget=5000",
)
NO_BROWSER = "none"


@dataclass(frozen=True, slots=True)
class Arguments:
    page: str
    title: str = ""
    contains: str = ""
    browser: str = ""  #: its path where it is not a package's; Playwright keeps its own
    seconds: float = 30.0


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    made = host.run(("mktemp", "--directory", "--tmpdir", "page.XXXXXXXX"), seconds=5)
    if not made.ok:
        raise NotAsked(f"no folder for the browser's profile: {made.complaint}")
    profile = made.out.strip()
    try:
        browser, ran = _load(host, wanted, profile)
    finally:
        host.run(("rm", "-r", "-f", "--", profile), seconds=10)
    if ran is None:
        return {"browser": NO_BROWSER}
    title = re.search(r"<title[^>]*>(.*?)</title>", ran.out, re.DOTALL | re.IGNORECASE)
    return {
        "browser": browser,
        "title": html.unescape(title[1]).strip() if title else "",
        "contains": wanted.contains in html.unescape(ran.out),
        "error": _error(ran),
    }


def _load(host: Host, wanted: Arguments, profile: str) -> tuple[str, Ran | None]:
    for browser in (wanted.browser,) if wanted.browser else BROWSERS:
        ran = host.run(
            (browser, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", wanted.page),
            seconds=wanted.seconds,
        )
        if ran.exit_code != 127:
            return browser, ran
    return NO_BROWSER, None


def _error(ran: Ran) -> str:
    if not ran.ok:
        return ran.complaint
    if not ran.out.strip():
        return "the browser shows nothing"
    # A page that cannot be loaded is replaced by one of the browser's own, with exit code 0.
    if 'id="main-frame-error"' in ran.out:
        # The page mentions other codes too, in the scripts for what it might have been.
        code = re.search(r'"errorCode":"(ERR_[A-Z_]+)"', ran.out)
        return f"the page cannot be loaded ({code[1] if code else 'no code given'})"
    return ""


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    if answer["browser"] == NO_BROWSER:
        return ("no browser is installed on this machine",)
    if answer["error"]:
        return (f"{wanted.page}: {answer['error']}",)
    complaints = []
    if wanted.title and wanted.title not in answer["title"]:
        complaints.append(f"{wanted.page} has the title {answer['title']!r}, not {wanted.title!r}")
    if wanted.contains and not answer["contains"]:
        complaints.append(f"{wanted.page} does not contain {wanted.contains!r}")
    return tuple(complaints)


def sort(_wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    return Kind.UNKNOWN if answer["browser"] == NO_BROWSER else None


browser = Probe("browser", "A page shows in a real browser", Arguments, ask, judge, sort)
