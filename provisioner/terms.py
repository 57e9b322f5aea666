"""What a step says of itself beside its calls: what hangs on it, what stands in its way, how many there may be, what
it costs.

Part of the vocabulary: like ``kit``, which uses it, it imports nothing else of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

MONTH = 730.0
"""Hours of a month, the way AWS's own calculator counts them."""


@dataclass(frozen=True)
class Objection:
    """Something that stands in the way, said before anything is touched."""

    where: str
    """The key in the environment file, or the step or resource it concerns."""
    what: str
    """What is wrong."""
    remedy: str
    """What to write, type or do instead."""
    severity: Literal["refusal", "warning"] = "refusal"
    """Whether it forbids the run, or is only said."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Quantity:
    """What a step uses of something that is paid for, in one month; the price comes from elsewhere."""

    item: str
    """The name of what is paid for in the price list (``nat-gateway-hour``)."""
    floor: float | None = None
    """The least; ``None`` where only use decides (GB stored), so that a price can be told and no sum."""
    ceiling: float | None = None
    """The most; ``None`` where it is the least as well."""


Check: TypeAlias = Iterator[Objection]
"""One question put to AWS before anything is touched, and what follows from the answer."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """How many of a kind an account may have: AWS counts, Service Quotas tells the limit."""

    service: str
    """The service as Service Quotas names it."""
    code: str
    what: str
    """What is counted, in the plural."""
    where: str
    """The key of the environment file that decides how many are wanted."""
    listings: tuple[str, ...] = ()
    """The describes, asked without any filter, whose answers show what there is."""
    places: Callable[..., Iterable[str]] = lambda *items: [""] * sum(map(len, items))
    """Reads from those answers the place of each that counts: a zone, or "" where the region is counted as a whole."""


@dataclass(frozen=True)
class Burdens:
    """What hangs on a resource that is to be torn down."""

    contents: Sequence[Any] = ()
    """One bounded batch of what is inside, in the shape the step's own ``teardown`` takes."""
    protections: Sequence[Objection] = ()
    """What forbids the teardown of the stack, each with the flag that lifts it."""
    strangers: Sequence[Objection] = ()
    """What others have put in or on it: this resource cannot go before that, the rest of the stack can."""
    needed_by: Sequence[str] = ()
    """What outlives the teardown and is of no use without it (a final snapshot needs its key): it stays on purpose."""
