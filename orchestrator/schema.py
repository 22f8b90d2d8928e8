"""The common ground of the configuration's shapes, and their faults in the operator's words.

What lives here: the strict base, names, durations, and the way from pydantic's errors to
`Fault`. What must not: any particular file. Nothing is converted in silence: a number is no
text and a text is no number, because a guessed value is found out at the worst moment.
"""

from __future__ import annotations

import ipaddress
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.core.plan import Fault
from orchestrator.yamlfile import Document, Place


class Shape(BaseModel):
    """A part of a file. Unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


NAME_RULE = "lower-case letters, digits and '-', a letter first, at most 41 of them"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(s|min|h|d)")


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def is_address(text: str) -> bool:
    """An IP address or a host name; digits and dots alone must be an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)
    return True


def _named(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text!r} is not a name; use {NAME_RULE}")
    return text


def seconds(given: Any) -> Any:
    """Text such as 2 h as seconds; what is no text is for others to judge."""
    if not isinstance(given, str):
        return given
    match = _DURATION.fullmatch(given)
    if match is None:
        raise ValueError(f"must be seconds, or text such as 90 s, 5 min or 2 h, not {given!r}")
    return float(match[1]) * _UNITS[match[2]]


def _one_line(text: str) -> str:
    # These values end in commands, logs and unit names.
    if text.startswith("-") or not text.strip() or not text.isprintable():
        raise ValueError(f"must be one line of text that does not begin with '-', not {text!r}")
    return text


Name = Annotated[str, AfterValidator(_named)]
Line = Annotated[str, AfterValidator(_one_line)]
Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
Positive = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
#: The key that tells shapes of several kinds apart.
_TAG = "kind"
_TAG_ERRORS = ("union_tag_invalid", "union_tag_not_found")
_END = {"too_short": "least", "too_long": "most"}


def faults_of(document: Document, model: type[BaseModel], error: ValidationError) -> list[Fault]:
    """Each error at its place in the file, one sentence for each."""
    faults = []
    for each in error.errors(include_url=False):
        place = _place(document, each)
        faults.append(document.fault(place, _sentence(model, each)))
    return faults


def _place(document: Document, error: ErrorDetails) -> Place:
    """Pydantic also names which of several kinds it took; that is no place in the file."""
    place: list[str | int] = []
    content = document.content
    for part in error["loc"]:
        if isinstance(content, dict) and part not in content and content.get(_TAG) == part:
            continue
        if part != "[key]":
            place.append(part)
            content = content.get(part) if isinstance(content, dict) else None
    return (*place, _TAG) if error["type"] in _TAG_ERRORS else tuple(place)


def _sentence(model: type[BaseModel], error: ErrorDetails) -> str:
    kind, given = error["type"], error["input"]
    if kind in ("missing", "union_tag_not_found"):
        return "is missing; add it"
    if kind == "union_tag_invalid":
        context = error["ctx"]
        return f"must be one of {context['expected_tags']}, not {context['tag']!r}"
    if kind == "extra_forbidden":
        return f"is not a key here (known: {', '.join(_known(model, error['loc'][:-1]))})"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in ("too_short", "too_long"):
        context = error["ctx"]
        wanted = context.get("min_length") or context["max_length"]
        return f"must have {wanted} at the {_END[kind]}, not {context['actual_length']}"
    wanted = _EXPECTED.get(kind)
    if wanted is None:
        return f"{_lowered(error['msg'])}, not {_short(given)}"
    return f"must be {wanted}, not {_short(given)}"


def _lowered(message: str) -> str:
    return message.removeprefix("Input should ").replace("be ", "must be ", 1)


def _short(given: Any) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, Mapping):
        return "a mapping"
    if isinstance(given, list):
        return "a list"
    if isinstance(given, bool):
        return str(given).lower()
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _known(model: type[BaseModel], place: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys of the shape at this place, found by walking the annotations."""
    kind: Any = model
    for part in place:
        if members := _members(kind):
            kind = members[str(part)]
            continue
        shape = _shape(kind)
        # In a list or a mapping it is the kind of its elements that counts.
        kind = shape.model_fields[str(part)].annotation if shape else typing.get_args(kind)[-1]
    found = _shape(kind)
    return tuple(found.model_fields) if found else ()


def _members(kind: Any) -> dict[str, type[BaseModel]]:
    """The shapes of several kinds by their kind, as pydantic names them."""
    if not any(getattr(each, "discriminator", None) for each in getattr(kind, "__metadata__", ())):
        return {}
    union = typing.get_args(kind)[0]
    shapes = typing.get_args(union) or (union,)
    return {typing.get_args(each.model_fields[_TAG].annotation)[0]: each for each in shapes}


def _shape(kind: Any) -> type[BaseModel] | None:
    """The shape itself, also where it may be left out (`Shape | None`)."""
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
