"""From the fleet to the questions that are asked of it again and again.

What lives here: `make_watches`. What must not: asking (watcher.py, the agents) and judging.

Each service is asked four ways: by the coordinator, as its users see it; by its machine's own
agent; its unit by that machine's systemd; and from two neighbours, which are the second vantage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from orchestrator.catalog import probe_arguments, probe_names
from orchestrator.core.captures import capture_watches
from orchestrator.core.fleet import Check, Fleet, Further, Machine, Service
from orchestrator.core.health import COORDINATOR, Limit, Rule, Use, Watch
from orchestrator.fleetfile import Inventory, Metric
from tasks import catalog

LOAD_SECONDS = 15.0  #: between two looks at a machine's load, and of a neighbour
SLOW_SECONDS = 60.0  #: between two looks whose answer may take long
LOADED = 12  #: readings over a limit, three minutes: a machine may work hard for a while
POWER_TIMEOUT = 10.0
NEIGHBOURS = 2  #: with one alone, a cut through the middle could leave no witness


def make_watches(inventory: Inventory) -> tuple[Watch, ...]:
    """Everything that is asked, each under a name of its own."""
    fleet, limits = inventory.fleet, _limits(inventory)
    found: list[Watch] = []
    for service in fleet.services.values():
        found += _of_service(fleet, service, inventory.rule, limits.get(service.name, {}))
    for machine in fleet.machines.values():
        found += _of_machine(fleet, machine, inventory.rule, limits.get("", {}))
    return (*found, *capture_watches(inventory.backups.values()))


def _limits(inventory: Inventory) -> dict[str, dict[str, Limit]]:
    """By service, and under the empty name for machines; by metric."""
    found: dict[str, dict[str, Limit]] = {}
    for each in inventory.thresholds:
        limit = Limit(each.warning, each.critical)
        found.setdefault(each.service or "", {})[each.metric.value] = limit
    return found


def _of_service(
    fleet: Fleet, service: Service, rule: Rule, limits: Mapping[str, Limit]
) -> Iterator[Watch]:
    check, pace = service.check, (service.interval_s, service.timeout_s)
    outside = _asked_from_afar(check)
    slow = limits.get(Metric.RESPONSE_SECONDS)
    # An answer that is slower than the time-out cannot be told from none.
    apart = slow is not None and slow.critical >= service.timeout_s
    rest = {k: v for k, v in limits.items() if not (apart and k == Metric.RESPONSE_SECONDS)}
    yield _watch(service, Use.ANSWERS, check, outside or service.machine, pace, rule, rest)
    if outside:
        yield _watch(service, Use.LOCAL, check, service.machine, pace, rule)
    if slow and apart:
        timeout = slow.critical * 1.2
        far = {Metric.RESPONSE_SECONDS.value: slow}
        vantage = outside or service.machine
        slowly = (SLOW_SECONDS, timeout)
        yield _watch(service, Use.LOAD, check, vantage, slowly, rule, far, called="slowness")
    unit = Check("systemd", {"unit": service.unit})
    yield _watch(service, Use.UNIT, unit, service.machine, (service.interval_s, 10.0), rule)
    yield from _from_neighbours(fleet, service, rule)
    for number, each in enumerate(service.further, start=1):
        yield _further(service, Use.ALSO, each, rule, f"{each.title}-{number}")
    if service.fallback:
        yield _further(service, Use.FALLBACK, service.fallback, rule, "fallback")


def _asked_from_afar(check: Check) -> str:
    """The coordinator, for what can be asked over the network; else nobody."""
    probe = catalog.probes().get(check.probe)
    return COORDINATOR if probe is not None and probe.pose is not None else ""


def _from_neighbours(fleet: Fleet, service: Service, rule: Rule) -> Iterator[Watch]:
    port = service.settings.get("port")
    if not isinstance(port, int):
        return
    names = [each for each in fleet.machines if each != fleet.control]
    if service.machine not in names:
        return
    here = names.index(service.machine)
    others = (*names[here + 1 :], *names[:here])
    asked = Check("tcp", {"address": fleet.machines[service.machine].address, "port": port})
    # One from each side of the list, so that a cut through its middle leaves a witness.
    chosen = dict.fromkeys((*others[:1], *others[len(others) // 2 :][:1]))
    for vantage in list(chosen)[:NEIGHBOURS]:
        pace = (LOAD_SECONDS, service.timeout_s)
        yield _watch(
            service, Use.NEIGHBOUR, asked, vantage, pace, rule, called=f"seen-from-{vantage}"
        )


def _watch(
    service: Service,
    use: Use,
    check: Check,
    vantage: str,
    pace: tuple[float, float],
    rule: Rule,
    limits: Mapping[str, Limit] | None = None,
    called: str = "",
) -> Watch:
    interval, timeout = pace
    return Watch(
        f"{service.name}/{called or use.value}",
        use,
        service.name,
        service.machine,
        check.probe,
        _with_timeout(check, timeout),
        vantage,
        interval,
        timeout,
        rule,
        limits or {},
    )


def _with_timeout(check: Check, seconds: float) -> Mapping[str, object]:
    """The probe's own bound is the watch's, where it has one."""
    taken = {each for each in _arguments(check.probe) if each == "seconds"}
    return {**check.arguments, **dict.fromkeys(taken, seconds)}


def _arguments(probe: str) -> Iterable[str]:
    return probe_arguments(probe) if probe in probe_names() else ()


def _further(service: Service, use: Use, each: Further, rule: Rule, called: str) -> Watch:
    pace = (each.interval_s, each.timeout_s)
    return _watch(service, use, each.check, each.vantage, pace, rule, called=called)


def _of_machine(
    fleet: Fleet, machine: Machine, rule: Rule, limits: Mapping[str, Limit]
) -> Iterator[Watch]:
    name = machine.name
    yield Watch(
        f"{name}/load",
        Use.LOAD,
        "",
        name,
        "machine",
        {},
        name,
        LOAD_SECONDS,
        10.0,
        replace(rule, slow=LOADED),
        limits,
    )
    if "vm" in machine.settings:
        wanted = {k: machine.settings[k] for k in ("hypervisor", "at", "vm")}
        yield Watch(
            f"{name}/power",
            Use.POWER,
            "",
            name,
            "vm",
            wanted,
            fleet.control,
            5.0,
            POWER_TIMEOUT,
            rule,
        )
