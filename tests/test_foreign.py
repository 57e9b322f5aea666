"""What has our name and not our tags is somebody's: it is named and left alone, until its owner says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from provisioner import plan
from provisioner.kit import Call
from provisioner.local.cloud import ACCOUNT
from provisioner.session import Session
from provisioner.terms import Objection
from tests.census import Census, census
from tests.hands import Client, obey
from tests.world import Killed, Watched, World, standing


@dataclass(frozen=True)
class Stranger:
    """Something of ours that has lost our tags: the same name, the same place, and somebody else's."""

    step: str
    told: str
    """How the command begins that would make it ours."""
    untag: Callable[[Client, Any], object]


def untag_in_rds(client: Client, live: Any) -> None:
    tags = client("rds").list_tags_for_resource(ResourceName=live.facts["arn"])["TagList"]
    client("rds").remove_tags_from_resource(ResourceName=live.facts["arn"], TagKeys=[tag["Key"] for tag in tags])


def untag_in_ec2(client: Client, live: Any) -> None:
    (group,) = client("ec2").describe_security_groups(GroupIds=[live.id])["SecurityGroups"]
    client("ec2").delete_tags(Resources=[live.id], Tags=group["Tags"])


def retag_bucket(client: Client, live: Any) -> None:
    """Give it to the stack of the same name in another project."""
    tags = {**live.facts["all_tags"], "provisioner:project": "acme-dev"}
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("s3").put_bucket_tagging(Bucket=live.id, Tagging={"TagSet": tag_set})


STRANGERS = (
    Stranger("bucket", "aws s3api put-bucket-tagging --bucket acme-dev-123456789012-us-east-1", retag_bucket),
    Stranger("cluster", "aws rds add-tags-to-resource --resource-name arn:aws:rds:", untag_in_rds),
    Stranger("cluster-1", "aws rds add-tags-to-resource --resource-name arn:aws:rds:", untag_in_rds),
    Stranger("cluster-subnets", "aws rds add-tags-to-resource --resource-name arn:aws:rds:", untag_in_rds),
    Stranger("cluster-parameters-16", "aws rds add-tags-to-resource --resource-name arn:aws:rds:", untag_in_rds),
    Stranger("app", "aws ec2 create-tags --resources sg-", untag_in_ec2),
)
EACH = pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: stranger.step)


def estranged(folder: Path, stranger: Stranger) -> World:
    world = standing(folder)
    stranger.untag(world.client, world.look().seen[stranger.step].live)
    return world


def refusals(world: World) -> list[Objection]:
    return list(plan.refusals(world.look(), frozenset(), tearing=False))


@EACH
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_stranger_of_our_name_is_refused_with_the_command_that_adopts_it(
    tmp_path: Path, stranger: Stranger, state: str
) -> None:
    world = estranged(tmp_path, stranger)
    if state == "lost":
        world.lose_state()
    objection = next(each for each in refusals(world) if each.where == stranger.step)
    assert "has not the tags of this stack" in objection.what
    assert stranger.told in objection.remedy
    planned = {each.step: each for each in plan.provision(world.look())}
    assert planned[stranger.step].status == "foreign"
    assert planned[stranger.step].calls == ()


@EACH
def test_a_stranger_is_neither_changed_nor_deleted(tmp_path: Path, stranger: Stranger) -> None:
    world = estranged(tmp_path, stranger)
    seen = world.look().seen[stranger.step]
    assert seen.live is not None
    name, known_by = seen.step.label, {seen.step.label, seen.live.id}
    standing_there = census(world.client)
    up = world.session()
    outcome = world.provision(up)
    assert "Foreign" in {failure.code for failure in outcome.failures if failure.step == stranger.step}
    assert not [call for call in calls(up) if known_by & set(map(str, call.params.values()))]
    assert called(name, census(world.client)) == called(name, standing_there)
    down = world.session()
    world.teardown(down)
    assert not [call for call in calls(down) if known_by & set(map(str, call.params.values()))]
    assert called(name, census(world.client)) == called(name, standing_there)


def called(name: str, found: Census) -> list[tuple[str, Any]]:
    """Find what is called so, with its tags."""
    return [
        (kind, each.get("tags", each.get("bucket_tagging")))
        for kind, items in found.items()
        for each in items
        if name in (each.get("Name"), each.get("name"), each.get("GroupName"))
    ]


def calls(session: Session) -> list[Call]:
    assert isinstance(session.aws, Watched)
    return session.aws.calls


@EACH
def test_a_teardown_beside_a_stranger_is_refused_before_anything(tmp_path: Path, stranger: Stranger) -> None:
    world = estranged(tmp_path, stranger)
    refused = plan.refusals(world.look(tearing=True), frozenset(), tearing=True)
    told = [each.remedy for each in refused if each.where == stranger.step]
    assert any(stranger.told in remedy for remedy in told)


def test_a_protected_cluster_that_lost_one_tag_keeps_its_instances(tmp_path: Path) -> None:
    world = standing(tmp_path, "prod")
    live = world.look().seen["cluster"].live
    assert live is not None
    world.client("rds").remove_tags_from_resource(ResourceName=live.facts["arn"], TagKeys=["provisioner:suffix"])
    refused = {each.where: each for each in plan.refusals(world.look(tearing=True), frozenset(), tearing=True)}
    assert "has not the tags of this stack" in refused["cluster"].what


def test_a_database_renamed_by_a_foreign_hand_is_still_ours(tmp_path: Path) -> None:
    world = standing(tmp_path)
    rename_database(world)
    session = world.session()
    sight = session.look()
    assert not list(plan.refusals(sight, frozenset(), tearing=False))
    assert not session.engine.provision(sight).failures
    assert calls(session) == []
    assert not world.teardown(flags=frozenset({"delete_data"})).failures
    rds = world.client("rds")
    assert rds.describe_db_clusters()["DBClusters"] == rds.describe_db_instances()["DBInstances"] == []


def rename_database(world: World) -> None:
    """Rename cluster and instance where moto keeps them: it knows no renaming of clusters."""
    backend: Any = get_backend("rds")[ACCOUNT]["us-east-1"]
    cluster = backend.clusters.pop("acme-dev-cluster")
    instance = backend.databases.pop("acme-dev-cluster-1")
    cluster.db_cluster_identifier = instance.db_cluster_identifier = "acme-dev-cluster-old"
    instance.db_instance_identifier = "acme-dev-cluster-1-old"
    backend.clusters["acme-dev-cluster-old"], backend.databases["acme-dev-cluster-1-old"] = cluster, instance


def test_another_key_behind_an_alias_is_refused(tmp_path: Path) -> None:
    world = standing(tmp_path)
    kms, rds = world.client("kms"), world.client("rds")
    built = rds.describe_db_clusters()["DBClusters"][0]["KmsKeyId"].rpartition("/")[2]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for alias, key in (("alias/same", built), ("alias/other", other)):
        kms.create_alias(AliasName=alias, TargetKeyId=key)
    world.change(database={"kms_key": "alias/same"})
    assert not refusals(world)
    world.change(database={"kms_key": "alias/other"})
    (objection,) = refusals(world)
    assert objection.where == "cluster"
    assert "wanted alias/other" in objection.what


FLAGS = frozenset({"delete_data", "disable_protection", "skip_final_snapshot"})


@dataclass(frozen=True)
class Guest:
    """What somebody else has put into our network."""

    put: Callable[[Client, Mapping[str, Any]], str]
    """Put it there, among our resources by step; gives its id."""
    told: str
    holds: frozenset[str]
    """The steps that cannot go before it."""


def in_a_subnet(client: Client, ours: Mapping[str, Any]) -> str:
    made = client("ec2").create_network_interface(SubnetId=ours["private-1"], Description="AWS Lambda VPC ENI-web")
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def in_a_group(client: Client, ours: Mapping[str, Any]) -> str:
    where = {"SubnetId": ours["private-2"], "Groups": [ours["app"]]}
    made = client("ec2").create_network_interface(**where, Description="their web server")
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def with_a_public_address(client: Client, ours: Mapping[str, Any]) -> str:
    ec2 = client("ec2")
    made = ec2.create_network_interface(SubnetId=ours["public-1"], Description="their proxy")["NetworkInterface"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=made["NetworkInterfaceId"])
    return str(made["NetworkInterfaceId"])


def naming_a_group(client: Client, ours: Mapping[str, Any]) -> str:
    ec2 = client("ec2")
    group = ec2.create_security_group(VpcId=ours["vpc"], GroupName="theirs", Description="theirs")["GroupId"]
    reached = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": ours["app"]}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[reached])
    return str(group)


def a_subnet(client: Client, ours: Mapping[str, Any]) -> str:
    return str(client("ec2").create_subnet(VpcId=ours["vpc"], CidrBlock="10.30.224.0/24")["Subnet"]["SubnetId"])


GUESTS = (
    Guest(in_a_subnet, "network interface, AWS Lambda VPC ENI-web, of ", frozenset({"private-1"})),
    Guest(in_a_group, "their web server", frozenset({"app", "private-2"})),
    Guest(with_a_public_address, "their proxy", frozenset({"public-1", "internet"})),
    Guest(naming_a_group, "security group theirs", frozenset({"app"})),
    Guest(a_subnet, "subnet 10.30.224.0/24", frozenset({"vpc"})),
)


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.put.__name__)
def test_a_guest_in_our_network_is_named_and_the_rest_of_the_teardown_goes_on(tmp_path: Path, guest: Guest) -> None:
    world = standing(tmp_path, "prod")
    before = {name: each.live.id for name, each in world.look().seen.items() if each.live}
    put = guest.put(world.client, before)
    sight = world.look(tearing=True, flags=FLAGS)
    assert not list(plan.refusals(sight, FLAGS, tearing=True))
    held = {each.step: each.reason for each in plan.teardown(sight) if each.status == "busy"}
    assert held.keys() == guest.holds | {"vpc"}
    assert all(put in reason and guest.told in reason for reason in held.values())
    begun = world.clock.time
    outcome = world.teardown(flags=FLAGS)
    assert {each.step for each in outcome.failures} == guest.holds
    assert all(each.code == "InUse" and put in each.message for each in outcome.failures)
    assert "remove it" in outcome.failures[0].remedy
    assert {name for name, result in outcome.results.items() if result != "gone"} <= guest.holds | {"vpc"}
    assert world.clock.time - begun < 60
    assert put in str(everything(world.client("ec2")))


def everything(ec2: Any) -> list[Any]:
    return [ec2.describe_network_interfaces(), ec2.describe_security_groups(), ec2.describe_subnets()]


def test_a_teardown_goes_to_its_end_once_the_guest_has_left(tmp_path: Path) -> None:
    world = standing(tmp_path)
    before = {name: each.live.id for name, each in world.look().seen.items() if each.live}
    put = in_a_subnet(world.client, before)
    assert world.teardown(flags=FLAGS).failures
    world.client("ec2").delete_network_interface(NetworkInterfaceId=put)
    assert not world.teardown(flags=FLAGS).failures
    assert not any(census(world.client).values())


def test_an_endpoint_of_others_on_our_route_tables_is_refused_with_the_command_that_adopts_it(tmp_path: Path) -> None:
    world = standing(tmp_path)
    ec2, live = world.client("ec2"), world.look().seen["s3-endpoint"].live
    assert live is not None
    ec2.delete_tags(Resources=[live.id], Tags=ec2.describe_vpc_endpoints()["VpcEndpoints"][0]["Tags"])
    (objection,) = refusals(world)
    assert objection.where == "s3-endpoint"
    obey(world.client, objection.remedy.partition(": ")[2])
    assert plan_is_empty(world)


def test_broken_instances_are_never_replaced_both(tmp_path: Path) -> None:
    world = standing(tmp_path, "prod")
    instances = get_backend("rds")[ACCOUNT]["us-east-1"].databases
    for instance in instances.values():
        instance.status = "failed"
    refused = {each.where for each in plan.refusals(world.look(), frozenset(), tearing=False)}
    assert refused == {"cluster-1", "cluster-2"}
    session = world.session()
    world.provision(session)
    assert calls(session) == []
    instances["acme-prod-cluster-2"].status = "available"
    assert not refusals(world)
    assert not world.provision(session := world.session()).failures
    assert [call.operation for call in calls(session)] == ["rds.delete_db_instance", "rds.create_db_instance"]


@EACH
def test_the_command_shown_makes_it_ours(tmp_path: Path, stranger: Stranger) -> None:
    whole = census(standing(tmp_path / "whole").client)
    world = estranged(tmp_path, stranger)
    objection = next(each for each in refusals(world) if each.where == stranger.step)
    obey(world.client, objection.remedy.partition(": ")[2])
    session = world.session()
    assert not world.provision(session).failures
    assert calls(session) == []
    assert census(world.client) == whole


def renamed(world: World, project: str, environment: str, suffix: str) -> World:
    document = world.settings.model_dump(exclude_unset=True)
    document |= {"project": project, "environment": environment, "suffix": suffix}
    world.settings = type(world.settings).model_validate(document)
    return world


def test_projects_whose_names_run_together_are_foreign_to_each_other(tmp_path: Path) -> None:
    ours = renamed(World(tmp_path / "ours"), "a-b", "c", "")
    theirs = renamed(World(tmp_path / "theirs", beside=ours), "a", "b", "c")
    assert ours.stack.name == theirs.stack.name == "a-b-c"
    assert not theirs.provision().failures
    standing_there = census(ours.client)
    refused = {each.where for each in plan.refusals(ours.look(), frozenset(), tearing=False)}
    assert refused >= {"bucket", "cluster", "cluster-1", "cluster-subnets"}
    assert {each.status for each in plan.provision(ours.look()) if each.step in refused} == {"foreign"}
    session = ours.session()
    ours.teardown(session)
    assert calls(session) == []
    assert census(ours.client) == standing_there


def test_stacks_side_by_side_share_nothing(tmp_path: Path) -> None:
    one = standing(tmp_path / "one")
    alone = census(one.client)
    other = renamed(World(tmp_path / "other", beside=one), "acme", "dev", "pr-42")
    assert not other.provision().failures
    assert plan_is_empty(one)
    assert not other.teardown().failures
    assert census(one.client) == alone


def plan_is_empty(world: World) -> bool:
    return not any(each.calls for each in plan.provision(world.look()))


def test_two_of_the_same_tags_are_named_and_nothing_is_touched(tmp_path: Path) -> None:
    world = standing(tmp_path)
    ec2 = world.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:provisioner:step", "Values": ["vpc"]}])["Vpcs"]
    copied = [{"ResourceType": "vpc", "Tags": vpc["Tags"]}]
    twin = ec2.create_vpc(CidrBlock="10.10.0.0/16", TagSpecifications=copied)["Vpc"]
    standing_there = census(world.client)
    session = world.session()
    sight = session.look()
    (failure,) = sight.failures
    assert failure.code == "Ambiguous"
    assert vpc["VpcId"] in failure.message
    assert twin["VpcId"] in failure.message
    assert "retag all but one" in failure.remedy
    outcome = session.engine.provision(sight)
    assert [each.step for each in outcome.failures] == ["vpc"]
    assert set(outcome.results.values()) <= {"failed", "blocked", "settled"}
    assert calls(session) == []
    assert census(world.client) == standing_there


NAT = "ec2.create_nat_gateway"


def token(session: Session) -> str:
    """Tell the token with which the NAT gateway was to be created."""
    assert isinstance(session.aws, Watched)
    return session.aws.tokens[NAT]


def test_a_client_token_is_the_same_after_a_lost_state_and_another_after_a_deletion(tmp_path: Path) -> None:
    def die(number: int, call: Call) -> None:
        if call.operation == NAT:
            raise Killed

    world = World(tmp_path, "staging")
    dead = world.session()
    assert isinstance(dead.aws, Watched)
    dead.aws.before = die
    with pytest.raises(Killed):
        world.provision(dead)
    world.lose_state()
    heir = world.session()
    world.provision(heir)
    assert token(heir) == token(dead)
    ec2 = world.client("ec2")
    ec2.delete_nat_gateway(NatGatewayId=ec2.describe_nat_gateways()["NatGateways"][0]["NatGatewayId"])
    world.lose_state()
    after = world.session()
    world.provision(after)
    assert token(after) != token(heir)
