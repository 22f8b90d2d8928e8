"""Settings come from the environment; a secret is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.core.plan import Fault
from orchestrator.settings import Settings, read_settings, read_token


def settings(monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name, value in given.items():
        monkeypatch.setenv(f"AUTOBOT_DR_{name.upper()}", value)
    found = read_settings()
    assert isinstance(found, Settings), found
    return found


def test_everything_has_a_place_in_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = settings(monkeypatch, home=str(tmp_path), listen="0.0.0.0:9000")
    assert found.fleet == tmp_path / "fleet.yaml"
    assert found.keys == tmp_path / "keys"
    assert found.store_url.get_secret_value() == f"sqlite:///{tmp_path}/state/store.db"
    assert (found.listen_address, found.listen_port) == ("0.0.0.0", 9000)
    assert found.broker_url is None


def test_without_a_home_it_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(monkeypatch, home="").runbooks == tmp_path / "runbooks"
    assert settings(monkeypatch, home="sub").runbooks == tmp_path / "sub" / "runbooks"


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"broker_url": "redis://:hush@b", "store_url": "postgresql://u:hush@s/d"}
    found = settings(monkeypatch, home=str(tmp_path), token="hush", **given)
    assert "hush" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


def test_a_secret_may_be_a_credential_of_systemd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "autobot_dr_broker_url").write_text("redis://:hush@b")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert settings(monkeypatch).broker_url == SecretStr("redis://:hush@b")


@pytest.mark.parametrize("listen", ["8470", "localhost", "127.0.0.1:0", "127.0.0.1:99999", ":1"])
def test_a_wrong_setting_is_one_sentence(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    monkeypatch.setenv("AUTOBOT_DR_LISTEN", listen)
    assert read_settings() == (
        Fault("AUTOBOT_DR_LISTEN", f"must be address:port, as in 127.0.0.1:8470, not {listen!r}"),
    )


def test_the_token_comes_from_the_environment_or_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = settings(monkeypatch, home=str(tmp_path))
    assert read_token(found) == Fault(
        str(tmp_path / "api.token"),
        "cannot be read (No such file or directory); set AUTOBOT_DR_TOKEN or AUTOBOT_DR_HOME",
    )
    (tmp_path / "api.token").write_text("from-home\n")
    assert read_token(found) == SecretStr("from-home")
    assert read_token(settings(monkeypatch, token="given")) == SecretStr("given")
