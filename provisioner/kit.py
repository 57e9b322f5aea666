"""The vocabulary shared by steps and engine.

A step says what is wanted, looks at what is there and names the AWS calls that remain; nothing here calls,
waits, retries or records. This module imports nothing of ours and knows no AWS service.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self, TypeAlias, TypeVar

from provisioner.terms import Burdens, Check, Quantity, Quota

S = TypeVar("S", bound="Step")
_PARTS = frozenset(
    {"create_tags", "create_route", "create_alias", "create_network_acl_entry", "create_backup_selection"}
)
"""What AWS calls creating and is a part of something that is there."""
_CIRCUMSTANCES = frozenset({"name", "stack", "implied"})
"""Fields of a step that are none of its specification."""


@dataclass(frozen=True)
class Unknown:
    """Stand for the id of something that does not exist yet, or is not known, by the name of its step."""

    name: str

    @property
    def by_aws(self) -> bool:
        """Whether it is no step's but what AWS makes along with one, in words, so that any id may be meant."""
        return " " in self.name

    def __str__(self) -> str:
        return f"<{self.name}>"


Ref: TypeAlias = S | str | Unknown
"""A field that refers to another step: the step in a blueprint, its id (or ``Unknown``) once bound."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One environment of one project in one account and region: what every name and tag is made of."""

    project: str
    environment: str
    suffix: str = ""
    account: str = ""
    region: str = ""
    partition: str = "aws"

    @property
    def name(self) -> str:
        """``project-environment``, with ``-suffix`` where there is one."""
        return "-".join(filter(None, (self.project, self.environment, self.suffix)))

    @property
    def identity(self) -> dict[str, str]:
        """The tags that make a resource this stack's own; the name alone is not enough, for ``a-b`` + ``c``
        and ``a`` + ``b-c`` read the same."""
        return {
            "provisioner:stack": self.name,
            "provisioner:project": self.project,
            "provisioner:environment": self.environment,
            "provisioner:suffix": self.suffix,
        }

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Tell whether these tags are this stack's; any one missing or different makes them foreign."""
        return all(tags.get(key) == value for key, value in self.identity.items())


class Call:
    """One AWS call as data: ``Call("ec2.create_vpc", CidrBlock="10.0.0.0/16")``."""

    __slots__ = ("operation", "params")

    operation: str
    params: Mapping[str, Any]

    def __init__(self, operation: str, /, **params: Any) -> None:
        self.operation = operation
        self.params = params

    @property
    def service(self) -> str:
        return self.operation.partition(".")[0]

    @property
    def method(self) -> str:
        return self.operation.partition(".")[2]

    @property
    def creates(self) -> bool:
        """Whether the call brings something into being that a repeat could bring twice."""
        return self.method.startswith(("create_", "allocate_")) and self.method not in _PARTS

    @property
    def unknowns(self) -> frozenset[str]:
        """The names of the steps whose ids the call still waits for."""
        return frozenset(value.name for value in walk(self.params) if isinstance(value, Unknown))

    @property
    def digest(self) -> str:
        """A short fingerprint: equal for equal calls, without the bulk of their parameters."""
        return fingerprint(self.operation, self.params)

    def resolved(self, ids: Mapping[str, str]) -> Call:
        """Put ids where the call holds the ``Unknown`` of a step that has one by now."""
        return Call(self.operation, **bound(self.params, ids))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and (self.operation, self.params) == (other.operation, other.params)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return " ".join([self.operation, *(f"{key}={_brief(value)}" for key, value in self.params.items())])


@dataclass(frozen=True)
class Live:
    """What AWS says of a step's resource now."""

    id: str | Unknown
    """What dependents name it by."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was found, in the step's own field names, so that wish and finding compare; other keys are free."""
    busy: str = ""
    """What AWS is still doing (``creating``), if it is."""
    broken: str = ""
    """AWS's reason why this will never become usable, if so."""
    cure: str = ""
    """What is to be done by hand about it: broken, where it must not be replaced, or foreign, where no tags help."""
    foreign: str = ""
    """The command that would tag it as ours, if it has our name and not our tags."""
    leaving: bool = False
    """Its deletion is accepted, nothing is left to call and dependents are released. What is not busy with it can
    still be taken back: a key in its window."""
    needed_by: Sequence[str] = ()
    """What outlives the teardown and needs it, so that it stays; set by the engine, from ``burdens`` and from what
    stays and refers to it, before ``remains``."""
    contents: Sequence[Any] = ()
    """What ``burdens`` found inside; set by the engine before ``teardown``."""


class Ambiguous(Exception):
    """Two or more resources carry the tags of one step: they are named, never chosen from."""

    def __init__(self, step: str, twins: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(f"{step} exists {len(twins)} times: {', '.join(sorted(twins))}")
        self.step, self.twins = step, twins
        """As their listing shows them, by id."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.twins))


class Denied(Exception):
    """These credentials may not ask that."""


class Reader(Protocol):
    """Answer reads of AWS. Nothing is ever changed, and "there is no such thing" is an answer, not an error.

    What may not be asked raises Denied.

    A read with an ``Unknown`` anywhere in its parameters answers "nothing" without a call.
    """

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        """Give one response as it came, or ``None`` where AWS says there is no such thing."""

    def items(self, operation: str, /, **params: Any) -> Sequence[Mapping[str, Any]]:
        """Give every item of a listing, all pages of it, or nothing."""

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        """Give the items of a listing that carry the stack's identity tags, asked once for all steps of a kind."""

    def mine(
        self, operation: str, step: Step, dead: Mapping[str, Collection[str]] | None = None
    ) -> Mapping[str, Any] | None:
        """Give the one of ``ours`` that carries the step's name and kind too.

        ``dead`` maps an attribute to the values that mark a final state (``{"State": ("deleted",)}``): such items
        are no match. Raises Ambiguous where several match.
        """


@dataclass(frozen=True, kw_only=True)
class Step:
    """Specify one resource: the fields are what is wanted, a field that holds a step is the dependency."""

    name: str
    """Unique in the stack; part of the resource's name and tags."""
    stack: Stack
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the environment file, beside those that make the resource ours."""
    implied: frozenset[str] = frozenset()
    """Fields that the environment file does not name: what was built keeps its value for the fixed ones."""

    fixed: ClassVar[frozenset[str]] = frozenset()
    """Fields AWS cannot change in place."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Properties that are compared as fields are: what is made of fields in AWS's own shape, such as a policy."""
    moving: ClassVar[str] = "build it anew beside this one, under another SUFFIX, and move what uses it"
    """How to get there all the same when a fixed field has to change."""
    attendant: ClassVar[bool] = False
    """Whether it has no life of its own and goes with the resource it belongs to."""
    holds_data: ClassVar[bool] = False
    """Whether its loss loses data: such a resource is never replaced, and leaves only by an explicit flag."""
    guarded: ClassVar[bool] = True
    """Whether nothing is lost for good when it goes while something uses it: AWS refuses that, or another one does as
    well. What is not guarded stays as long as a step that stays refers to it."""
    tags_spread: ClassVar[bool] = False
    """Whether its service takes minutes to let those at a newborn whose permission hangs on its tags."""
    patience: ClassVar[float] = 1800.0
    """Seconds it may be busy before the run gives up waiting for it."""
    listing: ClassVar[str] = ""
    """The describe operation whose answer shows all resources of this kind with their tags, if there is one."""
    quota: ClassVar[Quota | None] = None
    """How many of it there may be, where AWS limits that."""

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def label(self) -> str:
        """The resource's name in AWS."""
        return f"{self.stack.name}-{self.name}"

    @cached_property
    def labels(self) -> dict[str, str]:
        """Every tag the resource carries from its first moment."""
        own = {"provisioner:step": self.name, "provisioner:kind": self.kind}
        return {"Name": self.label, **self.tags, **self.stack.identity, **own}

    def claims(self, tags: Mapping[str, str]) -> bool:
        """Tell whether a resource with these tags is this step's."""
        own = tags.get("provisioner:step") == self.name and tags.get("provisioner:kind") == self.kind
        return own and self.stack.owns(tags)

    def differences(self, live: Live) -> frozenset[str]:
        """Name the fields in which what is there is not what is wanted; tags others added are none of ours."""
        return self._unlike(live) - self.kept(live)

    def kept(self, live: Live) -> frozenset[str]:
        """Name the fixed fields that the file does not name and in which a newborn would be otherwise: they stay."""
        return self._unlike(live) & self.fixed & self.implied

    def _unlike(self, live: Live) -> frozenset[str]:
        names = (*(f.name for f in fields(self)), *self.derived)
        wanted = {name: getattr(self, name) for name in names} | {"tags": self.labels}
        return frozenset(key for key, found in live.facts.items() if key in wanted and not same(wanted[key], found))

    def costs(self) -> Iterator[Quantity]:
        """Say what it uses in a month that is paid for, as specified. Pure; a need is read where it is a step."""
        yield from ()

    def outputs(self, live: Live) -> Mapping[str, Any]:
        """Name what others may want to know of it; tuples of several steps are joined."""
        return {}

    def observe(self, aws: Reader) -> Live | None:
        """Look, and only look: ``None`` if and only if there is none. Never waits, never raises NotFound."""
        raise NotImplementedError

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        """Say which calls remain, in order, between ``live`` and what is wanted; a tuple may run at once.

        Pure. After a create it may go on as if the newborn had AWS's defaults and the id ``Unknown(self.name)``.
        """
        raise NotImplementedError

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        """Say which calls remain between ``live`` and nothing. Pure."""
        raise NotImplementedError

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        """Say which calls remove a second one of this, which its listing shows as ``twin``: none unless it is as we
        create it and AWS refuses to remove it where something hangs on it. Pure.

        Kinds that AWS creates once for a name or a client token have none.
        """
        return iter(())

    def remains(self, live: Live) -> str:
        """Name what its teardown leaves behind on purpose (a final snapshot, itself where it stays), "" if nothing."""
        return ""

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        """Give the checks of what AWS would refuse, before anything is touched. Reads only.

        Called on the declared step, whose fields still hold the steps they refer to; ``now`` is in seconds since the
        epoch. The checks stand by themselves, so one that may not ask keeps none of the others from it; none asks
        two questions of which the second depends on the answer to the first.
        """
        return ()

    def remarks(self, live: Live) -> Check:
        """Warn of what no call of ours puts right, as far as the look has shown it; said before every run. Pure."""
        yield from ()

    @property
    def demand(self) -> tuple[str, int]:
        """Say in which place it counts against its quota, and as how many."""
        return "", 1

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        """Look at what hangs on the resource, before and between the calls of a teardown. Reads only."""
        return Burdens()

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        """Name the steps of this kind that AWS shows for the stack, wanted or not; "" where a tag that would
        tell is missing. Reads only."""
        if cls.listing:
            for item in aws.ours(cls.listing, stack):
                yield from step_named(tags_of(item), stack, cls.__name__, untold=cls.__name__)

    @classmethod
    def restored(cls, name: str, stack: Stack, saved: Mapping[str, Any] | None = None) -> Self:
        """Rebuild a step that left the blueprint, from its saved specification as far as there is one.

        A required field that is not saved is ``Unknown``: such a step can be looked at and torn down.
        """
        values: dict[str, Any] = {}
        for f in fields(cls):
            if f.name in _CIRCUMSTANCES:
                continue
            if saved is not None and f.name in saved:
                # A tag may be called "step" and is no reference.
                values[f.name] = saved[f.name] if f.name == "tags" else _loaded(saved[f.name])
            elif f.default is MISSING and f.default_factory is MISSING:
                values[f.name] = Unknown(f"{name}.{f.name}")
        return cls(name=name, stack=stack, **values)

    @property
    def specification(self) -> dict[str, Any]:
        """The fields as plain JSON values, a step-valued one as ``{"step": name}``; ``restored`` reads it."""
        return {
            f.name: _saved(getattr(self, f.name)) for f in fields(self) if f.name not in ("name", "stack", "implied")
        }


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Read the tags of anything AWS describes, whichever of its three names the list has."""
    listed = item.get("Tags") or item.get("TagList") or item.get("TagSet") or ()
    return {tag["Key"]: tag.get("Value", "") for tag in listed}


def step_named(tags: Mapping[str, str], stack: Stack, kind: str, untold: str = "") -> Iterator[str]:
    """Name the step of a resource with these tags, "" where they do not tell, if it is the stack's and of this kind.

    ``untold`` is the kind of what has no tag that tells it.
    """
    if stack.owns(tags) and tags.get("provisioner:kind", untold) == kind:
        yield tags.get("provisioner:step", "")


def same(wanted: Any, found: Any) -> bool:
    """Compare what is wanted with what AWS tells: the lists of a policy come back in any order, and one of a single
    element as that element (github.com/hashicorp/terraform/issues/2432, terraform-provider-aws/issues/13144)."""
    return bool(wanted == found) or _in_order(wanted) == _in_order(found)


def _in_order(value: Any, policy: bool = False) -> Any:
    if isinstance(value, Mapping):
        policy = policy or "Statement" in value
        return {key: _in_order(each, policy) for key, each in value.items()}
    if policy and isinstance(value, (list, tuple)):
        told = sorted((_in_order(each, policy) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
        return told[0] if len(told) == 1 else told
    return value


def walk(value: Any) -> Iterator[Any]:
    """Go through every leaf of nested mappings, sequences, sets and dataclasses; steps are leaves."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from walk(each)
    elif is_dataclass(value) and not isinstance(value, (Step, Unknown, Stack, type)):
        for f in fields(value):
            yield from walk(getattr(value, f.name))
    else:
        yield value


def needs(step: Step) -> frozenset[str]:
    """Name the steps this one refers to, wherever in its fields they stand."""
    own = (getattr(step, f.name) for f in fields(step) if f.name != "stack")
    return frozenset(leaf.name for value in own for leaf in walk(value) if isinstance(leaf, (Step, Unknown)))


def bind(step: S, ids: Mapping[str, str]) -> S:
    """Put the id of every other step in its place, ``Unknown`` where it has none yet."""
    return replace(step, **{f.name: bound(getattr(step, f.name), ids) for f in fields(step) if f.name != "stack"})


def bound(value: Any, ids: Mapping[str, str]) -> Any:
    """Replace every step and ``Unknown`` inside a value by its id, as far as it is known."""

    def place(leaf: Any) -> Any:
        if isinstance(leaf, (Step, Unknown)):
            return ids.get(leaf.name) or Unknown(leaf.name)
        return leaf

    return _rebuilt(value, place)


def fingerprint(*parts: Any) -> str:
    """Hash any values by their content: 32 hexadecimal digits, the same on every machine and in every run."""
    text = json.dumps(parts, sort_keys=True, default=_canonical)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _canonical(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)


def _rebuilt(value: Any, place: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _rebuilt(each, place) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_rebuilt(each, place) for each in value)
    if is_dataclass(value) and not isinstance(value, (Step, Unknown, type)):
        return replace(value, **{f.name: _rebuilt(getattr(value, f.name), place) for f in fields(value)})
    return place(value)


def _saved(value: Any) -> Any:
    if isinstance(value, (Step, Unknown)):
        return {"step": value.name}
    if isinstance(value, Mapping):
        return {key: _saved(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_saved(each) for each in value), key=str)
    if isinstance(value, (list, tuple)):
        return [_saved(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _saved(getattr(value, f.name)) for f in fields(value)}
    return value


def _loaded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Unknown(value["step"]) if set(value) == {"step"} else {k: _loaded(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_loaded(each) for each in value)
    return value


def _brief(value: Any) -> str:
    text = str(value) if isinstance(value, (str, Unknown)) else json.dumps(value, default=_canonical)
    return text if len(text) <= 60 else text[:57] + "..."
