"""Settings of the coordinator and the command line: from the environment, AUTOBOT_DR_….

What lives here: `Settings` and where things are in an installation's folder ("home"). What
must not: what is protected (fleet.yaml says that), and the agent's settings (workers/agent.py).
A secret may also be a file named like the variable, in lower case, in the folder that systemd's
LoadCredential= provides; a secret is never printed and never an argument.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.core.plan import Fault

Place = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


def _listens(text: str) -> str:
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"must be address:port, as in 127.0.0.1:8470, not {text!r}")
    return text


class Settings(BaseSettings):
    """Everything has a place in home unless a variable names another."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOBOT_DR_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Place = Field(default_factory=Path.cwd)
    fleet: Place = Field(default_factory=lambda given: given["home"] / "fleet.yaml")
    runbooks: Place = Field(default_factory=lambda given: given["home"] / "runbooks")
    keys: Place = Field(default_factory=lambda given: given["home"] / "keys")
    tokens: Place = Field(default_factory=lambda given: given["home"] / "tokens.yaml")
    state: Place = Field(default_factory=lambda given: given["home"] / "state")
    #: A URL may hold a password.
    store_url: SecretStr = Field(
        default_factory=lambda given: SecretStr(f"sqlite:///{given['state']}/store.db")
    )
    broker_url: SecretStr | None = None
    listen: Annotated[str, AfterValidator(_listens)] = "127.0.0.1:8470"
    #: Of what `up` brings along. Agents on other machines reach a broker only if it says so.
    broker_listen: Annotated[str, AfterValidator(_listens)] = "127.0.0.1:6390"
    flower_listen: Annotated[str, AfterValidator(_listens)] = "127.0.0.1:5555"
    api_url: str = Field(default_factory=lambda given: f"http://{given['listen']}")
    #: Of several coordinators, separated by commas; the command line asks the one that leads.
    api_urls: str = Field(default_factory=lambda given: given["api_url"])
    #: How people reach the pages that messages point to.
    public_url: str = Field(default_factory=lambda given: given["api_url"])
    #: Who carries mail to contacts; the URL may hold a password.
    smtp_url: SecretStr | None = None
    smtp_from: str = ""
    token: SecretStr | None = None
    token_file: Place = Field(default_factory=lambda given: given["home"] / "api.token")

    @property
    def listen_address(self) -> str:
        return address_and_port(self.listen)[0]

    @property
    def listen_port(self) -> int:
        return address_and_port(self.listen)[1]


def address_and_port(listen: str) -> tuple[str, int]:
    address, _, port = listen.rpartition(":")
    return address.strip("[]"), int(port)


def local_url(address: str, port: int) -> str:
    """How this machine itself reaches a server that listens there."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def read_settings() -> Settings | tuple[Fault, ...]:
    """The settings, or a fault for each variable that is wrong."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        # pydantic-settings takes this one at run time, unseen by the type checker.
        return Settings(_secrets_dir=folder)  # type: ignore[call-arg]
    except ValidationError as error:
        return tuple(
            Fault(f"AUTOBOT_DR_{str(each['loc'][0]).upper()}", _sentence(each["msg"]))
            for each in error.errors(include_input=False, include_url=False)
            # What is derived from a faulty setting is not at fault itself.
            if each["type"] != "default_factory_not_called"
        )


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


def read_token(settings: Settings) -> SecretStr | Fault:
    """The bearer token of the command line."""
    if settings.token is not None:
        return settings.token
    try:
        return SecretStr(settings.token_file.read_text().strip())
    except OSError as error:
        message = f"cannot be read ({error.strerror}); set AUTOBOT_DR_TOKEN or AUTOBOT_DR_HOME"
        return Fault(str(settings.token_file), message)
