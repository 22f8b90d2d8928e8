"""Runbooks: one file is one scenario; the file's name is the scenario's.

With `only_with: SERVICE` it is passed over in a fleet that has no such service.

What lives here: the shape of a runbook and the way from it to the core's Scenario. What must
not: knowing operations or the fleet; `compile_plan` finds out whether they fit.

A step is an operation's name, or the name with what it is given:
    - service.status
    - journal.tail: {lines: 100}
    - service.restart: {on: redis, seconds: 60}
`on` names a service or machine (else it is the scenario's first service or, with `each:
machine`, the machine at hand), `seconds` how long the step may last; all else are arguments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from orchestrator.core.fleet import (
    APPROVAL_SECONDS,
    Approval,
    Each,
    Rung,
    Scenario,
    StepTemplate,
)
from orchestrator.core.plan import Fault
from orchestrator.schema import NAME_RULE, Line, Name, Positive, Shape, faults_of, is_name
from orchestrator.yamlfile import Document, read_document


def _step(given: Any) -> Any:
    """Either spelling as one mapping, for StepShape."""
    if isinstance(given, str):
        return {"operation": given}
    if not isinstance(given, dict) or len(given) != 1:
        raise ValueError("a step is an operation's name, or one name with its arguments")
    [(operation, arguments)] = given.items()
    if arguments is not None and not isinstance(arguments, dict):
        raise ValueError(f"the arguments of {operation} must be a mapping, as {{lines: 100}}")
    if "operation" in (arguments or {}):
        raise ValueError(f"'operation' is not an argument of {operation}")
    return {**(arguments or {}), "operation": operation}


class StepShape(Shape):
    """One use of an operation; the keys that are not named here are its arguments."""

    model_config = ConfigDict(extra="allow")
    operation: Line
    on: Name = ""
    seconds: Positive | None = None

    def template(self) -> StepTemplate:
        return StepTemplate(self.operation, self.on, dict(self.model_extra or {}), self.seconds)


class RungShape(Shape):
    rung: Line
    approval: Approval = Field(default=Approval.AUTO, strict=False)
    each: Each = Field(default=Each.ONCE, strict=False)
    within: Positive = APPROVAL_SECONDS
    ask_after: list[Line] = Field(default_factory=list)
    steps: list[Annotated[StepShape, BeforeValidator(_step)]] = Field(min_length=1)


class RunbookShape(Shape):
    title: Line
    impact: Line
    symptoms: list[Line] = Field(default_factory=list)
    services: list[Name] = Field(min_length=1)
    only_with: Name = ""
    estimate: list[Positive] = Field(min_length=2, max_length=2)
    ladder: list[RungShape] = Field(min_length=1)


def read_runbooks(folder: Path) -> tuple[dict[Path, Scenario], tuple[Fault, ...]]:
    """The scenarios of all files that are sound, and every fault of the others."""
    if not folder.is_dir():
        message = "is not a folder; name the runbooks' folder, or let `autobot-dr init` write one"
        return {}, (Fault(str(folder), message),)
    scenarios: dict[Path, Scenario] = {}
    faults: list[Fault] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".yml":
            faults.append(Fault(str(path), "would be passed over; rename it to end in .yaml"))
        if path.suffix != ".yaml" or path.name.startswith("."):
            continue
        read = _read(path)
        if isinstance(read, Scenario):
            scenarios[path] = read
        else:
            faults += read
    if not scenarios and not faults:
        faults.append(Fault(str(folder), "holds no runbook; `autobot-dr init` writes some"))
    return scenarios, tuple(faults)


def _read(path: Path) -> Scenario | tuple[Fault, ...]:
    document = read_document(path)
    if not isinstance(document, Document):
        return document
    faults = []
    if not is_name(path.stem):
        message = f"the file's name is the scenario's: use {NAME_RULE}, then .yaml"
        faults.append(Fault(str(path), message))
    try:
        shape = RunbookShape.model_validate(document.content)
    except ValidationError as error:
        faults += faults_of(document, RunbookShape, error)
        return tuple(faults)
    earliest, latest = shape.estimate
    if earliest > latest:
        faults.append(document.fault(("estimate",), "ends before it begins; give [from, to]"))
    if faults:
        return tuple(faults)
    rungs = tuple(
        Rung(
            each.rung,
            tuple(step.template() for step in each.steps),
            each.approval,
            each.each,
            each.within,
            tuple(each.ask_after),
        )
        for each in shape.ladder
    )
    return Scenario(
        path.stem,
        shape.title,
        shape.impact,
        tuple(shape.symptoms),
        tuple(shape.services),
        rungs,
        (earliest, latest),
        shape.only_with,
    )
