"""Finds every operation and probe in their folders. A new one is one file and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import tasks.operations
import tasks.probes
from tasks.operation import Operation, Probe

T = TypeVar("T", Operation[Any, Any], Probe[Any])


def _find(package: Any, kind: type[T]) -> dict[str, T]:
    found: dict[str, T] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, kind):
                found[each.name] = each
    return found


@cache
def operations() -> Mapping[str, Operation[Any, Any]]:
    return _find(tasks.operations, Operation)


@cache
def probes() -> Mapping[str, Probe[Any]]:
    return _find(tasks.probes, Probe)
