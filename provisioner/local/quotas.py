"""How many of a kind an account may have in a region: AWS's defaults from quotas.json, or what one asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.local.rules import Ask, Refusal

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
    if used >= ask.memory.get(_RAISED, {}).get(quota, each["limit"]):
        raise Refusal(each["code"], each["text"])


def allow(memory: dict[Any, Any], limits: Mapping[str, int]) -> None:
    """Set limits by quota, until the cloud is reset; an unknown quota is a ValueError."""
    known = recorded().keys() - {"date", "source"}
    if unknown := limits.keys() - known:
        raise ValueError(f"no quota {', '.join(sorted(unknown))} is imitated, only {', '.join(sorted(known))}")
    memory[_RAISED] = {**memory.get(_RAISED, {}), **limits}
