"""`virsh`, asked through a Host, and what its complaints mean.

What lives here: one call of virsh within a deadline, and reading its errors. What must not: what
the port promises (libvirt.py). virsh has no error codes, so its words are read, which the C
locale keeps as they are; a word that is not known is taken for one that asking again won't help.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tasks.host import Host, Ran
from tasks.hypervisors import HypervisorFault

#: Passes by itself: the machine is busy with another job, or the daemon is being restarted.
PASSING = (
    "state change lock",
    "another job",
    "is busy",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "End of file while reading",
    "client socket is closed",
    "Failed to connect socket",
    "unable to connect to server",
    "No route to host",
    "Network is unreachable",
    "keepalive",
    "Timed out during operation",
)
#: Does not, whatever stands beside it: ssh puts "Connection reset" behind each of its refusals.
LASTING = (
    "Permission denied",
    "Host key verification failed",
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Could not resolve hostname",
    "authentication",
    "ertificate",
    "Unable to find",
)
NO_SUCH_NAME = "failed to get domain"
LONGEST_PAUSE, FIRST_PAUSE = 1.0, 0.05


class SaidNo(HypervisorFault):
    """virsh was heard, and refused; `complaint` is all that it said."""

    def __init__(self, sentence: str, complaint: str, *, retry: bool) -> None:
        super().__init__(sentence, retry=retry)
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class Virsh:
    """libvirt at `at`, a connection URI, within one call's deadline: `ends` by the host's clock."""

    at: str
    host: Host
    seconds: float
    ends: float

    @property
    def place(self) -> str:
        # Without what follows the question mark: a key file or a socket is no place.
        return f"libvirt at {self.at.partition('?')[0]}"

    def left(self) -> float:
        return self.ends - self.host.now()

    def say(self, *words: str) -> str:
        """What virsh answers to these words; a HypervisorFault when that is no."""
        ran = self.run("virsh", "--quiet", "--connect", self.at, *words)
        if ran.ok:
            return ran.out
        complaint = "; ".join(
            line.removeprefix("error: ") for line in ran.err.splitlines() if line.strip()
        )
        complaint = complaint or f"{words[0]}: {ran.complaint}"
        raise SaidNo(f"{self.place}: {complaint}", complaint, retry=passes(complaint))

    def run(self, *argv: str) -> Ran:
        """Any command beside virsh, within the same deadline."""
        if self.left() <= 0:
            raise self.late(f"{argv[0]} was not asked, because the time was up")
        ran = self.host.run(argv, seconds=self.left())
        if ran.exit_code is None:
            raise self.late(f"{argv[0]} had not answered")
        if ran.exit_code == 127:
            package = "libvirt-clients" if argv[0] == "virsh" else "qemu-utils"
            raise self.fault(f"{argv[0]} is not installed here; install {package}")
        return ran

    def pause(self, seconds: float) -> bool:
        """False when there is no time left to wait so long."""
        if self.left() <= seconds:
            return False
        self.host.sleep(seconds)
        return True

    def late(self, complaint: str) -> HypervisorFault:
        return HypervisorFault(f"{self.place}: after {self.seconds:.0f} s, {complaint}", retry=True)

    def fault(self, complaint: str, *, retry: bool = False) -> HypervisorFault:
        return HypervisorFault(f"{self.place}: {complaint}", retry=retry)


def passes(complaint: str) -> bool:
    """Whether asking again may help."""
    if any(each in complaint for each in LASTING):
        return False
    return any(each in complaint for each in PASSING)


def reached_here(at: str) -> bool:
    """Whether the hypervisor is the machine that virsh itself runs on."""
    return not urlsplit(at).hostname
