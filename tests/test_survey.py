"""What the environment file leaves to the region: what stands decides, then what is remembered, then the region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner import survey
from provisioner.kit import Call, Stack, Step, tags_of
from provisioner.settings import Settings
from provisioner.survey import Choices, Identity
from tests.model import validate
from tests.world import REGION, Inline

STACK = Stack(project="acme", environment="dev", region=REGION)
DATABASE = {"min_acu": 1, "max_acu": 2}


def zone(letter: str, kind: str = "availability-zone", state: str = "available") -> dict[str, str]:
    return {"ZoneName": f"{REGION}{letter}", "ZoneType": kind, "State": state}


@dataclass(frozen=True)
class Region:
    """A region as it answers: what it offers, and what stands there."""

    zones: Sequence[Mapping[str, str]] = (zone("c"), zone("a"), zone("b"))
    versions: Sequence[str] = ("15.4", "16.6", "16.10", "16.9", "17.4")
    default: str = "16.9"
    serverless: Sequence[str] = tuple(f"{REGION}{letter}" for letter in "abcd")
    """Where the default version can be serverless."""
    standing: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        self._heard(operation, params)
        return {"Account": "123456789012", "Arn": "arn:aws-cn:iam::123456789012:user/me"}

    def items(self, operation: str, /, **params: Any) -> Sequence[Mapping[str, Any]]:
        self._heard(operation, params)
        if operation == "ec2.describe_availability_zones":
            wanted = {each["Name"]: each["Values"] for each in params["Filters"]}
            named = {"zone-type": "ZoneType", "state": "State"}
            return [each for each in self.zones if all(each[named[key]] in values for key, values in wanted.items())]
        if operation == "rds.describe_orderable_db_instance_options":
            return [{"EngineVersion": self.default, "AvailabilityZones": [{"Name": each} for each in self.serverless]}]
        offered = [self.default] if params.get("DefaultOnly") else self.versions
        capacity = {"MinCapacity": 0.5, "MaxCapacity": 256.0}
        return [{"EngineVersion": version, "ServerlessV2FeaturesSupport": capacity} for version in offered]

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        self._heard(operation, {})
        return [item for item in self.standing.get(operation, ()) if stack.owns(tags_of(item))]

    def mine(self, operation: str, step: Step, dead: Any = None) -> Mapping[str, Any] | None:
        raise NotImplementedError

    def _heard(self, operation: str, params: Mapping[str, Any]) -> None:
        validate(Call(operation, **params))
        self.asked.append(operation)


def built(step: str, stack: Stack = STACK, **facts: Any) -> dict[str, Any]:
    tags = stack.identity | {"provisioner:step": step}
    return facts | {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def subnets(*zones: str, stack: Stack = STACK, side: str = "private") -> dict[str, Any]:
    listed = [built(f"{side}-{slot}", stack, AvailabilityZone=REGION + zone) for slot, zone in enumerate(zones, 1)]
    return {"ec2.describe_subnets": listed}


def cluster(version: str, port: int = 5432) -> dict[str, Any]:
    return {"rds.describe_db_clusters": [built("cluster", EngineVersion=version, Port=port)]}


def chosen(region: Region, remembered: Mapping[str, Mapping[str, Any]] | None = None, **tables: Any) -> Choices:
    settings = Settings.model_validate({"project": "acme", "region": REGION, "environment": "dev", **tables})
    return survey.choose(settings, STACK, region, lambda step: (remembered or {}).get(step, {}), Inline())


def letters(choices: Choices) -> str:
    return "".join(zone.removeprefix(REGION) for zone in choices.zones)


REMEMBERED = {"private-1": {"zone": f"{REGION}c"}, "private-2": {"zone": f"{REGION}a"}}


@pytest.mark.parametrize(
    ("standing", "remembered", "zones"),
    [
        pytest.param({}, {}, "ab", id="a new stack takes the first zones in order of their names"),
        pytest.param({}, REMEMBERED, "ca", id="what is remembered comes before the region"),
        pytest.param(subnets("b", "c"), {}, "bc", id="what stands comes before the region"),
        pytest.param(subnets("b", "c"), REMEMBERED, "bc", id="what stands comes before what is remembered"),
        pytest.param(subnets("b"), REMEMBERED, "ba", id="every slot is decided for itself"),
        pytest.param(subnets("b"), {}, "ba", id="a slot without a zone takes one that no other slot has"),
        pytest.param(subnets("a"), {}, "ab", id="a slot that was added leaves the first one where it is"),
        pytest.param(subnets("b", "c", side="public"), {}, "bc", id="either subnet of a slot tells its zone"),
        pytest.param(subnets("d", "e"), {}, "de", id="a zone that is not offered any more is kept"),
        pytest.param(
            subnets("c", "b", stack=Stack(project="acme", environment="prod", region=REGION)),
            {},
            "ab",
            id="what stands in another stack decides nothing",
        ),
    ],
)
def test_a_slot_keeps_its_zone(standing: dict[str, Any], remembered: dict[str, Any], zones: str) -> None:
    assert letters(chosen(Region(standing=standing), remembered)) == zones


def test_three_zones_are_given_where_three_are_wanted() -> None:
    assert letters(chosen(Region(), network={"zones": 3})) == "abc"


def test_a_network_that_shrinks_keeps_the_zones_of_its_first_slots() -> None:
    assert letters(chosen(Region(standing=subnets("c", "b", "a")))) == "cb"


def test_zones_of_other_types_and_those_out_of_service_do_not_count() -> None:
    zones = [zone("-lax-1a", "local-zone"), zone("-wl1-bos-1", "wavelength-zone"), zone("a", state="impaired")]
    assert letters(chosen(Region(zones=[*zones, zone("b"), zone("c")]))) == "bc"


@pytest.mark.parametrize(
    ("offered", "wanted", "remedy"),
    [(2, 3, "write 2, or another region"), (1, 2, "write another region"), (0, 2, "write another region")],
)
def test_a_region_with_too_few_zones_is_objected_to_with_what_to_write(offered: int, wanted: int, remedy: str) -> None:
    region = Region(zones=[zone("a"), zone("b")][:offered] + [zone("-lax-1a", "local-zone")])
    (objection,) = chosen(region, network={"zones": wanted}).objections
    assert objection.where == "network.zones"
    assert (objection.what, objection.remedy) == (f"{REGION} offers {offered} availability zones", remedy)


def test_zones_that_stand_are_enough_though_the_region_offers_no_more() -> None:
    assert letters(chosen(Region(zones=[zone("a")], standing=subnets("a", "b")))) == "ab"


@pytest.mark.parametrize(
    ("network", "standing", "remembered", "cidr"),
    [
        pytest.param({}, "", {}, "10.0.0.0/16", id="a new network takes the default"),
        pytest.param({}, "", {"vpc": {"cidr": "10.7.0.0/16"}}, "10.7.0.0/16", id="what is remembered comes first"),
        pytest.param({}, "10.8.0.0/16", {"vpc": {"cidr": "10.7.0.0/16"}}, "10.8.0.0/16", id="what stands before that"),
        pytest.param(
            {"cidr": "10.9.0.0/16"}, "10.8.0.0/16", {}, "10.9.0.0/16", id="what the file names is not overruled"
        ),
    ],
)
def test_a_network_range_that_the_file_does_not_name_is_kept(
    network: dict[str, Any], standing: str, remembered: dict[str, Any], cidr: str
) -> None:
    there = {"ec2.describe_vpcs": [built("vpc", CidrBlock=standing)]} if standing else {}
    assert chosen(Region(standing=there), remembered, network=network).cidr == cidr


@pytest.mark.parametrize(
    ("wanted", "running", "version"),
    [
        pytest.param(None, None, "16.9", id="nothing said: AWS's default"),
        pytest.param(None, "15.2", "15.2", id="nothing said: whatever runs"),
        pytest.param("16", None, "16.10", id="a major: its newest, 16.10 after 16.9"),
        pytest.param("16", "16.3", "16.3", id="a major: whatever runs of it"),
        pytest.param("16", "17.1", "17.1", id="a major: a newer one is never taken back"),
        pytest.param("16", "15.4", "16.10", id="a newer major: its newest"),
        pytest.param("16.7", None, "16.7", id="a minimum: itself where nothing runs, offered or not"),
        pytest.param("14", None, "14", id="a major: as it is named where none is offered"),
        pytest.param("16.6", None, "16.6", id="a minimum: itself where it is offered"),
        pytest.param("16.6", "16.6", "16.6", id="a minimum: exactly that runs"),
        pytest.param("16.6", "16.10", "16.10", id="a minimum: what AWS upgraded to"),
        pytest.param("16.6", "16.11", "16.11", id="a minimum: what runs though it is not offered"),
        pytest.param("16.10", "16.9", "16.10", id="a minimum: 16.9 is not enough for 16.10"),
        pytest.param("16.6", "17.4", "17.4", id="a minimum: a newer major is never taken back"),
    ],
)
def test_a_version_is_chosen(wanted: str | None, running: str | None, version: str) -> None:
    named = {"engine_version": wanted} if wanted else {}
    region = Region(standing=cluster(running) if running else {})
    assert chosen(region, database=DATABASE | named).version == version
    remembered = {"cluster": {"version": running, "port": 5432}} if running else {}
    assert chosen(Region(), remembered, database=DATABASE | named).version == version


def test_the_version_that_runs_comes_before_the_one_remembered() -> None:
    remembered = {"cluster": {"version": "15.4"}}
    assert chosen(Region(standing=cluster("16.6")), remembered, database=DATABASE).version == "16.6"


@pytest.mark.parametrize(
    ("named", "standing", "remembered", "port"),
    [
        pytest.param({}, {}, {}, 5432, id="a new cluster takes the default"),
        pytest.param({}, {}, {"cluster": {"port": 6000}}, 6000, id="what is remembered comes first"),
        pytest.param({}, cluster("16.6", 7000), {"cluster": {"port": 6000}}, 7000, id="what stands before that"),
        pytest.param({"port": 8000}, cluster("16.6", 7000), {}, 8000, id="what the file names is not overruled"),
    ],
)
def test_a_port_that_the_file_does_not_name_is_kept(
    named: dict[str, Any], standing: dict[str, Any], remembered: dict[str, Any], port: int
) -> None:
    assert chosen(Region(standing=standing), remembered, database=DATABASE | named).port == port


def test_a_stack_without_database_asks_for_no_version() -> None:
    region = Region()
    choices = chosen(region)
    assert (choices.version, choices.port) == ("", 0)
    assert "rds.describe_db_engine_versions" not in region.asked


def test_what_is_remembered_spares_the_questions_what_is_offered() -> None:
    region = Region(standing=cluster("16.6"))
    chosen(region, {"cluster": {"version": "16.6", "port": 5432}}, database=DATABASE)
    assert "rds.describe_db_engine_versions" not in region.asked
    assert "rds.describe_orderable_db_instance_options" not in region.asked


def test_who_we_are_is_told_with_the_partition() -> None:
    arn = "arn:aws-cn:iam::123456789012:user/me"
    assert survey.identify(Region()) == Identity(account="123456789012", partition="aws-cn", arn=arn)


@pytest.mark.parametrize(
    ("older", "newer"), [("16.9", "16.10"), ("16", "16.1"), ("9.6.22", "10.0"), ("16.6", "16.6.1")]
)
def test_versions_are_compared_as_numbers(older: str, newer: str) -> None:
    assert survey.numbers(older) < survey.numbers(newer)


@pytest.mark.parametrize(
    ("serverless", "zones"),
    [("abc", "ab"), ("bc", "bc"), ("c", "ca"), ("", "ab")],
)
def test_a_new_stack_takes_first_the_zones_in_which_its_database_can_run(serverless: str, zones: str) -> None:
    region = Region(serverless=[f"{REGION}{letter}" for letter in serverless])
    assert letters(chosen(region, database=DATABASE)) == zones
    assert letters(chosen(region)) == "ab"


def test_what_stands_keeps_its_zones_though_the_database_can_run_elsewhere() -> None:
    region = Region(serverless=[f"{REGION}c"], standing=subnets("a", "b"))
    assert letters(chosen(region, database=DATABASE)) == "ab"
