"""The embedded cloud answers as AWS does for network ACLs, flow logs, roles and log groups, where moto does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.local import iam, wire
from provisioner.local.cloud import Cloud
from tests.pace import SECONDS
from tests.test_local_cloud import Account, refused
from tests.world import VirtualClock

EVERYBODY = {"Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
FLOWS = "vpc-flow-logs.amazonaws.com"
AWS_POLICIES = "arn:aws:iam::aws:policy"


_CLOCK = VirtualClock()
_CLOUD = Cloud(_CLOCK.now)
_CLIENTS: dict[str, Any] = {}


KEEPING: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
"""The policy of a key that its account keeps for itself."""


class Hardened(Account):
    """An account with a cloud of its own, and with what a hardened network is made of, as far as a test asks for it."""

    cloud, clock = _CLOUD, _CLOCK

    def client(self, service: str) -> Any:
        if service not in _CLIENTS:
            session: Any = wire.isolated_session(self.region)
            _CLIENTS[service] = wire.plug(session.client(service, **wire.client_options()), _CLOUD)
        return _CLIENTS[service]

    iam = property(lambda self: self.client("iam"))
    logs = property(lambda self: self.client("logs"))
    kms = property(lambda self: self.client("kms"))

    def acl(self, vpc: str) -> str:
        return str(self.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"])

    def acls(self, vpc: str) -> list[dict[str, Any]]:
        """List the ACLs of a network, the default one first."""
        found = self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        return sorted(found, key=lambda each: not each["IsDefault"])

    def enter(self, acl: str, number: int = 100, verb: str = "create", **more: Any) -> Any:
        wanted = {"NetworkAclId": acl, "RuleNumber": number, "Egress": False, **EVERYBODY, **more}
        return getattr(self.ec2, f"{verb}_network_acl_entry")(**wanted)

    def role(self, service: str = FLOWS, name: str = "flow") -> str:
        who = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [who]})
        return str(self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"])

    def flow_log(self, vpc: str, role: str, **more: Any) -> Any:
        wanted = {"ResourceType": "VPC", "ResourceIds": [vpc], "TrafficType": "ALL", "LogGroupName": "flow"}
        return self.ec2.create_flow_logs(**wanted, DeliverLogsPermissionArn=role, **more)

    def key(self, policy: str = "") -> str:
        lets = {"Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Action": "kms:*"}
        own = json.dumps({**KEEPING, "Statement": [*KEEPING["Statement"], {**lets, "Resource": "*"}]})
        return str(self.kms.create_key(Policy=policy or own)["KeyMetadata"]["Arn"])

    def log_group(self, name: str = "flow", **more: Any) -> str:
        self.logs.create_log_group(logGroupName=name, **more)
        (found,) = self.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return str(found["logGroupArn"])


@pytest.fixture
def aws() -> Hardened:
    _CLOUD.reset()
    _CLOUD.time_scale = 0.0
    return Hardened()


def an_acl_of_another_network(aws: Hardened) -> Any:
    vpc = aws.vpc()
    aws.subnet(vpc)
    (association,) = aws.acls(vpc)[0]["Associations"]
    other = aws.acl(aws.vpc("10.1.0.0/16"))
    move = {"AssociationId": association["NetworkAclAssociationId"], "NetworkAclId": other}
    return aws.ec2.replace_network_acl_association(**move)


def an_acl_in_use(aws: Hardened) -> Any:
    vpc, acl = aws.vpc(), ""
    aws.subnet(vpc)
    acl = aws.acl(vpc)
    (association,) = aws.acls(vpc)[0]["Associations"]
    move = {"AssociationId": association["NetworkAclAssociationId"], "NetworkAclId": acl}
    aws.ec2.replace_network_acl_association(**move)
    return aws.ec2.delete_network_acl(NetworkAclId=acl)


def the_21st_rule(aws: Hardened) -> Any:
    acl = aws.acl(aws.vpc())
    for number in range(1, 22):
        aws.enter(acl, number)


def the_third_acl(aws: Hardened) -> Any:
    vpc = aws.vpc()
    aws.cloud.allow(acls=2)
    aws.acl(vpc)
    return aws.acl(vpc)


def the_same_number(aws: Hardened) -> Any:
    acl = aws.acl(aws.vpc())
    aws.enter(acl)
    aws.enter(acl, Egress=True)
    return aws.enter(acl)


def another_flow_log_to_the_same_group(aws: Hardened) -> Any:
    vpc, role = aws.vpc(), aws.role()
    aws.log_group()
    aws.flow_log(vpc, role)
    return aws.flow_log(vpc, role)


def the_same_token(aws: Hardened) -> Any:
    vpc, role = aws.vpc(), aws.role()
    aws.flow_log(vpc, role, ClientToken="one")
    return aws.flow_log(vpc, role, ClientToken="one", MaxAggregationInterval=60)


def a_role_with_a_policy(aws: Hardened) -> Any:
    aws.role()
    aws.iam.attach_role_policy(RoleName="flow", PolicyArn=f"{AWS_POLICIES}/AdministratorAccess")
    return aws.iam.delete_role(RoleName="flow")


def a_role_of_the_same_name(aws: Hardened) -> Any:
    aws.role()
    return aws.role("monitoring.rds.amazonaws.com")


def a_key_that_is_to_go(aws: Hardened) -> Any:
    key = aws.key()
    aws.kms.schedule_key_deletion(KeyId=key.rpartition("/")[2])
    return aws.log_group(kmsKeyId=key)


NO_ACL = "acl-0123456789abcdef0"
REFUSALS: dict[str, tuple[str, str, Callable[[Hardened], Any]]] = {
    "rule of no ACL": ("InvalidNetworkAclID.NotFound", "does not exist", lambda aws: aws.enter(NO_ACL)),
    "unknown ACL": (
        "InvalidNetworkAclID.NotFound",
        "does not exist",
        lambda aws: aws.ec2.describe_network_acls(NetworkAclIds=[NO_ACL]),
    ),
    "same number": ("NetworkAclEntryAlreadyExists", "", the_same_number),
    "number of AWS": (
        "InvalidParameterValue",
        "must be from 1 to 32766",
        lambda aws: aws.enter(aws.acl(aws.vpc()), 32767),
    ),
    "AWS's own rule": (
        "InvalidParameterValue",
        "must be from 1 to 32766",
        lambda aws: aws.ec2.delete_network_acl_entry(
            NetworkAclId=aws.acls(aws.vpc())[0]["NetworkAclId"], RuleNumber=32767, Egress=False
        ),
    ),
    "no rule to replace": (
        "InvalidNetworkAclEntry.NotFound",
        "",
        lambda aws: aws.enter(aws.acl(aws.vpc()), verb="replace"),
    ),
    "no rule to delete": (
        "InvalidNetworkAclEntry.NotFound",
        "",
        lambda aws: aws.ec2.delete_network_acl_entry(
            NetworkAclId=aws.acls(aws.vpc())[0]["NetworkAclId"], RuleNumber=1, Egress=False
        ),
    ),
    "TCP without ports": ("MissingParameter", "portRange", lambda aws: aws.enter(aws.acl(aws.vpc()), Protocol="6")),
    "ICMP without type": ("MissingParameter", "icmpTypeCode", lambda aws: aws.enter(aws.acl(aws.vpc()), Protocol="1")),
    "no CIDR block": (
        "InvalidParameterValue",
        "not a valid CIDR block",
        lambda aws: aws.enter(aws.acl(aws.vpc()), CidrBlock="10.0.0.0/99"),
    ),
    "21 rules": ("NetworkAclEntryLimitExceeded", "", the_21st_rule),
    "too many ACLs": ("NetworkAclLimitExceeded", "", the_third_acl),
    "no association": (
        "InvalidAssociationID.NotFound",
        "",
        lambda aws: aws.ec2.replace_network_acl_association(
            AssociationId="aclassoc-1", NetworkAclId=aws.acl(aws.vpc())
        ),
    ),
    "ACL of another network": ("InvalidParameterValue", "belong to different networks", an_acl_of_another_network),
    "ACL in use": ("DependencyViolation", "has dependencies", an_acl_in_use),
    "default ACL": (
        "InvalidParameterValue",
        "cannot delete default network ACL",
        lambda aws: aws.ec2.delete_network_acl(NetworkAclId=aws.acls(aws.vpc())[0]["NetworkAclId"]),
    ),
    "flow log without role": (
        "InvalidParameter",
        "Unable to assume given IAM role",
        lambda aws: aws.flow_log(aws.vpc(), "arn:aws:iam::123456789012:role/none"),
    ),
    "role of another service": (
        "InvalidParameter",
        "Unable to assume given IAM role",
        lambda aws: aws.flow_log(aws.vpc(), aws.role("monitoring.rds.amazonaws.com")),
    ),
    "flow log twice": ("FlowLogAlreadyExists", "", another_flow_log_to_the_same_group),
    "token of another flow log": ("IdempotentParameterMismatch", "", the_same_token),
    "no flow log": (
        "InvalidFlowLogId.NotFound",
        "does not exist",
        lambda aws: aws.ec2.delete_flow_logs(FlowLogIds=["fl-0123456789abcdef0"]),
    ),
    "role with a policy": ("DeleteConflict", "detach all policies", a_role_with_a_policy),
    "role of the same name": ("EntityAlreadyExists", "", a_role_of_the_same_name),
    "no role": ("NoSuchEntity", "", lambda aws: aws.iam.get_role(RoleName="none")),
    "policy that AWS has not": (
        "NoSuchEntity",
        "",
        lambda aws: (
            aws.role()
            and aws.iam.attach_role_policy(
                RoleName="flow", PolicyArn=f"{AWS_POLICIES}/service-role/AdministratorAccess"
            )
        ),
    ),
    "trust that is no JSON": (
        "MalformedPolicyDocument",
        "",
        lambda aws: aws.iam.create_role(RoleName="flow", AssumeRolePolicyDocument="{"),
    ),
    "log group twice": (
        "ResourceAlreadyExistsException",
        "",
        lambda aws: aws.log_group() and aws.log_group(),
    ),
    "log group of AWS": ("InvalidParameterException", "logGroupName", lambda aws: aws.log_group("aws/flow")),
    "odd name": ("InvalidParameterException", "logGroupName", lambda aws: aws.log_group("flow log")),
    "no key": (
        "InvalidParameterException",
        "not allowed to be used",
        lambda aws: aws.log_group(kmsKeyId="arn:aws:kms:us-east-1:123456789012:key/none"),
    ),
    "key of others": (
        "InvalidParameterException",
        "not allowed to be used",
        lambda aws: aws.log_group(kmsKeyId=aws.key(json.dumps(KEEPING))),
    ),
    "key that is to go": ("InvalidParameterException", "not allowed to be used", a_key_that_is_to_go),
    "odd number of days": (
        "InvalidParameterException",
        "retentionInDays",
        lambda aws: aws.log_group() and aws.logs.put_retention_policy(logGroupName="flow", retentionInDays=31),
    ),
    "no group to keep": (
        "ResourceNotFoundException",
        "",
        lambda aws: aws.logs.put_retention_policy(logGroupName="flow", retentionInDays=30),
    ),
    "no group to encrypt": (
        "ResourceNotFoundException",
        "",
        lambda aws: aws.logs.associate_kms_key(logGroupName="flow", kmsKeyId=aws.key()),
    ),
    "tags of no group": (
        "ResourceNotFoundException",
        "",
        lambda aws: aws.logs.list_tags_for_resource(resourceArn="arn:aws:logs:us-east-1:123456789012:log-group:no"),
    ),
    "tags of a group's streams": (
        "ResourceNotFoundException",
        "",
        lambda aws: aws.logs.list_tags_for_resource(resourceArn=f"{aws.log_group()}:*"),
    ),
    "prefix and pattern": (
        "InvalidParameterException",
        "mutually exclusive",
        lambda aws: aws.logs.describe_log_groups(logGroupNamePrefix="a", logGroupNamePattern="b"),
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_aws_refuses_is_refused_in_its_words(aws: Hardened, what: str) -> None:
    code, text, ask = REFUSALS[what]
    told = refused(lambda: ask(aws))
    assert told[0] == code
    assert text in told[1]


def test_a_new_acl_denies_everything_and_keeps_what_it_is_given(aws: Hardened) -> None:
    vpc = aws.vpc()
    acl = aws.acl(vpc)
    aws.enter(acl, 1, Protocol="1", IcmpTypeCode={"Type": 3, "Code": 4})
    aws.enter(acl, 2, Protocol="6", PortRange={"From": 80, "To": 81}, CidrBlock="10.0.0.1/8")
    default, own = aws.acls(vpc)
    assert [(each["RuleNumber"], each["RuleAction"]) for each in default["Entries"]].count((100, "allow")) == 2
    entries = {(each["RuleNumber"], each["Egress"]): each for each in own["Entries"]}
    assert entries.keys() == {(1, False), (2, False), (32767, False), (32767, True)}
    assert {each["RuleAction"] for key, each in entries.items() if key[0] > 2} == {"deny"}
    assert entries[1, False]["IcmpTypeCode"] == {"Type": 3, "Code": 4}
    assert entries[2, False]["PortRange"] == {"From": 80, "To": 81}
    assert entries[2, False]["CidrBlock"] == "10.0.0.0/8"


def test_a_subnet_and_a_network_that_go_leave_no_acl_behind(aws: Hardened) -> None:
    before = len(aws.ec2.describe_network_acls()["NetworkAcls"])
    vpc = aws.vpc()
    subnet, acl = aws.subnet(vpc), aws.acl(vpc)
    (association,) = aws.acls(vpc)[0]["Associations"]
    move = {"AssociationId": association["NetworkAclAssociationId"], "NetworkAclId": acl}
    assert aws.ec2.replace_network_acl_association(**move)["NewAssociationId"] != move["AssociationId"]
    aws.ec2.delete_subnet(SubnetId=subnet)
    aws.ec2.delete_network_acl(NetworkAclId=acl)
    aws.ec2.delete_vpc(VpcId=vpc)
    assert len(aws.ec2.describe_network_acls()["NetworkAcls"]) == before


def test_a_token_makes_one_acl(aws: Hardened) -> None:
    vpc = aws.vpc()
    made = {aws.ec2.create_network_acl(VpcId=vpc, ClientToken="one")["NetworkAcl"]["NetworkAclId"] for _ in "ab"}
    assert len(made) == 1


def test_a_role_is_assumed_once_word_of_it_has_spread(aws: Hardened) -> None:
    aws.cloud.time_scale = 1.0
    vpc, role = aws.vpc(), aws.role()
    aws.log_group()
    aws.clock.time += SECONDS["role spreading"] - 0.1
    assert refused(lambda: aws.flow_log(vpc, role))[0] == "InvalidParameter"
    aws.clock.time += 0.1
    assert aws.flow_log(vpc, role)["FlowLogIds"]


def test_a_policy_of_aws_is_there_when_it_is_named(aws: Hardened) -> None:
    aws.role()
    arn = f"{AWS_POLICIES}/service-role/AmazonRDSEnhancedMonitoringRole"
    aws.iam.attach_role_policy(RoleName="flow", PolicyArn=arn)
    (attached,) = aws.iam.list_attached_role_policies(RoleName="flow")["AttachedPolicies"]
    assert attached["PolicyArn"] == arn
    assert len(aws.iam.list_policies(Scope="AWS")["Policies"]) == 1


@pytest.mark.parametrize(
    ("statement", "trusts"),
    [
        ({"Effect": "Allow", "Principal": {"Service": FLOWS}}, True),
        ({"Effect": "Allow", "Principal": {"Service": ["a", FLOWS]}}, True),
        ({"Effect": "Deny", "Principal": {"Service": FLOWS}}, False),
        ({"Effect": "Allow", "Principal": "*"}, False),
        ({"Effect": "Allow", "Principal": {"AWS": FLOWS}}, False),
    ],
)
def test_a_role_is_assumed_by_whom_it_trusts(statement: dict[str, Any], trusts: bool) -> None:
    assert iam._trusts(statement, FLOWS) == trusts


def test_a_flow_log_without_a_group_delivers_nothing(aws: Hardened) -> None:
    aws.flow_log(aws.vpc(), aws.role())
    (log,) = aws.ec2.describe_flow_logs()["FlowLogs"]
    assert (log["DeliverLogsStatus"], log["DeliverLogsErrorMessage"]) == ("FAILED", "Access error")


def test_a_flow_log_outlives_its_network(aws: Hardened) -> None:
    vpc = aws.vpc()
    aws.flow_log(vpc, aws.role())
    aws.ec2.delete_vpc(VpcId=vpc)
    assert len(aws.ec2.describe_flow_logs()["FlowLogs"]) == 1


def test_log_groups_are_found_by_a_part_of_their_name(aws: Hardened) -> None:
    for name in ("/aws/vpc/acme-dev/flow", "/aws/rds/cluster/acme-dev-cluster/postgresql", "/acme-prod"):
        aws.log_group(name)
    found = aws.logs.describe_log_groups(logGroupNamePattern="acme-dev")["logGroups"]
    assert sorted(each["logGroupName"] for each in found) == [
        "/aws/rds/cluster/acme-dev-cluster/postgresql",
        "/aws/vpc/acme-dev/flow",
    ]


def test_a_log_group_changes_its_key_and_takes_its_tags_along(aws: Hardened) -> None:
    key, arn = aws.key(), aws.log_group(tags={"team": "network"})
    aws.logs.associate_kms_key(logGroupName="flow", kmsKeyId=key)
    assert aws.logs.describe_log_groups()["logGroups"][0]["kmsKeyId"] == key
    aws.logs.disassociate_kms_key(logGroupName="flow")
    assert "kmsKeyId" not in aws.logs.describe_log_groups()["logGroups"][0]
    aws.logs.delete_log_group(logGroupName="flow")
    assert aws.log_group() == arn
    assert aws.logs.list_tags_for_resource(resourceArn=arn)["tags"] == {}
