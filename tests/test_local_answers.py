"""What is asked before anything is created, and that the embedded cloud refuses by the very tables it answers from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner.local import offerings, quotas, wire
from provisioner.local.cloud import DENIALS, QUOTAS, STRANGERS, Cloud

Client = Callable[..., Any]


@cache
def _cloud() -> Cloud:
    return Cloud()


@cache
def _client(service: str, region: str) -> Any:
    made = wire.isolated_session(region).client(service, **wire.client_options())
    return wire.plug(made, _cloud())


@pytest.fixture
def cloud() -> Cloud:
    _cloud().reset()
    return _cloud()


@pytest.fixture
def client(cloud: Cloud) -> Client:
    return lambda service, region="us-east-1": _client(service, region)


def code(call: Callable[..., Any], /, **params: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**params)
    return str(refused.value.response["Error"]["Code"])


def ordered(cloud: Cloud, path: str, order: Any) -> int:
    body = json.dumps(order).encode()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": str(len(body))}
    return cloud.answer({**environ, "wsgi.input": io.BytesIO(body)}).status


NAMES = sorted(quotas.recorded().keys() - {"date", "source"})


@pytest.mark.parametrize("name", NAMES)
def test_service_quotas_tell_the_limit_by_which_a_create_is_refused(cloud: Cloud, client: Client, name: str) -> None:
    each, asking = quotas.recorded()[name], client("service-quotas")

    def listed() -> float:
        told = asking.list_service_quotas(ServiceCode=each["service"])["Quotas"]
        (value,) = (quota["Value"] for quota in told if quota["QuotaCode"] == each["quota"])
        one = asking.get_service_quota(ServiceCode=each["service"], QuotaCode=each["quota"])["Quota"]
        assert (one["Value"], one["QuotaName"]) == (value, each["name"])
        return float(value)

    assert listed() == each["limit"]
    assert ordered(cloud, QUOTAS, {name: 7}) == 200
    assert listed() == 7


def test_an_unknown_quota_or_service_is_said_so(client: Client) -> None:
    asking = client("service-quotas")
    assert asking.list_service_quotas(ServiceCode="lambda")["Quotas"] == []
    assert code(asking.get_service_quota, ServiceCode="vpc", QuotaCode="L-1") == "NoSuchResourceException"


def test_security_groups_and_their_rules_are_limited(cloud: Cloud, client: Client) -> None:
    ec2 = client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud.allow(security_groups=2, rules=1)
    group = ec2.create_security_group(GroupName="a", Description="a", VpcId=vpc)["GroupId"]
    another = {"GroupName": "b", "Description": "b", "VpcId": vpc}
    assert code(ec2.create_security_group, **another) == "SecurityGroupLimitExceeded"
    ranges = [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.1.0.0/16"}]
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": ranges}
    authorize = ec2.authorize_security_group_ingress
    assert code(authorize, GroupId=group, IpPermissions=[rule]) == "RulesPerSecurityGroupLimitExceeded"
    authorize(GroupId=group, IpPermissions=[{**rule, "IpRanges": ranges[:1]}])
    assert len(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]) == 1


def test_subnet_groups_are_limited(cloud: Cloud, client: Client) -> None:
    cloud.allow(subnet_groups=0)
    subnets = [each["SubnetId"] for each in client("ec2").describe_subnets()["Subnets"]]
    given = {"DBSubnetGroupName": "a", "DBSubnetGroupDescription": "a", "SubnetIds": subnets}
    assert code(client("rds").create_db_subnet_group, **given) == "DBSubnetGroupQuotaExceeded"


def test_no_security_group_has_the_name_of_an_id(client: Client) -> None:
    vpc = client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    named = {"GroupName": "sg-a", "Description": "a", "VpcId": vpc}
    assert code(client("ec2").create_security_group, **named) == "InvalidParameterValue"


SIMULATED = {
    "PolicySourceArn": "arn:aws:iam::123456789012:user/me",
    "ActionNames": ["ec2:CreateVpc", "rds:CreateDBCluster"],
    "ResourceArns": ["arn:aws:ec2:us-east-1:123456789012:vpc/*"],
}


@pytest.mark.parametrize(
    ("action", "service", "call", "refused"),
    [
        ("ec2:CreateVpc", "ec2", lambda ec2: ec2.create_vpc(CidrBlock="10.0.0.0/16"), "UnauthorizedOperation"),
        (
            "ec2:Create*",
            "ec2",
            lambda ec2: ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True),
            "UnauthorizedOperation",
        ),
        ("rds:DescribeDBClusters", "rds", lambda rds: rds.describe_db_clusters(), "AccessDenied"),
        ("s3:CreateBucket", "s3", lambda s3: s3.create_bucket(Bucket="acme-x"), "AccessDenied"),
        (
            "servicequotas:List*",
            "service-quotas",
            lambda asked: asked.list_service_quotas(ServiceCode="vpc"),
            "AccessDeniedException",
        ),
        ("iam:Simulate*", "iam", lambda iam: iam.simulate_principal_policy(**SIMULATED), "AccessDenied"),
    ],
)
def test_what_is_denied_is_refused_in_the_words_of_its_service(
    cloud: Cloud, client: Client, action: str, service: str, call: Callable[[Any], Any], refused: str
) -> None:
    assert ordered(cloud, DENIALS, {"actions": [action]}) == 200
    with pytest.raises(ClientError) as told:
        call(client(service))
    assert told.value.response["Error"]["Code"] == refused
    cloud.deny([])
    assert "Credential" not in str(told.value)


def test_a_simulation_tells_what_is_denied(cloud: Cloud, client: Client) -> None:
    def decisions() -> dict[str, tuple[str, str]]:
        results = client("iam").simulate_principal_policy(**SIMULATED)["EvaluationResults"]
        return {
            each["EvalActionName"]: (each["EvalDecision"], each["ResourceSpecificResults"][0]["EvalResourceDecision"])
            for each in results
        }

    assert decisions() == dict.fromkeys(SIMULATED["ActionNames"], ("allowed", "allowed"))
    cloud.deny(["rds:*"])
    assert decisions()["rds:CreateDBCluster"] == ("explicitDeny", "explicitDeny")
    assert decisions()["ec2:CreateVpc"] == ("allowed", "allowed")


def test_an_order_that_names_no_action_is_refused(cloud: Cloud) -> None:
    assert ordered(cloud, DENIALS, {"actions": ["everything"]}) == 400
    assert ordered(cloud, DENIALS, {"action": []}) == 400


def test_a_bucket_that_is_gone_has_no_settings(client: Client) -> None:
    s3 = client("s3")
    asked = (
        s3.get_bucket_logging,
        partial(s3.put_bucket_logging, BucketLoggingStatus={}),
        s3.get_bucket_notification_configuration,
        partial(s3.put_bucket_notification_configuration, NotificationConfiguration={}),
        s3.get_bucket_encryption,
        s3.get_bucket_tagging,
        s3.get_bucket_policy,
        s3.get_bucket_versioning,
        s3.get_public_access_block,
        s3.get_bucket_ownership_controls,
        s3.get_bucket_lifecycle_configuration,
        s3.list_object_versions,
        s3.list_multipart_uploads,
    )
    assert [code(ask, Bucket="gone") for ask in asked] == ["NoSuchBucket"] * len(asked)


def test_a_bucket_of_others_is_neither_to_be_seen_nor_to_be_had(cloud: Cloud, client: Client) -> None:
    s3 = client("s3")
    assert ordered(cloud, STRANGERS, {"buckets": ["theirs"]}) == 200
    assert code(s3.head_bucket, Bucket="theirs") == "403"
    assert code(s3.get_bucket_tagging, Bucket="theirs") == "AccessDenied"
    assert code(s3.create_bucket, Bucket="theirs") == "BucketAlreadyExists"
    s3.create_bucket(Bucket="ours")


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-7"])
def test_a_serverless_instance_is_had_in_just_the_zones_that_are_told(client: Client, region: str) -> None:
    rds, ec2 = client("rds", region), client("ec2", region)
    asked = {"Engine": offerings.ENGINE, "EngineVersion": "16.8", "DBInstanceClass": "db.serverless"}
    (row,) = rds.describe_orderable_db_instance_options(**asked)["OrderableDBInstanceOptions"]
    told = {zone["Name"] for zone in row["AvailabilityZones"]}
    zones = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    rds.create_db_cluster(
        DBClusterIdentifier="c",
        Engine=offerings.ENGINE,
        EngineVersion="16.8",
        MasterUsername="boss",
        ManageMasterUserPassword=True,
        ServerlessV2ScalingConfiguration={"MinCapacity": 1, "MaxCapacity": 2},
    )
    for number, zone in enumerate(sorted(zones)):
        given = {"Engine": offerings.ENGINE, "DBInstanceClass": "db.serverless", "DBClusterIdentifier": "c"}
        given |= {"DBInstanceIdentifier": f"i{number}", "AvailabilityZone": zone}
        if zone in told:
            rds.create_db_instance(**given)
        else:
            assert code(rds.create_db_instance, **given) == "InvalidParameterCombination"
    assert (told == zones) == (region == "eu-west-1")


@pytest.mark.parametrize("support", ["", "-disabled"])
def test_a_cluster_past_standard_support_takes_extended_support(client: Client, support: str) -> None:
    given = {
        "DBClusterIdentifier": "c",
        "Engine": offerings.ENGINE,
        "EngineVersion": "13.23",
        "MasterUsername": "boss",
        "ManageMasterUserPassword": True,
        "EngineLifecycleSupport": f"open-source-rds-extended-support{support}",
    }
    if support:
        assert code(client("rds").create_db_cluster, **given) == "InvalidParameterCombination"
    else:
        client("rds").create_db_cluster(**given)
