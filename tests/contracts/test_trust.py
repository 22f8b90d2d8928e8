"""Whom a TLS connection trusts, against real servers: from a Host, and with asyncio.

A server notes what it was told, because a stranger must not even get the question.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.exchange import fault_of, tls_context
from tasks.host import Host, HostFault, LocalHost, NotAsked
from tasks.trust import SYSTEM_CAS, Trust, is_pin
from tests.contracts.certificates import Authority, Certificate, authority
from tests.contracts.sshd import running_sshd

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"


class Server:
    """Speaks TLS on loopback and answers everything with one page."""

    def __init__(self, certificate: Certificate) -> None:
        self.heard: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.file, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            with contextlib.suppress(OSError), self._context.wrap_socket(plain, True) as spoken:
                if heard := spoken.recv(65536):
                    self.heard.append(heard)
                    spoken.sendall(ANSWER)

    def close(self) -> None:
        # Closing alone leaves a thread in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def certificate(ours: Authority) -> Certificate:
    return ours.sign("server")


@contextlib.contextmanager
def serving(certificate: Certificate) -> Iterator[Server]:
    server = Server(certificate)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "local":
        yield LocalHost()
    else:
        with running_sshd(tmp_path) as sshd:
            over_ssh = sshd.connect()
            yield over_ssh
            over_ssh.close()


def test_trusted_by_its_authority_or_by_its_pin(
    host: Host, ours: Authority, certificate: Certificate
) -> None:
    for trust in (
        Trust(ours.ca.pem),
        Trust(pin_sha256=certificate.pin),
        Trust(pin_sha256=":".join([certificate.pin[:2].upper(), certificate.pin[2:]])),
        Trust(ours.ca.pem, certificate.pin),
    ):
        with serving(certificate) as server:
            assert host.http("GET", server.url, seconds=5, trust=trust).body == b"OK"
            received = host.tcp(
                "127.0.0.1", server.port, seconds=5, send=b"x", complete=bool, trust=trust
            )
            assert received == ANSWER


def test_a_stranger_is_a_fault_and_hears_nothing(
    host: Host, ours: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    other = authority(tmp_path, "other")
    for trust, said in (
        (SYSTEM_CAS, "unable to get local issuer certificate"),
        (Trust(other.ca.pem), "certificate signature failure|unable to get local issuer"),
        (Trust(pin_sha256=other.ca.pin), f"it is {certificate.pin}, and {other.ca.pin} is pinned"),
        (Trust(ours.ca.pem, other.ca.pin), "is pinned"),
        (Trust(other.ca.pem, certificate.pin), "unable to get local issuer|signature failure"),
    ):
        with serving(certificate) as server:
            with pytest.raises(HostFault, match=f"its certificate is not trusted: .*({said})"):
                host.http("GET", server.url, seconds=5, trust=trust)
            with pytest.raises(HostFault, match=f"its certificate is not trusted: .*({said})"):
                host.tcp("127.0.0.1", server.port, seconds=5, send=b"AUTH secret", trust=trust)
            assert server.heard == []


@pytest.mark.parametrize(
    ("days", "address", "said"),
    [(-1, "127.0.0.1", "has expired"), (1, "127.0.0.2", "IP address mismatch")],
)
def test_a_certificate_that_is_out_of_date_or_of_another_machine_is_a_fault(
    ours: Authority, days: int, address: str, said: str
) -> None:
    stale = ours.sign(f"stale{days}{address}", days=days, address=address)
    with serving(stale) as server, pytest.raises(HostFault, match=said):
        LocalHost().http("GET", server.url, seconds=5, trust=Trust(ours.ca.pem))


def test_a_ca_file_that_is_none_is_a_fault_of_the_asking_side(certificate: Certificate) -> None:
    with serving(certificate) as server, pytest.raises(NotAsked, match="no certificate in PEM"):
        LocalHost().http("GET", server.url, seconds=5, trust=Trust("nothing"))


def test_a_server_that_never_shakes_hands_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        with pytest.raises(HostFault, match="no complete answer in time"):
            LocalHost().tcp("127.0.0.1", port, seconds=0.3, trust=SYSTEM_CAS)


@pytest.mark.parametrize("pinned", [True, False])
def test_asyncio_trusts_the_same_ones(certificate: Certificate, pinned: bool) -> None:
    wanted = certificate.pin if pinned else hashlib.sha256(b"other").hexdigest()

    async def ask(port: int) -> bytes:
        context = tls_context(Trust(pin_sha256=wanted))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except (OSError, ValueError) as error:
            raise fault_of(f"127.0.0.1:{port}", error) from error
        writer.write(b"x")
        received = await reader.read()
        writer.close()
        return received

    with serving(certificate) as server:
        if pinned:
            assert asyncio.run(ask(server.port)) == ANSWER
        else:
            with pytest.raises(HostFault, match=f"not trusted: it is .* and {wanted} is pinned"):
                asyncio.run(ask(server.port))
            assert server.heard == []


def test_a_pin_is_64_digits() -> None:
    assert is_pin("AB:" * 31 + "ab")
    assert not is_pin("ab" * 31)
    assert not is_pin("xy" * 32)
