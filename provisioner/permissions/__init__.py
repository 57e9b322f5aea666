"""Which IAM actions an operation takes, on which resources, under which conditions: the one table, and how it reads.

One file per service, each with the sources of what it says. Knows no stack, no step and no policy document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

STACK = "provisioner:stack"
"""The tag by which what is ours is known."""
BOUNDARY = "iam:PermissionsBoundary"
REQUEST_TAG, RESOURCE_TAG, CREATE_ACTION = f"aws:RequestTag/{STACK}", f"aws:ResourceTag/{STACK}", "ec2:CreateAction"
SCOPES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "new": (("StringEquals", REQUEST_TAG),),
    "born": (("StringEquals", CREATE_ACTION), ("StringEquals", REQUEST_TAG)),
    "ours": (("StringEquals", RESOURCE_TAG),),
    "unclaimed": (("StringEqualsIfExists", RESOURCE_TAG),),
    "retagged": (("StringEquals", REQUEST_TAG), ("StringEquals", RESOURCE_TAG)),
    "tagged": (("StringEquals", REQUEST_TAG), ("StringEqualsIfExists", RESOURCE_TAG)),
    "named": (),
    "any": (),
}
"""The words for what binds an action to a stack: operators with the keys that have to be the stack's, or for
``ec2:CreateAction`` the creating action itself. What is ``any`` is bound by no name either."""
LOOSER: Mapping[str, str] = {"ours": "unclaimed"}
"""What takes the place of a word where the resource is AWS's own and cannot carry our tag."""
_CONDITIONAL = re.compile(r"([^(]+)\((\w+)\)")


@dataclass(frozen=True)
class Resource:
    """A type of resource: how its ARN is made of its name, and how the names of a stack's are."""

    arn: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """What an action is judged against."""

    type: str
    """A key of ``resources``, "" where AWS judges no resource: the action is bound by its conditions alone."""
    parameter: str
    """The parameter of the request that names it, as on the wire; "" where nothing names it yet."""
    optional: bool
    """Whether it is judged only where the request names it."""
    scope: str
    """A key of SCOPES."""
    values: tuple[tuple[str, str], ...]
    """Further condition keys with the value each has in such a request (``iam:PassedToService``)."""


@dataclass(frozen=True)
class Grant:
    """One action that an operation takes, with everything it is judged against."""

    action: str
    targets: tuple[Target, ...]


@cache
def sources() -> Mapping[str, Mapping[str, Any]]:
    """Give the files as they are, by name."""
    folder = files(__package__)
    found = (each for each in folder.iterdir() if each.name.endswith(".json"))
    return {each.name.removesuffix(".json"): json.loads(each.read_text("utf-8")) for each in found}


@cache
def resources() -> Mapping[str, Resource]:
    """Give every type of resource."""
    return {
        type_: Resource(arn, tuple(names))
        for each in sources().values()
        for type_, (arn, *names) in each.get("resources", {}).items()
    }


@cache
def untagged() -> Mapping[str, str]:
    """Name the kinds of steps whose resource is AWS's own and carries no tag of ours, with its type."""
    return {kind: type_ for each in sources().values() for kind, type_ in each.get("untagged", {}).items()}


@cache
def bounded() -> Collection[str]:
    """Name the actions on roles that know by which policy the role is bounded, as ``iam:PermissionsBoundary``."""
    return frozenset(action for each in sources().values() for action in each.get("bounded", ()))


@cache
def fields() -> Mapping[str, str]:
    """Name the parameters that no creation shows, with the field of a step that leads to them."""
    return {parameter: name for each in sources().values() for parameter, name in each.get("fields", {}).items()}


def taken(kind: str, operation: str, given: Collection[str]) -> bool:
    """Tell whether a step of a kind ever asks or calls this, by the parameters it creates with: some it does only with
    one of them."""
    needed = _only().get((kind, operation))
    return needed is None or needed in given


@cache
def _only() -> Mapping[tuple[str, str], str]:
    """Give the parameter by kind of step and operation."""
    said = (each.get("only", {}) for each in sources().values())
    return {(kind, key): needed for kinds in said for kind, own in kinds.items() for key, needed in own.items()}


@cache
def _table() -> Mapping[str, Mapping[str, tuple[Grant, ...]]]:
    """Give the grants of every operation, by the parameter that calls for them, "" for those it always takes."""
    table: dict[str, dict[str, tuple[Grant, ...]]] = {}
    for each in sources().values():
        for key, actions in each["operations"].items():
            conditional = _CONDITIONAL.fullmatch(key)
            operation, parameter = conditional.groups() if conditional else (key, "")
            grants = tuple(Grant(action, tuple(_targets(targets))) for action, targets in actions.items())
            table.setdefault(operation, {})[parameter] = grants
    return table


def operations() -> Collection[str]:
    """Name every operation of the table."""
    return _table().keys()


def grants(operation: str, given: Iterable[str] = ()) -> Iterator[Grant]:
    """Say what an operation takes, with what the parameters that are given call for besides.

    Raises KeyError for an operation that is not in the table.
    """
    said, named = _table()[operation], frozenset(given)
    for parameter, found in said.items():
        if not parameter or parameter in named:
            yield from found


def _targets(said: Mapping[str, str]) -> Iterator[Target]:
    if not said:
        yield Target("", "", False, "any", ())
    for key, words in said.items():
        type_, _, parameter = key.partition("=")
        scope, *values = words.split()
        pairs = (value.partition("=") for value in values)
        yield Target(
            type_,
            parameter.removesuffix("?"),
            parameter.endswith("?"),
            scope,
            tuple((name, value) for name, _, value in pairs),
        )
