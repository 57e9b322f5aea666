"""Things take their time in the embedded cloud, by a clock nobody waits for; some never get there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner.local import lifecycle, quotas, wire
from provisioner.local.cloud import Cloud
from tests.pace import FLAGS, SECONDS, longest
from tests.world import VirtualClock, World

NOW = 1_800_000_000.0


class Account:
    """A network, and a cloud whose clock the test sets; everything takes as long as at AWS."""

    def __init__(self, scale: float = 1.0) -> None:
        self.clock = VirtualClock(NOW)
        self.cloud = Cloud(self.clock.now, time_scale=scale)
        self.cloud.reset()
        self.ec2, self.rds = _clients(self.cloud)

    def network(self) -> tuple[str, list[str]]:
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        return vpc, [self.subnet(vpc, zone, third) for third, zone in enumerate("ab")]

    def subnet(self, vpc: str, zone: str, third: int) -> str:
        cidr, zone = f"10.0.{third}.0/24", f"us-east-1{zone}"
        return str(self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"])

    def nat(self, subnet: str) -> str:
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        return str(self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"])

    def endpoint(self, vpc: str, **more: Any) -> str:
        made = self.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", **more)
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def cluster(self, name: str = "db") -> None:
        if not self.rds.describe_db_subnet_groups()["DBSubnetGroups"]:
            given = {"DBSubnetGroupDescription": "data", "SubnetIds": self.network()[1]}
            self.rds.create_db_subnet_group(DBSubnetGroupName="data", **given)
        self.rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            MasterUsername="provisioner",
            ManageMasterUserPassword=True,
            DBSubnetGroupName="data",
            ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 4},
        )

    def instance(self, name: str = "db-1") -> None:
        given = {"DBInstanceClass": "db.serverless", "Engine": "aurora-postgresql"}
        self.rds.create_db_instance(DBInstanceIdentifier=name, DBClusterIdentifier="db", **given)

    def database(self) -> None:
        """Make a cluster with an instance, and wait for both."""
        self.cluster()
        self.after("cluster creating")
        self.instance()
        self.after("instance creating")

    def after(self, *spans: str, less: float = 0.0) -> None:
        self.clock.time += sum(SECONDS[span] for span in spans) - less

    def delete_cluster(self) -> None:
        self.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)

    def delete_instance(self, name: str = "db-1") -> None:
        self.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)

    def status(self, kind: str) -> str:
        """Tell the state of the one resource of a kind, "" if there is none."""
        found: list[dict[str, Any]] = {
            "nat": lambda: self.ec2.describe_nat_gateways()["NatGateways"],
            "endpoint": lambda: self.ec2.describe_vpc_endpoints()["VpcEndpoints"],
            "cluster": lambda: self.rds.describe_db_clusters()["DBClusters"],
            "instance": lambda: self.rds.describe_db_instances()["DBInstances"],
        }[kind]()
        each = found[0] if found else {}
        return str(each.get("State") or each.get("Status") or each.get("DBInstanceStatus") or "")

    def interfaces(self) -> list[dict[str, Any]]:
        return list(self.ec2.describe_network_interfaces()["NetworkInterfaces"])


_CLIENTS: dict[str, Any] = {}


def _clients(cloud: Cloud) -> Iterator[Any]:
    """Give clients of EC2 and RDS, made once, that speak to the cloud of this test."""

    class Current:
        answer = staticmethod(lambda environ: _CLIENTS["cloud"].answer(environ))

    current: Any = Current
    _CLIENTS["cloud"] = cloud
    for service in ("ec2", "rds"):
        if service not in _CLIENTS:
            made = wire.isolated_session("us-east-1").client(service, **wire.client_options())  # type: ignore[call-overload]
            _CLIENTS[service] = wire.plug(made, current)
        yield _CLIENTS[service]


@pytest.fixture
def aws() -> Account:
    return Account()


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


Deed = Callable[[Account], Any]


def make_nat(aws: Account) -> None:
    aws.nat(aws.network()[1][0])


def make_endpoint(aws: Account) -> None:
    aws.endpoint(aws.network()[0])


def make_cluster(aws: Account) -> None:
    aws.cluster()


def make_instance(aws: Account) -> None:
    aws.cluster()
    aws.after("cluster creating")
    aws.instance()


def modify_cluster(aws: Account) -> None:
    aws.database()
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", BackupRetentionPeriod=7, ApplyImmediately=True)


def upgrade_cluster(aws: Account) -> None:
    aws.database()
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="16.10", ApplyImmediately=True)


def modify_instance(aws: Account) -> None:
    aws.database()
    aws.rds.modify_db_instance(DBInstanceIdentifier="db-1", PromotionTier=7, ApplyImmediately=True)


def stop_cluster(aws: Account) -> None:
    aws.database()
    aws.rds.stop_db_cluster(DBClusterIdentifier="db")


def start_cluster(aws: Account) -> None:
    stop_cluster(aws)
    aws.after("cluster stopping")
    aws.rds.start_db_cluster(DBClusterIdentifier="db")


def delete_nat(aws: Account) -> None:
    nat = aws.nat(aws.network()[1][0])
    aws.after("nat creating")
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)


def delete_endpoint(aws: Account) -> None:
    endpoint = aws.endpoint(aws.network()[0])
    aws.after("endpoint creating")
    aws.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])


def delete_instance(aws: Account) -> None:
    aws.database()
    aws.delete_instance()


def delete_cluster(aws: Account) -> None:
    aws.cluster()
    aws.after("cluster creating")
    aws.delete_cluster()


COURSES = [
    (make_nat, "nat", "pending", "nat creating", "available"),
    (make_endpoint, "endpoint", "pending", "endpoint creating", "available"),
    (make_cluster, "cluster", "creating", "cluster creating", "available"),
    (make_instance, "instance", "creating", "instance creating", "available"),
    (modify_cluster, "cluster", "modifying", "cluster modifying", "available"),
    (upgrade_cluster, "cluster", "upgrading", "cluster upgrading", "available"),
    (modify_instance, "instance", "modifying", "instance modifying", "available"),
    (stop_cluster, "cluster", "stopping", "cluster stopping", "stopped"),
    (stop_cluster, "instance", "stopping", "cluster stopping", "stopped"),
    (start_cluster, "cluster", "starting", "cluster starting", "available"),
    (start_cluster, "instance", "starting", "cluster starting", "available"),
    (delete_nat, "nat", "deleting", "nat deleting", "deleted"),
    (delete_endpoint, "endpoint", "deleting", "endpoint deleting", "deleted"),
    (delete_instance, "instance", "deleting", "instance deleting", ""),
    (delete_cluster, "cluster", "deleting", "cluster deleting", ""),
]


@pytest.mark.parametrize(
    ("deed", "kind", "meanwhile", "span", "then"),
    [pytest.param(*each, id=f"{each[0].__name__}-{each[1]}") for each in COURSES],
)
class TestEverythingTakesItsTime:
    def test_what_is_begun_shows_until_its_time_has_come(
        self, aws: Account, deed: Deed, kind: str, meanwhile: str, span: str, then: str
    ) -> None:
        deed(aws)
        aws.after(span, less=0.1)
        assert aws.status(kind) == meanwhile
        aws.clock.time += 0.1
        assert aws.status(kind) == then

    def test_at_scale_0_it_is_done_at_once(self, deed: Deed, kind: str, meanwhile: str, span: str, then: str) -> None:
        aws = Account(scale=0.0)
        deed(aws)
        assert aws.status(kind) == then


def test_times_are_scaled() -> None:
    aws = Account(scale=0.1)
    make_nat(aws)
    aws.clock.time += SECONDS["nat creating"] * 0.1 - 0.1
    assert aws.status("nat") == "pending"
    aws.clock.time += 0.2
    assert aws.status("nat") == "available"


@pytest.mark.parametrize(("deed", "kind"), [(delete_nat, "nat"), (delete_endpoint, "endpoint")])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_what_is_deleted_is_listed_for_an_hour(deed: Deed, kind: str, scale: float) -> None:
    aws = Account(scale)
    deed(aws)
    aws.clock.time += SECONDS[f"{kind} deleting"] * scale + SECONDS[f"{kind} listed"] - 1
    assert aws.status(kind) == "deleted"
    aws.clock.time += 1
    assert aws.status(kind) == ""


def test_a_cluster_can_be_deleted_once_its_last_instance_is_leaving_and_goes_after_it(aws: Account) -> None:
    aws.database()
    assert refused(aws.delete_cluster) == "InvalidDBClusterStateFault"
    aws.delete_instance()
    aws.delete_cluster()
    aws.after("instance deleting")
    assert (aws.status("instance"), aws.status("cluster")) == ("", "deleting")
    aws.after("cluster deleting", less=1)
    assert aws.status("cluster") == "deleting"
    aws.clock.time += 1
    assert aws.status("cluster") == ""


def test_what_follows_from_what_is_long_past_is_past_too(aws: Account) -> None:
    delete_instance(aws)
    aws.clock.time += 100_000
    assert not aws.interfaces()


BUSY: list[tuple[Deed, Callable[[Account], Any], str]] = [
    (make_cluster, lambda aws: aws.instance(), "InvalidDBClusterStateFault"),
    (make_cluster, lambda aws: aws.delete_cluster(), "InvalidDBClusterStateFault"),
    (make_cluster, lambda aws: aws.rds.stop_db_cluster(DBClusterIdentifier="db"), "InvalidDBClusterStateFault"),
    (modify_cluster, lambda aws: aws.instance("db-2"), "InvalidDBClusterStateFault"),
    (modify_cluster, lambda aws: aws.rds.modify_db_cluster(DBClusterIdentifier="db"), "InvalidDBClusterStateFault"),
    (stop_cluster, lambda aws: aws.rds.start_db_cluster(DBClusterIdentifier="db"), "InvalidDBClusterStateFault"),
    (stop_cluster, lambda aws: aws.delete_instance(), "InvalidDBInstanceState"),
    (start_cluster, lambda aws: aws.delete_instance(), "InvalidDBInstanceState"),
    (delete_cluster, lambda aws: aws.delete_cluster(), "InvalidDBClusterStateFault"),
    (delete_cluster, lambda aws: aws.cluster(), "DBClusterAlreadyExistsFault"),
    (
        make_instance,
        lambda aws: aws.rds.modify_db_instance(DBInstanceIdentifier="db-1", PromotionTier=7),
        "InvalidDBInstanceState",
    ),
    (delete_instance, lambda aws: aws.delete_instance(), "InvalidDBInstanceState"),
    (delete_instance, lambda aws: aws.instance(), "DBInstanceAlreadyExists"),
    (
        delete_cluster,
        lambda aws: aws.rds.delete_db_subnet_group(DBSubnetGroupName="data"),
        "InvalidDBSubnetGroupStateFault",
    ),
]


@pytest.mark.parametrize(("deed", "call", "code"), BUSY, ids=[f"{each[0].__name__}-{n}" for n, each in enumerate(BUSY)])
def test_what_is_busy_is_left_as_it_is(aws: Account, deed: Deed, call: Callable[[Account], Any], code: str) -> None:
    deed(aws)
    assert refused(lambda: call(aws)) == code


def test_a_second_deletion_does_not_begin_it_anew(aws: Account) -> None:
    delete_nat(aws)
    aws.after("nat deleting", less=1)
    nat = aws.ec2.describe_nat_gateways()["NatGateways"][0]["NatGatewayId"]
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)
    aws.clock.time += 1
    assert aws.status("nat") == "deleted"


def test_an_address_is_free_once_its_gateway_is_deleted(aws: Account) -> None:
    delete_nat(aws)
    [address] = aws.ec2.describe_addresses()["Addresses"]
    release = partial(aws.ec2.release_address, AllocationId=address["AllocationId"])
    assert refused(release) == "AuthFailure"
    aws.after("nat deleting")
    release()


def linger_nat(aws: Account) -> None:
    delete_nat(aws)
    aws.after("nat deleting")


def linger_endpoint(aws: Account) -> None:
    vpc, subnets = aws.network()
    endpoint = aws.endpoint(vpc, VpcEndpointType="Interface", SubnetIds=subnets[:1])
    aws.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    aws.after("endpoint deleting")


def linger_instance(aws: Account) -> None:
    delete_instance(aws)
    aws.delete_cluster()
    aws.after("instance deleting")


@pytest.mark.parametrize("leave", [linger_nat, linger_endpoint, linger_instance])
def test_interfaces_of_aws_linger_and_hold_their_subnet(aws: Account, leave: Deed) -> None:
    leave(aws)
    [interface] = aws.interfaces()
    assert interface["RequesterManaged"]
    assert interface["Status"] == "in-use"
    delete = partial(aws.ec2.delete_subnet, SubnetId=interface["SubnetId"])
    aws.after("interface lingering", less=1)
    assert refused(delete) == "DependencyViolation"
    aws.after("cluster deleting")
    assert not aws.interfaces()
    delete()


def test_a_gateway_endpoint_has_no_interface(aws: Account) -> None:
    make_endpoint(aws)
    assert not aws.interfaces()


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize(
    ("deed", "kind", "outcome"),
    [
        (make_nat, "nat", "failed"),
        (make_cluster, "cluster", "failed"),
        (make_instance, "instance", "failed"),
        (make_instance, "instance", "incompatible-network"),
    ],
)
def test_a_doomed_newborn_is_a_wreck_and_the_next_one_is_not(deed: Deed, kind: str, outcome: str, scale: float) -> None:
    aws = Account(scale)
    aws.cloud.doom(**{kind: outcome})
    deed(aws)
    aws.after(f"{kind} creating")
    assert aws.status(kind) == outcome
    aws.cloud.reset()
    deed(aws)
    aws.after(f"{kind} creating")
    assert aws.status(kind) == "available"


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize(
    ("deed", "kind", "meanwhile"),
    [(make_nat, "nat", "pending"), (make_cluster, "cluster", "creating"), (make_instance, "instance", "creating")],
)
def test_a_newborn_doomed_never_to_come_up_stays_as_it_is(deed: Deed, kind: str, meanwhile: str, scale: float) -> None:
    aws = Account(scale)
    aws.cloud.doom(**{kind: "never"})
    deed(aws)
    aws.clock.time += 1_000_000
    assert aws.status(kind) == meanwhile


def test_a_wreck_can_be_deleted(aws: Account) -> None:
    aws.cloud.doom(cluster="failed")
    delete_cluster(aws)
    aws.after("cluster deleting")
    assert aws.status("cluster") == ""


def fill_vpcs(aws: Account) -> None:
    aws.ec2.create_vpc(CidrBlock="10.0.0.0/16")


def fill_internet_gateways(aws: Account) -> None:
    aws.ec2.create_internet_gateway()


def fill_addresses(aws: Account) -> None:
    aws.ec2.allocate_address(Domain="vpc")


def fill_clusters(aws: Account) -> None:
    number = len(aws.rds.describe_db_clusters()["DBClusters"])
    aws.cluster(f"db-{number}")


QUOTAS = [
    (fill_vpcs, "vpcs", 4, "VpcLimitExceeded"),  # the fifth is the default VPC
    (fill_internet_gateways, "internet_gateways", 5, "InternetGatewayLimitExceeded"),
    (fill_addresses, "addresses", 5, "AddressLimitExceeded"),
    (fill_clusters, "clusters", 40, "DBClusterQuotaExceededFault"),
]


@pytest.mark.parametrize(("deed", "quota", "room", "code"), QUOTAS, ids=[each[1] for each in QUOTAS])
def test_a_quota_is_what_it_is_at_aws_until_it_is_raised(deed: Deed, quota: str, room: int, code: str) -> None:
    aws = Account(scale=0.0)
    for _ in range(room):
        deed(aws)
    assert refused(lambda: deed(aws)) == code
    aws.cloud.allow(**{quota: 100})
    deed(aws)


def test_nat_gateways_are_limited_by_zone(aws: Account) -> None:
    aws.cloud.allow(addresses=20)
    vpc, [subnet, elsewhere] = aws.network()
    aws.subnet(vpc, "a", 2)
    first, *_ = [aws.nat(subnet) for _ in range(5)]
    assert refused(lambda: aws.nat(subnet)) == "NatGatewayLimitExceeded"
    aws.nat(elsewhere)
    aws.ec2.delete_nat_gateway(NatGatewayId=first)
    assert refused(lambda: aws.nat(subnet)) == "NatGatewayLimitExceeded"
    aws.after("nat deleting")
    aws.nat(subnet)


def test_instances_are_limited() -> None:
    aws = Account(scale=0.0)
    aws.cloud.allow(instances=1)
    aws.database()
    assert refused(lambda: aws.instance("db-2")) == "InstanceQuotaExceeded"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("quotas", {"vpcs": 10}, 200),
        ("quotas", {"wishes": 3}, 400),
        ("wrecks", {"nat": "failed"}, 200),
        ("wrecks", {"vpc": "failed"}, 400),
    ],
)
def test_quotas_and_wrecks_are_orders_to_the_cloud(path: str, body: Mapping[str, Any], status: int) -> None:
    sent = json.dumps(body).encode()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": f"/provisioner/{path}", "CONTENT_LENGTH": str(len(sent))}
    assert Cloud().answer({**environ, "wsgi.input": BytesIO(sent)}).status == status


def test_every_duration_says_where_it_is_from() -> None:
    assert all(each["source"] for each in lifecycle.recorded()["spans"].values())
    assert lifecycle.recorded()["date"]
    assert quotas.recorded()["date"]


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_a_run_takes_hardly_longer_than_the_longest_way_through_its_steps(tmp_path: Path, environment: str) -> None:
    world = World(tmp_path, environment)
    world.cloud.time_scale = 1.0
    for tearing in (False, True):
        session, started = world.session(), world.clock.time
        outcome = world.teardown(session, FLAGS) if tearing else world.provision(session)
        assert set(outcome.results.values()) == {"gone" if tearing else "settled"}, outcome.failures
        least = longest(session.steps, tearing)
        assert least <= world.clock.time - started <= least * 1.05


def test_what_is_under_way_goes_on_after_the_cloud_was_saved_and_restored(aws: Account) -> None:
    make_instance(aws)
    kept = aws.cloud.saved()
    assert kept is not None
    aws.cloud.reset()
    aws.cloud.restore(kept[1])
    assert aws.status("instance") == "creating"
    aws.after("instance creating")
    assert (aws.status("cluster"), aws.status("instance")) == ("available", "available")
