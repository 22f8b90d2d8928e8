"""`init`: what a new folder holds, that nothing is overwritten, and the keys read again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator.config import Configuration, load
from orchestrator.setup import SHIPPED, CannotInitialise, Keys, initialise, load_keys
from orchestrator.web.access import Caller, Role, caller_of, read_tokens
from tasks.signing import private_key
from tests.config.small import FLEET, written


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_a_sound_configuration(tmp_path: Path) -> None:
    home = tmp_path / "some" / "home"
    initialise(home)
    found = load(home / "fleet.yaml", home / "runbooks")
    assert isinstance(found, Configuration), found
    shipped = sorted(each.name for each in (SHIPPED / "runbooks").glob("*.yaml"))
    assert sorted(each.name for each in (home / "runbooks").iterdir()) == shipped
    keys = load_keys(home / "keys", found.fleet.machines)
    assert isinstance(keys, Keys), keys
    assert set(keys.agents) == set(found.fleet.machines)
    for name, public in keys.agents.items():
        assert private_key((home / "keys" / f"{name}.key").read_text()).verify_key == public


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for path in initialise(home):
        secret = path.suffix in (".key", ".token") or path.name == "tokens.yaml"
        assert mode(path) == (0o600 if secret else 0o644), path
    assert mode(home / "keys") == mode(home / "state") == 0o700
    token = (home / "api.token").read_text().strip()
    assert token not in (home / "tokens.yaml").read_text()
    assert hashlib.sha256(token.encode()).hexdigest() in (home / "tokens.yaml").read_text()
    tokens = read_tokens(home / "tokens.yaml")
    assert isinstance(tokens, dict)
    assert caller_of(tokens, f"Bearer {token}") == Caller("first", Role.ADMIN)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    initialise(home)
    (home / "runbooks" / "redis.yaml").write_text("mine")
    before = {each: each.read_bytes() for each in home.rglob("*") if each.is_file()}
    assert initialise(home) == []
    assert {each: each.read_bytes() for each in home.rglob("*") if each.is_file()} == before


def test_what_is_missing_is_completed(tmp_path: Path) -> None:
    written(tmp_path)
    first = initialise(tmp_path)
    assert tmp_path / "keys" / "store.key" in first
    (tmp_path / "fleet.yaml").write_text(
        FLEET.replace("  store:", "  annex: {address: 10.0.0.3}\n  store:")
    )
    keys = tmp_path / "keys"
    assert initialise(tmp_path) == [keys / "annex.key", keys / "annex.pub"]
    public = (keys / "store.pub").read_text()
    (keys / "store.pub").unlink()
    assert initialise(tmp_path) == [keys / "store.pub"]
    assert (keys / "store.pub").read_text() == public


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(CannotInitialise, match="home: File exists"):
        initialise(tmp_path / "home")


def test_a_faulty_fleet_file_is_told(tmp_path: Path) -> None:
    written(tmp_path, FLEET.replace("10.0.0.2", "10.0.0.1"))
    with pytest.raises(CannotInitialise, match="is the address of 'desk' too"):
        initialise(tmp_path)
    assert not list((tmp_path / "keys").iterdir())


def test_every_fault_of_the_keys_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    initialise(tmp_path)
    keys = tmp_path / "keys"
    (keys / "coordinator.key").chmod(0o644)
    (keys / "desk.pub").write_text("not a key")
    faults = load_keys(keys, ["desk", "store", "cellar"])
    assert not isinstance(faults, Keys)
    assert [str(each).replace(f"{keys}/", "") for each in faults] == [
        "coordinator.key: others may read this private key; chmod 600 it",
        "desk.pub: is not an Ed25519 public key in hex; move it away and run init",
        "cellar.pub: does not exist; `autobot-dr init` makes the keys that are missing",
    ]
