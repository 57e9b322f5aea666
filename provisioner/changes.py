"""Why a step is not as it is wanted: the file changed, or somebody changed it outside; pure, and knows no AWS.

Three things are compared field by field: what is wanted now, what was found, and what the last run left on record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_args

from provisioner.kit import Live, Step, Unknown, bind

Cause = Literal[
    "new",  # it is in no record and not there
    "file",  # another value is wanted than in the last run
    "outside",  # the same is wanted, and something else is there
    "unfinished",  # a run was ended before it could tell
    "unrecorded",  # no run has left on record how it was
    "broken",  # AWS says that it will never become usable
    "left",  # the environment file has it no more
    "teardown",  # everything is to go
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
_NOWHERE = object()
"""Stands for what is not on record, which may be any value, ``None`` too."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the last run left on record of a step."""

    id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The specification it was last settled with, as plain values; empty if it never was."""
    finished: bool = True
    """Whether nothing has been called for it since."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field that is not as it was, or not as it is wanted."""

    field: str
    """Of what has keys itself, ``tags.team``; ``id`` is the resource as a whole."""
    cause: Cause
    old: Any
    new: Any
    """``file``: recorded and wanted; ``outside``: recorded and found; any other cause: found and wanted."""

    def __str__(self) -> str:
        name, keyed = self.field.replace(".", " ", 1), "." in self.field
        if isinstance(self.old, (list, tuple)) and isinstance(self.new, (list, tuple)):
            gone = [f"-{told(each)}" for each in self.old if each not in self.new]
            return " ".join([name, *gone, *(f"+{told(each)}" for each in self.new if each not in self.old)])
        old, new = ("absent" if keyed and each is None else told(each) for each in (self.old, self.new))
        return f"{name} {old} -> {new}"

    def as_json(self) -> dict[str, Any]:
        """Give the change as plain JSON values, an id that is not known as ``<step>``."""
        return {"field": self.field, "cause": self.cause, "old": plain(self.old), "new": plain(self.new)}


def between(
    step: Step, live: Live, recorded: Recorded | None = None, ids: Mapping[str, str] | None = None
) -> tuple[Change, ...]:
    """Say of everything in which ``live`` is not what ``step`` wants which of the two has changed.

    ``step`` has ids in the place of its needs; by ``ids`` those that the record names are compared with them.
    """
    was = _restored(step, recorded, ids or {})
    found = [change for key in sorted(step.differences(live)) for change in _of_field(key, step, live, was, recorded)]
    return tuple({(each.field, each.cause): each for each in found}.values())


def told(value: object) -> str:
    """Say a value in the words of the environment file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def plain(value: Any) -> Any:
    """Give a fact, or a value of a specification, as plain JSON values."""
    if isinstance(value, (Unknown, Step)):
        return f"<{value.name}>"
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=str)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def _restored(step: Step, recorded: Recorded | None, ids: Mapping[str, str]) -> Step | None:
    """Rebuild the step as the last run wanted it; what cannot be rebuilt is as good as not recorded."""
    if recorded is None or not recorded.fields:
        return None
    try:
        was = bind(type(step).restored(step.name, step.stack, recorded.fields), ids)
        return was if was.labels else None
    except (AttributeError, TypeError, ValueError):
        return None


def _of_field(key: str, step: Step, live: Live, was: Step | None, recorded: Recorded | None) -> Iterator[Change]:
    own = {each.name for each in fields(step)}
    before = _NOWHERE
    if was is not None and recorded is not None and (key in recorded.fields or key not in own):
        before = _value(was, key)
    finished = recorded is None or recorded.finished
    told_apart = [
        change
        for path, *values in _leaves(key, live.facts[key], _value(step, key), before)
        for change in _told_apart(path, values[0], values[1], values[2], finished)
    ]
    if was is None or key in own or all(each.cause != "file" for each in told_apart):
        yield from told_apart
        return
    # What is made of other fields is told by those.
    yield from (each for each in told_apart if each.cause != "file")
    for name in sorted(own & step.specification.keys() - live.facts.keys()):
        old, new = getattr(was, name), getattr(step, name)
        if not _same(old, new):
            yield Change(field=name, cause="file", old=old, new=new)


def _value(step: Step, key: str) -> Any:
    return step.labels if key == "tags" else getattr(step, key)


def _leaves(path: str, found: Any, wanted: Any, before: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Go down to where two values differ, by the keys of mappings and through lists of mappings."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}, key=str):
            one, other = found.get(key), wanted.get(key)
            if one != other:
                yield from _leaves(f"{path}.{key}", one, other, _inside(before, key))
    elif _tables(found) and _tables(wanted) and len(found) == len(wanted):
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if one != other:
                yield from _leaves(f"{path}.{index}", one, other, _inside(before, index))
    else:
        yield path, found, wanted, before


def _tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, Mapping) for each in value)


def _inside(before: Any, key: Any) -> Any:
    if isinstance(before, Mapping):
        return before.get(key)
    if isinstance(before, (list, tuple)):
        return before[key] if isinstance(key, int) and key < len(before) else None
    return before if before is _NOWHERE else None


def _told_apart(path: str, found: Any, wanted: Any, before: Any, finished: bool) -> Iterator[Change]:
    if before is _NOWHERE:
        yield Change(field=path, cause="unrecorded", old=found, new=wanted)
    elif not _same(before, wanted):
        as_found = _same(before, found)
        yield Change(field=path, cause="file", old=found if as_found else before, new=wanted)
        if not as_found and finished and "<" not in json.dumps(plain(before)):
            yield Change(field=path, cause="outside", old=before, new=found)
    elif finished:
        yield Change(field=path, cause="outside", old=wanted, new=found)
    else:
        yield Change(field=path, cause="unfinished", old=found, new=wanted)


def _same(one: Any, other: Any) -> bool:
    """Compare by content; of lists only the members matter."""
    return bool(_members(plain(one)) == _members(plain(other)))


def _members(value: Any) -> Any:
    return sorted(value, key=lambda each: json.dumps(each, sort_keys=True)) if isinstance(value, list) else value
