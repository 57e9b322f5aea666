"""What the engine tells: one plain event a change, for screen, log and tests alike; knows nothing of who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

What = Literal[
    "waiting",  # the step sleeps; `why` says for what
    "calling",  # a mutating call leaves
    "called",  # it came back; `code` is AWS's error code, "" for success
    "retrying",  # AWS refused or did not answer; the same request goes out again in `seconds`
    "settled",  # nothing remains to be called; `id` is what it is
    "gone",  # nothing remains to be torn down
    "failed",  # the step gave up; `code`, `why`, `remedy`
    "blocked",  # a step it needs has failed; `why` names it
    "stopping",  # the run was stopped before its end: no new call was started, those under way are recorded
]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened to a step (or, with an empty ``step``, to the run) at ``at`` seconds of the run's clock."""

    what: What
    at: float
    step: str = ""
    operation: str = ""
    """``service.operation`` of the call concerned."""
    id: str = ""
    why: str = ""
    code: str = ""
    remedy: str = ""
    seconds: float = 0.0
    """How long it took, or (retrying) how long until the next try."""


Listener = Callable[[Event], None]
