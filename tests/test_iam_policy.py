"""What iam-policy prints and what it is made of: actions that exist, bound as far as AWS lets them be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from provisioner import iam_policy, permissions
from provisioner.config import load
from provisioner.iam_policy import PURPOSES, Document, Purpose
from provisioner.kit import Stack, Step
from provisioner.local import ACCOUNT, policy
from provisioner.permissions import SCOPES, Grant, Target
from provisioner.session import drafted
from provisioner.settings import STACK_LENGTH, Settings
from tests.golden import assert_golden
from tests.hands import ENVIRONMENTS
from tests.test_architecture import OPERATIONS
from tests.world import ENVIRONMENTS as FILES

KNOWN = json.loads((Path(__file__).parent / "service_authorization.json").read_text())
RECORDED = json.dumps(iam_policy.seen())
HERE = {"account": ACCOUNT, "region": "us-east-1"}
EACH = pytest.mark.parametrize("environment", ENVIRONMENTS)
FOR = pytest.mark.parametrize("purpose", PURPOSES)


def drawn(environment: str, suffix: str = "", **security: Any) -> tuple[Sequence[Step], Stack]:
    """Give the steps and the stack of a file, with keys of its table ``security`` besides."""
    settings = load(FILES, environment)
    said = settings.model_dump(exclude_unset=True)
    settings = Settings.model_validate({**said, "security": {**said.get("security", {}), **security}})
    stack = Stack(
        project=settings.project, environment=environment, suffix=suffix, account=ACCOUNT, region=settings.region
    )
    return drafted(settings, stack), stack


def document(environment: str, *purposes: Purpose, suffix: str = "") -> Document:
    return iam_policy.document(*drawn(environment, suffix), purposes)


def actions(printed: Document) -> set[str]:
    return {action for statement in printed["Statement"] for action in listed(statement["Action"])}


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# The table.


def grants() -> Iterator[tuple[str, Grant, Target]]:
    for operation in sorted(permissions.operations()):
        conditional = re.findall(rf'"{re.escape(operation)}\((\w+)\)"', json.dumps(permissions.sources()))
        for grant in permissions.grants(operation, conditional):
            for target in grant.targets:
                yield operation, grant, target


def types(grant: Grant, target: Target) -> list[str]:
    """Name AWS's types of resources on which it judges the action, as far as ours is one of them."""
    service, ours = grant.action.partition(":")[0], permissions.resources()[target.type].arn
    return [
        type_
        for type_ in KNOWN["actions"][grant.action]
        if type_ and _alike(ours, KNOWN["resources"][f"{service}:{type_}"]["arn"])
    ]


def _alike(ours: str, theirs: str) -> bool:
    """Tell whether two ARNs with places in them are of the same type of resource."""
    mine, other = (re.sub(r"\$?\{\w*\}", "*", each) for each in (ours, theirs))
    return fnmatchcase(other.replace("*", "x"), mine) or fnmatchcase(mine.replace("*", "x"), other)


def test_every_action_exists() -> None:
    assert {grant.action for _, grant, _ in grants()} <= KNOWN["actions"].keys()
    assert KNOWN["date"]


@pytest.mark.parametrize(
    ("grant", "target"),
    [pytest.param(grant, target, id=f"{op} {grant.action} {target.type}") for op, grant, target in grants()],
)
def test_every_action_is_judged_on_that_resource_and_knows_those_conditions(grant: Grant, target: Target) -> None:
    service, said = grant.action.partition(":")[0], KNOWN["actions"][grant.action]
    found = types(grant, target) if target.type else [""]
    assert found, f"{grant.action} is not judged on a {target.type}"
    for type_ in found:
        keys = {*said.get(type_, ()), *said.get("", ()), "aws:CalledViaFirst"}  # which every action knows
        keys |= {*KNOWN["resources"][f"{service}:{type_}"]["keys"]} if type_ else set()
        wanted = [key for _, key in SCOPES[target.scope]] + [key for key, _ in target.values]
        assert {re.sub("/provisioner:stack$", "/${TagKey}", key) for key in wanted} <= keys


def test_no_tag_is_left_unused_that_aws_would_judge_by() -> None:
    loose = {
        grant.action
        for operation, grant, target in grants()
        if target.scope in ("named", "any")
        and not operation.partition(".")[2].startswith(("describe_", "list_", "get_", "head_", "simulate_"))
        and any(
            "aws:ResourceTag/${TagKey}" in KNOWN["resources"][f"{grant.action.partition(':')[0]}:{type_}"]["keys"]
            for type_ in (types(grant, target) if target.type else ())
        )
    }
    assert {action for action in loose if not action.startswith("s3:")} == {
        # A key of the user's own carries no tag of ours: it is bound to the service that uses it.
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
        "kms:RetireGrant",
        # The parameter group of the instances is AWS's own.
        "rds:ModifyDBCluster",
        # Roles are bound by their path and by the service that gets them.
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
        # RDS makes the secret, under a name that is reserved for it, and tags it itself.
        "secretsmanager:CreateSecret",
        "secretsmanager:TagResource",
    }


@pytest.mark.parametrize(
    ("operation", "where"), [each for each in OPERATIONS if each[1].startswith("steps.")], ids=lambda each: str(each)
)
def test_every_operation_that_a_step_names_is_in_the_table_and_was_seen(operation: str, where: str) -> None:
    assert operation in permissions.operations(), (
        f"{where} uses {operation}: enter in provisioner/permissions/{operation.partition('.')[0]}.json which actions "
        "it takes, then GOLDEN=write pytest tests/test_permissions.py -m crash -k recorded"
    )
    assert f'"{operation}"' in RECORDED, (
        f"{where} uses {operation}, and no run of tests/runs.py does: add one, then "
        "GOLDEN=write pytest tests/test_permissions.py -m crash -k recorded"
    )


def test_everything_that_was_seen_is_in_the_table() -> None:
    seen = set(re.findall(r'"([a-z0-9-]+\.[a-z0-9_]+)"', RECORDED))
    assert seen
    assert seen <= set(permissions.operations())


# The documents.


@EACH
@FOR
def test_a_policy_is_printed_as_agreed(environment: str, purpose: Purpose) -> None:
    assert_golden(f"iam/{environment}-{purpose}.json", json.dumps(document(environment, purpose), indent=2) + "\n")


@EACH
@FOR
def test_a_policy_allows_no_more_than_it_has_to(environment: str, purpose: Purpose) -> None:
    printed = document(environment, purpose)
    assert policy.read(printed)
    assert all(iam_policy.size(part) <= iam_policy.LIMIT for part in iam_policy.parts(printed))
    assert len({each["Sid"] for each in printed["Statement"]}) == len(printed["Statement"])
    for statement in printed["Statement"]:
        said = listed(statement["Action"])
        assert not any("*" in action for action in said)
        if "iam:PassRole" in said:
            assert "iam:PassedToService" in statement["Condition"]["StringEquals"]
        if statement["Resource"] == "*":
            for action in said:
                assert set(KNOWN["actions"][action]) == {""}, f"{action} can be bound to a resource"
        elif not statement.get("Condition"):
            reads = all(re.match(r"\w+:(Describe|Get|List|Simulate)", action) for action in said)
            known = ("acme-", "rds!", ":pg:default.")
            assert reads or all(any(part in each for part in known) for each in listed(statement["Resource"]))


@EACH
def test_a_plan_reads_only(environment: str) -> None:
    found = actions(document(environment, "plan"))
    assert [each for each in found if not re.match(r"[\w-]+:(Describe|Get|List|Simulate)", each)] == []


def test_a_suffix_makes_it_another_stack_s() -> None:
    text = json.dumps(document("dev", "provision", suffix="pr-42"))
    assert "acme-dev-pr-42-*" in text
    assert "acme-dev-*" not in text
    assert '"acme-dev"' not in text


def test_one_policy_for_all_purposes_allows_what_each_of_them_does() -> None:
    whole, stack = policy.read(document("prod", *PURPOSES)), Stack(project="acme", environment="prod", **HERE)
    for purpose in PURPOSES:
        single = policy.read(document("prod", purpose))
        found = set()
        for _, grant, target in grants():
            context = {key: [stack.name] for _, key in SCOPES[target.scope] if key != permissions.CREATE_ACTION}
            for arn in iam_policy.arns(target, stack):
                if policy.decide(single, grant.action, arn, context).word == "allowed":
                    found.add(grant.action)
                    assert policy.decide(whole, grant.action, arn, context).word == "allowed", (grant.action, arn)
        assert found


def test_what_is_too_long_for_one_policy_is_printed_in_parts() -> None:
    whole = document("prod", *PURPOSES)
    parts = iam_policy.parts(whole, limit=2000)
    assert len(parts) > 1
    assert all(iam_policy.size(part) <= 2000 for part in parts)
    assert [each for part in parts for each in part["Statement"]] == whole["Statement"]
    assert iam_policy.parts(whole, limit=10**6) == [whole]


# The boundary.


SERVICES = f"arn:aws:iam::{ACCOUNT}:policy/acme-prod-services"
BOUNDED = pytest.mark.parametrize("security", [{}, {"role_boundary": SERVICES}], ids=["unbounded", "bounded"])


@EACH
def test_a_boundary_is_printed_as_agreed(environment: str) -> None:
    printed = iam_policy.boundary(*drawn(environment))
    assert_golden(f"iam/{environment}-boundary.json", json.dumps(printed, indent=2) + "\n")


@EACH
@BOUNDED
def test_a_boundary_is_one_document_however_long_the_name_of_the_stack(
    environment: str, security: dict[str, str]
) -> None:
    suffix = "x" * (STACK_LENGTH - len(f"acme-{environment}-"))
    steps, stack = drawn(environment, suffix, **security)
    assert len(stack.name) == STACK_LENGTH
    printed = iam_policy.boundary(steps, stack)
    assert iam_policy.size(printed) <= iam_policy.LIMIT
    assert actions(printed) == actions(iam_policy.document(steps, stack, PURPOSES))
    assert not any("*" in action for action in actions(printed))


@EACH
@BOUNDED
def test_a_boundary_takes_nothing_from_what_is_printed_for_a_purpose(
    environment: str, security: dict[str, str]
) -> None:
    steps, stack = drawn(environment, **security)
    boundary = policy.read(iam_policy.boundary(steps, stack))
    for purpose in PURPOSES:
        single, found = policy.read(iam_policy.document(steps, stack, (purpose,))), set()
        for _, grant, target in grants():
            context = {key: [stack.name] for _, key in SCOPES[target.scope] if key != permissions.CREATE_ACTION}
            context |= {key: [value.format(**HERE)] for key, value in target.values}
            context |= dict.fromkeys((permissions.BOUNDARY,) if security else (), [SERVICES])
            for arn in iam_policy.arns(target, stack):
                if policy.decide(single, grant.action, arn, context).word == "allowed":
                    found.add(grant.action)
                    assert policy.decide(boundary, grant.action, arn, context).word == "allowed", (grant.action, arn)
        assert found
        assert ({"iam:PassRole", "iam:CreateRole"} <= found) == ((environment, purpose) == ("prod", "provision"))


ROLE = f"arn:aws:iam::{ACCOUNT}:role"


@pytest.mark.parametrize(
    ("action", "resource", "context", "bounded"),
    [
        ("iam:CreateRole", "provisioner/acme-prod/made", {permissions.BOUNDARY: [SERVICES]}, True),
        ("iam:CreateRole", "provisioner/acme-prod/made", {}, False),
        ("iam:CreateRole", "provisioner/acme-staging/made", {permissions.BOUNDARY: [SERVICES]}, None),
        ("iam:PutRolePolicy", "provisioner/acme-prod/made", {}, False),
        ("iam:PutRolePolicy", "acme-prod-ci", {permissions.BOUNDARY: [SERVICES]}, None),
        ("iam:UpdateAssumeRolePolicy", "acme-prod-ci", {}, None),
        ("iam:DeleteRolePermissionsBoundary", "acme-prod-ci", {}, None),
        ("iam:DeleteRolePermissionsBoundary", "provisioner/acme-prod/made", {}, False),
        ("iam:PassRole", "provisioner/acme-prod/made", {"iam:PassedToService": ["backup.amazonaws.com"]}, True),
        ("iam:PassRole", "provisioner/acme-prod/made", {"iam:PassedToService": ["lambda.amazonaws.com"]}, None),
        ("iam:PassRole", "admin", {"iam:PassedToService": ["backup.amazonaws.com"]}, None),
        ("iam:CreateServiceLinkedRole", "aws-service-role/x.amazonaws.com/AWSServiceRoleForX", {}, None),
    ],
)
def test_a_boundary_lets_nobody_hand_out_more_than_roles_of_the_stack(
    action: str, resource: str, context: dict[str, list[str]], bounded: bool | None
) -> None:
    """``bounded`` tells whether a boundary of the roles leaves it allowed; None: it is allowed in neither case."""
    for security, wanted in (({}, bounded is not None), ({"role_boundary": SERVICES}, bool(bounded))):
        statements = policy.read(iam_policy.boundary(*drawn("prod", **security)))
        assert (policy.decide(statements, action, f"{ROLE}/{resource}", context).word == "allowed") == wanted


# Another stack's.


def allowed(environment: str, action: str, resource: str, **context: Any) -> bool:
    """Ask the policy for everything about one action."""
    statements = policy.read(document(environment, *PURPOSES))
    asked = {key.replace("_", ":", 1) + "/provisioner:stack": [value] for key, value in context.items()}
    return policy.decide(statements, action, resource, asked).word == "allowed"


EC2, RDS = f"arn:aws:ec2:us-east-1:{ACCOUNT}", f"arn:aws:rds:us-east-1:{ACCOUNT}"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:DeleteVpc", f"{EC2}:vpc/vpc-1"),
        ("ec2:DeleteSubnet", f"{EC2}:subnet/subnet-1"),
        ("ec2:ReleaseAddress", f"{EC2}:elastic-ip/eipalloc-1"),
        ("ec2:RevokeSecurityGroupIngress", f"{EC2}:security-group/sg-1"),
        ("ec2:CreateSubnet", f"{EC2}:vpc/vpc-1"),
        ("rds:DeleteDBCluster", f"{RDS}:cluster:acme-prod-pr-1-cluster"),
        ("rds:ModifyDBInstance", f"{RDS}:db:acme-prod-pr-1-cluster-1"),
    ],
)
def test_what_is_tagged_as_another_stack_s_is_not_touched(action: str, resource: str) -> None:
    assert allowed("prod", action, resource, aws_ResourceTag="acme-prod")
    assert not allowed("prod", action, resource, aws_ResourceTag="acme-prod-pr-1")
    assert allowed("prod", action, resource) == ("Revoke" in action)  # the default group's rules: it has no tag


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("rds:DeleteDBCluster", f"{RDS}:cluster:orders"),
        ("rds:CreateDBCluster", f"{RDS}:cluster:orders"),
        ("s3:DeleteBucket", "arn:aws:s3:::acme-dev-123456789012-us-east-1"),
        ("s3:DeleteBucket", "arn:aws:s3:::acme-prod-pr-1-123456789012-us-east-1"),
        ("s3:DeleteObject", "arn:aws:s3:::acme-prod-pr-1-123456789012-us-east-1/key"),
        ("ec2:DeleteVpc", "arn:aws:ec2:us-west-2:123456789012:vpc/vpc-1"),
        ("ec2:DeleteVpc", "arn:aws:ec2:us-east-1:999999999999:vpc/vpc-1"),
    ],
)
def test_what_has_another_name_place_or_account_is_not_touched_whatever_its_tags(action: str, resource: str) -> None:
    tags = {"aws_ResourceTag": "acme-prod", "aws_RequestTag": "acme-prod"}
    assert not allowed("prod", action, resource, **tags)


LOOSE = {
    # What AWS makes with a network has no tag: its group, its ACL.
    ("ec2:RevokeSecurityGroupEgress", "security-group"),
    ("ec2:RevokeSecurityGroupIngress", "security-group"),
    ("ec2:CreateNetworkAclEntry", "network-acl"),
    ("ec2:DeleteNetworkAclEntry", "network-acl"),
    ("ec2:ReplaceNetworkAclEntry", "network-acl"),
    # A log group that is made with a key has its tags only once it is there.
    ("logs:AssociateKmsKey", "log-group"),
}
"""Actions with a type of resource that may lack the tag of this stack, but have no other's."""


@EACH
def test_no_action_gets_by_another_s_statement_what_it_is_bound_to_otherwise(environment: str) -> None:
    statements = policy.read(document(environment, *PURPOSES))
    named = {action for statement in statements for action in statement.actions}
    stack = Stack(project="acme", environment=environment, **HERE)
    asked = {permissions.REQUEST_TAG: [stack.name], permissions.CREATE_ACTION: ["CreateVpc"]}
    bound = {(grant.action, target) for _, grant, target in grants() if target.scope == "ours"}
    assert bound
    untagged = {
        (action, target.type)
        for action, target in bound
        for arn in (iam_policy.arns(target, stack) if action in named else ())
        if policy.decide(statements, action, arn, asked).word == "allowed"
    }
    assert untagged <= LOOSE
    assert ("ec2:RevokeSecurityGroupIngress", "security-group") in untagged


def test_nothing_is_taken_from_another_stack_by_tagging_it() -> None:
    vpc, cluster = f"{EC2}:vpc/vpc-1", f"{RDS}:cluster:acme-prod-pr-1-cluster"
    theirs = {"aws_RequestTag": "acme-prod", "aws_ResourceTag": "acme-prod-pr-1"}
    assert not allowed("prod", "ec2:CreateTags", vpc, **theirs)
    assert not allowed("prod", "ec2:CreateTags", vpc, aws_RequestTag="acme-prod")
    assert not allowed("prod", "rds:AddTagsToResource", cluster, **theirs)
    assert not allowed("prod", "ec2:CreateTags", vpc, aws_RequestTag="acme-dev", aws_ResourceTag="acme-prod")
