"""What a run would do and what forbids it, read from the first look; pure, so nothing here can change anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from provisioner import changes, decide, graph
from provisioner.changes import CAUSES, Cause, Change
from provisioner.decide import Status
from provisioner.engine import Seen, Sight
from provisioner.kit import Call, Live, Step
from provisioner.terms import Objection

FLAGS = frozenset({"delete_data", "disable_protection", "skip_final_snapshot"})
"""What a user may say to lift a protection; each is a field of the steps it concerns."""


def flagged(step: Step, flags: frozenset[str]) -> Step:
    """Hand the user's flags to a step, as far as it has a field for them."""
    lifted: dict[str, Any] = {flag: True for flag in flags if hasattr(step, flag)}
    return replace(step, **lifted)


_LOST: Mapping[Cause, str] = {
    "outside": "deleted outside",
    "unfinished": "deleted by a run that was not finished",
}
"""What became of something that a run had settled and that is no more."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What one step would have done to it."""

    step: str
    kind: str
    status: Status
    reason: str
    calls: tuple[Call, ...]
    causes: tuple[Cause, ...] = ()
    """Why it is not as it should be, in the order of CAUSES; empty where it is, or where that is not ours to say."""
    changes: tuple[Change, ...] = ()
    """What is not as it was or as it is wanted, field by field."""
    kept: tuple[str, ...] = ()
    """Fixed fields the file does not name in which it stays as it was built, though a newborn would be otherwise."""

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "kind": self.kind,
            "status": self.status,
            "reason": self.reason,
            "causes": list(self.causes),
            "changes": [change.as_json() for change in self.changes],
            "calls": [{"operation": call.operation, "params": changes.plain(call.params)} for call in self.calls],
            **({"kept": list(self.kept)} if self.kept else {}),
        }


def provision(sight: Sight) -> list[Planned]:
    """Plan the way to what the blueprint wants, what left it last."""
    ids = known_ids(sight)
    wanted = [name for name in sight.seen if name not in sight.leftovers]
    left = _gone(sight, sight.leftovers, "left the environment file", "left")
    return [_toward_wish(sight.seen[name], ids) for name in wanted] + left


def teardown(sight: Sight) -> list[Planned]:
    """Plan the way to nothing, dependents first."""
    return _gone(sight, sight.seen.keys(), "teardown", "teardown")


def _gone(sight: Sight, going: Collection[str], why: str, cause: Cause) -> list[Planned]:
    kept, names = sight.kept(going), reversed(graph.ordered(sight.needs))
    return [_toward_nothing(sight.seen[name], why, cause, kept.get(name, ())) for name in names if name in going]


def refusals(sight: Sight, flags: frozenset[str], tearing: bool) -> Iterator[Objection]:
    """Say everything that forbids the run, before it changes anything."""
    kept = sight.kept(sight.leftovers)
    for name, seen in sight.seen.items():
        live = seen.live
        if live is None:
            continue
        settled = live.leaving or live.busy == "deleting" or name in kept
        if seen.leftover and seen.step.holds_data and not (tearing or settled or "delete_data" in flags):
            yield Objection(
                name,
                f"{live.id} left the environment file, and to remove it deletes all it holds",
                "put it back into the file, or pass --delete-data",
            )
        yield from seen.protections
        if (live.foreign or not (tearing or seen.leftover)) and (stop := decide.standing(seen.step, live)):
            yield Objection(name, stop.message, stop.remedy)


def losses(sight: Sight) -> list[str]:
    """Name what holds data and left the environment file, so that a run would delete it."""
    going = sight.leftovers - sight.kept(sight.leftovers).keys()
    left = (seen for name, seen in sight.seen.items() if name in going and seen.step.holds_data)
    return [f"{seen.step.name} {seen.live.id}" for seen in left if seen.live and not seen.live.foreign]


def known_ids(sight: Sight) -> dict[str, str]:
    """Give the id of every step that has one."""
    return {name: seen.live.id for name, seen in sight.seen.items() if seen.live and isinstance(seen.live.id, str)}


def _toward_wish(seen: Seen, ids: Mapping[str, str]) -> Planned:
    status = decide.status(seen.step, seen.live)
    calls = _flat(seen.step.provision(seen.live)) if status in ("absent", "differs") else ()
    if seen.live and status == "broken" and decide.standing(seen.step, seen.live) is None:
        calls = _flat(chain(seen.step.teardown(seen.live), seen.step.provision(None)))
    found: tuple[Change, ...] = ()
    if seen.live is None:
        found = _lost(seen)
        reason = _LOST[found[0].cause] if found else "new"
    elif status == "differs":
        found = changes.between(seen.step, seen.live, seen.recorded, ids)
        reason = decide.differing(seen.step, seen.live) or "differs"
    else:
        reason = _circumstance(seen.live)
    return Planned(
        step=seen.step.name,
        kind=seen.step.kind,
        status=status,
        reason=reason,
        calls=calls,
        causes=_causes(status, found),
        changes=found,
        kept=tuple(sorted(seen.step.kept(seen.live))) if seen.live else (),
    )


def _lost(seen: Seen) -> tuple[Change, ...]:
    """Say that what an earlier run had settled is no more, as far as one had."""
    recorded = seen.recorded
    if recorded is None or not recorded.fields:
        return ()
    return (Change(field="id", cause="outside" if recorded.finished else "unfinished", old=recorded.id, new=None),)


def _causes(status: Status, found: tuple[Change, ...]) -> tuple[Cause, ...]:
    other: dict[Status, Cause] = {"absent": "new", "differs": "unrecorded", "broken": "broken"}
    named = {change.cause for change in found}
    return tuple(cause for cause in CAUSES if cause in named) if named else tuple(filter(None, [other.get(status)]))


def _toward_nothing(seen: Seen, why: str, cause: Cause, kept_for: Sequence[str] = ()) -> Planned:
    live = seen.live
    if kept_for and live:
        stays = f"stays, for {', '.join(kept_for)}"
        return Planned(step=seen.step.name, kind=seen.step.kind, status=_presence(live), reason=stays, calls=())
    if seen.strangers:
        held = "; ".join(each.what for each in seen.strangers)
        return Planned(step=seen.step.name, kind=seen.step.kind, status="busy", reason=held, calls=())
    calls = _flat(seen.step.teardown(live)) if live and not (live.foreign or live.busy or live.leaving) else ()
    reason = why if calls else _circumstance(live) if live else "not there"
    return Planned(
        step=seen.step.name,
        kind=seen.step.kind,
        status=_presence(live),
        reason=reason,
        calls=calls,
        causes=(cause,) if live is not None else (),
    )


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
