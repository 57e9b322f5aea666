"""Whom a policy lets in: read as far as rules ask, which is by service; knows no service and no kind of policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def statements_of(policy: Any) -> list[Any]:
    """List the statements of a policy, of which a single one needs no list. Raises ValueError for what is no JSON."""
    document = json.loads(policy) if isinstance(policy, (str, bytes)) else policy
    statements = document.get("Statement", []) if isinstance(document, Mapping) else []
    return statements if isinstance(statements, list) else [statements]


def grants(policy: Any, service: str) -> bool:
    """Tell whether a policy allows a service of AWS something; actions and conditions are not looked at."""
    return any(_grants(each, service) for each in statements_of(policy))


def _grants(statement: Mapping[str, Any], service: str) -> bool:
    principal = statement.get("Principal", {})
    named = many(principal.get("Service", ())) if isinstance(principal, Mapping) else [principal]
    return statement.get("Effect") == "Allow" and (service in named or "*" in named)


def many(value: Any) -> list[str]:
    """List what a policy says of one thing without a list."""
    return [value] if isinstance(value, str) else list(value)
