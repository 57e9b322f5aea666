"""What is said at the end, as golden text and exact JSON; hand-made looks and outcomes, no AWS and no engine."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from provisioner import drawing, graph, plan, plan_text, report, words
from provisioner.blueprint import blueprint
from provisioner.config import load
from provisioner.engine import Seen, Sight
from provisioner.kit import Call, Live, Stack, Step, bind
from provisioner.survey import Choices
from provisioner.terms import Objection
from provisioner.wiring import Failure, Outcome
from steps.security_group import SecurityGroup
from steps.subnet import Subnet
from steps.vpc import Vpc
from tests.model import validate

STACK = Stack(project="acme", environment="dev", account="123456789012", region="us-east-1")
WHERE: dict[str, Any] = {"stack": "acme-dev", "target": "local", "region": "us-east-1"}
HOSTILE = "\x1b[2Jgone\r\nacme-dev: done\x9b\u202e"
VPC = Vpc(name="vpc", stack=STACK, cidr="10.10.0.0/16")
SUBNET = Subnet(name="private-1", stack=STACK, vpc=VPC, cidr="10.10.0.0/19", zone="us-east-1a", public=False)
APP = SecurityGroup(name="app", stack=STACK, vpc=VPC, description="The application", output="app_security_group_id")
ENVIRONMENTS = Path(__file__).parent.parent / "environments"


def found(step: Step, id: str, /, **other: Any) -> Live:
    """Make what stands exactly as a step wants it, but for ``other``."""
    wanted = {field.name: getattr(step, field.name) for field in fields(step)} | {"tags": step.labels}
    return Live(id, wanted | other)


def look(*pairs: tuple[Step, Live | None], leftovers: frozenset[str] = frozenset()) -> Sight:
    ids = {step.name: str(live.id) for step, live in pairs if live is not None}
    wishes = {step.name: step for step, _ in pairs}
    seen = {step.name: Seen(step=bind(step, ids), live=live, leftover=step.name in leftovers) for step, live in pairs}
    return Sight(wishes=wishes, seen=seen, needs=graph.edges(wishes.values()))


def absent() -> Sight:
    return look((VPC, None), (SUBNET, None), (APP, None))


def settled() -> Sight:
    return look((VPC, found(VPC, "vpc-1")), (SUBNET, found(bind(SUBNET, {"vpc": "vpc-1"}), "subnet-1")))


def odd() -> Sight:
    """One step for each way in which not all is well."""
    other = Vpc(name="other", stack=STACK, cidr="10.20.0.0/16")
    broken = Vpc(name="broken", stack=STACK, cidr="10.30.0.0/16")
    taken = Vpc(name="taken", stack=STACK, cidr="10.40.0.0/16")
    old = Vpc(name="old", stack=STACK, cidr="10.50.0.0/16")
    return look(
        (VPC, found(VPC, "vpc-1", dns_hostnames=False)),
        (other, Live("vpc-2", busy="pending")),
        (broken, Live("vpc-3", broken="no room in the region")),
        (
            taken,
            Live("vpc-4", foreign="aws ec2 create-tags --resources vpc-4 --tags Key=provisioner:stack,Value=acme-dev"),
        ),
        (old, found(old, "vpc-5")),
        leftovers=frozenset({"old"}),
    )


def whole(environment: str, zones: tuple[str, ...]) -> list[Step]:
    choices = Choices(zones=zones, cidr="10.10.0.0/16", version="16.6", port=5432)
    return blueprint(load(ENVIRONMENTS, environment), STACK, choices)


def outcome(**results: Any) -> Outcome:
    return Outcome(results={name.replace("_", "-"): result for name, result in results.items()}, ids={"vpc": "vpc-1"})


def failed() -> Outcome:
    failure = Failure(
        step="vpc",
        operation="ec2.modify_vpc_attribute",
        code="UnauthorizedOperation",
        message="You are not authorized to perform this operation.",
        remedy="ask for the permission ec2:ModifyVpcAttribute",
    )
    results = outcome(vpc="failed", private_1="blocked", app="blocked")
    return Outcome(results=results.results, ids=results.ids, failures=(failure,))


def told(came_to: Outcome, **other: Any) -> str:
    usual: dict[str, Any] = {
        "verb": "provision",
        "stack": "acme-dev",
        "outcome": came_to,
        "sight": absent(),
        "mutating": 4,
        "reads": 9,
        "seconds": 12.34,
        "durations": {},
        "again": "provisioner provision dev",
    }
    return report.run_text(**usual | other)


def test_a_plan_names_every_call_and_why_without_the_tags_of_the_newborn() -> None:
    planned = plan.provision(absent())
    for each in planned:
        for call in each.calls:
            validate(call)
    assert plan_text.plan_text(planned, **WHERE) == (
        "acme-dev on local in us-east-1\n"
        "\n"
        "+ vpc (Vpc): new\n"
        "  ec2.create_vpc CidrBlock=10.10.0.0/16\n"
        "  ec2.modify_vpc_attribute VpcId=<vpc> EnableDnsHostnames={Value: true}\n"
        "\n"
        "+ private-1 (Subnet): new\n"
        "  ec2.create_subnet VpcId=<vpc> CidrBlock=10.10.0.0/19 AvailabilityZone=us-east-1a\n"
        "\n"
        "+ app (SecurityGroup): new\n"
        '  ec2.create_security_group GroupName=acme-dev-app Description="The application" VpcId=<vpc>\n'
        "\n"
        "4 calls in 3 steps."
    )


def test_a_plan_of_a_settled_stack_says_that_there_is_nothing_to_do() -> None:
    assert plan_text.plan_text(plan.provision(settled()), **WHERE) == (
        "acme-dev on local in us-east-1\n\n2 steps unchanged.\nNothing to do: acme-dev is as declared."
    )


def test_a_plan_tells_what_differs_what_leaves_and_what_cannot_be_touched() -> None:
    assert plan_text.plan_text(plan.provision(odd()), **WHERE) == (
        "acme-dev on local in us-east-1\n"
        "\n"
        "~ vpc (Vpc): dns_hostnames false -> true\n"
        "  ec2.modify_vpc_attribute VpcId=vpc-1 EnableDnsHostnames={Value: true}\n"
        "\n"
        "! other (Vpc): busy, pending\n"
        "\n"
        "! broken (Vpc): broken and to be replaced: no room in the region\n"
        "  ec2.delete_vpc VpcId=vpc-3\n"
        "  ec2.create_vpc CidrBlock=10.30.0.0/16\n"
        "  ec2.modify_vpc_attribute VpcId=<broken> EnableDnsHostnames={Value: true}\n"
        "\n"
        "! taken (Vpc): foreign, not ours\n"
        "\n"
        "- old (Vpc): left the environment file\n"
        "  ec2.delete_vpc VpcId=vpc-5\n"
        "\n"
        "5 calls in 3 steps."
    )


def test_a_plan_without_calls_does_not_call_a_busy_stack_settled() -> None:
    planned = plan.provision(look((VPC, Live("vpc-1", busy="pending"))))
    assert plan_text.plan_text(planned, **WHERE).endswith("! vpc (Vpc): busy, pending\n\nNo call now: 1 busy.")


def test_a_teardown_plan_goes_backwards_and_names_what_goes_along() -> None:
    steps = {step.name: step for step in whole("dev", ("us-east-1a", "us-east-1b"))}
    rules = bind(steps["default-rules"], {"vpc": "vpc-1"})
    planned = plan.teardown(look((steps["vpc"], found(steps["vpc"], "vpc-1")), (rules, found(rules, "sg-1"))))
    assert plan_text.plan_text(planned, **WHERE, tearing=True) == (
        "acme-dev on local in us-east-1\n"
        "\n"
        "- vpc (Vpc): teardown\n"
        "  ec2.delete_vpc VpcId=vpc-1\n"
        "\n"
        "Gone with what they belong to: default-rules.\n"
        "1 call in 1 step."
    )


def test_a_teardown_plan_of_nothing_says_so() -> None:
    assert plan_text.plan_text(plan.teardown(absent()), **WHERE, tearing=True).endswith("\n\nNothing to tear down.")


def test_no_line_of_a_plan_is_longer_than_a_hundred_columns() -> None:
    steps = whole("prod", ("us-east-1a", "us-east-1b", "us-east-1c"))
    text = plan_text.plan_text(plan.provision(look(*((step, None) for step in steps))), **WHERE)
    assert max(map(len, text.splitlines())) <= 100
    assert "  rds.create_db_cluster DBClusterIdentifier=acme-dev-cluster Engine=aurora-postgresql and 18 more\n" in text


def test_tags_are_shown_where_they_are_what_changes() -> None:
    tags = VPC.labels | {"Name": "else"}
    text = plan_text.plan_text(plan.provision(look((VPC, found(VPC, "vpc-1", tags=tags)))), **WHERE)
    assert "  ec2.create_tags Resources=[vpc-1] Tags=[Name=acme-dev-vpc, " in text


def test_plan_json_is_the_contract() -> None:
    document = plan_text.plan_json(plan.provision(look((VPC, found(VPC, "vpc-1", dns_hostnames=False)))), **WHERE)
    assert json.loads(json.dumps(document)) == {
        "stack": "acme-dev",
        "target": "local",
        "region": "us-east-1",
        "steps": [
            {
                "step": "vpc",
                "kind": "Vpc",
                "status": "differs",
                "reason": "dns_hostnames false -> true",
                "causes": ["unrecorded"],
                "changes": [{"field": "dns_hostnames", "cause": "unrecorded", "old": False, "new": True}],
                "calls": [
                    {
                        "operation": "ec2.modify_vpc_attribute",
                        "params": {"VpcId": "vpc-1", "EnableDnsHostnames": {"Value": True}},
                    }
                ],
                "seconds": None,
            }
        ],
        "mutating_calls": 1,
        "expected": None,
    }


def test_plan_json_has_what_forbids_it_only_where_something_does() -> None:
    planned = plan.provision(settled())
    assert "refusals" not in plan_text.plan_json(planned, **WHERE)
    told = {"where": "cluster", "what": "holds data", "remedy": "--delete-data"}
    document = plan_text.plan_json(planned, **WHERE, found={"refusals": [told], "warnings": []})
    assert document["refusals"] == [told]
    assert "warnings" not in document


def test_status_is_one_aligned_table_with_the_reason_under_what_is_not_settled() -> None:
    assert report.status_text(odd()) == (
        "vpc     differs  vpc-1  Vpc\n"
        "    dns_hostnames false -> true\n"
        "other   busy     vpc-2  Vpc\n"
        "    pending\n"
        "broken  broken   vpc-3  Vpc\n"
        "    no room in the region\n"
        "taken   foreign  vpc-4  Vpc\n"
        "    if it is yours, take it over with: "
        "aws ec2 create-tags --resources vpc-4 --tags Key=provisioner:stack,Value=acme-dev\n"
        "old     differs  vpc-5  Vpc\n"
        "    left the environment file\n"
        "5 steps: 2 differs, 1 busy, 1 broken, 1 foreign"
    )


def test_a_status_table_fits_in_eighty_columns() -> None:
    steps = whole("prod", ("us-east-1a", "us-east-1b", "us-east-1c"))
    lives = ((step, Live("x" * 70, busy="word " * 40)) for step in steps)
    assert max(map(len, report.status_text(look(*lives)).splitlines())) == 80


def test_status_json_is_the_contract() -> None:
    rows = report.status_json(look(*zip((VPC, SUBNET), (found(VPC, "vpc-1"), None), strict=True)), "acme-dev")
    assert rows == {
        "stack": "acme-dev",
        "steps": [
            {"step": "vpc", "kind": "Vpc", "id": "vpc-1", "status": "settled", "detail": ""},
            {"step": "private-1", "kind": "Subnet", "id": "", "status": "absent", "detail": ""},
        ],
    }


def test_what_could_not_be_looked_at_is_a_row_in_its_place_and_never_absent() -> None:
    whole = look((VPC, found(VPC, "vpc-1")), (SUBNET, None), (APP, None))
    needs = whole.needs | {"app": frozenset({"private-1"})}
    failures = (
        Failure(step="private-1", operation="ec2.describe_subnets", code="X", message="not for you", remedy="ask"),
        Failure(step="old", operation="", code="UnknownKind", message="unknown here", remedy="upgrade"),
    )
    sight = replace(whole, needs=needs, failures=failures)
    rows = report.status_json(sight, "acme-dev")["steps"]
    assert [(row["step"], row["kind"], row["status"], row["detail"]) for row in rows] == [
        ("vpc", "Vpc", "settled", ""),
        ("private-1", "Subnet", "broken", "not for you"),
        ("app", "SecurityGroup", "broken", "not looked at, for it needs private-1"),
        ("old", "", "broken", "unknown here"),
    ]
    assert report.status_text(sight).endswith(
        "\n4 steps: 3 broken, 1 settled\n\nNot everything could be looked at. To put that right:\n  ask\n  upgrade"
    )


def test_a_leftover_that_only_the_state_knows_is_absent() -> None:
    row = report.status_json(look((VPC, None), leftovers=frozenset({"vpc"})), "acme-dev")["steps"][0]
    assert (row["status"], row["detail"]) == ("absent", "left the environment file")


def test_what_is_being_deleted_is_said_to_be() -> None:
    row = report.status_json(look((VPC, Live("vpc-1", busy="deleting", leaving=True))), "acme-dev")["steps"][0]
    assert (row["status"], row["detail"]) == ("busy", "deleting")


OUTPUTS = {
    "vpc_id": "vpc-id",
    "public_subnet_ids": ["public-1-id", "public-2-id", "public-3-id"],
    "private_subnet_ids": ["private-1-id", "private-2-id", "private-3-id"],
    "app_security_group_id": "app-id",
    "database_security_group_id": "database-id",
    "bucket": "bucket-id",
    "cluster_endpoint": "acme.cluster-1.us-east-1.rds.amazonaws.com",
    "reader_endpoint": None,
    "port": 5432,
    "database": "app",
    "secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!cluster-1",
    "alerts_topic": "alerts-id",
    "backup_vault": "vault-id",
    "log_bucket": "access-logs-id",
    "region": "us-east-1",
    "account": "123456789012",
}


def outputs() -> dict[str, Any]:
    steps = whole("prod", ("us-east-1a", "us-east-1b", "us-east-1c"))
    told = {"cluster_endpoint": OUTPUTS["cluster_endpoint"], "secret_arn": OUTPUTS["secret_arn"]}
    lives = look(*((step, found(step, f"{step.name}-id", **told)) for step in steps))
    return report.outputs(lives, region="us-east-1", account="123456789012")


def test_outputs_are_the_contract_in_its_order_with_lists_in_zone_order() -> None:
    assert list(outputs().items()) == list(OUTPUTS.items())


def test_outputs_of_an_empty_stack_have_the_same_keys() -> None:
    nothing = report.outputs(absent(), region="us-east-1", account="123456789012")
    assert list(nothing) == list(OUTPUTS)
    assert [value for value in nothing.values() if value] == ["us-east-1", "123456789012"]
    assert nothing["public_subnet_ids"] == []
    assert nothing["bucket"] is None


def test_outputs_name_neither_the_foreign_nor_what_left_the_file() -> None:
    foreign = report.outputs(look((VPC, Live("vpc-1", foreign="tag it"))), region="r", account="a")
    left = report.outputs(look((VPC, found(VPC, "vpc-1")), leftovers=frozenset({"vpc"})), region="r", account="a")
    assert foreign["vpc_id"] is left["vpc_id"] is None


def test_outputs_as_text_are_aligned() -> None:
    lines = report.outputs_text(outputs()).splitlines()
    assert lines[:2] == [
        "vpc_id                      vpc-id",
        "public_subnet_ids           public-1-id, public-2-id, public-3-id",
    ]
    assert lines[7] == "reader_endpoint             -"


def test_outputs_as_env_are_safe_for_a_shell() -> None:
    assert report.outputs_env({**outputs(), "bucket": "a b;$(c)\n"}) == (
        "VPC_ID=vpc-id\n"
        "PUBLIC_SUBNET_IDS=public-1-id,public-2-id,public-3-id\n"
        "PRIVATE_SUBNET_IDS=private-1-id,private-2-id,private-3-id\n"
        "APP_SECURITY_GROUP_ID=app-id\n"
        "DATABASE_SECURITY_GROUP_ID=database-id\n"
        "BUCKET='a b;$(c) '\n"
        "CLUSTER_ENDPOINT=acme.cluster-1.us-east-1.rds.amazonaws.com\n"
        "READER_ENDPOINT=\n"
        "PORT=5432\n"
        "DATABASE=app\n"
        "SECRET_ARN=arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!cluster-1\n"
        "ALERTS_TOPIC=alerts-id\n"
        "BACKUP_VAULT=vault-id\n"
        "LOG_BUCKET=access-logs-id\n"
        "REGION=us-east-1\n"
        "ACCOUNT=123456789012"
    )


def test_the_graph_of_dev_is_a_tree_with_every_step_once() -> None:
    steps = whole("dev", ("us-east-1a", "us-east-1b"))
    assert drawing.tree(steps) == GRAPH
    names = [line.strip("├└│─ ").split(" ")[0] for line in GRAPH.splitlines()[2:]]
    assert sorted(names) == sorted(step.name for step in steps)


GRAPH = """\
Each step starts when the one above it is settled, and whatever it also needs.

vpc (Vpc)
├─ default-rules (DefaultSecurityGroup)
├─ public-1 (Subnet)
├─ public-2 (Subnet)
├─ private-1 (Subnet)
│  └─ private-routes-1 (RouteTable)
├─ private-2 (Subnet)
│  ├─ private-routes-2 (RouteTable)
│  │  └─ s3-endpoint (VpcEndpoint), also needs public-routes, private-routes-1
│  └─ cluster-subnets (DbSubnetGroup), also needs private-1
│     └─ cluster (Cluster), also needs cluster-parameters-16, cluster-log, database
│        └─ cluster-1 (DbInstance)
├─ default-acl (DefaultNetworkAcl)
├─ internet (InternetGateway)
│  └─ public-routes (RouteTable), also needs public-1, public-2
├─ app (SecurityGroup)
└─ database (SecurityGroup)
   ├─ database-rules (SecurityRules), also needs app
   └─ app-rules (SecurityRules), also needs app
cluster-parameters-16 (DbParameters)
cluster-log (LogGroup)
bucket (Bucket)"""


def test_run_json_is_the_contract() -> None:
    document = report.run_json(
        stack="acme-dev",
        outcome=failed(),
        sight=absent(),
        exit_code=1,
        result="failed",
        mutating=4,
        reads=9,
        seconds=1.23456,
    )
    assert json.loads(json.dumps(document)) == {
        "stack": "acme-dev",
        "result": "failed",
        "exit_code": 1,
        "calls": {"mutating": 4, "reads": 9},
        "seconds": 1.235,
        "steps": [
            {"step": "vpc", "kind": "Vpc", "result": "failed", "id": "vpc-1"},
            {"step": "private-1", "kind": "Subnet", "result": "blocked", "id": ""},
            {"step": "app", "kind": "SecurityGroup", "result": "blocked", "id": ""},
        ],
        "failures": [
            {
                "step": "vpc",
                "operation": "ec2.modify_vpc_attribute",
                "code": "UnauthorizedOperation",
                "message": "You are not authorized to perform this operation.",
                "remedy": "ask for the permission ec2:ModifyVpcAttribute",
            }
        ],
        "remains": [],
    }


def test_a_run_that_is_done_tells_counts_and_the_slowest_steps() -> None:
    durations = {"cluster": 492.0, "cluster-1": 61.4, "vpc": 0.44, "a": 0.1, "b": 0.2, "c": 0.3, "d": 0.01}
    assert told(outcome(vpc="settled", private_1="settled", app="settled"), durations=durations) == (
        "provision acme-dev: done in 12.3 s (4 calls, 9 reads)\n"
        "  3 settled\n"
        "  slowest: cluster 8 min 12 s, cluster-1 1 min 1 s, vpc 0.4 s"
    )


def test_a_summary_fits_in_eighty_columns_whatever_it_names() -> None:
    names = [f"{letter * 40}" for letter in "abcd"]
    results: dict[str, Any] = dict(zip(names, ("settled", "blocked", "interrupted", "gone"), strict=True))
    text = told(
        Outcome(results=results, ids={}), stack="s" * 35, mutating=0, reads=12345, durations=dict.fromkeys(names, 754.0)
    )
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[:2] == [
        f"provision {'s' * 35}: nothing to do, found in 12.3 s",
        "  (0 calls, 12345 reads)",
    ]


def test_a_run_that_called_nothing_says_that_there_was_nothing_to_do() -> None:
    assert told(outcome(vpc="settled"), mutating=0, reads=1).splitlines()[0] == (
        "provision acme-dev: nothing to do, found in 12.3 s (0 calls, 1 read)"
    )


def test_a_failure_ends_with_the_step_what_aws_said_what_to_do_and_that_the_rest_is_kept() -> None:
    assert told(failed(), durations={"vpc": 2.0}) == (
        "provision acme-dev: failed after 12.3 s (4 calls, 9 reads)\n"
        "  2 blocked, 1 failed\n"
        "  took: vpc 2.0 s\n"
        "\n"
        "vpc failed at ec2.modify_vpc_attribute\n"
        "  why:        UnauthorizedOperation: You are not authorized to perform this operation.\n"
        "  what to do: ask for the permission ec2:ModifyVpcAttribute\n"
        "  blocked:    private-1, app\n"
        "\n"
        "Everything else is kept. With that put right, go on with: provisioner provision dev"
    )


def test_what_is_blocked_is_listed_under_its_cause_through_any_number_of_steps() -> None:
    steps = whole("dev", ("us-east-1a", "us-east-1b"))
    results = outcome(vpc="settled", cluster_subnets="failed", cluster="blocked", cluster_1="blocked").results
    failure = Failure(step="cluster-subnets", operation="", code="X", message="m", remedy="r")
    text = told(Outcome(results=results, ids={}, failures=(failure,)), sight=look(*((step, None) for step in steps)))
    assert "cluster-subnets failed\n" in text
    assert "  blocked:    cluster, cluster-1\n" in text


def test_in_a_teardown_the_arrows_of_blame_are_turned_round() -> None:
    failure = Failure(step="app", operation="ec2.delete_security_group", code="X", message="m", remedy="r")
    results = outcome(vpc="blocked", private_1="gone", app="failed").results
    text = told(Outcome(results=results, ids={}, failures=(failure,)), verb="teardown")
    assert "  blocked:    vpc\n" in text


def test_an_interrupted_run_ends_with_the_command_that_goes_on() -> None:
    stopped = Outcome(results={"vpc": "settled", "app": "interrupted"}, ids={}, remains=("x",), interrupted=True)
    assert told(stopped, durations={"vpc": 2.0}).splitlines() == [
        "provision acme-dev: interrupted after 12.3 s (4 calls, 9 reads)",
        "  1 settled, 1 not finished",
        "  took: vpc 2.0 s",
        "Left behind on purpose: x",
        "",
        "Interrupted; what was done is kept. To go on: provisioner provision dev",
    ]


def test_a_teardown_ends_with_what_it_left_behind() -> None:
    torn = Outcome(results={"vpc": "gone"}, ids={}, remains=("final snapshot acme-prod-cluster-final-cluster-1",))
    assert told(torn, verb="teardown").splitlines() == [
        "teardown acme-dev: done in 12.3 s (4 calls, 9 reads)",
        "  1 gone",
        "Left behind on purpose: final snapshot acme-prod-cluster-final-cluster-1",
    ]


def test_refusals_name_everything_protected_and_all_flags_together() -> None:
    protections = [
        Objection("cluster", "acme-prod-cluster has deletion protection", "--disable-protection"),
        Objection("bucket", "acme-prod holds objects and keep_data is true", "--delete-data"),
    ]
    assert report.refusals_text(protections, "teardown") == (
        "Refused to tear down; nothing was changed.\n"
        "  cluster: acme-prod-cluster has deletion protection\n"
        "    to go on: --disable-protection\n"
        "  bucket: acme-prod holds objects and keep_data is true\n"
        "    to go on: --delete-data\n"
        "All of these flags: --disable-protection --delete-data"
    )
    assert report.refusals_text(protections[:1]).splitlines() == [
        "Refused; nothing was changed.",
        "  cluster: acme-prod-cluster has deletion protection",
        "    to go on: --disable-protection",
    ]


def test_error_json_is_the_contract() -> None:
    assert report.error_json("held", "another run", "wait") == {
        "error": {"code": "held", "message": "another run", "remedy": "wait"}
    }


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ü and 東京", "plain, ü and 東京"),
        ("a\tb\r\nc", "a b  c"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb\u2028c", "a\\u202eb\\u2028c"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_control_characters_are_made_visible_and_everything_else_is_kept(text: str, seen: str) -> None:
    assert words.clean(text) == seen


def test_nothing_from_outside_reaches_the_terminal_raw_or_adds_a_line() -> None:
    failure = Failure(step="vpc", operation="", code=HOSTILE, message=HOSTILE, remedy=HOSTILE)
    came_to = Outcome(results={"vpc": "failed"}, ids={}, failures=(failure,), remains=(HOSTILE,))
    vpc = Vpc(name="vpc", stack=STACK, cidr=HOSTILE)
    texts = [
        told(came_to),
        report.refusals_text([Objection(HOSTILE, HOSTILE, HOSTILE)], "provision"),
        plan_text.plan_text(plan.provision(look((vpc, None))), **WHERE),
        plan_text.plan_text(plan.provision(look((vpc, Live(HOSTILE, busy=HOSTILE)))), **WHERE),
        report.status_text(look((vpc, Live(HOSTILE, foreign=HOSTILE)))),
        report.status_text(look((vpc, Live(HOSTILE, broken=HOSTILE)))),
        report.outputs_text({"bucket": HOSTILE}),
        report.outputs_env({"bucket": HOSTILE}),
    ]
    for text in texts:
        lines = text.split("\n")
        assert all(line.isprintable() for line in lines)
        assert not any(line.startswith("acme-dev: done") for line in lines)


def test_a_value_that_is_long_or_of_any_shape_is_told_in_short() -> None:
    call = Call("s3.put_bucket_policy", Bucket="b", Policy="", Days=1, Off=None, Rules=({"Key": "a", "Value": "b c"},))
    planned = plan.Planned(step="bucket", kind="Bucket", status="differs", reason="policy", calls=(call,))
    text = plan_text.plan_text([planned], **WHERE)
    assert '  s3.put_bucket_policy Bucket=b Policy="" Days=1 Off=null Rules=[a="b c"]\n' in text
