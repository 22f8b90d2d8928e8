"""A machine reached over SSH: what recovery stands on when the machine's agent is dead.

What lives here: the Host port over one SSH connection. What must not: making the connection
(ssh_way.py), where keys and addresses come from, and any knowledge of services. The machine's
own shell gets every word quoted; files are read and written by commands, so that sudo reaches
them too.
"""

from __future__ import annotations

import contextlib
import select
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import paramiko

from tasks.exchange import http_exchange, tcp_exchange
from tasks.host import OUTPUT_LIMIT, HostFault, HttpReply, Ran
from tasks.pipes import GoesOn, Lines, OnLine, always
from tasks.ssh_talk import Talk
from tasks.ssh_way import CONNECT_SECONDS, Login, Way
from tasks.trust import SYSTEM_CAS, Trust

#: What the way to the machine adds to a deadline.
WAY_SECONDS = 5.0

# Replaces the file in one step, as the port promises. Its place and mode are arguments.
_WRITE = """\
set -e
new=$(mktemp -- "$(dirname -- "$1")/.new.XXXXXXXX")
trap 'rm -f -- "$new"' EXIT
cat > "$new"
chmod -- "$2" "$new"
sync -- "$new"
mv -f -T -- "$new" "$1"
"""


class SshHost:
    """One machine over SSH, connected at the first question and again after a fault."""

    def __init__(
        self,
        address: str,
        *,
        user: str,
        key_file: str,
        known_hosts: str,
        port: int = 22,
        sudo: bool = False,
        jump: Login | None = None,
    ) -> None:
        self._name = f"{user}@{address}:{port}"
        self._sudo = sudo
        self._way = Way(Login(address, user, key_file, port), known_hosts, jump)

    def close(self) -> None:
        self._way.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        stdin: bytes = b"",
        user: str = "",
        on_line: OnLine | None = None,
        goes_on: GoesOn = always,  # noqa: ARG002 SSH has no way to end one command and keep the rest
    ) -> Ran:
        begun = time.monotonic()
        channel = self._channel("session", None, CONNECT_SECONDS)
        with contextlib.closing(channel):
            channel.exec_command(shlex.join(self._command(argv, seconds, user)))
            _give(channel, stdin, seconds)
            lines = Lines(on_line or (lambda _: None))
            out, err = self._hear(channel, begun + seconds + WAY_SECONDS, lines)
            code = channel.recv_exit_status()
        if code < 0:
            raise HostFault(f"{self._name} went away while {argv[0]} ran")
        if err.startswith("sudo: ") and self._sudo:
            raise HostFault(f"{self._name} does not allow sudo: {_about_sudo(err)}")
        # `timeout` ends with 137 too when something else killed the command before its time.
        if code == 137 and time.monotonic() - begun >= seconds:
            return Ran(None, out, err)
        return Ran(code, out, err.removeprefix("timeout: "))

    @contextlib.contextmanager
    def talk(self, argv: Sequence[str], *, seconds: float, user: str = "") -> Iterator[Talk]:
        """A command to be asked line by line. It ends with the block, or after `seconds`."""
        channel = self._channel("session", None, CONNECT_SECONDS)
        with contextlib.closing(channel):
            channel.exec_command(shlex.join(self._command(argv, seconds, user)))
            yield Talk(channel, f"{argv[0]} at {self._name}")

    def _command(self, argv: Sequence[str], seconds: float, user: str) -> list[str]:
        become = ["sudo", "-n", "-H", "-u", user, "--"] if user else ["sudo", "-n", "--"]
        return [
            *(become if user or self._sudo else ()),
            # Stays beside the command, so that one that is killed still has an exit code: SSH
            # has another message for it, without a code.
            "sh",
            "-c",
            '"$@"; exit $?',
            "sh",
            "env",
            "LC_ALL=C.UTF-8",
            "SYSTEMD_PAGER=",
            # The machine itself keeps the deadline, so that the command ends when we are gone;
            # it ends the command's whole process group, as the local host does.
            "timeout",
            "--signal=KILL",
            f"{max(seconds, 0.01):.3f}",
            *argv,
        ]

    def _hear(self, channel: paramiko.Channel, ends: float, lines: Lines) -> tuple[str, str]:
        """Everything it says until it ends; both streams at once, or a full one would block."""
        out, err = bytearray(), bytearray()
        while not (channel.exit_status_ready() and channel.eof_received):
            left = ends - time.monotonic()
            if left <= 0:
                self.close()
                raise HostFault(f"{self._name} did not answer in time")
            # Its end wakes nobody when the output was closed before, hence the short turns.
            select.select([channel], [], [], min(left, 0.05))
            _drain(channel, out, err, lines)
        _drain(channel, out, err, lines)
        lines.close()
        return out.decode(errors="replace"), err.decode(errors="replace")

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        ran = self.run(("tail", "-c", str(last), "--", path), seconds=30)
        if ran.ok:
            return ran.out
        if "No such file or directory" in ran.err or "No such process" in ran.err:
            return None
        raise HostFault(f"{path} could not be read: {ran.complaint}")

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        ran = self.run(("sh", "-c", _WRITE, "sh", path, f"{mode:o}"), seconds=60, stdin=content)
        if not ran.ok:
            raise HostFault(f"{path} could not be written: {ran.complaint}")

    def http(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        body: bytes = b"",
        on_line: Callable[[bytes], None] | None = None,
        trust: Trust = SYSTEM_CAS,
    ) -> HttpReply:
        return http_exchange(
            self._dial, method, url, seconds=seconds, body=body, on_line=on_line, trust=trust
        )

    def tcp(
        self,
        address: str,
        port: int,
        *,
        seconds: float,
        send: bytes = b"",
        complete: Callable[[bytes], bool] = lambda _: True,
        trust: Trust | None = None,
    ) -> bytes:
        return tcp_exchange(
            self._dial, address, port, seconds=seconds, send=send, complete=complete, trust=trust
        )

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _dial(self, address: str, port: int, seconds: float) -> socket.socket:
        """A socket whose other end is a connection made by the machine."""
        channel = self._channel("direct-tcpip", (address, port), seconds)
        near, far = socket.socketpair()
        near.settimeout(max(seconds, 0.001))
        threading.Thread(target=_pump, args=(channel, far), daemon=True).start()
        return near

    def _channel(
        self, kind: str, address: tuple[str, int] | None, seconds: float
    ) -> paramiko.Channel:
        try:
            source = ("127.0.0.1", 0) if address else None
            transport = self._way.transport()
            return transport.open_channel(kind, address, source, timeout=max(seconds, 0.001))
        except paramiko.ChannelException as error:
            # The way is fine; the machine could not make the connection that was asked for.
            raise HostFault(f"{_place(address)} from {self._name}: {error.text}") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise HostFault(f"{self._name} cannot be reached: {error}") from error


def _place(address: tuple[str, int] | None) -> str:
    return f"{address[0]}:{address[1]}" if address else "a session"


def _about_sudo(said: str) -> str:
    if "password is required" in said or "terminal is required" in said:
        return "sudo asks for a password; give this user NOPASSWD in the sudoers file"
    return said.strip()


def _give(channel: paramiko.Channel, stdin: bytes, seconds: float) -> None:
    channel.settimeout(seconds + WAY_SECONDS)
    # A command that ends without reading its input closes the channel under it, as a pipe
    # would break; its exit code says the rest.
    with contextlib.suppress(OSError):
        channel.sendall(stdin)
        channel.shutdown_write()


def _drain(channel: paramiko.Channel, out: bytearray, err: bytearray, lines: Lines) -> None:
    while channel.recv_ready():
        data = channel.recv(65536)
        lines.feed(data)
        out += data
        del out[:-OUTPUT_LIMIT]
    while channel.recv_stderr_ready():
        err += channel.recv_stderr(65536)
        del err[:-OUTPUT_LIMIT]


def _pump(channel: paramiko.Channel, far: socket.socket) -> None:
    """Carry bytes both ways until either side closes; real sockets serve TLS and timeouts alike."""
    with contextlib.closing(channel), far, contextlib.suppress(OSError):
        ends: list[paramiko.Channel | socket.socket] = [channel, far]
        while True:
            ready = select.select(ends, [], [])[0]
            if channel in ready:
                data = channel.recv(65536)
                if not data:
                    return
                far.sendall(data)
            if far in ready:
                data = far.recv(65536)
                if not data:
                    return
                channel.sendall(data)
