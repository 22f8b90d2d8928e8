"""Steps that end the agent that carries them out: which they are, and where they may stand.

What lives here: the rule that our own machine comes last. What must not: compiling the rest of
a plan (compiling.py), and any particular operation.

Whoever carries such a step out ends with it. Its order is in the agent's journal as begun; back
again, the agent looks and reports, and the run goes on from the store. That holds where what
was ended comes back by itself, and it costs least when nothing else waits meanwhile.
"""

from __future__ import annotations

from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Catalog, Step
from tasks.contract import AGENT_UNIT


def ends_its_agent(step: Step, fleet: Fleet, catalog: Catalog) -> bool:
    spec = catalog.spec(step.operation)
    if spec is None or step.agent != step.machine:
        return False
    own = fleet.machines[step.machine].settings.get("agent_unit", AGENT_UNIT)
    unit = _whole(step.arguments.get("unit")) == _whole(own)
    return spec.ends == "machine" or (spec.ends == "unit" and unit)


def _whole(unit: object) -> str:
    return str(unit).removesuffix(".service")


def misplaced(step: Step, fleet: Fleet, catalog: Catalog, *, last: bool, alone: bool) -> str:
    """Why this step must not stand there, or nothing. `alone`: not one of many branches."""
    spec = catalog.spec(step.operation)
    if spec is None or not ends_its_agent(step, fleet, catalog):
        return ""
    if not spec.returns:
        return (
            f"would end the agent of {step.machine}, which carries it out, and nothing would bring "
            "that back; take what comes back by itself, such as machine.restart"
        )
    # Elsewhere the coordinator is there to see that the chain goes on.
    if alone and not last and (step.machine == fleet.control or spec.ends == "unit"):
        return (
            f"ends the agent of {step.machine}, which carries it out, so nothing may follow it; "
            "make it the last step, or give what follows a rung of its own"
        )
    return ""
