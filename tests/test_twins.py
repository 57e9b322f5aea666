"""A lost state and reads that lag, both at once, look like a first run: what comes twice by that is removed while it
is young and empty, and otherwise named; nothing is ever chosen from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provisioner import plan
from provisioner.kit import Call
from provisioner.local.faults import Faults
from tests.census import census
from tests.world import Killed, Watched, World, standing

LAG, WINDOW = 10.0, 60.0
TWICE = {"ec2.create_vpc": "Vpc", "ec2.create_internet_gateway": "InternetGateway", "ec2.allocate_address": "ElasticIp"}
"""What AWS creates as often as it is asked to: neither a name nor a client token makes it one."""
EACH = pytest.mark.parametrize("operation", TWICE)


def beginning(folder: Path, environment: str = "staging") -> World:
    """Give an account in which nothing stands and reads lag, and in which AWS's default keys are there already."""
    world = standing(folder, environment)
    world.teardown(flags=frozenset(plan.FLAGS))
    world.lose_state()
    world.cloud.switch(Faults(lag=LAG))
    world.request = type(world.request)(
        environment=environment, config_dir=world.request.config_dir, state_dir=folder, window=WINDOW
    )
    return world


def killed(world: World, operation: str, knowing: bool = True) -> None:
    """Let a run die once AWS has done what it asked for: having put on disk what came of it, or the moment it did."""

    def die(number: int, call: Call) -> None:
        if call.operation == operation and not knowing:
            raise Killed

    def rename(new: Path, path: Path) -> None:
        os.replace(new, path)
        written = json.loads(path.read_text())["steps"].values()
        if knowing and any(record["id"] for record in written if record["kind"] == TWICE.get(operation, "Subnet")):
            raise Killed

    session = world.session(rename)
    assert isinstance(session.aws, Watched)
    session.aws.after = die
    with pytest.raises(Killed):
        world.provision(session)


def is_whole(world: World, folder: Path) -> bool:
    """See that exactly what an undisturbed run builds stands, and that nothing remains to be called."""
    world.cloud.switch(Faults())
    found = census(world.client)
    remaining = [each for each in plan.provision(world.look()) if each.calls]
    return found == census(standing(folder / "whole", "staging").client) and not remaining


@EACH
def test_what_came_twice_is_removed_while_it_is_young_and_the_older_one_stays(tmp_path: Path, operation: str) -> None:
    world = beginning(tmp_path)
    killed(world, operation)
    world.lose_state()
    session = world.session()
    assert not world.provision(session).failures
    assert isinstance(session.aws, Watched)
    assert operation in [call.operation for call in session.aws.calls]
    assert is_whole(world, tmp_path)


@EACH
def test_what_came_twice_is_removed_by_a_later_run_too(tmp_path: Path, operation: str) -> None:
    world = beginning(tmp_path)
    killed(world, operation)
    world.lose_state()
    killed(world, operation)
    world.clock.time += 2 * LAG
    assert TWICE[operation] in {each.kind for each in plan.provision(world.look()) if "twice" in each.reason}
    assert not world.provision().failures
    assert is_whole(world, tmp_path)


@pytest.mark.parametrize("knowing", [True, False])
@EACH
def test_what_came_twice_is_named_and_not_touched_where_its_age_is_not_known_or_too_high(
    tmp_path: Path, operation: str, knowing: bool
) -> None:
    world = beginning(tmp_path)
    killed(world, operation)
    world.lose_state()
    killed(world, operation, knowing)
    world.clock.time += 2 * WINDOW if knowing else 2 * LAG
    there = census(world.client)
    failures = world.look().failures
    assert {failure.code for failure in failures} == {"Ambiguous"}
    assert all("retag all but one" in failure.remedy for failure in failures)
    assert census(world.client) == there


def test_what_something_of_ours_may_hang_on_is_not_removed(tmp_path: Path) -> None:
    world = beginning(tmp_path)
    world.cloud.switch(Faults())
    killed(world, "ec2.create_subnet")
    ec2 = world.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "tag:provisioner:step", "Values": ["vpc"]}])["Vpcs"]
    copied = [{"ResourceType": "vpc", "Tags": vpc["Tags"]}]
    ec2.create_vpc(CidrBlock=vpc["CidrBlock"], TagSpecifications=copied)
    there = census(world.client)
    assert [failure.code for failure in world.look().failures] == ["Ambiguous"]
    assert census(world.client) == there
