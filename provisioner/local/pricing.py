"""What the AWS price list answers, from recorded data with its date and sources (prices.json); moto knows none.

A region without an entry has no products. AWS tells far more products than these, and a dozen more attributes of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.local.rules import Ask, Refusal, Reply, Rulebook

rules = Rulebook("pricing")

_PREFIXES = {"us-east-1": "USE1", "eu-west-1": "EU", "ap-northeast-2": "APN2", "ap-south-2": "APS5"}
"""The regions' short names in usage types; those of us-east-1 mostly have none."""
_NAMED = ("AmazonCloudWatch", "AmazonVPC", "AWSSecretsManager")
"""Whose usage types name us-east-1 too."""
_BESIDE = {
    "nat-gateway-hour": ("RegionalNatGateway-Hours", 1.0),
    "nat-gateway-gb": ("RegionalNatGateway-Bytes", 1.0),
    "acu-hour": ("Aurora:ServerlessV2IOOptimizedUsage", 4 / 3),
    "public-ipv4-hour": ("PublicIPv4:IdleAddress", 1.0),
}
"""Products that have the same attributes but for the usage type, with their price in terms of the other's. An extract
of AmazonEC2 in eu-west-1 of 2026-09-25; the Pricing API in us-east-1 of 2025-10-28."""
_TERM, _RATE = "JRTCKXETXF", "6YS6EN2CT7"
"""AWS's codes of the on-demand term and of its hourly rate."""


@cache
def recorded() -> Mapping[str, Any]:
    """Give the recorded data as it is: the provisioner has it too, for when it cannot ask."""
    return json.loads((files("provisioner") / "prices.json").read_text("utf-8"))  # type: ignore[no-any-return]


@rules.before("GetProducts")
def products_are_told(ask: Ask) -> Reply:
    """Every product that matches all filters, each as a text of JSON. Pricing API reference, GetProducts."""
    wanted = json.loads(ask.body)
    service = wanted.get("ServiceCode")
    if not service:
        raise Refusal("InvalidParameterException", "ServiceCode is missing")
    matched = [
        product
        for product in _products()
        if product["serviceCode"] == service and all(_matches(product, each) for each in wanted.get("Filters", ()))
    ]
    body = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product) for product in matched]}
    return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode())


_FILTERS: dict[str, Callable[[str, str], bool]] = {
    "TERM_MATCH": lambda found, value: found == value,
    "EQUALS": lambda found, value: found == value,
    "CONTAINS": lambda found, value: value in found,
    "ANY_OF": lambda found, value: found in value.split(","),
    "NONE_OF": lambda found, value: found not in value.split(","),
}


def _matches(product: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    if asked["Type"] not in _FILTERS:
        raise Refusal("InvalidParameterException", f"{asked['Type']} is not a filter type")
    found = {**product["product"]["attributes"], "productFamily": product["product"].get("productFamily", "")}
    return _FILTERS[asked["Type"]](found.get(asked["Field"], ""), asked["Value"])


@cache
def _products() -> tuple[dict[str, Any], ...]:
    return tuple(
        product
        for region, prices in recorded()["regions"].items()
        for name, (amount, _) in prices.items()
        if "service" in recorded()["items"][name]
        for product in _beside(region, name, recorded()["items"][name], amount)
    )


def _beside(region: str, name: str, item: Mapping[str, Any], amount: float) -> Iterator[dict[str, Any]]:
    if name in _BESIDE:
        usage, times = _BESIDE[name]
        yield _product(region, {**item, "usage": usage}, amount * times)
    yield _product(region, item, amount)


def _product(region: str, item: Mapping[str, Any], amount: float) -> dict[str, Any]:
    """Write a product down as AWS does. User guide of the price list, "Reading the service price list file"."""
    usage, filters = _usage(region, item), dict(item["filters"])
    family = {key: filters.pop(key) for key in ("productFamily",) if key in filters}
    attributes = {"servicecode": item["service"], "regionCode": region, "usagetype": usage, **filters}
    sku = hashlib.sha256(f"{item['service']} {usage} {region}".encode()).hexdigest()[:16].upper()
    price = f"{amount / item.get('times', 1):.10f}"
    dimension = {
        "rateCode": f"{sku}.{_TERM}.{_RATE}",
        "unit": item["unit"],
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${price} per {item['unit']} of {usage}",
        "appliesTo": [],
        "pricePerUnit": {"USD": price},
    }
    term = {
        "sku": sku,
        "offerTermCode": _TERM,
        "effectiveDate": f"{recorded()['date']}T00:00:00Z",
        "termAttributes": {},
        "priceDimensions": {dimension["rateCode"]: dimension},
    }
    return {
        "product": {**family, "attributes": attributes, "sku": sku},
        "serviceCode": item["service"],
        "terms": {"OnDemand": {f"{sku}.{_TERM}": term}},
        "version": recorded()["date"].replace("-", ""),
        "publicationDate": f"{recorded()['date']}T00:00:00Z",
    }


def _usage(region: str, item: Mapping[str, Any]) -> str:
    if item["service"] == "awskms":
        return f"{region}-{item['usage']}"
    if region == "us-east-1" and item["service"] not in _NAMED:
        return str(item["usage"])
    return f"{_PREFIXES[region]}-{item['usage']}"
