"""Questions to AWS that are all put before the first answer is waited for; knows no question."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from provisioner.kit import Reader, fingerprint

T = TypeVar("T")


class Asking:
    """Put every question once, at once, each in a thread of its own; a refusal is told to whoever reads the answer."""

    def __init__(self, aws: Reader, workers: Executor) -> None:
        self.aws, self._workers = aws, workers
        self._asked: dict[str, Future[Any]] = {}

    def items(self, operation: str, /, **params: Any) -> Future[Any]:
        """Ask for every item of a listing."""
        key = fingerprint(operation, params)
        if key not in self._asked:
            self._asked[key] = self.soon(lambda: self.aws.items(operation, **params))
        return self._asked[key]

    def soon(self, work: Callable[[], T]) -> Future[T]:
        """Do something that asks, beside all else."""
        return self._workers.submit(work)
