"""An environment rehearsed in a cloud of its own: built, built again, spoilt, repaired and torn down under faults.

Every stage is run as a user would run it, again where it failed, and then looked at with the faults switched off. Knows
neither the command line nor the terminal, and not which cloud it is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from provisioner import checks, plan, preflight
from provisioner.aws import Aws, Told, options
from provisioner.checks import Check
from provisioner.clock import Clock, RealClock
from provisioner.config import load, page
from provisioner.engine import Sight
from provisioner.errors import AwsError
from provisioner.events import Event
from provisioner.exits import REFUSED, Stop
from provisioner.foreign import interfere, leave_an_object, put_right
from provisioner.inventory import Client, inventory
from provisioner.report import refusals_text
from provisioner.session import Request, Session, opened
from provisioner.settings import Settings
from provisioner.wiring import Failure
from state.store import read, state_path

STAGES = ("provision", "provision again", "repair", "teardown")
PACE = 10.0
"""How fast the clock of a rehearsal runs, its cloud's and its runs' alike."""
REPEATS = 5
"""How often a stage is run before it has failed."""
MARGIN = 10.0
"""Seconds by which the consistency window is longer than reads lag."""
LINGERING = 900.0
"""Seconds for which a refusal because of something else is waited out, as on AWS."""
FLAGS = frozenset({"disable_protection", "delete_data"})
"""What a teardown is told; a final snapshot is taken, and stays in the cloud of the rehearsal."""


class Ground(Protocol):
    """A cloud that nobody else uses."""

    @property
    def folder(self) -> Path:
        """Where the state of the rehearsal is kept."""

    def client(self, service: str, region: str, config: Any = None) -> Any:
        """Make a client of it."""

    def switch(self, preset: str, seed: int) -> Mapping[str, Any]:
        """Let things go wrong from now on, counted anew; gives what as fields of local.faults.Faults."""

    def suffered(self) -> Mapping[str, int]:
        """Tell how many requests since then suffered what."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run to its end, and what it did about what it met."""

    calls: int
    reads: int
    retries: int
    """Requests that were sent again as they were."""
    unanswered: int
    """Calls whose outcome had to be looked for, or that were refused for a while."""
    seconds: float
    """By the clock of the rehearsal."""
    failures: tuple[Failure, ...] = ()
    remains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: its runs, what they suffered, and what was found after them."""

    name: str
    runs: tuple[Run, ...]
    injected: Mapping[str, int]
    checks: tuple[Check, ...]
    changes: tuple[tuple[str, bool], ...] = ()
    """What a foreign hand had changed, and whether it was put right."""

    @property
    def remains(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(told for run in self.runs for told in run.remains))


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsal came to."""

    stack: str
    faults: str
    seed: int
    time_scale: float
    seconds: float
    """By the clock on the wall."""
    stages: tuple[Stage, ...]

    @property
    def injected(self) -> Counter[str]:
        return sum((Counter(stage.injected) for stage in self.stages), Counter())

    @property
    def checks(self) -> list[tuple[str, Check]]:
        """Every check with the stage after which it was made."""
        return [(stage.name, check) for stage in self.stages for check in stage.checks]

    @property
    def passed(self) -> bool:
        return all(check.passed for _, check in self.checks)


def rehearsable(request: Request) -> Settings:
    """Load the environment file. Raises ConfigError, and Stop for what no other cloud than the user's has."""
    settings = load(request.config_dir, request.environment, request.suffix)
    key = settings.database.kms_key if settings.database else None
    if key and "alias/" not in key:
        what = f"database.kms_key is {key}, and a cloud of its own cannot have a key with that id"
        raise Stop(REFUSED, "refused", what, "to rehearse, name the key by its alias: alias/...")
    return settings


def rehearse(
    request: Request,
    ground: Ground,
    *,
    faults: str,
    seed: int,
    time_scale: float = 0.0,
    tell: Callable[[str], object] = lambda _: None,
) -> Rehearsal:
    """Go through all stages, or to the first that fails; ``tell`` hears of each as it begins.

    Raises Stop where the region would refuse what the file asks for, and what rehearsable raises.
    """
    return _Theatre(request, rehearsable(request), ground, faults, seed, tell).played(time_scale)


class _Theatre:
    """What all stages of one rehearsal share."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        ground: Ground,
        faults: str,
        seed: int,
        tell: Callable[[str], object],
    ) -> None:
        self.request = replace(request, target="local", state_dir=ground.folder)
        # A cloud of its own is in no account that a file could name.
        self.settings = settings.model_copy(update={"accounts": None})
        self.ground, self.faults, self.seed, self.tell = ground, faults, seed, tell
        self.since = time.time()
        config = options(request.parallelism)
        self.client: Client = cache(lambda service: ground.client(service, settings.region, config))
        """One client of each service for the runs and for all who look: never at work at the same time."""
        self.stack = "-".join(filter(None, (settings.project, settings.environment, settings.suffix)))

    def played(self, time_scale: float) -> Rehearsal:
        begun, stages = time.monotonic(), list[Stage]()
        self._prepare()
        self._check()
        for number, name in enumerate(STAGES, 1):
            self.tell(f"{number}/{len(STAGES)} {name}")
            stages.append(self._stage(number, name))
            if not all(check.passed for check in stages[-1].checks):
                break
        return Rehearsal(
            stack=self.stack,
            faults=self.faults,
            seed=self.seed,
            time_scale=time_scale,
            seconds=time.monotonic() - begun,
            stages=tuple(stages),
        )

    def _prepare(self) -> None:
        """Put into the cloud what the environment file takes for granted: a key behind an alias.

        All clients are made now: faults that last for a time shall not be over before the first request.
        """
        self.ground.switch("none", 0)
        inventory(self.client)
        self.client("sts")
        key = self.settings.database.kms_key if self.settings.database else None
        if key:
            kms = self.client("kms")
            made = kms.create_key()["KeyMetadata"]["KeyId"]
            kms.create_alias(AliasName=f"alias/{key.partition('alias/')[2]}", TargetKeyId=made)

    def _check(self) -> None:
        """Refuse, while the weather is good, what AWS would refuse."""
        with self._opened(0.0, self._clock(), lambda _: None) as session:
            sight = session.look()
            found = preflight.findings(session.flight(sight, plan.provision(sight)))
        if found.refusals:
            told = "; ".join(f"{each.where}: {each.what}" for each in found.refusals)
            remedies = "; ".join(dict.fromkeys(each.remedy for each in found.refusals))
            at = page(self.request.config_dir, self.request.environment).at
            raise Stop(REFUSED, "refused", told, remedies, text=refusals_text(found.refusals, "rehearse", at))

    def _stage(self, number: int, name: str) -> Stage:
        changed = interfere(self.client, inventory(self.client), self.seed) if name == "repair" else []
        if name == "teardown":
            self._use_the_bucket()
        lag = float(self.ground.switch(self.faults, self.seed * len(STAGES) + number)["lag"])
        runs = list[Run]()
        while len(runs) < REPEATS and (not runs or runs[-1].failures):
            runs.append(self._run(tearing=name == "teardown", window=lag + MARGIN if lag else 0.0))
        injected = self.ground.suffered()
        self.ground.switch("none", 0)
        changes = tuple((made.what, right) for made, right in put_right(self.client, changed))
        stage = Stage(name=name, runs=tuple(runs), injected=injected, checks=(), changes=changes)
        return replace(stage, checks=tuple(self._checks(stage)))

    def _use_the_bucket(self) -> None:
        for each in inventory(self.client):
            if each.kind == "bucket":
                leave_an_object(self.client, each.id)

    def _run(self, tearing: bool, window: float) -> Run:
        heard, session, clock = list[Event](), None, self._clock()
        begun, failures, remains = clock.now(), tuple[Failure, ...](), tuple[str, ...]()
        try:
            with self._opened(window, clock, heard.append) as session:
                failures, remains = _ended(session, tearing)
        except AwsError as error:
            told = {"code": error.code, "message": error.message, "remedy": error.remedy}
            failures = (Failure(step="", operation=error.operation, **told),)
        return Run(
            calls=session.aws.mutations if session else 0,
            reads=session.aws.reads if session else 0,
            retries=sum(event.what == "retrying" for event in heard),
            unanswered=sum(event.what == "called" and event.code != "" for event in heard),
            seconds=clock.now() - begun,
            failures=failures,
            remains=remains,
        )

    def _checks(self, stage: Stage) -> Iterator[Check]:
        failures = [f"{each.step} {each.operation} {each.code}: {each.message}" for each in stage.runs[-1].failures]
        yield checks.nothing_but("done", f"done within {REPEATS} runs", failures)
        if stage.name == "provision again":
            calls = sum(run.calls for run in stage.runs)
            yield Check(what="nothing called", expected="0 calls", found=f"{calls} calls", passed=not calls)
        yield from (
            Check(what="put right", expected=what, found="put right" if right else "still so", passed=right)
            for what, right in stage.changes
        )
        found, state = inventory(self.client), read(self._state)
        remembered = state.steps if state else {}
        if stage.name == "teardown":
            yield from checks.gone(found, remembered, stage.remains)
            return
        with self._opened(0.0, self._clock(), lambda _: None) as session:
            sight = session.look()
            declared, ahead = [step.name for step in session.steps], list(_ahead(sight))
        yield from checks.standing(found, remembered, declared, ahead)

    @property
    def _state(self) -> Path:
        return state_path(self.request.state_dir, self.request.target, self.stack)

    def _clock(self) -> Clock:
        return RealClock(PACE, self.since)

    def _opened(self, window: float, clock: Clock, hear: Callable[[Event], None]) -> Any:
        def connect(request: Request, region: str, clock: Clock, told: Told) -> Aws:
            return Aws(self.client, clock, told)

        return opened(replace(self.request, window=window), True, connect, [hear], self.settings, clock)


def _ended(session: Session, tearing: bool) -> tuple[tuple[Failure, ...], tuple[str, ...]]:
    """Run as the commands do: look, refuse or run; gives what failed and what was left behind on purpose."""
    session.engine.lingering = LINGERING
    flags = FLAGS if tearing else frozenset[str]()
    sight = session.look(flags, tearing)
    refused = [
        Failure(step=each.where, operation="", code="Refused", message=each.what, remedy=each.remedy)
        for each in plan.refusals(sight, flags, tearing)
    ]
    if sight.failures or refused:
        return (*sight.failures, *refused), ()
    outcome = (session.engine.teardown if tearing else session.engine.provision)(sight)
    return outcome.failures, outcome.remains


def _ahead(sight: Sight) -> Iterator[str]:
    """Name what a plan would still do, and what keeps it from being one."""
    yield from (f"{each.step}: {each.message}" for each in sight.failures)
    yield from (f"{each.where}: {each.what}" for each in plan.refusals(sight, frozenset(), tearing=False))
    for each in plan.provision(sight):
        if each.calls or each.status != "settled":
            yield f"{each.step} {each.status}: {', '.join(call.operation for call in each.calls) or each.reason}"
