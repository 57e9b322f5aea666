"""Who may do what: everybody everything, but for the actions that were denied by order, and for the keys that a policy
was set for by order; knows no resource.

What is denied is told by IAM's simulation and refused by the service itself, so that the two never differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from provisioner import permissions
from provisioner.local import policy
from provisioner.local.protocol import reply as answer
from provisioner.local.rules import Ask, Refusal, Reply, Rulebook
from provisioner.local.subject import Subject
from provisioner.permissions import CREATE_ACTION, Grant

rules = Rulebook("iam")

OURS = "embedded"
"""The access key of sessions that wire makes, unless they are told another."""
_DENIED, _POLICIES = "denied", "policies"
"""Where the memory keeps the denied actions, and by access key the policies in force."""
_CODES = {"ec2": "UnauthorizedOperation", "servicequotas": "AccessDeniedException", "kms": "AccessDeniedException"}
"""What a service calls it where it is not AccessDenied. EC2 API reference, "Error codes"; the services' models."""
_BEFORE = {"ec2": "You are not authorized to perform this operation."}


def deny(memory: dict[Any, Any], actions: Sequence[str]) -> None:
    """Deny exactly these actions until the cloud is reset, ``rds:CreateDBCluster`` or with wildcards, ``rds:Create*``.

    Raises ValueError for what is no action of a service.
    """
    if wrong := [each for each in actions if not isinstance(each, str) or ":" not in each]:
        raise ValueError(f"no actions of a service: {wrong}")
    memory[_DENIED] = tuple(actions)


def permit(memory: dict[Any, Any], document: Mapping[str, Any] | None, key: str = OURS) -> None:
    """Allow an access key exactly what a policy allows until the cloud is reset; ``None`` allows it everything again.

    Raises ValueError for a policy that is none, or is not understood whole.
    """
    held = {each: kept for each, kept in memory.get(_POLICIES, {}).items() if each != key}
    if document is not None:
        policy.read(document)
        held[key] = json.dumps(document)
    memory[_POLICIES] = held


def _in_force(ask: Ask) -> Sequence[policy.Statement] | None:
    """Give the policy of whoever asks, ``None`` for whom there is none."""
    text = ask.memory.get(_POLICIES, {}).get(ask.key)
    return _read(text) if text else None


@cache
def _read(text: str) -> Sequence[policy.Statement]:
    return policy.read(json.loads(text))


def check(ask: Ask) -> None:
    """Refuse a request that is denied, or that its key's policy does not allow, in the words of its service; a dry
    run as well."""
    action = f"{ask.service}:{ask.action}"
    if ask.action and _is_denied(ask, action):
        raise _refusal(ask, action)
    statements = _in_force(ask)
    if statements is not None and (forbidden := next(_forbidden(ask, statements), None)) is not None:
        raise _refusal(ask, forbidden)


def _forbidden(ask: Ask, statements: Sequence[policy.Statement]) -> Iterator[str]:
    """Name what a request takes and its key may not do: every action has to be allowed on everything it is about."""
    subject = Subject(ask)
    if subject.operation not in permissions.operations():
        yield f"{subject.operation or ask.service}, of which the table of permissions says nothing"
        return
    for grant in permissions.grants(subject.operation, subject.parameters):
        found = list(subject.resources(grant))
        if not found:
            yield f"{grant.action} on a resource of this type"
        for target, arn in found:
            context = _context(ask, subject, grant, dict(target.values), arn)
            if policy.decide(statements, grant.action, arn, context).word != "allowed":
                yield f"{grant.action} on resource: {arn}"


def _context(ask: Ask, subject: Subject, grant: Grant, values: Mapping[str, str], arn: str) -> policy.Context:
    """Give the condition keys of an action on a resource. IAM User Guide, "AWS global condition context keys"."""
    asked = {f"aws:RequestTag/{key}": [value] for key, value in subject.tags.items()}
    owned = {f"aws:ResourceTag/{key}": [value] for key, value in subject.tags_of(arn).items()} if arn != "*" else {}
    place = {"region": ask.region, "account": ask.account}
    named = {key: [value.format(**place)] for key, value in values.items()}
    if grant.action in permissions.bounded() and (boundary := subject.boundary(arn)):
        named[permissions.BOUNDARY] = [boundary]
    born = grant.action == "ec2:CreateTags" and ask.action != "CreateTags"
    return {**asked, **owned, **named, **({CREATE_ACTION: [ask.action]} if born else {})}


def _refusal(ask: Ask, what: str) -> Refusal:
    text = " ".join(filter(None, (_BEFORE.get(ask.service), f"User is not authorized to perform: {what}")))
    return Refusal(_CODES.get(ask.service, "AccessDenied"), text, 403)


@rules.before("SimulatePrincipalPolicy")
def a_simulation_tells_what_is_denied(ask: Ask) -> Reply:
    """One result for each action, and in it one for each resource. IAM API reference, SimulatePrincipalPolicy."""
    resources, context = ask.many("ResourceArns.member") or ["*"], dict(_entries(ask))
    results = []
    for action in ask.many("ActionNames.member"):
        decisions = {arn: _simulated(ask, action, arn, context) for arn in resources}
        words = {decision.word for decision in decisions.values()}
        missing = sorted(set().union(*(decision.missing for decision in decisions.values())))
        each = [
            {
                "EvalResourceName": arn,
                "EvalResourceDecision": decision.word,
                "MissingContextValues": sorted(decision.missing),
            }
            for arn, decision in decisions.items()
        ]
        results.append(
            {
                "EvalActionName": action,
                "EvalResourceName": "*",
                "EvalDecision": words.pop() if len(words) == 1 else "implicitDeny",
                "MatchedStatements": [],
                "MissingContextValues": missing,
                "ResourceSpecificResults": each,
            }
        )
    return answer(ask, {"EvaluationResults": results, "IsTruncated": False})


def _simulated(ask: Ask, action: str, arn: str, context: policy.Context) -> policy.Decision:
    if _is_denied(ask, action):
        return policy.Decision("explicitDeny")
    statements = _in_force(ask)
    return policy.Decision("allowed") if statements is None else policy.decide(statements, action, arn, context)


def _entries(ask: Ask) -> Iterator[tuple[str, list[str]]]:
    """Read the condition keys that whoever simulates gives."""
    for number in range(1, len(ask.form) + 1):
        entry = f"ContextEntries.member.{number}"
        if not ask.get(f"{entry}.ContextKeyName"):
            return
        yield ask.get(f"{entry}.ContextKeyName"), ask.many(f"{entry}.ContextKeyValues.member")


def _is_denied(ask: Ask, action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in ask.memory.get(_DENIED, ()))
