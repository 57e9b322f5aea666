"""What left the environment file goes too: last, dependents first, found by its tags or remembered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner import plan
from provisioner.engine import Sight
from provisioner.plan import Planned
from tests.census import census
from tests.world import Watched, standing

DATA = frozenset({"delete_data"})
STATES = pytest.mark.parametrize("state", ["kept", "lost"])


def leaving(sight: Sight) -> list[Planned]:
    return [each for each in plan.provision(sight) if each.reason == "left the environment file"]


@STATES
def test_what_left_the_file_is_planned_last_and_with_the_reason(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "prod")
    world.change(network={"nat": "none"})
    if state == "lost":
        world.lose_state()
    planned = plan.provision(world.look())
    gone = leaving(world.look())
    assert {each.step for each in gone} == {"nat-1", "nat-2", "nat-address-1", "nat-address-2"}
    assert planned[-len(gone) :] == gone
    assert {repr(call).split()[0] for each in gone for call in each.calls} == {
        "ec2.delete_nat_gateway",
        "ec2.release_address",
    }


@STATES
def test_what_left_the_file_goes_after_the_rest_is_settled_and_dependents_first(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "prod")
    world.change(network={"nat": "none"})
    if state == "lost":
        world.lose_state()
    session = world.session()
    outcome = world.provision(session)
    assert not outcome.failures
    assert isinstance(session.aws, Watched)
    called = [call.operation for call in session.aws.calls]
    assert called == [
        *["ec2.delete_route"] * 2,
        *["ec2.delete_nat_gateway"] * 2,
        *["ec2.release_address"] * 2,
    ]
    assert {name for name, result in outcome.results.items() if result == "gone"} == {
        "nat-1",
        "nat-2",
        "nat-address-1",
        "nat-address-2",
    }
    assert "nat-1" not in json.loads(world.state.read_text())["steps"]


@STATES
def test_a_database_that_left_the_file_goes_whole(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "staging")
    world.change(database=None)
    if state == "lost":
        world.lose_state()
    gone = [each.step for each in leaving(world.look(flags=DATA))]
    assert gone.index("cluster-1") < gone.index("cluster") < gone.index("cluster-subnets")
    assert gone.index("cluster") < gone.index("database")
    session = world.session()
    outcome = world.provision(session, flags=DATA)
    assert not outcome.failures, outcome.failures
    assert set(gone) <= {name for name, result in outcome.results.items() if result == "gone"}
    found = census(world.client)
    assert not any(found[kind] for kind in ("cluster", "instance", "subnet group", "parameter group", "secret"))
    again = world.session()
    world.provision(again)
    assert isinstance(again.aws, Watched)
    assert again.aws.calls == []


@STATES
def test_a_bucket_that_left_the_file_is_emptied_and_deleted(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "prod")
    name = census(world.client)["bucket"][0]["name"]
    for version in range(3):
        world.client("s3").put_object(Bucket=name, Key="data", Body=str(version).encode())
    world.change(bucket=None)
    if state == "lost":
        world.lose_state()
    refused = {each.where: each.what for each in plan.refusals(world.look(), frozenset(), tearing=False)}
    assert name in refused["bucket"]
    assert not world.provision(flags=DATA).failures
    assert census(world.client)["bucket"] == []


def test_what_left_the_file_stays_while_the_rest_is_not_settled(tmp_path: Path) -> None:
    world = standing(tmp_path, "prod")
    sought = world.client("ec2").describe_subnets(Filters=[{"Name": "tag:provisioner:step", "Values": ["private-1"]}])
    private = sought["Subnets"][0]["SubnetId"]
    world.change(network={"nat": "none"})
    session = world.session()
    sight = session.look()
    own = [{"Key": "provisioner:step", "Value": "private-1"}, {"Key": "provisioner:kind", "Value": "Subnet"}]
    identity = [{"Key": key, "Value": value} for key, value in session.stack.identity.items()]
    vpc = sought["Subnets"][0]["VpcId"]
    made = world.client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.30.224.0/24")["Subnet"]["SubnetId"]
    world.client("ec2").create_tags(Resources=[made], Tags=[*own, *identity])
    outcome = session.engine.provision(replace(sight, since=session.aws.tick()))
    assert [(failure.step, failure.code) for failure in outcome.failures] == [("private-1", "Ambiguous")]
    assert private in outcome.failures[0].message
    assert "nat-1" not in outcome.results
    assert len(census(world.client)["nat gateway"]) == 2


def test_what_left_the_file_and_is_gone_already_is_forgotten(tmp_path: Path) -> None:
    world = standing(tmp_path, "staging")
    world.change(network={"nat": "none"})
    ec2 = world.client("ec2")
    ec2.delete_nat_gateway(NatGatewayId=ec2.describe_nat_gateways()["NatGateways"][0]["NatGatewayId"])
    assert "nat-1" in json.loads(world.state.read_text())["steps"]
    outcome = world.provision()
    assert outcome.results["nat-1"] == "gone"
    assert "nat-1" not in json.loads(world.state.read_text())["steps"]


@STATES
def test_a_teardown_takes_along_what_left_the_file(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "staging")
    world.change(network={"nat": "none"}, database=None, bucket=None)
    if state == "lost":
        world.lose_state()
    outcome = world.teardown(flags=DATA)
    assert not outcome.failures
    assert {"nat-1", "cluster", "bucket", "vpc"} <= outcome.results.keys()
    left = census(world.client)
    assert len(left.pop("snapshot")) == len(outcome.remains)
    assert not any(left.values())


@STATES
def test_a_database_of_which_nothing_is_remembered_leaves_a_snapshot(tmp_path: Path, state: str) -> None:
    world = standing(tmp_path, "staging")
    world.change(database=None)
    if state == "lost":
        world.lose_state()
    outcome = world.provision(flags=DATA)
    assert len(outcome.remains) == len(census(world.client)["snapshot"]) == (1 if state == "lost" else 0)
