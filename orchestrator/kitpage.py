"""RESTORE.md: what a stranger reads who has this folder, the backups, and nothing else.

What lives here: the words and the exact commands. What must not: gathering what they are about
(kitmaking.py). A test follows the page on a bare machine, block by block: what stands in a block
is run as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.config import Configuration
from orchestrator.core.backups import Job
from orchestrator.core.filebackups import FilesJob
from orchestrator.core.graph import waves
from orchestrator.core.redisbackups import RedisJob
from orchestrator.kitfile import Far, KitPlace
from orchestrator.kitpoints import Point, files_jobs, redis_jobs
from orchestrator.wording import moment

SHOWN = 3  #: points of each job on the page; points.txt has more

_HEAD = """\
# Restoring the fleet {fleet} by hand

Made {made} by AutoBot DR, which is not needed for anything below: plain `sh`, the programs
that are named, this folder, and the backups. What is secret is in `sealed/` and opens with the
private key of one of those in `recipients.txt`; nothing else here is secret. Every script says how
it is used (`sh SCRIPT` without arguments), tests before it touches anything, and renames what is
there.

Set these first; all blocks below use them.

```sh
KIT=/mnt/kit          # this folder
BACKUPS=/mnt/backups  # where the backups were copied to, a folder for each job (see 3)
KEY=/root/key.txt     # your private key, of age or SSH
OPEN=/root/unsealed   # where what is sealed goes, on this machine; remove it at the end
FILES=/root/restored  # where restored files go first
```

## 1. Is this folder whole?

```sh
cd "$KIT" && sha256sum --quiet -c SHA256SUMS && echo whole
```

## 2. Programs

```sh install
apt-get install -y {packages}
```

What the machines had installed is in `machines/NAME/packages.txt`.
"""

_UNSEAL = """\
## 4. Passwords and keys

```sh
cd "$KIT" && sh unseal.sh "$KEY" "$OPEN"
```

Sealed are:

{sealed}
"""

_REDIS = """\
## 5. Redis: {service}

It ran on {machine} ({address}) as {unit}. On the machine that is to have it, first its unit file
and configuration, as they were (what is there and differs is renamed):

```sh
cd "$KIT" && sh place-files.sh {machine} "$OPEN"
```

Then test the newest proved backup; nothing is changed by that:

```sh
cd "$KIT" && sh restore-redis.sh -s {service} -t "$BACKUPS/{job}"
```

And restore it. Another machine may need `-h ADDRESS`, another unit `-u UNIT`:

```sh
cd "$KIT" && sh restore-redis.sh -s {service} "$BACKUPS/{job}"
```

It ends with `done:` and the number of keys that the server itself loaded. An older backup: `-b ID`,
with an ID of `points.txt`. Afterwards, replicas are attached again with `REPLICAOF`.
"""

_FILES = """\
## 5. Files: {job}

They are of {machine}. What its newest proved snapshot has comes into a folder of its own, each
file compared by its SHA-256; nothing in use is touched:

```sh
cd "$KIT" && mkdir -p "$FILES" && sh restore-files.sh -j {job} \\
    -p "$OPEN/machines/{vault}/files{password}" -r "$BACKUPS/{job}" "$FILES/{job}"
```

With `-P` it also puts everything where it was on {machine}, and renames what is there. Git
repositories are bundles: `git clone FILE.bundle`.
"""

_HISTORY = """\
## 6. Redis at any second

Where a Redis is captured continuously there are folders `captured/history-NUMBER-TIME-ID` beside
its backups. One of them becomes a backup of any second, which then is restored as above:

    sh restore-history.sh -t 2026-11-28T14:03:20Z HISTORY NEW
    sh restore-redis.sh NEW
"""

_ORDER = """\
## 7. The rest of the fleet

`fleet/` has the fleet file and the runbooks, `machines/` the units and configuration of each
machine; `sh place-files.sh MACHINE "$OPEN"` puts them in place. Services start in this order; those
of one line may start at once, each with `systemctl start UNIT`:

{order}
AutoBot DR itself is set up anew with `autobot-dr init` and the fleet file from `fleet/`, or from
`fleet/` in `$OPEN` where it has secrets. New keys go to the agents then; the old ones are not here.
"""


def page(
    configuration: Configuration,
    place: KitPlace,
    points: Sequence[Point],
    files: Mapping[str, str],
    missing: Sequence[str],
    now: float,
) -> str:
    """What is missing stands at the end, and says so at its beginning."""
    fleet = configuration.fleet
    head = _HEAD.format(fleet=fleet.name, made=moment(now), packages=" ".join(_programs(files)))
    parts = [head, _where(configuration, place, points), _sealed(files)]
    parts += _restoring(configuration)
    order = "".join(f"{n}. {line}\n" for n, line in enumerate(_order(configuration), 1))
    parts += [_HISTORY, _ORDER.format(order=order), _inventory(configuration), _missing(missing)]
    return "\n".join(parts)


def _restoring(configuration: Configuration) -> Iterator[str]:
    fleet = configuration.fleet
    # One for each Redis, whatever number of jobs it has.
    for redis in {each.service: each for each in redis_jobs(configuration)}.values():
        service = fleet.services[redis.service]
        machine = fleet.machines[service.machine]
        words = {"service": service.name, "machine": machine.name, "unit": service.unit}
        yield _REDIS.format(**words, job=redis.name, address=machine.address)
    for job in files_jobs(configuration):
        words = {"job": job.name, "machine": job.machine, "vault": job.vault}
        yield _FILES.format(**words, password=job.password_file)


def _programs(files: Mapping[str, str]) -> list[str]:
    found = {"redis-server", "age", "restic", "openssh-client"}
    for path, text in files.items():
        if path.startswith("services/"):
            for line in text.splitlines():
                name, _, value = line.partition("=")
                if name in ("PACKAGE", "MODULE_PACKAGES"):
                    found |= set(value.strip("'").split())
    return sorted(found)


def _where(configuration: Configuration, place: KitPlace, points: Sequence[Point]) -> str:
    inventory = configuration.inventory
    lines = ["## 3. Where the backups are", ""]
    for job in inventory.backups.values():
        vault, access = inventory.fleet.machines[job.vault], inventory.access[job.vault]
        way = f"-P {access.port} {access.user}@{vault.address}:{job.folder}"
        lines.append(f"- {job.name} ({job.kind} of {job.subject}): {job.folder} on {job.vault}, ")
        lines[-1] += f'as `scp -r {way} "$BACKUPS/{job.name}"`{_copies(job)}'
    lines.append(f"- this kit: {place.folder} on {inventory.fleet.control}{_elsewhere(place)}")
    lines += [
        "",
        "The newest that were proved by opening and counting them (`points.txt` has more):",
    ]
    lines += [
        "",
        "| backup | of | all until | bytes | holds | where |",
        "|---|---|---|---|---|---|",
    ]
    newest = sorted(points, key=lambda each: each.covers_until, reverse=True)
    for each in newest[: SHOWN * max(1, len(inventory.backups))]:
        cells = (each.id, each.of, moment(each.covers_until), each.size_bytes, each.holds)
        lines.append(f"| {' | '.join(map(str, cells))} | {each.location} |")
    if not points:
        lines.append("| none, when this kit was made | | | | | |")
    return "\n".join([*lines, ""])


def _copies(job: Job) -> str:
    """The copy elsewhere. That of files is read by the same script, that of Redis comes first."""
    away = job.offsite if isinstance(job, RedisJob | FilesJob) else None
    if away is None:
        return ""
    opened = f'"$OPEN/machines/{job.vault}/files{away.password_file}"'
    if isinstance(job, FilesJob):
        return f"; and in {away.repository} (`-r {away.repository} -p {opened}`)"
    fetch = f"restic -r {away.repository} --password-file {opened} restore latest --tag {job.name}"
    return f'; and in {away.repository}: `{fetch} --target "$BACKUPS/{job.name}"`'


def _elsewhere(place: KitPlace) -> str:
    match place.offsite:
        case Far() as far:
            return f", and {far.folder} on {far.address}"
        case None:
            return "; there is no second place"
        case path:
            return f", and {path} there"


def _sealed(files: Mapping[str, str]) -> str:
    names = [path for path in sorted(files) if path.startswith("sealed/")]
    if not names:
        return "## 4. Passwords and keys\n\nNone are in this kit: nobody is named to open them.\n"
    return _UNSEAL.format(sealed="\n".join(f"- {each}" for each in names))


def _order(configuration: Configuration) -> Iterator[str]:
    fleet = configuration.fleet
    graph = {name: frozenset(each.depends_on) for name, each in fleet.services.items()}
    for wave in waves(graph):
        each = (fleet.services[name] for name in wave)
        yield ", ".join(f"{s.name} ({s.unit} on {s.machine})" for s in each)


def _inventory(configuration: Configuration) -> str:
    inventory = configuration.inventory
    lines = ["## Inventory", "", "| machine | address | VM | services | for what |"]
    lines.append("|---|---|---|---|---|")
    for name, machine in inventory.fleet.machines.items():
        services = ", ".join(each.name for each in inventory.fleet.services_on(name))
        vm = machine.settings.get("vm", "")
        cells = (name, machine.address, vm, services, inventory.roles.get(name, ""))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return "## What is missing here\n\nNothing that was asked for.\n"
    listed = "\n".join(f"- {each}" for each in missing)
    return f"## What is missing here\n\n{listed}\n"
