"""Kerberos at a Hyper-V host: a real KDC, the real driver, and each way in which it goes wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.hypervisors import Power, connect
from tasks.hypervisors._hyperv_pool import SHELF
from tests.contracts.hypervisors import VM, fault_of, order_starts, settings_file, wait_until
from tests.hyperv.certificates import Authority
from tests.hyperv.domain import HOST, USER, Domain, running_domain
from tests.hyperv.server import PASSWORD, HyperV, ntlm_users, running_hyperv
from tests.integration.rig import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    with running_domain(tmp_path_factory.mktemp("domain")) as domain:
        yield domain


@pytest.fixture(autouse=True)
def domain(server: Domain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    """This process belongs to it, and has no ticket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    (server.folder / "tickets").unlink(missing_ok=True)


@pytest.fixture
def clear() -> Iterator[HyperV]:
    """A host without TLS, where messages have to be encrypted."""
    with running_hyperv(VM) as server:
        yield server
        assert not server.in_clear, "something was said in the clear"
        SHELF.clear()
        wait_until(lambda: not server.wsman.shells)


@pytest.fixture
def way(authority: Authority) -> dict[str, object]:
    """Kerberos by user and password over TLS, by the name that the domain has."""
    return {"host": HOST, "auth": "kerberos", "user": USER, "ca_file": authority.file}


TICKET = {"user": "", "password_file": ""}
SEALED = {"ssl": "no", "ca_file": ""}


@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
@pytest.mark.parametrize("by", ["password", "ticket"])
@pytest.mark.parametrize("over", ["TLS", "encrypted messages"])
def test_a_host_lets_us_in_by_kerberos(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    domain: Domain,
    way: dict[str, object],
    auth: str,
    by: str,
    over: str,
) -> None:
    host: HyperV = request.getfixturevalue("host" if over == "TLS" else "clear")
    if by == "ticket":
        domain.kinit()
    way |= {"auth": auth} | (TICKET if by == "ticket" else {}) | (SEALED if over != "TLS" else {})
    asked = connect("hyperv", settings_file(tmp_path, host, **way), LocalHost())
    asked.start(VM)
    assert asked.state(VM) is Power.RUNNING
    assert set(host.let_in) == {"kerberos"}
    assert False not in host.attempts


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_ntlm_encrypts_messages_too(tmp_path: Path, clear: HyperV, auth: str) -> None:
    at = settings_file(tmp_path, clear, ssl="no", auth=auth)
    with ntlm_users(tmp_path):
        assert connect("hyperv", at, LocalHost()).state(VM) is Power.OFF
    assert set(clear.let_in) == {"ntlm"}


@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
def test_a_wrong_password_is_shown_to_the_domain_exactly_once(
    tmp_path: Path, host: HyperV, domain: Domain, way: dict[str, object], auth: str
) -> None:
    at, before = settings_file(tmp_path, host, **(way | {"auth": auth})), domain.refused()
    (tmp_path / "password").write_text("wrong\n")
    order_starts(at, 6)
    fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "not tried again", retry=False)
    assert (domain.refused() - before, host.attempts) == (1, [])
    (tmp_path / "password").write_text(PASSWORD)
    assert connect("hyperv", at, LocalHost()).state(VM) is Power.OFF


def test_a_wrong_password_in_a_sentence(
    tmp_path: Path, host: HyperV, way: dict[str, object]
) -> None:
    at = settings_file(tmp_path, host, **way)
    (tmp_path / "password").write_text("wrong\n")
    asked = connect("hyperv", at, LocalHost())
    fault_of(lambda: asked.state(VM), f"refused the password of {USER}$", retry=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": "dz@LAB.EXAMPLE"}, "'dz@LAB.EXAMPLE' not found .*; correct user"),
        ({"user": "dr@lab.example"}, "realms are in capitals"),
        ({"host": "127.0.0.1"}, "host/127.0.0.1@.* not found .*; take the host's full name"),
        (TICKET, r"No Kerberos credentials available .*\(kinit\)"),
    ],
)
def test_what_a_person_has_to_correct(
    tmp_path: Path, host: HyperV, way: dict[str, object], changes: dict[str, object], said: str
) -> None:
    asked = connect("hyperv", settings_file(tmp_path, host, **(way | changes)), LocalHost())
    fault_of(lambda: asked.state(VM), said, retry="capitals" in said)
    assert host.attempts == []


def test_a_ticket_that_has_expired_and_is_renewed(
    tmp_path: Path, host: HyperV, domain: Domain, way: dict[str, object]
) -> None:
    domain.kinit(life="1s")
    time.sleep(2.1)
    for user in ("", USER):
        at = settings_file(tmp_path, host, **(way | TICKET | {"user": user}))
        asked = connect("hyperv", at, LocalHost())
        fault_of(lambda: asked.state(VM), r"expired; .*\(kinit\)", retry=False)  # noqa: B023
    domain.kinit()
    assert asked.state(VM) is Power.OFF


@pytest.mark.parametrize("silent", [False, True])
def test_a_domain_that_is_down_and_its_host_is_not(
    tmp_path: Path,
    host: HyperV,
    domain: Domain,
    way: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    silent: bool,
) -> None:
    """Where the domain's controller is one of the machines that are to be started."""
    with socket.socket(type=socket.SOCK_DGRAM) as nobody:
        port = free_port()
        if silent:
            nobody.bind(("127.0.0.1", port))
        monkeypatch.setenv("KRB5_CONFIG", domain.configured(port))
        way |= {"connect_seconds": 0.5}
        alone = connect("hyperv", settings_file(tmp_path, host, **way), LocalHost())
        said = "no server of the domain answered" if silent else "Cannot contact any KDC"
        fault_of(lambda: alone.state(VM), said, retry=True)
        either = settings_file(tmp_path, host, **(way | {"auth": "negotiate"}))
        with ntlm_users(tmp_path, USER):
            assert connect("hyperv", either, LocalHost()).state(VM) is Power.OFF
    assert host.let_in == ["ntlm"]


def test_when_neither_way_is_open_both_reasons_are_told(
    tmp_path: Path, host: HyperV, domain: Domain, way: dict[str, object]
) -> None:
    at = settings_file(tmp_path, host, **(way | {"auth": "negotiate", "user": "dz@LAB.EXAMPLE"}))
    before = domain.refused()
    with ntlm_users(tmp_path):
        asked = connect("hyperv", at, LocalHost())
        told = "refused dz@LAB.EXAMPLE with ntlm; before that, .* Kerberos: .* not found"
        fault_of(lambda: asked.state(VM), told, retry=False)
        fault_of(lambda: asked.state(VM), "not tried again", retry=False)
    assert (host.attempts, domain.refused()) == ([False], before)


def test_a_ticket_that_the_host_does_not_take_is_no_wrong_password(
    tmp_path: Path, host: HyperV, way: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = settings_file(tmp_path, host, **way)
    asked = connect("hyperv", at, LocalHost())
    with monkeypatch.context() as changed:
        changed.setenv("KRB5_KTNAME", f"FILE:{tmp_path}/no-keytab")
        told = f"refused {USER} with kerberos, whose ticket is good"
        fault_of(lambda: asked.state(VM), told, retry=False)
        fault_of(lambda: asked.state(VM), told, retry=False)
    assert asked.state(VM) is Power.OFF


def test_a_clock_that_is_an_hour_behind_its_domain(
    tmp_path: Path,
    host: HyperV,
    domain: Domain,
    way: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    with domain.server(port, clock="+1h"):
        monkeypatch.setenv("KRB5_CONFIG", domain.configured(port))
        by_password = connect("hyperv", settings_file(tmp_path, host, **way), LocalHost())
        fault_of(lambda: by_password.state(VM), "look at its clock", retry=False)
        domain.kinit()
        monkeypatch.setenv("KRB5_CONFIG", domain.configured(domain.port))
        by_ticket = connect("hyperv", settings_file(tmp_path, host, **(way | TICKET)), LocalHost())
        fault_of(lambda: by_ticket.state(VM), "not yet valid; the clocks", retry=False)


def test_a_host_that_offers_neither_kerberos_nor_ntlm(
    tmp_path: Path, host: HyperV, way: dict[str, object]
) -> None:
    host.offers = ('Basic realm="WSMAN"',)
    asked = connect("hyperv", settings_file(tmp_path, host, **way), LocalHost())
    for _ in range(2):
        fault_of(lambda: asked.state(VM), "actual: 'Basic realm", retry=False)
