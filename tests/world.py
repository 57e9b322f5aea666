"""A world for tests: a cloud of its own in this process, a clock nobody waits for, and processes that can be killed."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from provisioner.aws import Aws
from provisioner.config import load
from provisioner.engine import Sight
from provisioner.events import Event
from provisioner.kit import Call, Stack
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.local.faults import Faults
from provisioner.session import Request, Session, assemble
from provisioner.settings import Settings
from provisioner.wiring import Outcome
from state.store import Journal, Lock, Rename, state_path
from tests.model import validate

ENVIRONMENTS = Path(__file__).parent.parent / "environments"
REGION = "us-east-1"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "dev-bordered": {"security": {"network_acls": True, "flow_logs": True}},
    "dev-hardened": {"hardened": True},
}
"""Environments whose file is another's, changed so."""


class Killed(BaseException):
    """The process is no more: nothing of it may run on."""


class VirtualClock:
    """Time passes only when somebody would have to wait for it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now
        self.stopped = threading.Event()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def take(self, inbox: queue.SimpleQueue[Any], timeout: float | None) -> Any:
        if inbox.empty():
            assert timeout is not None, "nothing is under way and nobody sleeps: the run would hang"
            self.time += timeout
            return None
        return inbox.get()


class Inline(Executor):
    """Do the work at once, in the order in which it is asked for: every run is the same."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Watched(Aws):
    """AWS as the session speaks to it: every call is checked against its model, counted, and may be the last."""

    before: Callable[[int, Call], None] = staticmethod(lambda number, call: None)
    after: Callable[[int, Call], None] = staticmethod(lambda number, call: None)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.calls: list[Call] = []
        self.tokens: dict[str, str] = {}
        """The last client token of every operation."""

    def perform(self, call: Call, token: str = "") -> Any:
        validate(call)
        self.calls.append(call)
        self.tokens[call.operation] = token
        number = len(self.calls)
        self.before(number, call)
        response = super().perform(call, token)
        self.after(number, call)
        return response


@dataclass(frozen=True)
class Moment:
    """An account, a clock and a state file as they were once; a world can go back to it as often as it likes."""

    cloud: bytes
    before: tuple[tuple[float, bytes], ...]
    """What reads that lag are answered from."""
    now: float
    state: bytes | None


class World:
    """An account in the cloud, a state folder and an environment file."""

    connection: Callable[..., Watched] = Watched
    """How a session speaks to AWS."""
    workers: Callable[[], Executor] = Inline
    """What a session's looks and calls run in."""

    def __init__(
        self,
        folder: Path,
        environment: str = "dev",
        window: float = 0.0,
        beside: World | None = None,
        faults: Faults | None = None,
        clock: Any = None,
    ) -> None:
        """Start in an empty account, or in the one of another world; foreign hands suffer the faults as we do."""
        self.clock: VirtualClock = beside.clock if beside else clock or VirtualClock()
        self.cloud: Cloud = beside.cloud if beside else Cloud(clock=self.clock.now)
        if beside is None:
            self.cloud.reset()
        if faults is not None:
            self.cloud.switch(faults)
        file = environment.partition("-")[0]
        self.request = Request(environment=file, config_dir=ENVIRONMENTS, state_dir=folder, window=window)
        self.settings: Settings = load(ENVIRONMENTS, file)
        self.change(**VARIANTS.get(environment, {}))
        self.events: list[Event] = []

    @property
    def stack(self) -> Stack:
        settings = self.settings
        return Stack(
            project=settings.project, environment=settings.environment, suffix=settings.suffix, region=settings.region
        )

    @property
    def state(self) -> Path:
        return state_path(self.request.state_dir, self.request.target, self.stack.name)

    def change(self, **tables: Any) -> None:
        """Edit the environment file: ``change(network={"nat": "single"})``; ``None`` takes a table out."""
        document = self.settings.model_dump(exclude_unset=True)
        for table, keys in tables.items():
            document[table] = {**(document.get(table) or {}), **keys} if isinstance(keys, Mapping) else keys
        self.settings = Settings.model_validate(document)

    def client(self, service: str) -> Any:
        """Give a client of a foreign hand."""
        return _FOREIGN.client(self, service)

    def session(self, rename: Rename = os.replace) -> Session:
        """Start a new process on the stack, which nobody has interrupted; ``rename`` puts its state file in place."""
        self.clock.stopped.clear()
        aws: Watched = self.connection(lambda service: _OURS.taken_over(self, service, aws), self.clock)
        workers = self.workers()
        session = assemble(
            self.request, self.settings, self.stack, aws, self.state, workers, self.clock, [self.events.append]
        )
        if rename is not os.replace:
            opened = session.engine.journal
            assert isinstance(opened, Journal)
            session.engine.journal = Journal(self.state, opened.state, rename)
        return session

    def look(self, tearing: bool = False, flags: frozenset[str] = frozenset()) -> Sight:
        return self.session().look(flags, tearing)

    def provision(self, session: Session | None = None, flags: frozenset[str] = frozenset()) -> Outcome:
        """Run to the end, under the lock as the command does."""
        return self._run(session or self.session(), flags, tearing=False)

    def teardown(self, session: Session | None = None, flags: frozenset[str] = frozenset()) -> Outcome:
        return self._run(session or self.session(), flags, tearing=True)

    def _run(self, session: Session, flags: frozenset[str], tearing: bool) -> Outcome:
        with Lock.acquire(self.state):
            sight = session.look(flags, tearing)
            assert not sight.failures, sight.failures
            return session.engine.teardown(sight) if tearing else session.engine.provision(sight)

    def lose_state(self) -> None:
        """Delete the state file."""
        self.state.unlink(missing_ok=True)

    def moment(self) -> Moment:
        """Keep what is there now."""
        saved = self.cloud.saved()
        assert saved is not None
        state = self.state.read_bytes() if self.state.exists() else None
        return Moment(saved[1], tuple(self.cloud._past._written), self.clock.time, state)

    def back_to(self, moment: Moment) -> None:
        """Put everything back to how it was; what came into being since is gone."""
        self.cloud.reset()
        self.cloud.restore(moment.cloud)
        self.cloud._past._written.extend(moment.before)
        self.clock.time = moment.now
        self.lose_state()
        if moment.state is not None:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            self.state.write_bytes(moment.state)


def standing(folder: Path, environment: str = "dev") -> World:
    """Give a world in which an environment stands, built by a run that is over."""
    world = World(folder, environment)
    world.back_to(_built(environment))
    return world


@cache
def _built(environment: str) -> Moment:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), environment)
        outcome = world.provision()
        assert set(outcome.results.values()) == {"settled"}, outcome.failures
        return world.moment()


class _Wires:
    """Clients that all worlds of this process share: making one costs more than a whole run."""

    cloud: Cloud
    """That of the world that uses them now."""

    def __init__(self, key: str = "embedded") -> None:
        self._key = key
        self._clients: dict[tuple[str, str], Any] = {}
        self._counting: dict[tuple[str, str], Callable[..., None]] = {}

    def answer(self, environ: dict[str, Any]) -> Any:
        return self.cloud.answer(environ)

    def client(self, world: World, service: str) -> Any:
        self.cloud, key = world.cloud, (service, world.settings.region)
        if key not in self._clients:
            made = wire.isolated_session(world.settings.region, self._key).client(service, **wire.client_options())
            current: Any = self
            self._clients[key] = wire.plug(made, current)
        return self._clients[key]

    def taken_over(self, world: World, service: str, aws: Watched) -> Any:
        """Give a client that no earlier session counts the requests of any more."""
        client, key = self.client(world, service), (service, world.settings.region)
        if key in self._counting:
            client.meta.events.unregister("before-send", self._counting[key])
        self._counting[key] = aws._count
        return client


_OURS, _FOREIGN = _Wires(), _Wires("stranger")
