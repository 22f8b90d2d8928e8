"""Making a recovery kit: everything with which a stranger gets the data back without this program.

What lives here: gathering from the machines, and what becomes a file of the kit, in clear or
sealed. What must not: the words of its page (kitpage.py), and when a kit is made (kitkeeping.py).
It is put together in memory: nothing is written before each secret is known to be in sealed files
only. A machine that is away keeps the files that the kit before had of it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from orchestrator import door, kitpage
from orchestrator.config import Configuration
from orchestrator.kitfile import KitPlace
from orchestrator.kitpoints import (
    Point,
    files_jobs,
    name_of,
    points_of,
    redis_jobs,
    secret_files,
    words_of,
)
from orchestrator.settings import Settings
from orchestrator.setup import SHIPPED
from orchestrator.wording import moment
from tasks.backup.asking import Where
from tasks.host import Host, HostFault, LocalHost
from tasks.kit import secrets
from tasks.kit.collecting import Collected, Wanted, collect
from tasks.kit.placing import MARK
from tasks.kit.sealing import NotSealed, seal

VERSION = 1


class SecretInClear(Exception):
    """A secret stands in a file that is not sealed, so no kit was written; tell the developers."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What one machine gave; or why it gave nothing, and what the kit before had of it."""

    name: str
    collected: Collected | None = None
    points: tuple[Point, ...] = ()
    away: str = ""


@dataclass(frozen=True, slots=True)
class Kit:
    """All files by their path in the kit, and what people should know of it."""

    files: Mapping[str, str]
    points: tuple[Point, ...]
    missing: tuple[str, ...]
    sealed: int


Hosts = Callable[[str], Host]


def make(
    configuration: Configuration,
    settings: Settings,
    before: Mapping[str, str],
    now: float,
    *,
    hosts: Hosts | None = None,
) -> Kit:
    """Raises NotSealed and SecretInClear; then nothing was written."""
    place = configuration.inventory.kit
    if place is None:
        raise NotSealed("fleet.yaml has no `kit`: say where it goes and who can open it")
    found = _gathered(configuration, hosts)
    return _Making(configuration, settings, place, before, now, found).kit()


def _gathered(configuration: Configuration, hosts: Hosts | None) -> list[Machine]:
    inventory = configuration.inventory
    fleet = inventory.fleet
    jobs = inventory.backups.values()
    more = {fleet.control, *(each.vault for each in jobs), *(each.machine for each in jobs)}
    names = [each for each in fleet.machines if fleet.services_on(each) or each in more]

    def ask(name: str) -> Machine:
        if hosts is not None:
            return _one(configuration, name, hosts(name))
        if name == fleet.control:
            return _one(configuration, name, LocalHost())
        with closing(door.through(inventory, name)) as host:
            return _one(configuration, name, host)

    with ThreadPoolExecutor(max_workers=min(8, len(names))) as pool:
        return list(pool.map(ask, names))


def _one(configuration: Configuration, name: str, host: Host) -> Machine:
    inventory = configuration.inventory
    fleet = inventory.fleet
    address = fleet.machines[name].address
    wanted = []
    for each in fleet.services_on(name):
        redis = None
        if any(job.service == each.name for job in redis_jobs(configuration)):
            port, password = each.settings.get("port", 6379), each.settings.get("password_file", "")
            redis = Where(each.unit, address, int(port), str(password))
        wanted.append(Wanted(each.name, each.unit, redis))
    keys = secret_files(configuration, name)
    keys |= {str(each.settings.get("password_file", "")) for each in fleet.services_on(name)}
    if name == fleet.control:
        keys |= {str(Path(each.key).expanduser()) for each in inventory.access.values()}
    try:
        jobs = [each for each in inventory.backups.values() if each.vault == name]
        points = tuple(point for job in jobs for point in points_of(host, job))
        return Machine(name, collect(host, wanted, sorted(keys - {""})), points)
    except HostFault as fault:
        return Machine(name, away=str(fault))


class _Making:
    """One kit while it is put together."""

    def __init__(
        self,
        configuration: Configuration,
        settings: Settings,
        place: KitPlace,
        before: Mapping[str, str],
        now: float,
        found: list[Machine],
    ) -> None:
        self._configuration, self._place, self._now = configuration, place, now
        self._before, self._found = before, found
        self._inventory = configuration.inventory
        self._local = LocalHost()
        self._files: dict[str, str] = {}
        self._missing: list[str] = []
        self._documents = {
            "fleet/fleet.yaml": settings.fleet.read_text(),
            **{f"fleet/runbooks/{p.name}": p.read_text() for p in _yaml(settings.runbooks)},
        }
        self._secrets = self._known_secrets()

    def kit(self) -> Kit:
        for name, text in self._documents.items():
            self._keep(name, text)
        for each in self._found:
            self._machine(each)
        points = tuple(point for each in self._found for point in each.points)
        self._list(points)
        for script in sorted((SHIPPED / "kit").glob("*.sh")):
            self._files[script.name] = script.read_text()
        self._files["recipients.txt"] = "".join(each.line for each in self._place.recipients)
        sealed = sorted(path for path in self._files if path.startswith("sealed/"))
        self._files[MARK] = self._mark(points)
        self._files["RESTORE.md"] = kitpage.page(
            self._configuration, self._place, points, self._files, self._missing, self._now
        )
        self._guard()
        return Kit(self._files, points, tuple(self._missing), len(sealed))

    def _known_secrets(self) -> frozenset[str]:
        texts = list(self._documents.values())
        whole: set[str] = set()
        for machine in self._found:
            for file in machine.collected.files if machine.collected else ():
                texts.append(file.text)
                if file.secret:
                    whole |= {file.text.strip(), *file.text.split("\n")}
        found = {value for text in texts for value in secrets.found_in(text)}
        found |= {each.reach for each in self._inventory.contacts if _is_secret(each.reach)}
        if self._inventory.dead_man:
            found.add(self._inventory.dead_man.url)
        # The frame of a private key is none, and may stand in other files.
        return frozenset(each for each in found | whole if each and "-----" not in each)

    def _keep(self, path: str, text: str, *, secret: bool = False) -> bool:
        """In clear what may be; all of it sealed, where that is less. True: there is more."""
        clear = "" if secret or secrets.all_secret(text) else secrets.hidden(text, self._secrets)
        if clear:
            self._files[path] = clear
        if clear == text or not text:
            return False
        if not self._place.recipients:
            self._missing.append(
                f"{path}: what is secret in it, because nobody is named to open it"
            )
            return True
        self._files[f"sealed/{path}.age"] = seal(self._local, text, self._place.recipients)
        return True

    def _machine(self, machine: Machine) -> None:
        if machine.collected is None:
            self._from_before(machine)
            return
        folder, lines = f"machines/{machine.name}", []
        for file in machine.collected.files:
            sealed = self._keep(f"{folder}/files{file.path}", file.text, secret=file.secret)
            kind = "sealed" if sealed else "plain"
            lines.append(f"{file.mode} {file.user} {file.group} {kind} {file.path}\n")
        self._files[f"{folder}/files.txt"] = "".join(lines)
        self._files[f"{folder}/packages.txt"] = "".join(
            f"{each}\n" for each in machine.collected.packages
        )
        self._files[f"{folder}/collected.txt"] = f"{moment(self._now)}\n"
        self._missing += [f"{machine.name}: {each}" for each in machine.collected.missing]
        for service, facts in machine.collected.facts.items():
            self._facts(machine.name, service, facts)

    def _facts(self, machine: str, service: str, facts: Mapping[str, str]) -> None:
        name = f"services/{service}.sh"
        self._files[name] = _words({"MACHINE": machine, **facts})
        # One that did not answer says less than it said before.
        if not facts["VERSION"] and name in self._before:
            self._files[name] = self._before[name]

    def _from_before(self, machine: Machine) -> None:
        heads = (f"machines/{machine.name}/", f"sealed/machines/{machine.name}/")
        kept = {path: text for path, text in self._before.items() if path.startswith(heads)}
        for service in self._inventory.fleet.services_on(machine.name):
            name = f"services/{service.name}.sh"
            kept |= {name: self._before[name]} if name in self._before else {}
        self._files |= kept
        since = self._before.get(f"{heads[0]}collected.txt", "").strip()
        said = f"its files are as of {since}" if kept else "there is nothing of it in this kit"
        self._missing.append(f"{machine.name} could not be asked ({machine.away}); {said}")

    def _list(self, points: tuple[Point, ...]) -> None:
        """points.txt is for the scripts: the newest first, one on a line."""
        newest = sorted(points, key=lambda each: each.covers_until, reverse=True)
        lines = [each.line for each in newest]
        for each in points:
            self._files[f"manifests/{each.id}.json"] = each.text
        away = {each.name for each in self._found if each.away}
        for job in self._inventory.backups.values():
            if job.vault in away:
                lines += self._points_before(name_of(job))
        self._files["points.txt"] = "".join(lines)
        for job in files_jobs(self._configuration):
            self._files[f"files/{job.name}.sh"] = _words(words_of(job))

    def _points_before(self, name: str) -> Iterator[str]:
        for line in self._before.get("points.txt", "").splitlines(keepends=True):
            of, point, *_ = line.split()
            if of == name:
                path = f"manifests/{point}.json"
                self._files[path] = self._before.get(path, "")
                yield line

    def _mark(self, points: tuple[Point, ...]) -> str:
        said = {
            "version": VERSION,
            "fleet": self._inventory.fleet.name,
            "made_at": self._now,
            "points": [each.id for each in points],
            "missing": self._missing,
        }
        return json.dumps(said, indent=1) + "\n"

    def _guard(self) -> None:
        for path, text in self._files.items():
            if path.startswith("sealed/") or path == "recipients.txt":
                continue
            if any(each in text for each in filter(secrets.tells, self._secrets)):
                raise SecretInClear(f"{path} would hold a secret in clear; no kit was written")


def _words(words: Mapping[str, str]) -> str:
    """As a shell reads them back."""
    return "".join(f"{name}={shlex.quote(each)}\n" for name, each in words.items())


def _yaml(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _is_secret(reach: str) -> bool:
    """A mail address alone is none; all other ways to reach people have their token in it."""
    return bool(reach) and not (reach.startswith("mailto:") and ":" not in reach[7:])
