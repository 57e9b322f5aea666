"""Where one step is in a run, and the messages that bring it on; decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from provisioner.decide import Batch, Past
from provisioner.errors import AwsError, Verdict, classify
from provisioner.kit import Burdens, Call, Live, Step
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
    busy_since: float | None = None
    touched: bool = False
    remains: str = ""
    made: dict[str, float] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def past(self) -> Past:
        return Past(self.made, self.born, self.tries, self.busy_since, self.touched)

    @classmethod
    def begun(cls, wish: Step, since: int, record: Record | None) -> Self:
        """Begin where the journal says an earlier run was."""
        course = cls(wish, since)
        for sent in record.calls if record else ():
            if not sent.code or classify(sent.code) is Verdict.UNKNOWN:
                course.made[sent.digest] = sent.done or sent.at
                if Call(sent.operation).creates:
                    course.born = sent.done or sent.at
        return course


@dataclass(frozen=True)
class Looked:
    """A look is over."""

    name: str
    live: Live | None = None
    burdens: Burdens = field(default_factory=Burdens)
    step: Step | None = None
    error: Exception | None = None


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
