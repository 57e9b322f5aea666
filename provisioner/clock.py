"""The one place where time passes; tests pass a virtual clock instead."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any, Protocol

WORKERS = "provisioner-worker"
"""What the threads are called whose waiting a process that was told to end at once does not wait for."""


class Clock(Protocol):
    """Tell the time and let it pass."""

    @property
    def stopped(self) -> threading.Event:
        """Set when the run is interrupted: sleepers wake up."""

    def now(self) -> float:
        """Seconds since the epoch: states outlive processes, so a monotonic clock would not do."""

    def sleep(self, seconds: float) -> None:
        """Let time pass, or return early when the run is interrupted."""

    def take(self, inbox: queue.SimpleQueue[Any], timeout: float | None) -> Any:
        """Give the next of a queue, or ``None`` when ``timeout`` seconds passed without one."""


class RealClock:
    """The clock on the wall, or one that was the same at ``since`` and runs ``pace`` times as fast."""

    def __init__(self, pace: float = 1.0, since: float = 0.0) -> None:
        self.stopped = threading.Event()
        self._pace, self._since = pace, since

    def now(self) -> float:
        return self._since + (time.time() - self._since) * self._pace

    def sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds / self._pace)

    def take(self, inbox: queue.SimpleQueue[Any], timeout: float | None) -> Any:
        try:
            return inbox.get(timeout=None if timeout is None else timeout / self._pace)
        except queue.Empty:
            return None
