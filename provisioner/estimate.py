"""How long a run will take: what the last ones here took, else published figures; knows no resource and no file.

A step takes what its kind took, for one of three works: ``create``, ``change``, ``delete``. A run takes the longest
path through those that wait for one another.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from provisioner import graph
from provisioner.events import Event
from provisioner.kit import Call
from provisioner.plan import Planned

Work = Literal["create", "change", "delete"]
Source = Literal["history", "table", "both"]
CALL = 1.0
"""Seconds that one call and the look after it take at AWS, assumed; what lasts is in the table."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run is expected to take."""

    seconds: Mapping[str, float]
    """Per step that has something to do, as far as anything is known about its kind."""
    waits: graph.Edges
    """Who waits for whom, in the direction of the run."""
    source: Source

    @property
    def total(self) -> float:
        """Seconds from the first call to the last look."""
        return self.left({}, ())

    def left(self, spent: Mapping[str, float], over: Collection[str]) -> float:
        """Seconds still to go when steps have been at work for ``spent`` seconds and others are ``over``."""
        ends: dict[str, float] = {}
        for name in graph.ordered(self.waits):
            own = 0.0 if name in over else max(0.0, self.seconds.get(name, 0.0) - spent.get(name, 0.0))
            ends[name] = own + max((ends[each] for each in self.waits[name]), default=0.0)
        return max(ends.values(), default=0.0)


def forecast(
    planned: Sequence[Planned], needs: graph.Edges, known: Mapping[str, float], pace: float, tearing: bool = False
) -> Forecast | None:
    """Say what the planned calls take, or nothing where nothing is known.

    ``known`` are seconds by kind and work as ``key`` names them. ``pace`` is how long things take there in terms of
    what they take at AWS: of a cloud in which all is done at once no table can tell.
    """
    seconds: dict[str, float] = {}
    sources: set[Source] = set()
    for each in planned:
        if not each.calls:
            continue
        keys = [key(each.kind, work) for work in _works(each)]
        if all(one in known for one in keys):
            seconds[each.step] = sum(known[one] for one in keys)
            sources.add("history")
        elif pace > 0:
            seconds[each.step] = pace * sum(_published(call) for call in each.calls)
            sources.add("table")
    if not seconds:
        return None
    leaving = [each.step for each in planned if tearing or "left" in each.causes]
    source: Source = "both" if len(sources) > 1 else next(iter(sources))
    return Forecast(seconds=seconds, waits=_waits(needs, leaving), source=source)


def key(kind: str, work: Work) -> str:
    """Name what is remembered together: ``Cluster.create``."""
    return f"{kind}.{work}"


@dataclass
class Stopwatch:
    """Measure, as a listener of a run, what each step took that was called for from its beginning to its end."""

    kinds: Mapping[str, str]
    """The kind of every step, by its name."""
    taken: dict[str, list[float]] = field(default_factory=dict)
    """Seconds by kind and work, as ``key`` names them."""
    _begun: dict[str, float] = field(default_factory=dict)
    _works: dict[str, set[Work]] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if event.what == "calling":
            self._begun.setdefault(event.step, event.at)
            self._works.setdefault(event.step, set()).add(_work(Call(event.operation)))
        elif event.what in ("settled", "gone") and event.step in self._begun:
            works, seconds = self._works.pop(event.step), event.at - self._begun.pop(event.step)
            # What was replaced took both, and what was cleared on its way out was deleted in the end.
            if event.what == "gone" or works != {"create", "delete"}:
                work: Work = "delete" if event.what == "gone" else "create" if "create" in works else "change"
                self.taken.setdefault(key(self.kinds[event.step], work), []).append(seconds)


def _works(each: Planned) -> tuple[Work, ...]:
    if each.status == "broken" and "broken" in each.causes:
        return ("delete", "create")
    if each.status in ("absent", "differs"):
        return ("create",) if any(call.creates for call in each.calls) else ("change",)
    return ("delete",)


def _work(call: Call) -> Work:
    return "create" if call.creates else "delete" if call.method.startswith("delete_") else "change"


def _waits(needs: graph.Edges, leaving: Collection[str]) -> graph.Edges:
    """Turn the needs into who waits for whom: what leaves goes last, dependents first."""
    going = frozenset(leaving)
    staying = frozenset(needs) - going
    turned = graph.reversed_edges({name: needs[name] & going for name in needs if name in going})
    return {name: needs[name] & staying if name in staying else turned[name] | staying for name in needs}


def _published(call: Call) -> float:
    """Give the seconds a call takes until what it asks for is there."""
    return CALL + max(
        (each["seconds"] for each in _spans(call.operation) if each.get("parameter") in (None, *call.params)),
        default=0.0,
    )


def _spans(operation: str) -> Iterable[Mapping[str, Any]]:
    return [each for each in _table().values() if each.get("operation") == operation]


@cache
def _table() -> Mapping[str, Any]:
    """Read the figures by which the embedded cloud keeps time too: one table, with its sources, for both."""
    text = (files("provisioner") / "local" / "durations.json").read_text("utf-8")
    spans: Mapping[str, Any] = json.loads(text)["spans"]
    return spans
