"""Who we are in AWS, whether this is the account that is meant, and whether we may do what the plan says.

Which permission an operation takes is in permissions.json. Where IAM may not be asked, EC2's dry runs tell what they
can, and the rest is said to be unchecked: nothing is refused on a guess. Knows no kind of resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.errors import AwsError
from provisioner.kit import Call, Reader, Stack
from provisioner.survey import Identity
from provisioner.terms import Check, Objection

SIMULATION = "iam.simulate_principal_policy"
MARGIN = 300.0
"""Seconds by which credentials have to outlive what a run is expected to take."""


@cache
def recorded() -> Mapping[str, Any]:
    """Give the table of permissions, with its source."""
    text = (files(__package__) / "permissions.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def is_meant(accounts: Sequence[str] | None, identity: Identity) -> Check:
    """Object to another account than the file allows."""
    if accounts is not None and identity.account not in accounts:
        what = f"this is account {identity.account} ({identity.arn}), and the file allows {', '.join(accounts)}"
        yield Objection("accounts", what, "use the credentials of an account it allows, or add this one")


def lasts(expiry: float | None, expected: float, now: float) -> Check:
    """Object to credentials that end before the run does; those that renew themselves have no expiry."""
    if expiry is None or expiry - now >= expected + MARGIN:
        return
    left = max(0, round((expiry - now) / 60))
    what = f"the credentials end in {left} min and the run takes about {max(1, round(expected / 60))} min"
    remedy = "renew them first; a run that loses them stops, and goes on when started again"
    yield Objection("credentials", what, remedy, "refusal" if expiry <= now else "warning")


def is_allowed(aws: Reader, calls: Sequence[Call], identity: Identity, stack: Stack) -> Check:
    """Object to every action the plan needs and this identity has not, as IAM's simulation tells it."""
    needed = _needed(calls, stack)
    if needed and (principal := _principal(identity)) is not None:
        for action, operations in _simulated(aws, principal, needed):
            yield _not_allowed(action, operations)


def dry_runs(aws: Reader, calls: Sequence[Call]) -> Iterator[Check]:
    """Give a check for every kind of call that EC2 can judge without the id of something unbuilt. EC2 API, DryRun."""
    ready = (call for call in calls if call.service == "ec2" and call.creates and not call.unknowns)
    for call in {call.operation: call for call in ready}.values():
        yield _dry_run(aws, call)


def _dry_run(aws: Reader, call: Call) -> Check:
    try:
        aws.ask(call.operation, DryRun=True, **call.params)
    except AwsError as error:
        if error.code == "UnauthorizedOperation":
            yield _not_allowed(next(iter(recorded()["operations"][call.operation])), [call.operation])
        elif error.code != "DryRunOperation":
            raise


def _not_allowed(action: str, operations: Sequence[str]) -> Objection:
    told = ", ".join(operations[:3]) + (" and others" if len(operations) > 3 else "")
    return Objection("credentials", f"this identity may not {action}, which {told} needs", f"grant it {action}")


def _needed(calls: Sequence[Call], stack: Stack) -> dict[tuple[str, str], list[str]]:
    """Name the actions the calls take, each with the resource it is about, and the operations that need it."""
    needed: dict[tuple[str, str], list[str]] = {}
    place = {"partition": stack.partition, "region": stack.region, "account": stack.account, "stack": stack.name}
    for operation in dict.fromkeys(call.operation for call in calls):
        for action, resource in recorded()["operations"].get(operation, {}).items():
            needed.setdefault((action, resource.format(**place)), []).append(operation)
    return needed


def _principal(identity: Identity) -> str | None:
    """Give the ARN whose policies count; the root of an account may do everything and cannot be simulated.

    An assumed role is told as a session of it, without the path that its own ARN may have.
    """
    kind, _, rest = identity.arn.rpartition(":")[2].partition("/")
    if kind == "root":
        return None
    name = f"role/{rest.partition('/')[0]}" if kind == "assumed-role" else f"{kind}/{rest}"
    return f"arn:{identity.partition}:iam::{identity.account}:{name}"


def _simulated(
    aws: Reader, principal: str, needed: Mapping[tuple[str, str], list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """Ask once for all actions and resources, and read of each action only what is said of its own resource."""
    results = aws.items(
        SIMULATION,
        PolicySourceArn=principal,
        ActionNames=sorted({action for action, _ in needed}),
        ResourceArns=sorted({resource for _, resource in needed}),
    )
    for result in results:
        for each in result.get("ResourceSpecificResults", ()):
            operations = needed.get((result["EvalActionName"], each["EvalResourceName"]))
            # What hangs on a condition the simulation was not given is not known, so it is not refused.
            if operations and each["EvalResourceDecision"] != "allowed" and not each.get("MissingContextValues"):
                yield result["EvalActionName"], operations
