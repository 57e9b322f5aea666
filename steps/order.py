"""Compare tuples of which only the members matter; knows no kind of resource and no AWS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def members(wanted: Any) -> tuple[Any, ...]:
    """Read a tuple of the wish, empty where a step that left the file no longer knows it."""
    return wanted if isinstance(wanted, tuple) else ()


def as_wanted(wanted: Any, found: Iterable[T]) -> tuple[T, ...]:
    """Arrange what was found in the order of the wish, so that tuples with the same members are equal."""
    order = members(wanted)
    return tuple(sorted(found, key=lambda each: (order.index(each) if each in order else len(order), str(each))))
