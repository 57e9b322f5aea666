"""The embedded cloud at its worst: throttling, errors, lost connections, expired credentials, reads behind writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.local.faults import PRESETS, Faults

CALLS: dict[str, Callable[[Any], Any]] = {
    "ec2": lambda ec2: ec2.create_vpc(CidrBlock="10.0.0.0/16"),
    "rds": lambda rds: rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="tuned", DBParameterGroupFamily="aurora-postgresql16", Description="tuned"
    ),
    "s3": lambda s3: s3.create_bucket(Bucket="a-bucket"),
    "kms": lambda kms: kms.create_key(),
    "sts": lambda sts: sts.get_caller_identity(),
}
"""One call of each protocol and service."""
READS = {
    "ec2": "describe_vpcs",
    "rds": "describe_db_clusters",
    "s3": "list_buckets",
    "kms": "list_keys",
    "sts": "get_caller_identity",
}
THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "rds": ("Throttling", 400),
    "s3": ("SlowDown", 503),
    "kms": ("ThrottlingException", 400),
    "sts": ("Throttling", 400),
}
EXPIRED = {
    "ec2": ("RequestExpired", 400),
    "rds": ("ExpiredToken", 403),
    "s3": ("ExpiredToken", 400),
    "kms": ("ExpiredTokenException", 400),
    "sts": ("ExpiredToken", 403),
}
BROKEN = {
    "ec2": ("InternalError", "Unavailable"),
    "rds": ("InternalFailure", "ServiceUnavailable"),
    "s3": ("InternalError", "ServiceUnavailable"),
    "kms": ("InternalServiceError", "ServiceUnavailableException"),
    "sts": ("InternalFailure", "ServiceUnavailable"),
}


class Sky:
    """A cloud, its clock and clients of it, which take longer to make than all they are used for."""

    now = 1_800_000_000.0

    def __init__(self) -> None:
        self.cloud = Cloud(lambda: self.now)
        self._clients: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service not in self._clients:
            made = wire.isolated_session("us-east-1").client(service, **wire.client_options())
            self._clients[service] = wire.plug(made, self.cloud)
        return self._clients[service]

    def switch(self, **faults: Any) -> None:
        self.cloud.switch(Faults(**faults))

    def suffered(self) -> dict[str, int]:
        return dict(self.cloud.suffered()["suffered"])

    def vpcs(self) -> int:
        return len([vpc for vpc in self.ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]])

    def asked(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Ask the cloud itself for something, as curl would."""
        environ = wire.environ(_request(method, f"http://localhost{path}", body))
        reply = self.cloud.answer(environ)
        return reply.status, json.loads(reply.body)


def _request(method: str, url: str, body: bytes) -> Any:
    from botocore.awsrequest import AWSRequest

    return AWSRequest(method, url, {}, body).prepare()


_SKY = Sky()


@pytest.fixture
def sky() -> Sky:
    _SKY.switch()
    _SKY.cloud.reset()
    return _SKY


def answered(call: Callable[[], Any]) -> tuple[str, int]:
    """Make a call, and give the code and the HTTP status of its answer."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    except ConnectionClosedError:
        return "cut", 0
    return "done", 200


@pytest.mark.parametrize("service", CALLS)
def test_too_many_requests_are_refused_as_the_service_does(sky: Sky, service: str) -> None:
    sky.switch(throttle=1.0)
    assert answered(lambda: CALLS[service](getattr(sky, service))) == THROTTLED[service]
    assert sky.suffered() == {"throttled": 1}


@pytest.mark.parametrize("service", CALLS)
def test_expired_credentials_are_refused_as_the_service_does_and_for_good(sky: Sky, service: str) -> None:
    sky.switch(expire_at=2)
    seen = [answered(lambda: getattr(sky, service) and CALLS[service](getattr(sky, service))) for _ in range(3)]
    assert seen[0][0] == "done"
    assert seen[1:] == [EXPIRED[service]] * 2


@pytest.mark.parametrize("service", CALLS)
def test_errors_of_the_server_have_a_status_of_5xx(sky: Sky, service: str) -> None:
    sky.switch(errors=1.0)
    client = getattr(sky, service)
    seen = {answered(getattr(client, READS[service])) for _ in range(20)}
    assert {code for code, _ in seen} == set(BROKEN[service])
    assert {status for _, status in seen} == {500, 503}


def test_an_error_of_the_server_says_nothing_about_the_work(sky: Sky) -> None:
    sky.switch(errors=1.0)
    for third in range(4):
        answered(lambda cidr=f"10.{third}.0.0/16": sky.ec2.create_vpc(CidrBlock=cidr))
    done = sky.suffered()["error after"]
    sky.switch()
    assert 0 < done < 4
    assert sky.vpcs() == done


@pytest.mark.parametrize(("fault", "made"), [("cut_before", 0), ("cut_after", 1)])
def test_a_lost_connection_tells_nothing_of_what_was_done(sky: Sky, fault: str, made: int) -> None:
    sky.switch(**{fault: 1.0})
    with pytest.raises(ConnectionClosedError):
        CALLS["ec2"](sky.ec2)
    assert sky.suffered() == {fault.replace("_", " "): 1}
    sky.switch()
    assert sky.vpcs() == made


def test_a_name_that_does_not_resolve_yet_keeps_a_request_from_arriving(sky: Sky) -> None:
    sky.switch(unresolved=10.0, expire_at=2)
    sky.now += 9.9
    with pytest.raises(EndpointConnectionError):
        CALLS["ec2"](sky.ec2)
    told = sky.cloud.suffered()
    assert (told["requests"], told["suffered"]) == (0, {"unresolved": 1})
    assert told["latest"] == [["ec2 CreateVpc", "unresolved"]]
    sky.now += 0.1
    assert answered(lambda: CALLS["ec2"](sky.ec2)) == ("done", 200)
    sky.switch()
    assert sky.vpcs() == 1


def outcomes(sky: Sky, **faults: Any) -> list[str]:
    sky.switch(**faults)
    return [answered(sky.sts.get_caller_identity)[0] for _ in range(200)]


def test_the_same_seed_strikes_the_same_requests(sky: Sky) -> None:
    hard = {"throttle": 0.2, "errors": 0.1, "cut_before": 0.1, "cut_after": 0.1}
    first = outcomes(sky, seed=1, **hard)
    sky.now += 1000
    assert outcomes(sky, seed=1, **hard) == first
    assert outcomes(sky, seed=2, **hard) != first
    shares = Counter(first)
    assert 20 <= shares["Throttling"] <= 60
    assert 20 <= shares["cut"] <= 60
    assert 80 <= shares["done"] <= 120


def test_for_a_span_of_time_everything_is_throttled(sky: Sky) -> None:
    sky.switch(dark=(10, 70))
    seen = []
    for seconds in (0, 9, 1, 59, 1):
        sky.now += seconds
        seen.append(answered(sky.sts.get_caller_identity)[0])
    assert seen == ["done", "done", "Throttling", "Throttling", "done"]


def burst(sky: Sky, call: Callable[[], Any]) -> int:
    """Call until it is throttled, and tell how often it was not."""
    done = 0
    while answered(call)[0] != "RequestLimitExceeded":
        done += 1
    return done


@pytest.mark.parametrize(
    ("operation", "parameters", "holds", "a_second"),
    [
        ("describe_vpcs", {}, 100, 20),
        ("describe_security_groups", {}, 50, 10),
        ("describe_security_groups", {"Filters": [{"Name": "group-name", "Values": ["default"]}]}, 100, 20),
        ("delete_vpc", {"VpcId": "vpc-0123456789abcdef0"}, 50, 5),
        ("delete_nat_gateway", {"NatGatewayId": "nat-0123456789abcdef0"}, 10, 1),
        ("delete_vpc_endpoints", {"VpcEndpointIds": ["vpce-0123456789abcdef0"]}, 4, 0.3),
    ],
)
def test_ec2_has_a_bucket_of_tokens_for_every_action(
    sky: Sky, operation: str, parameters: dict[str, Any], holds: int, a_second: float
) -> None:
    sky.switch(buckets=True)
    assert burst(sky, lambda: getattr(sky.ec2, operation)(**parameters)) == holds
    assert answered(sky.ec2.describe_subnets)[0] == "done"
    sky.now += 4
    assert burst(sky, lambda: getattr(sky.ec2, operation)(**parameters)) == int(4 * a_second)


def test_reads_see_a_newborn_late_and_with_its_tags(sky: Sky) -> None:
    sky.switch(lag=30.0)
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "a"}]}]
    vpc = sky.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    assert sky.vpcs() == 0
    assert answered(lambda: sky.ec2.describe_vpcs(VpcIds=[vpc]))[0] == "InvalidVpcID.NotFound"
    sky.now += 29.9
    assert sky.vpcs() == 0
    sky.now += 0.1
    assert sky.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"] == tags[0]["Tags"]


def test_calls_see_what_reads_do_not_see_yet(sky: Sky) -> None:
    sky.switch(lag=30.0)
    vpc = sky.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = sky.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    assert answered(lambda: sky.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24"))[0] == "InvalidSubnet.Conflict"
    sky.now += 30
    assert [each["SubnetId"] for each in sky.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]] == [subnet]


def test_reads_see_what_was_changed_and_what_was_deleted_late(sky: Sky) -> None:
    CALLS["rds"](sky.rds)
    vpc = CALLS["ec2"](sky.ec2)["Vpc"]["VpcId"]
    sky.switch(lag=30.0)
    sky.rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName="tuned")
    sky.now += 10
    sky.ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "a"}])
    sky.now += 10
    sky.ec2.delete_vpc(VpcId=vpc)
    told = []
    for _ in range(4):
        groups = len(sky.rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"])
        tags = [tag for each in sky.ec2.describe_vpcs()["Vpcs"] for tag in each.get("Tags", ())]
        told.append((groups, len(tags), sky.vpcs()))
        sky.now += 10
    assert told == [(1, 0, 1), (0, 0, 1), (0, 1, 1), (0, 0, 0)]


def test_settings_of_a_bucket_lag_and_its_objects_do_not(sky: Sky) -> None:
    CALLS["s3"](sky.s3)
    sky.switch(lag=30.0)
    sky.s3.put_bucket_versioning(Bucket="a-bucket", VersioningConfiguration={"Status": "Enabled"})
    sky.s3.put_object(Bucket="a-bucket", Key="k", Body=b"hello")
    assert "Status" not in sky.s3.get_bucket_versioning(Bucket="a-bucket")
    assert sky.s3.get_object(Bucket="a-bucket", Key="k")["Body"].read() == b"hello"
    assert len(sky.s3.list_object_versions(Bucket="a-bucket")["Versions"]) == 1
    assert len(sky.s3.list_objects_v2(Bucket="a-bucket")["Contents"]) == 1
    sky.s3.create_bucket(Bucket="another")
    assert answered(lambda: sky.s3.head_bucket(Bucket="another")) == ("404", 404)
    assert len(sky.s3.list_buckets()["Buckets"]) == 1
    sky.now += 30
    assert sky.s3.get_bucket_versioning(Bucket="a-bucket")["Status"] == "Enabled"
    assert len(sky.s3.list_buckets()["Buckets"]) == 2


def test_faults_are_switched_and_told_on_request(sky: Sky) -> None:
    status, told = sky.asked("POST", "/provisioner/faults", b'{"preset": "brutal", "seed": 7, "throttle": 0.5}')
    assert status == 200
    assert sky.cloud.faults == Faults.read({"preset": "brutal", "seed": 7, "throttle": 0.5})
    assert told["faults"]["seed"] == 7
    sky.asked("POST", "/provisioner/faults", b'{"throttle": 1}')
    answered(sky.sts.get_caller_identity)
    answered(sky.s3.list_buckets)
    status, told = sky.asked("GET", "/provisioner/faults")
    assert told["requests"] == 2
    assert told["suffered"] == {"throttled": 2}
    assert told["latest"] == [["sts GetCallerIdentity", "throttled"], ["s3 GET", "throttled"]]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"brutal"', b'{"preset": "mild"}', b'{"thottle": 1}', b'{"throttle": 2}', b'{"throttle": "much"}']
    + [
        b'{"errors": 0.6, "throttle": 0.6}',
        b'{"lag": -1}',
        b'{"unresolved": -1}',
        b'{"dark": 3}',
        b'{"dark": [1]}',
        b'{"expire_at": "x"}',
    ],
)
def test_nonsense_is_refused_and_switches_nothing(sky: Sky, body: bytes) -> None:
    sky.switch(seed=5)
    status, told = sky.asked("POST", "/provisioner/faults", body)
    assert (status, list(told)) == (400, ["error"])
    assert sky.cloud.faults == Faults(seed=5)


def test_a_reset_empties_all_that_is_counted_and_remembered(sky: Sky) -> None:
    sky.switch(throttle=0.5, lag=30.0)
    for third in range(4):
        answered(lambda cidr=f"10.{third}.0.0/16": sky.ec2.create_vpc(CidrBlock=cidr))
    assert sky.asked("POST", "/moto-api/reset") == (200, {"status": "ok"})
    told = sky.cloud.suffered()
    assert (told["requests"], told["suffered"], told["latest"]) == (0, {}, [])
    assert told["faults"]["throttle"] == 0.5
    sky.switch()
    assert sky.vpcs() == 0


def test_a_bucket_may_have_the_name_of_our_own_address(sky: Sky) -> None:
    sky.s3.create_bucket(Bucket="provisioner")
    sky.s3.put_object(Bucket="provisioner", Key="faults", Body=b"mine")
    assert sky.s3.get_object(Bucket="provisioner", Key="faults")["Body"].read() == b"mine"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_switched_on(sky: Sky, preset: str) -> None:
    assert sky.asked("POST", "/provisioner/faults", json.dumps({"preset": preset}).encode())[0] == 200
    assert sky.cloud.faults == PRESETS[preset]


def test_no_faults_is_what_a_cloud_begins_with() -> None:
    assert Cloud().faults == PRESETS["none"] == Faults()


def everything(sky: Sky) -> list[Any]:
    """List what stands, with its ids."""
    clusters = sky.rds.describe_db_clusters()["DBClusters"]
    return [
        sky.ec2.describe_vpcs()["Vpcs"],
        sky.ec2.describe_security_groups()["SecurityGroups"],
        [{key: told for key, told in each.items() if not key.endswith("RestorableTime")} for each in clusters],
        sky.kms.list_keys()["Keys"],
        sky.secretsmanager.list_secrets()["SecretList"],
        sky.s3.list_buckets()["Buckets"],
        sky.s3.list_object_versions(Bucket="a-bucket").get("Versions", []),
        sky.s3.get_object(Bucket="a-bucket", Key="k")["Body"].read(),
    ]


def test_what_was_saved_is_restored_with_every_id(sky: Sky) -> None:
    for service in ("ec2", "rds", "s3", "kms"):
        CALLS[service](getattr(sky, service))
    sky.s3.put_bucket_versioning(Bucket="a-bucket", VersioningConfiguration={"Status": "Enabled"})
    sky.s3.put_object(Bucket="a-bucket", Key="k", Body=b"hello")
    scaling = {"MinCapacity": 0, "MaxCapacity": 4}
    sky.rds.create_db_cluster(
        DBClusterIdentifier="db",
        Engine="aurora-postgresql",
        MasterUsername="owner",
        ManageMasterUserPassword=True,
        ServerlessV2ScalingConfiguration=scaling,
    )
    [vpc] = [each["VpcId"] for each in sky.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]]
    table = sky.ec2.create_route_table(VpcId=vpc, ClientToken="once")["RouteTable"]["RouteTableId"]
    before = everything(sky)
    saved = sky.cloud.saved()
    assert saved is not None
    sky.cloud.reset()
    sky.cloud.restore(saved[1])
    assert everything(sky) == before
    again = sky.ec2.create_route_table(VpcId=vpc, ClientToken="once")["RouteTable"]["RouteTableId"]
    assert again == table
    sky.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)
    sky.ec2.delete_route_table(RouteTableId=table)
    sky.ec2.delete_vpc(VpcId=vpc)
    assert sky.vpcs() == 0


def test_only_what_changed_is_saved_again(sky: Sky) -> None:
    CALLS["ec2"](sky.ec2)
    saved = sky.cloud.saved()
    assert saved is not None
    sky.vpcs()
    assert sky.cloud.saved(saved[0]) is None
    CALLS["s3"](sky.s3)
    assert sky.cloud.saved(saved[0]) is not None
