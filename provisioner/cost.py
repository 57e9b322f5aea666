"""What steps cost a month: their quantities in the money of a price list; pure, and knows no kind of resource.

Sums are ranges, from the least (everything idle) to the most (everything at its limit all month). What only use
decides is told as a rate and is in no sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any

from provisioner import graph
from provisioner.engine import Sight
from provisioner.kit import Step
from provisioner.prices import Price, Prices
from provisioner.terms import MONTH, Check, Objection, Quantity

DECIDED = {
    "nat-gateway-hour": ("network.nat", "network.nat"),
    "public-ipv4-hour": ("network.nat", "network.nat"),
    "acu-hour": ("database.min_acu and database.instances", "database.max_acu and database.instances"),
}
"""Which keys of the environment file decide how much of an item there is: at least, and at most."""
CENT = 0.005
"""Dollars below which a difference is none."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing a step is paid for by the month."""

    step: str
    item: str
    price: Price
    least: float
    """Units a month."""
    most: float

    @property
    def floor(self) -> float:
        """US dollars a month."""
        return self.least * self.price.amount

    @property
    def ceiling(self) -> float:
        return self.most * self.price.amount

    @property
    def what(self) -> str:
        """Say it for people: ``NAT gateway``, ``0.5 to 2 ACU``."""
        hours = MONTH if self.price.per == "hour" else 1.0
        least, most = self.least / hours, self.most / hours
        if least == most == 1:
            return self.price.name
        return f"{least:g} to {most:g} {self.price.name}" if least != most else f"{most:g} {self.price.name}"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One thing a step is paid for by use."""

    step: str
    item: str
    price: Price


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some steps cost together."""

    lines: tuple[Line, ...] = ()
    rates: tuple[Rate, ...] = ()
    unpriced: tuple[tuple[str, str], ...] = ()
    """Step and item of what has no price here: an instance class that is in no list of ours."""

    @property
    def floor(self) -> float:
        """US dollars a month with everything idle."""
        return sum(line.floor for line in self.lines)

    @property
    def ceiling(self) -> float:
        """US dollars a month with everything at its limit."""
        return sum(line.ceiling for line in self.lines)

    @property
    def fixed(self) -> float:
        """US dollars a month that are paid whatever happens and in whatever amount."""
        return sum(line.floor for line in self.lines if line.least == line.most)

    def of(self, step: str) -> Cost:
        """Give the part of one step."""
        return Cost(lines=tuple(line for line in self.lines if line.step == step))


def cost(steps: Iterable[Step], prices: Prices) -> Cost:
    """Price what the steps say they use; steps hold the steps they need, not their ids."""
    lines, rates, unpriced = list[Line](), list[Rate](), list[tuple[str, str]]()
    for step in steps:
        for each in step.costs():
            price = prices.items.get(each.item)
            if price is None:
                unpriced.append((step.name, each.item))
            elif each.floor is None:
                rates.append(Rate(step=step.name, item=each.item, price=price))
            else:
                lines.append(_line(step.name, each, each.floor, price))
    return Cost(lines=tuple(lines), rates=tuple(rates), unpriced=tuple(unpriced))


def _line(step: str, quantity: Quantity, least: float, price: Price) -> Line:
    most = least if quantity.ceiling is None else quantity.ceiling
    return Line(step=step, item=quantity.item, price=price, least=least, most=most)


def wanted(sight: Sight) -> list[Step]:
    """Give the steps that will be there after the run: those of the file, and what left it and stays for something."""
    staying = sight.kept(sight.leftovers)
    return [wish for name, wish in sight.wishes.items() if name not in sight.leftovers or name in staying]


def standing(sight: Sight) -> list[Step]:
    """Give the steps that are there now, as they were found: with the facts of AWS in place of what is wanted.

    A fact that is the id of another step is that step again, so what depends on its need is read from what stands.
    """
    found: dict[str, Step] = {}
    by_id: dict[Any, Step] = {}
    for name in graph.ordered(sight.needs):
        live, wish = sight.seen[name].live, sight.wishes[name]
        if live is None or live.foreign or live.leaving or live.busy == "deleting":
            continue
        facts = {f.name: live.facts[f.name] for f in fields(wish) if f.name in live.facts and f.name != "tags"}
        placed: dict[str, Any] = {
            key: by_id.get(fact, fact) if isinstance(fact, str) else fact for key, fact in facts.items()
        }
        found[name] = by_id[str(live.id)] = replace(wish, **placed)
    return list(found.values())


def with_class(steps: Iterable[Step], instance_class: str) -> list[Step]:
    """Give the same steps with a fixed instance class wherever there is one to choose."""
    fixed: dict[str, Any] = {"instance_class": instance_class}
    return [replace(step, **fixed) if hasattr(step, "instance_class") else step for step in steps]


def changed(before: Cost, after: Cost) -> list[tuple[str, float, float]]:
    """Name the steps whose cost differs, each with how many dollars more, at least and at most."""
    names = dict.fromkeys(line.step for line in (*before.lines, *after.lines))
    told = []
    for name in names:
        old, new = before.of(name), after.of(name)
        floor, most = new.floor - old.floor, new.ceiling - old.ceiling
        if max(abs(floor), abs(most)) >= CENT:
            told.append((name, floor, most))
    return told


def within(budget: float | None, of: Cost) -> Check:
    """Hold a cost against the dollars a month the environment file allows.

    A cost that is above the budget even when idle is refused; one that could come above it is warned of.
    """
    if budget is None or of.ceiling <= budget + CENT:
        return
    over = of.floor > budget + CENT
    dollars, told = (of.floor, "it costs at least") if over else (of.ceiling, "it can cost up to")
    what = f"{told} {dollars:,.2f} dollars a month, and the budget is {budget:,.2f}"
    keys = _decisive(of, least=over)
    change = f"make it cheaper ({'; '.join(keys)}), or " if keys else ""
    remedy = f"{change}write budget = {ceil(round(dollars, 2))}"
    yield Objection("budget", what, remedy, "refusal" if over else "warning")


def _decisive(of: Cost, least: bool) -> list[str]:
    """Name the keys of the file that decide most of a cost, each with its dollars, the greatest first."""
    sums: defaultdict[str, float] = defaultdict(float)
    for line in of.lines:
        if line.item in DECIDED:
            sums[DECIDED[line.item][0 if least else 1]] += line.floor if least else line.ceiling
    ranked = sorted((key for key in sums if sums[key] >= CENT), key=lambda key: -sums[key])
    return [f"{key}: {sums[key]:,.2f}" for key in ranked]
