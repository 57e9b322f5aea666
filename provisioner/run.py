"""The commands that change something, each whole from opening a stack to its exit code: provision, teardown, rehearse.

Knows no option and not how a terminal asks.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner import notice, plan_file, report
from provisioner import plan as planning
from provisioner.border import screened
from provisioner.caller import (
    Caller,
    Pricing,
    checked,
    estimated,
    lies_ahead,
    looked,
    on,
    refused,
    told_whole,
    where,
    with_cost,
)
from provisioner.engine import Sight
from provisioner.estimate import Forecast, Stopwatch
from provisioner.exits import DONE, FAILED, INTERRUPTED, REFUSED, Stop
from provisioner.plan import Planned
from provisioner.plan_text import plan_text, planned_lines
from provisioner.preflight import Findings
from provisioner.session import Session
from provisioner.wiring import Outcome, Unshown
from provisioner.words import joined

if TYPE_CHECKING:
    from provisioner.bill import Estimate


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run is to be done."""

    verb: str
    """``provision`` or ``teardown``."""
    flags: frozenset[str] = frozenset()
    """The protections that are lifted."""
    yes: bool = False
    """Whether nobody is asked."""
    strict: bool = False
    """Whether a warning refuses too."""
    unchecked: bool = False
    """Whether AWS is not asked beforehand what it would refuse."""
    held_to: Path | None = None
    """The plan on disk that holds every call it may make; it was shown, so nobody is asked."""

    @property
    def tearing(self) -> bool:
        return self.verb == "teardown"


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """What a look came to: what there is, what would be called, what was found against it and what it costs."""

    sight: Sight
    planned: Sequence[Planned]
    found: Findings
    estimate: Estimate | None


def run(caller: Caller, manner: Manner) -> int:
    """Look, plan, check, refuse or ask, run, report: the whole of provision and of teardown."""
    tearing, begun = manner.tearing, time.monotonic()
    shown = plan_file.read(manner.held_to) if manner.held_to else None
    with told_whole(caller, not tearing), on(caller, writing=True) as session:
        asks = caller.request.target == "aws" and not (manner.yes or shown)
        priced = not tearing and (asks or session.settings.budget is not None)
        pricing = session.asked_prices() if priced else None
        ahead = _allowed(caller, session, manner, pricing)
        caller.warn(ahead.found, [] if tearing else planning.losses(ahead.sight))
        if shown is not None:
            _hold(caller, session, shown, ahead)
        elif asks and lies_ahead(ahead.planned):
            _ask(caller, session, manner, ahead)
            # Whoever was asked took their time: what was seen before is too old to act on.
            ahead = _allowed(caller, session, manner, pricing, before=ahead)
        sight = ahead.sight
        forecast = session.forecast(sight, ahead.planned, tearing) if caller.draws else None
        with _interruptible(session), _watched(caller, session, sight, manner.verb, forecast):
            try:
                outcome = (session.engine.teardown if tearing else session.engine.provision)(sight)
            except Unshown as stopped:
                assert shown is not None
                raise _unshown(caller, session, shown, stopped) from stopped
        told: dict[str, Any] = {
            "stack": session.stack.name,
            "outcome": outcome,
            "sight": sight,
            "mutating": session.aws.mutations,
            "reads": session.aws.reads,
            "seconds": time.monotonic() - begun,
        }
    code, result = _verdict(outcome)
    found = notice.found_json(ahead.found, caller.at)
    caller.tell(
        report.run_json(**told, exit_code=code, result=result, found=found),
        lambda: report.run_text(verb=manner.verb, **told, durations=session.durations, again=caller.again),
    )
    return code


def rehearse(caller: Caller, faults: str, seed: int, time_scale: float) -> int:
    """Rehearse an environment in a cloud of its own, of which nothing is left whatever happens."""
    from provisioner import rehearsal, verdict
    from provisioner.local.private import private_cloud

    def tell(line: str) -> None:
        with suppress(OSError):
            print(screened(line), file=sys.stderr, flush=True)

    rehearsal.rehearsable(caller.request)
    try:
        with private_cloud(time_scale, rehearsal.PACE) as ground:
            played = rehearsal.rehearse(
                caller.request,
                ground,
                faults=faults,
                seed=seed,
                time_scale=time_scale,
                tell=(lambda _: None) if caller.as_json else tell,
            )
    except KeyboardInterrupt as error:
        again = "nothing of it is left; run the same command again to begin anew"
        raise Stop(INTERRUPTED, "interrupted", "interrupted", again) from error
    caller.tell(verdict.rehearsal_json(played), lambda: verdict.rehearsal_text(played, caller.again))
    return DONE if played.passed else FAILED


def _allowed(
    caller: Caller, session: Session, manner: Manner, pricing: Pricing | None, before: _Ahead | None = None
) -> _Ahead:
    """Take a look, check what lies ahead and refuse what forbids it; after one ``before`` AWS is asked no question
    again that was answered."""
    sight = looked(session, manner.flags, manner.tearing, fresh=before is not None)
    planned = planning.teardown(sight) if manner.tearing else planning.provision(sight)
    estimate = estimated(session, sight, pricing) if pricing else None
    if manner.tearing:
        found = Findings(refusals=tuple(planning.refusals(sight, manner.flags, tearing=True)))
    else:
        found = checked(
            session,
            sight,
            planned,
            estimate=estimate,
            flags=manner.flags,
            strict=manner.strict,
            unchecked=manner.unchecked or before is not None,
        )
    if found.refusals:
        raise refused(caller, found, manner.verb)
    return _Ahead(sight=sight, planned=planned, found=before.found if before else found, estimate=estimate)


def _hold(caller: Caller, session: Session, shown: plan_file.Shown, ahead: _Ahead) -> None:
    """Hold a run to the plan that was shown; what lies ahead by now and is not in it ends the command."""
    shown.check(session.stack, caller.request.target)
    if missing := shown.missing(ahead.planned, planning.known_ids(ahead.sight)):
        raise _differs(caller, shown, missing, "nothing was changed", REFUSED)
    session.engine.allowed = shown.allows


def _unshown(caller: Caller, session: Session, shown: plan_file.Shown, stopped: Unshown) -> Stop:
    """Say at which call a run ended that was held to a plan."""
    kinds = {step.name: step.kind for step in session.steps}
    due = Planned(
        step=stopped.step,
        kind=kinds.get(stopped.step, "left the file"),
        status="differs",
        reason="changed while the run went on",
        calls=(stopped.call,),
    )
    done = session.aws.mutations
    kept = "what was done before is kept" if done else "nothing was changed"
    return _differs(caller, shown, [due], kept, FAILED if done else REFUSED)


def _differs(caller: Caller, shown: plan_file.Shown, missing: Sequence[Planned], kept: str, exit_code: int) -> Stop:
    """Tell the calls that were not shown."""
    message = f"the plan in {shown.path}, made {shown.made}, does not show what has to be called by now; {kept}"
    edited = plan_file.digest_of(caller.file) != shown.environment
    remedy = f"see the plan as it is now: {caller.other('plan')} --out {shlex.quote(str(shown.path))}"
    lines = [message[0].upper() + message[1:] + ".", "", *(line for each in missing for line in planned_lines(each))]
    lines += ["The environment file has been edited since.", ""] if edited else []
    told = ", ".join(f"{each.step}: {call.operation}" for each in missing for call in each.calls)
    return Stop(
        exit_code, "unshown", f"{message}: {told}", remedy, text=joined([*lines, remedy[0].upper() + remedy[1:]])
    )


def _ask(caller: Caller, session: Session, manner: Manner, ahead: _Ahead) -> None:
    """Show the plan and ask; without a terminal, or with nobody to read it, refuse."""
    verb, stack = manner.verb, session.stack
    if caller.as_json or not sys.stdin.isatty():
        raise Stop(REFUSED, "unconfirmed", f"{verb} on aws asks first, and nobody is there to answer", "pass --yes")
    forecast = session.forecast(ahead.sight, ahead.planned, manner.tearing)
    told = plan_text(ahead.planned, **where(session), tearing=manner.tearing, forecast=forecast)
    caller.say(with_cost(told, ahead.estimate), marked=True)
    if not caller.ask(f"{verb} {stack.name} in account {stack.account}?"):
        raise Stop(REFUSED, "declined", "declined", "", text="Declined; nothing was changed.")


def _verdict(outcome: Outcome) -> tuple[int, str]:
    if outcome.interrupted:
        return INTERRUPTED, "interrupted"
    return (FAILED, "failed") if outcome.failures else (DONE, "done")


@contextmanager
def _watched(caller: Caller, session: Session, sight: Sight, verb: str, forecast: Forecast | None) -> Iterator[None]:
    """Draw the run where somebody looks at it, and remember what it took, however it ends."""
    stopwatch = Stopwatch({name: wish.kind for name, wish in sight.wishes.items()})
    session.listeners.append(stopwatch)
    with ExitStack() as stack:
        stack.callback(session.remember, stopwatch)
        if caller.draws:
            from provisioner.progress import LiveView

            view = stack.enter_context(LiveView(list(sight.wishes), verb, session.engine.clock.now, forecast=forecast))
            session.listeners.append(view)
        yield


@contextmanager
def _interruptible(session: Session) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run in good order instead of in the middle of a call, and a second Ctrl-C at
    once."""
    engine = session.engine
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: (engine.abandon if engine.stopping else engine.stop)()),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: engine.stop()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
