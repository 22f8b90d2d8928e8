"""How a Hyper-V host is reached: settings files and addresses, good and bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.fake import Exchange, FakeHost
from tasks.host import LocalHost
from tasks.hypervisors import HypervisorFault, connect
from tasks.hypervisors._hyperv_settings import Settings, read_settings

FILE = "/etc/autobot-dr/hyperv.ini"
SECRET = "/etc/autobot-dr/hyperv.password"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("USER", "PASSWORD", "PASSWORD_FILE"):
        monkeypatch.delenv(f"AUTOBOT_DR_HYPERV_{each}", raising=False)


def read(text: str, kept: str | None = "correct horse\n") -> Settings:
    script = [Exchange(f"read {FILE}", text)]
    if "password_file" in text:
        script.append(Exchange(f"read {SECRET}", kept))
    return read_settings(FILE, FakeHost(script))


def complaint(at: str, host: FakeHost | None = None) -> str:
    with pytest.raises(HypervisorFault) as fault:
        read_settings(at, host or FakeHost([]))
    assert not fault.value.retry
    return str(fault.value)


def test_a_whole_file() -> None:
    found = read(
        "[hyperv]\nhost = hv1.example.org\nport = 15986\nauth = ntlm\nuser = LAB\\dr\n"
        f"password_file = {SECRET}\nca_file = /etc/ssl/lab.pem\nread_seconds = 12\n"
        "operation_seconds = 8\nconnect_seconds = 2.5\n"
    )
    assert (found.host, found.port, found.user) == ("hv1.example.org", 15986, "LAB\\dr")
    assert (found.password, found.ca_file) == ("correct horse", "/etc/ssl/lab.pem")
    assert (found.connect_seconds, found.read_seconds, found.operation_seconds) == (2.5, 12, 8)
    assert found.place == "the Hyper-V host hv1.example.org:15986"


def test_a_password_may_hold_what_a_file_format_would_spoil() -> None:
    found = read(f"[hyperv]\nhost = hv\nuser = dr\npassword_file = {SECRET}\n", " 50% ; #$x \r\n")
    assert found.password == " 50% ; #$x "


@pytest.mark.parametrize(
    ("at", "host", "port"),
    [
        ("172.16.168.1", "172.16.168.1", 0),
        ("hv1:15986", "hv1", 15986),
        ("[fd00::1]:15986", "fd00::1", 15986),
        ("[fd00::1]", "fd00::1", 0),
        ("fd00::1", "fd00::1", 0),
    ],
)
def test_an_address_means_tls_and_a_validated_certificate(at: str, host: str, port: int) -> None:
    found = read_settings(at, FakeHost([]))
    assert (found.host, found.port, found.ssl, found.validate) == (host, port, "yes", "yes")


def test_user_and_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOBOT_DR_HYPERV_USER", "dr")
    monkeypatch.setenv("AUTOBOT_DR_HYPERV_PASSWORD", "from the environment")
    found = read_settings("hv1", FakeHost([]))
    assert (found.user, found.password) == ("dr", "from the environment")
    monkeypatch.setenv("AUTOBOT_DR_HYPERV_PASSWORD_FILE", SECRET)
    found = read_settings("hv1", FakeHost([Exchange(f"read {SECRET}", "from a file\n")]))
    assert found.password == "from a file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host = hv\n", "no section"),
        ("[hyperv\nhost = hv\n", "no section"),
        ("[hyperv]\nport = 1\n", "host is missing"),
        ("[hyperv]\nhost = hv\npasswort_file = x\n", "'passwort_file' is not a setting"),
        ("[hyperv]\nhost = hv\npassword = x\n", "'password' is not a setting"),
        ("[hyperv]\nhost = hv\nhost = hw\n", "already exists"),
        ("[hyperv]\nhost = hv\nport = many\n", "port must be a number"),
        ("[hyperv]\nhost = hv\nport = 70000\n", "less than 65536"),
        ("[hyperv]\nhost = hv\nconnect_seconds = 0\n", "more than 0"),
        ("[hyperv]\nhost = hv\nauth = credssp\n", "auth must be one of"),
        ("[hyperv]\nhost = hv\nvalidate = maybe\n", "validate must be one of"),
        ("[hyperv]\nhost = hv\nauth = ntlm\n", "needs a user and a password"),
        ("[hyperv]\nhost = hv\nauth = kerberos\nuser = LAB\\dr\n", "name@REALM"),
        ("[hyperv]\nhost = hv\nread_seconds = 10\n", "less than read_seconds"),
        ("[hyperv]\nhost = hv\nvalidate = no\nca_file = x\n", "drop one of them"),
        ("[hyperv]\nhost = hv\nssl = no\nencryption = never\n", "in the clear"),
        ("[hyperv]\nhost = hv\nssl = no\nauth = basic\nuser = x\n", "in the clear"),
        ("[hyperv]\nhost = 127.0.0.1\nssl = no\nauth = basic\nuser = x\n", "in the clear"),
        ("[hyperv]\nhost = hv\nauth = basic\nencryption = always\nuser = x\n", "cannot encrypt"),
    ],
)
def test_a_bad_file_says_what_to_change_and_where(text: str, said: str) -> None:
    told = complaint(FILE, FakeHost([Exchange(f"read {FILE}", text)]))
    assert said in told
    assert FILE in told


def test_basic_in_the_clear_is_for_loopback_and_said_so() -> None:
    way = "ssl = no\nauth = basic\nencryption = never\nuser = dr\n"
    found = read(f"[hyperv]\nhost = 127.0.0.1\n{way}password_file = {SECRET}\n")
    assert found.ssl == "no"


def test_no_file_and_no_password_file() -> None:
    assert "no such file" in complaint(FILE, FakeHost([Exchange(f"read {FILE}", None)]))
    host = FakeHost(
        [
            Exchange(f"read {FILE}", f"[hyperv]\nhost = hv\npassword_file = {SECRET}\n"),
            Exchange(f"read {SECRET}", None),
        ]
    )
    assert f"no password file {SECRET}" in complaint(FILE, host)


@pytest.mark.parametrize("at", ["", "hv1:many", "etc/hyperv.ini", "http://hv1", "dr@hv1", "a b"])
def test_a_bad_address(at: str) -> None:
    assert "the Hyper-V settings at" in complaint(at)


def test_a_machine_without_pypsrp_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pypsrp", None)
    with pytest.raises(HypervisorFault, match="pip install 'pypsrp") as fault:
        connect("hyperv", "hv1", LocalHost())
    assert not fault.value.retry


def test_a_machine_without_kerberos_is_told_what_to_install() -> None:
    """In a process of its own, because a library that was looked for once stays as it was."""
    asks = (
        "import sys; sys.modules['gssapi'] = None\n"
        "from tasks.host import LocalHost; from tasks.hypervisors import HypervisorFault, connect\n"
        "try: connect('hyperv', 'hv1.example.org', LocalHost()).state('npu')\n"
        "except HypervisorFault as fault: print(fault.retry, fault)"
    )
    argv = [sys.executable, "-c", asks]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("False "), done.stderr
    assert "libkrb5-dev" in done.stdout
    assert "pip install 'pypsrp[kerberos]'" in done.stdout


def test_an_agent_that_is_asked_for_no_hypervisor_never_loads_pypsrp() -> None:
    loads = (
        "import sys; import tasks.hypervisors.hyperv; from tasks import catalog; "
        "catalog.operations(); sys.exit('pypsrp' in sys.modules or 'requests' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", loads], cwd=Path.cwd(), check=False, timeout=60)
    assert done.returncode == 0
