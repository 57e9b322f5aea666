"""What has to hold after every stage of a rehearsal: what stands, what the state says and what was declared, compared.

Pure: it asks nobody and knows neither the engine nor the terminal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.inventory import Found
from state.record import Record


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was expected, and what was found."""

    what: str
    expected: str
    found: str
    passed: bool


def nothing_but(what: str, expected: str, odd: Iterable[object]) -> Check:
    """Expect a list to be empty; what is in it is what was found."""
    told = ", ".join(map(str, odd))
    return Check(what=what, expected=expected, found=told or expected, passed=not told)


def standing(
    found: Sequence[Found], remembered: Mapping[str, Record], declared: Collection[str], ahead: Iterable[str]
) -> Iterator[Check]:
    """Check a stack that stands; ``ahead`` is what a plan would still do."""
    found = [each for each in found if not each.leaving]
    ids = {each.id for each in found}
    by_step = defaultdict(list)
    for each in found:
        by_step[each.kind, each.step].append(each.id)
    twice = [f"{kind} {step}: {', '.join(many)}" for (kind, step), many in by_step.items() if step and len(many) > 1]
    yield nothing_but("no duplicate", "one of each", twice)
    known = {record.id for record in remembered.values()}
    orphans = [each for each in found if not each.by_aws and each.id not in known]
    yield nothing_but("no orphan", "nothing that the state does not name", orphans)
    phantoms = [f"{name} {record.id}" for name, record in remembered.items() if record.id not in ids]
    yield nothing_but("no phantom", "nothing in the state that is not there", phantoms)
    pending = [f"{name} is {record.status}" for name, record in remembered.items() if record.status != "settled"]
    missing = [f"{name} is missing" for name in declared if name not in remembered]
    strange = [f"{name} is not declared" for name in remembered if name not in declared]
    yield nothing_but("as declared", f"{len(declared)} steps settled", [*pending, *missing, *strange])
    yield nothing_but("empty plan", "nothing to do", ahead)


def gone(found: Sequence[Found], remembered: Mapping[str, Record], remains: Sequence[str]) -> Iterator[Check]:
    """Check that a stack is gone but for what ``remains`` names by its id, before it says for what it stays."""
    named = {word for told in remains for word in _subject(told)}
    left = [each for each in found if not each.leaving and each.id not in named]
    yield nothing_but("nothing left", "nothing but what was named", left)
    unnamed = [name for name, record in remembered.items() if record.id not in named]
    yield nothing_but("empty state", "no step in the state but of what was named", unnamed)
    ids = {each.id for each in found}
    lost = [told for told in remains if ids.isdisjoint(_subject(told))]
    yield nothing_but("what was named is there", "all that was named", lost)


def _subject(told: str) -> list[str]:
    return told.partition(", for ")[0].split()
