"""What takes time: a calendar of what becomes of resources, and when; knows no service.

A rule says ``begin``: what it waits for arrives after a span of durations.json times the cloud's scale, at once where
that is no time. Services enter what an arrival does to a resource of their kind. The calendar is in the cloud's memory,
in plain values only, so that it can be copied and saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.local.rules import Ask

Arrival = Callable[[Ask, str, str], None]
"""Make a resource, by its name, what it becomes."""
NEVER = "never"
"""What becomes of a wreck that stays as it is for good."""
_CALENDAR, _WRECKS = "calendar", "wrecks"
_ARRIVALS: dict[str, Arrival] = {}


@dataclass(frozen=True)
class Due:
    """What will become of a resource."""

    at: float
    """Seconds since the epoch."""
    becomes: str


@cache
def recorded() -> Mapping[str, Any]:
    """Give the recorded durations, with their date and sources."""
    text = (files(__package__) / "durations.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def arrival(kind: str) -> Callable[[Arrival], Arrival]:
    """Enter what happens to a resource of this kind when its time has come."""

    def enter(done: Arrival) -> Arrival:
        _ARRIVALS[kind] = done
        return done

    return enter


def begin(ask: Ask, span: str, name: str, becomes: str, since: float | None = None) -> None:
    """Let a resource become something after a span, ``<kind> <what it does>``; what it waited for before is off."""
    each, kind = recorded()["spans"][span], span.partition(" ")[0]
    seconds = each["seconds"] * (ask.time_scale if each.get("scaled", True) else 1.0)
    calendar, key = _calendar(ask), (ask.region, kind, name)
    calendar.pop(key, None)
    if becomes == NEVER:
        return
    due = Due((ask.now if since is None else max(since, ask.now)) + seconds, becomes)
    if due.at > ask.now:
        calendar[key] = due
    else:
        _ARRIVALS[kind](ask, name, becomes)


def come_into_being(ask: Ask, kind: str, name: str) -> bool:
    """Let a newborn become available, or what it was doomed to; tells whether that takes a while."""
    begin(ask, f"{kind} creating", name, _wrecks(ask).pop(kind, "available"))
    return until(ask, kind, name) is not None


def until(ask: Ask, kind: str, name: str) -> float | None:
    """Tell when what a resource waits for is due, if it waits for something."""
    due = _calendar(ask).get((ask.region, kind, name))
    return due.at if due else None


def catch_up(ask: Ask) -> None:
    """Let happen what is due by now, in its order, each at its own time: what follows from it may be due too."""
    while due := min(_overdue(ask), default=None):
        at, key, becomes = due
        del _calendar(ask)[key]
        _, kind, name = key
        _ARRIVALS[kind](replace(ask, now=at), name, becomes)


def _overdue(ask: Ask) -> Iterator[tuple[float, tuple[str, str, str], str]]:
    for key, due in _calendar(ask).items():
        if key[0] == ask.region and due.at <= ask.now:
            yield due.at, key, due.becomes


def doom(memory: dict[Any, Any], outcomes: Mapping[str, str]) -> None:
    """Let the next newborn of each kind end in a status such as ``failed``, or stay as it is (``never``)."""
    if unknown := outcomes.keys() - {"cluster", "instance", "nat"}:
        raise ValueError(f"no {', '.join(sorted(unknown))} can be wrecked, only a cluster, an instance or a nat")
    memory[_WRECKS] = {**memory.get(_WRECKS, {}), **outcomes}


def _calendar(ask: Ask) -> dict[tuple[str, str, str], Due]:
    return ask.memory.setdefault(_CALENDAR, {})  # type: ignore[no-any-return]


def _wrecks(ask: Ask) -> dict[str, str]:
    return ask.memory.setdefault(_WRECKS, {})  # type: ignore[no-any-return]
