"""Who may do what: everybody everything, but for the actions that were denied by order; knows no resource.

What is denied is told by IAM's simulation and refused by the service itself, so that the two never differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from provisioner.local.protocol import reply as answer
from provisioner.local.rules import Ask, Refusal, Reply, Rulebook

rules = Rulebook("iam")

_DENIED = "denied"
"""Where the memory keeps the denied actions."""
_CODES = {"ec2": "UnauthorizedOperation", "servicequotas": "AccessDeniedException", "kms": "AccessDeniedException"}
"""What a service calls it where it is not AccessDenied. EC2 API reference, "Error codes"; the services' models."""
_UNTOLD = {"ec2": "You are not authorized to perform this operation."}


def deny(memory: dict[Any, Any], actions: Sequence[str]) -> None:
    """Deny exactly these actions until the cloud is reset, ``rds:CreateDBCluster`` or with wildcards, ``rds:Create*``.

    Raises ValueError for what is no action of a service.
    """
    if wrong := [each for each in actions if not isinstance(each, str) or ":" not in each]:
        raise ValueError(f"no actions of a service: {wrong}")
    memory[_DENIED] = tuple(actions)


def check(ask: Ask) -> None:
    """Refuse a request whose action is denied, in the words of its service; a dry run as well."""
    action = f"{ask.service}:{ask.action}"
    if ask.action and _is_denied(ask, action):
        text = _UNTOLD.get(ask.service) or f"User is not authorized to perform: {action}"
        raise Refusal(_CODES.get(ask.service, "AccessDenied"), text, 403)


@rules.before("SimulatePrincipalPolicy")
def a_simulation_tells_what_is_denied(ask: Ask) -> Reply:
    """One result for each action, and in it one for each resource. IAM API reference, SimulatePrincipalPolicy."""
    resources = ask.many("ResourceArns.member")
    results = []
    for action in ask.many("ActionNames.member"):
        decision = "explicitDeny" if _is_denied(ask, action) else "allowed"
        each = [{"EvalResourceName": arn, "EvalResourceDecision": decision} for arn in resources]
        results.append(
            {
                "EvalActionName": action,
                "EvalResourceName": "*",
                "EvalDecision": decision,
                "MatchedStatements": [],
                "MissingContextValues": [],
                "ResourceSpecificResults": each,
            }
        )
    return answer(ask, {"EvaluationResults": results, "IsTruncated": False})


def _is_denied(ask: Ask, action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in ask.memory.get(_DENIED, ()))
