"""The way to a machine over SSH: who may log in with what, over which machine, and to whom.

What lives here: one connection, and a sentence for each thing that keeps it from being made. What
must not: what is done over it (ssh.py), and where keys and addresses come from. Only a machine
whose key is known is spoken to, the machine in between included.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paramiko
from fabric import Config, Connection
from paramiko.ssh_exception import NoValidConnectionsError

from tasks.host import HostFault

#: For connecting and logging in.
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Login:
    """One machine's SSH server, and how to get in."""

    address: str
    user: str
    key_file: str
    port: int = 22

    def __str__(self) -> str:
        return f"{self.user}@{self.address}:{self.port}"


class Way:
    """Connected at the first need and again after a fault; over `jump` if there is one."""

    def __init__(self, login: Login, known_hosts: str, jump: Login | None = None) -> None:
        self.login, self._known_hosts, self._jump = login, known_hosts, jump
        self._gateway = _connection(jump, None) if jump else None
        self._connection = _connection(login, self._gateway)

    def transport(self) -> paramiko.Transport:
        """The open connection; HostFault says what keeps it from being made."""
        if not self._connection.is_connected:
            if self._jump:
                self._open(self._gateway, self._jump)
            self._open(self._connection, self.login)
        found: paramiko.Transport = self._connection.transport
        return found

    def close(self) -> None:
        self._connection.close()
        if self._gateway:
            self._gateway.close()

    def _open(self, connection: Connection, login: Login) -> None:
        _demand_key(login.key_file)
        try:
            client = connection.client
            # Fabric would take any key of an unknown machine.
            client.set_missing_host_key_policy(_Unknown())
            client.load_host_keys(self._known_hosts)
        except (OSError, paramiko.SSHException) as error:
            raise HostFault(
                f"{self._known_hosts}: the known SSH hosts cannot be read: {error}"
            ) from error
        try:
            connection.open()
            connection.transport.set_keepalive(5)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            said = _sentence(error, login, self._known_hosts)
            kind = HostFault if _for_good(error) else NotThere
            raise kind(f"{login} cannot be reached: {said}") from error


class NotThere(HostFault):
    """Nobody answers now, or not like an SSH server that has started; a moment later one may."""


class _UnknownHost(paramiko.SSHException):
    """The machine's key is not among the known ones; nothing was sent to it."""


class _Unknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, _client: object, _hostname: str, key: paramiko.PKey) -> None:
        raise _UnknownHost(f"{key.get_name()} {key.fingerprint}")


def _for_good(error: Exception) -> bool:
    """What no waiting changes, and what must not be tried into a lock-out."""
    if isinstance(error, paramiko.AuthenticationException):
        # A machine that still boots hangs up after a good login (pam_nologin).
        return "transport shut down" not in str(error)
    return isinstance(error, (paramiko.BadHostKeyException, _UnknownHost))


def _connection(login: Login, gateway: Connection | None) -> Connection:
    return Connection(
        login.address,
        user=login.user,
        port=login.port,
        gateway=gateway or False,
        # Only what is given here counts: not the ssh_config of whoever runs this.
        config=Config(lazy=True),
        connect_timeout=CONNECT_SECONDS,
        connect_kwargs={
            "key_filename": login.key_file,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": CONNECT_SECONDS,
            "auth_timeout": CONNECT_SECONDS,
        },
    )


def _demand_key(key_file: str) -> None:
    try:
        mode = Path(key_file).stat().st_mode
    except OSError as error:
        raise HostFault(f"{key_file}: the SSH key cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise HostFault(f"{key_file}: others may read this SSH key; chmod 600 it")


def _sentence(error: Exception, login: Login, known_hosts: str) -> str:
    match error:
        case paramiko.BadHostKeyException():
            return (
                f"its host key is not the one in {known_hosts}; if the machine was made anew, "
                "replace its line there, else another machine has its address, or somebody "
                "stands in between"
            )
        case _UnknownHost():
            return (
                f"its host key ({error}) is not in {known_hosts}; compare it on the machine "
                "itself and add it with ssh-keyscan"
            )
        case paramiko.PasswordRequiredException():
            return f"the key {login.key_file} is locked by a passphrase; give one without"
        case paramiko.AuthenticationException():
            return (
                f"it does not let {login.user} in with the key {login.key_file}; add its public "
                f"half to that user's authorized_keys"
            )
        case TimeoutError() | NoValidConnectionsError():
            return (
                f"nothing answers there ({str(error) or 'no answer in time'}); it is off, its SSH "
                "server is not up, or it has another address now, which the fleet file must say"
            )
    return str(error) or type(error).__name__
