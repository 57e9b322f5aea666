"""Who typed a command, and what every command does for them: open the stack, look, check, refuse, warn.

Knows no single command, no option, and not how a terminal asks.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner import log, notice, preflight, report
from provisioner import plan as planning
from provisioner.border import document, screened
from provisioner.config import page
from provisioner.engine import Sight
from provisioner.errors import LOCKED_OUT
from provisioner.exits import FAILED, REFUSED, Stop
from provisioner.page import ConfigError
from provisioner.plan import Planned
from provisioner.preflight import Findings
from provisioner.prices import Prices
from provisioner.session import Connect, Request, Session, opened

if TYPE_CHECKING:
    from provisioner.bill import Estimate

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
    echo: Callable[[str], object]
    """Puts a text on the screen as it is."""
    confirm: Callable[[str], bool]
    """Puts a question there as it is, and gives the answer."""
    connect: Connect | None = None
    """How to reach AWS in place of the target's own way."""

    @property
    def draws(self) -> bool:
        """Whether to draw: on a terminal that can, and where nobody asked for log lines."""
        capable = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return capable and not (self.as_json or self.log_format or self.verbose)

    @property
    def file(self) -> Path:
        """The environment file."""
        return self.request.config_dir / f"{self.request.environment}.toml"

    @property
    def again(self) -> str:
        """What was typed, to be typed again."""
        return shlex.join(["provisioner", *self.typed])

    def other(self, command: str) -> str:
        """Give another command on the same stack."""
        suffix = ["--suffix", self.request.suffix] if self.request.suffix else []
        words = [*suffix, *(["--target", self.request.target] if self.request.target != "local" else [])]
        return shlex.join(["provisioner", command, self.request.environment, *words])

    def at(self, key: str) -> str:
        """Give the place of a key of the environment file, "" for what is none."""
        return page(self.request.config_dir, self.request.environment).at(key)

    def say(self, text: str, marked: bool = False) -> None:
        """Say a text that need not be harmless yet; one with marks at the beginning of its lines in colour."""
        self.echo(painted(screened(text)) if marked else screened(text))

    def ask(self, question: str) -> bool:
        """Ask what is answered by yes or no."""
        return self.confirm(screened(question))

    def tell(self, told: Any, text: Callable[[], str], marked: bool = False) -> None:
        """Say the one JSON document, or the text where none was asked for."""
        if self.as_json:
            self.echo(document(told))
        else:
            self.say(text(), marked)

    def show(self, told: Any, text: Callable[[], str]) -> None:
        """Say the one JSON document, or the text, which has marks at the beginning of its lines."""
        self.tell(told, text, marked=True)

    def warn(self, found: Findings, losses: Sequence[str] = ()) -> None:
        """Say first what is lost, then what is only said; a script reads it in the one document at the end."""
        lines = [notice.losses_text(losses)] if losses else []
        if not self.as_json and (text := "\n".join(filter(None, [*lines, notice.warnings_text(found, self.at)]))):
            self.say(f"{text}\n")


@contextmanager
def on(caller: Caller, writing: bool = False) -> Iterator[Session]:
    """Open the stack; events become log lines where asked for, or where no terminal shows them."""
    listeners = []
    if caller.log_format or caller.verbose or (writing and not caller.draws):
        listeners.append(log.listener(caller.log_format or "console", caller.verbose))
    with opened(caller.request, writing, caller.connect, listeners) as session:
        yield session


@contextmanager
def told_whole(caller: Caller, asking: bool = True) -> Iterator[None]:
    """Tell with the mistakes of a file what the region has against the rest of it, as far as that can be asked."""
    try:
        yield
    except ConfigError as error:
        if not asking or error.readable is None:
            raise
        try:
            with opened(caller.request, connect=caller.connect, settings=error.readable) as session:
                sight = session.look()
                found = preflight.findings(session.flight(sight, planning.provision(sight)))
        except Exception:  # whatever keeps AWS from being asked, the file's own mistakes are what is told
            raise error from None
        raise error.with_others(found.refusals) from None


def looked(session: Session, flags: frozenset[str] = frozenset(), tearing: bool = False, fresh: bool = False) -> Sight:
    """Take a look; what cannot be looked at ends the command, with nothing changed."""
    sight = session.look(flags, tearing, fresh)
    if sight.failures:
        raise unseen(sight)
    return sight


def unseen(sight: Sight) -> Stop:
    """Say what could not be looked at."""
    # The credentials are the cause of whatever else was refused with them.
    first = next((each for each in sight.failures if each.code in LOCKED_OUT), sight.failures[0])
    told = "; ".join(f"{each.step}: {each.message}" for each in sight.failures)
    refused = all(each.code in ("Ambiguous", "Unnamed", "UnknownKind") for each in sight.failures)
    return Stop(REFUSED if refused else FAILED, first.code, told, first.remedy)


def checked(
    session: Session,
    sight: Sight,
    planned: Sequence[Planned],
    *,
    estimate: Estimate | None = None,
    flags: frozenset[str] = frozenset(),
    strict: bool = False,
    unchecked: bool = False,
    whole: bool = False,
    ours: bool = True,
) -> Findings:
    """Say all that is against a provision: what stands in its place or would be lost, what AWS would refuse, the cost.

    ``unchecked`` does not ask AWS, ``whole`` asks about steps that are as declared too, and without ``ours`` another
    identity may carry it out; with ``strict`` every warning is a refusal.
    """
    found = Findings()
    if estimate is not None:
        from provisioner import cost as costing

        found += preflight.judged(costing.within(estimate.budget, estimate.then))
    if unchecked:
        found += Findings(refusals=session.choices.objections)
    else:
        found += preflight.findings(session.flight(sight, planned, whole, ours))
    line = page(session.request.config_dir, session.request.environment).line
    standing = Findings(refusals=tuple(planning.refusals(sight, flags, tearing=False)))
    found = standing + found.ordered(line)
    return found.stricter if strict else found


def refused(caller: Caller, found: Findings, verb: str) -> Stop:
    """Tell all that refuses, and under it what was only said."""
    told = "; ".join(f"{each.where}: {each.what}" for each in found.refusals)
    remedies = "; ".join(dict.fromkeys(each.remedy for each in found.refusals))
    texts = (report.refusals_text(found.refusals, verb, caller.at), notice.warnings_text(found, caller.at))
    return Stop(REFUSED, "refused", told, remedies, text="\n".join(filter(None, texts)))


def estimated(session: Session, sight: Sight, pricing: Pricing) -> Estimate:
    """Price what stands and what is wanted; what prices is loaded by the runs that need it."""
    from provisioner import cost as costing
    from provisioner.bill import Estimate

    told = pricing()
    now, then = (costing.cost(steps(sight), told) for steps in (costing.standing, costing.wanted))
    return Estimate(prices=told, now=now, then=then, budget=session.settings.budget)


def with_cost(plan: str, estimate: Estimate | None) -> str:
    """Put the bill under a plan."""
    if estimate is None:
        return plan
    from provisioner.bill import plan_lines

    return "\n".join([plan, "", *plan_lines(estimate)])


def lies_ahead(planned: Sequence[Planned]) -> bool:
    """Tell whether a run would do anything: what is busy now is called for once it is done."""
    return any(each.calls or each.status in ("busy", "broken", "differs") for each in planned)


def where(session: Session) -> dict[str, Any]:
    """Name the stack as every text and document about it does."""
    return {"stack": session.stack.name, "target": session.request.target, "region": session.stack.region}


def painted(text: str) -> str:
    """Give the text in colour where a terminal reads it."""
    if not sys.stdout.isatty():
        return text
    from provisioner import paint

    return paint.painted(text)
