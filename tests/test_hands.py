"""Somebody else reaches in while a run is under way: no duplicate, no stranger touched, whatever failed has a cause.

The environment is dev, hardened and with a NAT gateway, which has every kind of resource. Of one undisturbed run the
moments before its calls are kept; from each of them a run goes on in which a foreign hand acts at its first call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner.aws import newborn_id
from provisioner.engine import Seen
from provisioner.kit import Call, Live
from provisioner.session import Session
from provisioner.wiring import Failure
from steps import KINDS
from tests import hands_security
from tests.census import Census, census
from tests.hands import CHANGES, disown, live
from tests.user import Befall, Ending, follow, typed
from tests.world import Moment, World


@dataclass(frozen=True)
class Whole:
    """An undisturbed run."""

    before: dict[str, Moment]
    """What was there before a call: the first of an operation for a kind of step, written as both."""
    start: Moment
    end: Census


@cache
def whole(verb: str) -> Whole:
    """Run undisturbed, and keep what was there before each call."""
    with TemporaryDirectory() as folder:
        world = fresh(Path(folder))
        if verb == "teardown":
            assert typed(world, "provision").how == "done"
        kinds = {step.name: step.kind for step in world.session().steps}
        before: dict[str, Moment] = {}
        start = world.moment()

        def befall(session: Session) -> None:
            def note(number: int, call: Call) -> None:
                where = next(event.step for event in reversed(world.events) if event.what == "calling")
                before.setdefault(f"{kinds[where]} {call.operation}", world.moment())

            session.aws.before = note  # type: ignore[attr-defined]

        assert typed(world, verb, befall).how == "done"
        return Whole(before, start, census(world.client))


def fresh(folder: Path) -> World:
    world = World(folder, "dev-hardened")
    world.change(network={"nat": "single"})
    return world


def acting(world: World, what: str, deed: Callable[[str, Call], object], when: str = "after") -> Befall:
    """Have a foreign hand act once, at the first call of an operation for a kind of step."""

    def befall(session: Session) -> None:
        kinds = {step.name: step.kind for step in session.steps}
        acted: list[str] = []

        def note(number: int, call: Call) -> None:
            step = next(event.step for event in reversed(world.events) if event.what == "calling")
            if not acted and what == f"{kinds[step]} {call.operation}":
                acted.append(step)
                deed(step, call)

        setattr(session.aws, when, note)

    return befall


def same(world: World, call: Call) -> Any:
    """Make just the call that we make."""
    return getattr(world.client(call.service), call.method)(**call.params)


def delete(world: World, seen: Seen) -> None:
    for batch in seen.step.teardown(live(seen)):
        for call in batch if isinstance(batch, tuple) else (batch,):
            same(world, call)


def change(world: World, seen: Seen) -> None:
    """Do the first thing of the table of changes that is no deletion and not only of tags, if there is such a thing."""
    done = [each for each in CHANGES if each.kind == seen.step.kind and "deleted" not in each.what]
    [*done][min(2, len(done) - 1)].do(world.client, seen)


def remove(world: World, kind: str, id: str) -> None:
    """Delete the second one of a kind, on which nothing hangs."""
    step = KINDS[kind].restored("second", world.stack)
    for call in step.teardown(Live(id, {"vpc": "", "associations": {}})):
        same(world, call)


def give_back(world: World, seen: Seen) -> None:
    """Put back the tags that were taken from something that is no bucket."""
    tags = [{"Key": key, "Value": value} for key, value in seen.step.labels.items()]
    if seen.step.kind == "LogGroup":
        world.client("logs").tag_resource(resourceArn=live(seen).facts["arn"], tags=seen.step.labels)
    elif seen.step.kind == "Role":
        world.client("iam").tag_role(RoleName=seen.step.label, Tags=tags)
    elif hands_security.give_back(world.client, seen):
        pass
    elif "arn" in live(seen).facts:
        world.client("rds").add_tags_to_resource(ResourceName=live(seen).facts["arn"], Tags=tags)
    elif seen.step.kind not in ("Bucket", "LogBucket"):
        world.client("ec2").create_tags(Resources=[live(seen).id], Tags=tags)


def take_away(world: World, seen: Seen) -> None:
    """Remove a gateway from the network, which has room for one: ours was made a second time meanwhile."""
    ec2, name = world.client("ec2"), {"InternetGatewayId": live(seen).id}
    [gateway] = ec2.describe_internet_gateways(InternetGatewayIds=[live(seen).id])["InternetGateways"]
    for each in gateway["Attachments"]:
        ec2.detach_internet_gateway(**name, VpcId=each["VpcId"])
    ec2.delete_internet_gateway(**name)


def settled(world: World, end: Census, ending: Ending) -> None:
    """Type the command again, all advice followed, until nothing is left to do; all must be there then, and once."""
    for _ in range(3):
        if ending.how == "done" and not ending.calls:
            break
        follow(world, ending)
        ending = typed(world, "provision")
    assert (ending.how, ending.calls) == ("done", ()), ending
    assert census(world.client) == end


def first(verb: str, kind: str) -> str:
    """Name the first call for a kind of step."""
    return next(each for each in whole(verb).before if each.startswith(f"{kind} "))


def met(folder: Path, kind: str, deed: Callable[[World, Seen], object]) -> tuple[World, Ending, list[Seen]]:
    """Let a run meet with a foreign hand right after its first call for a kind of step."""
    world, what = fresh(folder), first("provision", kind)
    world.back_to(whole("provision").before[what])
    touched: list[Seen] = []

    def reach_in(step: str, call: Call) -> None:
        touched.append(world.look().seen[step])
        with suppress(ClientError):
            deed(world, touched[0])

    ending = typed(world, "provision", acting(world, what, reach_in))
    assert touched
    return world, ending, touched


@pytest.mark.parametrize("deed", [delete, change], ids=["deleted", "changed"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_changed_or_deleted_under_the_hands_of_a_run_is_put_right(
    tmp_path: Path, kind: str, deed: Callable[[World, Seen], object]
) -> None:
    world, ending, _ = met(tmp_path, kind, deed)
    settled(world, whole("provision").end, ending)


OWN = [kind for kind in KINDS if not KINDS[kind].attendant]


@pytest.mark.parametrize("kind", OWN)
def test_what_is_taken_from_a_run_is_a_stranger_and_stays_untouched(tmp_path: Path, kind: str) -> None:
    world, ending, [seen] = met(tmp_path, kind, lambda world, seen: disown(world.client, seen))
    if ending.how == "done":
        delete(world, seen)  # fails unless it is still there
    else:
        assert ending.where == {seen.step.name}
        (take_away if kind == "InternetGateway" else give_back)(world, seen)
    settled(world, whole("provision").end, ending)


BORN = {
    "ElasticIp": "ec2.allocate_address",
    "InternetGateway": "ec2.create_internet_gateway",
    "NatGateway": "ec2.create_nat_gateway",
    "NetworkAcl": "ec2.create_network_acl",
    "RouteTable": "ec2.create_route_table",
    "Vpc": "ec2.create_vpc",
}
"""What can be there twice, by kind."""


@pytest.mark.parametrize("kind", sorted(BORN.keys() - {"NatGateway"}))  # of these the address is there once
def test_what_somebody_makes_a_second_time_is_named_or_removed(tmp_path: Path, kind: str) -> None:
    world, what = fresh(tmp_path), first("provision", kind)
    world.back_to(whole("provision").before[what])
    made: list[str] = []

    def reach_in(step: str, call: Call) -> None:
        made.append(newborn_id(call, same(world, call)))

    ending = typed(world, "provision", acting(world, what, reach_in))
    [second] = made
    if ending.how != "done":
        assert all(each.code == "Ambiguous" for each in ending.told if isinstance(each, Failure))
        assert second in str(ending.told)
        remove(world, kind, second)
    settled(world, whole("provision").end, ending)


UNSEEN = {"Key kms.create_key"}
"""A second key of somebody else's making: ours has its alias by then, which is all that anybody asks for."""
OTHER = [
    "BackupPlan backup.create_backup_selection",
    "Bucket s3.put_bucket_encryption",
    "Bucket s3.put_bucket_lifecycle_configuration",
    "Bucket s3.put_bucket_logging",
    "Bucket s3.put_bucket_notification_configuration",
    "Bucket s3.put_bucket_policy",
    "Bucket s3.put_bucket_versioning",
    "DbParameters rds.modify_db_cluster_parameter_group",
    "DefaultNetworkAcl ec2.delete_network_acl_entry",
    "DefaultSecurityGroup ec2.revoke_security_group_egress",
    "DefaultSecurityGroup ec2.revoke_security_group_ingress",
    "InternetGateway ec2.attach_internet_gateway",
    "Key kms.create_alias",
    "Key kms.enable_key_rotation",
    "LogBucket s3.put_bucket_lifecycle_configuration",
    "LogBucket s3.put_bucket_policy",
    "LogBucket s3.put_bucket_versioning",
    "LogGroup logs.put_retention_policy",
    "NetworkAcl ec2.create_network_acl_entry",
    "NetworkAcl ec2.replace_network_acl_association",
    "Role iam.attach_role_policy",
    "Role iam.put_role_policy",
    "RouteTable ec2.associate_route_table",
    "RouteTable ec2.create_route",
    "SecurityRules ec2.authorize_security_group_egress",
    "SecurityRules ec2.authorize_security_group_ingress",
    "SecurityRules ec2.revoke_security_group_egress",
    "Vpc ec2.modify_vpc_attribute",
]
"""The calls of a provision that bring nothing into being which could be there twice."""
NAMED = [
    "BackupPlan backup.create_backup_plan",
    "BackupVault backup.create_backup_vault",
    "Bucket s3.create_bucket",
    "Cluster rds.create_db_cluster",
    "DbInstance rds.create_db_instance",
    "DbParameters rds.create_db_cluster_parameter_group",
    "DbSubnetGroup rds.create_db_subnet_group",
    "EventSubscription rds.create_event_subscription",
    "FlowLog ec2.create_flow_logs",
    "LogBucket s3.create_bucket",
    "LogGroup logs.create_log_group",
    "Role iam.create_role",
    "SecurityGroup ec2.create_security_group",
    "Subnet ec2.create_subnet",
    "Topic sns.create_topic",
    "VpcEndpoint ec2.create_vpc_endpoint",
]
"""Those that AWS refuses where the same is there: with our very tags it is ours, whoever made it."""
REMOVING = [
    "BackupPlan backup.delete_backup_plan",
    "BackupPlan backup.delete_backup_selection",
    "BackupVault backup.delete_backup_vault",
    "Bucket s3.delete_bucket",
    "Cluster rds.delete_db_cluster",
    "DbInstance rds.delete_db_instance",
    "DbParameters rds.delete_db_cluster_parameter_group",
    "DbSubnetGroup rds.delete_db_subnet_group",
    "ElasticIp ec2.release_address",
    "EventSubscription rds.delete_event_subscription",
    "FlowLog ec2.delete_flow_logs",
    "InternetGateway ec2.delete_internet_gateway",
    "InternetGateway ec2.detach_internet_gateway",
    "Key kms.schedule_key_deletion",
    "LogBucket s3.delete_bucket",
    "LogGroup logs.delete_log_group",
    "NatGateway ec2.delete_nat_gateway",
    "NetworkAcl ec2.delete_network_acl",
    "NetworkAcl ec2.replace_network_acl_association",
    "Role iam.delete_role",
    "Role iam.detach_role_policy",
    "Role iam.delete_role_policy",
    "RouteTable ec2.delete_route_table",
    "RouteTable ec2.disassociate_route_table",
    "SecurityGroup ec2.delete_security_group",
    "SecurityRules ec2.revoke_security_group_egress",
    "SecurityRules ec2.revoke_security_group_ingress",
    "Subnet ec2.delete_subnet",
    "Topic sns.delete_topic",
    "Vpc ec2.delete_vpc",
    "VpcEndpoint ec2.delete_vpc_endpoints",
]
"""The calls of a teardown."""


@pytest.mark.parametrize(
    ("verb", "what"),
    [("provision", what) for what in (*OTHER, *NAMED)] + [("teardown", what) for what in REMOVING],
)
def test_what_somebody_else_does_before_we_do_it_counts_as_done(tmp_path: Path, verb: str, what: str) -> None:
    world = fresh(tmp_path)
    world.back_to(whole(verb).before[what])
    acted: list[Call] = []

    def reach_in(step: str, call: Call) -> None:
        acted.append(call)
        same(world, call)

    ending = typed(world, verb, acting(world, what, reach_in, "before"))
    assert len(acted) == 1
    assert (ending.how, ending.told) == ("done", ())
    assert census(world.client) == whole(verb).end


def test_every_call_of_a_run_is_met_by_a_foreign_hand() -> None:
    twice = {f"{kind} {operation}" for kind, operation in BORN.items()}
    assert whole("provision").before.keys() == {*OTHER, *NAMED, *twice, *UNSEEN}
    assert whole("teardown").before.keys() == {*REMOVING}
