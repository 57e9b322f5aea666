"""A random walk through the life of a stack: whatever may befall it, in any order, and what must hold after every run.

Knows the environment dev and variations of it. As a program it walks on until it is told to end:
``python -m tests.walk --minutes 10``; a walk that fell is told step by step, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from moto.moto_api._internal import mock_random

from provisioner.engine import Seen
from provisioner.kit import Call
from provisioner.local.faults import Faults
from provisioner.session import Session
from state.store import StateError, read
from tests.census import Census, census
from tests.hands import CHANGES, Change, disown
from tests.user import Ending, follow, typed
from tests.world import Killed, World, standing

EXAMPLES, STEPS = 50, 4
"""How many walks one seed stands for, and how many steps each has at the most."""
LAG, WINDOW = 10.0, 60.0
"""Seconds that reads lag at the worst, and for which they are not believed: the longer of the two, as on AWS."""
AGAIN = 6
"""How often the same command may have to be typed, with all its advice followed, until nothing is left to do."""

NATS = ({"nat": "none"}, {"nat": "single"}, {"nat": "per-zone"})
DATABASES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"min_acu": 0, "max_acu": 1, "instances": 1},
    {"min_acu": 0.5, "max_acu": 2, "instances": 2},
)
BUCKETS: tuple[dict[str, Any] | None, ...] = (None, {"noncurrent_days": 7})
SECURITIES = (
    {"network_acls": False, "flow_logs": False},
    {"network_acls": True, "flow_logs": False},
    {"network_acls": True, "flow_logs": True},
)
FAIR = Faults()
WEATHERS: Mapping[str, dict[str, Any]] = {
    "fair": {},
    "a fifth of the replies lost": {"cut_after": 0.2},
    "a third throttled": {"throttle": 0.3},
    "a third broken": {"errors": 0.3},
    "token buckets": {"buckets": True},
    "a dark minute": {"dark": (0.0, 60.0)},
    "all of it": {"throttle": 0.1, "errors": 0.1, "cut_before": 0.05, "cut_after": 0.1},
}
WRECKS = ({"cluster": "failed"}, {"instance": "failed"}, {"instance": "incompatible-network"}, {"nat": "failed"})
VERBS = st.sampled_from(["provision", "provision", "teardown"])
CALLS = st.integers(1, 25)
SEEDS = st.integers(0, 1000)


class Walk(RuleBasedStateMachine):
    """One stack, from an empty account or standing, with whatever befalls it."""

    thorough = False
    """Whether all is counted after every run that ends well, not only at the end of the walk."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.verb = "provision"
        """The direction of the last run."""
        self.seen: Mapping[str, Seen] = {}
        """What there was when the last run began: what foreign hands know."""
        self.excused = False
        """Whether something was done to it that a run may have to name and leave to its owner."""

    @initialize(
        ids=SEEDS,
        stands=st.sampled_from([True, True, False]),
        patient=st.booleans(),
        slow=st.sampled_from([0.0] * 7 + [1.0]),
    )
    def begin(self, ids: int, stands: bool, patient: bool, slow: float) -> None:
        with made_up_as("standing"):
            self.world = (standing if stands else World)(Path(self.folder.name))
            self.seen = _seen_standing(self.world) if stands else {}
        mock_random.seed(f"walk {ids}")
        self.world.cloud.switch(FAIR)
        self.world.cloud.time_scale = slow
        self.world.cloud.allow(vpcs=50, addresses=50, nat_gateways=50, internet_gateways=50)
        self.world.request = replace(self.world.request, window=WINDOW if patient else 0.0)

    @property
    def patient(self) -> bool:
        return bool(self.world.request.window)

    # What befalls the stack between two runs.

    @rule(
        network=st.sampled_from(NATS),
        database=st.sampled_from(DATABASES),
        bucket=st.sampled_from(BUCKETS),
        security=st.sampled_from(SECURITIES),
    )
    def edit_the_file(self, network: Any, database: Any, bucket: Any, security: Any) -> None:
        self.world.change(database=None, bucket=None)
        self.world.change(network=network, database=database, bucket=bucket, security=security)

    @precondition(lambda self: self.fair)
    @rule(change=st.sampled_from(CHANGES))
    def meddle(self, change: Change) -> None:
        for seen in self.concerned(change):
            meddle(self.world, change, seen)

    @precondition(lambda self: self.fair)
    @rule(
        step=st.sampled_from(
            [
                "app",
                "bucket",
                "cluster",
                "cluster-1",
                "cluster-subnets",
                "s3-endpoint",
                "flow-log-role",
                "flow-log-group",
            ]
        )
    )
    def disown(self, step: str) -> None:
        if (seen := self.seen.get(step)) is not None and seen.live is not None and not seen.live.foreign:
            self.excused = True
            with suppress(ClientError):
                disown(self.world.client, seen)

    @rule()
    def lose_the_state(self) -> None:
        self.see_all()
        self.world.lose_state()

    @precondition(lambda self: self.world.state.exists())
    @rule(part=st.sampled_from([0.0, 0.3, 0.99]), instead=st.sampled_from([b"", b"garbage", b"\x00\xff", b"{}"]))
    def damage_the_state(self, part: float, instead: bytes) -> None:
        self.see_all()
        path = self.world.state
        whole = path.read_bytes()
        damaged = whole[: int(len(whole) * part)] + instead
        path.write_bytes(damaged)
        with pytest.raises(StateError, match=re.escape(f"mv {path} {path}.damaged")):
            typed(self.world, "provision")
        assert path.read_bytes() == damaged
        path.rename(f"{path}.damaged")

    @rule(seconds=st.sampled_from([1.0, 59.0, 61.0, 3700.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.clock.time += seconds

    @rule(weather=st.sampled_from(sorted(WEATHERS)), lag=st.sampled_from([0.0, 0.0, LAG]), seed=SEEDS)
    def turn_the_weather(self, weather: str, lag: float, seed: int) -> None:
        self.world.cloud.switch(Faults(seed=seed, lag=lag if self.patient else 0.0, **WEATHERS[weather]))

    @rule(request=st.integers(1, 80))
    def let_credentials_expire(self, request: int) -> None:
        self.see_all()
        self.world.cloud.switch(Faults(expire_at=request))

    @rule(wreck=st.sampled_from(WRECKS))
    def doom_the_next(self, wreck: dict[str, str]) -> None:
        self.excused = True
        self.world.cloud.doom(**wreck)

    # Runs, and what befalls them.

    @rule(verb=VERBS)
    def run(self, verb: str) -> None:
        self.ended(verb, typed(self.world, verb))

    @rule(verb=VERBS, number=CALLS, when=st.sampled_from(["before", "after"]))
    def be_killed(self, verb: str, number: int, when: str) -> None:
        def die(made: int, call: Call) -> None:
            if made == number:
                raise Killed

        self.ended(verb, typed(self.world, verb, lambda session: setattr(session.aws, when, die)))

    @rule(verb=VERBS, number=st.integers(1, 15))
    def be_killed_before_the_state_is_in_place(self, verb: str, number: int) -> None:
        left = iter(range(number - 1))

        def rename(new: Path, path: Path) -> None:
            if next(left, None) is None:
                raise Killed
            os.replace(new, path)

        self.ended(verb, typed(self.world, verb, rename=rename))

    @rule(verb=VERBS, number=CALLS)
    def be_interrupted(self, verb: str, number: int) -> None:
        def befall(session: Session) -> None:
            session.aws.after = lambda made, call: made == number and session.engine.stop()  # type: ignore[attr-defined]

        self.ended(verb, typed(self.world, verb, befall))

    @precondition(lambda self: self.fair)
    @rule(verb=VERBS, number=CALLS, change=st.sampled_from(CHANGES))
    def run_beside_a_hand(self, verb: str, number: int, change: Change) -> None:
        concerned = self.concerned(change)

        def reach_in(made: int, call: Call) -> None:
            if made == number:
                for seen in concerned:
                    meddle(self.world, change, seen)

        ending = typed(self.world, verb, lambda session: setattr(session.aws, "after", reach_in))
        self.ended(verb, ending, beside=True)

    # What must hold.

    @property
    def fair(self) -> bool:
        return self.world.cloud.faults == FAIR

    def concerned(self, change: Change) -> list[Seen]:
        return [
            seen
            for name, seen in self.seen.items()
            if seen.step.kind == change.kind and name.startswith(change.only) and seen.live and not seen.live.foreign
        ]

    def see_all(self) -> None:
        """Let everything show that was done: a state lost while reads lag is beyond what is promised."""
        if self.world.cloud.faults.lag:
            self.world.clock.time += WINDOW

    def ended(self, verb: str, ending: Ending, beside: bool = False) -> None:
        """See that a run ended as it may, and left what it should."""
        note(f"{verb}: {ending}")
        self.verb = verb
        if ending.sight is not None:
            self.seen = ending.sight.seen
        if ending.how == "killed":
            return
        if ending.how == "locked out":
            assert self.world.cloud.faults.expire_at is not None
            self.world.cloud.switch(FAIR)
        elif ending.how in ("failed", "refused"):
            assert self.excused or beside, ending
        if ending.how == "done" and not beside and self.thorough:
            self.see_all()
            self.compare(ending)

    def compare(self, ending: Ending) -> None:
        """See that what stands is what the same file gives in an empty account, and that the state says so."""
        faults = self.world.cloud.faults
        self.world.cloud.switch(FAIR)
        names = remembered(self.world)
        wanted = built(self.world) if self.verb == "provision" else empty(self.world)
        found = counted(self.world)
        assert found == wanted, {kind: (found[kind], wanted[kind]) for kind in wanted if found[kind] != wanted[kind]}
        assert names == ending.of("settled")
        if faults != FAIR:
            self.world.cloud.switch(faults)

    def teardown(self) -> None:
        """Let the weather clear, and type the same command until nothing is left to do."""
        try:
            if sys.exc_info()[0] is None and hasattr(self, "world"):
                self.settle()
        finally:
            self.folder.cleanup()

    def settle(self) -> None:
        self.see_all()
        self.world.cloud.switch(FAIR)
        self.world.clock.time += WINDOW
        for run in range(AGAIN):
            ending = typed(self.world, self.verb)
            note(f"{self.verb}: {ending}")
            if ending.how == "done" and not ending.calls:
                break
            assert ending.how == "done" or self.excused or run == 0, ending
            follow(self.world, ending)
        else:
            raise AssertionError(f"not settled after {AGAIN} runs: {ending}")
        self.compare(ending)


def meddle(world: World, change: Change, seen: Seen) -> None:
    """Let a foreign hand do something, as far as AWS lets it and there is something to do it to."""
    with suppress(ClientError, ValueError):
        change.do(world.client, seen)


def remembered(world: World) -> set[str]:
    """Name the steps in the state, all of them settled."""
    state = read(world.state)
    records = state.steps if state else {}
    assert {record.status for record in records.values()} <= {"settled"}, records
    return set(records)


def counted(world: World) -> Census:
    """Count what stands, but for the snapshots that databases left behind and the objects others put somewhere."""
    found = census(world.client)
    found.pop("snapshot")
    return found


_STANDING: list[Mapping[str, Seen]] = []


def _seen_standing(world: World) -> Mapping[str, Seen]:
    """Look at what stands when a walk begins there, which is the same every time."""
    if not _STANDING:
        _STANDING.append(world.look().seen)
    return _STANDING[0]


_BUILT: dict[str, Census] = {}


def built(world: World) -> Census:
    """Count what the same environment file gives in an empty account."""
    return _asked(world, json.dumps(world.settings.model_dump(), sort_keys=True, default=str), build=True)


def empty(world: World) -> Census:
    """Count an empty account."""
    return _asked(world, "", build=False)


@contextmanager
def made_up_as(seed: str) -> Iterator[None]:
    """Let moto make up ids that are the same every time, and none of those that it makes up before or after."""
    state = mock_random.getstate()
    mock_random.seed(seed)
    yield
    mock_random.setstate(state)


def _asked(world: World, key: str, build: bool) -> Census:
    if key not in _BUILT:
        here = world.moment()
        with TemporaryDirectory() as folder, made_up_as(key):
            other = World(Path(folder))
            other.settings = world.settings
            if build:
                assert not other.provision().failures
            _BUILT[key] = counted(other)
        world.back_to(here)
    return _BUILT[key]


def walk(
    number: int = 0,
    blob: str = "",
    thorough: bool = False,
    steps: int = STEPS,
    shortest: bool = True,
    path: type[RuleBasedStateMachine] = Walk,
) -> None:
    """Walk as often as a seed stands for, or once more the walk whose blob was told.

    Raises what the walk that fell came to, the shortest of its kind where that is asked for, with its steps as notes.
    """
    how = settings(
        max_examples=EXAMPLES,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if shortest else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    seeded: Any = seed(number)(type("Walk", (path,), {"thorough": thorough}))
    if blob:
        hypothesis.reproduce_failure(hypothesis.__version__, blob.encode())(seeded)
    run_state_machine_as_test(seeded, settings=how)


def again(error: BaseException) -> str:
    """Give the command that repeats the walk that an error came of."""
    told = re.search(r"reproduce_failure\('[^']*', b'([^']*)'\)", "\n".join(getattr(error, "__notes__", ())))
    return f"make soak ARGS='--again {told[1]}'" if told else "make soak"


def main(words: Sequence[str] | None = None) -> int:
    """Walk by one seed after the other until there is no time left; the exit code is 1 where a walk fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.walk", description=__doc__)
    parser.add_argument("--seed", type=int, help="walk by this seed only")
    parser.add_argument("--again", default="", metavar="BLOB", help="repeat the walk that fell, as it was told")
    parser.add_argument("--examples", type=int, default=5000, help=f"how many walks, a multiple of {EXAMPLES}")
    parser.add_argument("--minutes", type=float, default=30.0, help="when to begin no further seed")
    parser.add_argument("--steps", type=int, default=2 * STEPS, help="how long a walk is at the most")
    given = parser.parse_args(words)
    end = time.monotonic() + 60 * given.minutes
    first = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    count = 1 if given.again or given.seed is not None else -(-given.examples // EXAMPLES)
    fallen = 0
    for number in range(first, first + count):
        if time.monotonic() > end:
            break
        fallen += not _upright(number, given.again, given.steps)
    return int(fallen > 0)


def _upright(number: int, blob: str, steps: int) -> bool:
    """Walk by one seed, say how it went, and tell whether no walk fell."""
    begin = time.monotonic()
    try:
        walk(number, blob, thorough=True, steps=steps, shortest=not blob)
    except Exception as error:
        traceback.print_exception(error)
        print(f"seed {number} fell; repeat the walk with: {again(error)}", flush=True)
        return False
    print(f"seed {number}: {EXAMPLES} walks in {time.monotonic() - begin:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
