"""The words in which the embedded cloud's rules are written: a request, a reply, a refusal, a table of rules.

Knows no AWS service. A rule is a function of one request that runs before moto (it may answer, refuse or complete
the request) or after moto succeeded (it may correct the reply or what moto keeps). Further rules are further entries.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import moto.backends

_KEY = re.compile(r"Credential=([^/]+)/")


class Refusal(Exception):
    """What AWS says instead of doing it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def with_element(self, parent: str, name: str, value: str) -> Reply:
        """Give the XML reply with one more element in every ``parent``."""
        end = f"</{parent}>".encode()
        return Reply(self.status, self.headers, self.body.replace(end, f"<{name}>{value}</{name}>".encode() + end))

    def told(self, told: str, instead: str) -> Reply:
        """Give the XML reply with another text wherever an element holds just this one."""
        return Reply(self.status, self.headers, self.body.replace(f">{told}<".encode(), f">{instead}<".encode()))


@dataclass
class Ask:
    """One request, read as far as rules need it; a rule may change ``form`` before moto sees it."""

    service: str
    """The name it is signed for, or "" if it is not signed."""
    action: str
    """The operation as AWS names it, or "" if it is none that rules are written for."""
    region: str
    account: str
    environ: dict[str, Any]
    body: bytes
    form: dict[str, str]
    """The flat parameters of an EC2 or query request, names as on the wire (``Filter.1.Name``)."""
    query: Mapping[str, str]
    bucket: str
    now: float
    memory: dict[Any, Any]
    """What rules remember from request to request; emptied with the cloud."""
    time_scale: float = 0.0
    """How long things take in terms of what they take at AWS; 0 is no time at all."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the rules of this one request tell each other."""

    def get(self, name: str) -> str:
        return self.form.get(name, "")

    def many(self, name: str) -> list[str]:
        """Give the members of a list parameter, in order."""
        members = re.compile(rf"{re.escape(name)}\.(\d+)")
        found = ((match, value) for key, value in self.form.items() if (match := members.fullmatch(key)))
        return [value for _, value in sorted((int(match[1]), value) for match, value in found)]

    @property
    def reads(self) -> bool:
        """Whether the request can change nothing."""
        if self.action:
            return self.flag("DryRun") or self.action.startswith(("Describe", "Get", "List", "Search", "Simulate"))
        return self.environ["REQUEST_METHOD"] in ("GET", "HEAD")

    @property
    def key(self) -> str:
        """The access key that it is signed with, "" if it is not signed."""
        signed = _KEY.search(self.environ.get("HTTP_AUTHORIZATION") or "")
        return signed[1] if signed else self.query.get("X-Amz-Credential", "").partition("/")[0]

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def moto(self, service: str) -> Any:
        """Give moto's backend of a service in the region of the request."""
        backends: Any = moto.backends.get_backend(service)  # type: ignore[call-overload]
        return backends[self.account][self.region]

    @cached_property
    def ec2(self) -> Any:
        return self.moto("ec2")

    @cached_property
    def rds(self) -> Any:
        return self.moto("rds")


Before = Callable[[Ask], "Reply | None"]
After = Callable[[Ask, Reply], "Reply | None"]
EVERY = "*"
"""In place of an action: every action of the service, ahead of the action's own rules."""


class Rulebook:
    """The rules of one service, by action, in the order in which they are written."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._before: dict[str, list[Before]] = defaultdict(list)
        self._after: dict[str, list[After]] = defaultdict(list)

    def before(self, *actions: str) -> Callable[[Before], Before]:
        """Run the rule before moto: what it returns is the reply and moto is not asked."""

        def enter(rule: Before) -> Before:
            for action in actions:
                self._before[action].append(rule)
            return rule

        return enter

    def after(self, *actions: str) -> Callable[[After], After]:
        """Run the rule after moto succeeded: what it returns takes the place of moto's reply."""

        def enter(rule: After) -> After:
            for action in actions:
                self._after[action].append(rule)
            return rule

        return enter

    def of(self, action: str) -> tuple[tuple[Before, ...], tuple[After, ...]]:
        """Give the rules of one action."""
        own = action if action != EVERY else ""
        return (
            (*self._before[EVERY], *self._before.get(own, ())),
            (*self._after[EVERY], *self._after.get(own, ())),
        )

    @property
    def actions(self) -> Iterable[str]:
        return {EVERY, *self._before, *self._after}
