"""What never comes up is named after its patience, what needs it is left alone, and the next run knows what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner import graph
from steps import KINDS
from tests.census import census
from tests.user import come_up, follow, typed
from tests.world import World, standing

SCALES = pytest.mark.parametrize("scale", [0.0, 1.0])


@dataclass(frozen=True)
class Wreck:
    """A newborn that comes to nothing, and what is said of it."""

    environment: str
    kind: str
    comes_to: str
    step: str
    code: str
    told: str
    remedy: str


FAILED = (
    Wreck("dev", "cluster", "failed", "cluster", "Broken", "RDS cannot recover it", "save what it holds, delete it"),
    Wreck("dev", "instance", "failed", "cluster-1", "Broken", "RDS cannot recover it", "aws rds reboot-db-instance"),
    Wreck("dev", "instance", "incompatible-network", "cluster-1", "Broken", "network does not", "put that right"),
    Wreck("staging", "instance", "incompatible-network", "cluster-1", "Broken", "network does not", "put that right"),
)
"""What no run replaces: it holds data, nobody else serves, or another one would share what broke it."""
REPLACED = (
    Wreck("staging", "nat", "failed", "nat-1", "Broken", "failed", "run the same command again"),
    Wreck("staging", "instance", "failed", "cluster-1", "Broken", "RDS cannot recover it", "the same command again"),
)
"""What the next run replaces."""
NEVER = (
    Wreck("staging", "nat", "never", "nat-1", "Timeout", "still pending after 30 minutes", "run the same command"),
    Wreck("dev", "cluster", "never", "cluster", "Timeout", "still creating after 120 minutes", "run the same command"),
    Wreck("dev", "instance", "never", "cluster-1", "Timeout", "still creating after 120 min", "run the same command"),
)


def each(wrecks: tuple[Wreck, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("wreck", wrecks, ids=lambda w: f"{w.environment}-{w.kind}-{w.comes_to}")


def wrecked(folder: Path, wreck: Wreck, scale: float) -> World:
    """Build an environment in which one newborn comes to nothing, and see that it is named and the rest stands."""
    whole = standing(folder / "whole", wreck.environment)
    needs = graph.edges(whole.session().steps)
    world = World(folder, wreck.environment)
    world.cloud.time_scale = scale
    world.cloud.doom(**{wreck.kind: wreck.comes_to})
    ending = typed(world, "provision")
    (failure,) = ending.told
    assert (ending.how, failure.step, failure.code) == ("failed", wreck.step, wreck.code)
    assert wreck.told in failure.message
    assert wreck.remedy in failure.remedy
    blocked = dependents(needs, wreck.step)
    assert ending.of("blocked") == blocked
    assert ending.of("settled") == needs.keys() - blocked - {wreck.step}
    return world


def dependents(needs: graph.Edges, step: str) -> set[str]:
    """Name what needs a step, directly or not."""
    found = {step}
    for name in graph.ordered(needs):
        if needs[name] & found:
            found.add(name)
    return found - {step}


def stands(world: World, environment: str) -> None:
    """See that the environment stands as one that met with nothing, and nothing is left to do."""
    ending = typed(world, "provision")
    assert (ending.how, ending.calls) == ("done", ())
    found = census(world.client)
    world.cloud.time_scale = 0.0
    assert found == census(standing(world.request.state_dir / "undisturbed", environment).client)


@SCALES
@each(FAILED)
def test_a_wreck_that_no_run_may_replace_is_refused_until_its_owner_has_done_what_is_told(
    tmp_path: Path, wreck: Wreck, scale: float
) -> None:
    world = wrecked(tmp_path, wreck, scale)
    refused = typed(world, "provision")
    assert (refused.how, refused.where) == ("refused", {wreck.step})
    assert wreck.remedy in refused.told[0].remedy
    follow(world, refused)
    world.clock.time += 3600
    ending = typed(world, "provision")
    assert ending.how == "done", ending
    stands(world, wreck.environment)


@SCALES
@each(REPLACED)
def test_a_wreck_that_holds_nothing_is_replaced_by_the_next_run(tmp_path: Path, wreck: Wreck, scale: float) -> None:
    world = wrecked(tmp_path, wreck, scale)
    ending = typed(world, "provision")
    assert ending.how == "done", ending
    removed = [call for call in ending.calls if ".delete_" in call]
    assert removed == [{"nat": "ec2.delete_nat_gateway", "instance": "rds.delete_db_instance"}[wreck.kind]]
    stands(world, wreck.environment)


@each(NEVER)
def test_what_never_comes_up_is_given_up_after_its_patience_and_waited_for_again(tmp_path: Path, wreck: Wreck) -> None:
    begin = World(tmp_path).clock.time
    world = wrecked(tmp_path, wreck, 0.0)
    patience = next(KINDS[step.kind].patience for step in world.session().steps if step.name == wreck.step)
    assert patience <= world.clock.time - begin <= patience + 60
    come_up(world)
    ending = typed(world, "provision")
    assert ending.how == "done", ending
    stands(world, wreck.environment)


@SCALES
@each((*FAILED[:3], *REPLACED[:1]))
def test_a_wreck_does_not_hinder_a_teardown(tmp_path: Path, wreck: Wreck, scale: float) -> None:
    world = wrecked(tmp_path, wreck, scale)
    assert typed(world, "teardown").how == "done"
    assert not any(census(world.client).values())
