"""What people and scripts read of a cost: lines of at most 80 columns, or plain JSON values; asks and prices nothing.

Every line goes through ``clean``, as those of a report do. Amounts are US dollars a month.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from provisioner.cost import Cost, Line, Rate, changed, with_class
from provisioner.cost import cost as priced
from provisioner.kit import Step
from provisioner.prices import Prices, classes, memory
from provisioner.terms import MONTH
from provisioner.words import clean

WIDTH = 80
NUMBER = 12
"""Columns of an amount."""
WITHOUT = (
    "List prices without tax and discounts; data transfer and requests to S3, KMS and Secrets Manager are left out."
)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a stack costs now and will cost, and by which prices."""

    prices: Prices
    now: Cost
    then: Cost
    budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One environment in a comparison: what it costs as it is written, and with each fixed instance class."""

    environment: str
    prices: Prices
    cost: Cost
    fixed: Mapping[str, Cost]
    """By class; empty without a database."""


def compare(environment: str, steps: Sequence[Step], prices: Prices) -> Compared:
    """Price an environment as written, and with each class whose price is known in the place of Serverless v2."""
    classy = any(hasattr(step, "instance_class") for step in steps)
    fixed = {each: priced(with_class(steps, each), prices) for each in classes()} if classy else {}
    return Compared(environment=environment, prices=prices, cost=priced(steps, prices), fixed=fixed)


def plan_lines(estimate: Estimate) -> list[str]:
    """Tell what the stack will cost when the plan is carried out, by step, and what changes by that."""
    then, now = estimate.then, estimate.now
    named = max(map(len, [*(line.step for line in then.lines), *(rate.step for rate in then.rates)]), default=0)
    told = [_row(f"Dollars a month of {MONTH:.0f} hours", "at least", "at most")]
    told += [_row(f"  {line.step:{named}}  {line.what}", *_ends(line)) for line in then.lines]
    told += [_row("  in total", _dollars(then.floor), _dollars(then.ceiling))]
    told += [_row("  of it fixed", _dollars(then.fixed), _dollars(then.fixed))]
    told += _difference(now, then)
    if estimate.budget is not None:
        told.append(_row("  budget", "", _dollars(estimate.budget)))
    told += _by_use(then.rates, named)
    told += _unpriced(then)
    return [clean(line) for line in (*told, *_sources([estimate.prices]))]


def plan_json(estimate: Estimate) -> dict[str, Any]:
    """Give the same as a script reads it."""
    then, now = estimate.then, estimate.now
    return {
        **_prices_json(estimate.prices),
        **_cost_json(then),
        "now": _range(now.floor, now.ceiling),
        "change": {
            **_range(then.floor - now.floor, then.ceiling - now.ceiling),
            "steps": [{"step": step, **_range(floor, most)} for step, floor, most in changed(now, then)],
        },
        "budget": estimate.budget,
    }


def comparison_text(compared: Sequence[Compared]) -> str:
    """Tell environments side by side, as many as fit in 80 columns, and below them the others."""
    rows = list(_comparison(compared))
    label = max(len(name) for name, _ in rows)
    cells = [max(len(tell(one)) for _, tell in rows) + 2 for one in compared]
    lines: list[str] = []
    for table in _fitting(compared, cells, WIDTH - label):
        lines += [_cells(name, label, [(tell(one), width) for one, width in table]) for name, tell in rows]
        lines.append("")
    served = {one.prices.region: one.prices for one in compared if one.fixed}
    told = {one.prices.region: one.prices for one in compared}
    lines += [*chain.from_iterable(map(_crossing, served.values())), *_sources(list(told.values()))]
    return "\n".join(map(clean, lines))


def comparison_json(compared: Sequence[Compared]) -> dict[str, Any]:
    """Give the same as a script reads it."""
    return {
        "environments": [
            {
                "environment": each.environment,
                **_prices_json(each.prices),
                **_cost_json(each.cost),
                "fixed_classes": [
                    {"class": name, **_range(cost.floor, cost.ceiling)} for name, cost in each.fixed.items()
                ],
            }
            for each in compared
        ]
    }


def _ends(line: Line) -> tuple[str, str]:
    return (_dollars(line.floor), _dollars(line.ceiling)) if line.price.amount else ("free", "free")


def _difference(now: Cost, then: Cost) -> Iterator[str]:
    yield _row("  now", _dollars(now.floor), _dollars(now.ceiling))
    if changes := changed(now, then):
        yield _row("  change", _signed(then.floor - now.floor), _signed(then.ceiling - now.ceiling))
        if now.lines:
            yield from (_row(f"    {step}", _signed(floor), _signed(most)) for step, floor, most in changes)


def _unpriced(then: Cost) -> Iterator[str]:
    if then.unpriced:
        told = ", ".join(f"{item} ({step})" for step, item in then.unpriced)
        yield from _folded(f"No price is known of, and in no sum above: {told}", "", "  ")


def _by_use(rates: Sequence[Rate], named: int) -> Iterator[str]:
    if not rates:
        return
    yield "Paid by use, and in no sum above:"
    for step in dict.fromkeys(each.step for each in rates):
        told = ", ".join(f"{_unit(each)} per {each.price.name}" for each in rates if each.step == step)
        yield from _folded(told, f"  {step:{named}}  ", " " * (named + 4))


def _unit(each: Rate) -> str:
    return f"{each.price.amount:.2f}" if round(each.price.amount, 2) == each.price.amount else f"{each.price.amount:g}"


def _sources(told: Sequence[Prices]) -> Iterator[str]:
    yield from _folded(WITHOUT, "", "  ")
    for prices in told:
        yield from _folded(f"Prices of {prices.told}.", "", "  ")
        for note in prices.notes:
            yield from _folded(f"({note})", "  ", "  ")


Row = tuple[str, Callable[[Compared], str]]
"""What a row of a comparison is of, and how one environment's part of it is told."""


def _comparison(compared: Sequence[Compared]) -> Iterator[Row]:
    lines = [line for one in compared for line in one.cost.lines]
    yield "Dollars a month", lambda one: one.environment
    yield "region", lambda one: one.prices.region
    for item, name in {line.item: line.price.name for line in lines}.items():
        ranges = any(line.least != line.most for line in lines if line.item == item)
        yield f"{name}{', at least' if ranges else ''}", partial(_amount, item, floor=True)
        if ranges:
            yield f"{name}, at most", partial(_amount, item, floor=False)
    yield "in total, at least", lambda one: _dollars(one.cost.floor)
    yield "in total, at most", lambda one: _dollars(one.cost.ceiling)
    if any(one.fixed for one in compared):
        yield "", lambda one: ""
        yield "In total with fixed instances", lambda one: ""
        for name in classes():
            yield f"{name} ({memory(name)} GiB)", partial(_with_class, name)
    if rates := {rate.item: rate.price.name for one in compared for rate in one.cost.rates}:
        yield "", lambda one: ""
        yield "By use, and in no sum above", lambda one: ""
        for item, name in rates.items():
            yield f"per {name}", partial(_rate, item)


def _amount(item: str, one: Compared, floor: bool) -> str:
    lines = [line for line in one.cost.lines if line.item == item]
    if not lines:
        return "-"
    dollars = sum(line.floor if floor else line.ceiling for line in lines)
    return _dollars(dollars) if lines[0].price.amount else "free"


def _with_class(name: str, one: Compared) -> str:
    return _dollars(one.fixed[name].ceiling) if name in one.fixed else "-"


def _rate(item: str, one: Compared) -> str:
    return next((_unit(rate) for rate in one.cost.rates if rate.item == item), "-")


def _fitting(compared: Sequence[Compared], cells: Sequence[int], room: int) -> list[list[tuple[Compared, int]]]:
    """Break the environments into tables that fit, each at least one wide."""
    tables: list[list[tuple[Compared, int]]] = [[]]
    for one, width in zip(compared, cells, strict=True):
        if tables[-1] and sum(taken for _, taken in tables[-1]) + width > room:
            tables.append([])
        tables[-1].append((one, width))
    return tables


def _cells(name: str, label: int, told: Sequence[tuple[str, int]]) -> str:
    return "".join([name.ljust(label), *(text.rjust(width) for text, width in told)]).rstrip()


def _crossing(prices: Prices) -> Iterator[str]:
    """Say up to which load Serverless v2 is the cheaper one: the question of whoever compares the two."""
    acu = prices.items["acu-hour"].amount
    told = [f"{prices.items[name].amount / acu:.2f} ACU than {name}" for name in classes()]
    text = f"Serverless v2 costs less while an instance needs on average less than {', less than '.join(told)}"
    yield from _folded(f"{text} ({prices.region}; 1 ACU has about 2 GiB).", "", "  ")


def _prices_json(prices: Prices) -> dict[str, Any]:
    source = {"kind": prices.source, "date": prices.date, "notes": list(prices.notes)}
    return {"currency": "USD", "hours": MONTH, "region": prices.region, "prices": source}


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {
        **_range(cost.floor, cost.ceiling),
        "fixed": _rounded(cost.fixed),
        "lines": [_line_json(line) for line in cost.lines],
        "rates": [
            {"step": rate.step, "item": rate.item, "price": rate.price.amount, "per": rate.price.name}
            for rate in cost.rates
        ],
        "unpriced": [{"step": step, "item": item} for step, item in cost.unpriced],
    }


def _line_json(line: Line) -> dict[str, Any]:
    told = {"step": line.step, "item": line.item, "price": line.price.amount, "per": line.price.per}
    return {**told, **_range(line.floor, line.ceiling)}


def _range(floor: float, ceiling: float) -> dict[str, float]:
    return {"floor": _rounded(floor), "ceiling": _rounded(ceiling)}


def _rounded(dollars: float) -> float:
    return round(dollars, 2) + 0.0  # no -0.0


def _row(label: str, least: str, most: str) -> str:
    return f"{label:{WIDTH - 2 * NUMBER}}{least:>{NUMBER}}{most:>{NUMBER}}".rstrip()


def _dollars(amount: float) -> str:
    return f"{amount:,.2f}"


def _signed(amount: float) -> str:
    return f"{_rounded(amount):+,.2f}" if _rounded(amount) else "0.00"


def _folded(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
