"""Which of the three has changed, wish, finding or record: a row for every way in which they may differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from provisioner.changes import Recorded, between
from provisioner.engine import Seen, Sight
from provisioner.kit import Live, Ref, Stack, Step, Unknown, bind
from provisioner.plan import provision
from steps.bucket import Bucket
from steps.security_rules import Rule, SecurityRules

STACK = Stack(project="shop", environment="dev", account="123456789012", region="us-east-1")


@dataclass(frozen=True, kw_only=True)
class Disk(Step):
    """A resource with a field of every shape."""

    size: int = 10
    zones: tuple[str, ...] = ("a", "b")
    owner: Ref[Step] | None = None
    options: dict[str, str] = field(default_factory=lambda: {"cache": "on"})


VPC = Step(name="vpc", stack=STACK)
DISK = Disk(name="disk", stack=STACK, owner=VPC, tags={"team": "web"})
IDS = {"vpc": "vpc-1"}
FACTS = {"size": 10, "zones": ("a", "b"), "owner": "vpc-1", "options": {"cache": "on"}, "tags": DISK.labels}


def recorded(step: Step, **other: Any) -> Recorded:
    return Recorded(id="d-1", fields=step.specification, **other)


def told(wish: Step, facts: dict[str, Any], record: Recorded | None) -> list[str]:
    live = Live("d-1", {**FACTS, **facts})
    return [f"{each.cause}: {each}" for each in between(bind(wish, IDS), live, record, IDS)]


LARGER = replace(DISK, size=20)


@pytest.mark.parametrize(
    ("wish", "facts", "record", "expected"),
    [
        pytest.param(DISK, {}, recorded(DISK), [], id="nothing has changed"),
        pytest.param(LARGER, {}, recorded(DISK), ["file: size 10 -> 20"], id="the file has"),
        pytest.param(DISK, {"size": 5}, recorded(DISK), ["outside: size 10 -> 5"], id="somebody has"),
        pytest.param(
            LARGER, {"size": 5}, recorded(DISK), ["file: size 10 -> 20", "outside: size 10 -> 5"], id="both have"
        ),
        pytest.param(LARGER, {"size": 20}, recorded(DISK), [], id="both have, to the same"),
        pytest.param(DISK, {"size": 5}, None, ["unrecorded: size 5 -> 10"], id="nothing is recorded"),
        pytest.param(DISK, {"size": 5}, Recorded(id="d-1"), ["unrecorded: size 5 -> 10"], id="it was never settled"),
        pytest.param(
            DISK, {"size": 5}, recorded(DISK, finished=False), ["unfinished: size 5 -> 10"], id="a run was interrupted"
        ),
        pytest.param(
            DISK,
            {"size": 5},
            Recorded(fields={key: value for key, value in DISK.specification.items() if key != "size"}),
            ["unrecorded: size 5 -> 10"],
            id="the field is newer than the record",
        ),
        pytest.param(DISK, {"zones": ("a", "c")}, recorded(DISK), ["outside: zones -b +c"], id="members"),
        pytest.param(
            replace(DISK, zones=("a", "b", "c")),
            {},
            recorded(DISK),
            ["file: zones +c"],
            id="a member that the file adds",
        ),
        pytest.param(
            DISK, {"options": {"cache": "off"}}, recorded(DISK), ["outside: options cache on -> off"], id="a key"
        ),
        pytest.param(
            DISK, {"tags": DISK.labels | {"team": "x"}}, recorded(DISK), ["outside: tags team web -> x"], id="a tag"
        ),
        pytest.param(
            DISK,
            {"tags": {key: value for key, value in DISK.labels.items() if key != "team"}},
            recorded(replace(DISK, tags={})),
            ["file: tags team absent -> web"],
            id="a tag that the file adds",
        ),
        pytest.param(DISK, {"owner": "vpc-2"}, recorded(DISK), ["outside: owner vpc-1 -> vpc-2"], id="a reference"),
        pytest.param(
            replace(DISK, owner=None), {}, recorded(DISK), ["file: owner vpc-1 -> none"], id="a reference that left"
        ),
        pytest.param(
            replace(DISK, owner=None),
            {"owner": "net-9"},
            recorded(replace(DISK, owner=Unknown("gone"))),
            ["file: owner <gone> -> none"],
            id="what is gone is nobody's change",
        ),
        pytest.param(
            DISK,
            {"tags": DISK.labels | {"team": "x"}},
            Recorded(fields={"options": 3, "tags": 3}),
            ["unrecorded: tags team x -> web"],
            id="a record of nonsense",
        ),
    ],
)
def test_a_difference_has_its_cause(wish: Step, facts: dict[str, Any], record: Recorded, expected: list[str]) -> None:
    assert told(wish, facts, record) == expected


def test_a_fixed_field_that_the_file_does_not_name_is_no_change() -> None:
    class Settled(Disk):
        fixed = frozenset({"size"})

    wish = Settled(name="disk", stack=STACK, implied=frozenset({"size"}))
    assert between(wish, Live("d-1", {"size": 5}), recorded(wish)) == ()


BUCKET = Bucket(name="bucket", stack=STACK)


def test_what_is_made_of_other_fields_is_told_by_those_where_the_file_changed_and_as_found_elsewhere() -> None:
    live = Live(BUCKET.label, {"lifecycle": BUCKET.lifecycle})
    record = recorded(BUCKET)
    (file,) = between(replace(BUCKET, noncurrent_days=90), live, record)
    assert str(file) == "noncurrent_days 30 -> 90"
    other = Live(BUCKET.label, {"lifecycle": replace(BUCKET, noncurrent_days=7).lifecycle})
    (outside,) = between(BUCKET, other, record)
    assert str(outside) == "lifecycle 0.NoncurrentVersionExpiration.NoncurrentDays 30 -> 7"
    assert (outside.cause, outside.old, outside.new) == ("outside", 30, 7)


def test_a_rule_is_told_in_words_and_given_to_scripts_in_parts() -> None:
    ours, theirs = Rule("out", 443, "0.0.0.0/0"), Rule("in", 22, "10.0.0.0/8")
    step = SecurityRules(name="app-rules", stack=STACK, group=Unknown("app"), rules=(ours,))
    live = Live("sg-1", {"group": "sg-1", "rules": (ours, theirs)})
    (change,) = between(bind(step, {"app": "sg-1"}), live, recorded(step), {"app": "sg-1"})
    assert str(change) == "rules +tcp 22 from 10.0.0.0/8"
    document = change.as_json()
    assert document["cause"] == "outside"
    assert [each["port"] for each in document["new"]] == [443, 22]


@pytest.mark.parametrize(
    ("live", "record", "causes", "told"),
    [
        (None, None, ("new",), []),
        (None, Recorded(id="d-1"), ("new",), []),
        (None, recorded(DISK), ("outside",), ["id d-1 -> none"]),
        (None, recorded(DISK, finished=False), ("unfinished",), ["id d-1 -> none"]),
        (Live("d-1", FACTS), recorded(DISK), (), []),
        (Live("d-1", {"size": 5}), recorded(DISK), ("outside",), ["size 10 -> 5"]),
        (Live("d-1", FACTS, broken="out of order"), recorded(DISK), ("broken",), []),
        (Live("d-1", FACTS, busy="creating"), recorded(DISK), (), []),
    ],
)
def test_a_step_is_planned_with_its_causes(
    live: Live | None, record: Recorded | None, causes: tuple[str, ...], told: list[str]
) -> None:
    class Drive(Disk):
        def provision(self, live: Live | None) -> Any:
            yield from ["any call"] if live is None or self.differences(live) else []

        def teardown(self, live: Live) -> Any:
            yield from ()

    step = Drive(name="disk", stack=STACK, owner="vpc-1", tags=DISK.tags)
    sight = Sight(
        wishes={"disk": step},
        seen={"disk": Seen(step=step, live=live and replace(live, facts={**live.facts, "tags": step.labels}))},
        needs={"disk": frozenset()},
    )
    sight = replace(sight, seen={"disk": replace(sight.seen["disk"], recorded=record)})
    (planned,) = provision(sight)
    assert planned.causes == causes
    assert list(map(str, planned.changes)) == told
