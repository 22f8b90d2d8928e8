"""A Kerberos domain of the tests' own on loopback: MIT's KDC, with one user and one host.

What lives here: its database, its server at any clock, and the environment of those who belong
to it. What must not: Hyper-V. The machine's own krb5.conf and tickets are not looked at.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hyperv.server import PASSWORD
from tests.integration.rig import free_port, listens, wait_for

REALM, HOST = "LAB.EXAMPLE", "localhost"
USER = f"dr@{REALM}"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
WHERE = f"{os.environ.get('PATH', '')}:/usr/sbin"

CLIENT = """[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
rdns = false
[realms]
{realm} = {{
  kdc = 127.0.0.1:{port}
}}
[domain_realm]
{host} = {realm}
"""
SERVER = """[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  supported_enctypes = aes256-cts-hmac-sha1-96:normal
}}
[logging]
kdc = FILE:{folder}/kdc.log
"""


@dataclass(frozen=True)
class Domain:
    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """For clients and for the host; without a ticket, until one of them gets it."""
        return {
            "KRB5_CONFIG": self.configured(self.port),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.folder}/tickets",
            "KRB5_KTNAME": f"FILE:{self.folder}/keytab",
            "KRB5RCACHENAME": "none:",
        }

    def configured(self, port: int) -> str:
        """A krb5.conf of somebody who asks at this port."""
        file = self.folder / f"krb5-{port}.conf"
        file.write_text(CLIENT.format(realm=REALM, port=port, host=HOST))
        return str(file)

    def kinit(self, life: str = "1h") -> None:
        """A ticket of this process, from the KDC that its krb5.conf names."""
        self.run("kinit", "-l", life, USER, given=PASSWORD)

    def run(self, program: str, *args: str, given: str = "") -> None:
        found = shutil.which(program, path=WHERE)
        assert found is not None
        environment = {**self.environment, **os.environ}
        done = subprocess.run(
            [found, *args],
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def refused(self) -> int:
        """How often its server was shown a wrong password."""
        return (self.folder / "kdc.log").read_text().count(": PREAUTH_FAILED: ")

    @contextmanager
    def server(self, port: int, clock: str = "") -> Iterator[None]:
        """Its KDC at this port; `clock` as in "+1h" for one whose clock is wrong."""
        conf = self.folder / f"kdc-{port}.conf"
        conf.write_text(SERVER.format(realm=REALM, folder=self.folder, port=port))
        ours = {"KRB5_KDC_PROFILE": str(conf), "KRB5_CONFIG": self.configured(port)}
        if clock:
            faketime = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
            if faketime is None:
                pytest.skip("no other clock: the package faketime is not installed")
            ours |= {"LD_PRELOAD": str(faketime), "FAKETIME": clock}
        found = shutil.which("krb5kdc", path=WHERE)
        with subprocess.Popen(
            [str(found), "-n", "-r", REALM],
            env={**os.environ, **ours},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as kdc:
            try:
                wait_for("the KDC", lambda: listens(port))
                yield
            finally:
                kdc.terminate()
                kdc.wait(10)


@contextmanager
def running_domain(folder: Path) -> Iterator[Domain]:
    missing = [each for each in PROGRAMS if shutil.which(each, path=WHERE) is None]
    missing += [each for each in ("gssapi", "krb5") if importlib.util.find_spec(each) is None]
    if missing:
        pytest.skip(f"Kerberos needs {', '.join(missing)} (deploy/lab/prepare.sh tests)")
    domain = Domain(folder, free_port())
    (folder / "kdc.conf").write_text(SERVER.format(realm=REALM, folder=folder, port=domain.port))
    domain.run("kdb5_util", "create", "-r", REALM, "-s", "-P", "of this test alone")
    made = (
        f'addprinc -pw "{PASSWORD}" +requires_preauth {USER}',
        f"addprinc -randkey host/{HOST}",
        f"ktadd -k {folder}/keytab host/{HOST}",
    )
    domain.run("kadmin.local", "-r", REALM, given="\n".join(made))
    with domain.server(domain.port):
        yield domain
