"""Plans on disk, drift, drawings and the schema as scripts and people meet them on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from provisioner import schema
from provisioner.cli import provisioner
from provisioner.kit import Call
from provisioner.local.cloud import Cloud
from tests.test_cli import Clients, Shell, assert_error, clients, cloud, dev, shell

__all__ = ["Cloud", "Clients", "cloud", "clients", "dev", "shell"]


def meddle(shell: Shell, **settings: object) -> None:
    shell.client("rds").modify_db_cluster(DBClusterIdentifier="acme-dev-cluster", ApplyImmediately=True, **settings)


def vpc_without_names(shell: Shell) -> None:
    (vpc,) = shell.client("ec2").describe_vpcs(Filters=[{"Name": "tag:provisioner:step", "Values": ["vpc"]}])["Vpcs"]
    shell.client("ec2").modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": False})


@pytest.fixture
def plan(tmp_path: Path) -> str:
    return str(tmp_path / "dev.plan")


# A plan on disk


def test_a_plan_is_written_and_run_without_asking_and_a_second_time_does_nothing(shell: Shell, plan: str) -> None:
    said = shell.done("plan", "dev", "--target=aws", "--out", plan).stdout
    assert f"To do just that: provisioner provision dev --target aws --plan {plan}" in said.splitlines()[-1]
    assert not shell.calls
    shell.done("provision", "dev", "--target=aws", "--consistency-window=0", "--plan", plan)
    assert len(shell.calls) == len(json.loads(Path(plan).read_text())["steps"]) + 15
    shell.done("provision", "dev", "--target=aws", "--consistency-window=0", "--plan", plan)
    assert not shell.calls


def test_a_plan_as_json_is_written_too_and_nothing_else_is_printed(shell: Shell, plan: str) -> None:
    document = shell.told("plan", "dev", "--out", plan)
    calls = sum(len(each["calls"]) for each in json.loads(Path(plan).read_text())["steps"])
    assert calls == document["mutating_calls"] == 36


def test_what_was_not_shown_exits_3_before_the_first_call_and_is_told(dev: Shell, plan: str) -> None:
    dev.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    dev.done("plan", "dev", "--out", plan)
    vpc_without_names(dev)
    dev.edit("dev", "max_acu = 2 ", "max_acu = 3 ")
    result = dev.run("provision", "dev", "--plan", plan)
    assert result.exit_code == 3
    assert not dev.calls
    told = result.stderr
    assert "nothing was changed." in told
    assert "~ vpc (Vpc): changed outside: dns_hostnames true -> false\n  ec2.modify_vpc_attribute" in told
    assert "~ cluster (Cluster): the file changed: max_acu 1.0 -> 3.0\n  rds.modify_db_cluster" in told
    assert "The environment file has been edited since." in told
    assert told.splitlines()[-1] == f"See the plan as it is now: provisioner plan dev --out {plan}"
    assert assert_error(dev.run("provision", "dev", "--plan", plan, "--json"), 3) == "unshown"


def test_what_comes_up_in_the_middle_exits_1_keeps_what_was_done_and_the_same_command_goes_on(
    shell: Shell, plan: str
) -> None:
    shell.done("plan", "dev", "--out", plan)

    def before(number: int, call: Call) -> None:
        if call.operation == "s3.put_bucket_policy":
            anybody = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
            shell.client("s3").put_bucket_ownership_controls(Bucket=call.params["Bucket"], OwnershipControls=anybody)

    shell.before = before
    result = shell.run("provision", "dev", "--plan", plan)
    assert result.exit_code == 1
    assert "what was done before is kept." in result.stderr
    assert "~ bucket (Bucket): changed while the run went on\n  s3.put_bucket_ownership_controls" in result.stderr
    assert "s3.put_bucket_ownership_controls" not in shell.calls
    shell.before = lambda number, call: None
    assert shell.run("provision", "dev", "--plan", plan).exit_code == 3
    shell.done("provision", "dev")


def test_a_plan_that_is_refused_is_not_written(dev: Shell, plan: str) -> None:
    dev.without("dev", "bucket")
    assert dev.run("plan", "dev", "--out", plan).exit_code == 3
    assert not Path(plan).exists()


def test_a_plan_of_another_stack_or_no_plan_at_all_exits_2(dev: Shell, plan: str) -> None:
    dev.done("plan", "dev", "--out", plan)
    other = dev.run("provision", "dev", "--suffix", "b", "--plan", plan)
    assert other.exit_code == 2
    assert "is a plan for stack acme-dev, and this run is for stack acme-dev-b" in other.stderr
    Path(plan).write_text("garbage\x1b[2J")
    assert assert_error(dev.run("provision", "dev", "--plan", plan, "--json"), 2) == "plan"
    assert "plan ENV --out" in dev.run("provision", "dev", "--plan", f"{plan}.nope").stderr
    assert not dev.calls
    file = dev.environments / "dev.toml"
    before = file.read_text()
    assert "choose another name for --out" in dev.run("plan", "dev", "--out", str(file)).stderr
    assert file.read_text() == before


def test_a_plan_that_cannot_be_written_exits_1_and_is_named(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("plan", "dev", "--out", str(tmp_path / "nowhere" / "dev.plan"))
    assert result.exit_code == 1
    assert "nowhere" in result.stderr


# Time


def test_what_a_run_took_is_remembered_and_told_in_the_next_plan(shell: Shell) -> None:
    assert shell.told("plan", "dev")["expected"] is None
    shell.done("provision", "dev")
    document = shell.told("plan", "dev", "--suffix", "b")
    assert document["expected"]["source"] == "history"
    steps = {each["step"]: each["seconds"] for each in document["steps"] if each["calls"]}
    assert len(steps) == 21
    assert all(seconds is not None for seconds in steps.values())
    assert steps["cluster"] <= document["expected"]["seconds"] <= sum(steps.values())
    assert ", by the last runs here.\n" in shell.done("plan", "dev", "--suffix", "b").stdout


def test_on_aws_a_first_plan_tells_what_is_published(shell: Shell) -> None:
    document = shell.told("plan", "dev", "--target=aws")
    assert document["expected"]["source"] == "table"
    assert 500 < document["expected"]["seconds"] < 700


# Drift


def test_drift_exits_0_where_nothing_and_2_where_something_was_changed_outside(dev: Shell) -> None:
    assert dev.done("drift", "dev").stdout.splitlines()[-1] == "No drift: all is as the last run left it."
    dev.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    dev.done("drift", "dev")
    meddle(dev, BackupRetentionPeriod=3)
    vpc_without_names(dev)
    result = dev.run("drift", "dev")
    assert result.exit_code == 2
    assert result.stdout == (
        "acme-dev on local in us-east-1\n"
        "\n"
        "~ vpc (Vpc): dns_hostnames true -> false\n"
        "~ cluster (Cluster): backup_days 1 -> 3\n"
        "    to keep it: --accept database.backup_days\n"
        "\n"
        "2 differences since the last run; provision puts them right.\n"
    )
    assert not dev.calls


def test_drift_as_json_is_the_contract(dev: Shell) -> None:
    where = {"stack": "acme-dev", "target": "local", "region": "us-east-1"}
    assert dev.told("drift", "dev") == {**where, "drift": [], "untold": []}
    meddle(dev, BackupRetentionPeriod=3)
    result = dev.run("drift", "dev", "--json")
    assert result.exit_code == 2
    change = {
        "step": "cluster",
        "kind": "Cluster",
        "field": "backup_days",
        "recorded": 1,
        "found": 3,
        "key": "database.backup_days",
    }
    assert json.loads(result.stdout) == {**where, "drift": [change], "untold": []}


@pytest.mark.parametrize(
    "arguments",
    [
        ["dev", "--bogus"],
        ["nope"],
        ["dev", "--suffix", "never-built"],
        ["dev", "--accept", "database.max_acu"],
    ],
    ids=" ".join,
)
def test_every_error_of_drift_exits_1(dev: Shell, arguments: Sequence[str]) -> None:
    result = dev.run("drift", *arguments)
    assert result.exit_code == 1
    assert result.stderr
    assert_error(dev.run("drift", *arguments, "--json"), 1)


def test_drift_of_what_is_not_recorded_names_the_plan(dev: Shell) -> None:
    dev.state().unlink()
    told = dev.run("drift", "dev").stderr
    assert told.splitlines()[-1] == "see what differs from the file: provisioner plan dev"


def test_an_environment_may_be_called_drift(shell: Shell) -> None:
    (shell.environments / "dev.toml").rename(shell.environments / "drift.toml")
    assert shell.run("plan", "drift", "--bogus").exit_code == 2


def test_what_is_accepted_is_printed_for_the_file_and_written_there_nothing_is_called(dev: Shell) -> None:
    meddle(dev, BackupRetentionPeriod=3)
    file = dev.environments / "dev.toml"
    before = file.read_text()
    said = dev.done("drift", "dev", "--accept", "cluster.backup_days").stdout
    assert said == f"Write into {file}, under [database]:\n  backup_days = 3\n"
    document = dev.told("drift", "dev", "--accept", "database.backup_days")
    assert document == {"file": str(file), "accept": [{"key": "database.backup_days", "value": 3}]}
    assert file.read_text() == before
    file.write_text(before.replace("[database]", "[database]\nbackup_days = 3", 1).replace("backup_days = 1 ", "# "))
    dev.done("drift", "dev")
    assert "nothing to do" in dev.done("provision", "dev").stdout


def test_what_cannot_be_accepted_says_why(dev: Shell) -> None:
    vpc_without_names(dev)
    result = dev.run("drift", "dev", "--accept", "vpc.dns_hostnames", "--accept", "bogus")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "vpc.dns_hostnames cannot be accepted: no key of the environment file says it; provision puts it right",
        "bogus has not drifted: what has: vpc.dns_hostnames",
    ]


# Drawings and the schema


@pytest.mark.parametrize(("form", "first"), [("mermaid", "flowchart TD"), ("dot", "digraph stack {")])
def test_a_graph_is_drawn_for_other_programs(shell: Shell, form: str, first: str) -> None:
    lines = shell.done("graph", "dev", "--format", form).stdout.splitlines()
    assert lines[0] == first
    arrows = [line for line in lines if " -> " in line or " --> " in line]
    assert len(arrows) == sum(len(each["needs"]) for each in shell.told("graph", "dev")["steps"])


def test_the_schema_is_printed_without_an_environment() -> None:
    result = CliRunner().invoke(provisioner, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == schema.document()
