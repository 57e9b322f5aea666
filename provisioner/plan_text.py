"""A plan as a person or a script reads it: text without colour, or plain JSON values; prints nothing.

Knows neither AWS nor the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from provisioner.changes import Cause
from provisioner.estimate import Forecast
from provisioner.kit import Call, Unknown
from provisioner.plan import Planned
from provisioner.words import about, clean, count, cut, hanging, joined, tally

WIDTH = 100
"""Columns of a plan."""
VALUE_WIDTHS = (60, 40, 25)
"""Columns of a parameter's value: the first with which the call fits in its line, else the last."""
WORTH_TELLING = 10.0
"""Seconds from which on a step's own time is told."""
_TAGS = frozenset({"Tags", "TagSpecifications", "TagSet", "Tagging"})
_CAUSED: Mapping[Cause, str] = {
    "file": "the file changed: ",
    "outside": "changed outside: ",
    "unfinished": "left so by a run that was not finished: ",
    "unrecorded": "",
}
"""What comes before the changes of each cause."""
_SOURCES = {"history": "by the last runs here", "table": "by published figures", "both": "in part by published figures"}


def plan_text(
    plan: Sequence[Planned],
    *,
    stack: str,
    target: str,
    region: str,
    tearing: bool = False,
    forecast: Forecast | None = None,
) -> str:
    """Tell a plan: what will be called and why, how long it takes, or that there is nothing to do."""
    seconds = forecast.seconds if forecast else {}
    lines = [f"{stack} on {target} in {region}", ""]
    for each in plan:
        lines += planned_lines(each, seconds.get(each.step, 0.0))
    quiet = [each.step for each in plan if each.status == "settled" and not (each.calls or each.reason)]
    lines += [line for each in plan if each.kept for line in hanging(_kept(each), WIDTH)]
    if quiet and tearing:
        lines.append(f"Gone with what they belong to: {', '.join(quiet)}.")
    elif quiet:
        lines.append(f"{count(len(quiet), 'step')} unchanged.")
    return joined([*lines, _sum(plan, stack, tearing), *_foot(forecast)])


def plan_json(
    plan: Sequence[Planned],
    *,
    stack: str,
    target: str,
    region: str,
    forecast: Forecast | None = None,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Give a plan as a script reads it; what was found against it has a key only where there is something."""
    seconds = forecast.seconds if forecast else {}
    return {
        "stack": stack,
        "target": target,
        "region": region,
        "steps": [{**each.as_json(), "seconds": _rounded(seconds.get(each.step))} for each in plan],
        "mutating_calls": sum(len(each.calls) for each in plan),
        "expected": {"seconds": _rounded(forecast.total), "source": forecast.source} if forecast else None,
        **{key: told for key, told in found.items() if told},
    }


def planned_lines(each: Planned, seconds: float = 0.0) -> list[str]:
    """Tell what one step would have done to it; nothing where it is as it should be or not there."""
    if not each.calls and each.status == "settled" and each.reason:
        return [*hanging(f"= {each.step} ({each.kind}): {each.reason}", WIDTH), ""]
    if not each.calls and each.status in ("settled", "absent"):
        return []
    mark = {"absent": "+", "differs": "~", "broken": "!"}.get(each.status, "-") if each.calls else "!"
    takes = f", {about(seconds)}" if seconds >= WORTH_TELLING else ""
    return [*hanging(f"{mark} {each.step} ({each.kind}{takes}): {_why(each)}", WIDTH), *map(_call, each.calls), ""]


def _why(each: Planned) -> str:
    """Give the reason: what changed by its cause, or in what state it is."""
    if each.status == "differs" and each.changes:
        return "; ".join(_caused(each))
    if each.calls and each.status == "broken" and "broken" in each.causes:
        return f"broken and to be replaced: {each.reason}"
    return each.reason if each.calls and each.status != "broken" else f"{each.status}, {each.reason}"


def _kept(each: Planned) -> str:
    verb = "stays" if len(each.kept) == 1 else "stay"
    how = "AWS cannot change it in place, and the file does not name it"
    return f"{each.step}: {', '.join(each.kept)} {verb} as built ({how})."


def _caused(each: Planned) -> Iterator[str]:
    for cause in each.causes:
        found = [str(change) for change in each.changes if change.cause == cause]
        yield _CAUSED[cause] + ", ".join(found)


def _sum(plan: Sequence[Planned], stack: str, tearing: bool) -> str:
    calls = sum(len(each.calls) for each in plan)
    if calls:
        return f"{count(calls, 'call')} in {count(sum(bool(each.calls) for each in plan), 'step')}."
    odd = ("busy", "broken") if tearing else ("busy", "broken", "foreign")
    if unready := [each.status for each in plan if each.status in odd]:
        return f"No call now: {tally(unready)}."
    return "Nothing to tear down." if tearing else f"Nothing to do: {stack} is as declared."


def _foot(forecast: Forecast | None) -> Iterator[str]:
    """Give what is told under the sum, a line each."""
    if forecast is not None:
        yield f"Takes {about(forecast.total)}, {_SOURCES[forecast.source]}."


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _call(call: Call) -> str:
    """Tell a call in one line, its values shortened as far as that takes, then the last ones only counted.

    The tags of what is created are the same everywhere and left out.
    """
    params = _untagged(call.params) if call.creates else call.params
    told: list[str] = []
    for width in VALUE_WIDTHS:
        told = [f"{key}={cut(_short(value), width)}" for key, value in params.items()]
        if len(line := " ".join([f"  {call.operation}", *told])) <= WIDTH:
            return line
    line, room = f"  {call.operation}", WIDTH - len(" and 99 more")
    while len(line) + 1 + len(told[0]) <= room:
        line = f"{line} {told.pop(0)}"
    return f"{line} and {len(told)} more"


def _untagged(params: Mapping[str, Any]) -> dict[str, Any]:
    nested = {k: _untagged(v) if isinstance(v, Mapping) else v for k, v in params.items() if k not in _TAGS}
    return {key: value for key, value in nested.items() if value != {}}


def _short(value: Any) -> str:
    if isinstance(value, (str, Unknown)):
        text = clean(str(value))
        return text if text and " " not in text else json.dumps(text, ensure_ascii=False)
    if isinstance(value, Mapping):
        if set(value) == {"Key", "Value"}:
            return f"{_short(value['Key'])}={_short(value['Value'])}"
        return f"{{{', '.join(f'{key}: {_short(each)}' for key, each in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_short, value))}]"
    return json.dumps(value, default=str)
