"""Kerberos at a Hyper-V host: a ticket for it before it is asked, or why there is none.

What lives here: which ways `auth` means, getting the ticket within a time, and what the
library's numbers mean to a person. What must not: the connection (_hyperv_remote.py). pypsrp
would get the ticket itself, but its negotiation shows a wrong password to the domain and then to
the host, tells nobody why Kerberos was left, and waits half a minute for a domain that is silent.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable

from tasks.hypervisors import HypervisorFault
from tasks.hypervisors._hyperv_settings import Settings

MISSING = (
    "Kerberos needs Python's gssapi and krb5, which are not installed on this machine; with gcc, "
    "python3-dev and libkrb5-dev there, install them for its agent: pip install 'pypsrp[kerberos]'"
)
#: Where libkrb5's own numbers begin and end; GSSAPI hands them on as unsigned ones.
LOWEST, HIGHEST = -1765328384, -1765328129
#: Two words for one thing: with and without pre-authentication.
WRONG_PASSWORD = (-1765328360, -1765328353)
EXPIRED = -1765328352
#: GSSAPI's own words for it, without a number of libkrb5's: of the ticket, and of what it opened.
GSS_EXPIRED = (720896, 786432)
#: What a person can do, and whether asking again helps without that.
REMEDIES = {
    -1765328378: ("correct user in the settings, as in name@REALM", False),
    -1765328377: ("take the host's full name as the domain has it, and no address", False),
    -1765328366: ("the account is locked or disabled", False),
    EXPIRED: ("get a new ticket for the user that runs this (kinit), or set password_file", False),
    -1765328351: ("the clocks of this machine and of the domain differ", False),
    -1765328347: ("the clocks of this machine, of the host and of the domain differ", False),
    -1765328243: ("get a ticket for the user that runs this (kinit), or set password_file", False),
    -1765328236: ("the clocks of this machine and of the domain differ", False),
    -1765328230: ("krb5.conf does not name it, and neither does DNS; realms are in capitals", True),
    -1765328228: ("is the domain's controller down?", True),
    -1765328160: ("set default_realm in krb5.conf, or user as name@REALM", False),
}
DETAIL = re.compile(r".*Minor \(\d+\): (?P<said>.*?)(, Context: .*)?", re.DOTALL)


class NotLetIn(HypervisorFault):
    """One way in is closed. `wrong_password` says that somebody looked at it and found it wrong."""

    def __init__(self, sentence: str, *, retry: bool = False, wrong_password: bool = False) -> None:
        super().__init__(sentence, retry=retry)
        self.wrong_password = wrong_password


def ways(settings: Settings) -> tuple[str, ...]:
    """Negotiation, as we do it: Kerberos, and NTLM if that cannot be and there is a password."""
    if settings.auth != "negotiate":
        return (settings.auth,)
    if not settings.password:
        return ("kerberos",)
    # DOMAIN\name is no name to Kerberos.
    return ("ntlm",) if "\\" in settings.user else ("kerberos", "ntlm")


def get_ticket(settings: Settings, seconds: float, refused: Callable[[], None]) -> None:
    """In a thread that is left behind when time is up, since libkrb5 cannot be interrupted.

    It may still hear by then that the password is wrong; `refused` is told so.
    """
    ended: queue.SimpleQueue[HypervisorFault | None] = queue.SimpleQueue()

    def ask() -> None:
        fault = _ticket(settings)
        if fault is not None and fault.wrong_password:
            refused()
        ended.put(fault)

    threading.Thread(target=ask, daemon=True, name="hyperv-kerberos").start()
    try:
        fault = ended.get(timeout=seconds)
    except queue.Empty:
        told = f"{settings.place}: Kerberos: no server of the domain answered in {seconds:.1f} s"
        raise NotLetIn(told, retry=True) from None
    if fault is not None:
        raise fault


def kerberos_fault(error: Exception, settings: Settings) -> NotLetIn | None:
    """What libkrb5 says, through either of its bindings; None if it is not from there."""
    code = _code(error)
    if not LOWEST <= code <= HIGHEST:
        return None
    who = settings.user or "this process"
    if code in WRONG_PASSWORD:
        told = f"{settings.place}: Kerberos: the domain refused the password of {who}"
        return NotLetIn(told, wrong_password=True)
    said = DETAIL.fullmatch(str(error))
    text = said["said"] if said else str(error).removesuffix(f" {code}")
    remedy, retry = REMEDIES.get(code, ("", False))
    if code == EXPIRED:
        text = f"the ticket of {who} has expired"
        # A password gets a new one by itself.
        remedy, retry = ("", True) if settings.password else (remedy, retry)
    told = "; ".join(filter(None, (text, remedy)))
    return NotLetIn(f"{settings.place}: Kerberos: {told}", retry=retry)


def _ticket(settings: Settings) -> NotLetIn | None:
    import spnego

    try:
        # The ticket of this process goes into its cache, where pypsrp finds it; that of a
        # password is got again there, and can be.
        spnego.client(
            settings.user or None,
            settings.password or None,
            hostname=settings.host,
            protocol="kerberos",
        ).step()
    except ImportError:
        return NotLetIn(f"{settings.place}: {MISSING}")
    except Exception as error:  # noqa: BLE001 (handed on as a value)
        strange = f"{settings.place}: Kerberos: {type(error).__name__}: {error}"
        return kerberos_fault(error, settings) or NotLetIn(strange)
    return None


def _code(error: Exception) -> int:
    """libkrb5's number, 0 for none; an expired ticket has none where GSSAPI found it."""
    base = getattr(error, "base_error", None)
    if getattr(base, "maj_code", 0) in GSS_EXPIRED:
        return EXPIRED
    unsigned = int(getattr(base, "min_code", 0))
    return int(getattr(error, "err_code", 0)) or (unsigned - 2**32 if unsigned else 0)
