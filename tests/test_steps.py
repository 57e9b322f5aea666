"""What holds for every step alike: what it says of nothing, of what is as wanted, of what is off, of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.kit import Call, Reader, Step, bind, tags_of, walk
from steps import KINDS
from steps.tags import pairs
from tests import test_steps_data as data
from tests import test_steps_hardening_data as hardening_data
from tests import test_steps_hardening_network as hardening_network
from tests import test_steps_network as network
from tests.cases import STACK, Case, Told, flat, golden, printed, said

CASES = [*network.CASES, *hardening_network.CASES]
BY_NAME = {case.step.name: case for case in CASES}
LASTING = [case for case in CASES if not case.step.attendant]
RESTORED = [*data.RESTORED, *hardening_data.RESTORED]


def named(cases: Iterable[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.step.name) for case in cases])


@named(CASES)
def test_what_is_absent_is_not_seen(case: Case) -> None:
    assert case.step.observe(Told()) is None


@named(CASES)
def test_what_is_absent_is_created_and_the_plan_shows_the_rest(case: Case) -> None:
    assert printed(case.step.provision(None)) == golden(case.absent)


@named(LASTING)
def test_a_newborn_is_ours_from_its_first_moment(case: Case) -> None:
    params = next(flat(case.step.provision(None))).params
    (tags,) = params.get("TagSpecifications", [{"Tags": params.get("Tags")}])
    assert case.step.claims(params["tags"] if "tags" in params else tags_of(tags))


@named(CASES)
def test_what_is_as_wanted_needs_no_call(case: Case) -> None:
    assert case.step.differences(case.found()) == frozenset()
    assert printed(case.step.provision(case.found())) == ""


@named(CASES)
def test_what_is_usable_is_neither_busy_nor_broken(case: Case) -> None:
    live = case.found()
    assert (live.busy, live.broken, live.foreign, live.leaving) == ("", "", "", False)


@pytest.mark.parametrize(
    ("case", "facts", "calls"),
    [
        pytest.param(case, facts, calls, id=f"{case.step.name}: {what}")
        for case in CASES
        for what, (facts, calls) in case.off.items()
    ],
)
def test_what_is_off_is_put_right(case: Case, facts: Mapping[str, Any], calls: str) -> None:
    live = case.found()
    assert printed(case.step.provision(replace(live, facts={**live.facts, **facts}))) == golden(calls)


@named(case for case in CASES if case.step.listing.startswith("ec2."))
def test_tags_changed_by_a_foreign_hand_are_put_back(case: Case) -> None:
    live = case.found()
    changed = replace(live, facts={**live.facts, "tags": {**case.step.labels, "Name": "mine"}})
    assert list(case.step.provision(changed)) == [
        Call("ec2.create_tags", Resources=[live.id], Tags=pairs(case.step)),
    ]


@named(CASES)
def test_teardown_needs_only_what_was_found(case: Case) -> None:
    assert printed(case.step.teardown(case.found())) == golden(case.teardown)


@named(case for case in CASES if not case.step.attendant or case.step is network.APP_RULES)
def test_a_step_that_left_the_file_is_torn_down_all_the_same(case: Case) -> None:
    forgotten = bind(type(case.step).restored(case.step.name, STACK), {})
    live = forgotten.observe(case.aws)
    assert live is not None
    assert live.id == case.found().id
    assert printed(forgotten.teardown(live)) == golden(case.teardown)


@pytest.mark.parametrize(("step", "reader"), [pytest.param(*each, id=each[0].kind) for each in RESTORED])
def test_a_step_restored_without_its_specification_is_torn_down_all_the_same(
    step: Step, reader: Callable[[], Reader]
) -> None:
    bare = type(step).restored(step.name, STACK)
    live = bare.observe(reader())
    assert live is not None
    assert said(bare.teardown(live)) == said(step.teardown(live))
    assert said(bare.teardown(live))


@named(LASTING)
def test_survivors_are_named_by_their_step(case: Case) -> None:
    assert list(type(case.step).survivors(case.aws, STACK)) == [case.step.name]


@named(LASTING)
def test_another_stacks_resource_is_not_ours(case: Case) -> None:
    for other in (replace(STACK, suffix="pr-42"), replace(STACK, project="shop-dev", environment="x")):
        assert not list(type(case.step).survivors(case.aws, other))
        assert replace(case.step, stack=other).observe(case.aws) is None


@named(CASES)
def test_a_fact_under_the_name_of_a_field_has_its_shape(case: Case) -> None:
    """Otherwise wish and finding never compare as equal, or always differ."""
    for key, found in case.found().facts.items():
        if hasattr(case.step, key):
            wanted = case.step.labels if key == "tags" else getattr(case.step, key)
            assert type(found) is type(wanted), key


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("public-a", {"vpc-1"}),
        ("internet", {"vpc-1"}),
        ("nat-a", {"subnet-1", "eipalloc-1"}),
        ("public", {"vpc-1", "subnet-1", "subnet-2", "igw-1"}),
        ("private-a", {"vpc-1", "subnet-3", "nat-1"}),
        ("s3", {"vpc-1", "rtb-1", "rtb-2"}),
        ("app", {"vpc-1"}),
        ("app-rules", {"sg-1", "sg-2"}),
        ("private-acl", {"vpc-1", "subnet-1", "subnet-2"}),
        ("flow", {"vpc-1", hardening_network.PATH, hardening_network.ARN}),
        ("flow-group", {hardening_network.KEY}),
    ],
)
def test_facts_name_what_a_leftover_hangs_on(name: str, needed: set[str]) -> None:
    assert needed <= set(walk(BY_NAME[name].found().facts))


def test_every_kind_is_among_the_cases_and_in_the_table_under_its_name() -> None:
    assert {
        step.kind: type(step) for step in [*(case.step for case in CASES), *(step for step, _ in RESTORED)]
    } == KINDS
