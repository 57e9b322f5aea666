"""A run may be interrupted at any call, and two may be started at once: one works, and what it knows is on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.events import Event
from provisioner.kit import Call
from provisioner.local.faults import Faults
from provisioner.session import Session
from state.store import Held
from tests.census import Census, census
from tests.user import Befall, Ending, typed
from tests.world import Moment, Watched, World, standing

VERBS = pytest.mark.parametrize("verb", ["provision", "teardown"])


def begun(folder: Path, verb: str) -> World:
    """Give a world in which the run has all its work ahead."""
    world = standing(folder)
    if verb == "provision":
        world.teardown()
        world.lose_state()
    return world


def undisturbed(world: World, verb: str) -> Census:
    """Tell what the run ends with if nothing disturbs it, and go back to where it had not begun."""
    start: Moment = world.moment()
    assert typed(world, verb).how == "done"
    whole = census(world.client)
    world.back_to(start)
    return whole


def after(last: int, deed: Callable[[Session], object], when: str = "after") -> Befall:
    """Have something done when the call of a number is about to leave, or has come back."""

    def befall(session: Session) -> None:
        def note(number: int, call: Call) -> None:
            if number == last:
                deed(session)

        setattr(session.aws, when, note)

    return befall


def stop(session: Session) -> None:
    session.engine.stop()


def resumed(world: World, verb: str, ending: Ending, whole: Census) -> None:
    """See that a run was interrupted, and that the next one ends as if it had not been."""
    assert (ending.how, ending.told) == ("interrupted", ())
    assert typed(world, verb).how == "done"
    assert census(world.client) == whole


@VERBS
def test_a_run_that_is_interrupted_at_its_every_call_comes_to_its_end(tmp_path: Path, verb: str) -> None:
    world = begun(tmp_path, verb)
    whole = undisturbed(world, verb)
    endings = [typed(world, verb, after(1, stop))]
    while endings[-1].how == "interrupted":
        endings.append(typed(world, verb, after(1, stop)))
    assert [ending.told for ending in endings] == [()] * len(endings)
    assert [len(ending.calls) for ending in endings] == [1] * (len(endings) - 1) + [0]
    assert len(endings) > 20
    assert endings[-1].how == "done"
    assert census(world.client) == whole


@VERBS
def test_no_call_leaves_after_an_interruption(tmp_path: Path, verb: str) -> None:
    world = begun(tmp_path, verb)
    whole = undisturbed(world, verb)
    ending = typed(world, verb, after(9, stop))
    assert len(ending.calls) == 9
    assert ending.of("interrupted")
    resumed(world, verb, ending, whole)


@VERBS
def test_who_sleeps_is_interrupted_too(tmp_path: Path, verb: str) -> None:
    world = begun(tmp_path, verb)
    whole = undisturbed(world, verb)
    world.cloud.time_scale = 1.0
    slept: list[str] = []

    def befall(session: Session) -> None:
        def hear(event: Event) -> None:
            if event.what == "waiting":
                slept.append(event.step)
                session.engine.stop()

        session.listeners.append(hear)

    begin = world.clock.time
    ending = typed(world, verb, befall)
    assert len(slept) == 1
    assert world.clock.time == begin
    resumed(world, verb, ending, whole)


@VERBS
def test_a_call_that_is_repeated_while_aws_refuses_it_is_given_up_at_an_interruption(tmp_path: Path, verb: str) -> None:
    world = begun(tmp_path, verb)
    whole = undisturbed(world, verb)

    def darken(session: Session) -> None:
        world.cloud.switch(Faults(throttle=1.0))
        session.engine.stop()

    ending = typed(world, verb, after(9, darken, "before"))
    assert len(ending.calls) == 9
    assert world.cloud.suffered()["requests"] <= 2  # the call, and a look that had been asked for: each tried once
    world.cloud.switch(Faults())
    resumed(world, verb, ending, whole)


@VERBS
@pytest.mark.parametrize("number", [1, 12, 25])
def test_of_two_runs_at_once_one_works_and_the_other_is_told_who(tmp_path: Path, verb: str, number: int) -> None:
    world = begun(tmp_path, verb)
    whole = undisturbed(world, verb)

    def type_again(session: Session) -> None:
        with pytest.raises(Held, match="another run holds .* wait for it to end"):
            typed(world, verb)
        assert isinstance(session.aws, Watched)
        assert len(session.aws.calls) == number

    assert typed(world, verb, after(number, type_again)).how == "done"
    assert census(world.client) == whole
