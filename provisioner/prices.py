"""What things cost in a region: AWS's own price list, kept for a week, or else the recorded one; knows no step.

AWS is asked at once and answers when somebody wants to know; who asks never waits long and never fails for it. Prices
are on-demand list prices in US dollars, without tax, discounts, free tiers and credits.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from provisioner.clock import Clock
from provisioner.errors import AwsError
from provisioner.kit import Reader
from state.private import state_folder

KEPT = 7 * 86_400.0
"""Seconds for which an answer of AWS is taken from the cache: list prices change a few times a year."""
PATIENCE = 5.0
"""Seconds, from asking on, after which the recorded prices do."""
CACHE = "prices.json"
"""The file in the state folder that keeps AWS's answers, by region."""

Source = Literal["api", "cache", "recorded"]


@dataclass(frozen=True)
class Price:
    """What one unit of something costs."""

    name: str
    """What it is, for people: ``NAT gateway``, ``GB in the bucket a month``."""
    amount: float
    """US dollars."""
    per: str
    """What is paid for of it: an ``hour``, a ``month``, or its ``use``."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The prices of one region."""

    region: str
    items: Mapping[str, Price]
    source: Source
    date: str
    """When AWS was asked, or when the prices were recorded: ``2026-11-25``."""
    notes: tuple[str, ...] = ()
    """What has to be known of them, a line each: what is told as of another region, why AWS did not say."""

    @property
    def told(self) -> str:
        """Say whose they are and who told them: ``us-east-1: told by the AWS price list on 2026-11-25``."""
        where = {
            "api": f"told by the AWS price list now, {self.date}",
            "cache": f"told by the AWS price list on {self.date}",
            "recorded": f"recorded on {self.date}, each with its source in provisioner/prices.json",
        }[self.source]
        return f"{self.region}: {where}"


@cache
def recorded() -> Mapping[str, Any]:
    """Give the recorded prices with their sources, and how AWS is asked for each."""
    text = (files(__package__) / "prices.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def classes() -> list[str]:
    """List the fixed instance classes whose prices are known, the smallest first."""
    return [name for name, item in recorded()["items"].items() if "memory" in item]


def memory(instance_class: str) -> int:
    """Tell the GiB of memory of one of ``classes``."""
    return int(recorded()["items"][instance_class]["memory"])


def usual() -> list[str]:
    """List what the prices are wanted of, but for the classes, which only a comparison needs."""
    return [name for name, item in recorded()["items"].items() if "memory" not in item]


def of_record(region: str, items: Collection[str], *why: str) -> Prices:
    """Give the recorded prices; ``why`` says why AWS was not the one to tell."""
    return _completed(region, items, {}, "recorded", recorded()["date"], why)


def unasked(region: str, items: Collection[str], error: AwsError) -> Prices:
    """Give the recorded prices because AWS could not be asked."""
    denied = error.code.startswith(("AccessDenied", "UnauthorizedOperation"))
    remedy = "grant this identity pricing:GetProducts" if denied else error.remedy.partition(", then")[0]
    return of_record(region, items, f"the AWS price list cannot be asked ({error.code}): {remedy}")


def asked(aws: Reader | None, region: str, items: Collection[str], folder: Path, clock: Clock) -> Callable[[], Prices]:
    """Begin to find out, and give what ends it: that call waits for AWS at most as long as PATIENCE leaves.

    However often it is called, it says the same. What ``folder`` keeps and is young enough is not asked again. Without
    ``aws`` the recorded prices are given. A price that AWS does not tell, or may not tell us, is the recorded one, and
    the notes say so.
    """
    if aws is None:
        return lambda: of_record(region, items)
    kept, date = _kept(folder / CACHE, region, clock.now())
    wanted = [item for item in items if "service" in recorded()["items"][item]]
    if kept.keys() >= set(wanted):
        return lambda: _completed(region, items, kept, "cache", date)
    answers, begun = _begin(aws, region, wanted), clock.now()
    return cache(lambda: _end(answers, begun, region, items, folder / CACHE, clock))


Question = tuple[str, tuple[tuple[str, str], ...]]
"""A service of the price list and the attributes its products must have."""


def _begin(aws: Reader, region: str, items: Iterable[str]) -> dict[Question, Future[Any]]:
    """Ask once for all items that share their filters, in threads of their own: the others have a look to take."""
    questions = dict.fromkeys(_question(item, region) for item in items)
    workers = ThreadPoolExecutor(len(questions), thread_name_prefix="provisioner-prices")
    try:
        return {question: workers.submit(_products, aws, question) for question in questions}
    finally:
        workers.shutdown(wait=False)


def _question(item: str, region: str) -> Question:
    known = recorded()["items"][item]
    return known["service"], (("regionCode", region), *known["filters"].items())


def _products(aws: Reader, question: Question) -> list[Any]:
    service, attributes = question
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in attributes]
    told: Iterable[Any] = aws.items("pricing.get_products", ServiceCode=service, Filters=filters)
    return [json.loads(each) for each in told]


def _end(
    answers: Mapping[Question, Future[Any]],
    begun: float,
    region: str,
    items: Collection[str],
    cache: Path,
    clock: Clock,
) -> Prices:
    try:
        products = {
            question: answer.result(timeout=max(0.0, begun + PATIENCE - clock.now()))
            for question, answer in answers.items()
        }
        found = _found(region, products)
    except TimeoutError:
        return of_record(region, items, f"the AWS price list did not answer within {PATIENCE:.0f} s")
    except AwsError as error:
        return unasked(region, items, error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return of_record(region, items, f"the AWS price list says what cannot be read ({error!r})")
    if not any(found.values()):
        return of_record(region, items, f"the AWS price list has nothing for {region}")
    now = datetime.fromtimestamp(clock.now(), UTC)
    _keep(cache, region, found, now)
    return _completed(region, items, found, "api", now.date().isoformat())


def _found(region: str, products: Mapping[Question, list[Any]]) -> dict[str, float | None]:
    """Pick the price of every item that was asked for, ``None`` where AWS has none."""
    return {
        name: next((price for each in products[question] if (price := _price(item, each)) is not None), None)
        for name, item in recorded()["items"].items()
        if "service" in item and (question := _question(name, region)) in products
    }


def _price(item: Mapping[str, Any], product: Mapping[str, Any]) -> float | None:
    """Read the first price above zero of a product, if it is the item's: later ones are for large quantities, and a
    usage type has the region's short name before it (``EU-NatGateway-Hours``), but mostly not in us-east-1."""
    usage = product["product"]["attributes"].get("usagetype", "")
    if usage != item["usage"] and not usage.endswith(f"-{item['usage']}"):
        return None
    tiers = [
        tier for term in product["terms"].get("OnDemand", {}).values() for tier in term["priceDimensions"].values()
    ]
    tiers.sort(key=lambda tier: float(tier.get("beginRange", 0)))
    paid = (float(tier["pricePerUnit"].get("USD", 0)) for tier in tiers)
    price = next((amount for amount in paid if amount), None)
    return None if price is None else round(price * item.get("times", 1), 10)


def _completed(
    region: str,
    items: Collection[str],
    found: Mapping[str, float | None],
    source: Source,
    date: str,
    why: Iterable[str] = (),
) -> Prices:
    """Fill in from the record what was not found, of this region or else of the default one, and say so."""
    known = recorded()
    here, other = known["regions"].get(region, {}), known["default"]
    filled: defaultdict[str, list[str]] = defaultdict(list)
    priced = {}
    for item in items:
        about, amount = known["items"][item], found.get(item)
        if amount is None:
            amount = (here.get(item) or known["regions"][other][item])[0]
            if "service" in about and (item not in here or source != "recorded"):
                filled[region if item in here else other].append(about["name"])
        priced[item] = Price(about["name"], float(amount), about["per"])
    notes = (_filled(region, each, names, source) for each, names in filled.items())
    return Prices(region=region, items=priced, source=source, date=date, notes=(*why, *notes))


def _filled(region: str, other: str, names: list[str], source: Source) -> str:
    if source == "recorded" and region not in recorded()["regions"]:
        return f"no prices are recorded for {region}: these are those of {other}"
    if source == "recorded":
        return f"not recorded for {region}, so as in {other}: {', '.join(names)}"
    return f"not told by AWS for {region}, so as recorded for {other}: {', '.join(names)}"


def _kept(cache: Path, region: str, now: float) -> tuple[dict[str, float | None], str]:
    """Read what was kept of a region and is young enough; a file that is damaged, or none of ours, holds nothing."""
    try:
        kept = json.loads(cache.read_text("utf-8"))[region]
        asked = datetime.fromisoformat(kept["asked"])
        held = {str(name): None if price is None else float(price) for name, price in kept["prices"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, ""
    young = asked.tzinfo is not None and 0 <= now - asked.timestamp() < KEPT
    return (held, asked.date().isoformat()) if young else ({}, "")


def _keep(cache: Path, region: str, found: Mapping[str, float | None], now: datetime) -> None:
    """Write down what AWS said, whole or not at all; to keep it is worth no error."""
    with suppress(OSError):
        try:
            before = json.loads(cache.read_text("utf-8"))
        except (OSError, ValueError):
            before = {}
        entry = {"asked": now.isoformat(timespec="seconds"), "currency": "USD", "prices": dict(found)}
        everything = {**(before if isinstance(before, dict) else {}), region: entry}
        state_folder(cache.parent)
        descriptor, name = tempfile.mkstemp(dir=cache.parent, prefix=f"{cache.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as temporary:
            json.dump(everything, temporary, indent=2)
        os.replace(name, cache)
