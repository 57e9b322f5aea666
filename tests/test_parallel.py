"""What runs at once and what waits: a run with a real pool of threads, on a clock nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.engine import Engine
from provisioner.kit import Call
from provisioner.retry import LONGEST
from state.store import Journal
from tests.test_engine import HERE, STACK, Fake, Thing, thing
from tests.turns import BusyWorld, Turns, Workers

SLOW = 20.0
"""Seconds a thing is in creating."""


class Crowd(Fake):
    """A cloud of things whose every request takes a second, and which notes how many are under way at once."""

    def __init__(self, turns: Turns) -> None:
        clock: Any = turns
        super().__init__(clock)
        self.under_way, self.most = 0, 0

    def ask(self, operation: str, /, **params: Any) -> dict[str, Any] | None:
        return self._takes_a_second(lambda: super(Crowd, self).ask(operation, **params))

    def perform(self, call: Call, token: str = "") -> Any:
        return self._takes_a_second(lambda: super(Crowd, self).perform(call, token))

    def _takes_a_second(self, request: Callable[[], Any]) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.clock.sleep(1.0)
        self.under_way -= 1
        return request()


def engine(folder: Path, turns: Turns, cloud: Fake, pool: Workers) -> Engine:
    journal = Journal.open(folder / "state.json", HERE)
    return Engine(
        aws=cloud, journal=journal, clock=turns, workers=pool, kinds={"Thing": Thing}, stack=STACK, window=0.0
    )


def test_two_hundred_busy_steps_take_no_more_threads_than_allowed(tmp_path: Path) -> None:
    turns = Turns()
    cloud, pool = Crowd(turns), Workers(turns, 10)
    names = [f"busy-{number}" for number in range(200)]
    cloud.slow = dict.fromkeys(names, SLOW)
    before = threading.active_count()
    threads: list[int] = []
    started = engine(tmp_path, turns, cloud, pool)
    started.tell = lambda event: threads.append(threading.active_count() - before)
    outcome = started.provision(started.look([thing(name) for name in names]))
    assert set(outcome.results.values()) == {"settled"}
    assert sorted(cloud.performed) == sorted(f"create {name}" for name in names)
    assert (cloud.most, pool.most) == (10, 10)
    assert max(threads) <= 10
    assert cloud.looks <= 200 * (2 + SLOW)


RDS = frozenset({"DbParameters", "DbSubnetGroup", "Cluster", "DbInstance"})
STORM = 120.0
"""Seconds for which RDS refuses everything."""


def networked(folder: Path, storm: float) -> tuple[float, float]:
    """Build dev; gives the seconds until all but the database stood, and until all did."""
    world = BusyWorld(folder, time_scale=1.0)
    session = world.session()
    sight, begun = session.look(), world.clock.now()
    world.storms["rds"] = begun + storm
    assert set(session.engine.provision(sight).results.values()) == {"settled"}
    ends = {event.step: event.at - begun for event in world.events if event.what == "settled"}
    kinds = {step.name: step.kind for step in session.steps}
    return max(at for name, at in ends.items() if kinds[name] not in RDS), max(ends.values())


def test_a_service_that_throttles_everything_holds_up_nothing_else(tmp_path: Path) -> None:
    calm, rough = networked(tmp_path / "calm", 0.0), networked(tmp_path / "rough", STORM)
    assert rough[0] <= calm[0] + 1
    assert STORM <= rough[1] - calm[1] <= STORM + LONGEST
