"""How a Hyper-V host is reached: the settings behind `at`.

What lives here: reading and judging them. What must not: connecting. `at` is `host[:port]` or
the path of a settings file on the control machine, so that no secret and no detail of access is
in the fleet file, in an order or in a log (docs/decisions/hyperv.md).
"""

from __future__ import annotations

import configparser
import ipaddress
import os
from dataclasses import dataclass, field
from typing import Any

from tasks.host import Host
from tasks.hypervisors import HypervisorFault

SECTION = "hyperv"
USER, PASSWORD, PASSWORD_FILE = (
    f"AUTOBOT_DR_HYPERV_{each}" for each in ("USER", "PASSWORD", "PASSWORD_FILE")
)
#: Each setting of the file with how it is read; the words of a choice are pypsrp's.
CHOICES = {
    "auth": ("negotiate", "kerberos", "ntlm", "basic"),
    "encryption": ("auto", "always", "never"),
    "ssl": ("yes", "no"),
    "validate": ("yes", "no"),
}
TEXTS = ("host", "ca_file", "user", "password_file", "proxy")
NUMBERS = ("port", "connect_seconds", "read_seconds", "operation_seconds")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything pypsrp wants to know. The defaults are those of a host as Windows sets it up."""

    host: str
    port: int = 0  #: 0 for Windows's own: 5986, or 5985 without TLS
    ssl: str = "yes"
    validate: str = "yes"
    ca_file: str = ""  #: empty for the authorities that this machine trusts
    auth: str = "negotiate"
    encryption: str = "auto"
    user: str = ""  #: empty for the Kerberos ticket of this process
    password: str = field(default="", repr=False)
    password_file: str = ""
    proxy: str = ""  #: empty for none; HTTP_PROXY is meant for other traffic
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    operation_seconds: float = 20.0

    @property
    def place(self) -> str:
        """For people: which host, at which port."""
        return f"the Hyper-V host {self.host}:{self.port or (5986 if self.ssl == 'yes' else 5985)}"


def read_settings(at: str, host: Host) -> Settings:
    """The settings, judged; HypervisorFault without retry says what to change and where."""
    given: dict[str, Any]
    if at.startswith("/"):
        where, given = at, _of_file(at, host)
    else:
        where, given = repr(at), _of_address(at)
    given.setdefault("user", os.environ.get(USER, ""))
    given.setdefault("password_file", os.environ.get(PASSWORD_FILE, ""))
    if file := given["password_file"]:
        secret = host.read(file)
        if secret is None:
            raise _wrong(where, f"there is no password file {file}")
        given["password"] = secret.rstrip("\r\n")
    else:
        given["password"] = os.environ.get(PASSWORD, "")
    settings = Settings(**given)
    if complaint := _complaint(settings):
        raise _wrong(where, complaint)
    return settings


def _of_address(at: str) -> dict[str, Any]:
    """`host`, `host:port`, `[v6]:port`, or a bare IPv6 address."""
    name, colon, port = at.rpartition(":")
    if not colon or at.endswith("]") or (at.count(":") > 1 and not at.startswith("[")):
        name, port = at, ""
    name = name.removeprefix("[").removesuffix("]")
    if not name or any(each in name for each in "/\\@ ?#"):
        raise _wrong(repr(at), "it is neither host[:port] nor the absolute path of a settings file")
    return {"host": name} | ({"port": _number(repr(at), "port", port)} if port else {})


def _of_file(path: str, host: Host) -> dict[str, Any]:
    text = host.read(path)
    if text is None:
        raise _wrong(path, "there is no such file on this machine")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise _wrong(path, " ".join(str(error).split())) from error
    if SECTION not in parser:
        raise _wrong(path, f"it has no section [{SECTION}]")
    given: dict[str, Any] = {}
    for key, value in parser[SECTION].items():
        if key in CHOICES:
            if value not in CHOICES[key]:
                raise _wrong(path, f"{key} must be one of {', '.join(CHOICES[key])}")
            given[key] = value
        elif key in NUMBERS:
            given[key] = _number(path, key, value)
        elif key in TEXTS:
            given[key] = value
        else:
            known = ", ".join((*TEXTS, *CHOICES, *NUMBERS))
            raise _wrong(path, f"{key!r} is not a setting (known: {known})")
    if not given.get("host"):
        raise _wrong(path, "host is missing")
    return given


def _number(where: str, key: str, value: str) -> float:
    try:
        number = int(value) if key == "port" else float(value)
    except ValueError as error:
        raise _wrong(where, f"{key} must be a number, not {value!r}") from error
    if not 0 < number < 65536:
        raise _wrong(where, f"{key} must be more than 0 and less than 65536")
    return number


def _complaint(settings: Settings) -> str:
    """What is wrong with settings that each for itself can be read."""
    clear = settings.ssl == "no" and (settings.auth == "basic" or settings.encryption == "never")
    if clear and (settings.encryption != "never" or not _is_loopback(settings.host)):
        return (
            "without TLS the password or the commands would cross the network in the clear; set "
            "ssl = yes, or auth = ntlm, negotiate or kerberos with encryption = auto"
        )
    if settings.auth == "basic" and settings.encryption == "always":
        return "auth = basic cannot encrypt messages; take encryption = auto over TLS"
    if settings.auth in ("basic", "ntlm") and not (settings.user and settings.password):
        return (
            f"auth = {settings.auth} needs a user and a password: set user and password_file, or "
            f"{USER} and {PASSWORD_FILE} in the environment of this machine's agent"
        )
    if settings.auth == "kerberos" and "\\" in settings.user:
        return f"auth = kerberos wants user as name@REALM, not {settings.user}"
    if settings.validate == "no" and settings.ca_file:
        return "ca_file says what to trust, and validate = no to trust anything; drop one of them"
    if settings.operation_seconds >= settings.read_seconds:
        return "operation_seconds must be less than read_seconds"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(where: str, complaint: str) -> HypervisorFault:
    return HypervisorFault(f"the Hyper-V settings at {where}: {complaint}", retry=False)
