"""Who waits for whom: edges read from fields and from what AWS shows, sorted, turned round, cycles named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from provisioner import graph
from provisioner.kit import Live, Stack, Step, Unknown, bind

STACK = Stack(project="shop", environment="dev")


@dataclass(frozen=True)
class Link:
    """Something inside a field that names a step."""

    to: Any
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Node(Step):
    """A step that refers to others in every way there is."""

    one: Any = None
    some: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Attendant(Node):
    attendant = True


def node(name: str, **fields: Any) -> Node:
    return Node(name=name, stack=STACK, **fields)


A, B, C = node("a"), node("b"), node("c")


@pytest.mark.parametrize(
    "step",
    [
        node("z", one=A, some=(B, C)),
        node("z", some=(A, Link(B), Link([C]))),
        node("z", named={"first": A, "others": {"second": Link(B), "third": frozenset({C.name}), "c": C}}),
        node("z", one=Unknown("a"), some=(Unknown("b"),), named={"c": Unknown("c")}),
    ],
)
def test_a_field_that_holds_a_step_is_a_dependency_wherever_it_stands(step: Node) -> None:
    assert graph.edges([A, B, C, step])["z"] == {"a", "b", "c"}


def test_only_what_a_step_names_itself_is_its_need() -> None:
    chain = [A, first := node("first", one=A), node("second", one=first)]
    assert graph.edges(chain) == {"a": frozenset(), "first": {"a"}, "second": {"first"}}


def test_a_step_outside_the_listed_ones_is_no_edge() -> None:
    assert graph.edges([node("z", one=A, some=(B,)), B]) == {"z": {"b"}, "b": frozenset()}


def test_a_step_that_names_itself_does_not_wait_for_itself() -> None:
    assert graph.edges([node("z", one=Unknown("z"))]) == {"z": frozenset()}


def test_a_bound_step_has_no_needs_left_but_those_without_an_id() -> None:
    step = bind(node("z", one=A, some=(Link(B),)), {"a": "i-1"})
    assert graph.edges([A, B, step])["z"] == {"b"}
    assert step.one == "i-1"
    assert step.some == (Link(Unknown("b")),)


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        graph.edges([A, replace(A, one=B)])


def test_what_left_the_file_is_sorted_by_the_ids_that_aws_shows() -> None:
    steps = [node("gateway"), node("network"), node("subnet")]
    lives = {
        "network": Live("vpc-1"),
        "subnet": Live("subnet-1", {"vpc": "vpc-1"}),
        "gateway": Live("nat-1", {"places": (Link("subnet-1"),), "old": {"subnet": "subnet-9"}}),
    }
    found = graph.found_edges(steps, lives)
    assert found == {"gateway": {"subnet"}, "network": frozenset(), "subnet": {"network"}}


def test_what_aws_shows_is_added_to_what_the_fields_say() -> None:
    step = node("z", one=A)
    lives = {"z": Live("z-1", {"of": "b-1"}), "b": Live("b-1"), "a": None}
    assert graph.found_edges([A, B, step], lives)["z"] == {"a", "b"}


def test_an_attendant_shares_an_id_and_is_nobodys_need() -> None:
    steps = [node("group"), Attendant(name="rules", stack=STACK), node("user")]
    lives = {
        "group": Live("sg-1"),
        "rules": Live("sg-1", {"group": "sg-1"}),
        "user": Live("i-1", {"groups": ["sg-1"]}),
    }
    found = graph.found_edges(steps, lives)
    assert found == {"group": frozenset(), "rules": {"group"}, "user": {"group"}}


def test_each_comes_after_all_it_needs() -> None:
    wanted = {"d": frozenset("bc"), "b": frozenset("a"), "c": frozenset("a"), "a": frozenset[str]()}
    order = graph.ordered(wanted)
    assert sorted(order) == list("abcd")
    assert all(order.index(need) < order.index(name) for name, needs in wanted.items() for need in needs)


def test_the_order_does_not_hang_on_the_order_of_sets() -> None:
    names = [f"step-{number}" for number in range(40)]
    orders = {tuple(graph.ordered({"last": frozenset(each)})) for each in (names, reversed(names), sorted(names))}
    assert orders == {(*sorted(names), "last")}


def test_a_cycle_is_named() -> None:
    circle = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    with pytest.raises(ValueError, match="in a circle: ") as caught:
        graph.ordered(circle)
    told = str(caught.value).partition("circle: ")[2].split(" > ")
    assert told[0] == told[-1]
    assert set(told) == {"a", "b", "c"}
    assert len(told) == 4


def test_turned_round_who_was_needed_waits() -> None:
    wanted = {"a": frozenset[str](), "b": frozenset("a"), "c": frozenset("ab")}
    turned = graph.reversed_edges(wanted)
    assert turned == {"a": {"b", "c"}, "b": {"c"}, "c": frozenset()}
    assert graph.reversed_edges(turned) == wanted
