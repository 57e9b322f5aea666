"""Where the stack's alerts are published; knows nothing of who publishes what, and of who listens."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step, step_named, tags_of
from steps.key import Key
from steps.tags import found_tags, pairs

NAME = "alerts"
"""What the one topic of a stack is called."""
ATTRIBUTES = {"key": "KmsMasterKeyId", "policy": "Policy"}


@dataclass(frozen=True, kw_only=True)
class Topic(Step):
    """An encrypted topic that RDS may publish to; its id is its ARN. Who subscribes is nobody's business here."""

    key: Ref[Key]
    """A key whose policy lets RDS use it: AWS's own of SNS does not (Aurora User Guide, "Granting permissions to
    publish notifications to an Amazon SNS topic")."""

    derived = ("policy",)

    @property
    def arn(self) -> str:
        return _arn(self.stack, self.name)

    @property
    def policy(self) -> dict[str, Any]:
        """The policy wanted: the events of this account's databases, and nothing without TLS.

        Aurora User Guide, "Granting permissions to publish notifications to an Amazon SNS topic"; SNS Developer Guide,
        "Enforce encryption in transit".
        """
        stack = self.stack
        sources = f"arn:{stack.partition}:rds:{stack.region}:{stack.account}:*"
        every = {"Action": "SNS:Publish", "Resource": self.arn}
        events = {
            "Sid": "Alerts",
            "Effect": "Allow",
            "Principal": {"Service": "events.rds.amazonaws.com"},
            **every,
            "Condition": {
                "ArnLike": {"aws:SourceArn": sources},
                "StringEquals": {"aws:SourceAccount": stack.account},
            },
        }
        plain = {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            **every,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [events, plain]}

    def observe(self, aws: Reader) -> Live | None:
        found = _attributes(aws, self.arn)
        tags = aws.ask("sns.list_tags_for_resource", ResourceArn=self.arn) if found is not None else None
        if found is None or tags is None:
            return None
        if not self.claims(tags_of(tags)):
            return Live(self.arn, foreign=self._adoption())
        facts = {
            "key": found.get("KmsMasterKeyId"),
            "policy": json.loads(found.get("Policy", "{}")),
            "tags": found_tags(self, tags),
        }
        return Live(self.arn, facts)

    def _adoption(self) -> str:
        tags = (shlex.quote(f"Key={tag['Key']},Value={tag['Value']}") for tag in pairs(self))
        return f"aws sns tag-resource --resource-arn {self.arn} --tags {' '.join(tags)}"

    def provision(self, live: Live | None) -> Iterator[Call]:
        values = {"key": self.key, "policy": json.dumps(self.policy)}
        if live is None:
            given = {attribute: values[field] for field, attribute in ATTRIBUTES.items()}
            yield Call("sns.create_topic", Name=self.label, Attributes=given, Tags=pairs(self))
            return
        different = self.differences(live)
        if "tags" in different:
            yield Call("sns.tag_resource", ResourceArn=live.id, Tags=pairs(self))
        for field, attribute in ATTRIBUTES.items():
            if field in different:
                change = {"AttributeName": attribute, "AttributeValue": values[field]}
                yield Call("sns.set_topic_attributes", TopicArn=live.id, **change)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("sns.delete_topic", TopicArn=live.id)

    def outputs(self, live: Live) -> Mapping[str, Any]:
        return {"alerts_topic": live.id}

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        arn = _arn(stack, NAME)
        if _attributes(aws, arn) is not None:
            tags = tags_of(aws.ask("sns.list_tags_for_resource", ResourceArn=arn) or {})
            yield from step_named(tags, stack, cls.__name__)


def _arn(stack: Stack, name: str) -> str:
    return f"arn:{stack.partition}:sns:{stack.region}:{stack.account}:{stack.name}-{name}"


def _attributes(aws: Reader, arn: str) -> Mapping[str, Any] | None:
    found = aws.ask("sns.get_topic_attributes", TopicArn=arn)
    return found["Attributes"] if found else None
