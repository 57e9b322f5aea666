"""What goes wrong between a client and the embedded cloud: which request suffers what, and how often it did.

Decides by a seed and the number of the request, so that the same requests in the same order suffer the same. Knows
neither moto nor how a connection is cut.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from provisioner.local.cut import Cut, Unresolved
from provisioner.local.rules import Ask, Refusal
from provisioner.local.throttle import Buckets

Kind = Literal["throttled", "error", "error after", "cut before", "cut after", "expired", "unresolved"]
REMEMBERED = 1000
"""How many of the latest faults are told one by one."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How hard the cloud is; all off by default. Shares are of all requests, 0 to 1; times are seconds."""

    seed: int = 0
    throttle: float = 0.0
    """Share that is refused, unexecuted, as too many."""
    errors: float = 0.0
    """Share that is answered with a 500 or 503; every other one of them was done all the same."""
    cut_before: float = 0.0
    """Share of which the connection is lost and nothing was done."""
    cut_after: float = 0.0
    """Share that is done and the reply lost."""
    latency: float = 0.0
    """What an answer over HTTP takes longer; within a process nobody waits."""
    lag: float = 0.0
    """How old the truth is that reads of EC2, RDS and bucket settings are answered from."""
    buckets: bool = False
    """Whether EC2's documented token buckets are kept."""
    expire_at: int | None = None
    """The number of the request from which on the credentials have expired."""
    dark: tuple[float, float] | None = None
    """From when until when, counted from the switch, everything is refused as too many."""
    unresolved: float = 0.0
    """For how long, counted from the switch, the names of services resolve to nothing: no request gets here."""

    def __post_init__(self) -> None:
        shares = (self.throttle, self.errors, self.cut_before, self.cut_after)
        if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1:
            raise ValueError(
                "throttle, errors, cut_before and cut_after are shares of all requests: 1 at most together"
            )
        if min(self.latency, self.lag, self.unresolved) < 0:
            raise ValueError("latency, lag and unresolved are seconds, 0 or more")
        if self.expire_at is not None and self.expire_at < 1:
            raise ValueError("expire_at is the number of a request, 1 or more")

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """Read what JSON says: fields, and ``preset`` for those it does not name. Raises ValueError."""
        try:
            named = {**told}
            preset = PRESETS[named.pop("preset", "none")]
            known = {each.name for each in fields(cls)}
            if unknown := sorted(set(named) - known):
                raise ValueError(f"unknown: {', '.join(unknown)}; known are preset, {', '.join(sorted(known))}")
            if (dark := named.get("dark")) is not None:
                begin, end = dark
                named["dark"] = (float(begin), float(end))
            return cls(**{**asdict(preset), **named})
        except KeyError as error:
            raise ValueError(f"there is no preset {error}; write one of {', '.join(PRESETS)}") from error
        except TypeError as error:
            raise ValueError(f"not of its type: {error}") from error


PRESETS = {
    "none": Faults(),
    "some": Faults(throttle=0.05, errors=0.02, cut_before=0.01, cut_after=0.02, latency=0.005, lag=0.5),
    "brutal": Faults(
        throttle=0.2,
        errors=0.1,
        cut_before=0.05,
        cut_after=0.1,
        latency=0.01,
        lag=2.0,
        buckets=True,
        dark=(3.0, 8.0),
        unresolved=1.0,
    ),
}


class Fate:
    """What the requests to one cloud suffer from one switch of faults to the next."""

    def __init__(self, faults: Faults, now: float) -> None:
        self.faults = faults
        self.requests = 0
        """How many have got here."""
        self.suffered: Counter[Kind] = Counter()
        self.latest: deque[tuple[str, Kind]] = deque(maxlen=REMEMBERED)
        self._since = now
        self._buckets = Buckets()

    @contextmanager
    def over(self, ask: Ask) -> Iterator[None]:
        """Let a request suffer what is in store for it: before the work a refusal or a cut, after it a lost answer.

        Raises Refusal or Cut.
        """
        kind = self._drawn(ask)
        if kind is not None and not kind.endswith("after"):
            self._strike(ask, kind)
        yield
        if kind is not None:
            self._strike(ask, kind)

    def told(self) -> dict[str, Any]:
        """Say what is switched on and what was suffered, for JSON."""
        return {
            "faults": asdict(self.faults),
            "requests": self.requests,
            "suffered": dict(sorted(self.suffered.items())),
            "latest": [list(each) for each in self.latest],
        }

    def _drawn(self, ask: Ask) -> Kind | None:
        faults, elapsed = self.faults, ask.now - self._since
        if 0 <= elapsed < faults.unresolved:
            return "unresolved"
        self.requests += 1
        if faults.expire_at is not None and self.requests >= faults.expire_at:
            return "expired"
        if faults.dark is not None and faults.dark[0] <= elapsed < faults.dark[1]:
            return "throttled"
        if faults.buckets and not self._buckets.take(ask):
            return "throttled"
        chance = random.Random(f"{faults.seed} {self.requests}").random()
        half = faults.errors / 2
        shares: tuple[tuple[Kind, float], ...] = (
            ("throttled", faults.throttle),
            ("error", half),
            ("error after", half),
            ("cut before", faults.cut_before),
            ("cut after", faults.cut_after),
        )
        for kind, share in shares:
            if chance < share:
                return kind
            chance -= share
        return None

    def _strike(self, ask: Ask, kind: Kind) -> None:
        self.suffered[kind] += 1
        self.latest.append((f"{ask.service} {ask.action or ask.environ['REQUEST_METHOD']}", kind))
        match kind:
            case "throttled":
                raise _worded(_THROTTLED, ask)
            case "expired":
                raise _worded(_EXPIRED, ask)
            case "error" | "error after":
                raise _worded(_UNAVAILABLE if self.requests % 2 else _BROKEN, ask)
            case "cut before" | "cut after":
                raise Cut(kind)
            case "unresolved":
                raise Unresolved(kind)


Words = tuple[str, str, int]

# Codes and statuses: EC2 API reference, "Error codes"; S3 API reference, "Error responses"; of the query and JSON
# protocols "Common errors" of each service; botocore/retries/standard.py.
_THROTTLED: Mapping[str, Words] = {
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "query": ("Throttling", "Rate exceeded", 400),
    "json": ("ThrottlingException", "Rate exceeded", 400),
}
_BROKEN: Mapping[str, Words] = {
    "ec2": ("InternalError", "An internal error has occurred", 500),
    "s3": ("InternalError", "We encountered an internal error. Please try again.", 500),
    "query": ("InternalFailure", "The request processing has failed because of an unknown error.", 500),
    "json": ("InternalServiceError", "An error occurred on the server side.", 500),
}
_UNAVAILABLE: Mapping[str, Words] = {
    "ec2": ("Unavailable", "The server is overloaded and can't handle the request.", 503),
    "s3": ("ServiceUnavailable", "Service is unable to handle request.", 503),
    "query": ("ServiceUnavailable", "The request has failed due to a temporary failure of the server.", 503),
    "json": ("ServiceUnavailableException", "The service is currently unavailable.", 503),
}
_EXPIRED: Mapping[str, Words] = {
    "ec2": ("RequestExpired", "Request has expired.", 400),
    "s3": ("ExpiredToken", "The provided token has expired.", 400),
    "query": ("ExpiredToken", "The security token included in the request is expired", 403),
    "json": ("ExpiredTokenException", "The security token included in the request is expired", 400),
}


def _worded(words: Mapping[str, Words], ask: Ask) -> Refusal:
    dialect = ask.service if ask.service in words else "query" if ask.form else "json"
    return Refusal(*words[dialect])
