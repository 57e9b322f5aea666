"""The smallest IAM policy that lets a stack be planned, provisioned or torn down, and the boundary around all of these.

Which operations that takes was seen in the runs of the tests and is recorded in operations.json; which actions those
take is in ``permissions``. Knows no kind of resource, asks nothing and judges nobody.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from provisioner import permissions
from provisioner.kit import Call, Stack, Step, bind
from provisioner.permissions import CREATE_ACTION, LOOSER, SCOPES, Target

Purpose = Literal["plan", "provision", "teardown"]
PURPOSES: tuple[Purpose, ...] = ("plan", "provision", "teardown")
LIMIT = 6144
"""Characters of a managed policy, white space not counted. IAM User Guide, "IAM and AWS STS quotas"."""
STRICT = frozenset({"ours", "retagged", "born"})
"""Words that bind a resource at least as well as any other would: what has no tag yet is not ours, and nothing is born
but by a creation that is allowed."""
UNBOUND = "iam.delete_role_permissions_boundary"
"""What nobody may do whose roles are bounded: what they may do at most would be for them to say."""
_GIVING = re.compile(r"iam:(?!Get|List|Simulate)\w+")
"""Actions that hand out permissions: whatever else is left to the policy attached, a boundary binds these."""
_TYPED = re.compile(r"(arn:[^:]*:[^:]*:[^:]*:[^:]*:)([a-z-]+)([:/].*)")
Document = dict[str, Any]
Values = tuple[tuple[str, str], ...]


@dataclass(frozen=True, order=True)
class _Bound:
    """What binds actions that may stand in one statement."""

    service: str
    scope: str
    values: Values


@cache
def seen() -> Mapping[str, Any]:
    """Give the operations that were seen to be asked and called: by purpose what no step asked; by kind of step
    what is ``sought`` of it in every stack, and by purpose what one that is declared takes."""
    text = (files(__package__) / "operations.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def document(steps: Sequence[Step], stack: Stack, purposes: Iterable[Purpose]) -> Document:
    """Give one document that allows all of these purposes and nothing else; the same for the same stack, to the byte.

    The stack has its account and partition. The steps are those of its blueprint.
    """
    granted: defaultdict[_Bound, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    creating: set[str] = set()
    declared: defaultdict[str, list[Step]] = defaultdict(list)
    for step in steps:
        declared[step.kind].append(step)
    given = {kind: _given(own) for kind, own in declared.items()}
    boundary = next((bound for step in steps if (bound := getattr(step, "boundary", ""))), "")
    for kind, operation in dict.fromkeys(_operations(declared, purposes)):
        if boundary and operation == UNBOUND:
            continue
        own, parameters = declared.get(kind, []), given.get(kind, frozenset())
        if not permissions.taken(kind, operation, parameters):
            continue
        for grant in permissions.grants(operation, parameters):
            if grant.action == "ec2:CreateTags":
                creating.add(operation)
            for target in grant.targets:
                bound, resources = _placed(kind, grant.action, target, stack, own)
                if boundary and grant.action in permissions.bounded():
                    bound = replace(bound, values=(*bound.values, (permissions.BOUNDARY, boundary)))
                granted[bound][grant.action] |= resources
    _loosen(granted)
    statements = dict(_statements(granted, stack, sorted(_creators(creating))))
    return {"Version": "2012-10-17", "Statement": [{"Sid": sid, **said} for sid, said in sorted(statements.items())]}


def boundary(steps: Sequence[Step], stack: Stack) -> Document:
    """Give the most that a role for this stack may ever do, in one document: a role has one permissions boundary.

    It has every action of every purpose, on everything: what may be done is what both the boundary and the policy
    attached allow (IAM User Guide, "Permissions boundaries for IAM entities"), and it is the policy that binds each
    action to the stack. Actions that hand out permissions are bound here as well, to the resources they have there and
    by what IAM knows of them: to whom a role is passed, and by what it is bounded. Without the tags: those a role of
    this stack's path gets from whoever makes it.
    """
    everywhere: set[str] = set()
    giving: defaultdict[str, set[str]] = defaultdict(set)
    for said in document(steps, stack, PURPOSES)["Statement"]:
        actions = {said["Action"]} if isinstance(said["Action"], str) else {*said["Action"]}
        handing = {each for each in actions if _GIVING.fullmatch(each)}
        everywhere |= actions - handing
        if handing:
            giving[json.dumps({"Resource": said["Resource"], **_known_to_iam(said)})] |= handing
    apart = [{"Action": _flat(sorted(actions)), **json.loads(bound)} for bound, actions in sorted(giving.items())]
    plain = {"Sid": "Any", "Effect": "Allow", "Action": sorted(everywhere), "Resource": "*"}
    numbered = [{"Sid": f"Iam{number}", "Effect": "Allow", **each} for number, each in enumerate(apart, 1)]
    return {"Version": "2012-10-17", "Statement": [plain, *numbered]}


def _known_to_iam(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Give the condition of a statement as far as its keys are IAM's own."""
    found = {
        operator: own
        for operator, said in statement.get("Condition", {}).items()
        if (own := {key: value for key, value in said.items() if key.startswith("iam:")})
    }
    return {"Condition": found} if found else {}


def size(policy: Document) -> int:
    """Count the characters as IAM does."""
    return len(json.dumps(policy, separators=(",", ":")))


def parts(policy: Document, limit: int = LIMIT) -> list[Document]:
    """Give the same permissions in as few documents as fit the limit, one where they all do."""
    found: list[Document] = []
    for statement in policy["Statement"]:
        longer = {**policy, "Statement": [*found[-1]["Statement"], statement]} if found else None
        if longer is not None and size(longer) <= limit:
            found[-1] = longer
        else:
            found.append({**policy, "Statement": [statement]})
    return found


def arns(target: Target, stack: Stack, labels: Iterable[str] = ()) -> set[str]:
    """Name the resources of a stack that an action is judged against; ``labels`` are their names where they are known.

    Where AWS judges no resource it is ``*``.
    """
    if not target.type:
        return {"*"}
    resource = permissions.resources()[target.type]
    place = {"partition": stack.partition, "region": stack.region, "account": stack.account, "stack": stack.name}
    names: Sequence[str] = ("*",) if target.scope == "any" else resource.names
    if resource.names == ("{label}",):
        names = sorted(labels) or ["{stack}-*{account}-{region}"]
    return {resource.arn.format(name.format(**place), **place) for name in names}


def _operations(declared: Collection[str], purposes: Iterable[Purpose]) -> Iterator[tuple[str, str]]:
    """Go through what these purposes take, each operation with the kind of step that takes it."""
    for purpose in purposes:
        yield from (("", operation) for operation in seen()["rooms"][purpose])
        for kind, said in seen()["kinds"].items():
            yield from ((kind, operation) for operation in said["sought"])
            if kind in declared:
                yield from ((kind, operation) for operation in said[purpose])


def _given(steps: Iterable[Step]) -> frozenset[str]:
    """Name the parameters that steps of a kind give when they create what they declare, and when that goes."""
    found: set[str] = set()
    for step in steps:
        for batch in bind(step, {}).provision(None):
            for call in (batch,) if isinstance(batch, Call) else batch:
                found |= call.params.keys()
        found |= {parameter for parameter, field in permissions.fields().items() if getattr(step, field, False)}
    return frozenset(found)


def _placed(
    kind: str, action: str, target: Target, stack: Stack, steps: Iterable[Step]
) -> tuple[_Bound, frozenset[str]]:
    """Say what binds an action on a target, and on which resources."""
    scope = target.scope
    if permissions.untagged().get(kind) == target.type:
        scope = LOOSER.get(scope, scope)
    place = {"region": stack.region, "account": stack.account, "stack": stack.name}
    values = tuple((key, value.format(**place)) for key, value in target.values)
    resources = frozenset(arns(target, stack, {step.label for step in steps}))
    everywhere = resources == {"*"} and not SCOPES[scope]
    return _Bound("" if everywhere else action.partition(":")[0], scope, values), resources


def _loosen(granted: Mapping[_Bound, defaultdict[str, set[str]]]) -> None:
    """Leave out what a looser condition on the same resource allows besides."""
    for bound, actions in granted.items():
        looser = granted.get(_Bound(bound.service, LOOSER.get(bound.scope, ""), bound.values))
        for action, resources in actions.items() if looser else ():
            assert looser is not None
            resources -= looser.get(action, set())


def _creators(operations: Iterable[str]) -> Iterator[str]:
    """Name the creating action of each operation that tags what it creates."""
    for operation in operations:
        first, *implied = permissions.grants(operation)
        if implied:
            yield first.action.partition(":")[2]


def _statements(
    granted: Mapping[_Bound, Mapping[str, set[str]]], stack: Stack, creators: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write one statement for what is bound alike; values of the same condition on the same actions are joined."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for said in granted.values():
        for action, resources in said.items():
            known[action] |= resources
    joined: defaultdict[tuple[Any, ...], list[Values]] = defaultdict(list)
    for bound, said in sorted(granted.items()):
        for group in _groups(bound, said, known):
            shortened, keys = tuple(_shortened(bound, group, known)), tuple(key for key, _ in bound.values)
            joined[bound.service, bound.scope, tuple(sorted(group)), shortened, keys].append(bound.values)
    numbers: defaultdict[str, int] = defaultdict(int)
    for (service, scope, actions, resources, keys), values in joined.items():
        sid = f"{service.replace('-', '').capitalize()}{scope.capitalize()}"
        numbers[sid] += 1
        conditions: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for operator, key in SCOPES[scope]:
            conditions[operator][key] = _flat(creators) if key == CREATE_ACTION else stack.name
        for position, key in enumerate(keys):
            conditions["StringEquals"][key] = _flat(sorted({each[position][1] for each in values}))
        allowed = {"Effect": "Allow", "Action": _flat(actions), "Resource": _flat(resources)}
        bounds = (
            {"Condition": {operator: conditions[operator] for operator in sorted(conditions)}} if conditions else {}
        )
        yield f"{sid}{numbers[sid] if numbers[sid] > 1 else ''}", {**allowed, **bounds}


def _groups(
    bound: _Bound, said: Mapping[str, set[str]], known: Mapping[str, set[str]]
) -> Iterator[Mapping[str, set[str]]]:
    """Gather the actions that may stand in one statement, on the resources of all of them.

    No action may get by the others what it is bound to otherwise: CreateSubnet makes a subnet that the request tags,
    but only in a network that is tagged already.
    """
    groups: list[dict[str, set[str]]] = []
    for action, resources in sorted(said.items()):
        if resources:
            fitting = (each for each in groups if _fit(bound, {**each, action: resources}, known))
            group = next(fitting, None)
            if group is None:
                groups.append(group := {})
            group[action] = resources
    yield from groups


def _fit(bound: _Bound, group: Mapping[str, set[str]], known: Mapping[str, set[str]]) -> bool:
    union = set().union(*group.values())
    if not SCOPES[bound.scope] and bound.scope != "any":
        return all(resources == union for resources in group.values())
    return bound.scope in STRICT or all(known[action] & union <= group[action] for action in group)


def _shortened(bound: _Bound, group: Mapping[str, set[str]], known: Mapping[str, set[str]]) -> list[str]:
    """Join resources that differ in their type alone: of which types an action is, the action itself says."""
    alike: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for resource in sorted(set().union(*group.values())):
        typed = _TYPED.fullmatch(resource)
        stem, type_, name = typed.groups() if typed else (resource, "", "")
        alike[stem, name].add(type_)
    others = {each for action in group for each in known[action] - group[action]}
    found = []
    for (stem, name), types in alike.items():
        otherwise = bound.scope not in STRICT and any(each.startswith(stem) and each.endswith(name) for each in others)
        found += [f"{stem}*{name}"] if len(types) > 1 and not otherwise else [f"{stem}{type_}{name}" for type_ in types]
    return sorted(found)


def _flat(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
