"""What a plan and a drift of each environment say, new, settled and changed in each way, as agreed text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner import drift, plan
from provisioner.engine import Sight
from provisioner.estimate import forecast
from provisioner.plan_text import VALUE_WIDTHS, plan_text
from provisioner.words import cut
from tests.golden import assert_golden
from tests.model import validate
from tests.world import World, standing

AT_AWS = 1.0


def edit(world: World) -> None:
    """Change the file in two tables."""
    world.change(database={"max_acu": 32.0}, bucket={"noncurrent_days": 45}, network={"zones": 3})


def meddle(world: World) -> None:
    """Change, add and delete with a foreign hand."""
    rds, ec2 = world.client("rds"), world.client("ec2")
    cluster = f"{world.stack.name}-cluster"
    rds.modify_db_cluster(DBClusterIdentifier=cluster, BackupRetentionPeriod=3, ApplyImmediately=True)
    (app,) = ec2.describe_security_groups(Filters=[{"Name": "tag:provisioner:step", "Values": ["app"]}])[
        "SecurityGroups"
    ]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=app["GroupId"], IpPermissions=[ssh])
    rds.delete_db_instance(DBInstanceIdentifier=f"{cluster}-1", SkipFinalSnapshot=True)


def leave(world: World) -> None:
    """Take the database out of the file."""
    world.change(database=None)


CASES: dict[str, Callable[[World], None]] = {
    "settled": lambda world: None,
    "file": edit,
    "outside": meddle,
    "left": leave,
}


def written(world: World, sight: Sight) -> str:
    planned = plan.provision(sight)
    for each in planned:
        for call in each.calls:
            validate(call)
    expected = forecast(planned, sight.needs, {}, AT_AWS)
    return nameless(plan_text(planned, **where(world), forecast=expected), sight)


def where(world: World) -> dict[str, str]:
    return {"stack": world.stack.name, "target": "aws", "region": world.stack.region}


def nameless(text: str, sight: Sight) -> str:
    """Put into the place of ids what they are ids of."""
    for name, seen in sight.seen.items():
        if seen.live is not None and seen.live.id != seen.step.label and not seen.step.attendant:
            for shown in (str(seen.live.id), *(cut(str(seen.live.id), width) for width in VALUE_WIDTHS)):
                text = text.replace(shown, f"id-of-{name}")
    kinds = "acl|aclassoc|fl|sg|rtb|rtbassoc|eipalloc|nat|subnet|vpc|vpce|igw"
    return re.sub(rf"\b({kinds})-[0-9a-f]{{8,17}}(?=\b|\.)", r"\1-id", text) + "\n"


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_a_plan_of_a_stack_that_is_new(tmp_path: Path, environment: str) -> None:
    world = World(tmp_path, environment)
    assert_golden(f"plan/{environment}-new.txt", written(world, world.look()))


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
@pytest.mark.parametrize("case", CASES)
def test_a_plan_of_a_stack_that_stands(tmp_path: Path, environment: str, case: str) -> None:
    world = standing(tmp_path, environment)
    CASES[case](world)
    assert_golden(f"plan/{environment}-{case}.txt", written(world, world.look()))


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
@pytest.mark.parametrize("case", ["file", "outside"])
def test_a_drift_of_a_stack_that_stands(tmp_path: Path, environment: str, case: str) -> None:
    world = standing(tmp_path, environment)
    CASES[case](world)
    sight = world.look()
    told = drift.drift_text(drift.drifted(sight, world.settings), drift.untold(sight), **where(world))
    assert_golden(f"drift/{environment}-{case}.txt", nameless(told, sight))
