"""What steps cost, as golden text and exact sums: as drawn, as found in AWS, against a budget and side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner import bill, prices
from provisioner.bill import Estimate
from provisioner.config import load
from provisioner.cost import Cost, changed, cost, standing, wanted, with_class, within
from provisioner.kit import Stack, Step, Unknown
from provisioner.session import drafted
from provisioner.terms import MONTH, Quantity
from steps.cluster import Cluster
from steps.db_instance import DbInstance
from tests.golden import assert_golden
from tests.world import ENVIRONMENTS, World
from tests.world import standing as built

PRICES = prices.of_record("us-east-1", [*prices.usual(), *prices.classes()])
THREE = ("dev", "staging", "prod")
README = Path(__file__).parent.parent / "README.md"


def steps(environment: str, **tables: Any) -> list[Step]:
    """Draw an environment, with changes as ``World.change`` takes them."""
    settings = load(ENVIRONMENTS, environment)
    document = settings.model_dump(exclude_unset=True)
    for table, keys in tables.items():
        document[table] = {**(document.get(table) or {}), **keys} if isinstance(keys, dict) else keys
    return drafted(type(settings).model_validate(document))


def priced(environment: str, **tables: Any) -> Cost:
    return cost(steps(environment, **tables), PRICES)


def both(world: World) -> tuple[Cost, Cost]:
    """Look, and price what stands and what is wanted."""
    sight = world.look()
    return cost(standing(sight), PRICES), cost(wanted(sight), PRICES)


def range_of(priced: Cost) -> tuple[float, float]:
    return round(priced.floor, 2), round(priced.ceiling, 2)


# Quantities


def test_the_steps_that_are_paid_for_and_what_for() -> None:
    used = {step.kind: [each.item for each in step.costs()] for step in steps("prod", database={"kms_key": "alias/x"})}
    assert {kind: items for kind, items in used.items() if items} == {
        "Key": ["kms-key"],
        "ElasticIp": ["public-ipv4-hour"],
        "NatGateway": ["nat-gateway-hour", "nat-gateway-gb"],
        "VpcEndpoint": ["gateway-endpoint"],
        "LogGroup": ["log-gb", "log-storage-gb"],
        "Cluster": ["secret", "aurora-gb", "aurora-io", "aurora-backup-gb", "kms-key"],
        "DbInstance": ["acu-hour"],
        "BackupPlan": ["aurora-backup-gb"],
        "LogBucket": ["s3-gb"],
        "Bucket": ["s3-gb"],
    }


def test_a_log_is_paid_for_by_what_is_written_and_by_what_is_kept() -> None:
    used = {step.kind: [each.item for each in step.costs()] for step in steps("dev", security={"flow_logs": True})}
    assert used["LogGroup"] == ["log-gb", "log-storage-gb"]
    assert not used["FlowLog"] + used["Role"]


def test_a_day_of_backups_is_free_and_a_key_of_aws_too() -> None:
    [cluster] = [step for step in steps("dev") if isinstance(step, Cluster)]
    assert [each.item for each in cluster.costs()] == ["secret", "aurora-gb", "aurora-io"]


@pytest.mark.parametrize(
    ("changes", "quantities"),
    [
        ({}, [Quantity("acu-hour", 0.0, MONTH)]),
        ({"min_acu": 0.5, "max_acu": 4.0}, [Quantity("acu-hour", 0.5 * MONTH, 4 * MONTH)]),
        ({"running": False}, []),
        ({"min_acu": None, "max_acu": None}, []),
    ],
)
def test_an_instance_is_paid_for_by_its_clusters_range_while_that_runs(
    changes: dict[str, Any], quantities: list[Quantity]
) -> None:
    drawn = steps("dev")
    [cluster] = [step for step in drawn if isinstance(step, Cluster)]
    [instance] = [step for step in drawn if isinstance(step, DbInstance)]
    assert list(replace(instance, cluster=replace(cluster, **changes)).costs()) == quantities


def test_an_instance_of_which_only_the_id_of_its_cluster_is_known_says_nothing() -> None:
    instance = DbInstance(name="i", stack=Stack(project="a", environment="b"), cluster=Unknown("cluster"), zone="a")
    assert list(instance.costs()) == []


# Sums


@pytest.mark.parametrize("environment", THREE)
def test_what_a_new_stack_will_cost(environment: str) -> None:
    told = bill.plan_lines(Estimate(prices=PRICES, now=Cost(), then=priced(environment)))
    assert max(map(len, told)) <= 80
    assert_golden(f"cost-{environment}.txt", "\n".join(told) + "\n")


def test_a_gateway_more_is_36_50_more() -> None:
    now, then = priced("dev"), priced("dev", network={"nat": "single"})
    assert changed(now, then) == [("nat-address-1", 3.65, 3.65), ("nat-1", 32.85, 32.85)]
    told = bill.plan_lines(Estimate(prices=PRICES, now=now, then=then, budget=100))
    assert [re.sub(" +", " ", line) for line in told[6:13]] == [
        " in total 36.90 124.50",
        " of it fixed 36.90 36.90",
        " now 0.40 88.00",
        " change +36.50 +36.50",
        " nat-address-1 +3.65 +3.65",
        " nat-1 +32.85 +32.85",
        " budget 100.00",
    ]


def test_a_step_that_leaves_is_money_back() -> None:
    assert changed(priced("prod"), priced("prod", network={"nat": "single"})) == [
        ("nat-address-2", -3.65, -3.65),
        ("nat-2", -32.85, -32.85),
    ]


def test_a_stack_that_stays_as_it_is_tells_no_change() -> None:
    told = bill.plan_lines(Estimate(prices=PRICES, now=priced("dev"), then=priced("dev")))
    assert not [line for line in told if "change" in line]


def test_what_has_no_price_is_named_and_in_no_sum() -> None:
    dear = cost(with_class(steps("dev"), "db.x9.mighty"), PRICES)
    assert range_of(dear) == (0.4, 0.4)
    told = bill.plan_lines(Estimate(prices=PRICES, now=Cost(), then=dear))
    assert "No price is known of, and in no sum above: db.x9.mighty (cluster-1)" in told


def test_a_stack_that_costs_nothing_says_so() -> None:
    empty = bill.plan_lines(Estimate(prices=PRICES, now=Cost(), then=Cost()))
    assert [re.sub(" +", " ", line) for line in empty[1:3]] == [" in total 0.00 0.00", " of it fixed 0.00 0.00"]


# What stands, by the facts of AWS


def test_an_absent_stack_costs_nothing_now(tmp_path: Path) -> None:
    now, then = both(World(tmp_path))
    assert (range_of(now), range_of(then)) == ((0.0, 0.0), (0.4, 88.0))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_settled_stack_costs_what_its_file_says(tmp_path: Path, environment: str) -> None:
    now, then = both(built(tmp_path, environment))
    assert range_of(now) == range_of(then) == range_of(priced(environment))
    assert changed(now, then) == []


def shrink(world: World) -> None:
    world.change(network={"nat": "none"}, database={"instances": 1})


def scaled(world: World) -> None:
    scaling = {"MinCapacity": 4.0, "MaxCapacity": 32.0}
    world.client("rds").modify_db_cluster(
        DBClusterIdentifier="acme-prod-cluster", ServerlessV2ScalingConfiguration=scaling, ApplyImmediately=True
    )


def stopped(world: World) -> None:
    world.client("rds").stop_db_cluster(DBClusterIdentifier="acme-prod-cluster")


def of_fixed_class(world: World) -> None:
    world.client("rds").modify_db_instance(
        DBInstanceIdentifier="acme-prod-cluster-1", DBInstanceClass="db.r6g.large", ApplyImmediately=True
    )


def forgotten(world: World) -> None:
    shrink(world)
    world.lose_state()


@pytest.mark.parametrize(
    ("happened", "now", "then"),
    [
        (shrink, (249.6, 2877.6), (89.0, 1403.0)),
        (forgotten, (249.6, 2877.6), (89.0, 1403.0)),
        (scaled, (775.2, 5680.8), (249.6, 2877.6)),
        (stopped, (74.4, 74.4), (249.6, 2877.6)),
        (of_fixed_class, (351.8, 1665.8), (249.6, 2877.6)),
    ],
)
def test_what_stands_is_priced_by_what_aws_says_of_it(
    tmp_path: Path, happened: Callable[[World], None], now: tuple[float, float], then: tuple[float, float]
) -> None:
    world = built(tmp_path, "prod")
    happened(world)
    assert tuple(map(range_of, both(world))) == (now, then)


# The budget


@pytest.mark.parametrize(
    ("budget", "refused", "warned"),
    [
        (None, [], []),
        (387.3, [], []),
        (
            200,
            [],
            [
                "budget: it can cost up to 387.30 dollars a month, and the budget is 200.00; make it cheaper "
                "(database.max_acu and database.instances: 350.40; network.nat: 36.50), or write budget = 388"
            ],
        ),
        (124.5, [], ["387.30"]),
        (
            124.49,
            [
                "budget: it costs at least 124.50 dollars a month, and the budget is 124.49; make it cheaper "
                "(database.min_acu and database.instances: 87.60; network.nat: 36.50), or write budget = 125"
            ],
            [],
        ),
        (0, ["124.50"], []),
    ],
)
def test_a_budget_refuses_what_is_above_it_even_idle_and_warns_of_what_may_get_there(
    budget: float | None, refused: list[str], warned: list[str]
) -> None:
    told = list(within(budget, priced("staging")))
    for severity, expected in (("refusal", refused), ("warning", warned)):
        said = [each for each in told if each.severity == severity]
        assert len(said) == len(expected)
        assert all(part in str(each) for each, part in zip(said, expected, strict=True))


def test_a_budget_that_nothing_in_the_file_can_meet_names_no_key() -> None:
    [refusal] = within(0.1, priced("dev"))
    assert refusal.remedy == "write budget = 1"


# Side by side


def compared(*environments: str, region: str = "us-east-1") -> list[bill.Compared]:
    priced = prices.of_record(region, [*prices.usual(), *prices.classes()])
    return [bill.compare(each, steps(each), priced) for each in environments]


def test_environments_side_by_side() -> None:
    told = bill.comparison_text(compared(*THREE))
    assert max(map(len, told.splitlines())) <= 80
    assert_golden("cost-compared.txt", told + "\n")


def test_more_environments_than_fit_go_into_tables_below_each_other() -> None:
    many = compared("dev", "staging", "prod", "dev", "staging", "prod")
    told = bill.comparison_text([replace(each, environment=f"{each.environment}{at}") for at, each in enumerate(many)])
    assert max(map(len, told.splitlines())) <= 80
    heads = [line.split()[3:] for line in told.splitlines() if line.startswith("Dollars a month")]
    assert heads == [["dev0", "staging1", "prod2", "dev3"], ["staging4", "prod5"]]


def test_every_region_compared_has_its_prices_named_once() -> None:
    told = bill.comparison_text([*compared("dev", "prod"), *compared("staging", region="eu-west-1")])
    assert told.count("Prices of us-east-1:") == told.count("Prices of eu-west-1:") == 1
    assert "2.04 ACU than db.r6g.large (eu-west-1;" in told


def test_an_environment_without_a_database_has_no_class_to_compare() -> None:
    [bare] = [bill.compare("bare", steps("dev", database=None), PRICES)]
    assert bare.fixed == {}
    assert "db.r6g.large" not in bill.comparison_text([bare])
    row = re.search(r"^db.r6g.large .*", bill.comparison_text([bare, *compared("dev")]), re.MULTILINE)
    assert row is not None
    assert row[0].split()[-2:] == ["-", "190.20"]


def test_a_class_costs_what_its_hours_cost_whatever_the_load() -> None:
    [dev] = compared("dev")
    assert {name: range_of(cost) for name, cost in dev.fixed.items()} == {
        "db.t4g.medium": (53.69, 53.69),
        "db.r6g.large": (190.2, 190.2),
    }


# What texts say of money


@pytest.mark.parametrize("environment", THREE)
def test_the_comments_of_an_environment_name_the_prices_that_are_computed(environment: str) -> None:
    text = (ENVIRONMENTS / f"{environment}.toml").read_text()
    comments = " ".join(re.findall(r"#(.*)", text))
    has = priced(environment)
    gateway = PRICES.items["nat-gateway-hour"].amount + PRICES.items["public-ipv4-hour"].amount
    figures = {*(each.amount for each in PRICES.items.values()), gateway * MONTH}
    figures |= {PRICES.items["acu-hour"].amount * MONTH}
    figures |= {end for line in has.lines for end in (line.floor, line.ceiling)}
    told = {float(figure) for figure in re.findall(r"(?<![\w.])\d+\.\d\d+(?![\w.]*\d)", comments)}
    assert len(told) >= 4
    assert told <= {round(figure, 3) for figure in figures}
    if about := re.search(r"Idle: about (\d+) dollars a month", comments):
        assert int(about[1]) == 5 * round(has.floor / 5)


def test_the_readme_shows_what_the_commands_print() -> None:
    page = README.read_text()
    assert bill.comparison_text(compared(*THREE)) in page
