"""What the plan compiler and the fleet file may ask of tasks/: operations and probes.

What lives here: the view of tasks/ that planning needs. What must not: a list of names; the
folders under tasks/ are the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from orchestrator.core.plan import OperationSpec
from tasks import catalog
from tasks.arguments import BadArguments, read_arguments
from tasks.contract import Json


class TaskCatalog:
    """The operations that are installed, as `compile_plan` asks for them."""

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(catalog.operations()))

    def spec(self, operation: str) -> OperationSpec | None:
        found = catalog.operations().get(operation)
        if found is None:
            return None
        return OperationSpec(
            argument_names(found.arguments),
            found.seconds,
            found.only_looks,
            found.from_control,
            found.ends,
            found.returns,
        )

    def faults(self, operation: str, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        return _faults(catalog.operations()[operation].arguments, arguments)


def probe_names() -> tuple[str, ...]:
    return tuple(sorted(catalog.probes()))


def probe_arguments(probe: str) -> tuple[str, ...]:
    return argument_names(catalog.probes()[probe].arguments)


def probe_faults(probe: str, arguments: Mapping[str, Json]) -> tuple[str, ...]:
    return _faults(catalog.probes()[probe].arguments, arguments)


def setting_names() -> frozenset[str]:
    """Every argument that some operation or probe takes, so that a misspelt one is noticed."""
    takers = [each.arguments for each in catalog.operations().values()]
    takers += [each.arguments for each in catalog.probes().values()]
    return frozenset(name for each in takers for name in argument_names(each))


def argument_names(arguments: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(arguments))


def _faults(wanted: type, given: Mapping[str, Json]) -> tuple[str, ...]:
    try:
        read_arguments(wanted, given)
    except BadArguments as bad:
        return bad.faults
    return ()
