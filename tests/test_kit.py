"""The vocabulary: what a step needs, wants and finds, how it is saved and restored, and calls as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from provisioner.blueprint import blueprint
from provisioner.config import load
from provisioner.kit import (
    Ambiguous,
    Call,
    Live,
    Ref,
    Stack,
    Step,
    Unknown,
    bind,
    bound,
    fingerprint,
    needs,
    same,
    tags_of,
    walk,
)
from provisioner.survey import Choices
from provisioner.terms import Objection
from tests.world import ENVIRONMENTS

STACK = Stack(project="acme", environment="prod", account="123456789012", region="us-east-1")
PROD = blueprint(
    load(ENVIRONMENTS, "prod"),
    STACK,
    Choices(zones=("us-east-1a", "us-east-1b"), cidr="10.30.0.0/16", version="16.6", port=5432),
)
every_step = pytest.mark.parametrize("step", [pytest.param(step, id=step.name) for step in PROD])


@dataclass(frozen=True, kw_only=True)
class Shelf(Step):
    """A resource with a field of every sort."""

    room: Ref[Step]
    width: int
    colour: str = "grey"
    books: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()
    parts: Mapping[str, Any] = field(default_factory=dict)
    fixed = frozenset({"width", "room"})


SHELF = Shelf(name="shelf", stack=STACK, room="room-1", width=80)


def as_stored(step: Step) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(step.specification))
    return stored


@every_step
def test_a_specification_survives_json_and_is_restored_to_itself(step: Step) -> None:
    restored = type(step).restored(step.name, STACK, as_stored(step))
    assert restored.specification == step.specification
    assert needs(restored) == needs(step)
    assert (restored.label, restored.labels, restored.kind) == (step.label, step.labels, step.kind)


@every_step
def test_a_step_without_a_specification_can_still_be_looked_at_and_named(step: Step) -> None:
    restored = type(step).restored(step.name, STACK)
    assert restored.claims(step.labels)
    lost = {f.name for f in fields(restored) if isinstance(getattr(restored, f.name), Unknown)}
    assert needs(restored) == {f"{step.name}.{key}" for key in lost}


@every_step
def test_a_bound_step_holds_ids_where_it_held_steps(step: Step) -> None:
    ids = {other.name: f"id-of-{other.name}" for other in PROD}
    free, known = bind(step, {}), bind(step, ids)
    assert needs(free) == needs(step)
    assert needs(known) == frozenset()
    assert not any(isinstance(leaf, Step) for leaf in walk([getattr(free, f.name) for f in fields(free)]))
    given = {leaf for f in fields(known) for leaf in walk(getattr(known, f.name)) if isinstance(leaf, str)}
    assert {ids[need] for need in needs(step)} <= given
    assert bind(free, ids) == known


@every_step
def test_a_bound_step_is_saved_by_what_it_was_declared_with(step: Step) -> None:
    assert bind(step, {}).specification == step.specification


@every_step
def test_what_carries_all_labels_is_claimed_and_what_lacks_one_of_ours_is_not(step: Step) -> None:
    assert step.claims(step.labels)
    ours = {*step.stack.identity, "provisioner:step", "provisioner:kind"}
    assert ours < step.labels.keys()
    for key in step.labels:
        left = {other: value for other, value in step.labels.items() if other != key}
        assert step.claims(left) is (key not in ours)


def test_two_projects_whose_names_run_together_are_foreign_to_each_other() -> None:
    one, other = Stack(project="a-b", environment="c"), Stack(project="a", environment="b", suffix="c")
    assert one.name == other.name
    assert not one.owns(other.identity)
    assert not other.owns(one.identity)


@pytest.mark.parametrize("tags", [{"step": "x"}, {"step": ""}, {"team": "platform", "step": "x"}, {"name": "x"}, {}])
def test_a_tag_is_never_taken_for_a_reference(tags: dict[str, str]) -> None:
    step = replace(SHELF, tags=tags)
    assert Shelf.restored("shelf", STACK, as_stored(step)).labels == step.labels


def test_a_field_that_is_not_saved_has_its_default_or_is_unknown() -> None:
    restored = Shelf.restored("shelf", STACK, {"colour": "red", "no_longer_known": 1})
    assert restored == replace(SHELF, colour="red", room=Unknown("shelf.room"), width=Unknown("shelf.width"))  # type: ignore[arg-type]


def test_sets_and_sequences_are_restored_as_sequences() -> None:
    step = replace(SHELF, books=("b", "a"), marks=frozenset("zy"), parts={"back": [PROD[0], {"deep": 1}]})
    restored = Shelf.restored("shelf", STACK, as_stored(step))
    assert restored.books == ("b", "a")
    assert sorted(restored.marks) == ["y", "z"]
    assert restored.parts == {"back": (Unknown("vpc"), {"deep": 1})}


@pytest.mark.parametrize(
    ("facts", "implied", "expected"),
    [
        ({}, (), set()),
        ({"width": 80, "colour": "grey"}, (), set()),
        ({"width": 60, "colour": "red"}, (), {"width", "colour"}),
        ({"width": 60, "colour": "red"}, ("width",), {"colour"}),
        ({"width": 60, "colour": "red"}, ("width", "colour"), {"colour"}),
        ({"weight": 3, "stack": "other"}, (), {"stack"}),
        ({"tags": SHELF.labels}, (), set()),
        ({"tags": {**SHELF.labels, "Name": "other"}}, (), {"tags"}),
        ({"tags": {}}, ("tags",), {"tags"}),
        ({"books": ()}, (), set()),
        ({"books": ("a",)}, (), {"books"}),
        ({"colour": None}, (), {"colour"}),
    ],
)
def test_a_difference_is_a_fact_that_is_not_as_wanted(
    facts: dict[str, Any], implied: tuple[str, ...], expected: set[str]
) -> None:
    step = replace(SHELF, implied=frozenset(implied))
    assert step.differences(Live("shelf-1", facts)) == expected


def test_a_fingerprint_is_the_same_on_every_machine_and_in_every_run() -> None:
    assert (
        fingerprint("a", {"b": [1, 2.5, None, True], "c": {"z", "y"}}, Unknown("vpc"))
        == "72cd96f79f37e42adf55dfe30e9a9df3"
    )


def test_a_fingerprint_hangs_on_content_not_on_order_of_keys_or_kind_of_sequence() -> None:
    assert fingerprint({"a": 1, "b": (2, 3)}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"x", "y", "z"}) == fingerprint(frozenset({"z", "y", "x"}))
    assert len({fingerprint(*each) for each in ([], [1], [1, 2], ["1"], [[1]], [[1, 2]], [None])}) == 7


CALL = Call(
    "ec2.create_subnet", VpcId=Unknown("vpc"), CidrBlock="10.0.0.0/24", Zones=[Unknown("a"), {"x": Unknown("b")}]
)


def test_a_call_is_read_as_its_operation_and_parameters() -> None:
    assert repr(CALL) == 'ec2.create_subnet VpcId=<vpc> CidrBlock=10.0.0.0/24 Zones=["<a>", {"x": "<b>"}]'
    assert (CALL.service, CALL.method) == ("ec2", "create_subnet")


def test_a_long_parameter_is_cut_where_it_is_shown() -> None:
    assert repr(Call("s3.put_bucket_policy", Policy="p" * 99)) == f"s3.put_bucket_policy Policy={'p' * 57}..."
    assert repr(Call("s3.put_bucket_policy", Policy="p" * 60)) == f"s3.put_bucket_policy Policy={'p' * 60}"


def test_a_call_knows_whose_ids_it_waits_for() -> None:
    assert CALL.unknowns == {"vpc", "a", "b"}
    part = CALL.resolved({"vpc": "vpc-1", "b": "b-1"})
    assert part == Call("ec2.create_subnet", VpcId="vpc-1", CidrBlock="10.0.0.0/24", Zones=[Unknown("a"), {"x": "b-1"}])
    assert part.unknowns == {"a"}
    assert CALL.unknowns == {"vpc", "a", "b"}


def test_the_digest_of_a_call_is_the_same_on_every_machine_and_in_every_run() -> None:
    assert Call("ec2.create_vpc", CidrBlock="10.0.0.0/16").digest == "cf348b4047b7a122a4edcf1103bdb876"


def test_calls_are_equal_by_what_they_would_do() -> None:
    same = Call("ec2.create_vpc", CidrBlock="10.0.0.0/16", Tags=["a"])
    assert same == Call("ec2.create_vpc", Tags=["a"], CidrBlock="10.0.0.0/16")
    assert hash(same) == hash(Call("ec2.create_vpc", Tags=["a"], CidrBlock="10.0.0.0/16"))
    others = [Call("ec2.create_vpc", CidrBlock="10.1.0.0/16"), Call("ec2.create_subnet", CidrBlock="10.0.0.0/16"), "x"]
    assert all(same != other for other in others)
    assert len({same.digest, *(other.digest for other in others if isinstance(other, Call))}) == 3


@pytest.mark.parametrize(
    ("operation", "creates"),
    [
        ("ec2.create_vpc", True),
        ("rds.create_db_cluster", True),
        ("ec2.allocate_address", True),
        ("ec2.create_tags", False),
        ("ec2.modify_vpc_attribute", False),
        ("ec2.delete_vpc", False),
        ("s3.put_bucket_policy", False),
    ],
)
def test_a_create_is_what_a_repeat_could_bring_twice(operation: str, creates: bool) -> None:
    assert Call(operation).creates is creates


@pytest.mark.parametrize(
    "item",
    [
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "b"}]},
        {"TagList": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]},
        {"TagSet": [{"Key": "b", "Value": ""}, {"Key": "a", "Value": "1"}]},
    ],
)
def test_tags_are_read_whatever_their_list_is_called(item: dict[str, Any]) -> None:
    assert tags_of(item) == {"a": "1", "b": ""}
    assert tags_of({}) == {}


def test_a_value_is_rebuilt_with_its_own_types() -> None:
    value = {"a": (Unknown("x"), [Unknown("y")]), "b": frozenset({"z"}), "c": {Unknown("x")}}
    assert bound(value, {"x": "1"}) == {"a": ("1", [Unknown("y")]), "b": frozenset({"z"}), "c": {"1"}}


def test_an_empty_id_is_none() -> None:
    assert bound(Unknown("x"), {"x": ""}) == Unknown("x")


def test_what_is_said_names_all_there_is_to_know() -> None:
    assert str(Objection("network.zones", "two are too few", "write 3")) == "network.zones: two are too few; write 3"
    assert str(Ambiguous("vpc", ["vpc-1", "vpc-2"])) == "vpc exists 2 times: vpc-1, vpc-2"


def statement(*resources: str, **more: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Resource": list(resources), **more}]}


@pytest.mark.parametrize(
    ("wanted", "found", "alike"),
    [
        (statement("a", "b"), statement("b", "a"), True),
        (statement("a"), {**statement("a"), "Statement": [{"Effect": "Deny", "Resource": "a"}]}, True),
        (statement("a"), {**statement("a"), "Statement": {"Effect": "Deny", "Resource": "a"}}, True),
        ({"own": statement("a", "b")}, {"own": statement("b", "a")}, True),
        (statement("a", "b"), statement("a"), False),
        (statement("a", Sid="x"), statement("a"), False),
        (("a", "b"), ("b", "a"), False),
        ({"rules": ["a", "b"]}, {"rules": ["b", "a"]}, False),
    ],
)
def test_a_policy_is_the_same_in_any_order_and_nothing_else_is(wanted: Any, found: Any, alike: bool) -> None:
    assert same(wanted, found) is alike
