"""Whatever befalls a stack, in any order: nothing lost, nothing twice, nothing left to do but what is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.walk import again, walk


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.crash) for seed in range(1, 4))])
def test_a_random_walk_ends_with_exactly_what_the_file_declares(seed: int) -> None:
    try:
        walk(seed, shortest=False)
    except Exception as error:
        error.add_note(f"to see just this walk: {again(error)}")
        raise


class Fall(RuleBasedStateMachine):
    """A walk that falls at every stone that is large."""

    @rule(stone=st.integers(0, 1000))
    def step(self, stone: int) -> None:
        assert stone < 900, f"fell over {stone}"


def test_a_walk_that_fell_is_repeated_by_the_command_that_is_told() -> None:
    with pytest.raises(AssertionError, match="fell over") as fell:
        walk(7, shortest=False, path=Fall)
    told = re.fullmatch(r"make soak ARGS='--again (\S+)'", again(fell.value))
    assert told is not None
    with pytest.raises(AssertionError, match=str(fell.value).splitlines()[0]):
        walk(blob=told[1], steps=100, path=Fall)
