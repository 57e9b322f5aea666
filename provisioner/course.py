"""Where one step is in a run, and the messages that bring it on; decides nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from provisioner.decide import Batch, Past
from provisioner.errors import AwsError, Verdict, classify
from provisioner.kit import Call, Live, Step
from provisioner.terms import Burdens
from state.record import Record


@dataclass
class Course:
    """Where one step is in a run."""

    wish: Step
    since: int = 0
    """The tick no answer may be older than."""
    step: Step | None = None
    live: Live | None = None
    burdens: Burdens = field(default_factory=Burdens)
    batches: Iterator[Batch] | None = None
    out: dict[str, Call] = field(default_factory=dict)
    """The calls under way, by digest."""
    error: AwsError | None = None
    """The worst answer to the batch under way."""
    wake: float | None = None
    born: float | None = None
    newborn: str = ""
    """The id told by the create that was then."""
    surplus: str = ""
    """The digest of the last call that removes one too many."""
    thinned: bool = False
    """Whether that call was made."""
    awaited: str = ""
    waiting_since: float | None = None
    inherited: str = ""
    """The id an earlier run left in the journal."""
    seen: bool = False
    """Whether that run, or this one, has seen it alive."""
    touched: bool = False
    remains: str = ""
    made: dict[str, float] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    """Those of the tries whose outcome is unknown: that nothing came of them says nothing about the call."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Per error code, how often AWS gave it since a call last succeeded."""

    @property
    def past(self) -> Past:
        return Past(
            made=self.made,
            born=self.born,
            newborn=self.newborn,
            thinned=self.thinned,
            tries=self.tries - self.unanswered,
            awaited=self.awaited,
            since=self.waiting_since,
            touched=self.touched,
        )

    def waits(self, why: str, now: float) -> float:
        """Note what it waits for, and tell since when it has been waiting for just that."""
        if self.waiting_since is None or self.awaited != why:
            self.awaited, self.waiting_since = why, now
        return self.waiting_since

    @property
    def dead(self) -> set[str]:
        """The ids of incarnations that are no more: one that was seen and is not there, and one whose create, repeated
        with the same token, brought nothing to light."""
        if self.live is not None:
            return set()
        inherited = self.inherited if self.seen or self.tries else ""
        answered = self.newborn if max(self.tries.values(), default=0) > 1 else ""
        return {inherited, answered} - {""}

    @classmethod
    def begun(cls, wish: Step, since: int, record: Record | None, now: float) -> Self:
        """Begin where the journal says an earlier run was; a clock put back since then makes nothing lie ahead."""
        course = cls(wish, since)
        if record is not None:
            course.inherited, course.seen = record.id, record.status == "settled"
            course.born = None if record.born is None else min(now, record.born)
        for sent in record.calls if record else ():
            if not sent.code or classify(sent.code) is Verdict.UNKNOWN:
                at = min(now, sent.done or sent.at)
                course.made[sent.digest] = at
                if Call(sent.operation).creates:
                    course.born = at
        course.newborn = course.inherited if course.born is not None else ""
        return course


@dataclass(frozen=True)
class Looked:
    """A look is over."""

    name: str
    live: Live | None = None
    burdens: Burdens = field(default_factory=Burdens)
    step: Step | None = None
    error: Exception | None = None
    asked: float = math.inf
    """When the oldest of the answers it is made of was asked for."""


@dataclass(frozen=True)
class Called:
    """A call is over."""

    name: str
    call: Call
    started: float
    id: str = ""
    error: Exception | None = None
    sent: bool = True
    """Whether it left: one that waited for a worker when the run was stopped did not."""
