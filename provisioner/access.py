"""Who we are in AWS, whether this is the account that is meant, and whether we may do what the plan says.

Which permission an operation takes is in ``permissions``. Where IAM may not be asked, EC2's dry runs tell what they
can, and the rest is said to be unchecked: nothing is refused on a guess. Knows no kind of resource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from provisioner import permissions
from provisioner.errors import AwsError, Verdict
from provisioner.iam_policy import arns
from provisioner.kit import Call, Reader, Stack
from provisioner.permissions import Grant
from provisioner.survey import Identity
from provisioner.terms import Check, Objection

SIMULATION = "iam.simulate_principal_policy"
MARGIN = 300.0
"""Seconds by which credentials have to outlive what a run is expected to take."""


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


def is_allowed(aws: Reader, calls: Sequence[Call], identity: Identity, stack: Stack, ours: bool = True) -> Check:
    """Object to every action the plan needs and this identity has not, as IAM's simulation tells it.

    Where the calls may be another's it is said once, as a warning.
    """
    needed = _needed(calls, stack)
    if not needed or (principal := _principal(identity)) is None:
        return
    lacking = dict(_simulated(aws, principal, needed, stack))
    if lacking and not ours:
        yield _not_allowed(_few(list(lacking)), [], ours)
    for action, operations in lacking.items() if ours else ():
        yield _not_allowed(action, operations)


def dry_runs(aws: Reader, calls: Sequence[Call], ours: bool = True) -> Iterator[Check]:
    """Give a check for every kind of call that EC2 can judge without the id of something unbuilt. EC2 API, DryRun."""
    ready = (call for call in calls if call.service == "ec2" and call.creates and not call.unknowns)
    for call in {call.operation: call for call in ready}.values():
        yield _dry_run(aws, call, ours)


def _dry_run(aws: Reader, call: Call, ours: bool) -> Check:
    try:
        aws.ask(call.operation, DryRun=True, **call.params)
    except AwsError as error:
        if error.code == "UnauthorizedOperation":
            yield _not_allowed(next(permissions.grants(call.operation)).action, [call.operation], ours)
        elif error.code != "DryRunOperation":
            raise


def _not_allowed(actions: str, operations: Sequence[str], ours: bool = True) -> Objection:
    if not ours:
        what = f"this identity may not {actions}, so it cannot carry this plan out"
        return Objection("credentials", what, "have an identity run it that may, or grant it that", "warning")
    what = f"this identity may not {actions}, which {_few(operations)} needs"
    return Objection("credentials", what, f"grant it {actions}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def _needed(calls: Sequence[Call], stack: Stack) -> dict[tuple[str, str], list[str]]:
    """Name the actions the calls take, each with the resource it is about, and the operations that need it."""
    needed: dict[tuple[str, str], list[str]] = {}
    for call in calls:
        known = call.operation in permissions.operations()
        for grant in permissions.grants(call.operation, call.params) if known else ():
            for resource in _resources(grant, call, stack):
                operations = needed.setdefault((grant.action, resource), [])
                if call.operation not in operations:
                    operations.append(call.operation)
    return needed


def _resources(grant: Grant, call: Call, stack: Stack) -> Set[str]:
    """Name what a simulation can judge of an action: the one resource that is made or changed.

    Keys have policies of their own, which it does not see; a role of a service is made only where there is none yet;
    and of which type something tagged is, its id alone would tell.
    """
    target, *others = grant.targets
    one_of_several = any(each.parameter == target.parameter for each in others)
    if target.type in ("", "key") or target.type.endswith("linked-role") or one_of_several:
        return set()
    given = call.params.get(target.parameter)
    label = given if isinstance(given, str) else f"{stack.name}-{stack.account}-{stack.region}"
    return arns(target, stack, {label})


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
    aws: Reader, principal: str, needed: Mapping[tuple[str, str], list[str]], stack: Stack
) -> Iterator[tuple[str, list[str]]]:
    """Ask once for all actions and resources, with our tag in the request and on what there is, and read of each
    action only what is said of its own resource."""
    results = aws.items(
        SIMULATION,
        PolicySourceArn=principal,
        ActionNames=sorted({action for action, _ in needed}),
        ResourceArns=sorted({resource for _, resource in needed}),
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [stack.name], "ContextKeyType": "string"}
            for key in (permissions.REQUEST_TAG, permissions.RESOURCE_TAG)
        ],
    )
    if not results:
        raise AwsError(SIMULATION, "NoSuchEntity", f"IAM knows no {principal}", Verdict.FATAL)
    for result in results:
        for each in result.get("ResourceSpecificResults", ()):
            operations = needed.get((result["EvalActionName"], each["EvalResourceName"]))
            # What hangs on a condition the simulation was not given is not known, so it is not refused.
            if operations and each["EvalResourceDecision"] != "allowed" and not each.get("MissingContextValues"):
                yield result["EvalActionName"], operations
