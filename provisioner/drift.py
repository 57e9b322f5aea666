"""What somebody changed since the last run, and what to write to wish for it; pure, read from the first look.

What the environment file changed is no drift, and neither is what it says by now. Knows no AWS and writes no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.changes import Change, between, plain
from provisioner.config import objections_to
from provisioner.engine import Seen, Sight
from provisioner.plan import known_ids
from provisioner.settings import Settings
from provisioner.terms import Objection
from provisioner.words import count, hanging, joined

WIDTH = 100
_UPLOADS = "lifecycle.0.AbortIncompleteMultipartUpload.DaysAfterInitiation"
_NONCURRENT = "lifecycle.0.NoncurrentVersionExpiration.NoncurrentDays"
_KEYS: Mapping[tuple[str, str], str] = {
    ("Bucket", _UPLOADS): "bucket.abort_uploads_days",
    ("Bucket", _NONCURRENT): "bucket.noncurrent_days",
    ("Cluster", "auto_pause_seconds"): "database.auto_pause_seconds",
    ("Cluster", "backup_days"): "database.backup_days",
    ("Cluster", "deletion_protection"): "database.deletion_protection",
    ("Cluster", "max_acu"): "database.max_acu",
    ("Cluster", "min_acu"): "database.min_acu",
    ("LogBucket", _UPLOADS): "bucket.abort_uploads_days",
    ("LogBucket", _NONCURRENT): "bucket.noncurrent_days",
}
"""The key of the environment file that says what a field of a step says."""
_NO_KEY = "no key of the environment file says it; provision puts it right"


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """One thing that is not as the last run left it, and what would make it the wish."""

    step: str
    kind: str
    change: Change
    key: str = ""
    """The key of the environment file that says it, if one does."""
    value: Any = None
    """What that key would have to be; ``None`` stands for leaving the table out."""
    why_not: str = ""
    """Why the file cannot wish for it, if so."""

    @property
    def name(self) -> str:
        """What it is called on the command line, beside its key."""
        return f"{self.step}.{self.change.field}"

    def as_json(self) -> dict[str, Any]:
        """Give it as plain JSON values."""
        return {
            "step": self.step,
            "kind": self.kind,
            "field": self.change.field,
            "recorded": plain(self.change.old),
            "found": plain(self.change.new),
            "key": self.key or None,
        }


def drifted(sight: Sight, settings: Settings) -> list[Drifted]:
    """List what differs from the last settled state and is not what the file says."""
    ids = known_ids(sight)
    return [
        _acceptable(sight, seen, change, settings)
        for seen in sight.seen.values()
        if not seen.leftover
        for change in _outside(seen, ids)
    ]


def untold(sight: Sight) -> list[str]:
    """Name the steps of which it cannot be told who changed them: what is busy, and what a run did not finish."""
    return [
        name
        for name, seen in sight.seen.items()
        if not seen.leftover
        and seen.recorded is not None
        and seen.recorded.fields
        and (_is_busy(seen) or (not seen.recorded.finished and (not seen.live or seen.step.differences(seen.live))))
    ]


def remembered(sight: Sight) -> bool:
    """Tell whether any run has settled anything of what was looked at."""
    return any(seen.recorded is not None and seen.recorded.fields for seen in sight.seen.values())


def drift_text(found: Sequence[Drifted], unclear: Sequence[str], *, stack: str, target: str, region: str) -> str:
    """Tell what has drifted, each with the key that would accept it."""
    lines = [f"{stack} on {target} in {region}", ""]
    for step in dict.fromkeys(each.step for each in found):
        of_step = [each for each in found if each.step == step]
        mark = "-" if of_step[0].change.field == "id" else "!" if of_step[0].change.field == "status" else "~"
        lines += hanging(f"{mark} {step} ({of_step[0].kind}): {', '.join(map(_told, of_step))}", WIDTH)
        lines += [f"    to keep it: --accept {each.key}" for each in of_step if each.key and not each.why_not]
    lines += [""] if found else []
    if unclear:
        lines += hanging(f"Busy, or left by a run that was not finished, and so not told: {', '.join(unclear)}.", WIDTH)
    them = "it" if len(found) == 1 else "them"
    sentence = f"{count(len(found), 'difference')} since the last run; provision puts {them} right."
    return joined([*lines, sentence if found else "No drift: all is as the last run left it."])


def drift_json(
    found: Sequence[Drifted], unclear: Sequence[str], *, stack: str, target: str, region: str
) -> dict[str, Any]:
    """Give the drift as a script reads it."""
    where = {"stack": stack, "target": target, "region": region}
    return {**where, "drift": [each.as_json() for each in found], "untold": list(unclear)}


def accepted(found: Sequence[Drifted], keys: Sequence[str]) -> tuple[list[Drifted], list[Objection]]:
    """Find what is to be kept, each by a key of the file or by its step and field; and say what cannot be."""
    chosen, objections = [], []
    for key in keys:
        meant = [each for each in found if key in (each.key, each.name)]
        values = sorted({_toml(each.value) for each in meant if not each.why_not})
        if not meant:
            others = ", ".join(dict.fromkeys(each.key or each.name for each in found)) or "nothing"
            objections.append(Objection(key, "has not drifted", f"what has: {others}"))
        elif meant[0].why_not:
            objections.append(Objection(key, "cannot be accepted", meant[0].why_not))
        elif len(values) > 1:
            remedy = "the file has one value for all of them; provision puts them right"
            objections.append(Objection(key, f"is {' here and '.join(values)} there", remedy))
        else:
            chosen.append(meant[0])
    return list({each.key: each for each in chosen}.values()), objections


def writing(each: Drifted, file: str) -> list[str]:
    """Say what to write into which table of the file."""
    if each.value is None:
        return [f"In {file}, take out the table [{each.key}]."]
    table, _, key = each.key.partition(".")
    every = [f"  (every resource gets this tag, not only {each.step})"] if each.key.startswith("tags.") else []
    return [f"Write into {file}, under [{table}]:", f"  {_quoted(key)} = {_toml(each.value)}", *every]


def _told(each: Drifted) -> str:
    return "deleted outside" if each.change.field == "id" else str(each.change)


def _is_busy(seen: Seen) -> bool:
    return seen.live is not None and bool(seen.live.busy or seen.live.leaving)


def _outside(seen: Seen, ids: Mapping[str, str]) -> list[Change]:
    recorded, live = seen.recorded, seen.live
    if recorded is None or not recorded.fields or not recorded.finished or _is_busy(seen):
        return []
    if live is None:
        return [Change(field="id", cause="outside", old=recorded.id, new=None)]
    if live.foreign:
        return [Change(field="tags", cause="outside", old="of this stack", new="of something else")]
    broken = [Change(field="status", cause="outside", old="usable", new=live.broken)] if live.broken else []
    return [*broken, *(each for each in between(seen.step, live, recorded, ids) if each.cause == "outside")]


def _acceptable(sight: Sight, seen: Seen, change: Change, settings: Settings) -> Drifted:
    """Say which key of the file would say so, or why none can."""
    kind, name = seen.step.kind, seen.step.name
    key, value, why_not = _KEYS.get((kind, change.field), ""), change.new, ""
    if change.field == "id":
        key, value, why_not = _without(sight, kind)
    elif change.field.partition(".")[2] in settings.tags and change.field.startswith("tags."):
        key = change.field
        why_not = "" if change.new is not None else "it was taken away; take it out of the file as well"
    if not (key or why_not):
        why_not = _NO_KEY
    if key and not why_not and value is not None and (objections := objections_to(settings, key, value)):
        why_not = "; ".join(map(str, objections))
    return Drifted(step=name, kind=kind, change=change, key=key, value=value, why_not=why_not)


def _without(sight: Sight, kind: str) -> tuple[str, Any, str]:
    """Say how to wish for what is no more: the key, its value, or why not."""
    if kind == "Bucket":
        return "bucket", None, ""
    if kind == "Cluster":
        return "database", None, ""
    if kind != "DbInstance":
        return "", None, "the file cannot wish for the rest without it; provision builds it again"
    alike = [seen for seen in sight.seen.values() if seen.step.kind == kind and not seen.leftover]
    there = [seen.live is not None for seen in alike]
    if there != sorted(there, reverse=True) or not any(there):
        return "", None, "instances are counted, and the first ones are missing; provision builds them again"
    return "database.instances", sum(there), ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _quoted(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)
