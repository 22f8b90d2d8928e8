"""What is read of a machine's services, and what is said of what could not be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.backup.asking import Where
from tasks.host import OUTPUT_LIMIT, HostFault, LocalHost, Ran
from tasks.kit.collecting import UNASKED, Collected, Wanted, collect


class Told(LocalHost):
    """This machine, but for what its systemd says, and for a file that it does not let us read."""

    def __init__(self, said: str, locked: str = "") -> None:
        self.said, self.locked = said, locked

    def run(
        self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"", user: str = "", **how: Any
    ) -> Ran:
        if argv[0] == "systemctl":
            return Ran(0 if self.said else 1, self.said, "")
        return super().run(argv, seconds=seconds, stdin=stdin, user=user, **how)

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        if path == self.locked:
            raise HostFault(f"{path} could not be read: Permission denied")
        return super().read(path, last=last)


def unit(folder: Path) -> str:
    """A unit with all that a unit can name."""
    for name in ("x.service", "more.conf", "env", "app.yaml", "big.json", "image.conf"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "big.json").write_text("x" * 300_000)
    (folder / "image.conf").write_bytes(b"\xff\xfe\x00")
    named = " ".join(f"{folder}/{each}" for each in ("big.json", "image.conf", "gone.ini"))
    argv = f"/bin/sh --config={folder}/app.yaml {named}"
    return (
        f"LoadState=loaded\nFragmentPath={folder}/x.service\n"
        f"DropInPaths={folder}/more.conf /run/systemd/passing.conf\n"
        f"EnvironmentFiles={folder}/env (ignore_errors=no)\n"
        f"ExecStart={{ path=/bin/sh ; argv[]={argv} ; ignore_errors=no }}\n"
    )


def names(found: Collected) -> list[str]:
    return sorted(Path(each.path).name for each in found.files)


def test_all_that_a_unit_names_is_taken_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("Sesame-4711\n")
    (tmp_path / "env").touch(mode=0o600)
    found = collect(Told(unit(tmp_path)), [Wanted("x", "x")], [str(secret)])
    assert names(found) == ["app.yaml", "env", "more.conf", "password", "x.service"]
    assert {each.path: each.secret for each in found.files}[str(secret)] is True
    missing = "\n".join(found.missing)
    assert "big.json is not in the kit: it has 300000 bytes" in missing
    assert "image.conf is not in the kit: it is no text" in missing
    assert "gone.ini could not be read" in missing
    assert "passing" not in missing, "what is in /run is nobody's configuration"
    assert any(each.startswith("dash ") for each in found.packages)


def test_a_file_that_may_not_be_read_hides_no_other(tmp_path: Path) -> None:
    host = Told(unit(tmp_path), locked=str(tmp_path / "env"))
    found = collect(host, [Wanted("x", "x")])
    assert names(found) == ["app.yaml", "more.conf", "x.service"]
    assert f"{tmp_path}/env could not be read: Permission denied" in found.missing


def test_where_systemd_cannot_be_asked_the_secrets_are_kept_all_the_same(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("Sesame-4711\n")
    where = Where("redis", "127.0.0.1", 1)
    found = collect(Told(""), [Wanted("redis", "redis", where)], [str(secret)])
    assert names(found) == ["password"]
    assert found.missing == (f"redis: its unit redis is {UNASKED}",)
    assert found.facts == {}
