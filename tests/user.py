"""A user at work: types commands as they are run, and does what they are told to do; knows nothing of why.

What must hold of any ending is seen here: whoever is told something is told what, why and what to do about it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.backends import get_backend

from provisioner import plan
from provisioner.engine import Sight
from provisioner.errors import LOCKED_OUT, AwsError
from provisioner.local.cloud import ACCOUNT
from provisioner.session import Session
from provisioner.terms import Objection
from provisioner.wiring import Failure
from state.store import Lock, Rename, read
from tests.hands import obey
from tests.world import Killed, Watched, World

Befall = Callable[[Session], object]
"""Prepare what a session is to meet with."""


@dataclass(frozen=True)
class Ending:
    """How a command ended, and what it said."""

    how: str
    """"done", "failed", "interrupted", "refused", "killed" or "locked out"."""
    told: tuple[Failure | Objection, ...] = ()
    calls: tuple[str, ...] = ()
    """The operations of the mutating calls that left."""
    results: tuple[tuple[str, str], ...] = ()
    sight: Sight | None = None
    """What was there when the run began."""

    def __repr__(self) -> str:
        return f"{self.how} after {len(self.calls)} calls{': ' if self.told else ''}{'; '.join(map(str, self.told))}"

    def of(self, result: str) -> set[str]:
        """Name the steps that came to a result."""
        return {step for step, came_to in self.results if came_to == result}

    @property
    def where(self) -> set[str]:
        """Name the steps of which something was told."""
        return {each.step if isinstance(each, Failure) else each.where for each in self.told}


def typed(world: World, verb: str, befall: Befall = lambda _: None, rename: Rename = os.replace) -> Ending:
    """Run a command with all its flags as it is run: under the lock, looking first, refused where the plan is."""
    before = under_way(world)
    ending = _ended(world, verb, befall, rename)
    for each in ending.told:
        cause = each.message if isinstance(each, Failure) else each.what
        assert cause, each
        assert each.remedy, each
    if ending.how != "killed":
        assert under_way(world) <= before, "a call that left in this run has no outcome"
    return ending


def under_way(world: World) -> set[tuple[str, str]]:
    """Name the calls in the journal, each with its step, of which no outcome is known."""
    state = read(world.state)
    records = state.steps if state else {}
    return {(name, sent.digest) for name, record in records.items() for sent in record.calls if sent.done is None}


def follow(world: World, ending: Ending) -> None:
    """Do what a command told to do, where that is more than to type it again."""
    for each in ending.told:
        command = each.remedy.partition(": ")[2]
        if command.startswith("aws "):
            obey(world.client, command)
        elif "aws rds reboot-db-instance" in each.remedy or "put that right" in each.remedy:
            heal(world)
        elif "delete it by hand" in each.remedy:
            delete_databases(world)


def heal(world: World) -> None:
    """Make broken instances available again, as a reboot does where it helps, which moto does not know."""
    for each in get_backend("rds")[ACCOUNT][world.settings.region].databases.values():
        each.status = "available"


def come_up(world: World) -> None:
    """Let everything that hangs become available after all."""
    ec2, rds = (get_backend(service)[ACCOUNT][world.settings.region] for service in ("ec2", "rds"))
    for gateway in ec2.nat_gateways.values():
        gateway.state = "available" if gateway.state == "pending" else gateway.state
    for each in (*rds.clusters.values(), *rds.databases.values()):
        each.status = "available" if each.status == "creating" else each.status


def delete_databases(world: World) -> None:
    """Delete every cluster with its instances."""
    rds: Any = world.client("rds")
    for each in rds.describe_db_instances()["DBInstances"]:
        rds.delete_db_instance(DBInstanceIdentifier=each["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    for each in rds.describe_db_clusters()["DBClusters"]:
        rds.delete_db_cluster(DBClusterIdentifier=each["DBClusterIdentifier"], SkipFinalSnapshot=True)


def _ended(world: World, verb: str, befall: Befall, rename: Rename) -> Ending:
    tearing, sight = verb == "teardown", None
    try:
        with Lock.acquire(world.state):
            session = world.session(rename)
            befall(session)
            sight = session.look(plan.FLAGS, tearing)
            if sight.failures:
                return Ending("failed", sight.failures, sight=sight)
            if refused := tuple(plan.refusals(sight, plan.FLAGS, tearing)):
                return Ending("refused", refused, sight=sight)
            outcome = (session.engine.teardown if tearing else session.engine.provision)(sight)
    except Killed:
        return Ending("killed", sight=sight)
    except AwsError as error:
        if error.code not in LOCKED_OUT:
            raise
        return Ending("locked out")
    assert isinstance(session.aws, Watched)
    locked_out = any(each.code in LOCKED_OUT for each in outcome.failures)
    how = "interrupted" if outcome.interrupted else "failed" if outcome.failures else "done"
    return Ending(
        "locked out" if locked_out else how,
        outcome.failures,
        tuple(call.operation for call in session.aws.calls),
        tuple(outcome.results.items()),
        sight,
    )
