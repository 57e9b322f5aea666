"""The whole of one command, from opening a stack to its exit code; knows no option and not how a terminal asks."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner import bill, config, drawing, log, plan_file, report
from provisioner import cost as costing
from provisioner import drift as drifting
from provisioner import graph as edges
from provisioner import plan as planning
from provisioner.bill import Estimate
from provisioner.engine import Sight
from provisioner.errors import LOCKED_OUT
from provisioner.estimate import Forecast, Stopwatch
from provisioner.exits import DONE, FAILED, INTERRUPTED, REFUSED, USAGE, Stop
from provisioner.kit import Objection
from provisioner.plan import Planned
from provisioner.plan_text import plan_json, plan_text, planned_lines
from provisioner.prices import Prices
from provisioner.session import Connect, Request, Session, drafted, opened, price_lists
from provisioner.wiring import Outcome, Unshown
from provisioner.words import joined

Pricing = Callable[[], Prices]
"""Ends what was begun to find out prices."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who typed a command, what they want of any, and how to speak to them."""

    request: Request
    typed: Sequence[str]
    """The words after ``provisioner``."""
    as_json: bool
    log_format: log.Format | None
    verbose: int
    say: Callable[[str], object]
    ask: Callable[[str], bool]
    connect: Connect | None = None
    """How to reach AWS in place of the target's own way."""

    @property
    def draws(self) -> bool:
        """Whether to draw: on a terminal that can, and where nobody asked for log lines."""
        capable = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return capable and not (self.as_json or self.log_format or self.verbose)

    def tell(self, document: Any, text: Callable[[], str]) -> None:
        """Say the one JSON document, or the text where none was asked for."""
        self.say(json.dumps(document, indent=2) if self.as_json else text())

    def show(self, document: Any, text: Callable[[], str]) -> None:
        """Say the one JSON document, or the text, which has marks at the beginning of its lines, in colour."""
        self.tell(document, lambda: _painted(text()))


def run(caller: Caller, verb: str, flags: frozenset[str], yes: bool, held_to: Path | None = None) -> int:
    """Look, plan, refuse or ask, run, report: the whole of provision and of teardown.

    Held to a plan on disk nobody is asked: it was shown, and no call is made that it does not show.
    """
    tearing = verb == "teardown"
    begun = time.monotonic()
    shown = plan_file.read(held_to) if held_to else None
    with _opened(caller, writing=True, strict=not tearing) as session:
        asks = caller.request.target == "aws" and not yes
        priced = not tearing and (asks or session.settings.budget is not None)
        pricing = session.asked_prices() if priced else None
        sight = _allowed(session, verb, flags, pricing)
        planned = planning.teardown(sight) if tearing else planning.provision(sight)
        if shown is not None:
            _hold(caller, session, shown, sight, planned)
        elif asks and _lies_ahead(planned):
            _ask(caller, verb, session, sight, planned, _estimated(session, sight, pricing) if pricing else None)
            # Whoever was asked took their time: what was seen before is too old to act on.
            sight = _allowed(session, verb, flags, pricing, fresh=True)
        if pricing:
            _warn(costing.budget_objections(session.settings.budget, _estimated(session, sight, pricing).then)[1])
        forecast = session.forecast(sight, planned, tearing) if caller.draws else None
        with _interruptible(session), _watched(caller, session, sight, verb, forecast):
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
    again = shlex.join(["provisioner", *caller.typed])
    caller.tell(
        report.run_json(**told, exit_code=code, result=result),
        lambda: report.run_text(verb=verb, **told, durations=session.durations, again=again),
    )
    return code


def plan(caller: Caller, detailed: bool, out: Path | None = None) -> int:
    """Show what provision would do, what it costs, and what forbids it; ``detailed`` has an exit code tell whether
    there is anything to do.

    What nothing forbids is put into ``out`` too, for a run to be held to.
    """
    with _opened(caller) as session:
        pricing = session.asked_prices()
        sight = _looked(session)
        planned = planning.provision(sight)
        estimate = _estimated(session, sight, pricing)
        over, warnings = costing.budget_objections(estimate.budget, estimate.then)
        refusals = [*planning.refusals(sight, frozenset(), tearing=False), *over]
        told: dict[str, Any] = {**_where(session), "forecast": session.forecast(sight, planned)}
        caller.show(
            {**plan_json(planned, **told, refusals=refusals), "cost": bill.plan_json(estimate)},
            lambda: _with_cost(plan_text(planned, **told), estimate),
        )
        if out is not None and not refusals:
            file = _environment_file(caller.request)
            plan_file.write(out, planned, stack=session.stack, target=caller.request.target, file=file)
            if not caller.as_json:
                caller.say(
                    f"Written to {out}. To do just that: {_building(caller.request)} --plan {shlex.quote(str(out))}"
                )
    _warn(warnings)
    if refusals and not caller.as_json:
        raise _refused(refusals, "provision")
    if refusals:
        return FAILED if detailed else REFUSED
    return 2 if detailed and _lies_ahead(planned) else DONE


def drift(caller: Caller, accept: Sequence[str]) -> int:
    """Show what somebody changed since the last run, 2 if anything; or say what to write to keep some of it."""
    with _opened(caller, strict=False) as session:
        sight = _looked(session)
        if not drifting.remembered(sight):
            message = f"no run on this machine has settled anything of {session.stack.name}, so nothing can be compared"
            raise Stop(FAILED, "unrecorded", message, f"see what differs from the file: {_typed(caller, 'plan')}")
        found, unclear, where = drifting.drifted(sight, session.settings), drifting.untold(sight), _where(session)
        if accept:
            _accept(caller, found, accept)
            return DONE
        caller.show(drifting.drift_json(found, unclear, **where), lambda: drifting.drift_text(found, unclear, **where))
    return 2 if found else DONE


def cost(caller: Caller, environments: Sequence[str]) -> int:
    """Compare what environments cost, all of them where none is named; looks at their files and at price lists only."""
    folder = caller.request.config_dir
    names = list(dict.fromkeys(environments)) or config.names(folder)
    if not names:
        remedy = "to begin with some: provisioner environments --write"
        raise Stop(USAGE, "usage", f"no environment in {folder}", remedy)
    files = {name: config.load(folder, name) for name in names}
    prices = price_lists(caller.request, {each.region for each in files.values()}, caller.connect)
    compared = [bill.compare(name, drafted(each), prices[each.region]) for name, each in files.items()]
    caller.tell(bill.comparison_json(compared), lambda: bill.comparison_text(compared))
    return DONE


def status(caller: Caller) -> int:
    """Show every step; what cannot be looked at is a row as well, and makes the command fail."""
    with _opened(caller, strict=False) as session:
        sight = session.look()
        if any(failure.code in LOCKED_OUT for failure in sight.failures):
            raise _unseen(sight)
        caller.tell(report.status_json(sight, session.stack.name), lambda: report.status_text(sight))
    return FAILED if sight.failures else DONE


def outputs(caller: Caller, form: str) -> int:
    """Print what others need to know of a stack that is there."""
    with _opened(caller, strict=False) as session:
        sight = _looked(session)
        if not any(seen.live and not (seen.live.foreign or seen.leftover) for seen in sight.seen.values()):
            raise Stop(FAILED, "absent", f"{session.stack.name} is not there", f"build it: {_building(caller.request)}")
        found = report.outputs(sight, region=session.stack.region, account=session.stack.account)
        caller.tell(found, lambda: report.outputs_env(found) if form == "env" else report.outputs_text(found))
    return DONE


def graph(caller: Caller, form: str) -> int:
    """Print which step waits for which, as text, for Mermaid or for Graphviz."""
    draw = {"text": drawing.tree, "mermaid": drawing.mermaid, "dot": drawing.dot}[form]
    with _opened(caller, strict=False) as session:
        needs = edges.edges(session.steps)
        steps = [{"step": s.name, "kind": s.kind, "needs": sorted(needs[s.name])} for s in session.steps]
        caller.tell({"stack": session.stack.name, "steps": steps}, lambda: draw(session.steps))
    return DONE


def rehearse(caller: Caller, faults: str, seed: int, time_scale: float) -> int:
    """Rehearse an environment in a cloud of its own, of which nothing is left whatever happens."""
    from provisioner import rehearsal, verdict
    from provisioner.local.private import private_cloud

    def tell(line: str) -> None:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)

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
    again = shlex.join(["provisioner", *caller.typed])
    caller.tell(verdict.rehearsal_json(played), lambda: verdict.rehearsal_text(played, again))
    return DONE if played.passed else FAILED


@contextmanager
def _opened(caller: Caller, writing: bool = False, strict: bool = True) -> Iterator[Session]:
    """Open the stack; events become log lines where asked for, or where no terminal shows them."""
    listeners = []
    if caller.log_format or caller.verbose or (writing and not caller.draws):
        listeners.append(log.listener(caller.log_format or "console", caller.verbose))
    with opened(caller.request, writing, caller.connect, listeners, strict) as session:
        yield session


def _allowed(
    session: Session, verb: str, flags: frozenset[str], pricing: Pricing | None = None, fresh: bool = False
) -> Sight:
    """Take a look and refuse what forbids the run."""
    tearing = verb == "teardown"
    sight = _looked(session, flags, tearing, fresh)
    refusals = list(planning.refusals(sight, flags, tearing))
    if pricing:
        refusals += costing.budget_objections(session.settings.budget, _estimated(session, sight, pricing).then)[0]
    if refusals:
        raise _refused(refusals, verb)
    return sight


def _estimated(session: Session, sight: Sight, pricing: Pricing) -> Estimate:
    """Price what stands and what is wanted."""
    told = pricing()
    now, then = (costing.cost(steps(sight), told) for steps in (costing.standing, costing.wanted))
    return Estimate(prices=told, now=now, then=then, budget=session.settings.budget)


def _with_cost(plan: str, estimate: Estimate) -> str:
    return "\n".join([plan, "", *bill.plan_lines(estimate)])


def _warn(warnings: Sequence[Objection]) -> None:
    for line in bill.warning_lines(warnings):
        print(line, file=sys.stderr)


def _looked(session: Session, flags: frozenset[str] = frozenset(), tearing: bool = False, fresh: bool = False) -> Sight:
    """Take a look; what cannot be looked at ends the command, with nothing changed."""
    sight = session.look(flags, tearing, fresh)
    if sight.failures:
        raise _unseen(sight)
    return sight


def _unseen(sight: Sight) -> Stop:
    # The credentials are the cause of whatever else was refused with them.
    first = next((each for each in sight.failures if each.code in LOCKED_OUT), sight.failures[0])
    told = "; ".join(f"{each.step}: {each.message}" for each in sight.failures)
    refused = all(each.code in ("Ambiguous", "Unnamed", "UnknownKind") for each in sight.failures)
    return Stop(REFUSED if refused else FAILED, first.code, told, first.remedy)


def _refused(objections: Sequence[Objection], verb: str) -> Stop:
    told = "; ".join(f"{each.where}: {each.what}" for each in objections)
    remedies = "; ".join(dict.fromkeys(each.remedy for each in objections))
    return Stop(REFUSED, "refused", told, remedies, text=report.refusals_text(objections, verb))


def _lies_ahead(planned: Sequence[Planned]) -> bool:
    """Tell whether a run would do anything: what is busy now is called for once it is done."""
    return any(each.calls or each.status in ("busy", "broken", "differs") for each in planned)


def _hold(caller: Caller, session: Session, shown: plan_file.Shown, sight: Sight, planned: Sequence[Planned]) -> None:
    """Hold a run to the plan that was shown; what lies ahead by now and is not in it ends the command."""
    shown.check(session.stack, caller.request.target)
    if missing := shown.missing(planned, planning.known_ids(sight)):
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
    edited = plan_file.digest_of(_environment_file(caller.request)) != shown.environment
    remedy = f"see the plan as it is now: {_typed(caller, 'plan')} --out {shlex.quote(str(shown.path))}"
    lines = [message[0].upper() + message[1:] + ".", "", *(line for each in missing for line in planned_lines(each))]
    lines += ["The environment file has been edited since.", ""] if edited else []
    told = ", ".join(f"{each.step}: {call.operation}" for each in missing for call in each.calls)
    return Stop(
        exit_code, "unshown", f"{message}: {told}", remedy, text=joined([*lines, remedy[0].upper() + remedy[1:]])
    )


def _accept(caller: Caller, found: Sequence[drifting.Drifted], keys: Sequence[str]) -> None:
    """Say what to write into the environment file; it is not touched."""
    accepted, objections = drifting.accepted(found, keys)
    if objections:
        lines = [f"{each.where} {each.what}: {each.remedy}" for each in objections]
        remedies = "; ".join(each.remedy for each in objections)
        told = "; ".join(f"{each.where} {each.what}" for each in objections)
        raise Stop(FAILED, "unacceptable", told, remedies, text=joined(lines))
    file = str(_environment_file(caller.request))
    caller.tell(
        {"file": file, "accept": [{"key": each.key, "value": each.value} for each in accepted]},
        lambda: joined(line for each in accepted for line in drifting.writing(each, file)),
    )


def _ask(
    caller: Caller,
    verb: str,
    session: Session,
    sight: Sight,
    planned: Sequence[Planned],
    estimate: Estimate | None = None,
) -> None:
    """Show the plan and ask; without a terminal, or with nobody to read it, refuse."""
    if caller.as_json or not sys.stdin.isatty():
        raise Stop(REFUSED, "unconfirmed", f"{verb} on aws asks first, and nobody is there to answer", "pass --yes")
    stack, tearing = session.stack, verb == "teardown"
    forecast = session.forecast(sight, planned, tearing)
    told = plan_text(planned, **_where(session), tearing=tearing, forecast=forecast)
    caller.say(_painted(_with_cost(told, estimate) if estimate else told))
    if not caller.ask(f"{verb} {stack.name} in account {stack.account}?"):
        raise Stop(REFUSED, "declined", "declined", "", text="Declined; nothing was changed.")


def _verdict(outcome: Outcome) -> tuple[int, str]:
    if outcome.interrupted:
        return INTERRUPTED, "interrupted"
    return (FAILED, "failed") if outcome.failures else (DONE, "done")


def _where(session: Session) -> dict[str, Any]:
    return {"stack": session.stack.name, "target": session.request.target, "region": session.stack.region}


def _environment_file(request: Request) -> Path:
    return request.config_dir / f"{request.environment}.toml"


def _painted(text: str) -> str:
    """Give the text in colour where a terminal reads it."""
    if not sys.stdout.isatty():
        return text
    from provisioner.paint import painted

    return painted(text)


def _typed(caller: Caller, command: str) -> str:
    """Give another command on the same stack."""
    first, _, rest = _building(caller.request).partition(" provision ")
    return f"{first} {command} {rest}"


def _building(request: Request) -> str:
    """Give the command that builds the stack a request is about."""
    options = [("--suffix", request.suffix), ("--target", request.target if request.target != "local" else "")]
    words = [word for option, value in options if value for word in (option, value)]
    return shlex.join(["provisioner", "provision", request.environment, *words])


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
