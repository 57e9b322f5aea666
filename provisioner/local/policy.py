"""One IAM policy: read as far as it is understood, and asked whether it allows an action; knows no request.

IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements". What is not understood is refused when the
policy is read: nothing is allowed or denied on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Context = Mapping[str, Sequence[str]]
"""The values of the condition keys of one request; a key that it has not is not in it."""
_ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}
_EXISTS = "IfExists"
_EVERY = "ForAllValues:"


def _like(value: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(each).fullmatch(value) for each in patterns)


def _same(value: str, wanted: Sequence[str]) -> bool:
    return value in wanted


def _is(value: str, wanted: Sequence[str]) -> bool:
    return value.lower() in [each.lower() for each in wanted]


_OPERATORS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "StringEquals": _same,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _is,
}
"""How one value is compared; IAM's ArnEquals and ArnLike are the same."""


@dataclass(frozen=True)
class Condition:
    """What has to hold of one condition key."""

    operator: str
    key: str
    values: tuple[str, ...]
    may_lack: bool
    """Whether it holds of a request that has no such key."""
    every: bool
    """Whether all values of the request have to fit, of which there may be none."""

    def holds(self, context: Context) -> bool:
        if not context.get(self.key):
            return self.may_lack or self.every
        fit = (_OPERATORS[self.operator](value, self.values) for value in context[self.key])
        return all(fit) if self.every else any(fit)


@dataclass(frozen=True)
class Statement:
    """What is allowed or denied."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]

    def concerns(self, action: str, resource: str) -> bool:
        return _like(action.lower(), (each.lower() for each in self.actions)) and _like(resource, self.resources)


@dataclass(frozen=True)
class Decision:
    """What a policy says to one action on one resource."""

    word: str
    """As IAM's simulation has it: ``allowed``, ``explicitDeny`` or ``implicitDeny``."""
    missing: frozenset[str] = field(default=frozenset())
    """Condition keys that the request lacks and without which it is not allowed."""


def read(document: Any) -> tuple[Statement, ...]:
    """Read a policy; raises ValueError for what is no policy and for what is not understood."""
    if not isinstance(document, Mapping) or document.keys() - {"Version", "Id", "Statement"}:
        raise ValueError("no policy: an object with Version and Statement is one")
    if document.get("Version") != "2012-10-17":
        raise ValueError('the Version of a policy is "2012-10-17"')
    statements = document.get("Statement")
    return tuple(map(_statement, [statements] if isinstance(statements, Mapping) else list(statements or ())))


def decide(policy: Iterable[Statement], action: str, resource: str, context: Context) -> Decision:
    """Judge an action on a resource: a denial counts before any permission, and what nothing allows is denied."""
    allowed, missing = False, set[str]()
    for statement in policy:
        if not statement.concerns(action, resource):
            continue
        failed = [each for each in statement.conditions if not each.holds(context)]
        if not failed and not statement.allows:
            return Decision("explicitDeny")
        allowed = allowed or not failed
        missing |= {each.key for each in failed if not context.get(each.key)}
    return Decision("allowed") if allowed else Decision("implicitDeny", frozenset(missing))


def _statement(said: Any) -> Statement:
    if not isinstance(said, Mapping) or said.get("Effect") not in ("Allow", "Deny"):
        raise ValueError(f"a statement has the Effect Allow or Deny: {said}")
    if unknown := said.keys() - _ELEMENTS:
        raise ValueError(f"not understood in a statement: {', '.join(sorted(unknown))}")
    actions, resources = _texts(said.get("Action")), _texts(said.get("Resource"))
    if wrong := [each for each in actions if ":" not in each and each != "*"]:
        raise ValueError(f"no actions of a service: {', '.join(wrong)}")
    return Statement(said["Effect"] == "Allow", actions, resources, tuple(_conditions(said.get("Condition", {}))))


def _conditions(said: Any) -> Iterable[Condition]:
    if not isinstance(said, Mapping):
        raise ValueError(f"a Condition maps operators to keys: {said}")
    for name, keys in said.items():
        operator = name.removeprefix(_EVERY).removesuffix(_EXISTS)
        if operator not in _OPERATORS or not isinstance(keys, Mapping):
            raise ValueError(f"the condition {name} is not understood: {', '.join(_OPERATORS)} are")
        for key, values in keys.items():
            yield Condition(operator, key, _texts(values), name.endswith(_EXISTS), name.startswith(_EVERY))


def _texts(said: Any) -> tuple[str, ...]:
    texts = (said,) if isinstance(said, str) else tuple(said or ())
    if not texts or not all(isinstance(each, str) for each in texts):
        raise ValueError(f"a text or a list of texts belongs here: {said}")
    return texts


@cache
def _pattern(text: str) -> re.Pattern[str]:
    parts = ({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in text)
    return re.compile("".join(parts), re.DOTALL)
