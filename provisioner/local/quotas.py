"""How many of a kind an account may have in a region: AWS's defaults from quotas.json, or what one asked for.

Told by Service Quotas as well, from the same table, so that what it tells is what a create is refused by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.local.protocol import told
from provisioner.local.rules import Ask, Refusal, Reply, Rulebook

rules = Rulebook("servicequotas")

_RAISED = "quotas"
"""Where the memory keeps the limits that are not AWS's defaults."""


@cache
def recorded() -> Mapping[str, Any]:
    """Give the recorded limits, with their codes and their source."""
    text = (files(__package__) / "quotas.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def check(ask: Ask, quota: str, used: int) -> None:
    """Refuse one more where as many are in use as may be."""
    each = recorded()[quota]
    if used >= _limit(ask, quota):
        raise Refusal(each["code"], each["text"])


def _limit(ask: Ask, quota: str) -> int:
    return int(ask.memory.get(_RAISED, {}).get(quota, recorded()[quota]["limit"]))


def allow(memory: dict[Any, Any], limits: Mapping[str, int]) -> None:
    """Set limits by quota, until the cloud is reset; an unknown quota is a ValueError."""
    known = set(_known())
    if unknown := limits.keys() - known:
        raise ValueError(f"no quota {', '.join(sorted(unknown))} is imitated, only {', '.join(sorted(known))}")
    memory[_RAISED] = {**memory.get(_RAISED, {}), **limits}


def _known() -> list[str]:
    return [name for name in recorded() if name not in ("date", "source")]


# Service Quotas API reference, ListServiceQuotas, GetServiceQuota.


@rules.before("ListServiceQuotas")
def quotas_are_told(ask: Ask) -> Reply:
    """Every quota of a service that is imitated, with the value that is applied; other services have none."""
    service = json.loads(ask.body)["ServiceCode"]
    return told({"Quotas": [_told(ask, name) for name in _known() if recorded()[name]["service"] == service]})


@rules.before("GetServiceQuota")
def a_quota_is_told(ask: Ask) -> Reply:
    """NoSuchResourceException for one that there is not."""
    wanted = json.loads(ask.body)
    for name in _known():
        if (recorded()[name]["service"], recorded()[name]["quota"]) == (wanted["ServiceCode"], wanted["QuotaCode"]):
            return told({"Quota": _told(ask, name)})
    raise Refusal("NoSuchResourceException", "The request failed because the specified service quota does not exist.")


def _told(ask: Ask, name: str) -> dict[str, Any]:
    each = recorded()[name]
    where = f"arn:aws:servicequotas:{ask.region}:{ask.account}:{each['service']}/{each['quota']}"
    return {
        "ServiceCode": each["service"],
        "QuotaArn": where,
        "QuotaCode": each["quota"],
        "QuotaName": each["name"],
        "Value": float(_limit(ask, name)),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }
