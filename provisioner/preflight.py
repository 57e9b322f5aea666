"""All that stands in the way of a run, said before anything is touched: the one place where checks come together.

A step knows its own (``Step.objections``); what concerns several, or none, is in the rooms ``sources`` lists. AWS is
asked only about what lies ahead, so nothing about a stack that is as declared, and all questions leave at once. Knows
no kind of resource and prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from provisioner import access, caution, quotas
from provisioner.asking import Asking
from provisioner.engine import Sight
from provisioner.errors import LOCKED_OUT, AwsError
from provisioner.kit import Call, Reader, Stack, Step
from provisioner.plan import Planned
from provisioner.settings import Settings
from provisioner.survey import Choices, Identity
from provisioner.terms import Check, Objection


@dataclass(frozen=True, kw_only=True)
class Flight:
    """What lies ahead, and whom to ask about it."""

    settings: Settings
    stack: Stack
    identity: Identity
    choices: Choices
    config_dir: Path
    sight: Sight
    planned: Sequence[Planned]
    aws: Reader
    workers: Executor
    now: float
    """Seconds since the epoch."""
    expected: float = 0.0
    """Seconds the run is expected to take; 0 where nothing is known of that."""
    expiry: float | None = None
    """When the credentials end, in seconds since the epoch; ``None`` where they renew themselves or do not tell."""
    whole: bool = False
    """Whether steps that are as declared are asked about too."""
    ours: bool = True
    """Whether it is this identity that would make the calls; a plan may be for another to carry out."""

    @property
    def ahead(self) -> dict[str, Step]:
        """The declared steps for which something is to be called."""
        return {
            each.step: self.sight.wishes[each.step]
            for each in self.planned
            if each.step not in self.sight.leftovers and (each.calls or each.status == "absent")
        }

    @property
    def adding(self) -> list[Step]:
        """Those of them that come into being."""
        absent = {each.step for each in self.planned if each.status == "absent"}
        return [step for name, step in self.ahead.items() if name in absent]

    @property
    def calls(self) -> list[Call]:
        return [call for each in self.planned for call in each.calls]


@dataclass(frozen=True)
class Skipped:
    """A question that was not answered, and so decides nothing."""

    operation: str
    code: str

    def __str__(self) -> str:
        return f"{self.operation} was not answered ({self.code})"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a preflight came to."""

    refusals: tuple[Objection, ...] = ()
    warnings: tuple[Objection, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def stricter(self) -> Findings:
        """The same, with every warning a refusal."""
        hardened = (replace(each, severity="refusal") for each in self.warnings)
        return replace(self, refusals=(*self.refusals, *hardened), warnings=())

    def ordered(self, line: Callable[[str], int]) -> Findings:
        """The same, in the order of the lines of the file that they are about."""

        def in_order(told: tuple[Objection, ...]) -> tuple[Objection, ...]:
            return tuple(sorted(told, key=lambda objection: line(objection.where)))

        return replace(self, refusals=in_order(self.refusals), warnings=in_order(self.warnings))

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            refusals=tuple(dict.fromkeys(self.refusals + other.refusals)),
            warnings=tuple(dict.fromkeys(self.warnings + other.warnings)),
            skipped=tuple(dict.fromkeys(self.skipped + other.skipped)),
        )


def sources(flight: Flight, asking: Asking) -> Iterator[Check]:
    """Give every check of this flight; a new room of checks gets its line here."""
    yield iter(flight.choices.objections)
    yield access.is_meant(flight.settings.accounts, flight.identity)
    yield from caution.checks(flight.settings, flight.choices.cidr, flight.config_dir)
    for name, step in (flight.sight.wishes if flight.whole else flight.ahead).items():
        if name not in flight.sight.leftovers:
            yield from step.objections(flight.aws, flight.sight.seen[name].live, flight.now)
    for name, seen in flight.sight.seen.items():
        if seen.live is not None and not (seen.live.foreign or seen.leftover):
            yield flight.sight.wishes[name].remarks(seen.live)
    yield from quotas.checks(asking, flight.adding, flight.stack.region)
    if flight.ahead:
        yield access.lasts(flight.expiry, flight.expected, flight.now)
    yield access.is_allowed(flight.aws, flight.calls, flight.identity, flight.stack, flight.ours)


def findings(flight: Flight) -> Findings:
    """Make all checks and sort what they found; raises AwsError only where the credentials are none."""
    asking = Asking(flight.aws, flight.workers)
    found = made(asking, sources(flight, asking))
    if any(each.operation == access.SIMULATION for each in found.skipped):
        found += made(asking, access.dry_runs(flight.aws, flight.calls, flight.ours))
    return found


def made(asking: Asking, checks: Iterator[Check]) -> Findings:
    """Make some checks, those that ask beside each other, and keep the order in which they were given."""
    found = Findings()
    for answer in [asking.soon(partial(judged, check)) for check in checks]:
        found += answer.result()
    return found


def judged(check: Check) -> Findings:
    """Make one check; one that may not ask decides nothing more."""
    found: list[Objection] = []
    skipped: tuple[Skipped, ...] = ()
    try:
        for objection in check:
            found.append(objection)
    except AwsError as error:
        if error.code in LOCKED_OUT:
            raise
        skipped = (Skipped(error.operation, error.code),)
    return Findings(
        refusals=tuple(each for each in found if each.severity == "refusal"),
        warnings=tuple(each for each in found if each.severity == "warning"),
        skipped=skipped,
    )
