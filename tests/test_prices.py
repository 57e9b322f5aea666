"""Where prices come from: the record, AWS's price list as the embedded cloud tells it, the cache, and what fails."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from provisioner import prices
from provisioner.aws import Aws
from provisioner.errors import AwsError, Verdict
from provisioner.kit import Call, Stack, Step
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.prices import KEPT, PATIENCE, Prices
from tests.model import validate
from tests.world import VirtualClock

RECORD = prices.recorded()
EVERYTHING = [*prices.usual(), *prices.classes()]
BOUGHT = [item for item in EVERYTHING if "service" in RECORD["items"][item]]
_CLIENT: Any = wire.isolated_session("eu-west-1").client("pricing", **wire.client_options())
wire.plug(_CLIENT, Cloud())


class PriceList:
    """A Reader that counts what it is asked: the embedded cloud's answers, or those of a test."""

    def __init__(self, answer: Callable[[], Sequence[Any]] | None = None) -> None:
        self.answer = answer
        self.asked: list[Mapping[str, Any]] = []
        self._aws = Aws(lambda service: _CLIENT, VirtualClock())

    def items(self, operation: str, /, **params: Any) -> Sequence[Any]:
        validate(Call(operation, **params))
        self.asked.append(params)
        return self.answer() if self.answer else self._aws.view().items(operation, **params)

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        raise NotImplementedError

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        raise NotImplementedError

    def mine(self, operation: str, step: Step, dead: Any = None) -> Mapping[str, Any] | None:
        raise NotImplementedError


def find_out(folder: Path, aws: PriceList | None, region: str = "us-east-1", clock: Any = None) -> Prices:
    return prices.asked(aws, region, EVERYTHING, folder, clock or VirtualClock())()


def refused(code: str) -> Callable[[], Sequence[Any]]:
    def answer() -> Sequence[Any]:
        raise AwsError("pricing.get_products", code, "no", Verdict.FATAL)

    return answer


def product(usage: str, *tiers: tuple[str, str]) -> str:
    dimensions = {at: {"beginRange": at, "pricePerUnit": {"USD": usd}} for at, usd in tiers}
    term = {"OnDemand": {"x": {"priceDimensions": dimensions}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": term})


# The record


def test_every_recorded_price_is_of_a_known_item_and_has_a_source_with_a_date() -> None:
    used = {source for region in RECORD["regions"].values() for _, source in region.values()}
    assert used == RECORD["sources"].keys()
    for source in RECORD["sources"].values():
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", source["date"])
        assert len(source["text"]) > 20
    for region in RECORD["regions"].values():
        assert region.keys() <= RECORD["items"].keys()
        assert all(amount >= 0 for amount, _ in region.values())


def test_the_region_that_stands_in_for_others_has_every_price() -> None:
    assert RECORD["regions"][RECORD["default"]].keys() == RECORD["items"].keys()
    assert {"us-east-1", "eu-west-1", "ap-northeast-2"} <= RECORD["regions"].keys()


def test_a_region_has_its_own_prices() -> None:
    assert [prices.of_record(region, EVERYTHING).items["acu-hour"].amount for region in RECORD["regions"]] == [
        0.12,
        0.14,
        0.2,
        0.18,
    ]


def test_a_price_that_a_region_lacks_is_told_as_of_another() -> None:
    told = prices.of_record("eu-west-1", prices.usual())
    assert told.items["aurora-gb"] == prices.of_record("us-east-1", prices.usual()).items["aurora-gb"]
    assert told.notes == (
        "not recorded for eu-west-1, so as in us-east-1: GB of database a month, million database I/Os, "
        "GB of logs written, GB of logs kept a month",
    )


def test_a_region_without_a_record_says_whose_prices_it_shows() -> None:
    told = prices.of_record("eu-north-1", EVERYTHING)
    assert told.items == prices.of_record("us-east-1", EVERYTHING).items
    assert told.notes == ("no prices are recorded for eu-north-1: these are those of us-east-1",)
    assert told.told == f"eu-north-1: recorded on {RECORD['date']}, each with its source in provisioner/prices.json"


# AWS's price list


@pytest.mark.parametrize("region", RECORD["regions"])
def test_what_aws_tells_is_read_as_it_was_recorded(tmp_path: Path, region: str) -> None:
    told = find_out(tmp_path, PriceList(), region)
    assert (told.source, told.date) == ("api", "2027-01-15")
    assert told.items == prices.of_record(region, EVERYTHING).items
    lacking = [each for each in BOUGHT if each not in RECORD["regions"][region]]
    assert ("not told by AWS" in " ".join(told.notes)) == bool(lacking)


def test_one_question_is_asked_for_all_that_share_their_attributes(tmp_path: Path) -> None:
    aws = PriceList()
    prices.asked(aws, "us-east-1", prices.usual(), tmp_path, VirtualClock())()
    assert len(aws.asked) == 11
    assert all({"regionCode": "us-east-1"}.items() <= filters(each).items() for each in aws.asked)


def filters(asked: Mapping[str, Any]) -> dict[str, str]:
    assert {each["Type"] for each in asked["Filters"]} == {"TERM_MATCH"}
    return {each["Field"]: each["Value"] for each in asked["Filters"]}


def test_the_price_of_the_first_units_that_cost_anything_is_taken(tmp_path: Path) -> None:
    tiers = (("51200", "0.022"), ("0", "0.0000000000"), ("10", "0.023"))
    told = find_out(tmp_path, PriceList(lambda: [product("EU-TimedStorage-ByteHrs", *tiers)]))
    assert told.items["s3-gb"].amount == 0.023


@pytest.mark.parametrize("usage", ["EU-RegionalNatGateway-Hours", "NatGateway-Hours-Prvd", "", "EU-NatGateway-Bytes"])
def test_a_product_of_another_use_is_not_taken_for_it(tmp_path: Path, usage: str) -> None:
    told = find_out(tmp_path, PriceList(lambda: [product(usage, ("0", "9")), product("X-KMS-Keys", ("0", "2"))]))
    assert told.items["nat-gateway-hour"].amount == 0.045
    assert told.items["kms-key"].amount == 2


def test_a_price_in_another_currency_is_none(tmp_path: Path) -> None:
    yuan = product("NatGateway-Hours", ("0", "9")).replace("USD", "CNY")
    told = find_out(tmp_path, PriceList(lambda: [yuan]))
    assert (told.source, told.items["nat-gateway-hour"].amount) == ("recorded", 0.045)
    assert told.notes[0] == "the AWS price list has nothing for us-east-1"


# What goes wrong costs a line, and nothing else


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("AccessDeniedException", "(AccessDeniedException): grant this identity pricing:GetProducts"),
        ("ExpiredTokenException", "(ExpiredTokenException): renew the AWS credentials"),
        ("Unreachable", "(Unreachable): check the network and the endpoint"),
    ],
)
def test_who_may_not_ask_gets_the_recorded_prices_and_is_told_why(tmp_path: Path, code: str, note: str) -> None:
    told = find_out(tmp_path, PriceList(refused(code)))
    assert (told.source, told.items) == ("recorded", prices.of_record("us-east-1", EVERYTHING).items)
    assert told.notes == (f"the AWS price list cannot be asked {note}",)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [["no JSON"], ["{}"], ["[]"], ["null"], [None]])
def test_an_answer_that_cannot_be_read_is_none(tmp_path: Path, answer: list[Any]) -> None:
    told = find_out(tmp_path, PriceList(lambda: answer))
    assert told.source == "recorded"
    assert told.notes[0].startswith("the AWS price list says what cannot be read")


def test_a_price_list_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    clock, answered = VirtualClock(), threading.Event()
    end = prices.asked(PriceList(lambda: [answered.wait()]), "us-east-1", EVERYTHING, tmp_path, clock)
    clock.time += PATIENCE
    told = end()
    answered.set()
    assert end() is told
    assert (told.source, told.notes) == ("recorded", ("the AWS price list did not answer within 5 s",))


# The cache


def test_an_answer_is_kept_for_a_week_and_asked_anew_after_it(tmp_path: Path) -> None:
    clock, aws = VirtualClock(), PriceList()
    first = find_out(tmp_path, aws, clock=clock)
    asked = len(aws.asked)
    clock.time += KEPT - 1
    again = find_out(tmp_path, aws, clock=clock)
    assert (again.source, again.date, again.items) == ("cache", first.date, first.items)
    assert again.told == "us-east-1: told by the AWS price list on 2027-01-15"
    assert len(aws.asked) == asked
    clock.time += 1
    assert find_out(tmp_path, aws, clock=clock).source == "api"
    assert len(aws.asked) == 2 * asked


def test_regions_are_kept_apart_and_what_aws_does_not_have_is_not_asked_again(tmp_path: Path) -> None:
    for region in ("us-east-1", "eu-west-1"):
        find_out(tmp_path, PriceList(), region)
    for region in ("us-east-1", "eu-west-1"):
        aws = PriceList()
        assert find_out(tmp_path, aws, region).items == prices.of_record(region, EVERYTHING).items
        assert aws.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["prices.json"]


def test_what_was_not_asked_yet_is_asked_together_with_the_rest(tmp_path: Path) -> None:
    prices.asked(PriceList(), "us-east-1", prices.usual(), tmp_path, VirtualClock())()
    aws = PriceList()
    assert find_out(tmp_path, aws).source == "api"
    assert len(aws.asked) == 13


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"us-east-1": 3}', '{"us-east-1": {"asked": "soon", "prices": {}}}']
    + ['{"us-east-1": {"asked": "2027-01-15T00:00:00", "prices": {}}}']
    + ['{"us-east-1": {"asked": "2028-01-15T00:00:00+00:00", "prices": {"secret": 1}}}']
    + ['{"us-east-1": {"asked": "2027-01-15T00:00:00+00:00", "prices": {"secret": "dear"}}}'],
)
def test_a_cache_that_cannot_be_used_is_written_anew(tmp_path: Path, content: str) -> None:
    cache = tmp_path / "prices.json"
    cache.write_text(content)
    assert find_out(tmp_path, PriceList()).source == "api"
    assert find_out(tmp_path, PriceList()).source == "cache"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert find_out(tmp_path / "file", PriceList()).source == "api"


# The embedded cloud's side of it


def told_by_the_cloud(**filters: str) -> list[dict[str, Any]]:
    type_ = filters.pop("type", "TERM_MATCH")
    asked = [{"Type": type_, "Field": field, "Value": value} for field, value in filters.items()]
    return [json.loads(each) for each in _CLIENT.get_products(ServiceCode="AmazonEC2", Filters=asked)["PriceList"]]


@pytest.mark.parametrize(
    ("asked", "usages"),
    [
        ({"usagetype": "EU-NatGateway-Hours"}, 1),
        ({"usagetype": "EU-NatGateway-Hours", "type": "EQUALS"}, 1),
        ({"usagetype": "EU-", "type": "CONTAINS"}, 4),
        ({"usagetype": "EU-NatGateway-Hours,NatGateway-Bytes", "type": "ANY_OF"}, 2),
        ({"regionCode": "us-east-1,eu-west-1,ap-south-2", "type": "NONE_OF"}, 4),
        ({"regionCode": "eu-north-1"}, 0),
        ({"colour": "red"}, 0),
    ],
)
def test_the_cloud_filters_products_as_asked(asked: dict[str, str], usages: int) -> None:
    found = told_by_the_cloud(**asked)
    assert len(found) == usages
    assert all(each["serviceCode"] == "AmazonEC2" for each in found)


def test_the_cloud_refuses_what_the_price_list_does_not_know() -> None:
    with pytest.raises(_CLIENT.exceptions.InvalidParameterException):
        told_by_the_cloud(type="LIKE", usagetype="NatGateway")
