"""Everything a command needs on one stack, opened in order: settings, lock, target, identity, state, choices, engine.

Knows neither the screen nor the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from provisioner import prices, survey
from provisioner.aws import Aws, Told, connect, connect_local, partition
from provisioner.blueprint import blueprint
from provisioner.clock import WORKERS, Clock, RealClock
from provisioner.config import load, page
from provisioner.engine import Engine, Sight
from provisioner.errors import AwsError
from provisioner.estimate import Forecast, Stopwatch, forecast
from provisioner.events import Event, Listener
from provisioner.kit import Stack, Step
from provisioner.local import ACCOUNT
from provisioner.page import ConfigError
from provisioner.plan import Planned, flagged
from provisioner.preflight import Flight
from provisioner.prices import Prices
from provisioner.settings import Settings
from provisioner.survey import Choices, Identity
from provisioner.terms import Objection
from state.history import add_run, history_path, read_history
from state.record import State
from state.store import Journal, Lock, read, state_path
from steps import KINDS

Target = Literal["local", "aws"]
WINDOWS: Mapping[Target, float] = {"local": 0.0, "aws": 60.0}
"""Seconds for which a target may not show yet what was done."""
LINGERING: Mapping[Target, float] = {"local": 30.0, "aws": 900.0}
"""Seconds for which what was deleted may still hold on to what it used."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line says about where and how."""

    environment: str
    suffix: str = ""
    target: Target = "local"
    config_dir: Path = Path("environments")
    state_dir: Path = Path(".provisioner")
    window: float | None = None
    """Seconds; ``None`` is the target's own."""
    parallelism: int = 10


@dataclass(kw_only=True)
class Session:
    """One stack on one target, ready to be looked at and changed."""

    request: Request
    settings: Settings
    stack: Stack
    identity: Identity
    choices: Choices
    steps: list[Step]
    engine: Engine
    listeners: list[Listener] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    """Per step, the seconds from its first call or wait to its end."""
    _begun: dict[str, float] = field(default_factory=dict)

    @property
    def aws(self) -> Aws:
        return self.engine.aws

    def asked_prices(self) -> Callable[[], Prices]:
        """Begin to find out what things cost here, from AWS if that is the target; the call ends it."""
        aws = self.aws.view() if self.request.target == "aws" else None
        return prices.asked(aws, self.stack.region, prices.usual(), self.request.state_dir, self.engine.clock)

    def look(self, flags: frozenset[str] = frozenset(), tearing: bool = False, fresh: bool = False) -> Sight:
        """Look at the whole stack, with the user's flags in the steps that are to go."""
        return self.engine.look(self.steps, tearing, lambda step: flagged(step, flags), fresh)

    @property
    def pace(self) -> float:
        """How long things take on the target in terms of what they take at AWS."""
        if self.request.target == "aws":
            return 1.0
        from provisioner.local import process

        running = process.status(self.request.state_dir)
        return running.time_scale if running else 0.0

    def forecast(self, sight: Sight, planned: Sequence[Planned], tearing: bool = False) -> Forecast | None:
        """Say how long a run is expected to take, if it calls for anything and anything is known of that."""
        if not any(each.calls for each in planned):
            return None
        pace = self.pace
        known = read_history(history_path(self.request.state_dir, self.request.target)).typical(pace)
        return forecast(planned, sight.needs, known, pace, tearing)

    def remember(self, stopwatch: Stopwatch) -> None:
        """Keep what the steps of a run took, for the next forecast."""
        if stopwatch.taken:
            add_run(history_path(self.request.state_dir, self.request.target), self.pace, stopwatch.taken)

    def flight(self, sight: Sight, planned: Sequence[Planned], whole: bool = False, ours: bool = True) -> Flight:
        """Say what a preflight is about; with ``whole`` steps that are as declared are asked about too, and without
        ``ours`` another identity may be the one to make the calls."""
        forecast = self.forecast(sight, planned)
        return Flight(
            settings=self.settings,
            stack=self.stack,
            identity=self.identity,
            choices=self.choices,
            config_dir=self.request.config_dir,
            sight=sight,
            planned=planned,
            aws=self.aws.view(sight.since),
            workers=self.engine.workers,
            now=self.engine.clock.now(),
            expected=forecast.total if forecast else 0.0,
            expiry=self.aws.expiry,
            whole=whole,
            ours=ours,
        )

    def hear(self, event: Event) -> None:
        """Tell every listener, and keep the time each step takes."""
        if event.what in ("calling", "waiting"):
            self._begun.setdefault(event.step, event.at)
        elif event.what in ("settled", "gone", "failed") and event.step in self._begun:
            self.durations[event.step] = event.at - self._begun[event.step]
        for listener in self.listeners:
            listener(event)


Connect = Callable[[Request, str, Clock, Told], Aws]
"""How a region is reached, and who hears of retries."""


@contextmanager
def opened(
    request: Request,
    writing: bool = False,
    connect: Connect | None = None,
    listeners: Sequence[Listener] = (),
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> Iterator[Session]:
    """Open a stack, the target's own way unless told how to connect; with ``writing`` its lock is held until the end.

    Given ``settings`` stand in the place of the environment file. A ``clock`` in place of the one on the wall is
    stopped when the session is closed.

    Raises ConfigError, StateError (Held where another run holds the lock), AwsError, and what
    provisioner.local.process raises.
    """
    settings = settings or load(request.config_dir, request.environment, request.suffix)
    stack = Stack(
        project=settings.project, environment=settings.environment, suffix=settings.suffix, region=settings.region
    )
    path = state_path(request.state_dir, request.target, stack.name)
    lock = Lock.acquire(path) if writing else None
    workers = ThreadPoolExecutor(request.parallelism, thread_name_prefix=WORKERS)
    clock = clock or RealClock()
    session = None
    try:
        heard = list(listeners)
        aws = _reached(request, settings, connect or _connected, clock, _retrying(clock, heard))
        yield (session := assemble(request, settings, stack, aws, path, workers, clock, heard))
    finally:
        clock.stopped.set()
        # Of a run that was stopped the calls have been heard of, or given up; nobody wants the answers to reads.
        workers.shutdown(wait=session is None or not session.engine.stopping, cancel_futures=True)
        if lock is not None:
            lock.release()


def drafted(settings: Settings, stack: Stack | None = None) -> list[Step]:
    """Draw an environment as far as its file alone tells; what the region would choose is left open.

    Without a ``stack`` it is that of the file, in no account.
    """
    zones = tuple(f"{settings.region}{letter}" for letter in "abc"[: settings.network.zones])
    choices = survey.Choices(zones=zones, cidr=settings.network.cidr, version="", port=0)
    stack = stack or Stack(project=settings.project, environment=settings.environment, region=settings.region)
    return blueprint(settings, stack, choices)


def placed(request: Request, settings: Settings, account: str = "", connect: Connect | None = None) -> Stack:
    """Say where a stack is, with its account: the one that is given, the only one that the file allows, else on
    ``aws`` that of the credentials. Asks AWS in that last case alone; raises AwsError then."""
    stack = Stack(
        project=settings.project, environment=settings.environment, suffix=settings.suffix, region=settings.region
    )
    only = settings.accounts[0] if settings.accounts and len(settings.accounts) == 1 else ""
    known = account or (ACCOUNT if request.target == "local" else only)
    if known:
        return replace(stack, account=known, partition=partition(settings.region))
    clock = RealClock()
    try:
        aws = _reached(request, settings, connect or _connected, clock, _retrying(clock, []))
        found = survey.identify(aws.view())
    finally:
        clock.stopped.set()
    return replace(stack, account=found.account, partition=found.partition)


def price_lists(request: Request, regions: Collection[str], connect: Connect | None = None) -> dict[str, Prices]:
    """Find out the prices of some regions, those of fixed instance classes too; needs no stack, and cannot fail."""
    clock, items = RealClock(), [*prices.usual(), *prices.classes()]
    begun = {region: _begun(request, region, items, clock, connect) for region in regions}
    try:
        return {region: end() for region, end in begun.items()}
    finally:
        clock.stopped.set()


def _begun(
    request: Request, region: str, items: Collection[str], clock: Clock, connect: Connect | None
) -> Callable[[], Prices]:
    try:
        told = _retrying(clock, [])
        aws = (connect or _connected)(request, region, clock, told).view() if request.target == "aws" else None
    except AwsError as error:
        unasked = prices.unasked(region, items, error)
        return lambda: unasked
    return prices.asked(aws, region, items, request.state_dir, clock)


def _reached(request: Request, settings: Settings, connect: Connect, clock: Clock, told: Told) -> Aws:
    """Connect; that there is no such region is a mistake in the file."""
    try:
        return connect(request, settings.region, clock, told)
    except AwsError as error:
        if error.code != "UnknownRegion":
            raise
        lines, near = page(request.config_dir, request.environment), error.message.partition("; ")[2]
        remedy = near or "write one such as us-east-1; if AWS has just opened it, upgrade boto3"
        wrong = Objection("region", f"there is no region {settings.region}", remedy)
        raise ConfigError(lines.path, [wrong], lines.lines) from None


def _retrying(clock: Clock, listeners: list[Listener]) -> Told:
    """Make an event of every retry; the first may come before there is a session."""

    def told(operation: str, error: AwsError, wait: float) -> None:
        event = Event(
            what="retrying", at=clock.now(), operation=operation, code=error.code, why=error.message, seconds=wait
        )
        for listener in listeners:
            listener(event)

    return told


def assemble(
    request: Request,
    settings: Settings,
    stack: Stack,
    aws: Aws,
    path: Path,
    workers: Executor,
    clock: Clock,
    listeners: list[Listener],
) -> Session:
    """Put a session together over a given connection: state checked, choices made, blueprint drawn."""
    identity = workers.submit(survey.identify, aws.view())
    remembered = read(path)

    def recall(step: str) -> Mapping[str, Any]:
        record = remembered.steps.get(step) if remembered else None
        return record.fields if record else {}

    try:
        choices = survey.choose(settings, stack, aws.view(), recall, workers)
    except AwsError:
        identity.result()  # that we are nobody to AWS is the cause of whatever else was refused
        raise
    stack = replace(stack, account=identity.result().account, partition=identity.result().partition)
    here = State(
        project=stack.project,
        environment=stack.environment,
        suffix=stack.suffix,
        target=request.target,
        account=stack.account,
        region=stack.region,
    )
    engine = Engine(
        aws=aws,
        journal=Journal.open(path, here),
        clock=clock,
        workers=workers,
        kinds=KINDS,
        stack=stack,
        window=WINDOWS[request.target] if request.window is None else request.window,
        lingering=LINGERING[request.target],
    )
    session = Session(
        request=request,
        settings=settings,
        stack=stack,
        identity=identity.result(),
        choices=choices,
        steps=blueprint(settings, stack, choices),
        engine=engine,
        listeners=listeners,
    )
    engine.tell = session.hear
    return session


def _connected(request: Request, region: str, clock: Clock, told: Told) -> Aws:
    if request.target == "aws":
        return connect(region, request.parallelism, clock, told)
    from provisioner.local import process

    return connect_local(process.up(request.state_dir).endpoint, region, request.parallelism, clock, told)
