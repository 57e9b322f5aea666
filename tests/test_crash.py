"""A run may die anywhere: the same command, typed once more, ends where a run that nobody disturbed ends.

One run is watched; at each of its calls and commits what is there is kept, as a dying process would leave it. Then,
from every one of these moments, with the state as it was left and with the state lost, a new process takes over. Those
of staging and prod are marked ``crash``: ``make crash`` runs them, ``make test`` does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from provisioner import plan
from provisioner.kit import Call
from provisioner.local.faults import Faults
from provisioner.session import Session
from provisioner.wiring import Outcome
from state.store import read
from steps import KINDS
from tests.census import Census, Client, census, owned, remembering
from tests.world import Killed, Moment, Watched, standing

FLAGS = {
    "dev": frozenset[str](),
    "staging": frozenset({"delete_data"}),
    "prod": frozenset({"disable_protection", "delete_data"}),
}
"""What their teardown asks for: there are objects in the buckets of all but dev."""
ENVIRONMENTS = ["dev", *(pytest.param(name, marks=pytest.mark.crash) for name in ("staging", "prod"))]
EXTREMES = ["dev", pytest.param("prod", marks=pytest.mark.crash)]
DENSITY = {"staging": 3}
"""Of how many deaths one is tried: what staging has is in dev or in prod as well."""
PARTS = 3
"""Into how many tests of about the same length the deaths of one run are dealt, so that all workers share them."""


@dataclass(frozen=True)
class Pace:
    """How far reads lag behind, and for how long that is reckoned with; seconds."""

    window: float = 0.0
    lag: float = 0.0


AT_ONCE, LAGGING = Pace(), Pace(window=60.0, lag=30.0)
SAMPLE = 8
"""In so many places, evenly spread, a run dies whose reads lag: to go on from there takes many times as long."""


@dataclass(frozen=True)
class Death:
    """Where a run died, and what it left."""

    where: str
    calls: int
    """How many calls had been made."""
    left: Moment


@dataclass(frozen=True)
class Story:
    """A run that nothing disturbed: what it began with, all ways in which it could have died, and its end."""

    begin: Moment
    deaths: tuple[Death, ...]
    whole: Census


class Stage:
    """A world in which one run of one environment is told again and again."""

    def __init__(self, folder: Path, environment: str, run: str, pace: Pace = AT_ONCE) -> None:
        self.tearing, self.flags = run == "teardown", FLAGS[environment]
        self.world = standing(folder, environment)
        self.world.request = replace(self.world.request, window=pace.window)
        self.pace = pace

    def begin(self) -> None:
        """Have all the work ahead, in an account that has AWS's default keys already: the cloud would make them anew
        in every single run, and they cost more than the rest of it."""
        world = self.world
        if not self.tearing:
            assert world.teardown(flags=self.flags).failures == ()
            world.lose_state()
            world.clock.sleep(31 * 86_400)  # in which a key that was given up goes for good
            for each in world.client("rds").describe_db_cluster_snapshots()["DBClusterSnapshots"]:
                name = each["DBClusterSnapshotIdentifier"]
                world.client("rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        elif "delete_data" in self.flags:
            for bucket in world.client("s3").list_buckets()["Buckets"]:
                for key in ("precious", "gone"):
                    world.client("s3").put_object(Bucket=bucket["Name"], Key=key, Body=key.encode())
                world.client("s3").delete_object(Bucket=bucket["Name"], Key="gone")

    def harden(self) -> None:
        """Let reads lag from now on."""
        self.world.cloud.switch(Faults(lag=self.pace.lag))

    def soften(self) -> None:
        """Let what is there show at once again, for who counts it."""
        self.world.cloud.switch(Faults())

    def run(self, session: Session | None = None) -> Outcome:
        """Run to the end."""
        if self.tearing:
            return self.world.teardown(session, self.flags)
        return self.world.provision(session)


def told(environment: str, run: str, pace: Pace = AT_ONCE) -> Story:
    """Run undisturbed, and tell all ways in which that run could have died."""
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder), environment, run, pace)
        stage.begin()
        stage.harden()
        begin, found = stage.world.moment(), list[Death]()
        aws: Watched

        def dies(when: str) -> Callable[[int, Call], None]:
            def note(number: int, call: Call) -> None:
                made = number - (when == "before")
                found.append(Death(f"{when} call {number}, {call}", made, stage.world.moment()))

            return note

        def rename(new: Path, path: Path) -> None:
            where = "between writing the state and putting it in place"
            found.append(Death(where, len(aws.calls), stage.world.moment()))
            os.replace(new, path)

        session = stage.world.session(rename)
        assert isinstance(session.aws, Watched)
        aws = session.aws
        aws.before, aws.after = dies("before"), dies("after")
        outcome = stage.run(session)
        assert set(outcome.results.values()) <= {"settled", "gone", "kept"}, outcome.failures
        stage.soften()
        return Story(begin, tuple(found), census(stage.world.client))


story = cache(told)


def distinct(deaths: Iterable[Death]) -> Iterator[Death]:
    """Leave out what another death leaves as well: the same calls made, the same state on disk."""
    seen = set()
    for death in deaths:
        left = death.calls, death.left.state
        if left not in seen:
            seen.add(left)
            yield death


def complaints(stage: Stage, left: Moment, whole: Census) -> Iterator[str]:
    """Take over from a dead process, and say all that is not as it should be."""
    stage.harden()
    stage.world.back_to(left)
    shown = bool(stage.world.client("rds").describe_db_clusters()["DBClusters"])
    outcome = stage.run()
    if outcome.failures:
        yield f"failed: {outcome.failures}"
    stage.soften()
    yield from amiss(stage, whole)
    yield from unnamed(outcome, shown, stage, whole)


def amiss(stage: Stage, whole: Census) -> Iterator[str]:
    """Say what is not as an undisturbed run leaves it: in AWS, in the state, and in what remains to be done."""
    client = remembering(stage.world.client)
    found = census(client)
    if differing := {kind: (found[kind], whole[kind]) for kind in whole if found[kind] != whole[kind]}:
        yield f"found and wanted: {differing}"
    yield from phantoms_and_orphans(stage, client)
    planned = plan.teardown if stage.tearing else plan.provision
    if remaining := [call for step in planned(stage.world.look(stage.tearing)) for call in step.calls]:
        yield f"there remain {remaining}"


def phantoms_and_orphans(stage: Stage, client: Client) -> Iterator[str]:
    """Compare the state with what carries our tags."""
    state = read(stage.world.state)
    steps = dict(state.steps) if state else {}
    remembered = sorted((name, step.id) for name, step in steps.items() if not KINDS[step.kind].attendant)
    if (there := owned(client)) != remembered:
        yield f"in AWS: {there}, in the state: {remembered}"
    if pending := [name for name, step in steps.items() if step.status != "settled"]:
        yield f"the state holds as not done: {pending}"


def unnamed(outcome: Outcome, shown: bool, stage: Stage, whole: Census) -> Iterator[str]:
    """See that a final snapshot is named by who still saw its cluster; there is one, or the census would differ."""
    expected = len(whole["snapshot"]) if stage.tearing and shown else 0
    lagging = expected == 0 and stage.pace.lag
    if len([each for each in outcome.remains if each.startswith("final snapshot")]) != expected and not lagging:
        yield f"named as left behind: {outcome.remains}"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("run", ["provision", "teardown"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_run_that_died_anywhere_ends_like_one_that_did_not(
    tmp_path: Path, environment: str, run: str, state: str, part: int
) -> None:
    undisturbed = story(environment, run)
    deaths = [replace(each, left=replace(each.left, state=None)) for each in undisturbed.deaths]
    tried = list(distinct(deaths if state == "lost" else undisturbed.deaths))[:: DENSITY.get(environment, 1)]
    mine = tried[part::PARTS]
    assert mine
    stage = Stage(tmp_path, environment, run)
    found = {death.where: list(complaints(stage, death.left, undisturbed.whole)) for death in mine}
    assert {where: each for where, each in found.items() if each} == {}


@pytest.mark.crash
@pytest.mark.parametrize("run", ["provision", "teardown"])
@pytest.mark.parametrize("environment", EXTREMES)
def test_a_run_that_died_while_reads_lag_ends_like_one_that_did_not(tmp_path: Path, environment: str, run: str) -> None:
    undisturbed = story(environment, run, LAGGING)
    deaths = list(distinct(undisturbed.deaths))
    stage = Stage(tmp_path, environment, run, LAGGING)
    mine = deaths[1 :: len(deaths) // SAMPLE]
    found = {death.where: list(complaints(stage, death.left, undisturbed.whole)) for death in mine}
    assert {where: each for where, each in found.items() if each} == {}


@pytest.mark.parametrize("run", ["provision", "teardown"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_call_and_every_commit_is_a_place_to_die(environment: str, run: str) -> None:
    found = story(environment, run).deaths
    calls = {when: [death.calls for death in found if death.where.startswith(when)] for when in ("before", "after")}
    made = len(calls["after"])
    assert made > 20
    assert calls == {"before": list(range(made)), "after": list(range(1, made + 1))}
    assert {death.calls for death in distinct(found)} == set(range(made + 1))
    assert len([death for death in found if death.where.startswith("between")]) >= 10


@pytest.mark.parametrize(
    ("where", "state"), [("after a call", "kept"), ("after a call", "lost"), ("before its outcome is kept", "kept")]
)
@pytest.mark.parametrize("run", ["provision", "teardown"])
@pytest.mark.parametrize("environment", EXTREMES)
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(
    tmp_path: Path, environment: str, run: str, where: str, state: str
) -> None:
    undisturbed = story(environment, run)
    stage = Stage(tmp_path, environment, run)
    stage.world.back_to(undisturbed.begin)
    killed = 0
    while dies(stage, where):
        killed += 1
        if state == "lost":
            stage.world.lose_state()
    assert list(amiss(stage, undisturbed.whole)) == []
    assert killed > (20 if where == "after a call" else 5)


def dies(stage: Stage, where: str) -> bool:
    """Start a process that is killed as soon as it has got on, and tell whether there was anything left to do."""

    def die(*_: object) -> None:
        raise Killed

    def rename(new: Path, path: Path) -> None:
        if where == "before its outcome is kept" and aws.calls:
            raise Killed
        os.replace(new, path)

    session = stage.world.session(rename)
    assert isinstance(session.aws, Watched)
    aws = session.aws
    if where == "after a call":
        aws.after = die
    try:
        stage.run(session)
    except Killed:
        return True
    return False
