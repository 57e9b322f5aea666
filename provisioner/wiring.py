"""What goes into a run and what comes out of it; does nothing itself."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from provisioner.aws import Aws
from provisioner.clock import Clock
from provisioner.events import Listener
from provisioner.kit import Call, Stack
from state.record import Record

Result = Literal["settled", "gone", "kept", "failed", "blocked", "interrupted"]


class Journal(Protocol):
    """What the engine needs to remember; state.store.Journal keeps it on disk."""

    def record(self, name: str) -> Record | None: ...
    def names(self) -> tuple[str, ...]: ...
    def intend(
        self,
        name: str,
        kind: str,
        calls: Sequence[tuple[str, str, Mapping[str, Any]]],
        at: float,
        leaving: bool = False,
        born: float | None = None,
    ) -> None: ...
    def outcome(self, name: str, digest: str, at: float, code: str = "", id: str = "") -> None: ...
    def settled(self, name: str, kind: str, id: str, fields: Mapping[str, Any]) -> None: ...
    def failed(self, name: str) -> None: ...
    def gone(self, name: str) -> None: ...
    def past(self, name: str) -> tuple[str, ...]: ...
    def commit(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A root cause: the step that failed, what AWS said and what to do."""

    step: str
    operation: str
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to."""

    results: Mapping[str, Result]
    ids: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    remains: tuple[str, ...] = ()
    """What was left behind on purpose."""
    interrupted: bool = False

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            results={**self.results, **other.results},
            ids={**self.ids, **other.ids},
            failures=self.failures + other.failures,
            remains=self.remains + other.remains,
            interrupted=self.interrupted or other.interrupted,
        )


class Unshown(Exception):
    """A call is due that the plan this run is held to does not show; it did not leave, and the run is over."""

    def __init__(self, step: str, call: Call) -> None:
        super().__init__(f"{step}: {call.operation} was not in the plan")
        self.step, self.call = step, call


@dataclass(kw_only=True)
class Wiring:
    """Everything a run needs, wired once."""

    aws: Aws
    journal: Journal
    clock: Clock
    workers: Executor
    stack: Stack
    tell: Listener = lambda _: None
    window: float = 60.0
    """Seconds for which what our own last call should have made visible is not disbelieved."""
    lingering: float = 900.0
    """Seconds for which AWS may refuse a call because of the state of something else."""
    abandoned: bool = False
    """Whether not even the answers to what is under way are waited for."""
    allowed: Callable[[str, Call, Mapping[str, str]], bool] = lambda step, call, ids: True
    """Whether a call of a step may leave, given the ids that are known by now."""
    inbox: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
