"""A run may die anywhere: the same command, typed once more, ends where a run that nobody disturbed ends.

One run is watched; at each of its calls and commits what is there is kept, as a dying process would leave it. Then,
from every one of these moments, with the state as it was left and with the state lost, a new process takes over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provisioner import plan
from provisioner.kit import Call
from provisioner.session import Session
from provisioner.wiring import Outcome
from tests.census import Census, census
from tests.world import Killed, Moment, Watched, World, standing

Run = Callable[[World, Session | None], Outcome]
RUNS: dict[str, Run] = {"provision": World.provision, "teardown": World.teardown}


@dataclass(frozen=True)
class Death:
    """Where a run died, and what it left."""

    where: str
    calls: int
    """How many calls had been made."""
    left: Moment


def begun(folder: Path, run: str) -> World:
    """Give a world in which the run has all its work ahead, in an account that has AWS's default keys already:
    the cloud would make them anew in every single run, and they cost more than the rest of it."""
    world = standing(folder)
    if run == "provision":
        world.teardown()
        world.lose_state()
    return world


def deaths(world: World, run: str) -> list[Death]:
    """Run undisturbed, and tell all ways in which that run could have died."""
    found: list[Death] = []
    aws: Watched

    def dies(when: str) -> Callable[[int, Call], None]:
        def note(number: int, call: Call) -> None:
            made = number - (when == "before")
            found.append(Death(f"{when} call {number}, {call}", made, world.moment()))

        return note

    def rename(new: Path, path: Path) -> None:
        found.append(Death("between writing the state and putting it in place", len(aws.calls), world.moment()))
        os.replace(new, path)

    session = world.session(rename)
    assert isinstance(session.aws, Watched)
    aws = session.aws
    aws.before, aws.after = dies("before"), dies("after")
    outcome = RUNS[run](world, session)
    assert set(outcome.results.values()) <= {"settled", "gone"}, outcome.failures
    return found


def distinct(found: list[Death]) -> Iterator[Death]:
    """Leave out what another death leaves as well: the same calls made, the same state on disk."""
    seen = set()
    for death in found:
        left = death.calls, death.left.state
        if left not in seen:
            seen.add(left)
            yield death


def complaint(world: World, run: str, death: Death, whole: Census) -> str:
    """Take over from a dead process, and say what is not as it should be."""
    world.back_to(death.left)
    session = world.session()
    outcome = RUNS[run](world, session)
    if outcome.failures:
        return f"{death.where}: {outcome.failures}"
    if (found := census(world.client)) != whole:
        return f"{death.where}: {different(found, whole)}"
    planned = plan.teardown if run == "teardown" else plan.provision
    if remaining := [call for step in planned(world.look(run == "teardown")) for call in step.calls]:
        return f"{death.where}: there remain {remaining}"
    return ""


def different(found: Census, whole: Census) -> dict[str, object]:
    return {kind: (found[kind], whole[kind]) for kind in whole if found[kind] != whole[kind]}


@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_died_anywhere_ends_like_one_that_did_not(tmp_path: Path, run: str, state: str) -> None:
    world = begun(tmp_path, run)
    found = deaths(world, run)
    whole = census(world.client)
    if state == "lost":
        found = [replace(death, left=replace(death.left, state=None)) for death in found]
    complaints = [complaint(world, run, death, whole) for death in distinct(found)]
    assert not [each for each in complaints if each]


@pytest.mark.parametrize("run", RUNS)
def test_every_call_and_every_commit_is_a_place_to_die(tmp_path: Path, run: str) -> None:
    found = deaths(begun(tmp_path, run), run)
    calls = {when: [death.calls for death in found if death.where.startswith(when)] for when in ("before", "after")}
    made = len(calls["after"])
    assert made > 20
    assert calls == {"before": list(range(made)), "after": list(range(1, made + 1))}
    assert {death.calls for death in distinct(found)} == set(range(made + 1))
    assert len([death for death in found if death.where.startswith("between")]) >= 10


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_is_killed_at_its_every_call_comes_to_its_end(tmp_path: Path, run: str) -> None:
    world = begun(tmp_path, run)
    start = world.moment()
    RUNS[run](world, None)
    whole = census(world.client)
    world.back_to(start)
    killed = 0
    while dies_at_its_first_call(world, run):
        killed += 1
    assert census(world.client) == whole
    assert killed > 20


def dies_at_its_first_call(world: World, run: str) -> bool:
    """Start a process that is killed when its first call comes back, and tell whether there was such a call."""

    def die(number: int, call: Call) -> None:
        raise Killed

    session = world.session()
    assert isinstance(session.aws, Watched)
    session.aws.after = die
    try:
        RUNS[run](world, session)
    except Killed:
        return True
    return False
