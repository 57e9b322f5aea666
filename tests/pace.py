"""How long a run must take at least where things take their time: the durations on the longest way through its steps.

Knows neither the engine nor who compares.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner import graph
from provisioner.kit import Step
from provisioner.local import lifecycle

SECONDS = {span: each["seconds"] for span, each in lifecycle.recorded()["spans"].items()}
"""Of everything that takes time at AWS, how long it takes."""
CREATING = {
    "NatGateway": SECONDS["nat creating"],
    "VpcEndpoint": SECONDS["endpoint creating"],
    "Cluster": SECONDS["cluster creating"],
    "DbInstance": SECONDS["instance creating"],
    "EventSubscription": SECONDS["subscription creating"],
}
"""By kind of step, those whose creation takes time."""
DELETING = {
    "NatGateway": SECONDS["nat deleting"] + SECONDS["interface lingering"],
    "VpcEndpoint": SECONDS["endpoint deleting"],
    "Cluster": SECONDS["instance deleting"] + SECONDS["cluster deleting"],
    "EventSubscription": SECONDS["subscription deleting"],
}
"""An instance that leaves is waited for by its cluster only."""
FLAGS = frozenset({"delete_data", "disable_protection", "skip_final_snapshot"})
"""What lifts every protection from a teardown."""


def longest(steps: Iterable[Step], tearing: bool = False) -> float:
    """Add up the durations along the longest way through the graph, in seconds at AWS."""
    steps = tuple(steps)
    edges = graph.edges(steps)
    wanted, seconds = (graph.reversed_edges(edges), DELETING) if tearing else (edges, CREATING)
    kinds, ends = {step.name: step.kind for step in steps}, dict[str, float]()
    for name in graph.ordered(wanted):
        ends[name] = seconds.get(kinds[name], 0.0) + max((ends[need] for need in wanted[name]), default=0.0)
    return max(ends.values())
