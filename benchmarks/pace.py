"""Measure a run where things take their time against the longest way through its steps, and under throttling.

On a clock nobody waits for, with the durations of AWS and the usual number of workers; and once in real time, through
the command and the embedded cloud's server, everything shortened to a tenth.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.commands import environment, run
from benchmarks.figures import Failed, Figure
from provisioner import graph
from provisioner.local import process
from provisioner.local.faults import Faults
from provisioner.wiring import Outcome
from tests.pace import FLAGS, longest
from tests.turns import BusyWorld

LIMIT = 1.05
SCALE = 0.1
"""Of the durations in real time. A look every second is a twentieth of what takes 20 seconds: shorter, and the pause
between two looks is what would be measured."""
STORM = 120.0
"""Seconds for which RDS refuses whatever it is asked."""
SEEDS = range(3)


def measure(rounds: int) -> Iterator[Figure]:
    """Give the figures one after another; those on the virtual clock are the same whenever they are taken."""
    for name in ("dev", "staging", "prod"):
        yield from _virtual(name)
    yield _real("dev")
    yield from _throttled("dev")
    yield from _storm("prod")


def _virtual(name: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        world = BusyWorld(Path(folder), name, time_scale=1.0)
        for tearing in (False, True):
            session, begun = world.session(), world.clock.now()
            _whole(world.teardown(session, FLAGS) if tearing else world.provision(session))
            what = f"{'teardown' if tearing else 'provision'} {name}: pace"
            yield _paced(what, world.clock.now() - begun, longest(session.steps, tearing))


def _real(name: str) -> Figure:
    """Time the command, start of Python and imports included, which no scale shortens: a run without durations, timed
    just before, is added to the longest way."""
    with TemporaryDirectory(prefix="provisioner-bench-") as folder:
        try:
            process.up(Path(folder))
            _timed(folder, name, "--suffix", "warming-up")
            instant = _timed(folder, name, "--suffix", "instant")
            process.down(Path(folder))
            process.up(Path(folder), time_scale=SCALE)
            taken = _timed(folder, name)
        finally:
            process.down(Path(folder))
    with TemporaryDirectory() as folder:
        least = longest(BusyWorld(Path(folder), name).session().steps) * SCALE
    against = f"the longest way and {instant:.1f} s of an instant run"
    return Figure(f"provision {name}: pace, real time", taken, LIMIT, against, least + instant, "s")


def _timed(folder: str, name: str, *options: str) -> float:
    begun = time.monotonic()
    command = ("-m", "provisioner", "provision", name, "--state-dir", folder, "--json")
    run(environment(Path(folder)), *command, *options)
    return time.monotonic() - begun


def _throttled(name: str) -> Iterator[Figure]:
    """Compare a run of which 30 % of the requests are refused with an undisturbed one."""
    calm = _built(name)
    rough = [_built(name, Faults(throttle=0.3, seed=seed)) for seed in SEEDS]
    requests, seconds = (median(each) for each in zip(*rough, strict=True))
    undisturbed = "an undisturbed run"
    yield Figure(f"{name}, 30 % throttled: requests", requests, 2, undisturbed, calm[0])
    yield Figure(f"{name}, 30 % throttled: time", seconds, LIMIT, undisturbed, calm[1], "s")


def _built(name: str, faults: Faults | None = None) -> tuple[float, float]:
    """Build an environment; gives the requests and the seconds it took."""
    with TemporaryDirectory() as folder:
        world = BusyWorld(Path(folder), name, faults=faults, time_scale=1.0)
        begun, session = world.clock.now(), world.session()
        _whole(world.provision(session))
        return session.aws.requests, world.clock.now() - begun


def _storm(name: str) -> Iterator[Figure]:
    """Compare when the network stands while RDS refuses everything with when it stands otherwise."""
    calm, rough = (_networked(name, seconds) for seconds in (0.0, STORM))
    yield Figure(f"{name}, RDS throttled: the rest", rough, LIMIT, "an undisturbed run", calm, "s")


def _networked(name: str, storm: float) -> float:
    with TemporaryDirectory() as folder:
        world = BusyWorld(Path(folder), name, time_scale=1.0)
        session = world.session()
        sight, begun = session.look(), world.clock.now()
        world.storms["rds"] = begun + storm
        _whole(session.engine.provision(sight))
        behind = {event.step for event in world.events if event.operation.startswith("rds.")}
        for step in graph.ordered(sight.needs):
            behind |= {step} if sight.needs[step] & behind else set()  # a backup plan waits for its database
        settled = [event.at for event in world.events if event.what == "settled" and event.step not in behind]
        return max(settled) - begun


def _paced(what: str, taken: float, least: float) -> Figure:
    return Figure(what, taken, LIMIT, "the longest way", least, "s")


def _whole(outcome: Outcome) -> None:
    if outcome.failures or not set(outcome.results.values()) <= {"settled", "gone"}:
        raise Failed("; ".join(f"{each.step}: {each.message}" for each in outcome.failures) or "the run did not end")
