"""``kill -9`` of a real process at an exact place: the ordinary command, typed once more, finishes the job.

A sample of what test_crash does at every place in one process; the places are drawn by a fixed seed.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from state.store import read
from tests.census import Census
from tests.shell import Shell, shell_over_a_cloud

pytestmark = pytest.mark.process
FLAGS = {"dev": (), "staging": (), "prod": ("--disable-protection",)}
"""What their teardown asks for."""
COMMITS = 8
"""So often at least a run writes its state, however many calls it has under way at once."""


@dataclass(frozen=True)
class Kill:
    """A place to die in, and what becomes of the state afterwards."""

    environment: str
    command: str
    when: str
    share: float
    """How far the run gets, of all its calls or commits."""
    lost: bool

    def __str__(self) -> str:
        place = f"{self.environment}-{self.command}-{self.when}-{self.share:.0%}"
        return f"{place}-state-lost" if self.lost else place

    def typed(self, command: str) -> tuple[str, ...]:
        flags = FLAGS[self.environment] if command == "teardown" else ()
        return command, self.environment, *flags


@dataclass(frozen=True)
class Whole:
    """What a run comes to that nobody kills."""

    calls: int
    census: Census


def drawn() -> Iterator[Kill]:
    chance = random.Random(20)
    for environment in FLAGS:
        for command in ("provision", "teardown"):
            for when in ("before", "after", "rename"):
                yield Kill(environment, command, when, chance.random(), chance.random() < 0.3)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One cloud for the page."""
    with shell_over_a_cloud(tmp_path_factory.mktemp("cloud") / "states") as shell:
        yield shell


@pytest.fixture(scope="module")
def wholes() -> dict[tuple[str, str], Whole]:
    """What was found out already, by environment and command."""
    return {}


@pytest.fixture
def whole(ground: Shell, wholes: dict[tuple[str, str], Whole], kill: Kill) -> Whole:
    """Tell what the command comes to, and have all its work ahead."""
    ground.reset()
    for command in ("provision", "teardown"):
        if (place := (kill.environment, command)) not in wholes:
            calls = json.loads(ground.done(*kill.typed(command), "--json"))["calls"]
            wholes[place] = Whole(calls["mutating"], ground.census())
    ground.reset()
    if kill.command == "teardown":
        ground.done("provision", kill.environment)
    return wholes[kill.environment, kill.command]


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill, id=str(kill), marks=() if kill.environment == "dev" else pytest.mark.crash)
        for kill in drawn()
    ],
)
def test_killed_exactly_there_the_same_command_ends_like_one_that_was_not(
    ground: Shell, whole: Whole, kill: Kill
) -> None:
    number = 1 + int(kill.share * (COMMITS if kill.when == "rename" else whole.calls))
    module = [sys.executable, "-m", "tests.mortal", kill.when, str(number)]
    with ground.running([*module, *ground.command(*kill.typed(kill.command))[3:]]) as running:
        running.communicate()
    assert running.returncode == -signal.SIGKILL
    stack = f"acme-{kill.environment}"
    if kill.lost:
        ground.state(stack).unlink(missing_ok=True)
    ground.done(*kill.typed(kill.command))
    assert ground.census() == whole.census
    state = read(ground.state(stack))
    assert {record.status for record in state.steps.values()} <= {"settled"} if state else kill.lost
    again = json.loads(ground.done(*kill.typed(kill.command), "--json"))
    assert again["calls"]["mutating"] == 0
