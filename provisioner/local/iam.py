"""What IAM does and moto does not: AWS's own policies, and roles that services can assume only after a while."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import moto.backends
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy

from provisioner.local.access import rules
from provisioner.local.lifecycle import recorded
from provisioner.local.rules import Ask, Refusal, Reply

__all__ = ["rules"]

_CHANGED = "roles"
"""Where the memory keeps when each role's trust was last changed, in seconds since the epoch."""


@cache
def _by_aws() -> Mapping[str, Any]:
    return json.loads(aws_managed_policies_data)  # type: ignore[no-any-return]


@rules.before("AttachRolePolicy", "GetPolicy", "CreateRole", "PutRolePermissionsBoundary")
def policies_of_aws_are_there(ask: Ask) -> None:
    """Every account can attach them. IAM User Guide, "AWS managed policies"; moto has either none or, after seconds,
    a thousand, so each comes into being when it is first named."""
    arn, known = ask.get("PolicyArn") or ask.get("PermissionsBoundary"), _backend(ask).managed_policies
    if arn.startswith("arn:aws:iam::aws:") and arn not in known:
        name = arn.rpartition("/")[2]
        if (found := _by_aws().get(name)) and arn == f"arn:aws:iam::aws:policy{found['Path']}{name}":
            known[arn] = AWSManagedPolicy.from_data(name, ask.account, ask.region, found)


@rules.before("CreateRole", "PutRolePermissionsBoundary")
def a_boundary_is_a_policy_that_is_there(ask: Ask) -> None:
    """NoSuchEntity. IAM API, CreateRole; the words are as users report them."""
    arn = ask.get("PermissionsBoundary")
    if arn and arn not in _backend(ask).managed_policies:
        raise Refusal("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.", 404)


@rules.before("CreateRole", "TagRole")
def tags_of_a_role_differ_by_more_than_case(ask: Ask) -> None:
    """InvalidInput. IAM User Guide, "Tags for IAM resources"; the words as in github.com/aws/aws-cdk/issues/26253."""
    keys = [ask.get(f"Tags.member.{number}.Key") for number in range(1, len(ask.form))]
    given = [key.lower() for key in keys if key]
    if len({*given}) < len(given):
        text = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        raise Refusal("InvalidInput", text)


@rules.before("CreateRole", "UpdateAssumeRolePolicy")
def a_policy_is_json(ask: Ask) -> None:
    """MalformedPolicyDocument for what is none; moto looks at neither. IAM API, CreateRole."""
    try:
        document = json.loads(ask.get("AssumeRolePolicyDocument") or ask.get("PolicyDocument"))
        document["Statement"]
    except (ValueError, TypeError, KeyError):
        raise Refusal("MalformedPolicyDocument", "This policy contains invalid Json") from None


@rules.after("CreateRole", "UpdateAssumeRolePolicy")
def a_role_spreads(ask: Ask, reply: Reply) -> None:
    """Services know of a change after a while. IAM User Guide, "Changes that I make are not always immediately
    visible"."""
    ask.memory.setdefault(_CHANGED, {})[ask.get("RoleName")] = ask.now


def assumable(ask: Ask, arn: str, service: str) -> bool:
    """Tell whether a service can assume a role by now: it is there, trusts the service, and word of that has spread."""
    role = next((role for role in _backend(ask).roles.values() if role.arn == arn), None)
    if role is None:
        return False
    spread = ask.memory.get(_CHANGED, {}).get(role.name, 0.0) + _spreading(ask)
    return spread <= ask.now and any(_trusts(each, service) for each in _statements(role))


def _spreading(ask: Ask) -> float:
    return float(recorded()["spans"]["role spreading"]["seconds"]) * ask.time_scale


def _statements(role: Any) -> list[dict[str, Any]]:
    found = json.loads(role.assume_role_policy_document)["Statement"]
    return found if isinstance(found, list) else [found]


def _trusts(statement: Mapping[str, Any], service: str) -> bool:
    principals = statement.get("Principal", {})
    named = principals.get("Service", ()) if isinstance(principals, dict) else ()
    return statement.get("Effect") == "Allow" and service in ([named] if isinstance(named, str) else named)


def _backend(ask: Ask) -> Any:
    """Give moto's backend of IAM, which belongs to no region."""
    backends: Any = moto.backends.get_backend("iam")
    return backends[ask.account]["aws"]
