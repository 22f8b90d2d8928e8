"""A fleet that is not AutoBot's: two machines, a database and a shop. And how to write it down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from orchestrator.config import Configuration, load

FLEET = """\
fleet: shop
control: desk
objectives:
  rto: {target: 10 min, maximum: 1 h}
  rpo: {target: 60, maximum: 600}
ssh: {user: admin, key: /etc/keys/admin}
contacts:
  - {role: Owner, after: 0, reach: mailto://owner@example.com}
machines:
  desk: {address: 10.0.0.1}
  store: {address: 10.0.0.2, ssh: {user: root, key: /etc/keys/root, port: 2222}}
services:
  database:
    machine: store
    unit: postgresql
    port: 5432
    check: {probe: tcp}
  web:
    machine: desk
    unit: shop
    port: 80
    check: {probe: http, url: "http://{address}:{port}/", status: 200}
    depends_on: [database]
"""

RUNBOOK = """\
title: The shop is closed
impact: Nobody can buy
services: [web]
estimate: [1 min, 5 min]
ladder:
  - rung: Restart it
    steps:
      - service.status
      - service.restart: {on: web, seconds: 30}
"""


def written(
    folder: Path, fleet: str = FLEET, runbooks: Mapping[str, str] | None = None
) -> tuple[Path, Path]:
    """The paths that `load` takes."""
    books = folder / "runbooks"
    books.mkdir(parents=True)
    (folder / "fleet.yaml").write_text(fleet)
    for name, text in ({"shop": RUNBOOK} if runbooks is None else runbooks).items():
        (books / f"{name}.yaml").write_text(text)
    return folder / "fleet.yaml", books


def sentences(found: Configuration | tuple[object, ...], folder: Path) -> list[str]:
    """The faults as an operator reads them, without the test's own folder."""
    faults = found.warnings if isinstance(found, Configuration) else found
    return [str(each).replace(f"{folder}/", "") for each in faults]


def told(folder: Path, fleet: str = FLEET, runbooks: Mapping[str, str] | None = None) -> list[str]:
    """The faults of a configuration that must have some."""
    found = load(*written(folder, fleet, runbooks))
    assert not isinstance(found, Configuration), found.warnings
    return sentences(found, folder)


def cases(name: str) -> list[object]:
    """A table of faults beside this file: what is changed, into what, and what is then said."""
    table = yaml.safe_load((Path(__file__).parent / name).read_text())
    return [
        pytest.param(each["change"], each["into"], each["said"], id=title)
        for title, each in table.items()
    ]
