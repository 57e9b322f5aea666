"""A network is hardened and softened while it is in use, and one that was built before any of it is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner import plan, plan_file
from provisioner.blueprint import ANSWERS
from provisioner.errors import Verdict, classify
from provisioner.kit import Call
from provisioner.local.faults import Faults
from steps.endpoint_policy import FULL
from tests.census import census
from tests.hands import disown, live, obey, replace_flow_log
from tests.test_contract import built, settled
from tests.world import VARIANTS, Killed, Watched, World, standing

SWITCHES = VARIANTS["dev-bordered"]["security"]
OFF = dict.fromkeys(SWITCHES, False)


def dark(world: World) -> list[str]:
    """Name the subnets into which the network's own packets do not get."""
    found = world.client("ec2").describe_network_acls()["NetworkAcls"]
    return [each["SubnetId"] for acl in found if not passes(acl, "10.10.0.1") for each in acl["Associations"]]


def passes(acl: dict[str, Any], source: str, port: int = 5432) -> bool:
    """Tell whether TCP to a port gets in, as AWS decides: the first rule that applies."""
    for entry in sorted(acl["Entries"], key=lambda each: int(each["RuleNumber"])):
        ports = entry.get("PortRange", {"From": 0, "To": 65535})
        here = entry["CidrBlock"] == "0.0.0.0/0" or entry["CidrBlock"].startswith(source.rpartition(".")[0][:5])
        tcp = entry["Protocol"] in ("-1", "6")
        if not entry["Egress"] and here and tcp and ports["From"] <= port <= ports["To"]:
            return str(entry["RuleAction"]) == "allow"
    return False


@pytest.mark.parametrize(("environment", "switches"), [("dev", SWITCHES), ("dev-bordered", OFF)], ids=["on", "off"])
def test_no_subnet_is_ever_in_the_dark_while_its_border_changes(
    tmp_path: Path, environment: str, switches: dict[str, bool]
) -> None:
    world = standing(tmp_path, environment)
    world.change(security=switches)
    assert dark(world) == []
    session = world.session()
    assert isinstance(session.aws, Watched)
    seen: list[list[str]] = []
    session.aws.after = lambda number, call: seen.append(dark(world))
    assert not world.provision(session).failures
    assert [each for each in seen if each] == []
    assert any("network_acl" in call.operation for call in session.aws.calls)


def test_a_default_acl_that_was_closed_lets_nothing_through_and_nothing_of_ours_hangs_on_it(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev-bordered")
    default = world.look().seen["default-acl"]
    assert live(default).facts["hanging"] == ()
    (acl,) = world.client("ec2").describe_network_acls(NetworkAclIds=[live(default).id])["NetworkAcls"]
    assert {entry["RuleNumber"] for entry in acl["Entries"]} == {32767}
    assert not passes(acl, "10.10.0.1")


@pytest.mark.parametrize("name", ["public-acl", "private-acl"])
def test_from_anywhere_get_in_answers_and_the_web_and_no_way_to_administer(tmp_path: Path, name: str) -> None:
    world = standing(tmp_path, "dev-bordered")
    (acl,) = world.client("ec2").describe_network_acls(NetworkAclIds=[live(world.look().seen[name]).id])["NetworkAcls"]
    web = name == "public-acl"
    ports = {22: False, 80: web, 443: web, 1023: False, 1024: True, 3388: True, 3389: False, 3390: True, 65535: True}
    assert {port: passes(acl, "1.2.3.4", port) for port in ports} == ports
    in_any_order = [each for each in acl["Entries"] if not each["Egress"] and each["CidrBlock"] == "0.0.0.0/0"]
    for entry in in_any_order:
        first, last = entry.get("PortRange", {"From": 0, "To": 0}).values()
        assert entry["RuleAction"] == "deny" or not (first <= 3389 <= last or first <= 22 <= last), entry
    assert all(passes(acl, "10.10.0.1", port) for port in (22, 1150, 3389, 5432, 5433))


def test_answers_leave_out_one_port_only() -> None:
    let_in = [
        range(first, last + 1) for first, last in (rule.ports or (0, 0) for rule in ANSWERS if rule.protocol == "6")
    ]
    assert [port for port in range(1024, 65536) if not any(port in ports for ports in let_in)] == [3389]


@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("switches", [{}, SWITCHES], ids=["as it was", "hardened"])
def test_a_stack_built_before_is_changed_in_place_and_nothing_is_refused(
    tmp_path: Path, state: str, switches: dict[str, bool]
) -> None:
    world = built_before(tmp_path)
    world.change(security=switches)
    if state == "lost":
        world.lose_state()
    sight = world.look()
    assert list(plan.refusals(sight, frozenset(), tearing=False)) == []
    planned = {each.step: each for each in plan.provision(sight) if each.calls}
    operations = {name: [call.operation for call in each.calls] for name, each in planned.items()}
    assert operations.pop("s3-endpoint") == ["ec2.modify_vpc_endpoint"]
    assert planned["s3-endpoint"].causes == ("unrecorded",)
    if switches:
        assert set(operations.pop("default-acl")) == {"ec2.delete_network_acl_entry"}
    added = {"public-acl", "private-acl", "flow-log", "flow-log-role", "flow-log-group"} if switches else set()
    assert operations.keys() == added
    assert settled(world.provision())
    assert census(world.client) == built("dev-bordered" if switches else "dev")


def built_before(folder: Path) -> World:
    """Give a dev of the time when an endpoint had AWS's policy, and nobody looked at ACLs."""
    world = standing(folder)
    endpoint = live(world.look().seen["s3-endpoint"]).id
    world.client("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=json.dumps(FULL))
    state = json.loads(world.state.read_text())
    del state["steps"]["default-acl"]
    del state["steps"]["s3-endpoint"]["fields"]["policy"]
    world.state.write_text(json.dumps(state))
    return world


def test_a_role_that_a_service_does_not_know_yet_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, "dev-bordered")
    world.change(database=None)
    world.cloud.time_scale = 1.0
    assert settled(world.provision())
    waited = [event.why for event in world.events if event.what == "waiting" and event.step == "flow-log"]
    assert waited
    assert set(waited) == {"InvalidParameter: Unable to assume given IAM role"}


@pytest.mark.parametrize(
    ("code", "message", "verdict"),
    [
        ("InvalidParameter", "Unable to assume given IAM role", Verdict.SPREADING),
        ("InvalidParameter", "Invalid log format", Verdict.FATAL),
        (
            "InvalidParameterValue",
            "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING",
            Verdict.SPREADING,
        ),
        ("InvalidParameterValue", "No such class", Verdict.FATAL),
        (
            "AccessDeniedException",
            "The specified KMS key does not exist or is not allowed to be used with Arn 'arn:aws:logs:x'",
            Verdict.SPREADING,
        ),
        ("AccessDeniedException", "User is not authorized to perform: logs:CreateLogGroup", Verdict.FATAL),
        (
            "InvalidRequestException",
            "Backup vault cannot be deleted because it contains recovery points",
            Verdict.LATER,
        ),
        ("InvalidRequestException", "A parameter is of the wrong type", Verdict.FATAL),
        (
            "InvalidParameterValueException",
            "IAM Role arn:aws:iam::123456789012:role/x cannot be assumed by AWS Backup",
            Verdict.SPREADING,
        ),
        (
            "InvalidParameterValueException",
            "IAM Role arn:aws:iam::123456789012:role/x is not authorized to call tag:GetResources",
            Verdict.SPREADING,
        ),
    ],
)
def test_only_the_words_of_what_spreads_or_is_not_empty_are_waited_for(
    code: str, message: str, verdict: Verdict
) -> None:
    assert classify(code, message=message) is verdict


@pytest.mark.parametrize("environment", ["dev", "empty"])
def test_a_run_held_to_its_plan_moves_the_subnets_as_shown(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, "dev") if environment == "dev" else World(tmp_path)
    world.change(security=SWITCHES)
    session, shown = world.session(), tmp_path / "plan.json"
    planned = plan.provision(session.look())
    plan_file.write(shown, planned, stack=session.stack, target="local", file=tmp_path)
    session.engine.allowed = plan_file.read(shown).allows
    assert settled(world.provision(session))
    assert census(world.client) == built("dev-bordered")


@pytest.mark.parametrize("flags", [frozenset[str](), frozenset({"delete_data"})])
def test_a_log_leaves_the_file_only_by_a_flag(tmp_path: Path, flags: frozenset[str]) -> None:
    world = standing(tmp_path, "dev-bordered")
    world.change(security={"flow_logs": False})
    refused = [each.where for each in plan.refusals(world.look(flags=flags), flags, tearing=False)]
    assert refused == ([] if flags else ["flow-log-group"])
    assert list(plan.refusals(world.look(tearing=True), frozenset(), tearing=True)) == []


@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("step", ["flow-log-role", "flow-log-group"])
def test_what_has_our_name_and_not_our_tags_is_refused_with_the_command_that_adopts_it(
    tmp_path: Path, step: str, state: str
) -> None:
    world = standing(tmp_path, "dev-bordered")
    disown(world.client, world.look().seen[step])
    if state == "lost":
        world.lose_state()
    (refused,) = plan.refusals(world.look(), frozenset(), tearing=False)
    assert refused.where == step
    obey(world.client, refused.remedy.partition("take it over with: ")[2])
    assert settled(world.provision())
    assert census(world.client) == built("dev-bordered")


def test_what_left_the_file_with_the_state_is_found_by_its_tags(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev-bordered")
    world.change(security=OFF)
    world.lose_state()
    outcome = world.provision()
    assert not outcome.failures
    gone = {name for name, result in outcome.results.items() if result == "gone"}
    assert gone == {"public-acl", "private-acl", "flow-log", "flow-log-role", "flow-log-group"}
    assert census(world.client) == built("dev")


@pytest.mark.parametrize("lag", [0.0, 30.0])
@pytest.mark.parametrize("last", ["ec2.delete_flow_logs", "ec2.create_flow_logs"])
def test_a_flow_log_that_was_being_replaced_when_a_run_died_is_there_once(
    tmp_path: Path, last: str, lag: float
) -> None:
    world = standing(tmp_path, "dev-bordered")
    world.request = replace(world.request, window=2 * lag)
    replace_flow_log(TrafficType="REJECT")(world.client, world.look().seen["flow-log"])
    world.cloud.switch(Faults(lag=lag))
    session = world.session()
    assert isinstance(session.aws, Watched)

    def die(number: int, call: Call) -> None:
        if call.operation == last:
            raise Killed

    session.aws.after = die
    with pytest.raises(Killed):
        world.provision(session)
    assert settled(world.provision())
    world.cloud.switch(Faults())
    assert census(world.client) == built("dev-bordered")
