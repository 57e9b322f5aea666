"""Several threads on a clock nobody waits for: they take turns, one runs at a time, and every run is the same.

Time passes only when all of them wait for something, and then to the moment at which the first goes on. So it is told
exactly what a run with a real pool of workers takes, and who stands in whose way. Knows no step.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from provisioner.errors import AwsError, classify
from provisioner.kit import fingerprint
from provisioner.local.faults import Faults
from tests.world import Watched, World


@dataclass
class _Waiting:
    """A thread that has given its turn away."""

    ready: Callable[[], bool]
    at: float = inf
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stuck: bool = False


class Turns:
    """The clock of a run, and whose turn it is. Only who has the turn touches anything, so nothing is locked."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now
        self.stopped = threading.Event()
        self._waiting: list[_Waiting] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.until(self.stopped.is_set, self.time + seconds)

    def take(self, inbox: queue.SimpleQueue[Any], timeout: float | None) -> Any:
        self.until(lambda: not inbox.empty(), inf if timeout is None else self.time + timeout)
        return None if inbox.empty() else inbox.get()

    def until(self, ready: Callable[[], bool], at: float = inf) -> None:
        """Let others run until something holds, or its time has come."""
        me = _Waiting(ready, at)
        self._waiting.append(me)
        self.pass_on()
        me.turn.acquire()
        assert not me.stuck, "everybody waits for somebody: the run would hang"

    def pass_on(self) -> None:
        """Give the turn to who has waited longest of those that can go on; if nobody can, let time pass."""
        while self._waiting:
            able = next((each for each in self._waiting if each.ready() or each.at <= self.time), None)
            if able is None and (at := min(each.at for each in self._waiting)) < inf:
                self.time = at
                continue
            chosen = able or self._waiting[0]
            chosen.stuck = able is None
            self._waiting.remove(chosen)
            chosen.turn.release()
            break

    def started(self, work: Callable[[], None]) -> None:
        """Let a thread of its own wait for its first turn."""
        me = _Waiting(lambda: True)
        self._waiting.append(me)

        def run() -> None:
            me.turn.acquire()
            work()
            self.pass_on()

        threading.Thread(target=run, daemon=True).start()


class Workers(Executor):
    """A pool of threads that take turns."""

    def __init__(self, turns: Turns, parallelism: int = 10) -> None:
        self._turns, self._parallelism = turns, parallelism
        self._todo: deque[Callable[[], None]] = deque()
        self._busy = 0
        self.most = 0
        """How many threads there were at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Patient(self._turns)

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._todo.append(work)
        if self._busy < self._parallelism:
            self._busy += 1
            self.most = max(self.most, self._busy)
            self._turns.started(self._work)
        return future

    def _work(self) -> None:
        while self._todo:
            self._todo.popleft()()
        self._busy -= 1


class _Patient(Future[Any]):
    """A future whose result is waited for by letting others run."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def result(self, timeout: float | None = None) -> Any:
        self._turns.until(self.done)
        return super().result(timeout)


class Shared(Watched):
    """AWS as several threads of a run speak to it; of some services all requests may be throttled for a while."""

    def __init__(self, client: Callable[[str], Any], turns: Turns, storms: Mapping[str, float]) -> None:
        super().__init__(client, turns)
        self._turns, self._storms = turns, storms

    def answer(self, operation: str, params: Any, since: int, paged: bool) -> Any:
        asked = self._answers.get(fingerprint(operation, params, paged))
        if asked is not None and asked.tick >= since and not asked.future.done():
            self._turns.until(asked.future.done)
            return asked.future.result(), asked.asked
        return super().answer(operation, params, since, paged)

    def _send(self, client: Any, operation: str, params: Any) -> Any:
        if self._storms.get(operation.partition(".")[0], 0.0) > self._turns.time:
            raise AwsError(operation, "Throttling", "Rate exceeded", classify("Throttling"))
        return super()._send(client, operation, params)


class BusyWorld(World):
    """A world whose sessions have a pool of workers."""

    def __init__(
        self,
        folder: Path,
        environment: str = "dev",
        parallelism: int = 10,
        time_scale: float = 0.0,
        faults: Faults | None = None,
    ) -> None:
        turns = Turns()
        super().__init__(folder, environment, faults=faults, clock=turns)
        self.cloud.time_scale = time_scale
        self.pool = Workers(turns, parallelism)
        self.storms: dict[str, float] = {}
        """By service, until when all requests to it are throttled."""

    def workers(self) -> Executor:
        return self.pool

    def connection(self, client: Callable[[str], Any], clock: Turns) -> Watched:
        return Shared(client, clock, self.storms)
