"""The table of contents of every environment, as agreed text: steps, their fields, and who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from provisioner import graph
from provisioner.blueprint import blueprint
from provisioner.config import load
from provisioner.kit import Stack, Step, needs
from provisioner.settings import Settings
from provisioner.survey import Choices
from steps import KINDS
from tests.golden import assert_golden
from tests.world import ENVIRONMENTS, REGION

ENVIRONMENT_NAMES = sorted(file.stem for file in ENVIRONMENTS.glob("*.toml"))


def drawn(settings: Settings, **choices: Any) -> list[Step]:
    """Draw a stack in a region that offers three zones, and version 16.6 by default."""
    zones = tuple(f"{REGION}{letter}" for letter in "abc"[: settings.network.zones])
    port = settings.database.port if settings.database else 0
    made: dict[str, Any] = {"zones": zones, "cidr": settings.network.cidr, "version": "16.6", "port": port} | choices
    stack = Stack(project="acme", environment="dev", account="123456789012", region=REGION)
    return blueprint(settings, stack, Choices(**made))


def written(steps: list[Step]) -> str:
    edges = graph.edges(steps)
    return "\n".join(line for step in steps for line in _lines(step, edges)) + "\n"


def _lines(step: Step, edges: graph.Edges) -> Iterator[str]:
    yield " ".join([f"{step.name}: {step.kind}", *(["<", *sorted(edges[step.name])] if edges[step.name] else ())])
    for key, value in step.specification.items():
        named = next(f for f in fields(step) if f.name == key)
        if key != "tags" and value != named.default:
            yield f"    {key} = {_text(value)}"


def _text(value: Any) -> str:
    """Write a saved field for a reader, a reference to a step as ``<name>``."""
    if isinstance(value, dict) and value.keys() == {"step"}:
        return f"<{value['step']}>"
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(each)}" for key, each in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else repr(value)


def by_name(steps: list[Step]) -> dict[str, Any]:
    return {step.name: step for step in steps}


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_an_environment_has_these_steps_and_edges(environment: str) -> None:
    assert_golden(f"blueprint-{environment}.txt", written(drawn(load(ENVIRONMENTS, environment))))


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_every_step_comes_after_what_it_needs_and_is_of_a_known_kind(environment: str) -> None:
    seen: set[str] = set()
    for step in drawn(load(ENVIRONMENTS, environment)):
        assert needs(step) <= seen
        assert KINDS[step.kind] is type(step)
        seen.add(step.name)


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_every_step_carries_the_tags_of_the_file(environment: str) -> None:
    settings = load(ENVIRONMENTS, environment)
    for step in drawn(settings):
        assert step.tags == settings.tags
        assert settings.tags.items() <= step.labels.items()


def test_the_same_settings_draw_the_same_stack() -> None:
    settings = load(ENVIRONMENTS, "prod")
    assert drawn(settings) == drawn(settings)


@pytest.mark.parametrize(
    ("nat", "gateways"), [("none", []), ("single", ["nat-1"]), ("per-zone", ["nat-1", "nat-2", "nat-3"])]
)
def test_a_private_route_table_per_zone_whatever_the_nat(nat: str, gateways: list[str]) -> None:
    steps = by_name(drawn(settings(network={"zones": 3, "nat": nat})))
    tables = [steps[f"private-routes-{slot}"] for slot in (1, 2, 3)]
    assert "private-routes-4" not in steps
    assert [name for name, step in steps.items() if step.kind == "NatGateway"] == gateways
    ways = [table.nat.name for table in tables if table.nat]
    assert ways == (gateways * 3)[:3]
    assert all(table.gateway is None for table in tables)


def test_a_third_zone_moves_no_network_of_the_first_two() -> None:
    two, three = (by_name(drawn(settings(network={"zones": zones}))) for zones in (2, 3))
    subnets = {name: step.cidr for name, step in two.items() if step.kind == "Subnet"}
    assert subnets.items() < {name: step.cidr for name, step in three.items() if step.kind == "Subnet"}.items()
    assert three["public-3"].cidr == "10.0.192.0/19"
    assert three["private-3"].cidr == "10.0.64.0/19"


def test_instances_are_spread_over_the_zones() -> None:
    steps = by_name(drawn(settings(database={"min_acu": 1, "max_acu": 2, "instances": 3})))
    assert [steps[f"cluster-{number}"].zone[-1] for number in (1, 2, 3)] == ["a", "b", "a"]


def test_a_stack_without_database_opens_no_way_to_one() -> None:
    steps = by_name(drawn(settings(), version="", port=0))
    assert not {"database", "database-rules", "cluster", "cluster-subnets"} & steps.keys()
    assert [(rule.direction, rule.port, rule.peer) for rule in steps["app-rules"].rules] == [("out", 443, "0.0.0.0/0")]


def test_a_stack_without_bucket_has_none() -> None:
    assert "bucket" not in by_name(drawn(settings()))
    assert "bucket" in by_name(drawn(settings(bucket={})))


def test_what_the_region_chose_is_in_the_steps() -> None:
    database = {"min_acu": 1, "max_acu": 2, "engine_version": "15"}
    chosen = {"version": "17.4", "port": 6543, "zones": ("us-east-1d", "us-east-1f"), "cidr": "10.9.0.0/16"}
    steps = by_name(drawn(settings(database=database), **chosen))
    assert (steps["cluster"].version, steps["cluster"].port) == ("17.4", 6543)
    assert steps["cluster-parameters-17"].family == "aurora-postgresql17"
    assert [steps[name].zone for name in ("private-1", "public-2")] == ["us-east-1d", "us-east-1f"]
    assert steps["vpc"].cidr == "10.9.0.0/16"
    assert {rule.port for rule in steps["database-rules"].rules} == {6543}


@pytest.mark.parametrize(
    ("named", "implied"),
    [
        ({}, {"database", "port", "master_user", "kms_key", "version", "storage_encrypted"}),
        ({"name": "app", "port": 5432, "engine_version": "16"}, {"master_user", "kms_key", "storage_encrypted"}),
        ({"master_user": "owner", "kms_key": "alias/own"}, {"database", "port", "version", "storage_encrypted"}),
    ],
)
def test_what_the_file_does_not_name_is_implied(named: dict[str, Any], implied: set[str]) -> None:
    steps = by_name(drawn(settings(database={"min_acu": 1, "max_acu": 2, **named})))
    assert steps["cluster"].implied == implied | {"secret_key"}  # which no key of the file is about


@pytest.mark.parametrize(("network", "implied"), [({}, {"cidr"}), ({"cidr": "10.0.0.0/16"}, set())])
def test_a_network_range_that_the_file_does_not_name_is_implied(network: dict[str, Any], implied: set[str]) -> None:
    assert by_name(drawn(settings(network=network)))["vpc"].implied == implied


def settings(**tables: Any) -> Settings:
    return Settings.model_validate({"project": "acme", "region": REGION, "environment": "dev", **tables})
