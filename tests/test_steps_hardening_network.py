"""What the network and log steps of a hardened environment say for what they find: pure, as golden text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.blueprint import ANSWERS
from provisioner.kit import Call, Live, Stack, Unknown
from steps.acl_rules import OPEN, OPEN_IPV6, AclRule, rules_of, settle
from steps.default_network_acl import DefaultNetworkAcl
from steps.endpoint_policy import FULL, s3_of
from steps.flow_log import FlowLog
from steps.log_group import LogGroup, prefixes
from steps.network_acl import NetworkAcl
from steps.role import Role
from steps.tags import pairs
from steps.vpc_endpoint import VpcEndpoint
from tests.cases import STACK, Case, Told, described, flat, printed, question, tagged
from tests.model import validate

ARN = "arn:aws:iam::123456789012:role/provisioner/shop-dev/shop-dev-eu-west-1-flow"
PATH = "/aws/vpc/shop-dev/flow"
GROUP_ARN = f"arn:aws:logs:eu-west-1:123456789012:log-group:{PATH}"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
SUPPORT = "arn:aws:iam::aws:policy/service-role/Monitoring"
FROM_INSIDE, WEB, OUT = AclRule("in", 100, "10.0.0.0/16"), AclRule("in", 200, "0.0.0.0/0", "6", (80, 80)), OPEN[1]
PING = AclRule("in", 300, "::/0", "58", (128, 0), "deny")

ACL = NetworkAcl(
    name="private-acl",
    stack=STACK,
    vpc="vpc-1",
    subnets=("subnet-2", "subnet-1"),
    rules=(FROM_INSIDE, WEB, PING, OUT),
)
DEFAULT = DefaultNetworkAcl(name="default-acl", stack=STACK, vpc="vpc-1")
CLOSED = replace(DEFAULT, name="closed-acl", rules=())
GROUP = LogGroup(name="flow-group", stack=STACK, path=PATH, key=KEY, days=365)
ROLE = Role(
    name="flow-role",
    stack=STACK,
    service="vpc-flow-logs.amazonaws.com",
    source="arn:aws:ec2:eu-west-1:123456789012:vpc-flow-log/*",
    statements=({"Action": ["logs:PutLogEvents"], "Resource": "*"},),
    managed=("service-role/Monitoring",),
    boundary="arn:aws:iam::123456789012:policy/bound",
)
FLOW = FlowLog(name="flow", stack=STACK, vpc="vpc-1", group=PATH, role=ARN)


def entry(rule: AclRule) -> dict[str, Any]:
    """Write a rule as AWS tells it."""
    ports = {}
    if rule.ports is not None:
        ports = {"PortRange": {"From": rule.ports[0], "To": rule.ports[1]}}
        if rule.protocol in ("1", "58"):
            ports = {"IcmpTypeCode": {"Type": rule.ports[0], "Code": rule.ports[1]}}
    return {
        "RuleNumber": rule.number,
        "Egress": rule.direction == "out",
        "Protocol": rule.protocol,
        "RuleAction": rule.action,
        "Ipv6CidrBlock" if ":" in rule.peer else "CidrBlock": rule.peer,
        **ports,
    }


BY_AWS = [
    {"RuleNumber": 32767, "Egress": egress, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "0.0.0.0/0"}
    for egress in (True, False)
]


def acl(name: str, rules: Iterable[AclRule], *subnets: int, default: bool = False) -> dict[str, Any]:
    return {
        "NetworkAclId": name,
        "VpcId": "vpc-1",
        "IsDefault": default,
        "Entries": [*map(entry, rules), *BY_AWS],
        "Associations": [{"SubnetId": f"subnet-{n}", "NetworkAclAssociationId": f"aclassoc-{n}"} for n in subnets],
    }


def network(own: Mapping[str, Any] | None, *others: Mapping[str, Any]) -> Told:
    """Tell the ACLs of the network, one of which may be ours."""
    mine = [tagged(ACL, **own)] if own else []
    return Told({ACL.listing: mine}, {question(ACL.listing, vpc_id=["vpc-1"]): [*mine, *others]})


def logs(tags: Mapping[str, str] = GROUP.labels, **group: Any) -> Told:
    other = {"logGroupName": f"{PATH}-2", "logGroupArn": f"{GROUP_ARN}-2"}
    found = {"logGroupName": PATH, "logGroupArn": GROUP_ARN, "arn": f"{GROUP_ARN}:*", **group}
    return Told(
        questions={
            Call("logs.describe_log_groups", logGroupNamePrefix="/aws/vpc/shop-dev/"): [other, found],
            Call("logs.describe_log_groups", logGroupNamePattern="shop-dev"): [
                {"logGroupName": PATH, "arn": f"{GROUP_ARN}:*"}
            ],
            Call("logs.list_tags_for_resource", resourceArn=GROUP_ARN): {"tags": dict(tags)},
        }
    )


def iam(role: Role = ROLE, **found: Any) -> Told:
    told = {
        "RoleName": role.label,
        "Path": "/provisioner/shop-dev/",
        "Arn": ARN,
        "AssumeRolePolicyDocument": role.trust,
        "PermissionsBoundary": {"PermissionsBoundaryArn": role.boundary},
        "Tags": pairs(role),
    }
    named: dict[str, Any] = {"RoleName": role.label}
    questions = {
        Call("iam.list_roles", PathPrefix="/provisioner/shop-dev/"): [{"RoleName": role.label, "Arn": ARN}],
        Call("iam.get_role", **named): {"Role": {**told, **found}},
        Call("iam.list_role_policies", **named): ["own"],
        Call("iam.get_role_policy", **named, PolicyName="own"): {"PolicyDocument": role.policies["own"]},
        Call("iam.list_attached_role_policies", **named): [{"PolicyArn": SUPPORT}],
    }
    return Told(questions=questions)


FLOW_FOUND = {
    "FlowLogId": "fl-1",
    "ResourceId": "vpc-1",
    "TrafficType": "ALL",
    "LogGroupName": PATH,
    "DeliverLogsPermissionArn": ARN,
    "MaxAggregationInterval": 600,
    "DeliverLogsStatus": "SUCCESS",
}
TRUST = json.dumps(ROLE.trust)[:57]
GROUP_TAGS = json.dumps(GROUP.labels, sort_keys=True)[:57]
PERMITTED = json.dumps(ROLE.policies["own"])[:57]
REMADE = f"""
    ec2.delete_flow_logs FlowLogIds=["fl-1"]
    ec2.create_flow_logs ResourceType=VPC ResourceIds=["vpc-1"] TrafficType=ALL LogDestinationType=cloud-watch-logs \
LogGroupName={PATH} DeliverLogsPermissionArn=arn:aws:iam::123456789012:role/provisioner/shop-dev/shop-... \
MaxAggregationInterval=600
"""
NAMED = "RoleName=shop-dev-eu-west-1-flow"
BACK = """
    & ec2.replace_network_acl_association AssociationId=aclassoc-1 NetworkAclId=acl-0
    & ec2.replace_network_acl_association AssociationId=aclassoc-2 NetworkAclId=acl-0
    ec2.delete_network_acl NetworkAclId=acl-1
"""

CASES = [
    Case(
        ACL,
        network(acl("acl-1", ACL.rules, 1, 2), acl("acl-0", OPEN, 9, default=True)),
        absent="""
            ec2.create_network_acl VpcId=vpc-1
            & ec2.create_network_acl_entry NetworkAclId=<private-acl> RuleNumber=100 Egress=false Protocol=-1 \
RuleAction=allow CidrBlock=10.0.0.0/16
            & ec2.create_network_acl_entry NetworkAclId=<private-acl> RuleNumber=200 Egress=false Protocol=6 \
RuleAction=allow CidrBlock=0.0.0.0/0 PortRange={"From": 80, "To": 80}
            & ec2.create_network_acl_entry NetworkAclId=<private-acl> RuleNumber=300 Egress=false Protocol=58 \
RuleAction=deny Ipv6CidrBlock=::/0 IcmpTypeCode={"Type": 128, "Code": 0}
            & ec2.create_network_acl_entry NetworkAclId=<private-acl> RuleNumber=100 Egress=true Protocol=-1 \
RuleAction=allow CidrBlock=0.0.0.0/0
            & ec2.replace_network_acl_association AssociationId=<association of subnet-2> NetworkAclId=<private-acl>
            & ec2.replace_network_acl_association AssociationId=<association of subnet-1> NetworkAclId=<private-acl>
        """,
        teardown=BACK,
        off={
            "a rule missing, one changed, one added": (
                {"rules": (FROM_INSIDE, replace(WEB, ports=(22, 22)), PING, replace(WEB, number=1))},
                """
                & ec2.create_network_acl_entry NetworkAclId=acl-1 RuleNumber=100 Egress=true Protocol=-1 \
RuleAction=allow CidrBlock=0.0.0.0/0
                & ec2.replace_network_acl_entry NetworkAclId=acl-1 RuleNumber=200 Egress=false Protocol=6 \
RuleAction=allow CidrBlock=0.0.0.0/0 PortRange={"From": 80, "To": 80}
                & ec2.delete_network_acl_entry NetworkAclId=acl-1 RuleNumber=1 Egress=false
                """,
            ),
            "a subnet elsewhere": (
                {
                    "subnets": ("subnet-2",),
                    "associations": {"subnet-2": "aclassoc-2"},
                    "elsewhere": {"subnet-1": "aclassoc-8"},
                },
                "& ec2.replace_network_acl_association AssociationId=aclassoc-8 NetworkAclId=acl-1",
            ),
        },
    ),
    Case(
        DEFAULT,
        network(None, acl("acl-0", OPEN, 1, default=True)),
        absent="",
        teardown="",
        off={
            "closed": (
                {"rules": ()},
                """
                & ec2.create_network_acl_entry NetworkAclId=acl-0 RuleNumber=100 Egress=false Protocol=-1 \
RuleAction=allow CidrBlock=0.0.0.0/0
                & ec2.create_network_acl_entry NetworkAclId=acl-0 RuleNumber=100 Egress=true Protocol=-1 \
RuleAction=allow CidrBlock=0.0.0.0/0
                """,
            ),
        },
    ),
    Case(
        CLOSED,
        network(None, acl("acl-0", (), 1, default=True)),
        absent="""
            & ec2.delete_network_acl_entry NetworkAclId=<closed-acl> RuleNumber=100 Egress=false
            & ec2.delete_network_acl_entry NetworkAclId=<closed-acl> RuleNumber=100 Egress=true
        """,
        teardown="",
        off={
            "opened": (
                {"rules": OPEN[:1]},
                "& ec2.delete_network_acl_entry NetworkAclId=acl-0 RuleNumber=100 Egress=false",
            ),
        },
    ),
    Case(
        GROUP,
        logs(kmsKeyId=KEY, retentionInDays=365),
        absent=f"""
            logs.create_log_group logGroupName={PATH} kmsKeyId={KEY} tags={GROUP_TAGS}...
            logs.put_retention_policy logGroupName={PATH} retentionInDays=365
        """,
        teardown=f"logs.delete_log_group logGroupName={PATH}",
        off={
            "kept for ever": ({"days": 0}, f"logs.put_retention_policy logGroupName={PATH} retentionInDays=365"),
            "without key": ({"key": None}, f"logs.associate_kms_key logGroupName={PATH} kmsKeyId={KEY}"),
            "tags changed": (
                {"tags": {}},
                f"logs.tag_resource resourceArn={GROUP_ARN[:57]}... tags={GROUP_TAGS}...",
            ),
        },
    ),
    Case(
        ROLE,
        iam(),
        absent=f"""
            iam.create_role Path=/provisioner/shop-dev/ {NAMED} AssumeRolePolicyDocument={TRUST}... \
Tags={json.dumps(pairs(ROLE))[:57]}... PermissionsBoundary={ROLE.boundary}
            & iam.put_role_policy {NAMED} PolicyName=own PolicyDocument={PERMITTED}...
            & iam.attach_role_policy {NAMED} PolicyArn={SUPPORT}
        """,
        teardown=f"""
            & iam.delete_role_policy {NAMED} PolicyName=own
            & iam.detach_role_policy {NAMED} PolicyArn={SUPPORT}
            iam.delete_role {NAMED}
        """,
        off={
            "tags changed": ({"tags": {}}, f"& iam.tag_role {NAMED} Tags={json.dumps(pairs(ROLE))[:57]}..."),
            "trusting others": (
                {"trust": {"Version": "2012-10-17", "Statement": []}},
                f"& iam.update_assume_role_policy {NAMED} PolicyDocument={TRUST}...",
            ),
            "unbounded": (
                {"boundary": ""},
                f"iam.put_role_permissions_boundary {NAMED} PermissionsBoundary={ROLE.boundary}",
            ),
            "permitted otherwise, and more": (
                {"policies": {"own": {}, "theirs": {}}, "attached": ("arn:aws:iam::aws:policy/All",)},
                f"""
                & iam.put_role_policy {NAMED} PolicyName=own PolicyDocument={PERMITTED}...
                & iam.attach_role_policy {NAMED} PolicyArn={SUPPORT}
                & iam.delete_role_policy {NAMED} PolicyName=theirs
                & iam.detach_role_policy {NAMED} PolicyArn=arn:aws:iam::aws:policy/All
                """,
            ),
        },
    ),
    Case(
        FLOW,
        described(FLOW, **FLOW_FOUND),
        absent=REMADE.replace('    ec2.delete_flow_logs FlowLogIds=["fl-1"]\n', ""),
        teardown='ec2.delete_flow_logs FlowLogIds=["fl-1"]',
        off={
            "another network": ({"vpc": "vpc-9"}, REMADE),
            "another group": ({"group": "/theirs"}, REMADE),
            "another role": ({"role": "arn:aws:iam::123456789012:role/theirs"}, REMADE),
            "less": ({"traffic": "REJECT"}, REMADE),
            "more often": ({"seconds": 60}, REMADE),
            "tags changed": (
                {"tags": {}},
                f'ec2.create_tags Resources=["fl-1"] Tags={json.dumps(pairs(FLOW))[:57]}...',
            ),
        },
    ),
]


# Network ACLs


def test_the_rules_of_aws_are_none_of_ours_and_ours_are_read_as_they_are_written() -> None:
    assert tuple(rules_of(acl("acl-1", (*ACL.rules, *ANSWERS)))) == (*ACL.rules, *ANSWERS)


def test_a_rule_replaced_by_its_twin_of_the_other_direction_is_two_rules() -> None:
    there, wanted = AclRule("in", 100, "0.0.0.0/0"), AclRule("out", 100, "0.0.0.0/0")
    verbs = [call.method for call in settle("acl-1", [wanted], [there])]
    assert verbs == ["create_network_acl_entry", "delete_network_acl_entry"]


def test_a_subnet_of_others_that_hangs_on_ours_is_left_there() -> None:
    live = ACL.observe(network(acl("acl-1", ACL.rules, 1, 2, 9), acl("acl-0", OPEN, default=True)))
    assert live is not None
    assert printed(ACL.provision(live)) == ""
    assert "aclassoc-9" in printed(ACL.teardown(live))


def test_an_acl_on_which_nothing_hangs_needs_no_default_to_go() -> None:
    live = ACL.observe(network(acl("acl-1", ACL.rules)))
    assert live is not None
    assert printed(ACL.teardown(live)) == "ec2.delete_network_acl NetworkAclId=acl-1"


@pytest.mark.parametrize(("step", "calls"), [(DEFAULT, ""), (CLOSED, "2 deleted")])
def test_the_rules_of_ipv6_that_aws_adds_stay_where_all_may_pass(step: DefaultNetworkAcl, calls: str) -> None:
    rules = (*step.rules, *OPEN_IPV6)
    live = step.observe(network(None, acl("acl-0", rules, default=True)))
    assert live is not None
    said = printed(step.provision(live))
    assert said.count("RuleNumber=101") == (2 if calls else 0)
    assert bool(said) == bool(calls)


@pytest.mark.parametrize(("step", "told"), [(CLOSED, ["subnet-9"]), (DEFAULT, [])])
def test_subnets_of_others_that_would_be_cut_off_are_named(step: DefaultNetworkAcl, told: list[str]) -> None:
    aws = network(None, acl("acl-0", OPEN, 1, 9, default=True))
    aws = replace(aws, listings={"ec2.describe_subnets": [tagged(ACL, SubnetId="subnet-1")]})
    said = [each for check in step.objections(aws, step.observe(aws), 0.0) for each in check]
    assert [each.what.partition(",")[0] for each in said] == told
    assert {each.severity for each in said} <= {"warning"}


@pytest.mark.parametrize(("step", "told"), [(CLOSED, ["eni-1"]), (DEFAULT, [])])
def test_machines_of_others_that_get_another_border_are_named(step: DefaultNetworkAcl, told: list[str]) -> None:
    inside = [{"Name": "vpc-id", "Values": ["vpc-1"]}]
    subnets = [tagged(ACL, SubnetId=f"subnet-{number}", CidrBlock="10.0.0.0/24") for number in (1, 2)]
    interfaces = [
        {"NetworkInterfaceId": f"eni-{number}", "SubnetId": subnet, "OwnerId": "1", "Description": about}
        for number, subnet, about in (
            (1, "subnet-1", "a shop"),
            (2, "subnet-2", "one that hangs on an ACL of ours already"),
            (3, "subnet-1", "RDSNetworkInterface"),
        )
    ]
    aws = network(None, acl("acl-0", OPEN, 1, default=True))
    listed = {
        Call("ec2.describe_subnets", Filters=inside): subnets,
        Call("ec2.describe_network_interfaces", Filters=inside): interfaces,
    }
    aws = Told({"ec2.describe_subnets": subnets}, {**aws.questions, **listed})
    said = [each for check in step.objections(aws, step.observe(aws), 0.0) for each in check]
    assert [each.what.partition(" ")[0] for each in said] == told
    assert {each.severity for each in said} <= {"warning"}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (WEB, "200 allow tcp 80 from 0.0.0.0/0"),
        (ANSWERS[0], "300 allow tcp 1024-3388 from 0.0.0.0/0"),
        (OUT, "100 allow everything to 0.0.0.0/0"),
        (PING, "300 deny icmpv6 128-0 from ::/0"),
    ],
)
def test_a_rule_is_told_in_words(rule: AclRule, told: str) -> None:
    assert str(rule) == told


# Log groups and roles


def test_a_group_that_others_made_under_its_name_is_foreign() -> None:
    live = GROUP.observe(logs(tags={}))
    assert live is not None
    command = f'aws logs tag-resource --resource-arn {GROUP_ARN} --tags \'{{"Name": "shop-dev-flow-group",'
    assert live.foreign.startswith(command)


def test_a_group_without_a_key_of_ours_is_encrypted_as_the_service_does() -> None:
    plain = replace(GROUP, key=None)
    assert "kmsKeyId" not in printed(plain.provision(None))
    told = printed(plain.provision(plain.observe(logs(kmsKeyId=KEY, retentionInDays=365))))
    assert told == f"logs.disassociate_kms_key logGroupName={PATH}"


def test_a_group_is_not_created_before_its_key() -> None:
    first = next(flat(replace(GROUP, key=Unknown("key")).provision(None)))
    assert first.unknowns == {"key"}


@pytest.mark.parametrize(
    "name",
    ["/aws/rds/cluster/shop-dev-cluster/postgresql", "/aws/vpc/shop-dev/flow"],
)
def test_groups_of_another_stack_whose_name_begins_alike_are_not_looked_at(name: str) -> None:
    other = Stack(project="shop", environment="d")
    assert not any(name.startswith(each) for each in prefixes(other))


def test_a_role_trusts_its_service_for_this_account_only() -> None:
    (statement,) = ROLE.trust["Statement"]
    assert statement["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:eu-west-1:123456789012:vpc-flow-log/*"},
    }
    (bare,) = replace(ROLE, source=()).trust["Statement"]
    assert bare["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    (many,) = replace(ROLE, source=("a", "b")).trust["Statement"]
    assert many["Condition"]["ArnLike"] == {"aws:SourceArn": ["a", "b"]}


def test_a_role_of_the_same_name_that_others_made_is_foreign() -> None:
    live = ROLE.observe(iam(Tags=[]))
    assert live is not None
    assert live.foreign.startswith('aws iam tag-role --role-name shop-dev-eu-west-1-flow --tags \'[{"Key": "Name"')
    assert live.cure == ""


def test_a_role_at_another_path_is_not_taken_over() -> None:
    live = ROLE.observe(iam(Path="/"))
    assert live is not None
    assert live.foreign
    assert live.cure == "its path is /: delete it, or choose another SUFFIX"


def test_a_role_without_permissions_of_its_own_has_no_policy() -> None:
    bare = replace(ROLE, statements=(), managed=(), boundary="")
    assert [call.method for call in flat(bare.provision(None))] == ["create_role"]
    live = Live(ARN, {"policies": {}, "attached": (), "boundary": "arn"})
    assert [call.method for call in flat(bare.provision(live))] == ["delete_role_permissions_boundary"]


# Flow logs


@pytest.mark.parametrize(
    ("why", "broken"),
    [
        ("Access error", "it delivers nothing: Access error"),
        ("Unknown error", "it delivers nothing: Unknown error"),
        ("", "it delivers nothing: FAILED"),
        ("Rate limited", ""),
    ],
)
def test_a_flow_log_that_delivers_nothing_is_broken(why: str, broken: str) -> None:
    failed = {"DeliverLogsStatus": "FAILED", **({"DeliverLogsErrorMessage": why} if why else {})}
    live = FLOW.observe(described(FLOW, **{**FLOW_FOUND, **failed}))
    assert live is not None
    assert live.broken == broken
    assert not FLOW.holds_data


# The way to S3


ENDPOINT = VpcEndpoint(
    name="s3", stack=STACK, vpc="vpc-1", service_name="com.amazonaws.eu-west-1.s3", route_tables=("rtb-1",)
)
OURS = replace(ENDPOINT, policy=s3_of(STACK))
ENDPOINT_FOUND = {
    "VpcEndpointId": "vpce-1",
    "VpcId": "vpc-1",
    "ServiceName": "com.amazonaws.eu-west-1.s3",
    "RouteTableIds": ["rtb-1"],
    "State": "available",
}


def test_through_the_endpoint_go_the_account_and_the_readers_of_awss_own_repositories() -> None:
    account, repositories = s3_of(STACK)["Statement"]
    assert account["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}
    assert (repositories["Action"], repositories["Resource"]) == (
        "s3:GetObject",
        ["arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*", "arn:aws:s3:::al2023-repos-eu-west-1-de612dc2/*"],
    )


def test_an_endpoint_is_born_with_its_policy() -> None:
    (call,) = flat(OURS.provision(None))
    validate(call)
    assert json.loads(call.params["PolicyDocument"]) == s3_of(STACK)


@pytest.mark.parametrize("text", [json.dumps(FULL), None])
def test_an_endpoint_built_before_gets_its_policy_in_place(text: str | None) -> None:
    found = {**ENDPOINT_FOUND, **({"PolicyDocument": text} if text else {})}
    live = OURS.observe(described(OURS, **found))
    assert live is not None
    (call,) = flat(OURS.provision(live))
    validate(call)
    assert call == Call("ec2.modify_vpc_endpoint", VpcEndpointId="vpce-1", PolicyDocument=json.dumps(OURS.policy))


def test_policies_are_compared_by_what_they_say() -> None:
    text = json.dumps(OURS.policy, indent=4, sort_keys=True)
    live = OURS.observe(described(OURS, **ENDPOINT_FOUND, PolicyDocument=text))
    assert live is not None
    assert printed(OURS.provision(live)) == ""
