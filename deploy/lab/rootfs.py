"""Builds what all nspawn machines share, once, into a cache: the root and Python packages.

What lives here: the recipe and its building. What must not: anything that changes with our
own code. Unit files and stand-ins are laid over each machine by the lab, so that editing
them needs no rebuild; the folder's name carries a hash of everything that does go in.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.processes import die_with_parent

CHECKOUT = Path(__file__).resolve().parents[2]

SUITE = "bookworm"
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "iproute2", "redis-server", "openssh-server"),
    # Chromium wants some session bus; debootstrap cannot choose among alternatives itself.
    *("procps", "python3", "sudo", "chromium", "dbus-x11"),
    # What a recovery kit asks of a machine that has nothing of ours.
    *("age", "restic"),
]

#: Off for a fast boot of a machine that lives for minutes and has neither console nor updates.
MASKED = [
    *("apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service"),
    *("dev-hugepages.mount", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service"),
    *("fstrim.timer", "getty.target", "redis-server.service", "sys-fs-fuse-connections.mount"),
    *("systemd-journal-flush.service", "systemd-logind.service", "systemd-remount-fs.service"),
    *("systemd-sysusers.service", "systemd-tmpfiles-clean.timer"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
]

#: Files that are the same on every machine of every lab. Keys are not: they come with a lab.
FILES = {
    "etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /run/lab-ssh/host\n"
        "AuthorizedKeysFile /run/lab-ssh/authorized_keys\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n"
    ),
    "etc/sudoers.d/autobot": "autobot ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=5s\n",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\n",
    "etc/resolv.conf": "",
}

#: Left by debootstrap, and wrong on every machine.
REMOVED = ["etc/hostname", "etc/ssh/ssh_host_*", "var/cache/apt/archives/*", "var/lib/apt/lists/*"]

#: The seed's SSH user, who may use sudo and read the journal.
USER = ["--create-home", "--shell", "/bin/bash", "--groups", "systemd-journal,adm", "autobot"]

#: Groups of pyproject.toml, and where a machine finds their packages. They are bound and not
#: part of the root, because they change more often and take seconds instead of minutes.
GROUPS = {"agent": "/opt/autobot-dr/lib", "npu": "/opt/npu/lib"}

Tell = Callable[[str], None]


class CannotBuild(Exception):
    """The root file system could not be built; the sentence says which step and why."""


def missing_here() -> str:
    """Why this machine cannot run the nspawn lab, or an empty text."""
    if sys.platform != "linux":
        return "systemd-nspawn needs Linux"
    if os.geteuid() != 0:
        return "systemd-nspawn machines need root"
    wanted = {"systemd-nspawn": "systemd-container", "ip": "iproute2", "debootstrap": "debootstrap"}
    wanted |= {"ssh-keygen": "openssh-client", "nsenter": "util-linux"}
    lacking = [package for program, package in wanted.items() if not shutil.which(program)]
    if lacking:
        return f"Debian packages are missing: apt-get install {' '.join(lacking)}"
    return ""


@dataclass(frozen=True, slots=True)
class Built:
    """What a machine is made of: its root, and where each package folder is bound into it."""

    root: Path
    packages: Mapping[Path, str]


def ensure(tell: Tell) -> Built:
    """The root file system and the packages, each built first if its recipe is a new one."""
    base = [SUITE, PACKAGES, MASKED, FILES, REMOVED, USER, platform.machine()]
    root = cached("rootfs", json.dumps(base, sort_keys=True), _root, tell)
    packages: dict[Path, str] = {}
    for group, bound_at in GROUPS.items():
        requirements = _requirements(group)

        def build(
            aside: Path, tell: Tell, requirements: str = requirements, bound_at: str = bound_at
        ) -> None:
            tell(f"installing the machines' Python packages for {bound_at}")
            _install(aside, requirements)
            _compile(root, aside, bound_at)

        recipe = json.dumps([base, requirements], sort_keys=True)
        packages[cached(f"packages-{group}", recipe, build, tell)] = bound_at
    return Built(root, packages)


def cached(name: str, recipe: str, build: Callable[[Path, Tell], None], tell: Tell) -> Path:
    """Built aside and renamed, so that what is there is whole; one builder at a time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autobot-dr"
    target = cache / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    aside = cache / f"{target.name}.building"
    with (cache / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _remove(aside)  # a builder that was killed left it, for we have the lock
            try:
                build(aside, tell)
                aside.rename(target)
            finally:
                _remove(aside)
    return target


def _remove(folder: Path) -> None:
    """Also where debootstrap was killed with the kernel's file systems mounted inside."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        _run("umount", mount)
    if folder.exists():
        shutil.rmtree(folder)


def _root(aside: Path, tell: Tell) -> None:
    began = time.monotonic()
    tell(f"building the machines' root file system (once, two to four minutes): {aside}")
    include = ",".join(PACKAGES)
    _run("debootstrap", "--variant=minbase", f"--include={include}", SUITE, str(aside))
    _configure(aside)
    tell(f"root file system ready after {time.monotonic() - began:.0f} s")


def _compile(root: Path, packages: Path, bound_at: str) -> None:
    """With the machines' own Python, so that no agent has to compile anything when it starts."""
    inside = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"]
    inside += [f"--directory={root}", "--volatile=overlay", f"--bind={packages}:{bound_at}"]
    _run(*inside, "python3", "-m", "compileall", "-q", bound_at)


def _configure(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    (root / "etc/sudoers.d/autobot").chmod(0o440)
    system = root / "etc/systemd/system"
    for unit in MASKED:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    (system / "default.target").unlink(missing_ok=True)
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    # Each lab lays the agent's unit over; here it is only enabled.
    wants = system / "multi-user.target.wants"
    (wants / "redis-server.service").unlink(missing_ok=True)
    (wants / "autobot-agent.service").symlink_to(
        "/usr/local/lib/systemd/system/autobot-agent.service"
    )
    _run("chroot", str(root), "useradd", *USER)
    for pattern in REMOVED:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _requirements(group: str) -> str:
    export = [_uv(), "export", "--quiet", "--frozen", "--only-group", group]
    export += ["--no-emit-project", "--no-header", "--no-annotate"]
    return _run(*export)


def _install(target: Path, requirements: str) -> None:
    target.mkdir()
    listing = target / "requirements.txt"
    listing.write_text(requirements)
    install = [_uv(), "pip", "install", "--quiet", "--target", str(target), "--no-deps"]
    install += ["--python-version", "3.11", "--only-binary", ":all:"]
    install += ["--python-platform", f"{platform.machine()}-manylinux_2_28"]
    _run(*install, "--requirement", str(listing))


def _uv() -> str:
    beside = Path(sys.prefix) / "bin" / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise CannotBuild("uv is neither beside this Python nor on PATH; `make setup` installs it")
    return found


def _run(*argv: str) -> str:
    try:
        ran = _bounded(argv)
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{argv[0]} did not end within {error.timeout:.0f} s") from error
    if ran.returncode != 0:
        said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-3:]
        raise CannotBuild(f"{argv[0]} failed with exit code {ran.returncode}: {' / '.join(said)}")
    return ran.stdout


def _bounded(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        preexec_fn=die_with_parent,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )


if __name__ == "__main__":
    if why_not := missing_here():
        sys.exit(why_not)
    print(ensure(lambda line: print(line, flush=True)))
