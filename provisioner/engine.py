"""The loop: observe, decide, intend, perform, record, observe again; knows no resource and prints nothing.

One thread decides and writes; looks and calls run in a pool and report to its inbox. A step starts the moment its own
needs are met, sleeps without a thread, and is done when nothing remains to be called.
"""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from provisioner import decide, graph
from provisioner.aws import Aws, newborn_id
from provisioner.clock import Clock
from provisioner.decide import Act, Asleep, Batch, Decision, Failed, Past, Settled
from provisioner.errors import AwsError, Verdict, classify
from provisioner.events import Event, Listener, What
from provisioner.kit import Ambiguous, Burdens, Call, Live, Objection, Stack, Step, bind, fingerprint
from state.record import Record

Policy = Callable[[Step, Live | None, Past, float, float], Decision]
Result = Literal["settled", "gone", "failed", "blocked", "interrupted"]
UNSENT = "Unsent"
"""The code under which the journal keeps a call that was announced and, the run being stopped, never left."""


class Journal(Protocol):
    """What the engine needs to remember; state.store.Journal keeps it on disk."""

    def record(self, name: str) -> Record | None: ...
    def names(self) -> tuple[str, ...]: ...
    def intend(self, name: str, kind: str, calls: Sequence[tuple[str, str, Mapping[str, Any]]], at: float) -> None: ...
    def outcome(self, name: str, digest: str, at: float, code: str = "", id: str = "") -> None: ...
    def settled(self, name: str, kind: str, id: str, fields: Mapping[str, Any]) -> None: ...
    def failed(self, name: str) -> None: ...
    def leaving(self, name: str) -> None: ...
    def gone(self, name: str) -> None: ...
    def past(self, name: str) -> tuple[str, ...]: ...
    def commit(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A root cause: the step that failed, what AWS said and what to do."""

    step: str
    operation: str
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the first look at a step found."""

    step: Step
    """With the ids of its needs in place."""
    live: Live | None = None
    leftover: bool = False
    """Whether it is ours and no longer in the blueprint."""
    protections: tuple[Objection, ...] = ()
    """What forbids its teardown, where that is what lies ahead."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The first look at a whole stack."""

    wishes: Mapping[str, Step]
    """As declared, leftovers included, unbound."""
    seen: Mapping[str, Seen]
    needs: graph.Edges
    failures: tuple[Failure, ...] = ()
    """What could not be looked at."""

    @property
    def leftovers(self) -> frozenset[str]:
        return frozenset(name for name, seen in self.seen.items() if seen.leftover)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to."""

    results: Mapping[str, Result]
    ids: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    remains: tuple[str, ...] = ()
    """What was left behind on purpose."""
    interrupted: bool = False

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            results={**self.results, **other.results},
            ids={**self.ids, **other.ids},
            failures=self.failures + other.failures,
            remains=self.remains + other.remains,
            interrupted=self.interrupted or other.interrupted,
        )


@dataclass(kw_only=True)
class Engine:
    """Everything a run needs, wired once."""

    aws: Aws
    journal: Journal
    clock: Clock
    workers: Executor
    kinds: Mapping[str, type[Step]]
    stack: Stack
    tell: Listener = lambda _: None
    window: float = 60.0
    """Seconds for which what our own last call should have made visible is not disbelieved."""
    lingering: float = 900.0
    """Seconds for which AWS may refuse a call because of the state of something else."""
    inbox: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def stop(self) -> None:
        """End the run in good order: no new call is started, those under way are recorded. Safe in a signal handler."""
        self.clock.stopped.set()
        self.inbox.put(None)

    def look(
        self, steps: Iterable[Step], tearing: bool = False, lift: Callable[[Step], Step] = lambda step: step
    ) -> Sight:
        """Look at every step, and at what is ours and in no step, in the order of their needs; changes nothing.

        With ``tearing`` all of them are to go, else what is in no step. What hangs on those is looked at too, after
        ``lift`` has put the user's flags into them.
        """
        wishes = {step.name: step for step in steps}
        leftovers = self._leftovers(wishes)
        wishes |= leftovers
        leaving = set(wishes if tearing else leftovers)
        wishes |= {name: lift(wishes[name]) for name in leaving}
        run = _Run(self, wishes, graph.edges(wishes.values()), _only_look, leaving)
        run.go()
        seen = {
            name: Seen(
                step=bind(wish, run.ids),
                live=run.courses[name].live,
                leftover=name in leftovers,
                protections=tuple(run.courses[name].burdens.protections),
            )
            for name, wish in wishes.items()
            if name not in leftovers or run.courses[name].live is not None or self.journal.record(name)
        }
        wishes = {name: wishes[name] for name in seen}
        needs = graph.found_edges(wishes.values(), {name: each.live for name, each in seen.items()})
        return Sight(wishes=wishes, seen=seen, needs=needs, failures=tuple(run.failures))

    def provision(self, sight: Sight, fresh: bool = False) -> Outcome:
        """Bring every step of the blueprint to what is wanted, then tear down what left it.

        With ``fresh`` the answers of the first look are too old to act on.
        """
        wanted = {name: wish for name, wish in sight.wishes.items() if name not in sight.leftovers}
        since = self.aws.tick() if fresh else 0
        run = _Run(self, wanted, graph.edges(wanted.values()), decide.toward_wish, since=since)
        outcome = run.go()
        if outcome.failures or outcome.interrupted or not sight.leftovers:
            return outcome
        return outcome + self._tear(sight, sight.leftovers, fresh)

    def teardown(self, sight: Sight, fresh: bool = False) -> Outcome:
        """Bring everything that is ours to nothing, dependents first."""
        return self._tear(sight, frozenset(sight.wishes), fresh)

    def _tear(self, sight: Sight, names: frozenset[str], fresh: bool) -> Outcome:
        leaving = {name: sight.wishes[name] for name in reversed(graph.ordered(sight.needs)) if name in names}
        needs = {name: sight.needs[name] & names for name in leaving}
        ids = {name: str(seen.live.id) for name, seen in sight.seen.items() if seen.live is not None}
        since = self.aws.tick() if fresh or names != frozenset(sight.wishes) else 0
        run = _Run(
            self, leaving, graph.reversed_edges(needs), decide.toward_nothing, set(leaving), ids=ids, since=since
        )
        return run.go()

    def _leftovers(self, wishes: Mapping[str, Step]) -> dict[str, Step]:
        """Restore the steps that AWS or the journal know of and the blueprint does not."""
        view = self.aws.view()
        asked = [(kind, self.workers.submit(_named, kind, view, self.stack)) for kind in self.kinds.values()]
        found = {name: kind for kind, names in asked for name in names.result()}
        for name in self.journal.names():
            if (record := self.journal.record(name)) and record.kind in self.kinds:
                found.setdefault(name, self.kinds[record.kind])
        return {
            name: kind.restored(name, self.stack, self._saved(name, kind))
            for name, kind in sorted(found.items())
            if name not in wishes
        }

    def _saved(self, name: str, kind: type[Step]) -> Mapping[str, Any] | None:
        record = self.journal.record(name)
        return record.fields if record is not None and record.kind == kind.__name__ else None


def _named(kind: type[Step], view: Any, stack: Stack) -> list[str]:
    return list(kind.survivors(view, stack))


def _only_look(step: Step, live: Live | None, past: Past, now: float, window: float) -> Decision:
    return Settled()


@dataclass
class _Course:
    """Where one step is in a run."""

    wish: Step
    since: int = 0
    """The tick no answer may be older than."""
    step: Step | None = None
    live: Live | None = None
    burdens: Burdens = field(default_factory=Burdens)
    batches: Iterator[Batch] | None = None
    out: dict[str, Call] = field(default_factory=dict)
    """The calls under way, by digest."""
    error: AwsError | None = None
    """The worst answer to the batch under way."""
    wake: float | None = None
    born: float | None = None
    busy_since: float | None = None
    touched: bool = False
    remains: str = ""
    made: dict[str, float] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def past(self) -> Past:
        return Past(self.made, self.born, self.tries, self.busy_since, self.touched)


@dataclass(frozen=True)
class _Looked:
    name: str
    live: Live | None = None
    burdens: Burdens = field(default_factory=Burdens)
    step: Step | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class _Called:
    name: str
    call: Call
    started: float
    id: str = ""
    error: Exception | None = None
    sent: bool = True
    """Whether it left: one that waited for a worker when the run was stopped did not."""


class _Run:
    """Some steps, in one direction, to the end."""

    def __init__(
        self,
        engine: Engine,
        wishes: Mapping[str, Step],
        needs: graph.Edges,
        policy: Policy,
        burdened: set[str] | None = None,
        ids: Mapping[str, str] | None = None,
        since: int = 0,
    ) -> None:
        graph.ordered(needs)
        self.engine, self.needs, self.policy, self.burdened = engine, needs, policy, burdened or set()
        self.tearing = policy is decide.toward_nothing
        self.courses = {name: self._course(wish, since) for name, wish in wishes.items()}
        self.results: dict[str, Result] = {}
        self.ids: dict[str, str] = dict(ids or {})
        self.failures: list[Failure] = []
        self.outbox: list[tuple[_Course, Batch]] = []
        self.looking: set[str] = set()
        self.halted: Exception | None = None

    def go(self) -> Outcome:
        """Run until every step is settled, gone, failed or blocked, or until the run is stopped."""
        while True:
            self._start()
            self._send()
            if not self._pending():
                break
            self._hear(self.engine.clock.take(self.engine.inbox, self._patience()))
            while not self.engine.inbox.empty():
                self._hear(self.engine.inbox.get())
        if self.stopping:
            self._tell("stopping", "")
        if self.halted is not None:
            raise self.halted
        return Outcome(
            results={name: self.results.get(name, "interrupted") for name in self.courses},
            ids=self.ids,
            failures=tuple(self.failures),
            remains=tuple(course.remains for course in self.courses.values() if course.remains),
            interrupted=self.stopping,
        )

    @property
    def stopping(self) -> bool:
        return self.engine.clock.stopped.is_set() or self.halted is not None

    def _pending(self) -> bool:
        under_way = any(course.out for course in self.courses.values())
        return under_way or (not self.stopping and len(self.results) < len(self.courses))

    def _patience(self) -> float | None:
        """Seconds until the first sleeper wakes, ``None`` if nobody sleeps."""
        wakes = [course.wake for course in self.courses.values() if course.wake is not None]
        return max(0.0, min(wakes) - self.engine.clock.now()) if wakes else None

    def _start(self) -> None:
        """Wake who is due, and start whose needs are met; sleepers that wake together share their answers."""
        if self.stopping:
            return
        now = self.engine.clock.now()
        due = [course for course in self.courses.values() if course.wake is not None and course.wake <= now]
        tick = self.engine.aws.tick() if due else 0
        for course in due:
            course.since = tick
            self._look(course)
        for name, course in self.courses.items():
            if name not in self.results and course.step is None and name not in self.looking:
                self._begin(name, course)

    def _begin(self, name: str, course: _Course) -> None:
        met = [self.results.get(need) for need in self.needs[name]]
        if any(result in ("failed", "blocked") for result in met):
            cause = next(need for need in sorted(self.needs[name]) if self.results.get(need) in ("failed", "blocked"))
            self.results[name] = "blocked"
            self._tell("blocked", name, why=cause)
        elif all(met):
            if course.wish.attendant:
                course.since = max([course.since, *(self.courses[need].since for need in self.needs[name])])
            self._look(course)

    def _look(self, course: _Course) -> None:
        name, course.wake = course.wish.name, None
        self.looking.add(name)
        step, view = bind(course.wish, self.ids), self.engine.aws.view(course.since)

        def look() -> None:
            try:
                live = step.observe(view)
                burdens = step.burdens(view, live) if live and not live.foreign and name in self.burdened else Burdens()
                answer = _Looked(name, live and replace(live, contents=burdens.contents), burdens, step)
            except Exception as error:
                answer = _Looked(name, error=error)
            self.engine.inbox.put(answer)

        self.engine.workers.submit(look)

    def _hear(self, message: _Looked | _Called | None) -> None:
        if isinstance(message, _Looked):
            self._looked(message)
        elif isinstance(message, _Called):
            self._called(message)

    def _looked(self, message: _Looked) -> None:
        course = self.courses[message.name]
        self.looking.discard(message.name)
        if message.error is not None or message.step is None:
            return self._fail(course, _failure(message.error))
        course.step, course.live, course.burdens = message.step, message.live, message.burdens
        if course.live is not None and isinstance(course.live.id, str):
            self.ids[message.name] = course.live.id
        elif not self.tearing:
            self.ids.pop(message.name, None)
        now = self.engine.clock.now()
        try:
            decision = self.policy(course.step, course.live, course.past, now, self.engine.window)
        except Exception as error:
            return self._fail(course, _failure(error))
        return self._follow(course, decision)

    def _follow(self, course: _Course, decision: Decision) -> None:
        match decision:
            case Settled():
                self._finish(course)
            case Asleep(until, why):
                self._sleep(course, until, why)
            case Act(batches):
                course.batches = batches
                self._advance(course)
            case Failed():
                self._fail(course, decision)

    def _finish(self, course: _Course) -> None:
        name, journal = course.wish.name, self.engine.journal
        gone = self.tearing
        self.results[name] = "gone" if gone else "settled"
        if self.policy is _only_look:
            return
        if gone and course.live is not None:
            course.remains = course.remains or _remains(course.wish, course.live)
        if gone:
            journal.gone(name)
            self._tell("gone", name)
        else:
            journal.settled(name, course.wish.kind, self.ids.get(name, ""), course.wish.specification)
            self._tell("settled", name, id=self.ids.get(name, ""))

    def _sleep(self, course: _Course, until: float, why: str) -> None:
        now = self.engine.clock.now()
        course.wake, course.touched = until, True
        course.busy_since = now if course.busy_since is None else course.busy_since
        self._tell("waiting", course.wish.name, why=why, seconds=until - now)

    def _fail(self, course: _Course, reason: Failed) -> None:
        name = course.wish.name
        self.results[name] = "failed"
        self.failures.append(
            Failure(
                step=name,
                operation=reason.operation,
                code=reason.code,
                message=reason.message,
                remedy=reason.remedy,
            )
        )
        if self.policy is not _only_look:
            self.engine.journal.failed(name)
            told = {"code": reason.code, "why": reason.message, "remedy": reason.remedy}
            self._tell("failed", name, operation=reason.operation, **told)

    def _advance(self, course: _Course) -> None:
        """Take the next calls of a step, or look again where they wait for an id or there are none left."""
        batch = next(course.batches, None) if course.batches is not None else None
        resolved = tuple(call.resolved(self.ids) for call in batch or ())
        if not resolved or any(call.unknowns for call in resolved):
            course.batches = None
            self._look(course)
        else:
            self.outbox.append((course, resolved))

    def _send(self) -> None:
        """Put the intent of every call that is ready on disk, in one write, then let them leave."""
        ready, self.outbox = ([] if self.stopping else self.outbox), []
        now = self.engine.clock.now()
        for course, batch in ready:
            if self.tearing:
                self.engine.journal.leaving(course.wish.name)
                course.remains = course.remains or (_remains(course.wish, course.live) if course.live else "")
            sent = [(call.operation, call.digest, call.params) for call in batch]
            self.engine.journal.intend(course.wish.name, course.wish.kind, sent, now)
        if not self._committed():
            return
        for course, batch in ready:
            course.touched, course.error = True, None
            course.out = {call.digest: call for call in batch}
            for call in batch:
                self._tell("calling", course.wish.name, operation=call.operation)
                token = self._token(course, call) if call.creates else ""
                self.engine.workers.submit(self._perform, course.wish.name, call, token, now)

    def _committed(self) -> bool:
        """Write the journal. A state that cannot be written stops the run: no call leaves without its intent."""
        try:
            self.engine.journal.commit()
        except Exception as error:
            self.halted = self.halted or error
            return False
        return True

    def _perform(self, name: str, call: Call, token: str, started: float) -> None:
        if self.stopping:
            self.engine.inbox.put(_Called(name, call, started, sent=False))
            return
        try:
            answer = _Called(name, call, started, newborn_id(call, self.engine.aws.perform(call, token)))
        except Exception as error:
            answer = _Called(name, call, started, error=error)
        self.engine.inbox.put(answer)

    def _token(self, course: _Course, call: Call) -> str:
        """Give the client token of a create: the same after a lost state, another after a deletion."""
        name, record = course.wish.name, self.engine.journal.record(course.wish.name)
        dead = {*self.engine.journal.past(name), *self.engine.aws.corpses[name], record.id if record else ""}
        return fingerprint(self.engine.stack.identity, name, call.params, dead - {""})

    def _called(self, message: _Called) -> None:
        course, call, now = self.courses[message.name], message.call, self.engine.clock.now()
        if not message.sent:
            self.engine.journal.outcome(message.name, call.digest, now, UNSENT)
            del course.out[call.digest]
            return None
        error = message.error if isinstance(message.error, AwsError) else None
        code = error.code if error else ""
        self.engine.journal.outcome(message.name, call.digest, now, code, message.id)
        seconds = now - message.started
        self._tell("called", message.name, operation=call.operation, code=code, id=message.id, seconds=seconds)
        del course.out[call.digest]
        course.since = self.engine.aws.tick()
        if error is None or error.verdict is Verdict.UNKNOWN:
            course.made[call.digest] = now
            course.tries[call.digest] += 1
            course.busy_since = None
        if call.creates and (error is None or error.verdict in (Verdict.UNKNOWN, Verdict.EXISTS)):
            course.born = now
        if message.name in self.results:
            return None
        if error is None and message.error is not None:
            return self._fail(course, _failure(message.error))
        if message.id and call.creates:
            self.ids[message.name] = message.id
        if error is not None and (course.error is None or error.verdict is Verdict.FATAL):
            course.error = error
        if course.out:
            return None
        return self._advance(course) if course.error is None else self._refused(course, course.error)

    def _refused(self, course: _Course, error: AwsError) -> None:
        """Act on an error by its verdict: give up, or look again, now or after a while."""
        course.batches = None
        now = self.engine.clock.now()
        since = course.busy_since if course.busy_since is not None else now
        gave_up = Failed(error.code, error.message, error.remedy, error.operation)
        match error.verdict:
            case Verdict.THROTTLED | Verdict.FATAL:
                self._fail(course, gave_up)
            case Verdict.LATER if now - since >= self.engine.lingering:
                self._fail(course, gave_up)
            case Verdict.GONE if not self.tearing and now - since >= self.engine.window:
                self._again(course, gave_up)
            case Verdict.LATER:
                self._sleep(course, now + decide.pause(since, now), f"{error.code}: {error.message}")
            case Verdict.GONE if not self.tearing:
                self._sleep(
                    course, now + decide.pause(since, now), f"{error.operation.partition('.')[2]} to be possible"
                )
            case _:
                self._again(course, gave_up)

    def _again(self, course: _Course, gave_up: Failed) -> None:
        """Look again at once, a bounded number of times for the same answer."""
        course.tries[gave_up.code] += 1
        if course.tries[gave_up.code] > decide.TRIES and gave_up.operation:
            self._fail(course, gave_up)
        else:
            self._look(course)

    def _course(self, wish: Step, since: int) -> _Course:
        """Begin where the journal says an earlier run was."""
        course = _Course(wish, since)
        record = self.engine.journal.record(wish.name)
        for sent in record.calls if record else ():
            if not sent.code or classify(sent.code) is Verdict.UNKNOWN:
                at = sent.done or sent.at
                course.made[sent.digest] = at
                if Call(sent.operation).creates:
                    course.born = at
        return course

    def _tell(self, what: What, step: str, **details: Any) -> None:
        self.engine.tell(Event(what=what, at=self.engine.clock.now(), step=step, **details))


def _failure(error: Exception | None) -> Failed:
    if isinstance(error, AwsError):
        return Failed(error.code, error.message, error.remedy, error.operation)
    if isinstance(error, Ambiguous):
        return Failed(
            "Ambiguous", f"{error}: they carry the same tags", "remove or retag all but one, then run the command again"
        )
    return Failed(
        "Defect", f"{type(error).__name__}: {error}", "report this as a defect of provisioner; run again to go on"
    )


def _remains(wish: Step, live: Live) -> str:
    return f"{live.id} is not ours and was left alone" if live.foreign else wish.remains(live)
