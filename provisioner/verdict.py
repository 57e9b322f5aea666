"""What a person or a script reads of a rehearsal, as text of 80 columns or as plain JSON values; prints nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from provisioner.rehearsal import PACE, Rehearsal, Run, Stage
from provisioner.words import clean

WIDTH, MARGIN = 80, 11
"""Columns of a line, and of what its label takes."""
_SUFFERED = {
    "throttled": "throttled",
    "cut before": "cut off before the work",
    "cut after": "cut off after the work",
    "error": "answered 5xx before the work",
    "error after": "answered 5xx after the work",
    "unresolved": "to a name that did not resolve",
    "expired": "with expired credentials",
}
"""What a request suffered, in words."""


def rehearsal_text(played: Rehearsal, again: str) -> str:
    """Tell a rehearsal stage by stage, the verdict in the last line; ``again``, the command that repeats it, may be
    longer than a line."""
    lines = [f"rehearse {played.stack}: faults {played.faults}, seed {played.seed}"]
    lines.append(f"in a cloud of its own, whose time runs {PACE:g} times as fast")
    for stage in played.stages:
        lines += ["", *_stage(stage)]
    checks, failed = len(played.checks), sum(not check.passed for _, check in played.checks)
    lines += ["", *([f"To see it again: {again}"] if failed else [])]
    verdict = f"failed: {failed} of {_count(checks, 'check')}" if failed else f"passed: {_count(checks, 'check')}"
    lines.append(f"{verdict} after {_count(sum(played.injected.values()), 'fault')}, in {played.seconds:.0f} s")
    return "\n".join(map(clean, lines))


def rehearsal_json(played: Rehearsal) -> dict[str, Any]:
    """Give a rehearsal as a script reads it."""
    return {
        "stack": played.stack,
        "faults": played.faults,
        "seed": played.seed,
        "time_scale": played.time_scale,
        "seconds": round(played.seconds, 3),
        "stages": [_stage_json(stage) for stage in played.stages],
        "injected": dict(sorted(played.injected.items())),
        "checks": [
            {
                "stage": stage,
                "check": check.what,
                "expected": check.expected,
                "found": check.found,
                "passed": check.passed,
            }
            for stage, check in played.checks
        ],
        "verdict": "passed" if played.passed else "failed",
    }


def _stage(stage: Stage) -> Iterator[str]:
    calls, reads = sum(run.calls for run in stage.runs), sum(run.reads for run in stage.runs)
    seconds = sum(run.seconds for run in stage.runs)
    did = f"{_count(calls, 'call')}, {_count(reads, 'read')}"
    yield f"{stage.name}: {_count(len(stage.runs), 'run')}, {did}, {seconds:.0f} s of its own time"
    if stage.injected:
        yield from _labelled("injected", _injected(stage.injected))
        yield from _labelled("answered", _answered(stage))
    for run in stage.runs[:-1]:
        yield from _labelled("run again", "; ".join(_failures(run)))
    for what, right in stage.changes:
        yield from _labelled("put right" if right else "STILL SO", what)
    for told in stage.remains:
        yield from _labelled("left", f"{told.partition(' (')[0]}, which goes with this cloud")
    failed = [check for check in stage.checks if not check.passed and check.what != "put right"]
    for check in failed:
        yield from _labelled("FAILED", f"{check.what}: expected {check.expected}, found {check.found}")
    if not failed:
        yield from _labelled("found", ", ".join(dict.fromkeys(check.what for check in stage.checks)))


def _injected(injected: Mapping[str, int]) -> str:
    most_first = sorted(injected.items(), key=lambda item: -item[1])
    return ", ".join(f"{number} {_SUFFERED.get(kind, kind)}" for kind, number in most_first)


def _answered(stage: Stage) -> str:
    retries, unanswered = sum(run.retries for run in stage.runs), sum(run.unanswered for run in stage.runs)
    looked = f"; looked again after {_count(unanswered, 'call')}" if unanswered else ""
    return f"{_count(retries, 'request')} sent again{looked}"


def _failures(run: Run) -> Iterator[str]:
    for each in run.failures:
        where = " at ".join(filter(None, (each.step, each.operation)))
        yield f"{where}: {each.code}: {each.message}"


def _labelled(label: str, text: str) -> list[str]:
    """Break a text into lines beside its label, between its words only."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label}".ljust(MARGIN + 2),
        subsequent_indent=" " * (MARGIN + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "runs": [
            {
                "calls": {"mutating": run.calls, "reads": run.reads},
                "sent_again": run.retries,
                "looked_again": run.unanswered,
                "seconds": round(run.seconds, 3),
                "failures": [asdict(failure) for failure in run.failures],
            }
            for run in stage.runs
        ],
        "injected": dict(stage.injected),
        "changes": [{"change": what, "put_right": right} for what, right in stage.changes],
        "remains": list(stage.remains),
    }
