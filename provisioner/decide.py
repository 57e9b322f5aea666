"""The policy, pure: what a step shall do next, from what was found and what was done; knows no AWS and no thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from provisioner import changes
from provisioner.kit import Ambiguous, Call, Live, Step

TRIES = 3
"""The same call without effect, its window waited out each time, that makes an error instead of a loop."""
SHORTEST, LONGEST = 1.0, 15.0
"""Seconds between two looks at something busy."""

Status = Literal["absent", "busy", "settled", "differs", "broken", "foreign"]
Batch = tuple[Call, ...]


@dataclass(frozen=True)
class Past:
    """What is known to have been done for a step, in this run and, from the journal, before it."""

    made: Mapping[str, float] = field(default_factory=dict)
    """Per digest, when the last such call that may have had an effect came back (or left, if it never did)."""
    born: float | None = None
    """When the last create that may have had an effect came back; none has been torn down since."""
    newborn: str = ""
    """The id that create told, if it told one."""
    thinned: bool = False
    """Whether one too many was removed."""
    tries: Mapping[str, int] = field(default_factory=dict)
    """Per digest, how often this run has made the call."""
    awaited: str = ""
    """What this run has been waiting for last."""
    since: float | None = None
    """Since when it has been waiting for just that."""
    touched: bool = False
    """Whether this run has called for it or waited for it."""


@dataclass(frozen=True)
class Settled:
    """Nothing remains to be called."""


@dataclass(frozen=True)
class Asleep:
    """Nothing can be done before ``until`` (seconds since the epoch)."""

    until: float
    why: str


@dataclass(frozen=True)
class Act:
    """These calls remain."""

    batches: Iterator[Batch]


@dataclass(frozen=True)
class Failed:
    """No call of ours will get there."""

    code: str
    message: str
    remedy: str
    operation: str = ""


Decision = Settled | Asleep | Act | Failed


def toward_wish(step: Step, live: Live | None, past: Past, now: float, window: float) -> Decision:
    """Decide what brings a step nearer to what is wanted."""
    if live is None:
        return _unseen(past, now, window) or _act(step, step.provision(None), past, now, window)
    if stop := standing(step, live, past.touched):
        return stop
    if live.id != past.newborn and (shows := _newborn_hidden(past, now, window)):
        return shows
    if live.broken:
        return _act(step, step.teardown(live), past, now, window)
    if live.busy:
        return _wait(step, live.busy, past, now)
    return _act(step, step.provision(live), past, now, window, live)


def toward_nothing(step: Step, live: Live | None, past: Past, now: float, window: float) -> Decision:
    """Decide what brings a step nearer to being gone; what is foreign is left alone."""
    if live is None:
        return _unseen(past, now, window) or Settled()
    if live.foreign or live.leaving or live.needed_by:
        return Settled()
    if live.busy:
        return _wait(step, live.busy, past, now)
    decision = _act(step, step.teardown(live), past, now, window, live)
    if isinstance(decision, Settled) and not step.attendant:
        return _wait(step, "to disappear", past, now)
    return decision


def among_twins(step: Step, error: Ambiguous, past: Past, now: float, window: float) -> Decision:
    """Decide about several that carry the tags of one step: what was just created in vain goes, the older one stays.

    That happens where a lost state met reads that lagged: an earlier run's did not show yet. Past the window, and
    where something hangs on ours, nobody can tell which of them is the right one.
    """
    if past.thinned and (shows := _unseen(past, now, window)):
        return shows
    mine = error.twins.get(past.newborn)
    removable = mine is not None and _is_young(past, now, window) and not past.thinned
    calls = [(call,) for call in step.surplus(mine)] if mine is not None and removable else []
    return Act(iter(calls)) if calls else ambiguous(error)


def ambiguous(error: Ambiguous) -> Failed:
    """Name several of which there should be one; nothing is touched."""
    return Failed(
        "Ambiguous", f"{error}: they carry the same tags", "remove or retag all but one, then run the command again"
    )


def standing(step: Step, live: Live, touched: bool = False) -> Failed | None:
    """Say why what stands there can never become what is wanted, if so."""
    if live.foreign:
        return Failed(
            "Foreign",
            f"{live.id} stands in the place of {step.label} and has not the tags of this stack",
            live.cure or f"if it is yours, take it over with: {live.foreign}",
        )
    if live.broken and (step.holds_data or live.cure or touched):
        again = live.cure or ("save what it holds, delete it by hand" if step.holds_data else "nothing to do by hand")
        return Failed("Broken", f"{live.id}: {live.broken}", f"{again}, then run the same command again")
    if changed := sorted(step.differences(live) & step.fixed):
        told = ", ".join(f"{key} is {live.facts[key]}, wanted {getattr(step, key)}" for key in changed)
        return Failed("Fixed", f"AWS cannot change this in place: {told}", f"put the old value back, or {step.moving}")
    return None


def status(step: Step, live: Live | None) -> Status:
    """Put what was found in one word."""
    if live is None:
        return "absent"
    if live.foreign:
        return "foreign"
    if live.broken:
        return "broken"
    if live.busy:
        return "busy"
    done = standing(step, live) is None and next(step.provision(live), None) is None
    return "settled" if done else "differs"


def differing(step: Step, live: Live) -> str:
    """Tell what differs, found and wanted, for a person: of tags only the keys, of a list only the members that do."""
    return ", ".join(map(str, changes.between(step, live)))


def pause(since: float, now: float) -> float:
    """Seconds until the next look at what has been busy since then: a twentieth of its age.

    So whatever takes a while is seen to be ready at most 5 % late, however long it takes.
    """
    return min(LONGEST, max(SHORTEST, (now - since) / 20))


def _is_young(past: Past, now: float, window: float) -> bool:
    return past.born is not None and past.born + window > now


def _unseen(past: Past, now: float, window: float) -> Asleep | None:
    """Disbelieve "there is none" while what was created may not be visible yet."""
    if past.born is not None and _is_young(past, now, window):
        return Asleep(min(past.born + window, now + pause(past.born, now)), "what was created to show")
    return None


def _newborn_hidden(past: Past, now: float, window: float) -> Asleep | None:
    """Wait for the newborn where another one shows in its place: what is built on either could be on the wrong one."""
    return _unseen(past, now, window) if past.newborn and not past.thinned else None


def _wait(step: Step, why: str, past: Past, now: float) -> Asleep | Failed:
    since = past.since if past.since is not None and past.awaited == why else now
    if now - since >= step.patience:
        return Failed("Timeout", f"still {why} after {step.patience / 60:.0f} minutes", "run the same command again")
    return Asleep(now + pause(since, now), why)


def _act(
    step: Step,
    calls: Iterator[Call | Batch],
    past: Past,
    now: float,
    window: float,
    live: Live | None = None,
) -> Decision:
    batches = (call if isinstance(call, tuple) else (call,) for call in calls)
    first = next(batches, None)
    if first is None:
        return Settled()
    if any(call.unknowns for call in first):
        return _wait(step, "what it belongs to", past, now)
    made = [past.made[call.digest] for call in first if call.digest in past.made]
    if made and max(made) + window > now:
        return Asleep(min(max(made) + window, now + pause(max(made), now)), f"{first[0].operation} to show")
    if max(past.tries.get(call.digest, 0) for call in first) >= TRIES:
        found = differing(step, live) if live is not None else "nothing there"
        return Failed(
            "NoEffect",
            f"made {TRIES} times without effect; found: {found or 'no change'}",
            "look at the resource in the AWS console, then run the same command again",
            first[0].operation,
        )
    return Act(chain([first], batches))
