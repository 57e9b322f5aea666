"""What `plan --json` says, as agreed text, and what forbids a run; whatever is planned is also what AWS takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner import plan
from provisioner.engine import Seen, Sight
from provisioner.kit import Call, Live, Stack, Step
from provisioner.plan import Planned
from provisioner.plan_text import plan_json
from provisioner.terms import Objection
from tests.golden import assert_golden
from tests.model import validate
from tests.world import World

STACK = Stack(project="shop", environment="dev")


@pytest.fixture
def dev(tmp_path: Path) -> World:
    return World(tmp_path)


def written(world: World, sight: Sight, planned: list[Planned]) -> str:
    """Write the document that scripts read, a call to a line, with names for the ids that the cloud makes up."""
    for each in planned:
        for call in each.calls:
            validate(call)
    where = {"stack": world.stack.name, "target": world.request.target, "region": world.stack.region}
    text = json.dumps(plan_json(planned, **where), indent=2) + "\n"
    text = re.sub(r"\n( {9,}| {8}(?=[]}]))", " ", text)
    for name, seen in sight.seen.items():
        if seen.live is not None and seen.live.id != seen.step.label and not seen.step.attendant:
            text = text.replace(f'"{seen.live.id}"', f'"[id of {name}]"')
    return re.sub(r'"([a-z]+)-[0-9a-f]{17}"', r'"[a \1]"', text)


def test_a_stack_that_is_not_there_is_planned_whole(dev: World) -> None:
    sight = dev.look()
    assert_golden("plan-dev-absent.json", written(dev, sight, plan.provision(sight)))


def test_a_settled_stack_is_planned_without_a_call(dev: World) -> None:
    dev.provision()
    sight = dev.look()
    assert_golden("plan-dev-settled.json", written(dev, sight, plan.provision(sight)))


def test_one_change_by_a_foreign_hand_is_one_call_and_the_reason(dev: World) -> None:
    dev.provision()
    (vpc,) = dev.client("ec2").describe_vpcs(Filters=[{"Name": "tag:provisioner:step", "Values": ["vpc"]}])["Vpcs"]
    dev.client("ec2").modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": False})
    sight = dev.look()
    assert_golden("plan-dev-one-difference.json", written(dev, sight, plan.provision(sight)))


def test_one_change_of_the_file_is_one_call_and_the_reason(dev: World) -> None:
    dev.provision()
    dev.change(database={"max_acu": 2.0})
    planned = [each for each in plan.provision(dev.look()) if each.status != "settled"]
    assert [each.step for each in planned] == ["cluster"]
    assert planned[0].reason == "max_acu 1.0 -> 2.0"
    scaling = {"MinCapacity": 0.0, "MaxCapacity": 2.0, "SecondsUntilAutoPause": 300}
    assert [call.params["ServerlessV2ScalingConfiguration"] for call in planned[0].calls] == [scaling]


def test_a_teardown_is_planned_whole_with_dependents_first(dev: World) -> None:
    dev.provision()
    sight = dev.look(tearing=True)
    assert_golden("plan-dev-teardown.json", written(dev, sight, plan.teardown(sight)))


def test_a_plan_changes_nothing_and_says_the_same_twice(dev: World) -> None:
    session = dev.session()
    first, second = (plan.provision(session.look()) for _ in range(2))
    assert first == second
    assert session.aws.mutations == 0
    assert not dev.state.exists()


def test_the_planned_calls_are_those_that_a_run_makes(dev: World) -> None:
    session = dev.session()
    planned = [call.operation for each in plan.provision(session.look()) for call in each.calls]
    dev.provision(session)
    assert sorted(planned) == sorted(call.operation for call in session.aws.calls)  # type: ignore[attr-defined]


def test_the_planned_calls_are_those_that_a_teardown_makes(dev: World) -> None:
    dev.provision()
    session = dev.session()
    planned = [call.operation for each in plan.teardown(session.look(tearing=True)) for call in each.calls]
    dev.teardown(session)
    assert sorted(planned) == sorted(call.operation for call in session.aws.calls)  # type: ignore[attr-defined]


def test_what_left_the_file_comes_last_and_dependents_first(dev: World) -> None:
    dev.provision()
    dev.change(database=None)
    sight = dev.look()
    planned = plan.provision(sight)
    left = [each.step for each in planned if each.reason == "left the environment file"]
    assert left == [each.step for each in planned[-len(left) :]]
    assert {"cluster", "cluster-1", "cluster-subnets", "database"} <= set(left)
    assert left.index("cluster-1") < left.index("cluster") < left.index("cluster-subnets")
    assert set(left) <= sight.leftovers


@dataclass(frozen=True, kw_only=True)
class Vault(Step):
    """A step that a flag lifts, made of nothing."""

    size: int = 1
    delete_data: bool = False
    fixed = frozenset({"size"})
    holds_data = True

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        yield from ()

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        yield (Call("s3.delete_object"), Call("s3.delete_objects"))
        yield Call("s3.delete_bucket")


VAULT = Vault(name="vault", stack=STACK)
PROTECTED = Objection("vault", "is protected", "pass --disable-protection")


def sight(live: Live | None, **seen: Any) -> Sight:
    return Sight(
        wishes={"vault": VAULT}, seen={"vault": Seen(step=VAULT, live=live, **seen)}, needs={"vault": frozenset()}
    )


@pytest.mark.parametrize(
    ("live", "status", "reason", "calls"),
    [
        (None, "absent", "not there", 0),
        (Live("v-1"), "settled", "teardown", 3),
        (Live("v-1", broken="out of order"), "broken", "teardown", 3),
        (Live("v-1", busy="modifying"), "busy", "modifying", 0),
        (Live("v-1", busy="deleting", leaving=True), "busy", "deleting", 0),
        (Live("v-1", leaving=True), "busy", "deleting", 0),
        (Live("v-1", needed_by=("a copy",)), "settled", "stays, for a copy", 0),
        (Live("v-1", foreign="aws ..."), "foreign", "not ours", 0),
    ],
)
def test_a_teardown_touches_neither_what_is_foreign_nor_what_is_busy(
    live: Live | None, status: str, reason: str, calls: int
) -> None:
    (planned,) = plan.teardown(sight(live))
    assert (planned.status, planned.reason, len(planned.calls)) == (status, reason, calls)


@pytest.mark.parametrize(
    ("live", "status", "reason"),
    [
        (None, "absent", "new"),
        (Live("v-1"), "settled", ""),
        (Live("v-1", busy="modifying"), "busy", "modifying"),
        (Live("v-1", busy="deleting", leaving=True), "busy", "deleting"),
        (Live("v-1", broken="out of order"), "broken", "out of order"),
        (Live("v-1", foreign="aws ..."), "foreign", "not ours"),
    ],
)
def test_a_step_is_planned_with_its_status_and_the_reason(live: Live | None, status: str, reason: str) -> None:
    (planned,) = plan.provision(sight(live))
    assert (planned.status, planned.reason, planned.calls) == (status, reason, ())


LEFT = "v-1 left the environment file, and to remove it deletes all it holds"


class Lamp(Vault):
    """A step whose loss loses nothing."""

    holds_data = False

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        yield Call("s3.create_bucket")


def test_what_is_broken_and_holds_no_data_is_planned_with_its_replacement() -> None:
    lamp = Lamp(name="lamp", stack=STACK)
    seen = {"lamp": Seen(step=lamp, live=Live("l-1", broken="out of order"))}
    (planned,) = plan.provision(Sight(wishes={"lamp": lamp}, seen=seen, needs={"lamp": frozenset()}))
    assert (planned.status, planned.reason) == ("broken", "out of order")
    methods = [call.method for call in planned.calls]
    assert methods == ["delete_object", "delete_objects", "delete_bucket", "create_bucket"]


@pytest.mark.parametrize(
    ("seen", "flags", "tearing", "refused"),
    [
        (sight(None), set(), False, []),
        (sight(Live("v-1")), set(), False, []),
        (sight(Live("v-1", {"size": 2})), set(), False, ["AWS cannot change this in place: size is 2, wanted 1"]),
        (sight(Live("v-1", {"size": 2})), set(), True, []),
        (
            sight(Live("v-1", foreign="aws ...")),
            set(),
            False,
            ["v-1 stands in the place of shop-dev-vault and has not the tags of this stack"],
        ),
        (
            sight(Live("v-1", foreign="aws ...")),
            set(),
            True,
            ["v-1 stands in the place of shop-dev-vault and has not the tags of this stack"],
        ),
        (sight(Live("v-1", broken="out of order")), set(), False, ["v-1: out of order"]),
        (sight(Live("v-1"), leftover=True), set(), False, [LEFT]),
        (sight(Live("v-1"), leftover=True), {"delete_data"}, False, []),
        (sight(Live("v-1", busy="deleting"), leftover=True), set(), False, []),
        (sight(Live("v-1"), leftover=True), set(), True, []),
        (sight(None, leftover=True), set(), False, []),
        (sight(Live("v-1", {"size": 2}), leftover=True), {"delete_data"}, False, []),
        (sight(Live("v-1"), protections=(PROTECTED,)), set(), True, ["is protected"]),
        (
            sight(Live("v-1"), leftover=True, protections=(PROTECTED,)),
            set(),
            False,
            [LEFT, "is protected"],
        ),
    ],
)
def test_a_run_is_refused_for_every_reason_at_once(
    seen: Sight, flags: set[str], tearing: bool, refused: list[str]
) -> None:
    objections = list(plan.refusals(seen, frozenset(flags), tearing))
    assert [each.what for each in objections] == refused
    assert all(each.where == "vault" and each.remedy for each in objections)


def test_a_flag_reaches_only_the_steps_that_have_a_field_for_it() -> None:
    flagged = plan.flagged(VAULT, plan.FLAGS)
    assert flagged == Vault(name="vault", stack=STACK, delete_data=True)
    assert plan.flagged(VAULT, frozenset()) == VAULT
