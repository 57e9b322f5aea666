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
    """The clock on the wall."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def take(self, inbox: queue.SimpleQueue[Any], timeout: float | None) -> Any:
        try:
            return inbox.get(timeout=timeout)
        except queue.Empty:
            return None
