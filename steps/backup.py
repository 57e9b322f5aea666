"""What the resources of AWS Backup share: tags by ARN, told and taken as a mapping; knows no kind of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.kit import Call, Live, Reader, Stack, Step, step_named


def tags_of(aws: Reader, arn: str) -> dict[str, str] | None:
    """Ask for the tags of something; ``None`` where it is not there any more."""
    found = aws.ask("backup.list_tags", ResourceArn=arn)
    return None if found is None else dict(found.get("Tags", {}))


def found_tags(step: Step, tags: Mapping[str, str]) -> dict[str, str]:
    """Keep the tags the step speaks of; what others added is none of ours and never compared."""
    return {key: value for key, value in tags.items() if key in step.labels}


def adoption(arn: str, step: Step) -> str:
    """Write the command that would tag a foreign resource as the step's."""
    tags = shlex.quote(json.dumps(dict(sorted(step.labels.items()))))
    return f"aws backup tag-resource --resource-arn {arn} --tags {tags}"


def retag(step: Step, live: Live) -> Iterator[Call]:
    """Put right the tags of a resource, whose ARN is among its facts."""
    if "tags" in step.differences(live):
        yield Call("backup.tag_resource", ResourceArn=live.facts["arn"], Tags=dict(sorted(step.labels.items())))


def survivors(aws: Reader, stack: Stack, kind: str, listed: Iterator[Mapping[str, Any]], noun: str) -> Iterator[str]:
    """Name the steps of a kind among what is listed; only what has the stack's name in its own is asked for tags."""
    for item in listed:
        if str(item.get(f"{noun}Name")).startswith(f"{stack.name}-"):
            tags = tags_of(aws, item[f"{noun}Arn"]) or {}
            yield from step_named(tags, stack, kind)
