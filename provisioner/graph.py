"""Who waits for whom, read from the fields of the steps; knows nothing of AWS and of running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from provisioner.kit import Live, Step, needs, walk

Edges = Mapping[str, frozenset[str]]
"""Per step the names of the steps it has to wait for."""


def edges(steps: Iterable[Step]) -> dict[str, frozenset[str]]:
    """Read the dependencies of a blueprint from its fields."""
    listed = list(steps)
    names = {step.name for step in listed}
    if len(names) < len(listed):
        raise ValueError("two steps of one blueprint have the same name")
    return {step.name: needs(step) & names - {step.name} for step in listed}


def found_edges(steps: Iterable[Step], lives: Mapping[str, Live | None]) -> dict[str, frozenset[str]]:
    """Add to the fields' dependencies those that AWS shows: a fact that is the id of another step's resource.

    What left the environment file has lost its fields, not its facts. An attendant shares the id of the resource
    it belongs to and is nobody's need.
    """
    listed = list(steps)
    owners = {
        live.id: step.name for step in listed if not step.attendant and (live := lives.get(step.name)) is not None
    }
    found = {}
    for name, wanted in edges(listed).items():
        live = lives.get(name)
        leaves = walk(live.facts) if live is not None else ()
        found[name] = wanted | {owners[leaf] for leaf in leaves if isinstance(leaf, str) and leaf in owners} - {name}
    return found


def ordered(wanted: Edges) -> list[str]:
    """Sort the names so that each comes after all it needs, in a stable way; raises ValueError naming a cycle."""
    try:
        return list(TopologicalSorter({name: sorted(wanted[name]) for name in wanted}).static_order())
    except CycleError as error:
        raise ValueError(f"steps need each other in a circle: {' > '.join(error.args[1])}") from error


def reversed_edges(wanted: Edges) -> dict[str, frozenset[str]]:
    """Turn every arrow round: what was needed now waits for those that needed it."""
    return {name: frozenset(other for other, whom in wanted.items() if name in whom) for name in wanted}
