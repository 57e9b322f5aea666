"""What every step promises, kept in the embedded cloud: built once, left alone, put right, gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from provisioner import plan
from provisioner.clock import RealClock
from provisioner.engine import Seen
from provisioner.kit import Call
from provisioner.session import Session
from provisioner.survey import Refused
from provisioner.wiring import Outcome
from steps import KINDS
from tests.census import Census, census, resources
from tests.world import Killed, Watched, World, standing

ENVIRONMENTS = ("dev", "staging", "prod")
WITH_NAT = ("staging", "prod")
FLAGS = frozenset({"disable_protection", "delete_data", "skip_final_snapshot"})
EVERYWHERE = "0.0.0.0/0"
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}

Client = Callable[[str], Any]
Hand = Callable[[Client, Seen], object]


@dataclass(frozen=True)
class Change:
    """What a foreign hand does to the resources of one kind."""

    kind: str
    what: str
    do: Hand
    environments: tuple[str, ...] = ENVIRONMENTS
    """Where it can be done at all."""
    only: str = ""
    """How the names of the steps concerned begin."""


def live(seen: Seen) -> Any:
    assert seen.live is not None
    return seen.live


def untag(client: Client, seen: Seen) -> None:
    client("ec2").delete_tags(Resources=[live(seen).id], Tags=[{"Key": "team"}])
    client("ec2").create_tags(Resources=[live(seen).id], Tags=[{"Key": "Name", "Value": "mine"}])


def untag_in_rds(client: Client, seen: Seen) -> None:
    client("rds").remove_tags_from_resource(ResourceName=live(seen).facts["arn"], TagKeys=["team"])


def attribute(name: str) -> Hand:
    return lambda client, seen: client("ec2").modify_vpc_attribute(VpcId=live(seen).id, **{name: {"Value": False}})


def cluster(**changes: Any) -> Hand:
    return lambda client, seen: client("rds").modify_db_cluster(
        DBClusterIdentifier=live(seen).id, ApplyImmediately=True, **changes
    )


def instance(**changes: Any) -> Hand:
    return lambda client, seen: client("rds").modify_db_instance(
        DBInstanceIdentifier=live(seen).id, ApplyImmediately=True, **changes
    )


def setting(verb: str, **parameters: Any) -> Hand:
    return lambda client, seen: getattr(client("s3"), verb)(Bucket=live(seen).id, **parameters)


def rules(verb: str, *entries: dict[str, Any]) -> Hand:
    return lambda client, seen: getattr(client("ec2"), verb)(GroupId=live(seen).id, IpPermissions=list(entries))


def detach(client: Client, seen: Seen) -> None:
    client("ec2").detach_internet_gateway(InternetGatewayId=live(seen).id, VpcId=live(seen).facts["vpc"])


def delete_gateway(client: Client, seen: Seen) -> None:
    detach(client, seen)
    client("ec2").delete_internet_gateway(InternetGatewayId=live(seen).id)


def release_with_its_gateway(client: Client, seen: Seen) -> None:
    for nat in client("ec2").describe_nat_gateways()["NatGateways"]:
        if nat["State"] != "deleted" and nat["NatGatewayAddresses"][0]["AllocationId"] == live(seen).id:
            client("ec2").delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    client("ec2").release_address(AllocationId=live(seen).id)


def lead_to_the_internet(client: Client, seen: Seen) -> None:
    (gateway,) = client("ec2").describe_internet_gateways()["InternetGateways"]
    route = {"DestinationCidrBlock": EVERYWHERE, "GatewayId": gateway["InternetGatewayId"]}
    lead = client("ec2").replace_route if live(seen).facts["nat"] else client("ec2").create_route
    lead(RouteTableId=live(seen).id, **route)


def disassociate(client: Client, seen: Seen) -> None:
    for association in live(seen).facts["associations"].values():
        client("ec2").disassociate_route_table(AssociationId=association)


def hang_on_the_main_table(client: Client, seen: Seen) -> None:
    here = [{"Name": "vpc-id", "Values": [live(seen).facts["vpc"]]}, {"Name": "association.main", "Values": ["true"]}]
    (main,) = client("ec2").describe_route_tables(Filters=here)["RouteTables"]
    for association in live(seen).facts["associations"].values():
        client("ec2").replace_route_table_association(AssociationId=association, RouteTableId=main["RouteTableId"])


def delete_table(client: Client, seen: Seen) -> None:
    disassociate(client, seen)
    client("ec2").delete_route_table(RouteTableId=live(seen).id)


def forget_a_table(client: Client, seen: Seen) -> None:
    table = live(seen).facts["route_tables"][0]
    client("ec2").modify_vpc_endpoint(VpcEndpointId=live(seen).id, RemoveRouteTableIds=[table])


def delete_group(client: Client, seen: Seen) -> None:
    for group in client("ec2").describe_security_groups()["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            if any(pair["GroupId"] == live(seen).id for pair in rule["UserIdGroupPairs"]):
                client("ec2").revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
    client("ec2").delete_security_group(GroupId=live(seen).id)


def each_rule(change: Callable[[Any, str, str, dict[str, Any]], object]) -> Hand:
    """Do something to every rule of a group: (EC2, group, side, rule)."""

    def do(client: Client, seen: Seen) -> None:
        (group,) = client("ec2").describe_security_groups(GroupIds=[live(seen).id])["SecurityGroups"]
        for side, listed in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            for rule in group[listed]:
                change(client("ec2"), live(seen).id, side, rule)

    return do


def revoke(ec2: Any, group: str, side: str, rule: dict[str, Any]) -> None:
    getattr(ec2, f"revoke_security_group_{side}")(GroupId=group, IpPermissions=[rule])


def describe_anew(ec2: Any, group: str, side: str, rule: dict[str, Any]) -> None:
    for peer in (*rule["IpRanges"], *rule["UserIdGroupPairs"]):
        peer["Description"] = "temporary, ask Bob"
    getattr(ec2, f"update_security_group_rule_descriptions_{side}")(GroupId=group, IpPermissions=[rule])


def retag_bucket(client: Client, seen: Seen) -> None:
    tags = {**live(seen).facts["all_tags"], "team": "somebody else"}
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("s3").put_bucket_tagging(Bucket=live(seen).id, Tagging={"TagSet": tag_set})


def weaken_policy(client: Client, seen: Seen) -> None:
    policy = json.loads(client("s3").get_bucket_policy(Bucket=live(seen).id)["Policy"])
    policy["Statement"][0]["Action"] = "s3:PutObject"
    client("s3").put_bucket_policy(Bucket=live(seen).id, Policy=json.dumps(policy))


def add_a_public_subnet(client: Client, seen: Seen) -> None:
    ec2 = client("ec2")
    (public,) = ec2.describe_subnets(Filters=[{"Name": "tag:provisioner:step", "Values": ["public-1"]}])["Subnets"]
    subnets = [*live(seen).facts["subnets"], public["SubnetId"]]
    client("rds").modify_db_subnet_group(DBSubnetGroupName=live(seen).id, SubnetIds=subnets)


def allow_plain_connections(client: Client, seen: Seen) -> None:
    off = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    client("rds").modify_db_cluster_parameter_group(DBClusterParameterGroupName=live(seen).id, Parameters=[off])


def open_to_the_default_group(client: Client, seen: Seen) -> None:
    (own,) = live(seen).facts["security_groups"]
    (group,) = client("ec2").describe_security_groups(GroupIds=[own])["SecurityGroups"]
    default = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [group["VpcId"]]}]
    (stranger,) = client("ec2").describe_security_groups(Filters=default)["SecurityGroups"]
    cluster(VpcSecurityGroupIds=[own, stranger["GroupId"]])(client, seen)


def delete_instance(client: Client, seen: Seen) -> None:
    client("rds").delete_db_instance(DBInstanceIdentifier=live(seen).id, SkipFinalSnapshot=True)


def delete_database(client: Client, seen: Seen) -> None:
    cluster(DeletionProtection=False)(client, seen)
    for each in client("rds").describe_db_instances()["DBInstances"]:
        client("rds").delete_db_instance(DBInstanceIdentifier=each["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    client("rds").delete_db_cluster(DBClusterIdentifier=live(seen).id, SkipFinalSnapshot=True)


CHANGES = (
    Change("Vpc", "DNS turned off", attribute("EnableDnsSupport")),
    Change("Vpc", "host names turned off", attribute("EnableDnsHostnames")),
    Change("Vpc", "tags changed", untag),
    Change(
        "Subnet",
        "public addresses on launch",
        lambda client, seen: client("ec2").modify_subnet_attribute(
            SubnetId=live(seen).id, MapPublicIpOnLaunch={"Value": True}
        ),
    ),
    Change("Subnet", "tags changed", untag),
    Change(
        "Subnet",
        "deleted",
        lambda client, seen: client("ec2").delete_subnet(SubnetId=live(seen).id),
        ("dev",),
        only="public",
    ),
    Change("InternetGateway", "tags changed", untag),
    Change("InternetGateway", "detached", detach, ("dev",)),
    Change("InternetGateway", "deleted", delete_gateway, ("dev",)),
    Change("ElasticIp", "tags changed", untag, WITH_NAT),
    Change("ElasticIp", "released with its gateway", release_with_its_gateway, WITH_NAT),
    Change("NatGateway", "tags changed", untag, WITH_NAT),
    Change(
        "NatGateway",
        "deleted",
        lambda client, seen: client("ec2").delete_nat_gateway(NatGatewayId=live(seen).id),
        WITH_NAT,
    ),
    Change("RouteTable", "tags changed", untag),
    Change(
        "RouteTable",
        "route deleted",
        lambda client, seen: client("ec2").delete_route(RouteTableId=live(seen).id, DestinationCidrBlock=EVERYWHERE),
        only="public",
    ),
    Change("RouteTable", "private subnets led to the internet", lead_to_the_internet, only="private"),
    Change("RouteTable", "disassociated", disassociate),
    Change("RouteTable", "subnets hung on the main table", hang_on_the_main_table),
    Change("RouteTable", "deleted", delete_table),
    Change("VpcEndpoint", "tags changed", untag),
    Change("VpcEndpoint", "a table taken out", forget_a_table),
    Change(
        "VpcEndpoint",
        "deleted",
        lambda client, seen: client("ec2").delete_vpc_endpoints(VpcEndpointIds=[live(seen).id]),
    ),
    Change("SecurityGroup", "tags changed", untag),
    Change("SecurityGroup", "deleted", delete_group, only="app"),
    Change("SecurityRules", "a rule in added", rules("authorize_security_group_ingress", SSH)),
    Change("SecurityRules", "a rule out added", rules("authorize_security_group_egress", SSH)),
    Change("SecurityRules", "all rules revoked", each_rule(revoke)),
    Change("SecurityRules", "descriptions changed", each_rule(describe_anew)),
    Change("DefaultSecurityGroup", "a rule added", rules("authorize_security_group_ingress", SSH)),
    Change("Bucket", "tags changed", retag_bucket),
    Change("Bucket", "opened to the public", setting("delete_public_access_block")),
    Change(
        "Bucket",
        "access lists allowed",
        setting(
            "put_bucket_ownership_controls", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
        ),
    ),
    Change(
        "Bucket",
        "encrypted otherwise",
        setting(
            "put_bucket_encryption",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            },
        ),
    ),
    Change(
        "Bucket",
        "versioning suspended",
        setting("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
    ),
    Change("Bucket", "everything kept for ever", setting("delete_bucket_lifecycle")),
    Change("Bucket", "policy deleted", setting("delete_bucket_policy")),
    Change("Bucket", "policy weakened", weaken_policy),
    Change("Bucket", "deleted", setting("delete_bucket")),
    Change("DbSubnetGroup", "tags changed", untag_in_rds),
    Change("DbSubnetGroup", "a public subnet added", add_a_public_subnet),
    Change("DbParameters", "tags changed", untag_in_rds),
    Change("DbParameters", "plain connections allowed", allow_plain_connections),
    Change("Cluster", "tags changed", untag_in_rds),
    Change("Cluster", "made large", cluster(ServerlessV2ScalingConfiguration={"MinCapacity": 8, "MaxCapacity": 64})),
    Change("Cluster", "backups kept longer", cluster(BackupRetentionPeriod=35)),
    Change("Cluster", "protection on", cluster(DeletionProtection=True), ("dev", "staging")),
    Change("Cluster", "protection off", cluster(DeletionProtection=False), ("prod",)),
    Change("Cluster", "authentication by IAM off", cluster(EnableIAMDatabaseAuthentication=False)),
    Change("Cluster", "snapshots without tags", cluster(CopyTagsToSnapshot=False)),
    Change("Cluster", "other parameters", cluster(DBClusterParameterGroupName="default.aurora-postgresql16")),
    Change("Cluster", "opened to another group", open_to_the_default_group),
    Change(
        "Cluster",
        "stopped",
        lambda client, seen: client("rds").stop_db_cluster(DBClusterIdentifier=live(seen).id),
    ),
    Change("Cluster", "deleted", delete_database),
    Change("DbInstance", "tags changed", untag_in_rds),
    Change("DbInstance", "made public", instance(PubliclyAccessible=True)),
    Change("DbInstance", "kept at its minor version", instance(AutoMinorVersionUpgrade=False)),
    Change("DbInstance", "promoted last", instance(PromotionTier=15)),
    Change("DbInstance", "of a fixed size", instance(DBInstanceClass="db.r6g.large")),
    Change("DbInstance", "deleted", delete_instance),
)


@cache
def built(environment: str) -> Census:
    with TemporaryDirectory() as folder:
        return census(standing(Path(folder), environment).client)


def settled(outcome: Outcome) -> bool:
    assert not outcome.failures, outcome.failures
    return set(outcome.results.values()) == {"settled"}


def calls(session: Session) -> list[str]:
    assert isinstance(session.aws, Watched)
    return list(map(repr, session.aws.calls))


def test_there_is_a_change_for_every_kind_of_resource() -> None:
    assert {change.kind for change in CHANGES} == set(KINDS)


@pytest.mark.parametrize(
    ("environment", "change"),
    [
        pytest.param(environment, change, id=f"{environment}-{change.kind}-{change.what}")
        for change in CHANGES
        for environment in change.environments
    ],
)
def test_what_a_foreign_hand_changes_is_planned_and_put_right(tmp_path: Path, environment: str, change: Change) -> None:
    world = standing(tmp_path, environment)
    concerned = [
        seen
        for name, seen in world.look().seen.items()
        if seen.step.kind == change.kind and name.startswith(change.only)
    ]
    assert concerned
    for seen in concerned:
        change.do(world.client, seen)
    planned = {each.step: each.calls for each in plan.provision(world.look())}
    assert all(planned[seen.step.name] for seen in concerned), planned
    assert settled(world.provision())
    assert census(world.client) == built(environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_built_once_and_goes_without_a_trace(tmp_path: Path, environment: str) -> None:
    world = World(tmp_path, environment)
    empty = census(world.client)
    assert settled(world.provision())
    assert census(world.client) == built(environment)
    again = world.session()
    assert settled(world.provision(again))
    assert calls(again) == []
    down = world.teardown(flags=FLAGS)
    assert set(down.results.values()) == {"gone"}
    assert down.remains == ()
    assert census(world.client) == empty
    assert resources(empty) == 0
    once_more = world.session()
    world.teardown(once_more, flags=FLAGS)
    assert calls(once_more) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_lost_state_changes_nothing(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, environment)
    kept = world.state.read_text()
    world.lose_state()
    session = world.session()
    assert settled(world.provision(session))
    assert calls(session) == []
    assert remembered(world.state.read_text()) == remembered(kept)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_state_names_exactly_what_stands(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, environment)
    written = {name: step["id"] for name, step in remembered(world.state.read_text()).items()}
    assert written == {name: live(seen).id for name, seen in world.look().seen.items()}
    assert {step["status"] for step in remembered(world.state.read_text()).values()} == {"settled"}


def remembered(state: str) -> Any:
    """Read what a state says of its steps, but for the calls that were made for them."""
    steps = json.loads(state)["steps"]
    return {name: {**step, "calls": []} for name, step in steps.items()}


def test_dev_is_built_with_95_requests_and_found_built_with_32(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.session()
    world.provision(first)
    assert first.aws.requests <= 95
    second = world.session()
    world.provision(second)
    assert second.aws.mutations == 0
    assert second.aws.reads <= 32


# Changes of the environment file.


Tables = dict[str, Any]


def fresh(folder: Path, environment: str, *changes: Tables) -> Census:
    """Count what a file, changed so, gives in an empty account."""
    world = World(folder / "fresh", environment)
    for tables in changes:
        world.change(**tables)
    assert settled(world.provision())
    return census(world.client)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ("dev", [{"network": {"nat": nat}} for nat in ("single", "per-zone", "none")]),
        ("prod", [{"network": {"nat": nat}} for nat in ("single", "none", "per-zone")]),
        ("dev", [{"network": {"zones": zones}} for zones in (3, 2)]),
        ("staging", [{"network": {"zones": 3, "nat": "per-zone"}}, {"network": {"zones": 2, "nat": "single"}}]),
        ("dev", [{"database": {"instances": instances}} for instances in (2, 1)]),
        ("staging", [{"database": {"min_acu": 1, "max_acu": 4.5}}, {"database": {"min_acu": 0, "max_acu": 1}}]),
        ("dev", [{"database": {"auto_pause_seconds": 3600}}, {"database": {"backup_days": 35}}]),
        ("dev", [{"database": {"deletion_protection": True}}]),
        ("dev", [{"bucket": {"noncurrent_days": 3}}, {"bucket": {"abort_uploads_days": 5}}]),
        ("dev", [{"tags": {"owner": "alice"}}, {"tags": {"team": "network"}}]),
    ],
)
def test_a_changed_file_leads_to_what_it_gives_in_an_empty_account(
    tmp_path: Path, environment: str, path: list[Tables]
) -> None:
    wanted = [fresh(tmp_path / str(length), environment, *path[:length]) for length in range(1, len(path) + 1)]
    world = standing(tmp_path, environment)
    for tables, whole in zip(path, wanted, strict=True):
        world.change(**tables)
        outcome = world.provision()
        assert not outcome.failures, outcome.failures
        assert census(world.client) == whole
        again = world.session()
        world.provision(again)
        assert calls(again) == []


@pytest.mark.parametrize("flags", [frozenset[str](), frozenset({"delete_data"})])
@pytest.mark.parametrize(("table", "steps"), [("bucket", {"bucket"}), ("database", {"cluster"})])
def test_what_holds_data_leaves_the_file_only_by_a_flag(
    tmp_path: Path, table: str, steps: set[str], flags: frozenset[str]
) -> None:
    world = standing(tmp_path)
    world.change(**{table: None})
    refused = list(plan.refusals(world.look(flags=flags), flags, tearing=False))
    if not flags:
        assert {each.where for each in refused} == steps
        assert all("--delete-data" in each.remedy for each in refused)
        return
    assert refused == []
    assert not world.provision(flags=flags).failures
    assert census(world.client) == fresh(tmp_path, "dev", {table: None})


@pytest.mark.parametrize(
    ("tables", "step", "told"),
    [
        ({"network": {"cidr": "10.99.0.0/16"}}, "vpc", "cidr is 10.10.0.0/16, wanted 10.99.0.0/16"),
        ({"database": {"name": "other"}}, "cluster", "database is app, wanted other"),
        ({"database": {"port": 6543}}, "cluster", "port is 5432, wanted 6543"),
        ({"database": {"master_user": "boss"}}, "cluster", "master_user is provisioner_admin, wanted boss"),
    ],
)
def test_what_aws_cannot_change_is_refused_with_the_way_out(
    tmp_path: Path, tables: Tables, step: str, told: str
) -> None:
    world = standing(tmp_path)
    world.change(**tables)
    refused = {each.where: each for each in plan.refusals(world.look(), frozenset(), tearing=False)}
    assert told in refused[step].what
    assert "put the old value back" in refused[step].remedy
    assert "SUFFIX" in refused[step].remedy


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_what_the_file_does_not_name_keeps_what_was_built(tmp_path: Path, state: str) -> None:
    world = World(tmp_path)
    world.change(network={"cidr": "10.77.0.0/16"}, database={"name": "orders", "port": 6543, "master_user": "boss"})
    assert settled(world.provision())
    whole = census(world.client)
    document = world.settings.model_dump(exclude_unset=True)
    del document["network"]["cidr"], document["database"]["name"]
    del document["database"]["port"], document["database"]["master_user"]
    world.settings = type(world.settings).model_validate(document)
    if state == "lost":
        world.lose_state()
    session = world.session()
    assert list(plan.refusals(session.look(), frozenset(), tearing=False)) == []
    assert settled(world.provision(session))
    assert calls(session) == []
    assert census(world.client) == whole


def version(world: World) -> str:
    (found,) = world.client("rds").describe_db_clusters()["DBClusters"]
    return str(found["EngineVersion"])


@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("wanted", [None, "16", "16.4", "15"])
def test_a_newer_engine_than_the_file_asks_for_stays(tmp_path: Path, wanted: str | None, state: str) -> None:
    world = standing(tmp_path)
    rds = world.client("rds")
    rds.modify_db_cluster(DBClusterIdentifier="acme-dev-cluster", EngineVersion="16.9", ApplyImmediately=True)
    world.change(database={"engine_version": wanted} if wanted else {})
    if state == "lost":
        world.lose_state()
    session = world.session()
    assert settled(world.provision(session))
    assert calls(session) == []
    assert version(world) == "16.9"


def test_a_newer_minimum_is_an_upgrade(tmp_path: Path) -> None:
    world = standing(tmp_path)
    assert version(world) == "16.8"
    world.change(database={"engine_version": "16.9"})
    assert settled(world.provision())
    assert version(world) == "16.9"


def test_a_newer_major_version_brings_its_parameters(tmp_path: Path) -> None:
    world = standing(tmp_path)
    world.change(database={"engine_version": "17"})
    outcome = world.provision()
    assert not outcome.failures, outcome.failures
    (found,) = world.client("rds").describe_db_clusters()["DBClusters"]
    assert found["EngineVersion"].startswith("17.")
    assert found["DBClusterParameterGroup"] == "acme-dev-cluster-parameters-17"
    assert outcome.results["cluster-parameters-16"] == "gone"


@pytest.mark.parametrize(("wanted", "offered"), [("16.99", "16.8"), ("9", "16"), ("15.99", "15.10")])
def test_a_version_that_is_not_offered_is_refused_with_those_that_are(
    tmp_path: Path, wanted: str, offered: str
) -> None:
    world = World(tmp_path)
    world.change(database={"engine_version": wanted})
    with pytest.raises(Refused) as caught:
        world.session()
    (objection,) = caught.value.objections
    assert objection.where == "database.engine_version"
    assert wanted in objection.what
    assert offered in objection.remedy
    assert resources(census(world.client)) == 0


def test_a_teardown_resumed_while_the_cluster_is_deleting_names_its_final_snapshot(tmp_path: Path) -> None:
    def die(number: int, call: Call) -> None:
        if call.operation == "rds.delete_db_cluster":
            raise Killed

    world, flags = standing(tmp_path, "prod"), frozenset({"disable_protection", "delete_data"})
    world.cloud.time_scale = 1.0
    dead = world.session()
    assert isinstance(dead.aws, Watched)
    dead.aws.after = die
    with pytest.raises(Killed):
        world.teardown(dead, flags)
    live = world.look(tearing=True).seen["cluster"].live
    assert live is not None
    assert live.busy == "deleting"
    outcome = world.teardown(flags=flags)
    assert not outcome.failures
    assert live.facts["snapshot"] in " ".join(outcome.remains)


@pytest.mark.parametrize("parallelism", [1, 10])
def test_a_pool_of_threads_builds_the_same_as_one_step_after_the_other(tmp_path: Path, parallelism: int) -> None:
    apart = World(tmp_path / "a", "prod")
    apart.provision()
    built = census(apart.client)
    together = World(tmp_path / "b", "prod")
    with ThreadPoolExecutor(parallelism) as workers:
        session = together.session()
        session.engine.workers, session.engine.clock = workers, RealClock()
        outcome = session.engine.provision(session.look())
    assert (set(outcome.results.values()), outcome.failures) == ({"settled"}, ())
    assert census(together.client) == built
