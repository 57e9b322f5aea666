"""The price of things on the command line: what is asked of AWS and when, the budget, and the comparison."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provisioner.aws import Aws, Told
from provisioner.cli import provisioner
from provisioner.clock import Clock
from provisioner.errors import AwsError, Verdict
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.local.rules import Reply
from provisioner.session import Request
from tests.world import ENVIRONMENTS, REGION, Watched

Clients = Callable[[str], Any]


class Denying:
    """A cloud that grants nothing."""

    def answer(self, environ: dict[str, Any]) -> Reply:
        body = {"__type": "AccessDeniedException", "message": "no identity-based policy allows it"}
        return Reply(400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode())


class Shop:
    """The command line in a folder of its own, and what it asked of AWS by service."""

    def __init__(self, folder: Path, clients: Clients) -> None:
        self.clients, self.asked = clients, list[str]()
        self.environments, self.states = folder / "environments", folder / "states"
        shutil.copytree(ENVIRONMENTS, self.environments)
        self.mutating = 0
        self._aws: Watched | None = None

    def connect(self, request: Request, region: str, clock: Clock, told: Told) -> Aws:
        self._aws = Watched(self.clients, clock, told)
        return self._aws

    def run(self, *arguments: str, connect: Any = None) -> Result:
        folders = [f"--config-dir={self.environments}", f"--state-dir={self.states}"]
        result = CliRunner().invoke(provisioner, [*arguments, *folders], obj=connect or self.connect)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    def told(self, *arguments: str, **given: Any) -> Any:
        result = self.run(*arguments, "--json", **given)
        return json.loads(result.stdout)

    def edit(self, environment: str, old: str, new: str) -> None:
        file = self.environments / f"{environment}.toml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def allow(self, environment: str, dollars: float) -> None:
        """Give an environment a budget."""
        self.edit(environment, 'project = "acme"', f'budget = {dollars}\nproject = "acme"')

    @property
    def prices_asked(self) -> bool:
        assert self._aws is not None
        return "pricing" in self._aws._clients

    @property
    def calls(self) -> int:
        assert self._aws is not None
        return len(self._aws.calls)


@pytest.fixture(scope="module")
def clients() -> Clients:
    cloud, session, made = Cloud(), wire.isolated_session(REGION), dict[str, Any]()

    def client(service: str) -> Any:
        if service not in made:
            made[service] = wire.plug(session.client(service, **wire.client_options()), cloud)
        return made[service]

    cloud.reset()
    return client


@pytest.fixture
def shop(clients: Clients, tmp_path: Path) -> Shop:
    return Shop(tmp_path, clients)


def denied(service: str) -> Any:
    denying: Any = Denying()
    return wire.plug(wire.isolated_session(REGION).client(service, **wire.client_options()), denying)


def unreachable(*_: Any) -> Aws:
    raise AwsError("sts.get_caller_identity", "NoCredentials", "Unable to locate credentials", Verdict.FATAL)


# What is asked, and when


def test_a_plan_in_the_embedded_cloud_takes_the_recorded_prices(shop: Shop) -> None:
    told = shop.told("plan", "dev")["cost"]
    assert told["prices"]["kind"] == "recorded"
    assert not shop.prices_asked
    assert not shop.states.exists()


def test_a_plan_on_aws_asks_the_price_list_once_a_week(shop: Shop) -> None:
    assert shop.told("plan", "dev", "--target", "aws")["cost"]["prices"]["kind"] == "api"
    assert [path.name for path in shop.states.iterdir()] == ["prices.json"]
    assert shop.told("plan", "dev", "--target", "aws")["cost"]["prices"]["kind"] == "cache"
    assert not shop.prices_asked


def test_who_may_not_read_prices_has_a_plan_with_a_line_more(shop: Shop, clients: Clients) -> None:
    shop.clients = lambda service: denied(service) if service == "pricing" else clients(service)
    result = shop.run("plan", "dev", "--target", "aws")
    assert result.exit_code == 0
    assert "AccessDeniedException): grant this identity pricing:GetProducts)" in " ".join(result.stdout.split())
    assert shop.told("plan", "dev", "--target", "aws")["cost"]["ceiling"] == 88.0


def test_a_plan_says_what_it_costs_to_people_and_to_scripts(shop: Shop) -> None:
    assert "  in total                                                      0.40       88.00" in (
        shop.run("plan", "dev").stdout.splitlines()
    )
    told = shop.told("plan", "dev")["cost"]
    assert {
        key: told[key] for key in ("currency", "region", "floor", "ceiling", "fixed", "now", "change", "budget")
    } == {
        "currency": "USD",
        "region": "us-east-1",
        "floor": 0.4,
        "ceiling": 88.0,
        "fixed": 0.4,
        "now": {"floor": 0.0, "ceiling": 0.0},
        "change": {
            "floor": 0.4,
            "ceiling": 88.0,
            "steps": [
                {"step": "cluster", "floor": 0.4, "ceiling": 0.4},
                {"step": "cluster-1", "floor": 0.0, "ceiling": 87.6},
            ],
        },
        "budget": None,
    }
    assert told["lines"][-1] == {
        "step": "cluster-1",
        "item": "acu-hour",
        "price": 0.12,
        "per": "hour",
        "floor": 0.0,
        "ceiling": 87.6,
    }
    assert told["rates"][-1] == {"step": "bucket", "item": "s3-gb", "price": 0.023, "per": "GB in the bucket a month"}


# The budget


@pytest.mark.parametrize("verb", ["plan", "provision"])
@pytest.mark.parametrize("target", ["local", "aws"])
def test_what_costs_more_than_the_budget_even_idle_is_refused(shop: Shop, verb: str, target: str) -> None:
    shop.allow("staging", 124.49)
    yes = ["--yes"] if verb == "provision" else []
    result = shop.run(verb, "staging", "--target", target, *yes)
    assert result.exit_code == 3
    assert re.search(r"staging\.toml:\d+: budget: it costs at least 124\.50 dollars a month, and the", result.stderr)
    assert "write budget = 125" in result.stderr
    assert shop.calls == 0
    assert shop.prices_asked == (target == "aws")


def test_a_refusal_for_its_price_is_one_of_all_that_a_script_reads(shop: Shop) -> None:
    shop.allow("prod", 50)
    refused = shop.run("plan", "prod", "--json")
    assert refused.exit_code == 3
    [told] = json.loads(refused.stdout)["refusals"]
    assert told["where"] == "budget"
    assert json.loads(refused.stdout)["cost"]["budget"] == 50


def test_what_can_come_to_cost_more_is_warned_of_and_done(shop: Shop) -> None:
    shop.allow("dev", 50)
    for verb in ("plan", "provision"):
        result = shop.run(verb, "dev")
        assert result.exit_code == 0
        [warning] = [line for line in result.stdout.splitlines() if line.startswith("warning: ")]
        assert re.match(r"warning: \S+dev\.toml:\d+: budget: it can cost up to 88\.00 dollars a month", warning)
    assert shop.run("plan", "dev", "--strict").exit_code == 3
    assert shop.run("teardown", "dev", "--yes").exit_code == 0


def test_a_run_that_shows_no_price_and_needs_none_asks_for_none(shop: Shop) -> None:
    for arguments in (["provision", "dev"], ["teardown", "dev"]):
        assert shop.run(*arguments, "--target", "aws", "--yes").exit_code == 0
        assert not shop.prices_asked


# The comparison


def test_a_comparison_touches_nothing(shop: Shop) -> None:
    result = shop.run("cost", "dev", "prod", connect=unreachable)
    assert result.exit_code == 0
    assert "in total, at most" in result.stdout
    assert not shop.states.exists()


def test_a_comparison_without_names_is_of_all_environments(shop: Shop) -> None:
    told = shop.told("cost")["environments"]
    assert [each["environment"] for each in told] == ["dev", "prod", "staging"]
    assert [(each["floor"], each["ceiling"]) for each in told] == [(0.4, 88.0), (249.6, 2877.6), (124.5, 387.3)]
    assert told[0]["fixed_classes"] == [
        {"class": "db.t4g.medium", "floor": 53.69, "ceiling": 53.69},
        {"class": "db.r6g.large", "floor": 190.2, "ceiling": 190.2},
    ]


def test_a_comparison_asks_each_region_of_aws_and_keeps_what_it_says(shop: Shop) -> None:
    shop.edit("prod", 'region = "us-east-1"', 'region = "eu-west-1"')
    told = shop.told("cost", "dev", "prod", "--target", "aws")["environments"]
    assert [(each["region"], each["prices"]["kind"]) for each in told] == [("us-east-1", "api"), ("eu-west-1", "api")]
    again = shop.told("cost", "dev", "prod", "--target", "aws")["environments"]
    assert [each["prices"]["kind"] for each in again] == ["cache", "cache"]
    assert shop.calls == 0


def test_a_comparison_on_aws_out_of_reach_takes_the_recorded_prices(shop: Shop) -> None:
    result = shop.run("cost", "dev", "--target", "aws", connect=unreachable)
    assert result.exit_code == 0
    assert "(NoCredentials): check the AWS credentials" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "there is no nowhere.toml"),
        (["dev", "Prod"], "did you mean prod?"),
        (["dev", "--colour"], "No such option"),
    ],
)
def test_a_comparison_of_what_is_not_there_is_wrong_usage(shop: Shop, arguments: list[str], told: str) -> None:
    result = shop.run("cost", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_comparison_of_no_environment_says_how_to_begin(shop: Shop) -> None:
    shutil.rmtree(shop.environments)
    result = shop.run("cost")
    assert result.exit_code == 2
    assert "provisioner environments --write" in result.stderr
