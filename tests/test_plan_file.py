"""A plan on disk: what is written is what was shown, a run is held to it, and no other file is taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner import plan, plan_file
from provisioner.kit import Call, Stack, Unknown
from provisioner.plan import Planned
from provisioner.plan_file import PlanFileError, Shown
from provisioner.wiring import Unshown
from tests.census import census
from tests.world import World, standing

STACK = Stack(project="shop", environment="dev", account="123456789012", region="us-east-1")
CREATE = Call("ec2.create_subnet", VpcId=Unknown("vpc"), CidrBlock="10.0.0.0/24")
PLANNED = [
    Planned(step="vpc", kind="Vpc", status="settled", reason="", calls=()),
    Planned(step="subnet", kind="Subnet", status="absent", reason="new", calls=(CREATE, Call("ec2.create_tags"))),
]


def saved(folder: Path, planned: list[Planned] = PLANNED) -> Path:
    path, file = folder / "dev.plan", folder / "dev.toml"
    file.write_text("project = 'shop'")
    plan_file.write(path, planned, stack=STACK, target="aws", file=file)
    return path


def test_what_is_written_is_read_again_and_only_its_owner_may(tmp_path: Path) -> None:
    path = saved(tmp_path)
    shown = plan_file.read(path)
    assert shown.calls == {"subnet": PLANNED[1].calls}
    assert (shown.stack, shown.target, shown.account, shown.region) == ("shop-dev", "aws", "123456789012", "us-east-1")
    assert shown.environment == plan_file.digest_of(tmp_path / "dev.toml") != ""
    assert path.stat().st_mode & 0o077 == 0
    shown.check(STACK, "aws")


@pytest.mark.parametrize(
    ("step", "call", "ids", "allowed"),
    [
        ("subnet", CREATE, {}, True),
        ("subnet", CREATE.resolved({"vpc": "vpc-1"}), {"vpc": "vpc-1"}, True),
        ("subnet", CREATE.resolved({"vpc": "vpc-1"}), {"vpc": "vpc-2"}, False),
        ("subnet", CREATE.resolved({"vpc": "vpc-1"}), {}, False),
        ("subnet", Call("ec2.create_subnet", VpcId="vpc-1", CidrBlock="10.0.9.0/24"), {"vpc": "vpc-1"}, False),
        ("subnet", Call("ec2.delete_subnet"), {}, False),
        ("other", CREATE, {}, False),
        ("vpc", CREATE, {}, False),
    ],
)
def test_a_call_is_allowed_if_it_was_shown_for_its_step_with_the_ids_known_since(
    tmp_path: Path, step: str, call: Call, ids: dict[str, str], allowed: bool
) -> None:
    assert plan_file.read(saved(tmp_path)).allows(step, call, ids) is allowed


def altered(change: Callable[[Any], object]) -> Callable[[str], str]:
    def alter(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return alter


UNUSABLE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut off": lambda text: text[: len(text) // 2],
    "not JSON": lambda text: "garbage",
    "nested too deep": lambda text: "[" * 100_000,
    "another document": lambda text: "{}",
    "a list": lambda text: "[]",
    "another format": altered(lambda document: document.update(format="terraform")),
    "a later version": altered(lambda document: document.update(version=2)),
    "no version": altered(lambda document: document.update(version="1")),
    "an earlier version": altered(lambda document: document.update(version=0)),
    "no stack": altered(lambda document: document.pop("stack")),
    "a stack of another shape": altered(lambda document: document.update(stack=["shop-dev"])),
    "no digest of the file": altered(lambda document: document.update(environment="dev.toml")),
    "steps of another shape": altered(lambda document: document.update(steps={"vpc": 1})),
    "a call that was edited": altered(
        lambda document: document["steps"][0]["calls"][0]["params"].update(CidrBlock="10.0.0.0/8")
    ),
    "a call that is none": altered(lambda document: document["steps"][0].update(calls=["ec2.create_vpc"])),
}


@pytest.mark.parametrize("alter", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_plan_is_one_clear_error(tmp_path: Path, alter: Callable[[str], str]) -> None:
    path = saved(tmp_path)
    path.write_text(alter(path.read_text()))
    with pytest.raises(PlanFileError) as caught:
        plan_file.read(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy.startswith(("make one: provisioner plan ENV --out ", "upgrade: "))


def test_what_is_no_file_is_one_clear_error(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(plan_file.LARGEST + 1)
    for path in (tmp_path, tmp_path / "absent", large):
        with pytest.raises(PlanFileError):
            plan_file.read(path)


@pytest.mark.parametrize(
    ("stack", "target", "named"),
    [
        (Stack(project="shop", environment="prod", account="123456789012", region="us-east-1"), "aws", "shop-prod"),
        (Stack(project="shop", environment="dev", account="210987654321", region="us-east-1"), "aws", "210987654321"),
        (Stack(project="shop", environment="dev", account="123456789012", region="eu-west-1"), "aws", "eu-west-1"),
        (STACK, "local", "local"),
    ],
)
def test_the_plan_of_something_else_is_refused_by_name(tmp_path: Path, stack: Stack, target: str, named: str) -> None:
    with pytest.raises(PlanFileError, match=named):
        plan_file.read(saved(tmp_path)).check(stack, target)


def test_a_plan_takes_the_place_of_a_plan_and_of_nothing_else(tmp_path: Path) -> None:
    saved(tmp_path)
    assert plan_file.read(saved(tmp_path, [])).calls == {}
    (tmp_path / "dev.plan").write_text("precious")
    with pytest.raises(PlanFileError, match="is no plan"):
        saved(tmp_path)
    assert (tmp_path / "dev.plan").read_text() == "precious"
    (tmp_path / "dev.plan").unlink()
    (tmp_path / "dev.plan").mkdir()
    with pytest.raises(PlanFileError, match="is no plan"):
        saved(tmp_path)


def shown(world: World) -> Shown:
    """Write the plan of a world as it is now, and read it again."""
    session = world.session()
    path = world.request.state_dir / "shown.plan"
    path.parent.mkdir(exist_ok=True)
    sight = session.look()
    file = world.request.config_dir / f"{world.request.environment}.toml"
    plan_file.write(path, plan.provision(sight), stack=session.stack, target="local", file=file)
    return plan_file.read(path)


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_a_run_that_is_held_to_its_plan_makes_every_call_of_it_and_no_other(tmp_path: Path, environment: str) -> None:
    free = standing(tmp_path / "free", environment)
    built = census(free.client)
    world = World(tmp_path / "held", environment)
    held_to = shown(world)
    session = world.session()
    session.engine.allowed = held_to.allows
    assert set(world.provision(session).results.values()) == {"settled"}
    made = sorted(call.operation for call in session.aws.calls)  # type: ignore[attr-defined]
    assert made == sorted(call.operation for calls in held_to.calls.values() for call in calls)
    assert census(world.client) == built


def test_a_run_that_was_interrupted_goes_on_with_the_same_plan(tmp_path: Path) -> None:
    world = World(tmp_path)
    held_to = shown(world)
    session = world.session()
    session.engine.allowed = held_to.allows
    session.aws.before = lambda number, call: session.engine.stop() if number == 9 else None  # type: ignore[attr-defined]
    assert world.provision(session).interrupted
    world.clock.stopped.clear()
    again = world.session()
    again.engine.allowed = held_to.allows
    assert held_to.missing(plan.provision(again.look()), plan.known_ids(again.look())) == []
    assert set(world.provision(again).results.values()) == {"settled"}


def test_what_changed_since_the_plan_is_found_before_the_first_call(tmp_path: Path) -> None:
    world = standing(tmp_path)
    world.change(database={"max_acu": 2.0})
    held_to = shown(world)
    (vpc,) = world.client("ec2").describe_vpcs(Filters=[{"Name": "tag:provisioner:step", "Values": ["vpc"]}])["Vpcs"]
    world.client("ec2").modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": False})
    sight = world.look()
    (missing,) = held_to.missing(plan.provision(sight), plan.known_ids(sight))
    assert (missing.step, [call.method for call in missing.calls]) == ("vpc", ["modify_vpc_attribute"])


def test_what_changes_while_the_run_goes_on_stops_it_before_the_call_that_was_not_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    held_to = shown(world)
    session = world.session()
    session.engine.allowed = held_to.allows

    def meddle(number: int, call: Call) -> None:
        if call.params.get("GroupName") == "acme-dev-database":
            groups = world.client("ec2").describe_security_groups()["SecurityGroups"]
            mine = next(each for each in groups if each["GroupName"] == "acme-dev-database")
            ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
            world.client("ec2").authorize_security_group_ingress(GroupId=mine["GroupId"], IpPermissions=[ssh])

    session.aws.after = meddle  # type: ignore[attr-defined]
    with pytest.raises(Unshown) as caught:
        world.provision(session)
    assert caught.value.call.operation == "ec2.revoke_security_group_ingress"
    made = session.aws.calls  # type: ignore[attr-defined]
    assert made
    assert caught.value.call not in made
    assert set(world.provision().results.values()) == {"settled"}
