"""What a person or a script reads at the end, as text without colour or as plain JSON values; prints nothing.

Knows neither AWS nor the terminal. Plans have a room of their own, plan_text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from provisioner import decide, graph
from provisioner.kit import Live
from provisioner.terms import Objection
from provisioner.words import clean, count, cut, duration, folded, hanging, joined, tally

if TYPE_CHECKING:
    from provisioner.engine import Seen, Sight
    from provisioner.wiring import Failure, Outcome

TABLE = 80
"""Columns of a table."""
SLOWEST = 3
"""How many steps a summary gives the time of."""
NOTICEABLE = 0.1
"""Seconds from which on a step's time is worth telling."""

At = Callable[[str], str]
"""Gives the place of a key as ``file:line``, "" for what is no key."""

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
    "alerts_topic": None,
    "backup_vault": None,
    "log_bucket": None,
}
"""What a stack may give, in the order of the contract, each with what stands for "none"."""
_BARE = re.compile(r"[\w@%+=:,./!-]*", re.ASCII)
"""What an env file holds without quotes, which not all of its readers know: RDS puts "!" into the ARN of a secret."""


def status_text(sight: Sight) -> str:
    """Tell what AWS says of every step, as a table of 80 columns, with the kinds where there is room for them; only a
    command to copy may be longer.

    The last lines are what to do about steps that could not be looked at, if any.
    """
    rows = _statuses(sight)
    columns = ["step", "status", "id", "kind"]
    widths = [max((len(row[key]) for row in rows), default=0) for key in columns]
    if sum(widths) + 2 * len(columns[1:]) > TABLE:
        columns, widths = columns[:-1], widths[:-1]
    lines = []
    for row in rows:
        cells = (row[key].ljust(width) for key, width in zip(columns, widths, strict=True))
        lines.append(cut("  ".join(cells).rstrip(), TABLE))
        lines += [f"    {row['detail']}"] if row["status"] == "foreign" else folded(row["detail"], TABLE, "    ")
    lines.append(f"{count(len(rows), 'step')}: {tally(row['status'] for row in rows)}")
    if sight.failures:
        lines += ["", "Not everything could be looked at. To put that right:"]
        lines += dict.fromkeys(f"  {failure.remedy}" for failure in sight.failures)
    return joined(lines)


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
    return joined(f"{key.ljust(width)}  {_plain(value, ', ') or '-'}" for key, value in found.items())


def outputs_env(found: Mapping[str, Any]) -> str:
    """Tell the outputs as a shell or an env file takes them: quoted only where needed, nothing for "none"."""
    values = {key.upper(): clean(_plain(value, ",")) for key, value in found.items()}
    return joined(f"{key}={value if _BARE.fullmatch(value) else shlex.quote(value)}" for key, value in values.items())


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
    found: Mapping[str, Any] = MappingProxyType({}),
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
        **{key: told for key, told in found.items() if told},
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
    calls = f"{count(mutating, 'call')}, {count(reads, 'read')}"
    came_to = tally("not finished" if result == "interrupted" else result for result in outcome.results.values())
    lines = [*hanging(f"{verb} {stack}: {word} {duration(seconds)} ({calls})", TABLE)]
    lines += folded(came_to, TABLE, "  ")
    slow = sorted((name for name in durations if durations[name] >= NOTICEABLE), key=lambda name: -durations[name])
    if slow:
        told = ", ".join(f"{name} {duration(durations[name])}" for name in slow[:SLOWEST])
        lines += folded(f"{'slowest' if len(slow) > SLOWEST else 'took'}: {told}", TABLE, "  ")
    waiting = _waiting(sight, tearing=verb == "teardown")
    for failure in outcome.failures:
        lines += ["", *_failed(failure, _blocked(failure.step, waiting, outcome))]
    if outcome.remains:
        lines.append(f"Left behind on purpose: {'; '.join(outcome.remains)}")
    if outcome.interrupted:
        lines += ["", f"Interrupted; what was done is kept. To go on: {again}"]
    elif outcome.failures:
        rest = "What is gone is gone, the rest stands." if verb == "teardown" else "Everything else is kept."
        lines += ["", f"{rest} With that put right, go on with: {again}"]
    return joined(lines)


def refusals_text(objections: Sequence[Objection], verb: str = "", at: At = lambda where: "") -> str:
    """Tell all that forbids a run, each with its place and remedy, and the flags that lift it together."""
    to_do = f" to {verb.replace('teardown', 'tear down')}" if verb else ""
    lines = [f"Refused{to_do}; nothing was changed."]
    for each in objections:
        lines += [f"  {placed(each, at)}: {each.what}", f"    to go on: {each.remedy}"]
    flags = list(dict.fromkeys(each.remedy for each in objections if each.remedy.startswith("--")))
    return joined([*lines, *([f"All of these flags: {' '.join(flags)}"] if len(flags) > 1 else [])])


def placed(objection: Objection, at: At) -> str:
    """Say where, with the line of the file where there is one."""
    line = at(objection.where)
    return f"{line}: {objection.where}" if line else objection.where


def error_json(code: str, message: str, remedy: str) -> dict[str, Any]:
    """Give an error as a script reads it."""
    return {"error": {"code": code, "message": message, "remedy": remedy}}


def _plain(value: Any, comma: str) -> str:
    return comma.join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


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
        return live.cure or f"if it is yours, take it over with: {live.foreign}"
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
