"""The loop: observe, decide, intend, perform, record, observe again; knows no resource and prints nothing.

One thread decides and writes; looks and calls run in a pool and report to its inbox. A step starts the moment its own
needs are met, sleeps without a thread, and is done when nothing remains to be called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from provisioner import decide, graph
from provisioner.aws import newborn_id
from provisioner.course import Called, Course, Looked
from provisioner.decide import Act, Asleep, Batch, Decision, Failed, Past, Settled
from provisioner.errors import LOCKED_OUT, AwsError, Verdict
from provisioner.events import Event, What
from provisioner.kit import Ambiguous, Call, Denied, Live, Step, Unknown, bind, fingerprint
from provisioner.retry import UNHEARD
from provisioner.terms import Burdens
from provisioner.wiring import Failure, Outcome, Result, Unshown, Wiring

Policy = Callable[[Step, Live | None, Past, float, float], Decision]
UNANSWERED = 12
"""How often running a step may get the same 5xx or lose its connection; out of reach where a third of them are lost."""
SPREADING = 300.0
"""Seconds for which a service may know nothing of a role or a key that is there, or of its tags: KMS takes up to five
minutes for those (KMS Developer Guide, "ABAC for AWS KMS")."""
UNSENT = "Unsent"
"""The code under which the journal keeps a call that was announced and, the run being stopped, never left."""


def only_look(step: Step, live: Live | None, past: Past, now: float, window: float) -> Decision:
    """Be the policy of a run that changes nothing: whatever is found, that is all."""
    return Settled()


class Run:
    """Some steps, in one direction, to the end."""

    def __init__(
        self,
        wiring: Wiring,
        wishes: Mapping[str, Step],
        needs: graph.Edges,
        policy: Policy,
        burdened: set[str] | None = None,
        ids: Mapping[str, str] | None = None,
        since: int = 0,
    ) -> None:
        graph.ordered(needs)
        self.wiring, self.needs, self.policy, self.burdened = wiring, needs, policy, burdened or set()
        self.tearing = policy is decide.toward_nothing
        self.courses = {
            name: Course.begun(wish, since, wiring.journal.record(name), wiring.clock.now())
            for name, wish in wishes.items()
        }
        self.used: Mapping[str, tuple[str, ...]] = {}
        """Which steps that stay refer to one that is to go, and keep it."""
        self.results: dict[str, Result] = {}
        self.ids: dict[str, str] = dict(ids or {})
        self.failures: list[Failure] = []
        self.outbox: list[tuple[Course, Batch]] = []
        self.looking: set[str] = set()
        self.halted: Exception | None = None
        self.locked_out = False
        """Whether AWS takes these credentials for none: whatever is asked next would be told the same."""

    def go(self) -> Outcome:
        """Run until every step is settled, gone, failed or blocked, or until the run is stopped."""
        while True:
            self._start()
            self._send()
            if not self._pending():
                break
            self._hear(self.wiring.clock.take(self.wiring.inbox, self._patience()))
            while not self.wiring.inbox.empty():
                self._hear(self.wiring.inbox.get())
        if self.interrupted:
            self._tell("stopping", "")
        if self.halted is not None:
            raise self.halted
        return Outcome(
            results={name: self.results.get(name, "interrupted") for name in self.courses},
            ids=self.ids,
            failures=tuple(self.failures),
            remains=tuple(
                course.remains
                for name, course in self.courses.items()
                if self.results.get(name) in ("gone", "kept") and course.remains
            ),
            interrupted=self.interrupted,
        )

    @property
    def interrupted(self) -> bool:
        return self.wiring.clock.stopped.is_set() or self.halted is not None

    @property
    def stopping(self) -> bool:
        return self.interrupted or self.locked_out

    def _pending(self) -> bool:
        under_way = not self.wiring.abandoned and any(course.out for course in self.courses.values())
        return under_way or (not self.stopping and len(self.results) < len(self.courses))

    def _patience(self) -> float | None:
        """Seconds until the first sleeper wakes, ``None`` if nobody sleeps."""
        wakes = [course.wake for course in self.courses.values() if course.wake is not None]
        return max(0.0, min(wakes) - self.wiring.clock.now()) if wakes else None

    def _start(self) -> None:
        """Wake who is due, and start whose needs are met; sleepers that wake together share their answers."""
        if self.stopping:
            return
        now = self.wiring.clock.now()
        due = [course for course in self.courses.values() if course.wake is not None and course.wake <= now]
        tick = self.wiring.aws.tick() if due else 0
        for course in due:
            course.since = tick
            self._look(course)
        for name, course in self.courses.items():
            if name not in self.results and course.step is None and name not in self.looking:
                self._begin(name, course)

    def _begin(self, name: str, course: Course) -> None:
        met = [self.results.get(need) for need in self.needs[name]]
        if any(result in ("failed", "blocked") for result in met):
            cause = next(need for need in sorted(self.needs[name]) if self.results.get(need) in ("failed", "blocked"))
            self.results[name] = "blocked"
            if self.policy is not only_look:
                self._tell("blocked", name, why=cause)
        elif all(met):
            # What depends on it has only now become what this one is judged by.
            if course.wish.attendant or not course.wish.guarded:
                course.since = max([course.since, *(self.courses[need].since for need in self.needs[name])])
            self._look(course)

    def _look(self, course: Course) -> None:
        name, course.wake = course.wish.name, None
        self.looking.add(name)
        step, view = bind(course.wish, self.ids), self.wiring.aws.view(course.since)

        def look() -> None:
            try:
                live = step.observe(view)
                burdens = step.burdens(view, live) if live and not live.foreign and name in self.burdened else Burdens()
                seen = live and replace(live, contents=burdens.contents)
                answer = Looked(name, seen, burdens, step, asked=view.asked)
            except Exception as error:
                answer = Looked(name, error=error)
            self.wiring.inbox.put(answer)

        self.wiring.workers.submit(look)

    def _hear(self, message: Looked | Called | None) -> None:
        if isinstance(message, Looked):
            self._looked(message)
        elif isinstance(message, Called):
            self._called(message)

    def _looked(self, message: Looked) -> None:
        course = self.courses[message.name]
        self.looking.discard(message.name)
        if isinstance(message.error, Ambiguous):
            return self._looked_at_twins(course, message.error)
        if message.error is not None or message.step is None:
            given_up = isinstance(message.error, AwsError) and message.error.verdict in UNHEARD
            # Interrupted between two tries it has neither been seen nor failed.
            return None if self.stopping and given_up else self._fail(course, _failure(message.error))
        course.step, course.live, course.burdens = message.step, message.live, message.burdens
        needed_by = (*course.burdens.needed_by, *self.used.get(message.name, ()), *self._kept_dependents(message.name))
        if course.live is not None and needed_by:
            course.live = replace(course.live, needed_by=needed_by)
        if course.live is not None and isinstance(course.live.id, str):
            self.ids[message.name] = course.inherited = course.live.id
            course.seen = True
        elif not self.tearing:
            self.ids.pop(message.name, None)
        if self.tearing and course.live is not None:
            course.remains = _remains(course.wish, course.live)
            if stop := _kept_by(course.burdens):
                return self._fail(course, stop)
        # What was seen is as old as its answers: a machine may have slept between these and now.
        now = min(self.wiring.clock.now(), message.asked)
        try:
            decision = self.policy(course.step, course.live, course.past, now, self.wiring.window)
        except Exception as error:
            return self._fail(course, _failure(error))
        return self._follow(course, decision)

    def _kept_dependents(self, name: str) -> tuple[str, ...]:
        """Name what stays and refers to it: what that needs stays as well. What is not ours stays in any case, and AWS
        guards what it uses, or nobody does."""
        guarded = self.courses[name].wish.guarded

        def stays(dependent: str) -> bool:
            live = self.courses[dependent].live
            return self.results.get(dependent) == "kept" or (not guarded and live is not None and bool(live.foreign))

        return tuple(filter(stays, sorted(self.needs[name]))) if self.tearing else ()

    def _looked_at_twins(self, course: Course, error: Ambiguous) -> None:
        """Have what was created in vain removed, unless something of ours may hang on it already."""
        name, now = course.wish.name, self.wiring.clock.now()
        course.step = step = bind(course.wish, self.ids)
        used = any(name in needs and self.wiring.journal.record(each) for each, needs in self.needs.items())
        decision = (
            decide.ambiguous(error) if used else decide.among_twins(step, error, course.past, now, self.wiring.window)
        )
        if self.policy is only_look and not isinstance(decision, Failed):
            course.live = Live(Unknown(name), busy="there twice: the younger one goes")
            return self._finish(course)
        if isinstance(decision, Act):
            calls = [*decision.batches]
            course.surplus, decision = calls[-1][0].digest, Act(iter(calls))
        return self._follow(course, decision)

    def _follow(self, course: Course, decision: Decision) -> None:
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

    def _finish(self, course: Course) -> None:
        name, journal = course.wish.name, self.wiring.journal
        stays = course.live is not None and not course.live.leaving and bool(course.live.needed_by)
        self.results[name] = "kept" if stays else "gone" if self.tearing else "settled"
        if self.policy is only_look:
            return
        if self.results[name] == "gone":
            journal.gone(name)
            self._tell("gone", name)
        else:
            journal.settled(name, course.wish.kind, self.ids.get(name, ""), course.wish.specification)
            self._tell("settled", name, id=self.ids.get(name, ""))

    def _sleep(self, course: Course, until: float, why: str) -> None:
        now = self.wiring.clock.now()
        course.wake, course.touched = until, True
        course.waits(why, now)
        self._tell("waiting", course.wish.name, why=why, seconds=max(0.0, until - now))

    def _fail(self, course: Course, reason: Failed) -> None:
        name = course.wish.name
        if reason.code in LOCKED_OUT:
            if self.locked_out:
                return
            self.locked_out = True
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
        if self.policy is not only_look:
            self.wiring.journal.failed(name)
            told = {"code": reason.code, "why": reason.message, "remedy": reason.remedy}
            self._tell("failed", name, operation=reason.operation, **told)

    def _advance(self, course: Course) -> None:
        """Take the next calls of a step, or look again where they wait for an id or there are none left."""
        batch = next(course.batches, None) if course.batches is not None else None
        resolved = tuple(call.resolved(self.ids) for call in batch or ())
        if not resolved or any(call.unknowns for call in resolved):
            course.batches = None
            self._look(course)
        elif other := [call for call in resolved if not self.wiring.allowed(course.wish.name, call, self.ids)]:
            self.halted = self.halted or Unshown(course.wish.name, other[0])
        else:
            self.outbox.append((course, resolved))

    def _send(self) -> None:
        """Put the intent of every call that is ready on disk, in one write, then let them leave."""
        ready, self.outbox = ([] if self.stopping else self.outbox), []
        now = self.wiring.clock.now()
        for course, batch in ready:
            # What is inside a resource is its owner's business: of calls about contents only the digest is kept.
            inside = course.live is not None and bool(course.live.contents)
            sent = [(call.operation, call.digest, {} if inside else call.params) for call in batch]
            name, kind = course.wish.name, course.wish.kind
            self.wiring.journal.intend(name, kind, sent, now, leaving=self.tearing, born=course.born)
        if not self._committed():
            return
        for course, batch in ready:
            course.touched, course.error = True, None
            course.out = {call.digest: call for call in batch}
            for call in batch:
                self._tell("calling", course.wish.name, operation=call.operation)
                token = self._token(course, call) if call.creates else ""
                self.wiring.workers.submit(self._perform, course.wish.name, call, token, now)

    def _committed(self) -> bool:
        """Write the journal. A state that cannot be written stops the run: no call leaves without its intent."""
        try:
            self.wiring.journal.commit()
        except Exception as error:
            self.halted = self.halted or error
            return False
        return True

    def _perform(self, name: str, call: Call, token: str, started: float) -> None:
        if self.stopping:
            self.wiring.inbox.put(Called(name, call, started, sent=False))
            return
        try:
            answer = Called(name, call, started, newborn_id(call, self.wiring.aws.perform(call, token)))
        except Exception as error:
            answer = Called(name, call, started, error=error)
        self.wiring.inbox.put(answer)

    def _token(self, course: Course, call: Call) -> str:
        """Give the client token of a create: the same after a lost state, another after a deletion."""
        name = course.wish.name
        dead = {*self.wiring.journal.past(name), *self.wiring.aws.corpses[name], *course.dead}
        return fingerprint(self.wiring.stack.identity, name, call.params, dead)

    def _called(self, message: Called) -> None:
        course, call, now = self.courses[message.name], message.call, self.wiring.clock.now()
        if not message.sent:
            self.wiring.journal.outcome(message.name, call.digest, now, UNSENT)
            del course.out[call.digest]
            return None
        error = message.error if isinstance(message.error, AwsError) else None
        code = error.code if error else "Defect" if message.error else ""
        self.wiring.journal.outcome(message.name, call.digest, now, code, message.id)
        seconds = now - message.started
        self._tell("called", message.name, operation=call.operation, code=code, id=message.id, seconds=seconds)
        del course.out[call.digest]
        course.since = self.wiring.aws.tick()
        if error is None or error.verdict is Verdict.UNKNOWN:
            course.tries[call.digest] += 1
            course.unanswered[call.digest] += error is not None
            course.waiting_since = None
        if error is None or error.verdict in (Verdict.UNKNOWN, Verdict.GONE if self.tearing else Verdict.UNKNOWN):
            course.made[call.digest] = now
        if error is None:
            course.refusals.clear()
            course.thinned |= call.digest == course.surplus
        if call.creates and (error is None or error.verdict in (Verdict.UNKNOWN, Verdict.EXISTS)):
            course.born, course.newborn = now, message.id
        elif self.tearing and error is None:
            course.born = None
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

    def _refused(self, course: Course, error: AwsError) -> None:
        """Act on an error by its verdict: give up, or look again, now or after a while."""
        course.batches = None
        now = self.wiring.clock.now()
        why = f"{error.code}: {error.message}"
        verdict = Verdict.SPREADING if _waits_for_tags(course, error, now) else error.verdict
        waited = verdict in (Verdict.LATER, Verdict.SPREADING, Verdict.GONE)
        since = course.waits(why, now) if waited else now
        gave_up = Failed(error.code, error.message, error.remedy, error.operation)
        match verdict:
            case Verdict.THROTTLED if self.stopping:
                pass  # interrupted between two tries: neither done nor failed
            case Verdict.THROTTLED | Verdict.FATAL:
                self._fail(course, gave_up)
            case Verdict.LATER if now - since >= self.wiring.lingering:
                self._fail(course, gave_up)
            case Verdict.SPREADING if now - since >= SPREADING:
                self._fail(course, gave_up)
            case Verdict.GONE if not self.tearing and now - since >= self.wiring.window:
                self._again(course, gave_up)
            case Verdict.LATER | Verdict.SPREADING:
                self._sleep(course, now + decide.pause(since, now), why)
            case Verdict.GONE if not self.tearing:
                self._sleep(course, now + decide.pause(since, now), why)
            case Verdict.UNKNOWN:
                self._again(course, gave_up, UNANSWERED)
            case _:
                self._again(course, gave_up)

    def _again(self, course: Course, gave_up: Failed, times: int = decide.TRIES) -> None:
        """Look again at once, a bounded number of times for the same answer."""
        course.refusals[gave_up.code] += 1
        if course.refusals[gave_up.code] > times:
            self._fail(course, gave_up)
        else:
            self._look(course)

    def _tell(self, what: What, step: str, **details: Any) -> None:
        self.wiring.tell(Event(what=what, at=self.wiring.clock.now(), step=step, **details))


def _failure(error: Exception | None) -> Failed:
    if isinstance(error, AwsError):
        return Failed(error.code, error.message, error.remedy, error.operation)
    return Failed(
        "Defect", f"{type(error).__name__}: {error}", "report this as a defect of provisioner; run again to go on"
    )


def _waits_for_tags(course: Course, error: AwsError, now: float) -> bool:
    """Tell whether what was denied may be allowed as soon as the tags of the newborn are heeded."""
    young = course.born is not None and now - course.born < SPREADING
    return course.wish.tags_spread and isinstance(error, Denied) and young


def _kept_by(burdens: Burdens) -> Failed | None:
    """Say what keeps a resource from being torn down, if anything does."""
    for code, objections in (("Protected", burdens.protections), ("InUse", burdens.strangers)):
        if objections:
            remedies = dict.fromkeys(each.remedy for each in objections)
            return Failed(code, "; ".join(each.what for each in objections), "; ".join(remedies))
    return None


def _remains(wish: Step, live: Live) -> str:
    return f"{live.id} is not ours and was left alone" if live.foreign else wish.remains(live)
