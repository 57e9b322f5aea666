"""A world for tests: a cloud of its own in this process, a clock nobody waits for, and processes that can be killed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from provisioner.aws import Aws
from provisioner.config import Settings, load
from provisioner.engine import Outcome, Sight
from provisioner.events import Event
from provisioner.kit import Call, Stack
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.session import Request, Session, assemble
from state.store import Lock, state_path
from tests.model import validate

ENVIRONMENTS = Path(__file__).parent.parent / "environments"
REGION = "us-east-1"


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

    calls: list[Call]
    before: Callable[[int, Call], None] = staticmethod(lambda number, call: None)
    after: Callable[[int, Call], None] = staticmethod(lambda number, call: None)

    def perform(self, call: Call, token: str = "") -> Any:
        validate(call)
        self.calls.append(call)
        number = len(self.calls)
        self.before(number, call)
        response = super().perform(call, token)
        self.after(number, call)
        return response


class World:
    """An account in the cloud, a state folder and an environment file."""

    def __init__(self, folder: Path, environment: str = "dev", window: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.cloud = Cloud(clock=self.clock.now)
        self.cloud.reset()
        self.request = Request(environment=environment, config_dir=ENVIRONMENTS, state_dir=folder, window=window)
        self.settings: Settings = load(ENVIRONMENTS, environment)
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
        session = wire.isolated_session(self.settings.region)
        return wire.plug(session.client(service, **wire.client_options()), self.cloud)

    def session(self) -> Session:
        """Start a new process on the stack."""
        aws = Watched(_clients(self), self.clock)
        aws.calls = []
        return assemble(
            self.request, self.settings, self.stack, aws, self.state, Inline(), self.clock, [self.events.append]
        )

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


_CLIENTS: dict[tuple[str, str], Any] = {}


def _clients(world: World) -> Callable[[str], Any]:
    """Share clients between the worlds of one process: a client costs more than a whole run."""

    def client(service: str) -> Any:
        key = (service, world.settings.region)
        if key not in _CLIENTS:
            session = wire.isolated_session(world.settings.region)
            _CLIENTS[key] = wire.plug(session.client(service, **wire.client_options()), _Current())
        return _CLIENTS[key]

    _Current.cloud = world.cloud
    return client


class _Current:
    """Whatever cloud the latest world has."""

    cloud: Cloud

    def answer(self, environ: dict[str, Any]) -> Any:
        return self.cloud.answer(environ)
