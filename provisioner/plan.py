"""What a run would do and what forbids it, read from the first look; pure, so nothing here can change anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from provisioner import decide, graph
from provisioner.decide import Status
from provisioner.engine import Seen, Sight
from provisioner.kit import Call, Live, Objection, Step, Unknown

FLAGS = frozenset({"delete_data", "disable_protection", "skip_final_snapshot"})
"""What a user may say to lift a protection; each is a field of the steps it concerns."""


def flagged(step: Step, flags: frozenset[str]) -> Step:
    """Hand the user's flags to a step, as far as it has a field for them."""
    lifted: dict[str, Any] = {flag: True for flag in flags if hasattr(step, flag)}
    return replace(step, **lifted)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What one step would have done to it."""

    step: str
    kind: str
    status: Status
    reason: str
    calls: tuple[Call, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "kind": self.kind,
            "status": self.status,
            "reason": self.reason,
            "calls": [{"operation": call.operation, "params": _plain(call.params)} for call in self.calls],
        }


def provision(sight: Sight) -> list[Planned]:
    """Plan the way to what the blueprint wants, what left it last."""
    wanted = [name for name in sight.seen if name not in sight.leftovers]
    left = [name for name in reversed(graph.ordered(sight.needs)) if name in sight.leftovers]
    return [_toward_wish(sight.seen[name]) for name in wanted] + [
        _toward_nothing(sight.seen[name], "left the environment file") for name in left
    ]


def teardown(sight: Sight) -> list[Planned]:
    """Plan the way to nothing, dependents first."""
    return [_toward_nothing(sight.seen[name], "teardown") for name in reversed(graph.ordered(sight.needs))]


def refusals(sight: Sight, flags: frozenset[str], tearing: bool) -> Iterator[Objection]:
    """Say everything that forbids the run, before it changes anything."""
    for name, seen in sight.seen.items():
        live = seen.live
        if live is None:
            continue
        leaving = live.leaving or live.busy == "deleting"
        if seen.leftover and seen.step.holds_data and not (tearing or leaving or "delete_data" in flags):
            yield Objection(
                name,
                f"{live.id} left the environment file, and to remove it deletes all it holds",
                "put it back into the file, or pass --delete-data",
            )
        yield from seen.protections
        if (live.foreign or not (tearing or seen.leftover)) and (stop := decide.standing(seen.step, live)):
            yield Objection(name, stop.message, stop.remedy)


def _toward_wish(seen: Seen) -> Planned:
    status = decide.status(seen.step, seen.live)
    calls = _flat(seen.step.provision(seen.live)) if status in ("absent", "differs") else ()
    if seen.live and status == "broken" and decide.standing(seen.step, seen.live) is None:
        calls = _flat(chain(seen.step.teardown(seen.live), seen.step.provision(None)))
    if seen.live is None:
        reason = "new"
    elif status == "differs":
        reason = decide.differing(seen.step, seen.live) or "differs"
    else:
        reason = _circumstance(seen.live)
    return Planned(step=seen.step.name, kind=seen.step.kind, status=status, reason=reason, calls=calls)


def _toward_nothing(seen: Seen, why: str) -> Planned:
    live = seen.live
    if seen.strangers:
        held = "; ".join(each.what for each in seen.strangers)
        return Planned(step=seen.step.name, kind=seen.step.kind, status="busy", reason=held, calls=())
    calls = _flat(seen.step.teardown(live)) if live and not (live.foreign or live.busy or live.leaving) else ()
    reason = why if calls else _circumstance(live) if live else "not there"
    return Planned(step=seen.step.name, kind=seen.step.kind, status=_presence(live), reason=reason, calls=calls)


def _presence(live: Live | None) -> Status:
    if live is None:
        return "absent"
    if live.foreign:
        return "foreign"
    return "broken" if live.broken else "busy" if live.busy or live.leaving else "settled"


def _circumstance(live: Live) -> str:
    return live.broken or live.busy or ("deleting" if live.leaving else "") or ("not ours" if live.foreign else "")


def _flat(calls: Iterator[Call | tuple[Call, ...]]) -> tuple[Call, ...]:
    return tuple(each for call in calls for each in (call if isinstance(call, tuple) else (call,)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Unknown) else value
