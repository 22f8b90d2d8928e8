"""The frozen values of the core as JSON text, and back.

What lives here: one adapter for each value that is stored whole. What must not: which value
goes into which row; that is in sql.py. Columns of their own are used wherever somebody may
want to search; what is here is only ever read back as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from orchestrator.core.branch import BranchState
from orchestrator.core.events import CallHuman, Effect, Inform, Publish, StopCalls, Withdraw
from orchestrator.core.failure import Failure
from orchestrator.core.incident import Incident
from orchestrator.core.plan import Plan
from tasks.contract import Headway, Json, WorkReport

T = TypeVar("T")

INCIDENT = TypeAdapter(Incident)
PLAN = TypeAdapter(Plan)
BRANCHES = TypeAdapter(tuple[BranchState, ...])
NOTES = TypeAdapter(tuple[str, ...])
ARGUMENTS = TypeAdapter(dict[str, Json])
FAILURE = TypeAdapter(Failure)
TIMES = TypeAdapter(tuple[float, ...])
REPORT = TypeAdapter(WorkReport)
HEADWAY = TypeAdapter(Headway)

#: Each effect under its own name: two that look alike as JSON must not be taken for each other.
EFFECTS: Mapping[str, TypeAdapter[Any]] = {
    "Publish": TypeAdapter(Publish),
    "Withdraw": TypeAdapter(Withdraw),
    "CallHuman": TypeAdapter(CallHuman),
    "Inform": TypeAdapter(Inform),
    "StopCalls": TypeAdapter(StopCalls),
}


def encode(adapter: TypeAdapter[T], value: T) -> str:
    """The value as JSON text that any database can hold."""
    return writable(json.dumps(adapter.dump_python(value), ensure_ascii=False))


def decode(adapter: TypeAdapter[T], text: str) -> T:
    return adapter.validate_python(json.loads(text))


def encode_effect(effect: Effect) -> tuple[str, str]:
    """The effect's kind, and the effect."""
    kind = type(effect).__name__
    return kind, encode(EFFECTS[kind], effect)


def decode_effect(kind: str, text: str) -> Effect:
    effect: Effect = decode(EFFECTS[kind], text)
    return effect


def writable(text: str) -> str:
    """The text without what no database takes: a machine's log may hold any character.

    NUL ends a text in PostgreSQL, and half a surrogate pair has no bytes at all.
    """
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
