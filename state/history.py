"""What runs on this machine took: a few figures a target, kept for the next estimate; knows no AWS and no step.

Nothing depends on them: a history that is damaged, of another version or cannot be written is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from state.private import private_file
from state.store import Lock, StateError

SCHEMA = 1
KEPT = 20
"""How many figures of a kind are kept, the youngest."""
LONGEST = 7 * 86400.0
"""Seconds beyond which a figure is that of a clock that was set, not of a run."""


@dataclass(frozen=True)
class History:
    """What the last runs took, by what was done."""

    pace: float = 1.0
    """How long things took there in terms of what they take at AWS: at another pace nothing of it holds."""
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The oldest first."""

    def typical(self, pace: float) -> dict[str, float]:
        """Give the middle one of each, nothing for another pace."""
        known = self.seconds if pace == self.pace else {}
        return {key: sorted(taken)[len(taken) // 2] for key, taken in known.items() if taken}

    def with_run(self, pace: float, taken: Mapping[str, Sequence[float]]) -> History:
        """Add the figures of one run; those of another pace go."""
        before = self.seconds if pace == self.pace else {}
        added = {key: [each for each in taken[key] if 0 <= each <= LONGEST] for key in taken}
        keys = sorted({*before, *added})
        return History(pace, {key: (*before.get(key, ()), *added.get(key, ()))[-KEPT:] for key in keys})


def history_path(state_dir: Path, target: str) -> Path:
    """Say where the history of a target is; every stack has a hyphen in its name, so none is in the way."""
    return state_dir / target / "history.json"


def read_history(path: Path) -> History:
    """Read a history, an empty one where there is none that can be used."""
    try:
        return _parsed(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return History()


def add_run(path: Path, pace: float, taken: Mapping[str, Sequence[float]]) -> None:
    """Add what a run took, if it can be written and nobody else is writing."""
    if not any(taken.values()):
        return
    with suppress(OSError, StateError), Lock.acquire(path):
        history = read_history(path).with_run(pace, taken)
        rounded = {key: [round(each, 3) for each in history.seconds[key]] for key in history.seconds}
        text = json.dumps({"schema": SCHEMA, "pace": history.pace, "seconds": rounded}, indent=1)
        new = path.with_suffix(".json.new")
        with os.fdopen(private_file(new), "w") as file:
            file.write(f"{text}\n")
        new.replace(path)


def _parsed(data: Any) -> History:
    if data["schema"] != SCHEMA:
        raise ValueError(data["schema"])
    seconds = {str(key): tuple(map(_figure, taken[-KEPT:])) for key, taken in data["seconds"].items()}
    return History(_figure(data["pace"]), seconds)


def _figure(value: Any) -> float:
    figure = float(value)
    if not (isfinite(figure) and 0 <= figure <= LONGEST):
        raise ValueError(value)
    return figure
