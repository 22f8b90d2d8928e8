"""A new installation's folder: starter files, keys, a token. And reading the keys again.

What lives here: `initialise` and `load_keys`. What must not: overwriting; a file that is there
is somebody's. Running it again completes what is missing, for instance the key of a machine
that was added to fleet.yaml.

    fleet.yaml  runbooks/       what is protected, and how it is brought back
    keys/NAME.key, NAME.pub     Ed25519, of the coordinator and of each machine's agent
    tokens.yaml  api.token      who may use the API (hashes); the first token itself
    state/                      the store, the embedded broker, logs
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey, VerifyKey

from orchestrator.core.plan import Fault
from orchestrator.fleetcheck import read_fleet
from orchestrator.fleetfile import COORDINATOR
from orchestrator.yamlfile import Document, read_document
from tasks.signing import new_keys, private_key, public_key

#: The shipped files stand beside this package, in a checkout as in an installed wheel.
SHIPPED = Path(__file__).resolve().parent.parent / "deploy"

_TOKENS = """\
# Who may use the API: a name, a role (viewer, operator, admin) and the SHA-256 of the token.
# A new one: head -c 32 /dev/urandom | base64 > NAME.token; tr -d '\\n' < NAME.token | sha256sum
tokens:
  - {{name: first, role: admin, sha256: {digest}}}
"""


class CannotInitialise(Exception):
    """The folder was not set up, or only in part; mend what is named and run it again."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the coordinator needs: to sign orders, and to know who signed a report."""

    coordinator: SigningKey
    agents: Mapping[str, VerifyKey]


def initialise(directory: Path) -> list[Path]:
    """Write what is missing; gives the paths that were written."""
    try:
        return list(_initialise(directory))
    except OSError as error:
        raise CannotInitialise(f"{error.filename or directory}: {error.strerror}") from error


def _initialise(directory: Path) -> Iterator[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    fleet, runbooks = directory / "fleet.yaml", directory / "runbooks"
    if _create(fleet, (SHIPPED / "fleet.yaml").read_bytes(), 0o644):
        yield fleet
    if not runbooks.exists():
        yield from _copy_folder(SHIPPED / "runbooks", runbooks)
    for private in (directory / "keys", directory / "state"):
        private.mkdir(mode=0o700, exist_ok=True)
    for name in (COORDINATOR, *_machines(fleet)):
        yield from _make_keys(directory / "keys", name)
    yield from _make_token(directory)


def _machines(fleet: Path) -> tuple[str, ...]:
    document = read_document(fleet)
    inventory, faults = read_fleet(document) if isinstance(document, Document) else (None, document)
    if inventory is None:
        raise CannotInitialise("; ".join(str(each) for each in faults))
    return tuple(inventory.fleet.machines)


def _make_keys(folder: Path, name: str) -> Iterator[Path]:
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    if _create(private, f"{new_keys()[0]}\n".encode(), 0o600):
        yield private
    key = _read_key(private)
    if isinstance(key, Fault):
        raise CannotInitialise(str(key))
    if _create(public, f"{bytes(key.verify_key).hex()}\n".encode(), 0o644):
        yield public


def _make_token(directory: Path) -> Iterator[Path]:
    tokens, token = directory / "tokens.yaml", directory / "api.token"
    if tokens.exists():
        return
    # The token first: a crash in between leaves one that the next run takes up.
    if _create(token, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600):
        yield token
    digest = hashlib.sha256(token.read_text().strip().encode()).hexdigest()
    if _create(tokens, _TOKENS.format(digest=digest).encode(), 0o600):
        yield tokens


def _create(path: Path, content: bytes, mode: int) -> bool:
    """Write a new file whole or not at all. False if there is one already."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what is there.
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _copy_folder(source: Path, target: Path) -> Iterator[Path]:
    """All of the folder's YAML files at once: half of the runbooks would look like all of them."""
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for each in sorted(source.glob("*.yaml")):
            shutil.copyfile(each, temporary / each.name)
        temporary.chmod(0o755)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    yield from sorted(target.iterdir())


def load_keys(folder: Path, machines: Iterable[str]) -> Keys | tuple[Fault, ...]:
    """The coordinator's own key and the machines' public ones, or every fault."""
    coordinator = _read_key(folder / f"{COORDINATOR}.key")
    agents = {name: _read_public(folder / f"{name}.pub") for name in machines}
    faults = [each for each in (coordinator, *agents.values()) if isinstance(each, Fault)]
    if faults or isinstance(coordinator, Fault):
        return tuple(faults)
    return Keys(coordinator, {n: key for n, key in agents.items() if isinstance(key, VerifyKey)})


def _read_key(path: Path) -> SigningKey | Fault:
    text = _content(path)
    if isinstance(text, Fault):
        return text
    if path.stat().st_mode & 0o077:
        return Fault(str(path), "others may read this private key; chmod 600 it")
    try:
        return private_key(text)
    except (ValueError, TypeError):
        return Fault(str(path), "is not an Ed25519 private key in hex; move it away and run init")


def _read_public(path: Path) -> VerifyKey | Fault:
    text = _content(path)
    if isinstance(text, Fault):
        return text
    try:
        return public_key(text)
    except (ValueError, TypeError):
        return Fault(str(path), "is not an Ed25519 public key in hex; move it away and run init")


def _content(path: Path) -> str | Fault:
    try:
        return path.read_text()
    except FileNotFoundError:
        return Fault(str(path), "does not exist; `autobot-dr init` makes the keys that are missing")
    except (OSError, UnicodeDecodeError) as error:
        return Fault(str(path), f"cannot be read: {getattr(error, 'strerror', None) or 'not text'}")
