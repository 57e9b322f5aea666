"""What a preflight found, as a person or a script reads it; asks nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provisioner.preflight import Findings
from provisioner.report import At, placed
from provisioner.terms import Objection
from provisioner.words import clean


def found_json(found: Findings, at: At) -> dict[str, Any]:
    """Give what was found; ``at`` is told only of keys that stand in the file."""
    return {
        "refusals": [_objection(each, at) for each in found.refusals],
        "warnings": [_objection(each, at) for each in found.warnings],
        "skipped": [{"operation": each.operation, "code": each.code} for each in found.skipped],
    }


def warnings_text(found: Findings, at: At) -> str:
    """Tell what is only said, and what could not be asked; "" for nothing."""
    lines = [f"warning: {placed(each, at)}: {each.what}; {each.remedy}" for each in found.warnings]
    lines += [f"not checked: {each}" for each in found.skipped]
    return "\n".join(map(clean, lines))


def preflight_text(found: Findings, *, stack: str, target: str, region: str, identity: str, at: At) -> str:
    """Tell a preflight that refuses nothing."""
    told = warnings_text(found, at)
    head = f"{stack} on {target} in {region}, as {identity}"
    last = "Nothing stands in the way." if not found.warnings else "Nothing is refused."
    return "\n".join([clean(head), *([told] if told else []), last])


def losses_text(losses: Sequence[str]) -> str:
    """Tell first what is lost for good."""
    return clean(f"This deletes data: {', '.join(losses)}.")


def _objection(each: Objection, at: At) -> dict[str, str]:
    place = at(each.where)
    return {"where": each.where, "what": each.what, "remedy": each.remedy, **({"at": place} if place else {})}
