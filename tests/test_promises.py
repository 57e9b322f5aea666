"""The promises under a hard cloud: lost replies, storms, a dark minute, lagging reads, expired credentials.

The environment is dev; each run is under the lock, in virtual time, and compared by census with an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from provisioner.errors import AwsError
from provisioner.local.faults import Faults
from provisioner.session import Session
from provisioner.wiring import Outcome
from tests.census import Census, census, resources
from tests.world import Watched, World, standing

Run = Callable[[World, Session | None], Outcome]
RUNS: dict[str, Run] = {"provision": World.provision, "teardown": World.teardown}
SEEDS = range(1, 4)
WINDOW = 60.0
"""Seconds the target may not show yet what was done, as on AWS."""
HARD: dict[str, dict[str, Any]] = {
    "a tenth of the replies lost": {"cut_after": 0.1},
    "a third of the replies lost": {"cut_after": 0.3},
    "connections lost before and after the work": {"cut_before": 0.15, "cut_after": 0.15},
    "a third throttled": {"throttle": 0.3},
    "a third throttled or broken": {"throttle": 0.2, "errors": 0.1},
    "a third broken": {"errors": 0.3},
    "a dark minute": {"dark": (0.0, 60.0)},
    "token buckets": {"buckets": True},
    "names that resolve later": {"unresolved": 45.0},
}


def begun(folder: Path, run: str, window: float = 0.0) -> World:
    """Give a world in which the run has all its work ahead."""
    world = standing(folder)
    world.request = replace(world.request, window=window)
    if run == "provision":
        world.teardown()
        world.lose_state()
    return world


@cache
def undisturbed(run: str) -> tuple[Census, int]:
    """Give what a run that nothing disturbs ends with, and how many requests it takes."""
    with TemporaryDirectory() as folder:
        world = begun(Path(folder), run)
        session = world.session()
        RUNS[run](world, session)
        return census(world.client), session.aws.requests


def ended(world: World, run: str, outcome: Outcome) -> None:
    """See that a run came to the end of an undisturbed one, with nothing left to call."""
    assert outcome.failures == ()
    world.cloud.switch(Faults())
    assert census(world.client) == undisturbed(run)[0]
    if run == "teardown":
        assert resources(census(world.client)) == 0
    world.clock.time += WINDOW
    session = world.session()
    assert RUNS[run](world, session).failures == ()
    assert session.aws.mutations == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("hard", HARD)
def test_a_hard_cloud_costs_time_and_nothing_else(tmp_path: Path, hard: str, run: str, seed: int) -> None:
    world = begun(tmp_path, run)
    world.cloud.switch(Faults(seed=seed, **HARD[hard]))
    ended(world, run, RUNS[run](world, None))


@pytest.mark.parametrize("run", RUNS)
def test_lost_replies_do_no_harm_where_reads_may_be_late(tmp_path: Path, run: str) -> None:
    world = begun(tmp_path, run, WINDOW)
    world.cloud.switch(Faults(seed=1, cut_after=0.3))
    ended(world, run, RUNS[run](world, None))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("run", RUNS)
def test_throttling_costs_at_most_as_many_requests_again(tmp_path: Path, run: str, seed: int) -> None:
    world = begun(tmp_path, run)
    world.cloud.switch(Faults(seed=seed, throttle=0.3))
    session = world.session()
    begin = world.clock.time
    ended(world, run, RUNS[run](world, session))
    assert session.aws.requests <= 2 * undisturbed(run)[1]
    assert world.clock.time - begin < 300


@pytest.mark.parametrize("lag", [1.0, 10.0, 30.0])
@pytest.mark.parametrize("run", RUNS)
def test_reads_that_lag_lead_to_no_duplicate_and_nothing_is_taken_for_gone(
    tmp_path: Path, run: str, lag: float
) -> None:
    world = begun(tmp_path, run, WINDOW)
    world.cloud.switch(Faults(lag=lag))
    session = world.session()
    outcome = RUNS[run](world, session)
    assert isinstance(session.aws, Watched)
    made = [call.digest for call in session.aws.calls]
    assert len(made) == len(set(made))
    ended(world, run, outcome)


def test_an_answer_is_as_old_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    """The machine sleeps for two minutes with an answer in hand that does not show yet what was just created."""
    world = begun(tmp_path, "provision", WINDOW)
    world.cloud.switch(Faults(lag=10.0))
    session, created = world.session(), list[str]()
    assert isinstance(session.aws, Watched)
    session.aws.after = lambda _, call: created.append(call.operation)

    def asleep(**_: Any) -> None:
        if "ec2.create_vpc" in created:
            created.clear()
            world.clock.time += 120

    events = session.aws.client("ec2").meta.events
    events.register("after-call.ec2.DescribeVpcs", asleep)
    try:
        outcome = world.provision(session)
    finally:
        events.unregister("after-call.ec2.DescribeVpcs", asleep)
    made = [call.operation for call in session.aws.calls]
    assert made.count("ec2.create_vpc") == 1
    ended(world, "provision", outcome)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("run", RUNS)
def test_all_of_it_at_once(tmp_path: Path, run: str, seed: int) -> None:
    world = begun(tmp_path, run, WINDOW)
    everything = Faults(seed=seed, throttle=0.15, errors=0.1, cut_before=0.05, cut_after=0.1, lag=10.0, buckets=True)
    world.cloud.switch(everything)
    ended(world, run, RUNS[run](world, None))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("last", [1, 7, 14, 20])
def test_expired_credentials_stop_a_run_at_once_and_lose_nothing(tmp_path: Path, run: str, last: int) -> None:
    world = begun(tmp_path, run)
    session = world.session()
    assert isinstance(session.aws, Watched)
    session.aws.before = lambda number, _: number == last and world.cloud.switch(Faults(expire_at=1))
    outcome = RUNS[run](world, session)
    [failure] = outcome.failures
    assert "renew the AWS credentials" in failure.remedy
    assert not outcome.interrupted
    assert world.cloud.suffered()["suffered"]["expired"] <= world.request.parallelism
    world.cloud.switch(Faults())
    ended(world, run, RUNS[run](world, None))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("last", [1, 9])
def test_names_that_cease_to_resolve_during_a_run_cost_time_and_nothing_else(
    tmp_path: Path, run: str, last: int
) -> None:
    world = begun(tmp_path, run)
    session = world.session()
    assert isinstance(session.aws, Watched)
    session.aws.before = lambda number, _: number == last and world.cloud.switch(Faults(unresolved=20.0))
    ended(world, run, RUNS[run](world, session))


def test_expired_credentials_are_said_before_anything_is_done(tmp_path: Path) -> None:
    world = World(tmp_path, faults=Faults(expire_at=1))
    with pytest.raises(AwsError) as caught:
        world.provision()
    assert "renew the AWS credentials" in caught.value.remedy
