"""What the embedded cloud does under a policy: judge every request as IAM would, and say no as the service does."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner import permissions
from provisioner.local import ACCOUNT, policy, wire
from provisioner.local.cloud import POLICY, Cloud
from provisioner.local.policy import decide, read

REGION = "us-east-1"
STACK, TAG = "shop-dev", "provisioner:stack"
OURS, THEIRS = {TAG: STACK}, {TAG: "shop-prod"}
Client = Callable[..., Any]


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}


def allow(action: str | list[str], resource: str = "*", **condition: Any) -> dict[str, Any]:
    return {"Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}


# One policy.


@pytest.mark.parametrize(
    ("action", "resource", "context", "word"),
    [
        ("ec2:CreateVpc", "arn:vpc/*", {}, "implicitDeny"),
        ("ec2:CreateVpc", "arn:vpc/*", {"aws:RequestTag/a": ["b"]}, "allowed"),
        ("EC2:createvpc", "arn:vpc/*", {"aws:RequestTag/a": ["b"]}, "allowed"),
        ("ec2:CreateVpc", "arn:subnet/*", {"aws:RequestTag/a": ["b"]}, "implicitDeny"),
        ("ec2:CreateVpc", "arn:vpc/*", {"aws:RequestTag/a": ["c"]}, "implicitDeny"),
        ("s3:GetObject", "arn:bucket", {}, "allowed"),
        ("s3:GetObject", "arn:bucket", {"k": ["other"]}, "implicitDeny"),
        ("s3:GetObject", "arn:bucket", {"k": ["pattern-1"]}, "allowed"),
        ("s3:PutObject", "arn:bucket", {"aws:TagKeys": ["x", "y"]}, "allowed"),
        ("s3:PutObject", "arn:bucket", {"aws:TagKeys": ["x", "z"]}, "implicitDeny"),
        ("s3:PutObject", "arn:bucket", {}, "allowed"),
        ("s3:PutObject", "arn:bucket", {"aws:SecureTransport": ["false"]}, "explicitDeny"),
        ("iam:PassRole", "arn:role/x", {"iam:PassedToService": ["rds"], "arn": ["arn:aws:x:1"]}, "allowed"),
        ("iam:PassRole", "arn:role/x", {"iam:PassedToService": ["rds"], "arn": ["arn:aws:y:1"]}, "implicitDeny"),
    ],
)
def test_a_policy_is_judged_as_iam_does(action: str, resource: str, context: dict[str, list[str]], word: str) -> None:
    said = document(
        allow("ec2:CreateVpc", "arn:vpc/*", StringEquals={"aws:RequestTag/a": "b"}),
        allow("s3:Get*", "arn:b?cket", StringLikeIfExists={"k": "pattern-*"}),
        allow(["s3:PutObject"], "*", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["x", "y"]}}),
        {**allow("s3:*", Bool={"aws:SecureTransport": "false"}), "Effect": "Deny"},
        allow("iam:PassRole", StringEquals={"iam:PassedToService": ["rds", "ec2"]}, ArnLike={"arn": "arn:aws:x:*"}),
    )
    assert decide(read(said), action, resource, context).word == word


def test_what_a_request_lacks_is_told() -> None:
    said = read(document(allow("ec2:CreateVpc", StringEquals={"aws:RequestTag/a": "b"})))
    assert decide(said, "ec2:CreateVpc", "*", {}).missing == {"aws:RequestTag/a"}
    assert decide(said, "ec2:CreateVpc", "*", {"aws:RequestTag/a": ["c"]}).missing == frozenset()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "no policy"),
        ({"Version": "2008-10-17", "Statement": []}, "Version"),
        (document({"NotAction": "ec2:*", "Resource": "*"}), "NotAction"),
        (document({"Action": "ec2:*", "NotResource": "*"}), "NotResource"),
        (document({"Action": "everything", "Resource": "*"}), "no actions of a service"),
        (document({"Action": "ec2:*"}), "a text or a list of texts"),
        (document(allow("ec2:*", DateLessThan={"aws:CurrentTime": "2030"})), "DateLessThan is not understood"),
        (document(allow("ec2:*", **{"ForAnyValue:StringEquals": {"a": "b"}})), "ForAnyValue:StringEquals is not"),
        (document({**allow("ec2:*"), "Effect": "Maybe"}), "Allow or Deny"),
    ],
)
def test_a_policy_that_is_not_understood_whole_is_refused(said: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read(said)


# The cloud under one.


class Sky:
    """What all clients of this file speak to: making one costs more than a whole test."""

    cloud: Cloud

    def answer(self, environ: dict[str, Any]) -> Any:
        return self.cloud.answer(environ)


SKY = Sky()


@pytest.fixture
def cloud() -> Cloud:
    SKY.cloud = Cloud(clock=lambda: 1_800_000_000.0)
    SKY.cloud.reset()
    return SKY.cloud


@pytest.fixture
def client(cloud: Cloud) -> Client:
    """Give clients of us, or of another access key."""
    return made


@cache
def made(service: str, key: str = "embedded") -> Any:
    sky: Any = SKY
    return wire.plug(wire.isolated_session(REGION, key).client(service, **wire.client_options()), sky)


def code(call: Callable[[], object]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def tags(of: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: each} for name, each in of.items()]


def born(type_: str, of: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": type_, "Tags": tags(of)}]


def test_a_policy_binds_its_access_key_and_no_other_until_it_is_lifted(cloud: Cloud, client: Client) -> None:
    ec2, stranger = client("ec2"), client("ec2", "stranger")
    cloud.permit(document(allow("ec2:DescribeVpcs")))
    assert code(ec2.describe_vpcs) == ""
    assert code(ec2.describe_subnets) == "UnauthorizedOperation"
    assert code(stranger.describe_subnets) == ""
    cloud.permit(document(allow("ec2:DescribeSubnets")), key="stranger")
    assert code(stranger.describe_vpcs) == "UnauthorizedOperation"
    cloud.permit(None)
    assert code(ec2.describe_subnets) == ""
    cloud.reset()
    assert code(stranger.describe_vpcs) == ""


def test_a_policy_outlives_the_process_of_the_cloud(cloud: Cloud, client: Client) -> None:
    cloud.permit(document(allow("ec2:DescribeVpcs")))
    saved = cloud.saved()
    assert saved is not None
    cloud.reset()
    cloud.restore(saved[1])
    assert code(client("ec2").describe_subnets) == "UnauthorizedOperation"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"policy": document(allow("ec2:DescribeVpcs"))}, 200),
        ({"policy": document(allow("ec2:DescribeVpcs")), "key": "stranger"}, 200),
        ({"policy": None}, 200),
        ({"policy": {"Version": "1"}}, 400),
        ({"policies": []}, 400),
    ],
)
def test_a_policy_is_set_by_order(cloud: Cloud, body: dict[str, Any], status: int) -> None:
    assert ordered(cloud, POLICY, body) == status


def ordered(cloud: Cloud, path: str, body: Any) -> int:
    content = json.dumps(body).encode()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": str(len(content))}
    return cloud.answer({**environ, "wsgi.input": io.BytesIO(content)}).status


def test_what_the_table_does_not_know_is_denied(cloud: Cloud, client: Client) -> None:
    cloud.permit(document(allow("*")))
    with pytest.raises(ClientError, match=r"ec2.describe_images, of which the table of permissions says nothing"):
        client("ec2").describe_images()


def test_a_dry_run_is_judged_too(cloud: Cloud, client: Client) -> None:
    ec2, asked = client("ec2"), {"CidrBlock": "10.0.0.0/16", "DryRun": True}
    cloud.permit(document(allow("ec2:DescribeVpcs")))
    assert code(lambda: ec2.create_vpc(**asked)) == "UnauthorizedOperation"
    cloud.permit(document(allow(["ec2:CreateVpc", "ec2:CreateTags"])))
    assert code(lambda: ec2.create_vpc(**asked)) == "DryRunOperation"


def test_the_simulation_says_what_the_services_do(cloud: Cloud, client: Client) -> None:
    vpc = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/*"
    bound = allow("ec2:CreateVpc", vpc, StringEquals={f"aws:RequestTag/{TAG}": STACK})
    cloud.permit(document(bound, allow("iam:SimulatePrincipalPolicy")))

    def simulated(*values: str) -> tuple[str, list[str]]:
        entry = {"ContextKeyName": f"aws:RequestTag/{TAG}", "ContextKeyType": "string"}
        asked = {
            "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/me",
            "ActionNames": ["ec2:CreateVpc"],
            "ResourceArns": [vpc],
            "ContextEntries": [{**entry, "ContextKeyValues": list(values)}] if values else [],
        }
        (result,) = client("iam").simulate_principal_policy(**asked)["EvaluationResults"]
        (each,) = result["ResourceSpecificResults"]
        return each["EvalResourceDecision"], each["MissingContextValues"]

    assert simulated(STACK) == ("allowed", [])
    assert simulated("another") == ("implicitDeny", [])
    assert simulated() == ("implicitDeny", [f"aws:RequestTag/{TAG}"])


EC2, RDS = f"arn:aws:ec2:{REGION}:{ACCOUNT}:*", f"arn:aws:rds:{REGION}:{ACCOUNT}:*"
TAGGED = {"StringEquals": {f"aws:RequestTag/{TAG}": STACK}}
OWNED = {"StringEquals": {f"aws:ResourceTag/{TAG}": STACK}}


def test_ec2_is_judged_by_the_tags_of_everything_it_touches(cloud: Cloud, client: Client) -> None:
    ec2, stranger = client("ec2"), client("ec2", "stranger")
    cloud.permit(document(allow(["ec2:CreateVpc", "ec2:CreateSubnet", "ec2:CreateTags"], EC2, **TAGGED)))
    assert code(lambda: ec2.create_vpc(CidrBlock="10.0.0.0/16")) == "UnauthorizedOperation"
    denied = lambda: ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=born("vpc", THEIRS))  # noqa: E731
    assert code(denied) == "UnauthorizedOperation"
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=born("vpc", OURS))["Vpc"]["VpcId"]
    other = stranger.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=born("vpc", THEIRS))["Vpc"]["VpcId"]
    cloud.permit(document(allow("ec2:DeleteVpc", EC2, **OWNED)))
    assert code(lambda: ec2.delete_vpc(VpcId=other)) == "UnauthorizedOperation"
    assert code(lambda: ec2.delete_vpc(VpcId=vpc)) == ""


def test_a_bucket_and_a_cluster_of_others_are_not_touched(cloud: Cloud, client: Client) -> None:
    s3, rds = client("s3", "stranger"), client("rds", "stranger")
    for name in ("shop-dev-1", "shop-prod-1"):
        s3.create_bucket(Bucket=name)
        rds.create_db_cluster_parameter_group(
            DBClusterParameterGroupName=name,
            DBParameterGroupFamily="aurora-postgresql16",
            Description="of somebody",
            Tags=tags(OURS if "dev" in name else THEIRS),
        )
    cloud.permit(document(allow("s3:DeleteBucket", "arn:aws:s3:::shop-dev-*"), allow("rds:*", RDS, **OWNED)))
    assert code(lambda: client("s3").delete_bucket(Bucket="shop-prod-1")) == "AccessDenied"
    assert code(lambda: client("s3").delete_bucket(Bucket="shop-dev-1")) == ""
    delete = client("rds").delete_db_cluster_parameter_group
    assert code(lambda: delete(DBClusterParameterGroupName="shop-prod-1")) == "AccessDenied"
    assert code(lambda: delete(DBClusterParameterGroupName="shop-dev-1")) == ""


def key(client: Client, of: dict[str, str]) -> str:
    return str(client("kms").create_key(Tags=tags(of, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"])


def group(client: Client, of: dict[str, str]) -> str:
    client("logs").create_log_group(logGroupName="/shop-dev", tags=of)
    return "/shop-dev"


def topic(client: Client, of: dict[str, str]) -> str:
    return str(client("sns").create_topic(Name="shop-dev-events", Tags=tags(of))["TopicArn"])


def role(client: Client, of: dict[str, str]) -> str:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    made = {"RoleName": "shop-dev-flow", "Path": f"/provisioner/{STACK}/", "AssumeRolePolicyDocument": trust}
    client("iam").create_role(**made, Tags=tags(of))
    return "shop-dev-flow"


def vault(client: Client, of: dict[str, str]) -> str:
    client("backup").create_backup_vault(BackupVaultName="shop-dev-vault", BackupVaultTags=of)
    return "shop-dev-vault"


def acl(client: Client, of: dict[str, str]) -> str:
    ec2 = client("ec2", "stranger")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=born("vpc", OURS))["Vpc"]["VpcId"]
    made = client("ec2").create_network_acl(VpcId=vpc, TagSpecifications=born("network-acl", of))
    return str(made["NetworkAcl"]["NetworkAclId"])


BORN = [
    pytest.param(key, "kms", lambda kms, id_: kms.enable_key_rotation(KeyId=id_), id="key"),
    pytest.param(
        group, "logs", lambda logs, id_: logs.put_retention_policy(logGroupName=id_, retentionInDays=7), id="log"
    ),
    pytest.param(topic, "sns", lambda sns, id_: sns.delete_topic(TopicArn=id_), id="topic"),
    pytest.param(role, "iam", lambda iam, id_: iam.delete_role(RoleName=id_), id="role"),
    pytest.param(vault, "backup", lambda backup, id_: backup.delete_backup_vault(BackupVaultName=id_), id="vault"),
    pytest.param(acl, "ec2", lambda ec2, id_: ec2.delete_network_acl(NetworkAclId=id_), id="acl"),
]


@pytest.mark.parametrize(("create", "service", "change"), BORN)
def test_every_service_is_judged_by_the_tags_it_is_given_and_has(
    cloud: Cloud, client: Client, create: Callable[[Client, dict[str, str]], str], service: str, change: Any
) -> None:
    rights = document(
        allow([f"{service}:*", "backup-storage:*"], **TAGGED),
        allow(f"{service}:*", **OWNED),
        allow("backup-storage:MountCapsule"),
    )
    cloud.permit(rights)
    assert code(lambda: create(client, THEIRS)) in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
    made = create(client, OURS)
    assert code(lambda: change(client(service), made)) == ""


@pytest.mark.parametrize(("create", "service", "change"), BORN)
def test_no_service_changes_what_is_tagged_as_another_stack_s(
    cloud: Cloud, client: Client, create: Callable[[Client, dict[str, str]], str], service: str, change: Any
) -> None:
    made = create(client, THEIRS)
    cloud.permit(document(allow(f"{service}:*", **OWNED)))
    assert code(lambda: change(client(service), made)) in (
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
    )


def test_a_role_is_passed_to_the_service_that_is_named_only(cloud: Cloud, client: Client) -> None:
    grants = {grant.action: grant for grant in permissions.grants("rds.create_db_instance", ["MonitoringRoleArn"])}
    (target,) = grants["iam:PassRole"].targets
    assert dict(target.values) == {"iam:PassedToService": "monitoring.rds.amazonaws.com"}
    arn = f"arn:aws:iam::{ACCOUNT}:role/provisioner/{STACK}/monitoring"

    def create() -> object:
        return client("rds").create_db_instance(
            DBInstanceIdentifier="shop-dev-1", DBInstanceClass="db.serverless", Engine="aurora-postgresql",
            DBClusterIdentifier="shop-dev", MonitoringRoleArn=arn, MonitoringInterval=60,
        )  # fmt: skip

    def passing(service: str) -> dict[str, Any]:
        return document(allow("rds:*"), allow("iam:PassRole", arn, StringEquals={"iam:PassedToService": service}))

    cloud.permit(passing("ec2.amazonaws.com"))
    assert code(create) == "AccessDenied"
    cloud.permit(passing("monitoring.rds.amazonaws.com"))
    assert code(create) == "DBClusterNotFoundFault"


def test_what_is_understood_is_what_we_print() -> None:
    operators = {operator for scope in permissions.SCOPES.values() for operator, _ in scope}
    assert operators <= {"StringEquals", "StringEqualsIfExists"}
    assert policy.read(document(*(allow("a:b", **{each: {"k": "v"}}) for each in operators)))
