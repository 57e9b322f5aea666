"""The commands that only look, each whole from opening a stack to its exit code; knows no option, and changes nothing.

What they print is made elsewhere. The commands that change something are in ``run``.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provisioner import bill, config, drawing, notice, plan_file, report
from provisioner import drift as drifting
from provisioner import graph as edges
from provisioner import iam_policy as policies
from provisioner import plan as planning
from provisioner.caller import (
    Caller,
    checked,
    estimated,
    lies_ahead,
    looked,
    on,
    refused,
    told_whole,
    unseen,
    where,
    with_cost,
)
from provisioner.errors import LOCKED_OUT, AwsError
from provisioner.exits import DONE, FAILED, REFUSED, USAGE, Stop
from provisioner.plan import Planned
from provisioner.plan_text import plan_json, plan_text
from provisioner.session import Session, drafted, placed, price_lists
from provisioner.words import joined


def plan(caller: Caller, detailed: bool, strict: bool = False, out: Path | None = None) -> int:
    """Show what provision would do, what it costs, and what forbids it; ``detailed`` has an exit code tell whether
    there is anything to do.

    What the region refuses is told in the place of a plan that could not be carried out. What nothing forbids is put
    into ``out`` too, for a run to be held to.
    """
    with told_whole(caller), on(caller) as session:
        pricing = session.asked_prices()
        sight = looked(session)
        planned = planning.provision(sight)
        estimate = estimated(session, sight, pricing)
        found = checked(session, sight, planned, estimate=estimate, strict=strict, ours=False)
        standing = set(planning.refusals(sight, frozenset(), tearing=False))
        feasible = all(each in standing or each.where == "budget" for each in found.refusals)
        if feasible:
            caller.warn(found, planning.losses(sight))
        if feasible or caller.as_json:
            told: dict[str, Any] = {**where(session), "forecast": session.forecast(sight, planned)}
            against = notice.found_json(found, caller.at)
            caller.show(
                {**plan_json(planned, **told, found=against), "cost": bill.plan_json(estimate)},
                lambda: with_cost(plan_text(planned, **told), estimate),
            )
        if out is not None and not found.refusals:
            _write(caller, session, out, planned)
    if found.refusals and not caller.as_json:
        raise refused(caller, replace(found, warnings=(), skipped=()) if feasible else found, "provision")
    if found.refusals:
        return FAILED if detailed else REFUSED
    return 2 if detailed and lies_ahead(planned) else DONE


def preflight(caller: Caller, strict: bool = False) -> int:
    """Tell all that stands in the way of a provision, or that nothing does."""
    with told_whole(caller), on(caller) as session:
        pricing = session.asked_prices() if session.settings.budget is not None else None
        sight = looked(session)
        estimate = estimated(session, sight, pricing) if pricing else None
        found = checked(session, sight, planning.provision(sight), estimate=estimate, strict=strict, whole=True)
        told, identity = where(session), session.identity.arn
        if caller.as_json or not found.refusals:
            caller.tell(
                {**told, "identity": identity, **notice.found_json(found, caller.at)},
                lambda: notice.preflight_text(found, **told, identity=identity, at=caller.at),
            )
    if found.refusals and not caller.as_json:
        raise refused(caller, found, "provision")
    return REFUSED if found.refusals else DONE


def drift(caller: Caller, accept: Sequence[str]) -> int:
    """Show what somebody changed since the last run, 2 if anything; or say what to write to keep some of it."""
    with on(caller) as session:
        sight = looked(session)
        if not drifting.remembered(sight):
            message = f"the state holds nothing of {session.stack.name} that a run has settled to be compared with"
            raise Stop(FAILED, "unrecorded", message, f"see what differs from the file: {caller.other('plan')}")
        found, unclear, told = drifting.drifted(sight, session.settings), drifting.untold(sight), where(session)
        if accept:
            _accept(caller, found, accept)
            return DONE
        caller.show(drifting.drift_json(found, unclear, **told), lambda: drifting.drift_text(found, unclear, **told))
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


def iam_policy(caller: Caller, purpose: policies.Purpose | None, account: str = "", part: int | None = None) -> int:
    """Print the smallest policy that suffices for a purpose, or one part of it, or without a purpose the boundary
    around all of them; looks at the file only, unless AWS has to say which account this is."""
    request = caller.request
    settings = config.load(request.config_dir, request.environment, request.suffix)
    if account and settings.accounts is not None and account not in settings.accounts:
        what = f"{caller.file} allows {', '.join(settings.accounts)} and not account {account}"
        raise Stop(USAGE, "usage", what, "give an account it allows, or add this one there")
    try:
        stack = placed(request, settings, account, caller.connect)
    except AwsError as error:
        remedy = f"say which account it is for, --account 123456789012, or {error.remedy.partition(', then run')[0]}"
        raise Stop(FAILED, error.code, str(error), remedy) from error
    steps = drafted(settings, stack)
    whole = policies.document(steps, stack, [purpose]) if purpose else policies.boundary(steps, stack)
    parts = policies.parts(whole) if purpose else [whole]
    if part is not None and part > len(parts):
        what = f"there is no part {part}: all of the policy is in {'one' if len(parts) == 1 else len(parts)}"
        raise Stop(USAGE, "usage", what, f"give --part 1{f' to {len(parts)}' if len(parts) > 1 else ''}, or none")
    caller.say(json.dumps(parts[part - 1] if part else whole, indent=2))
    if part is None and len(parts) > 1:
        size = f"it has {policies.size(whole)} characters without white space, and a managed policy takes"
        print(f"note: {size} {policies.LIMIT}: print it in {len(parts)} parts, --part 1 and so on", file=sys.stderr)
    return DONE


def status(caller: Caller) -> int:
    """Show every step; what cannot be looked at is a row as well, and makes the command fail."""
    with on(caller) as session:
        sight = session.look()
        if any(failure.code in LOCKED_OUT for failure in sight.failures):
            raise unseen(sight)
        caller.tell(report.status_json(sight, session.stack.name), lambda: report.status_text(sight))
    return FAILED if sight.failures else DONE


def outputs(caller: Caller, form: str) -> int:
    """Print what others need to know of a stack that is there."""
    with on(caller) as session:
        sight = looked(session)
        if not any(seen.live and not (seen.live.foreign or seen.leftover) for seen in sight.seen.values()):
            remedy = f"build it: {caller.other('provision')}"
            raise Stop(FAILED, "absent", f"{session.stack.name} is not there", remedy)
        found = report.outputs(sight, region=session.stack.region, account=session.stack.account)
        caller.tell(found, lambda: report.outputs_env(found) if form == "env" else report.outputs_text(found))
    return DONE


def graph(caller: Caller, form: str) -> int:
    """Print which step waits for which, as text, for Mermaid or for Graphviz."""
    draw = {"text": drawing.tree, "mermaid": drawing.mermaid, "dot": drawing.dot}[form]
    with on(caller) as session:
        needs = edges.edges(session.steps)
        steps = [{"step": s.name, "kind": s.kind, "needs": sorted(needs[s.name])} for s in session.steps]
        caller.tell({"stack": session.stack.name, "steps": steps}, lambda: draw(session.steps))
    return DONE


def _write(caller: Caller, session: Session, out: Path, planned: Sequence[Planned]) -> None:
    """Put a plan on disk, and say how to have just that done."""
    plan_file.write(out, planned, stack=session.stack, target=caller.request.target, file=caller.file)
    if not caller.as_json:
        again = f"{caller.other('provision')} --plan {shlex.quote(str(out))}"
        caller.say(f"Written to {out}. To do just that: {again}")


def _accept(caller: Caller, found: Sequence[drifting.Drifted], keys: Sequence[str]) -> None:
    """Say what to write into the environment file; it is not touched."""
    accepted, objections = drifting.accepted(found, keys)
    if objections:
        lines = [f"{each.where} {each.what}: {each.remedy}" for each in objections]
        remedies = "; ".join(each.remedy for each in objections)
        told = "; ".join(f"{each.where} {each.what}" for each in objections)
        raise Stop(FAILED, "unacceptable", told, remedies, text=joined(lines))
    file = str(caller.file)
    caller.tell(
        {"file": file, "accept": [{"key": each.key, "value": each.value} for each in accepted]},
        lambda: joined(line for each in accepted for line in drifting.writing(each, file)),
    )
