"""Builds the root file system that all nspawn machines of a lab share, once, into a cache.

What lives here: the recipe and its building. What must not: anything that changes with our
own code. Unit files and stand-ins are laid over each machine by the lab, so that editing
them needs no rebuild; the folder's name carries a hash of everything that does go in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

SUITE = "bookworm"
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "iproute2", "redis-server", "openssh-server"),
    # Chromium wants some session bus; debootstrap cannot choose among alternatives itself.
    *("procps", "python3", "sudo", "chromium", "dbus-x11"),
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

#: Installed with uv, each group of pyproject.toml into its own folder.
GROUPS = {"agent": "opt/autobot-dr/lib", "npu": "opt/npu/lib"}

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


def ensure(tell: Tell) -> Path:
    """The root file system's folder, built first if this recipe has not been built yet."""
    requirements = {group: _requirements(group) for group in GROUPS}
    parts = [SUITE, PACKAGES, MASKED, FILES, REMOVED, USER, GROUPS, platform.machine()]
    recipe = json.dumps([parts, requirements], sort_keys=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autobot-dr"
    target = cache / f"rootfs-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    aside = cache / f"{target.name}.building-{os.getpid()}"
    try:
        _build(aside, requirements, tell)
        aside.rename(target)
    except FileExistsError:
        tell("another run built the same root file system meanwhile; using that one")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _build(root: Path, requirements: dict[str, str], tell: Tell) -> None:
    began = time.monotonic()
    tell(f"building the machines' root file system (once, two to four minutes): {root}")
    include = ",".join(PACKAGES)
    _run("debootstrap", "--variant=minbase", f"--include={include}", SUITE, str(root))
    tell(f"debootstrap done after {time.monotonic() - began:.0f} s; Python packages")
    for group, folder in GROUPS.items():
        _install(root / folder, requirements[group])
    _run("chroot", str(root), "python3", "-m", "compileall", "-q", "-j2", "/opt")
    _configure(root)
    tell(f"root file system ready after {time.monotonic() - began:.0f} s")


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
    listing = target.parent / "requirements.txt"
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text(requirements)
    install = [_uv(), "pip", "install", "--quiet", "--target", str(target), "--no-deps"]
    install += ["--python-version", "3.11", "--only-binary", ":all:"]
    install += ["--python-platform", f"{platform.machine()}-manylinux_2_28"]
    _run(*install, "--requirement", str(listing))
    listing.unlink()


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
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )


if __name__ == "__main__":
    if why_not := missing_here():
        sys.exit(why_not)
    print(ensure(lambda line: print(line, flush=True)))
