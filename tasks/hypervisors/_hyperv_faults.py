"""What goes wrong with a Hyper-V host, as a HypervisorFault that says whether retrying helps.

What lives here: reading PowerShell's error records and the exceptions of pypsrp and of what is
under it. What must not: any decision to ask again.
"""

from __future__ import annotations

from typing import Any

from tasks.hypervisors import HypervisorFault
from tasks.hypervisors._hyperv_kerberos import NotLetIn, kerberos_fault
from tasks.hypervisors._hyperv_settings import Settings

NO_SUCH_SHELL = 2150858843
ACCESS_DENIED = 5
#: PowerShell's error categories that pass by themselves: a deadlock, a timeout, a resource that
#: is busy or not there at the moment.
PASSING = (4, 15, 19, 21)
#: And Hyper-V's: the machine is just now on its way to another state.
PASSING_IDENTITY = "InvalidState"


class SaidNo(HypervisorFault):
    """A cmdlet failed. `identity` is the first part of its FullyQualifiedErrorId."""

    def __init__(self, sentence: str, identity: str, *, retry: bool) -> None:
        super().__init__(sentence, retry=retry)
        self.identity = identity


class Late(HypervisorFault):
    """The deadline has passed; asking again may help."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, retry=True)


class ShellGone(HypervisorFault):
    """The host did not know our pool when the commands came, so none of them was begun."""


def said_no(errors: list[Any], settings: Settings) -> SaidNo:
    """From the error stream of a pipeline. The text is in the host's language; the identity not."""
    if not errors:
        sentence = f"{settings.place}: the commands failed, and no error was given"
        return SaidNo(sentence, "", retry=False)
    identity = str(errors[0].fq_error or "").partition(",")[0]
    text = " ".join(str(errors[0]).split()) or identity
    passing = errors[0].category in PASSING or identity == PASSING_IDENTITY
    return SaidNo(f"{settings.place}: {text}", identity, retry=passing)


def told(error: Exception, settings: Settings) -> HypervisorFault:
    """pypsrp's exceptions come in families that share no parent; each to what helps."""
    if isinstance(error, HypervisorFault):
        return error
    from pypsrp import exceptions as winrm
    from requests import exceptions as web

    place, said = settings.place, " ".join(str(error).split())
    match error:
        case winrm.AuthenticationError():
            return _not_let_in(said, settings)
        case winrm.WSManFaultError() if error.code == NO_SUCH_SHELL:
            return HypervisorFault(f"{place} was restarted in the middle of this", retry=True)
        case winrm.WSManFaultError():
            reason = error.reason or said
            return HypervisorFault(f"{place}: {reason}", retry=error.code != ACCESS_DENIED)
        case winrm.WinRMTransportError():
            passing = error.code >= 500
            return HypervisorFault(f"{place} answered with HTTP {error.code}", retry=passing)
        case winrm.WinRMError():
            return HypervisorFault(f"{place}: {said}", retry=True)
        case web.SSLError():
            return HypervisorFault(f"{place}: its certificate is not accepted: {said}", retry=False)
        case web.Timeout():
            return Late(f"{place} did not answer in time")
        case web.ConnectionError():
            return HypervisorFault(f"{place} cannot be reached: {said}", retry=True)
    # What is left is in what we asked for: no ticket, no such file, no such name.
    strange = HypervisorFault(f"{place}: {type(error).__name__}: {said}", retry=False)
    return kerberos_fault(error, settings) or strange


def _not_let_in(said: str, settings: Settings) -> HypervisorFault:
    """Nothing but a 401 is an answer to what was shown; the domain has seen a ticket's password."""
    if not said.startswith("Failed to authenticate"):
        return HypervisorFault(f"{settings.place}: {said}", retry=False)
    refused = f"{settings.place} refused {settings.user or 'this process'} with {settings.auth}"
    if settings.auth != "kerberos":
        return NotLetIn(refused, wrong_password=True)
    return NotLetIn(f"{refused}, whose ticket is good; look at its clock and at who may connect")
