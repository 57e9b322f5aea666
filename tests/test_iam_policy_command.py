"""iam-policy on the command line: what it prints, whom it asks which account this is, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provisioner import iam_policy
from provisioner.aws import Aws, Told
from provisioner.cli import provisioner
from provisioner.clock import Clock
from provisioner.errors import AwsError, Verdict
from provisioner.local import ACCOUNT, wire
from provisioner.local.cloud import Cloud
from provisioner.session import Request
from tests.world import ENVIRONMENTS, Watched

GOLDEN = Path(__file__).parent / "golden/iam"
DOCS = Path(__file__).parent.parent / "docs"


class Desk:
    """The command line in a folder of its own, and whoever answers for AWS."""

    def __init__(self, folder: Path) -> None:
        self.environments, self.states = folder / "environments", folder / "states"
        shutil.copytree(ENVIRONMENTS, self.environments)
        self.cloud = Cloud()
        self.cloud.reset()
        self.aws: Watched | None = None

    def connect(self, request: Request, region: str, clock: Clock, told: Told) -> Aws:
        session = wire.isolated_session(region)
        self.aws = Watched(
            lambda service: wire.plug(session.client(service, **wire.client_options()), self.cloud), clock, told
        )
        return self.aws

    def run(self, *arguments: str, connect: Any = None) -> Result:
        words = [*arguments, f"--config-dir={self.environments}"]
        words += [f"--state-dir={self.states}"] if arguments[0] != "iam-policy" else []
        result = CliRunner().invoke(provisioner, words, obj=connect or self.connect)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    def add(self, line: str) -> None:
        file = self.environments / "dev.toml"
        file.write_text(f"{line}\n{file.read_text()}")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        (["dev", "--for", "plan"], "dev-plan"),
        (["staging", "--for", "teardown"], "staging-teardown"),
        (["prod", "--boundary"], "prod-boundary"),
    ],
)
def test_it_prints_the_policy_and_nothing_else_and_asks_nobody(desk: Desk, arguments: list[str], golden: str) -> None:
    result = desk.run("iam-policy", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (GOLDEN / f"{golden}.json").read_text()
    assert desk.aws is None
    assert not desk.states.exists()


@pytest.mark.parametrize(
    ("line", "arguments", "account", "asked"),
    [
        ("", ["--account", "111122223333", "--target", "aws"], "111122223333", 0),
        ("", ["--target", "aws"], ACCOUNT, 1),
        ("", [], ACCOUNT, 0),
        ('accounts = ["444455556666"]', ["--target", "aws"], "444455556666", 0),
        ('accounts = ["444455556666", "111122223333"]', ["--target", "aws"], ACCOUNT, 1),
        ('accounts = ["444455556666", "111122223333"]', ["--account", "111122223333"], "111122223333", 0),
    ],
)
def test_the_account_is_the_one_given_the_only_one_allowed_or_the_one_we_are_in(
    desk: Desk, line: str, arguments: list[str], account: str, asked: int
) -> None:
    desk.add(line)
    result = desk.run("iam-policy", "dev", *arguments)
    assert result.exit_code == 0, result.output
    assert f":{account}:" in result.stdout
    assert (desk.aws.requests if desk.aws else 0) == asked


def test_the_partition_is_that_of_the_region(desk: Desk) -> None:
    file = desk.environments / "dev.toml"
    file.write_text(file.read_text().replace('region = "us-east-1"', 'region = "cn-north-1"'))
    text = desk.run("iam-policy", "dev", "--account", "111122223333").stdout
    assert "arn:aws-cn:ec2:cn-north-1:111122223333:" in text
    assert "arn:aws:" not in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dev", "--account", "12"], "an account has 12 digits"),
        (["dev", "--account", "111122223333"], "allows 444455556666 and not account 111122223333"),
        (["dev", "--boundary", "--for", "plan"], "--boundary is for all purposes"),
        (["dev", "--boundary", "--part", "1"], "--boundary is one document, as a role has one boundary"),
        (["dev", "--for", "plan", "--part", "2"], "there is no part 2: all of the policy is in one"),
        (["dev", "--for", "everything"], "'everything' is not one of"),
        (["nowhere"], "there is no nowhere.toml"),
    ],
)
def test_what_makes_no_sense_is_refused_as_usage(desk: Desk, arguments: list[str], told: str) -> None:
    desk.add('accounts = ["444455556666"]')
    result = desk.run("iam-policy", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_who_has_no_credentials_is_told_how_to_do_without(desk: Desk) -> None:
    def nobody(*_: Any) -> Aws:
        raise AwsError("sts.get_caller_identity", "NoCredentials", "Unable to locate credentials", Verdict.FATAL)

    result = desk.run("iam-policy", "dev", "--target", "aws", connect=nobody)
    assert result.exit_code == 1
    assert "--account 123456789012" in result.stderr


def test_what_no_managed_policy_holds_is_printed_whole_and_in_as_many_parts_as_the_recipe_has(desk: Desk) -> None:
    whole = desk.run("iam-policy", "prod")
    assert whole.stdout == (GOLDEN / "prod-provision.json").read_text()
    policy = json.loads(whole.stdout)
    assert iam_policy.size(policy) > iam_policy.LIMIT
    first, *others = re.findall(r"for part in ([\d ]+); do", (DOCS / "permissions.md").read_text())
    assert {*others} == {first}
    assert f"print it in {len(first.split())} parts" in whole.stderr
    parts = [desk.run("iam-policy", "prod", "--part", each) for each in first.split()]
    assert {each.stderr for each in parts} == {""}
    assert [statement for each in parts for statement in json.loads(each.stdout)["Statement"]] == policy["Statement"]


def test_a_plan_that_another_has_to_carry_out_is_shown_with_one_warning(desk: Desk) -> None:
    desk.cloud.permit(json.loads((GOLDEN / "dev-plan.json").read_text()))
    result = desk.run("plan", "dev")
    assert result.exit_code == 0, result.output
    assert "ec2.create_vpc" in result.stdout
    assert result.stdout.count("cannot carry this plan out") == 1
    refused = desk.run("provision", "dev")
    assert refused.exit_code == 3
    assert "this identity may not ec2:CreateVpc, which ec2.create_vpc needs" in refused.stderr
