"""What is checked before anything is touched: what a run asks, in how many rounds, and what an answer leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner import access, permissions, plan, preflight, quotas
from provisioner.asking import Asking
from provisioner.aws import _expiry
from provisioner.kit import Call, Live, Stack
from provisioner.preflight import Findings, Skipped
from provisioner.session import Session, assemble
from provisioner.settings import TABLES
from provisioner.survey import Identity
from provisioner.terms import Check, Objection
from steps import KINDS
from steps.bucket import Bucket
from steps.cluster import Cluster
from steps.db_instance import DbInstance
from steps.security_rules import Rule, SecurityRules
from tests.test_architecture import OPERATIONS
from tests.world import Inline, Watched, World, standing

ENVIRONMENTS = ("dev", "staging", "prod")
STACK = Stack(project="acme", environment="dev", account="123456789012", region="us-east-1")
JANUARY_2027 = 1_800_000_000.0


def checked(session: Session, whole: bool = False, expiry: float | None = None) -> Findings:
    sight = session.look()
    flight = session.flight(sight, plan.provision(sight), whole)
    return preflight.findings(replace(flight, expiry=expiry, expected=1200.0))


def wheres(objections: Sequence[Objection]) -> list[str]:
    return [each.where for each in objections]


# How many questions, and how many of them in a row.


class Joined(Future[Any]):
    """A future that tells whoever waits for it how deep its answer lies."""

    depth: int
    rounds: Rounds

    def result(self, timeout: float | None = None) -> Any:
        self.rounds.now = max(self.rounds.now, self.depth)
        return super().result(timeout)


class Rounds(Inline):
    """Workers with as many threads as one likes, and the number of requests each thought has behind it."""

    def __init__(self) -> None:
        self.now = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        before, future = self.now, Joined()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        future.rounds, future.depth, self.now = self, self.now, before
        return future


class Deep(Watched):
    """AWS, with the round in which each of its answers is there."""

    rounds: Rounds
    deepest: dict[str, int]

    def answer(self, operation: str, params: Mapping[str, Any], since: int, paged: bool) -> Any:
        had = self.requests
        try:
            return super().answer(operation, params, since, paged)
        finally:
            key = repr((operation, sorted(params.items(), key=str)))
            if self.requests > had:
                self.deepest[key] = self.rounds.now + 1
            self.rounds.now = max(self.rounds.now, self.deepest.get(key, 0))


class Inbox:
    """The engine's inbox: what a message was made of is behind whoever hears it."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds, self.held = rounds, list[tuple[Any, int]]()

    def put(self, message: Any) -> None:
        self.held.append((message, self.rounds.now))

    def get(self) -> Any:
        message, depth = self.held.pop(0)
        self.rounds.now = max(self.rounds.now, depth)
        return message

    def empty(self) -> bool:
        return not self.held


def deep(world: World) -> tuple[Session, Deep]:
    rounds, like = Rounds(), world.session()
    aws = Deep(like.aws._make, world.clock)
    aws.rounds, aws.deepest = rounds, {}
    session = assemble(world.request, world.settings, world.stack, aws, world.state, rounds, world.clock, [])
    inbox: Any = Inbox(rounds)
    session.engine.inbox = inbox
    return session, aws


@pytest.mark.parametrize(("environment", "rounds"), [("dev", 4), ("staging", 4), ("prod", 5)])
def test_a_whole_preflight_asks_four_times_in_a_row_and_once_more_where_a_bucket_has_a_key_and_a_log(
    tmp_path: Path, environment: str, rounds: int
) -> None:
    session, aws = deep(World(tmp_path, environment))
    assert checked(session, whole=True) == Findings()
    assert max(aws.deepest.values()) == rounds
    asked = {key.split("'")[1] for key, depth in aws.deepest.items() if depth == rounds}
    assert {"service-quotas.list_service_quotas", access.SIMULATION} <= asked


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_stack_that_is_as_declared_is_asked_nothing(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, environment)
    session = world.session()
    session.look()
    before = session.aws.requests
    assert checked(session) == Findings()
    assert session.aws.requests == before


def test_only_what_lies_ahead_is_asked_about(tmp_path: Path) -> None:
    world = standing(tmp_path)
    world.change(database={"instances": 2})
    session, aws = deep(world)
    session.look()
    before = set(aws.deepest)
    assert checked(session) == Findings()
    assert {key.split("'")[1] for key in set(aws.deepest) - before} == {
        "rds.describe_db_engine_versions",
        "rds.describe_orderable_db_instance_options",
        "service-quotas.list_service_quotas",
        access.SIMULATION,
    }


# What may not be asked is skipped, and said so.


@pytest.mark.parametrize(
    "action",
    [
        "servicequotas:ListServiceQuotas",
        "iam:SimulatePrincipalPolicy",
        "rds:DescribeDBMajorEngineVersions",
    ],
)
def test_what_may_not_be_asked_is_skipped_and_said_and_refuses_nothing(tmp_path: Path, action: str) -> None:
    world = World(tmp_path)
    world.cloud.deny([action])
    found = checked(world.session())
    assert (found.refusals, found.warnings) == ((), ())
    (skipped,) = found.skipped
    assert skipped.operation.partition(".")[2].replace("_", "") == action.partition(":")[2].lower()


def test_where_iam_may_not_be_asked_dry_runs_tell_what_they_can(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.cloud.deny(["iam:SimulatePrincipalPolicy", "ec2:CreateVpc", "rds:CreateDBCluster"])
    session = world.session()
    found = checked(session)
    assert [each.what for each in found.refusals] == ["this identity may not ec2:CreateVpc, which ec2.create_vpc needs"]
    assert [each.operation for each in found.skipped] == [access.SIMULATION]
    assert session.aws.mutations == 0


class Simulated:
    """IAM, with one decision for everything."""

    def __init__(self, **told: Any) -> None:
        self.told, self.asked = told, list[dict[str, Any]]()

    def items(self, operation: str, /, **params: Any) -> list[dict[str, Any]]:
        self.asked.append(params)
        each = [{"EvalResourceName": arn, **self.told} for arn in params["ResourceArns"]]
        return [{"EvalActionName": action, "ResourceSpecificResults": each} for action in params["ActionNames"]]


def test_a_quota_that_is_not_told_is_skipped_and_said() -> None:
    class Untold(Simulated):
        def items(self, operation: str, /, **params: Any) -> list[dict[str, Any]]:
            return []

    aws: Any = Untold()
    asking = Asking(aws, Inline())
    vpc = KINDS["Vpc"](name="vpc", stack=STACK, **{"cidr": "10.0.0.0/16"})
    found = preflight.made(asking, quotas.checks(asking, [vpc], "us-east-1"))
    assert [str(each) for each in found.skipped] == [
        "service-quotas.list_service_quotas was not answered (L-F678F1CE is not told)"
    ]


CREATING = [Call("rds.create_db_subnet_group"), Call("s3.put_bucket_policy")]


def allowed(simulated: Simulated, arn: str = "arn:aws:iam::123456789012:user/me") -> list[str]:
    aws: Any = simulated
    identity = Identity(account="123456789012", partition="aws", arn=arn)
    return [each.what for each in access.is_allowed(aws, CREATING, identity, STACK)]


def test_an_action_is_asked_about_with_the_resource_it_is_for() -> None:
    simulated = Simulated(EvalResourceDecision="implicitDeny")
    assert allowed(simulated) == [
        "this identity may not rds:AddTagsToResource, which rds.create_db_subnet_group needs",
        "this identity may not rds:CreateDBSubnetGroup, which rds.create_db_subnet_group needs",
        "this identity may not s3:PutBucketPolicy, which s3.put_bucket_policy needs",
    ]
    (asked,) = simulated.asked
    assert asked["ResourceArns"] == [
        "arn:aws:rds:us-east-1:123456789012:subgrp:acme-dev-*",
        "arn:aws:s3:::acme-dev-123456789012-us-east-1",
    ]


def test_what_hangs_on_a_condition_is_not_refused() -> None:
    assert allowed(Simulated(EvalResourceDecision="implicitDeny", MissingContextValues=["aws:RequestTag/team"])) == []
    assert allowed(Simulated(EvalResourceDecision="allowed")) == []


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        ("arn:aws:iam::123456789012:user/team/me", "arn:aws:iam::123456789012:user/team/me"),
        ("arn:aws:sts::123456789012:assumed-role/deploy/session", "arn:aws:iam::123456789012:role/deploy"),
        ("arn:aws:iam::123456789012:root", None),
    ],
)
def test_the_policies_of_whoever_we_are_are_asked(arn: str, principal: str | None) -> None:
    simulated = Simulated(EvalResourceDecision="allowed")
    allowed(simulated, arn)
    assert [each["PolicySourceArn"] for each in simulated.asked] == ([principal] if principal else [])


def test_every_call_of_a_step_has_its_permissions_in_the_table() -> None:
    reading = ("describe_", "list_", "get_", "head_", "simulate_")
    named = {operation for operation, where in OPERATIONS if where.startswith("steps")}
    changing = {each for each in named if not each.partition(".")[2].startswith(reading)}
    assert changing <= set(permissions.operations())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_call_of_a_plan_has_its_permissions_in_the_table(tmp_path: Path, environment: str) -> None:
    world = World(tmp_path, environment)
    called = {call.operation for each in plan.provision(world.look()) for call in each.calls}
    assert called <= set(permissions.operations())


# Credentials.


@pytest.mark.parametrize(("left", "severity"), [(None, None), (7200, None), (600, "warning"), (-1, "refusal")], ids=str)
def test_credentials_have_to_outlive_the_run(tmp_path: Path, left: float | None, severity: str | None) -> None:
    world = World(tmp_path)
    found = checked(world.session(), expiry=None if left is None else world.clock.now() + left)
    told = [each.severity for each in (*found.refusals, *found.warnings)]
    assert told == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("environ", "expiry"),
    [
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "2027-01-15T08:00:00Z"}, JANUARY_2027),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "tomorrow"}, None),
        ({"AWS_CREDENTIAL_EXPIRATION": "2027-01-15T08:00:00Z"}, None),
        ({"AWS_ACCESS_KEY_ID": "a"}, None),
    ],
)
def test_the_end_of_credentials_is_read_where_they_come_from_the_environment(
    environ: Mapping[str, str], expiry: float | None
) -> None:
    assert _expiry(environ) == expiry


# The engine.


def told(checks: Iterator[Check] | Any) -> list[tuple[str, str]]:
    return [(each.severity, each.what) for check in checks for each in check]


@pytest.mark.parametrize(
    ("month", "severity"),
    [("2026-11-01", None), ("2027-01-15", "warning"), ("2027-02-28", "warning"), ("2027-03-01", "refusal")],
)
def test_the_end_of_standard_support_is_warned_of_90_days_before(
    tmp_path: Path, month: str, severity: str | None
) -> None:
    world = World(tmp_path)
    world.clock.time = _expiry({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": f"{month}T12:00:00Z"}) or 0
    world.change(database={"engine_version": "14.19"})
    found = checked(world.session())
    assert [each.severity for each in (*found.refusals, *found.warnings)] == ([severity] if severity else [])
    assert wheres((*found.refusals, *found.warnings)) == (["database.engine_version"] if severity else [])


def test_an_upgrade_goes_only_where_aws_goes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change(database={"engine_version": "16.15"})
    world.provision()
    world.change(database={"engine_version": "17.4"})
    (refused,) = checked(world.session()).refusals
    assert refused.what == "AWS upgrades Aurora PostgreSQL 16.15 to other versions, not to 17.4"
    assert refused.remedy == "write one of 17.11"
    world.change(database={"engine_version": "17.11"})
    assert checked(world.session()) == Findings()


def test_an_older_version_than_the_one_that_runs_is_no_wish(tmp_path: Path) -> None:
    world = standing(tmp_path)
    world.change(database={"engine_version": "15.3"})
    session = world.session()
    assert checked(session) == Findings()
    assert all(not each.calls for each in plan.provision(session.look()))


def test_a_changed_range_is_checked_against_what_runs(tmp_path: Path) -> None:
    world = World(tmp_path, "staging")
    world.clock.time = JANUARY_2027 - 300 * 86_400
    world.change(database={"engine_version": "14.6"})
    world.provision()
    world.change(database={"max_acu": 200})
    (refused,) = checked(world.session()).refusals
    assert refused.where == "database.max_acu"
    assert refused.remedy == 'write 128 or less, or engine_version = "14.17"'


# The network, and what everybody may reach.


def rules(*peers: str, direction: Any = "in") -> tuple[Rule, ...]:
    return tuple(Rule(direction, 5432, peer) for peer in peers)


@pytest.mark.parametrize("peer", ["0.0.0.0/0", "::/0"])
def test_nobody_lets_the_whole_internet_in(peer: str) -> None:
    step = SecurityRules(name="database-rules", stack=STACK, group="sg-1", rules=rules(peer))
    aws: Any = None
    assert told(step.objections(aws, None, 0.0)) == [("refusal", f"tcp 5432 from {peer} lets the whole internet in")]
    out = replace(step, rules=rules(peer, direction="out"))
    assert told(out.objections(aws, None, 0.0)) == []


def test_a_door_somebody_opened_is_told_while_it_is_closed(tmp_path: Path) -> None:
    step = SecurityRules(name="database-rules", stack=STACK, group="sg-1", rules=())
    aws: Any = None
    live = Live("sg-1", {"rules": rules("0.0.0.0/0", "10.0.0.0/8")})
    ((severity, what),) = told(step.objections(aws, live, 0.0))
    assert (severity, what) == ("warning", "somebody let the whole internet in: tcp 5432 from 0.0.0.0/0")


def test_no_database_is_reached_from_outside() -> None:
    aws: Any = None
    step = DbInstance(name="cluster-1", stack=STACK, cluster="c", zone="us-east-1a")
    public = replace(step, publicly_accessible=True)
    assert told(public.objections(aws, None, 0.0)) == [("refusal", "cluster-1 would be reachable from the internet")]
    opened = Live("i-1", {"publicly_accessible": True})
    assert told(step.objections(aws, opened, 0.0)) == [("warning", "somebody made i-1 reachable from the internet")]


def test_stacks_of_the_same_environment_are_not_compared(tmp_path: Path) -> None:
    world = standing(tmp_path)
    other = World(tmp_path, beside=world)
    other.settings = other.settings.model_copy(update={"suffix": "pr-42"})
    assert checked(other.session()) == Findings()


# Wording and order.


def test_every_complaint_names_a_key_of_the_file_a_step_or_the_credentials() -> None:
    keys = {f"{table}.{key}".strip(".") for table, model in TABLES.items() for key in model.model_fields}
    assert {kind.quota.where for kind in KINDS.values() if kind.quota} <= keys
    for kind in (Bucket, Cluster, DbInstance):
        assert kind.objections is not kind.__mro__[1].objections


def test_strict_makes_refusals_of_warnings_and_leaves_what_was_skipped() -> None:
    warned = Objection("network.cidr", "overlaps", "write another", "warning")
    skipped = Skipped("rds.describe_db_clusters", "AccessDenied")
    found = Findings(refusals=(Objection("a", "b", "c"),), warnings=(warned,), skipped=(skipped,)).stricter
    assert wheres(found.refusals) == ["a", "network.cidr"]
    assert (found.warnings, found.skipped) == ((), (skipped,))
    assert {each.severity for each in found.refusals} == {"refusal"}


@pytest.mark.parametrize("service", permissions.sources())
def test_the_table_of_permissions_says_where_it_is_from(service: str) -> None:
    table = permissions.sources()[service]
    assert table["date"]
    assert "Service Authorization Reference" in table["source"]
