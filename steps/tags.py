"""How EC2 and its relatives are told a step's tags, and what of them is there; knows no kind of resource."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.kit import Call, Live, Step, tags_of


def pairs(step: Step) -> list[dict[str, str]]:
    """List the step's tags the way most AWS calls take them, sorted by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(step.labels.items())]


def born(resource_type: str, step: Step) -> list[dict[str, Any]]:
    """Give an EC2 create call the tags that make the newborn ours from its first moment."""
    return [{"ResourceType": resource_type, "Tags": pairs(step)}]


def adoption(step: Step, resource: str) -> str:
    """Write the command that would tag a foreign resource of EC2 as the step's."""
    return f"aws ec2 create-tags --resources {shlex.quote(resource)} --tags {shlex.quote(json.dumps(pairs(step)))}"


def found_tags(step: Step, item: Mapping[str, Any]) -> dict[str, str]:
    """Read the tags the step speaks of; what others added is none of ours and never compared."""
    return {key: value for key, value in tags_of(item).items() if key in step.labels}


def retag(step: Step, live: Live) -> Iterator[Call]:
    """Put right the tags of an EC2 resource."""
    if "tags" in step.differences(live):
        yield Call("ec2.create_tags", Resources=[live.id], Tags=pairs(step))
