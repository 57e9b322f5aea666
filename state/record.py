"""Records and their JSON: what one run tells the next; knows no file, no AWS and nothing else of ours.

Times are seconds since the epoch in memory and ISO 8601 in UTC on disk, where a person reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

SCHEMA = 2
"""The version of the file; a higher one is refused, a lower one migrated."""

Status = Literal["pending", "settled", "failed", "leaving"]


@dataclass(frozen=True)
class Sent:
    """One call: written before it leaves, completed when its answer is in."""

    operation: str
    digest: str
    """Fingerprint of operation and parameters: equal for equal calls."""
    params: Mapping[str, Any]
    """As they were sent, long ones replaced by their fingerprint."""
    at: float
    """When it was about to leave."""
    done: float | None = None
    """When its answer was in; ``None`` while that is unknown (under way, killed, reply lost)."""
    code: str = ""
    """AWS's error code, empty for success."""


@dataclass(frozen=True)
class Record:
    """What is remembered of one step."""

    kind: str
    id: str = ""
    status: Status = "pending"
    calls: tuple[Sent, ...] = ()
    """The last calls made for it: one, or those that went out together."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The specification it was last settled with."""
    born: float | None = None
    """When the last create came back that may have had an effect, whatever was called since; ``None``: none has."""


@dataclass(frozen=True)
class State:
    """All that is remembered of one stack on one target."""

    project: str
    environment: str
    suffix: str
    target: str
    account: str
    region: str
    steps: Mapping[str, Record] = field(default_factory=dict)
    past: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per step the ids of its earlier incarnations, kept after a teardown: client tokens depend on them."""


class Malformed(ValueError):
    """The JSON is not that of a state; ``trail`` leads to the value concerned."""

    def __init__(self, trail: tuple[str, ...], what: str) -> None:
        super().__init__(f"{'.'.join(trail) or 'the file'}: {what}")
        self.trail = trail


class Newer(Malformed):
    """The JSON was written by a later version, whose meaning is not known here."""


def iso(at: float) -> str:
    """Write a time for people, to the millisecond."""
    return datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(state: State) -> dict[str, Any]:
    """Turn a state into plain JSON values: who and where first, then the steps by name."""
    return {
        "schema": SCHEMA,
        **{key: getattr(state, key) for key in _HEADER},
        "steps": {name: _record_json(state.steps[name]) for name in sorted(state.steps)},
        "past": {name: list(state.past[name]) for name in sorted(state.past)},
    }


def from_json(data: Any) -> State:
    """Turn JSON values into a state. Raises Newer for a later schema and Malformed for anything else but a state."""
    schema = schema_of(data)
    if schema > SCHEMA:
        raise Newer(("schema",), f"is {schema}, this version knows up to {SCHEMA}")
    if schema < 1:
        raise Malformed(("schema",), f"is {schema}, which never existed")
    top = _Node(data, (), schema)
    return State(
        **{key: top[key].of(str) for key in _HEADER},
        steps={name: _record(node) for name, node in top["steps"].members()},
        past={name: tuple(each.of(str) for each in node.entries()) for name, node in top["past"].members()},
    )


def schema_of(data: Any) -> int:
    """Tell with which version JSON values were written. Raises Malformed where they do not say."""
    schema: int = _Node(data, ())["schema"].of(int)
    return schema


_HEADER = ("project", "environment", "suffix", "target", "account", "region")
_STATUS = get_args(Status)


@dataclass(frozen=True)
class _Node:
    """A JSON value and the way that led to it, so that a complaint can say where."""

    value: Any
    trail: tuple[str, ...]
    schema: int = SCHEMA
    """That of the whole."""

    def of(self, kind: type[Any]) -> Any:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise Malformed(self.trail, f"should be {_NAMES[kind]}")
        return self.value

    def __getitem__(self, key: str) -> _Node:
        if key not in self.of(dict):
            raise Malformed(self.trail, f"{key} is missing")
        return _Node(self.value[key], (*self.trail, key), self.schema)

    def members(self) -> list[tuple[str, _Node]]:
        return [(key, self[key]) for key in self.of(dict)]

    def entries(self) -> list[_Node]:
        return [_Node(each, self.trail, self.schema) for each in self.of(list)]

    def time(self) -> float:
        try:
            return datetime.fromisoformat(self.of(str)).timestamp()
        except (ValueError, OverflowError) as error:
            raise Malformed(self.trail, "should be an ISO 8601 time") from error

    def time_if_any(self) -> float | None:
        return None if self.value is None else self.time()


_NAMES: Mapping[type[Any], str] = {int: "a whole number", str: "a text", dict: "an object", list: "a list"}


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "kind": record.kind,
        "id": record.id,
        "status": record.status,
        "born": None if record.born is None else iso(record.born),
        "calls": [_sent_json(sent) for sent in record.calls],
        "fields": dict(record.fields),
    }


def _record(node: _Node) -> Record:
    status = node["status"].of(str)
    if status not in _STATUS:
        raise Malformed(node["status"].trail, f"should be one of {', '.join(_STATUS)}")
    calls = tuple(_sent(each) for each in node["calls"].entries())
    return Record(
        kind=node["kind"].of(str),
        id=node["id"].of(str),
        status=status,
        calls=calls,
        fields=node["fields"].of(dict),
        born=node["born"].time_if_any() if node.schema > 1 else _last(calls),
    )


def _last(calls: Sequence[Sent]) -> float | None:
    """Say when the last of some calls was over: schema 1 does not tell when something was born, and later than
    this it was not."""
    return max((sent.at if sent.done is None else sent.done for sent in calls), default=None)


def _sent_json(sent: Sent) -> dict[str, Any]:
    return {
        "operation": sent.operation,
        "digest": sent.digest,
        "params": dict(sent.params),
        "at": iso(sent.at),
        "done": None if sent.done is None else iso(sent.done),
        "code": sent.code,
    }


def _sent(node: _Node) -> Sent:
    return Sent(
        operation=node["operation"].of(str),
        digest=node["digest"].of(str),
        params=node["params"].of(dict),
        at=node["at"].time(),
        done=node["done"].time_if_any(),
        code=node["code"].of(str),
    )
