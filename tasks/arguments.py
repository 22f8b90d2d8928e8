"""Reading the arguments of an operation or probe: all faults at once, each with its name.

What lives here: the check of given values against a dataclass of wanted ones. What must not:
where the values come from; the plan compiler gathers them, and an agent takes them as they are.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar

from tasks.contract import Json

A = TypeVar("A")  # the arguments, a frozen dataclass


class BadArguments(ValueError):
    """The arguments do not fit the operation; `faults` has one sentence for each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_arguments(wanted: type[A], given: Mapping[str, Json]) -> A:
    """The arguments as the operation's own type, or BadArguments with every fault."""
    hints = _hints(wanted)  # type: ignore[arg-type]  # a class is hashable, whatever it is of
    known = {each.name: each for each in fields(wanted)}  # type: ignore[arg-type]
    faults = [
        f"{name!r} is not an argument (known: {', '.join(known)})"
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    for name, each in known.items():
        if name in given:
            if _fits(given[name], hints[name]):
                value = given[name]
                values[name] = tuple(value) if isinstance(value, list) else value
            else:
                faults.append(f"{name!r} must be {_said(hints[name])}, not {given[name]!r}")
        elif each.default is MISSING and each.default_factory is MISSING:
            faults.append(f"{name!r} is missing")
    if faults:
        raise BadArguments(tuple(faults))
    return wanted(**values)


@cache
def _hints(wanted: type[Any]) -> Mapping[str, Any]:
    """Kept, because resolving them takes longer than checking the arguments."""
    return typing.get_type_hints(wanted)


def _fits(value: Json, wanted: Any) -> bool:
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in typing.get_args(wanted))
    if origin is tuple:
        element = typing.get_args(wanted)[0]
        return isinstance(value, list | tuple) and all(_fits(each, element) for each in value)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is not None:
        return isinstance(value, dict)
    return isinstance(value, wanted)


def _said(wanted: Any) -> str:
    origin = typing.get_origin(wanted)
    if origin is tuple:
        return f"a list of {_said(typing.get_args(wanted)[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_said(each) for each in typing.get_args(wanted))
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(wanted, "a mapping" if origin else "nothing")
