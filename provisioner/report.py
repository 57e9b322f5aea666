"""What a person or a script reads at the end, as text without colour or as plain JSON values; prints nothing.

Knows neither AWS nor the terminal. Every line of text goes through ``clean``, so nothing that AWS or a file says can
steer a terminal or pretend to be a line of ours.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provisioner import decide, graph
from provisioner.kit import Call, Live, Objection, Step, Unknown

if TYPE_CHECKING:
    from provisioner.engine import Seen, Sight
    from provisioner.plan import Planned
    from provisioner.wiring import Failure, Outcome

WIDTH, TABLE = 100, 80
"""Columns of a plan, and of a table."""
VALUE_WIDTHS = (60, 40, 25)
"""Columns of a parameter's value in a plan: the first with which the call fits in its line, else the last."""
SLOWEST = 3
"""How many steps a summary gives the time of."""
NOTICEABLE = 0.1
"""Seconds from which on a step's time is worth telling."""

_OUTPUTS: Mapping[str, tuple[()] | None] = {
    "vpc_id": None,
    "public_subnet_ids": (),
    "private_subnet_ids": (),
    "app_security_group_id": None,
    "database_security_group_id": None,
    "bucket": None,
    "cluster_endpoint": None,
    "reader_endpoint": None,
    "port": None,
    "database": None,
    "secret_arn": None,
}
"""What a stack may give, in the order of the contract, each with what stands for "none"."""
_BARE = re.compile(r"[\w@%+=:,./!-]*", re.ASCII)
"""What an env file holds without quotes, which not all of its readers know: RDS puts "!" into the ARN of a secret."""
_TAGS = frozenset({"Tags", "TagSpecifications", "TagSet", "Tagging"})


def clean(text: str) -> str:
    """Make text from outside harmless: line breaks and tabs become spaces, other control characters visible."""
    if text.isprintable():
        return text
    return "".join(" " if char in "\t\n\r" else char if char.isprintable() else _visible(char) for char in text)


def plan_text(plan: Sequence[Planned], *, stack: str, target: str, region: str, tearing: bool = False) -> str:
    """Tell a plan: what will be called and why, or that there is nothing to do."""
    lines = [f"{stack} on {target} in {region}", ""]
    for each in plan:
        lines += _planned(each)
    quiet = [each.step for each in plan if each.status == "settled" and not each.calls]
    if quiet and tearing:
        lines.append(f"Gone with what they belong to: {', '.join(quiet)}.")
    elif quiet:
        lines.append(f"{_count(len(quiet), 'step')} unchanged.")
    return _joined([*lines, _sum(plan, stack, tearing)])


def plan_json(
    plan: Sequence[Planned], *, stack: str, target: str, region: str, refusals: Sequence[Objection] = ()
) -> dict[str, Any]:
    """Give a plan as a script reads it; what forbids it has a key only where there is something."""
    refused = [{"where": each.where, "what": each.what, "remedy": each.remedy} for each in refusals]
    return {
        "stack": stack,
        "target": target,
        "region": region,
        "steps": [each.as_json() for each in plan],
        "mutating_calls": sum(len(each.calls) for each in plan),
        **({"refusals": refused} if refused else {}),
    }


def status_text(sight: Sight) -> str:
    """Tell what AWS says of every step, as a table of 80 columns; only a command to copy may be longer.

    The last lines are what to do about steps that could not be looked at, if any.
    """
    rows = _statuses(sight)
    columns = ("step", "status", "id", "kind")
    widths = [max((len(row[key]) for row in rows), default=0) for key in columns]
    lines = []
    for row in rows:
        cells = (row[key].ljust(width) for key, width in zip(columns, widths, strict=True))
        lines.append(_cut("  ".join(cells).rstrip(), TABLE))
        lines += [f"    {row['detail']}"] if row["status"] == "foreign" else _folded(row["detail"], TABLE, "    ")
    lines.append(f"{_count(len(rows), 'step')}: {_tally(row['status'] for row in rows)}")
    if sight.failures:
        lines += ["", "Not everything could be looked at. To put that right:"]
        lines += dict.fromkeys(f"  {failure.remedy}" for failure in sight.failures)
    return _joined(lines)


def status_json(sight: Sight, stack: str) -> dict[str, Any]:
    """Give the status as a script reads it."""
    return {"stack": stack, "steps": _statuses(sight)}


def outputs(sight: Sight, *, region: str, account: str) -> dict[str, Any]:
    """Collect what others need to know of a stack: always the same keys, ``None`` or ``[]`` where there is none."""
    found: dict[str, Any] = dict(_OUTPUTS)
    for seen in sight.seen.values():
        if seen.live is None or seen.leftover or seen.live.foreign:
            continue
        for key, value in seen.step.outputs(seen.live).items():
            found[key] = (*found[key], *value) if isinstance(value, tuple) else value
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
    return {**given, "region": region, "account": account}


def outputs_text(found: Mapping[str, Any]) -> str:
    """Tell the outputs, one a line."""
    width = max(map(len, found))
    return _joined(f"{key.ljust(width)}  {_plain(value, ', ') or '-'}" for key, value in found.items())


def outputs_env(found: Mapping[str, Any]) -> str:
    """Tell the outputs as a shell or an env file takes them: quoted only where needed, nothing for "none"."""
    values = {key.upper(): clean(_plain(value, ",")) for key, value in found.items()}
    return _joined(f"{key}={value if _BARE.fullmatch(value) else shlex.quote(value)}" for key, value in values.items())


def graph_text(steps: Sequence[Step]) -> str:
    """Draw who waits for whom: a tree with every step once, under the need that is settled last."""
    needs = graph.edges(steps)
    levels: dict[str, int] = {}
    for name in graph.ordered(needs):
        levels[name] = max((levels[need] + 1 for need in needs[name]), default=0)
    place = {step.name: (levels[step.name], at) for at, step in enumerate(steps)}
    parents = {name: max(needs[name], key=place.__getitem__, default=None) for name in place}
    above: dict[str, set[str]] = {}
    for name in sorted(place, key=place.__getitem__):
        parent = parents[name]
        above[name] = {parent, *above[parent]} if parent is not None else set()

    def titled(step: Step) -> str:
        beside = sorted(needs[step.name] - above[step.name], key=place.__getitem__)
        return f"{step.name} ({step.kind})" + (f", also needs {', '.join(beside)}" if beside else "")

    def branch(parent: str | None, margin: str) -> Iterator[str]:
        twigs = [step for step in steps if parents[step.name] == parent]
        for step in twigs:
            last = step is twigs[-1]
            fork, below = ("", "") if parent is None else ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield f"{margin}{fork}{titled(step)}"
            yield from branch(step.name, margin + below)

    head = "Each step starts when the one above it is settled, and whatever it also needs."
    return _joined([head, "", *branch(None, "")])


def run_json(
    *,
    stack: str,
    outcome: Outcome,
    sight: Sight,
    exit_code: int,
    result: str,
    mutating: int,
    reads: int,
    seconds: float,
) -> dict[str, Any]:
    """Give what a run came to, as a script reads it."""
    return {
        "stack": stack,
        "result": result,
        "exit_code": exit_code,
        "calls": {"mutating": mutating, "reads": reads},
        "seconds": round(seconds, 3),
        "steps": [
            {"step": name, "kind": sight.wishes[name].kind, "result": came_to, "id": outcome.ids.get(name, "")}
            for name, came_to in outcome.results.items()
        ],
        "failures": [_failure_json(failure) for failure in outcome.failures],
        "remains": list(outcome.remains),
    }


def run_text(
    *,
    verb: str,
    stack: str,
    outcome: Outcome,
    sight: Sight,
    mutating: int,
    reads: int,
    seconds: float,
    durations: Mapping[str, float],
    again: str,
) -> str:
    """Tell what a run came to; ``again`` is the command to go on with, ``durations`` are seconds per step.

    The last line is what to do next, if anything, or else what was left behind on purpose.
    """
    word = "interrupted after" if outcome.interrupted else "failed after" if outcome.failures else "done in"
    if word == "done in" and not mutating:
        word = "nothing to do, found in"
    calls = f"{_count(mutating, 'call')}, {_count(reads, 'read')}"
    came_to = _tally("not finished" if result == "interrupted" else result for result in outcome.results.values())
    lines = [*_hanging(f"{verb} {stack}: {word} {_duration(seconds)} ({calls})", TABLE)]
    lines += _folded(came_to, TABLE, "  ")
    slow = sorted((name for name in durations if durations[name] >= NOTICEABLE), key=lambda name: -durations[name])
    if slow:
        told = ", ".join(f"{name} {_duration(durations[name])}" for name in slow[:SLOWEST])
        lines += _folded(f"{'slowest' if len(slow) > SLOWEST else 'took'}: {told}", TABLE, "  ")
    waiting = _waiting(sight, tearing=verb == "teardown")
    for failure in outcome.failures:
        lines += ["", *_failed(failure, _blocked(failure.step, waiting, outcome))]
    if outcome.remains:
        lines.append(f"Left behind on purpose: {'; '.join(outcome.remains)}")
    if outcome.interrupted:
        lines += ["", f"Interrupted; what was done is kept. To go on: {again}"]
    elif outcome.failures:
        lines += ["", f"Everything else is kept. With that put right, go on with: {again}"]
    return _joined(lines)


def refusals_text(objections: Sequence[Objection], verb: str = "") -> str:
    """Tell all that forbids a run, each with its remedy, and the flags that lift it together."""
    lines = [f"Refused to {verb}; nothing was changed." if verb else "Refused; nothing was changed."]
    for each in objections:
        lines += [f"  {each.where}: {each.what}", f"    to go on: {each.remedy}"]
    flags = list(dict.fromkeys(each.remedy for each in objections if each.remedy.startswith("--")))
    return _joined([*lines, *([f"All of these flags: {' '.join(flags)}"] if len(flags) > 1 else [])])


def error_json(code: str, message: str, remedy: str) -> dict[str, Any]:
    """Give an error as a script reads it."""
    return {"error": {"code": code, "message": message, "remedy": remedy}}


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(map(clean, lines))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _tally(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in Counter(words).most_common()) or "none"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _folded(text: str, width: int, margin: str) -> list[str]:
    """Break a text into lines between its words only, so that what is in it can still be copied."""
    return textwrap.wrap(
        text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def _hanging(text: str, width: int) -> list[str]:
    """Break a text into lines, of which those after the first stand in."""
    first, *rest = _folded(text, width - 2, "")
    return [first, *(f"  {line}" for line in rest)]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _plain(value: Any, comma: str) -> str:
    return comma.join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _planned(each: Planned) -> list[str]:
    """Tell what one step would have done to it; nothing where it is as it should be or not there."""
    if not each.calls and each.status in ("settled", "absent"):
        return []
    settling = each.calls and each.status != "broken"
    mark = {"absent": "+", "differs": "~"}.get(each.status, "-") if settling else "!"
    reason = each.reason if settling else f"{each.status}, {each.reason}"
    return [*_hanging(f"{mark} {each.step} ({each.kind}): {reason}", WIDTH), *map(_call, each.calls), ""]


def _sum(plan: Sequence[Planned], stack: str, tearing: bool) -> str:
    calls = sum(len(each.calls) for each in plan)
    if calls:
        return f"{_count(calls, 'call')} in {_count(sum(bool(each.calls) for each in plan), 'step')}."
    odd = ("busy", "broken") if tearing else ("busy", "broken", "foreign")
    if unready := [each.status for each in plan if each.status in odd]:
        return f"No call now: {_tally(unready)}."
    return "Nothing to tear down." if tearing else f"Nothing to do: {stack} is as declared."


def _call(call: Call) -> str:
    """Tell a call in one line, its values shortened as far as that takes, then the last ones only counted.

    The tags of what is created are the same everywhere and left out.
    """
    params = _untagged(call.params) if call.creates else call.params
    told: list[str] = []
    for width in VALUE_WIDTHS:
        told = [f"{key}={_cut(_short(value), width)}" for key, value in params.items()]
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


def _statuses(sight: Sight) -> list[dict[str, str]]:
    """Give every step a row, and what could not be looked at one that says why; AWS said nothing of it."""
    why = {failure.step: failure.message for failure in sight.failures}
    for name in graph.ordered(sight.needs):
        unseen = [need for need in sorted(sight.needs[name]) if need in why]
        if unseen and sight.seen[name].live is None:
            why.setdefault(name, f"not looked at, for it needs {', '.join(unseen)}")
    return [
        _unseen(name, sight.seen.get(name), why[name]) if name in why else _status(name, sight.seen[name])
        for name in dict.fromkeys([*sight.seen, *why])
    ]


def _unseen(name: str, seen: Seen | None, why: str) -> dict[str, str]:
    return {"step": name, "kind": seen.step.kind if seen else "", "id": "", "status": "broken", "detail": why}


def _status(name: str, seen: Seen) -> dict[str, str]:
    status = decide.status(seen.step, seen.live) if not seen.leftover else _of_leftover(seen.live)
    return {
        "step": name,
        "kind": seen.step.kind,
        "id": str(seen.live.id) if seen.live is not None else "",
        "status": status,
        "detail": _detail(seen),
    }


def _of_leftover(live: Live | None) -> decide.Status:
    return "absent" if live is None else "foreign" if live.foreign else "differs"


def _detail(seen: Seen) -> str:
    """Say why the status is what it is, or what of it can be changed by the user alone."""
    live = seen.live
    if live is not None and live.foreign:
        return f"if it is yours, take it over with: {live.foreign}"
    if seen.leftover:
        return "left the environment file"
    if live is None:
        return ""
    return live.broken or live.busy or ("deleting" if live.leaving else decide.differing(seen.step, live))


def _failure_json(failure: Failure) -> dict[str, str]:
    return {
        "step": failure.step,
        "operation": failure.operation,
        "code": failure.code,
        "message": failure.message,
        "remedy": failure.remedy,
    }


def _failed(failure: Failure, blocked: Sequence[str]) -> Iterator[str]:
    yield f"{failure.step} failed" + (f" at {failure.operation}" if failure.operation else "")
    yield f"  why:        {failure.code}: {failure.message}"
    yield f"  what to do: {failure.remedy}"
    if blocked:
        yield f"  blocked:    {', '.join(blocked)}"


def _waiting(sight: Sight, tearing: bool) -> graph.Edges:
    """Name who waits for whom: what is built for what it needs, what is torn down for what needs it."""
    later = graph.reversed_edges(sight.needs)
    leaving = set(sight.wishes) if tearing else sight.leftovers
    return {name: sight.needs[name] if name in leaving else later[name] for name in sight.needs}


def _blocked(cause: str, waiting: graph.Edges, outcome: Outcome) -> list[str]:
    """Name what a failed step has blocked, directly or through others."""
    reached = [cause]
    for name in reached:
        reached += [each for each in waiting[name] if outcome.results.get(each) == "blocked" and each not in reached]
    return [name for name in outcome.results if name in reached[1:]]
