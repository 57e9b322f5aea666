"""What all resources of RDS share: tags by ARN, one table of statuses, groups found by name; knows no kind of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from provisioner.kit import Ambiguous, Call, Live, Reader, Stack, Step, step_named, tags_of
from steps.tags import found_tags, pairs

ENGINE = "aurora-postgresql"
SERVERLESS = "db.serverless"
"""The class of every instance: its size is the cluster's range of ACUs."""

USABLE = frozenset({"available", "stopped", "storage-optimization", "storage-initialization"})
"""Statuses in which nothing is under way that would refuse a change, or that could take a day (the storage ones)."""

BROKEN = {
    "cloning-failed": "cloning it failed",
    "failed": "it failed and RDS cannot recover it",
    "inaccessible-encryption-credentials": "its KMS key cannot be used",
    "inaccessible-encryption-credentials-recoverable": "its KMS key cannot be used; once it can, start the cluster",
    "incompatible-create": "it cannot be created with the resources it was given",
    "incompatible-network": "its network does not allow it, as when a subnet has no free address",
    "incompatible-option-group": "its option group cannot be applied",
    "incompatible-parameters": "it cannot start with its parameters",
    "incompatible-restore": "it cannot be restored",
    "insufficient-capacity": "AWS has no capacity for it in its zone now",
    "migration-failed": "restoring its snapshot failed",
    "restore-error": "restoring it failed",
    "storage-full": "its storage is full",
    "upgrade-failed": "it could not be upgraded to a supported version",
}
"""What AWS does not get out of by itself. A status in neither table is work under way: AWS adds new ones, and waiting
is what harms least. Source: Aurora User Guide, "Viewing cluster status"."""


REPLACEABLE = frozenset(
    {"failed", "incompatible-create", "incompatible-restore", "insufficient-capacity", "restore-error"}
)
"""Broken in itself; in the other statuses it is the key, the network or the parameters, which a new one would share."""


def numbers(version: str) -> tuple[int, ...]:
    """Read a version so that versions compare: ``16.10`` is after ``16.9``."""
    return tuple(map(int, re.findall(r"\d+", version)))


def busy(status: str, pending: Collection[str] = ()) -> str:
    """Say what RDS is still doing; ``pending`` names changes it has accepted and not yet made."""
    if broken(status):
        return ""
    if status not in USABLE:
        return status
    return f"applying {', '.join(sorted(pending))}" if pending else ""


def broken(status: str) -> str:
    """Give the reason why RDS will not make it usable by itself, if the status is one of those."""
    status = status.replace("_", "-")  # documented as "upgrade_failed", alone with an underscore
    return f"{status}: {BROKEN[status]}" if status in BROKEN else ""


def replaceable(status: str) -> bool:
    """Tell whether another instance in its place would be spared what broke this one."""
    return status.replace("_", "-") in REPLACEABLE


def look(
    aws: Reader, step: Step, noun: str, status: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Live | None:
    """Look for the step's cluster or instance; ``read`` takes its facts from what AWS tells of it.

    What carries the step's tags is the step's, whatever its identifier, for those can be changed; only where nothing
    does, what has the step's name is foreign. Changes that AWS has accepted and holds back (PendingModifiedValues)
    are told as made, and it as busy.
    """
    items, name = aws.items(step.listing), f"{noun}Identifier"
    own = [item for item in items if step.claims(tags_of(item))]
    if len(own) > 1:
        raise Ambiguous(step.name, {item[name]: item for item in own})
    for item in own:
        pending = item.get("PendingModifiedValues", {})
        facts = {"arn": item[f"{noun}Arn"], "status": item[status], "tags": found_tags(step, item)}
        facts |= read({**item, **pending})
        return Live(item[name], facts, busy=busy(item[status], pending), broken=broken(item[status]))
    for item in items:
        if item[name] == step.label:
            return Live(step.label, foreign=adoption(item[f"{noun}Arn"], step))
    return None


def adoption(arn: str, step: Step) -> str:
    """Write the command that would tag a foreign resource as the step's."""
    tags = (shlex.quote(f"Key={tag['Key']},Value={tag['Value']}") for tag in pairs(step))
    return f"aws rds add-tags-to-resource --resource-name {shlex.quote(arn)} --tags {' '.join(tags)}"


def retag(step: Step, live: Live) -> Iterator[Call]:
    """Put right the tags of an RDS resource, whose ARN is among its facts."""
    if "tags" in step.differences(live):
        yield Call("rds.add_tags_to_resource", ResourceName=live.facts["arn"], Tags=pairs(step))


def description(step: Step) -> str:
    """Describe a group so that ``leftovers`` knows whose it is without asking for its tags."""
    return f"{step.kind} {step.name} of {step.stack.name}"


def group(
    aws: Reader, step: Step, operation: str, noun: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Live | None:
    """Look for the group of the step's name, which cannot change, and ask for its tags, which a describe of groups
    does not return; ``read`` takes its facts from what AWS tells of it."""
    for item in aws.items(operation):
        if item[f"{noun}Name"] == step.label:
            arn = item[f"{noun}Arn"]
            tags = aws.ask("rds.list_tags_for_resource", ResourceName=arn)
            if tags is None:
                return None  # it went between the two looks
            if not step.claims(tags_of(tags)):
                return Live(step.label, foreign=adoption(arn, step))
            return Live(step.label, {"arn": arn, "tags": found_tags(step, tags), **read(item)})
    return None


def leftovers(aws: Reader, stack: Stack, kind: str, operation: str, noun: str) -> Iterator[str]:
    """Name the steps whose groups are there. Names alone could be those of a stack with a suffix, and asking
    every one of them for its tags would cost a read each: the description decides which are asked."""
    for item in aws.items(operation):
        about = item.get(f"{noun}Description") or item.get("Description") or ""
        if item[f"{noun}Name"].startswith(f"{stack.name}-") and about.endswith(f" of {stack.name}"):
            tags = tags_of(aws.ask("rds.list_tags_for_resource", ResourceName=item[f"{noun}Arn"]) or {})
            yield from step_named(tags, stack, kind)
