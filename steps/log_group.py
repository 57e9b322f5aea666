"""Where CloudWatch keeps what a service writes; knows nothing of who writes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step, step_named
from provisioner.terms import Quantity
from steps.key import Key


@dataclass(frozen=True, kw_only=True)
class LogGroup(Step):
    """A log group under the name its writer looks for: made before it, so that it has tags and an end to its keeping,
    and deleted after it.

    Its id is its name, which nothing else in the region can have.
    """

    path: str
    """One that begins as ``prefixes`` says, so that it is found again when it has left the environment file."""
    key: Ref[Key] | None = None
    """What encrypts it from now on; what was written before stays under the key it was written with."""
    days: int = 30
    """How long a line is kept; one of those CloudWatch Logs takes."""
    fixed = frozenset({"path"})
    holds_data = True
    guarded = False

    def observe(self, aws: Reader) -> Live | None:
        group = self._found(aws)
        if group is None:
            return None
        name, tags = group["logGroupName"], _tags(aws, group)
        if not self.claims(tags):
            return Live(name, foreign=self._adoption(group["logGroupArn"]))
        facts = {
            "path": name,
            "arn": group["logGroupArn"],
            "key": group.get("kmsKeyId"),
            "days": group.get("retentionInDays", 0),
            "tags": {key: value for key, value in tags.items() if key in self.labels},
        }
        return Live(name, facts)

    def _found(self, aws: Reader) -> Mapping[str, Any] | None:
        """Find it by its name, or, where it left the file and with it the state, by its tags."""
        if isinstance(self.path, str):
            prefix = next((each for each in prefixes(self.stack) if self.path.startswith(each)), self.path)
            return next((each for each in _listed(aws, prefix) if each["logGroupName"] == self.path), None)
        return next((each for each in _own(aws, self.stack) if self.claims(_tags(aws, each))), None)

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            key = {"kmsKeyId": self.key} if self.key else {}
            yield Call("logs.create_log_group", logGroupName=self.path, **key, tags=dict(sorted(self.labels.items())))
            live = Live(self.path, {"days": 0})
        differences = self.differences(live)
        if "tags" in differences:
            tags = dict(sorted(self.labels.items()))
            yield Call("logs.tag_resource", resourceArn=live.facts["arn"], tags=tags)
        if "key" in differences and self.key:
            yield Call("logs.associate_kms_key", logGroupName=self.path, kmsKeyId=self.key)
        elif "key" in differences:
            yield Call("logs.disassociate_kms_key", logGroupName=self.path)
        if "days" in differences:
            yield Call("logs.put_retention_policy", logGroupName=self.path, retentionInDays=self.days)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("logs.delete_log_group", logGroupName=live.id)

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("log-gb")
        yield Quantity("log-storage-gb")

    def _adoption(self, arn: str) -> str:
        tags = json.dumps(self.labels, sort_keys=True)
        return f"aws logs tag-resource --resource-arn {shlex.quote(arn)} --tags {shlex.quote(tags)}"

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        named = aws.items("logs.describe_log_groups", logGroupNamePattern=stack.name)
        for group in (each for each in named if each["logGroupName"].startswith(prefixes(stack))):
            tags = _tags(aws, {"logGroupArn": group["arn"].removesuffix(":*")})
            yield from step_named(tags, stack, cls.__name__, untold=cls.__name__)


def prefixes(stack: Stack) -> tuple[str, str]:
    """Give how the names of a stack's log groups begin: of its cluster's, which RDS prescribes (Aurora User Guide,
    "Publishing database logs to Amazon CloudWatch Logs"), and of its network's."""
    return f"/aws/rds/cluster/{stack.name}-cluster/", f"/aws/vpc/{stack.name}/"


def _listed(aws: Reader, prefix: str) -> list[Mapping[str, Any]]:
    """List groups by the beginning of their name; asked by a part of it CloudWatch tells nothing of them but name and
    ARN, which is all that ``survivors`` takes, in one question."""
    return list(aws.items("logs.describe_log_groups", logGroupNamePrefix=prefix))


def _own(aws: Reader, stack: Stack) -> Iterator[Mapping[str, Any]]:
    """List those whose names are like ours; whose they are is told by their tags."""
    return (each for prefix in prefixes(stack) for each in _listed(aws, prefix))


def _tags(aws: Reader, group: Mapping[str, Any]) -> dict[str, str]:
    """Read a group's tags; ``arn`` ends in ``:*`` and names its streams, ``logGroupArn`` names the group itself."""
    found = aws.ask("logs.list_tags_for_resource", resourceArn=group["logGroupArn"])
    return dict(found["tags"]) if found else {}
