"""Keeping the recovery kit up to date: made again after each backup that was proved.

What lives here: when a kit is due, making and placing it, and the complaint while that fails. What
must not: what is in it. It is due whenever the newest proved backup of a job is not in the kit that
lies there, so no crash at any moment makes a coordinator forget it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from orchestrator.config import Configuration
from orchestrator.core.plan import Fault
from orchestrator.kitfile import Far, KitPlace
from orchestrator.kitmaking import Hosts, Kit, SecretInClear, make
from orchestrator.ports import Clock, Store
from orchestrator.settings import Settings
from tasks.host import HostFault, LocalHost
from tasks.kit.placing import MARK, place
from tasks.kit.sealing import NotSealed
from tasks.ssh import SshHost

log = logging.getLogger("autobot_dr.kit")

#: Before it is tried again: whatever keeps it from being made lasts.
PAUSE_SECONDS = 600.0
LARGEST = 1_000_000
NOT_ELSEWHERE = "not_elsewhere"


class KitNotPlaced(Exception):
    """The kit is not where it should be; the sentence says where, and what to mend."""


def before(folder: Path) -> Mapping[str, str]:
    """The files of the kit that lies there, or of the one before: a crash may leave only that."""
    for each in (folder, folder.with_name(f"{folder.name}.before")):
        if (each / MARK).is_file():
            files = (p for p in each.rglob("*") if p.is_file() and p.stat().st_size <= LARGEST)
            return {str(p.relative_to(each)): p.read_text(errors="replace") for p in files}
    return {}


def write(
    configuration: Configuration,
    settings: Settings,
    now: float,
    *,
    folder: str = "",
    hosts: Hosts | None = None,
) -> Kit:
    """Make it and put it in its places, or in `folder` only. Raises KitNotPlaced."""
    wanted = configuration.inventory.kit
    if wanted is None:
        raise KitNotPlaced("fleet.yaml has no `kit`: say where it goes and who can open it")
    try:
        kit = make(configuration, settings, before(Path(wanted.folder)), now, hosts=hosts)
    except (NotSealed, SecretInClear, OSError) as error:
        raise KitNotPlaced(f"no recovery kit was made: {error}") from error
    fault = None if folder else _place_offsite(wanted, kit)
    files = kit.files if fault is None else _marked(kit.files, str(fault))
    try:
        place(LocalHost(), folder or wanted.folder, files)
    except HostFault as here:
        raise KitNotPlaced(str(here)) from here
    if fault is not None:
        raise KitNotPlaced(f"the second place: {fault}") from fault
    return kit


def _place_offsite(wanted: KitPlace, kit: Kit) -> HostFault | None:
    try:
        match wanted.offsite:
            case Far() as far:
                with closing(_way(far, wanted)) as host:
                    place(host, far.folder, kit.files)
            case str() as path:
                place(LocalHost(), path, kit.files)
    except HostFault as fault:
        return fault
    return None


def _way(far: Far, wanted: KitPlace) -> SshHost:
    return SshHost(
        far.address,
        user=far.user,
        key_file=str(Path(wanted.access.key).expanduser()),
        known_hosts=str(Path(wanted.access.known_hosts).expanduser()),
        port=far.port,
    )


def _marked(files: Mapping[str, str], reason: str) -> Mapping[str, str]:
    """The kit here says itself that it is not in its second place, so that nobody forgets it."""
    return {**files, MARK: json.dumps({**json.loads(files[MARK]), NOT_ELSEWHERE: reason}) + "\n"}


class KitKeeper:
    """One per coordinator. `tick` is called by a ticker of its own: making a kit takes seconds."""

    def __init__(
        self,
        configuration: Configuration,
        settings: Settings,
        store: Store,
        now: Clock,
        *,
        hosts: Hosts | None = None,
    ) -> None:
        self._configuration, self._settings = configuration, settings
        self._store, self._now, self._hosts = store, now, hosts
        self._not_before = 0.0
        self._fault = ""

    def complaints(self) -> dict[str, Callable[[], str]]:
        """By the name of its own check; none where no kit is wanted."""
        return {"kit": lambda: self._fault} if self._configuration.inventory.kit else {}

    def tick(self) -> None:
        now = self._now()
        if now < self._not_before or not self._due():
            return
        try:
            kit = write(self._configuration, self._settings, now, hosts=self._hosts)
        except KitNotPlaced as fault:
            self._fault = str(fault)
            self._not_before = now + PAUSE_SECONDS
            log.warning("the recovery kit is older than the newest backup: %s", fault)
            return
        self._fault = ""
        if self._due():
            # Such as a vault that is away: its newest backup is known, and could not be read.
            self._not_before = now + PAUSE_SECONDS
        log.info("the recovery kit has %d restore points", len(kit.points))
        for each in kit.missing:
            log.warning("not in the recovery kit: %s", each)

    def _due(self) -> bool:
        wanted = self._configuration.inventory.kit
        if wanted is None:
            return False
        listed = listed_points(Path(wanted.folder))
        newest = (
            self._store.restore_points.newest_verified(job.service, job=job.name)
            for job in self._configuration.inventory.backups.values()
        )
        return any(point is not None and point.id not in listed for point in newest)


def unmade(configuration: Configuration, settings: Settings) -> tuple[Fault, ...]:
    """That there is no kit yet, as a warning; where none is wanted, another one says so."""
    wanted = configuration.inventory.kit
    if wanted is None or (Path(wanted.folder) / MARK).is_file():
        return ()
    message = f"there is none in {wanted.folder} yet; `autobot-dr backup kit` makes it"
    return (Fault(f"{settings.fleet}, kit", message),)


def listed_points(folder: Path) -> frozenset[str]:
    """The restore points that the kit there knows; none where it is not in all its places."""
    try:
        said = json.loads((folder / MARK).read_text())
        return frozenset() if said.get(NOT_ELSEWHERE) else frozenset(map(str, said["points"]))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
