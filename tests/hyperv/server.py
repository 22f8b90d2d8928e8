"""The HTTP side of the tests' Hyper-V host: TLS, who may ask, and a host that says nothing.

What lives here: Basic, NTLM and Kerberos, counted; messages that are encrypted without TLS; and
starting and ending the server. What must not: what is answered to those who may (wsman.py).
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import spnego
from pypsrp.encryption import WinRMEncryption

from tests.hyperv.cmdlets import Behaviour, Cmdlets
from tests.hyperv.machines import Machine
from tests.hyperv.wsman import WSMan

USER, PASSWORD = "LAB\\dr", "correct horse"
OFFERS = ("Negotiate", "NTLM", 'Basic realm="WSMAN"')
SOAP, BOUNDARY = "application/soap+xml;charset=UTF-8", "Encrypted Boundary"


@dataclass
class HyperV:
    """A running host: its machines, how it behaves, and what it has seen."""

    machines: list[Machine]
    behaviour: Behaviour
    wsman: WSMan
    password: str = PASSWORD
    silent: bool = False  #: it accepts connections and says nothing
    trickles: bool = False  #: its answers come byte by byte, without an end
    not_there: bool = False  #: a web server, but no WinRM
    offers: tuple[str, ...] = OFFERS
    attempts: list[bool] = field(
        default_factory=list
    )  #: each try to be let in, and if it was right
    let_in: list[str] = field(
        default_factory=list
    )  #: by which protocol, if it was a negotiated one
    in_clear: int = 0  #: messages that only TLS protects, if that
    port: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def machine(self, name: str) -> Machine:
        return next(each for each in self.machines if each.name == name)

    @property
    def shares(self) -> dict[str, Path]:
        """What can be written to from this host, and the folder behind it."""
        return self.wsman.cmdlets.files.shares

    def asked(self, cmdlet: str) -> list[dict[str, Any]]:
        """The parameters of every call of this cmdlet."""
        return [given for _, name, given in self.wsman.asked if name == cmdlet]


class Handler(BaseHTTPRequestHandler):
    """One connection. NTLM and Kerberos authenticate the connection, Basic each request."""

    protocol_version = "HTTP/1.1"
    host: HyperV
    ntlm_users: Path
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one segment

    def setup(self) -> None:
        super().setup()
        self.context: Any = None
        self.proof = ""
        self.trusted = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.host.silent:
            self.host.closing.wait()
            self.close_connection = True
        elif self.host.trickles:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.host.closing.wait(0.1):
                self.wfile.write(b".")
                self.wfile.flush()
        elif self.host.not_there:
            self._reply(404, b"no such page", "text/plain")
        elif self._may_ask():
            self._answer(body)

    def log_message(self, *_: Any) -> None:
        """What a test wants to know is in `asked` and `attempts`."""

    def _answer(self, body: bytes) -> None:
        if not body:
            # Who is going to encrypt shows first who he is.
            self._reply(200, b"")
        elif self.headers["Content-Type"].startswith("multipart/encrypted"):
            sealing = WinRMEncryption(self.context, WinRMEncryption.SPNEGO)
            status, answer = self.host.wsman.answer(sealing.unwrap_message(body, BOUNDARY))
            kind, sealed = sealing.wrap_message(answer)
            kind = f'{kind};protocol="{sealing.protocol}";boundary="{BOUNDARY}"'
            self._reply(status, sealed, kind)
        else:
            self.host.in_clear += 1
            self._reply(*self.host.wsman.answer(body))

    def _may_ask(self) -> bool:
        kind, _, shown = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(shown).decode().partition(":")
            return self._judge((user, password) == (USER, self.host.password))
        if kind in ("Negotiate", "NTLM"):
            return self._negotiate(kind, base64.b64decode(shown))
        if not self.trusted:
            self._refuse()
        return self.trusted

    def _negotiate(self, kind: str, token: bytes) -> bool:
        if self.context is None or self.context.complete:
            # pyspnego's own: Kerberos with a keytab and its library; it takes plain NTLM too.
            options = spnego.NegotiateOptions.use_negotiate
            self.context = spnego.server(protocol="negotiate", options=options)
        try:
            answer = self.context.step(token)
        except (spnego.exceptions.SpnegoError, AttributeError):
            # The latter for a ticket that GSSAPI answers with an error of its own.
            self.context = None
            return self._judge(False)
        told = f"{kind} {base64.b64encode(answer or b'').decode()}"
        if self.context.complete:
            self.proof = told if answer else ""
            self.host.let_in.append(self.context.negotiated_protocol)
            self.trusted = self._judge(True)
            return self.trusted
        self._refuse(told)
        return False

    def _judge(self, right: bool) -> bool:
        self.host.attempts.append(right)
        if not right:
            self._refuse()
        return right

    def _refuse(self, offer: str = "") -> None:
        self.send_response(401)
        for each in [offer] if offer else self.host.offers:
            self.send_header("WWW-Authenticate", each)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reply(self, status: int, body: bytes, kind: str = SOAP) -> None:
        self.send_response(status)
        if self.proof:
            self.send_header("WWW-Authenticate", self.proof)
            self.proof = ""
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here, and not at the accept, so that one client's handshake holds up nobody else.
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, in a handshake or later, is what many tests are about."""


@contextmanager
def running_hyperv(
    *names: str,
    tls: ssl.SSLContext | None = None,
    quota: int = 30,
    listener: socket.socket | None = None,
) -> Iterator[HyperV]:
    """A host with machines of these names, all off, until the block ends."""
    behaviour = Behaviour()
    machines = [Machine(each) for each in names]
    host = HyperV(machines, behaviour, WSMan(Cmdlets(machines, behaviour), quota))
    listener = listener or socket.create_server(("127.0.0.1", 0), backlog=50)
    handler = type("HostHandler", (Handler,), {"host": host})
    server = Server(listener.getsockname(), handler, bind_and_activate=False)
    server.socket.close()
    server.socket, server.tls = listener, tls
    host.port = listener.getsockname()[1]
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield host
    finally:
        host.closing.set()
        host.wsman.forget()
        server.shutdown()
        server.server_close()
        serving.join(5)


@contextmanager
def ntlm_users(folder: Path, *also: str) -> Iterator[None]:
    """pyspnego's own list of accounts, which its server side reads from the environment.

    `also` are those of the same password that are named as in name@REALM.
    """
    domain, _, user = USER.partition("\\")
    file = folder / "ntlm-users"
    accounts = [f"{domain}:{user}", *(f":{each}" for each in also)]
    file.write_text("".join(f"{each}:{PASSWORD}\n" for each in accounts))
    before = os.environ.get("NTLM_USER_FILE")
    os.environ["NTLM_USER_FILE"] = str(file)
    try:
        yield
    finally:
        with suppress(KeyError):
            del os.environ["NTLM_USER_FILE"]
        if before is not None:
            os.environ["NTLM_USER_FILE"] = before
