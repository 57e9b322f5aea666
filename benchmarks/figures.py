"""What was measured, beside its limit; knows not how it was measured."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH = 34
"""Of the column that says what was measured."""
HEAD = f"{'':<{WIDTH}}{'found':>8}{'limit':>8}"


class Failed(Exception):
    """Something that is measured did not do its work."""


@dataclass(frozen=True)
class Figure:
    """One thing measured, with its limit."""

    what: str
    ours: float
    limit: float
    against: str = ""
    """What it is divided by; empty for a count."""
    theirs: float = 1.0
    unit: str = ""

    @property
    def value(self) -> float:
        return self.ours / self.theirs

    @property
    def over(self) -> bool:
        return self.value > self.limit

    def __str__(self) -> str:
        value, limit = (f"{each:.2f}x" if self.against else f"{each:.0f}" for each in (self.value, self.limit))
        compared = f"{self.ours:.3g} {self.unit} to {self.theirs:.3g} {self.unit} of {self.against}"
        verdict = "over" if self.over else "ok"
        return f"{self.what:<{WIDTH}}{value:>8}{limit:>8}  {verdict:<6}{compared if self.against else ''}".rstrip()
