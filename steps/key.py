"""The stack's own encryption key; knows nothing of what it encrypts but that a backup outlives it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Ambiguous, Call, Denied, Live, Reader, Stack, Step, Unknown, step_named, tags_of
from provisioner.terms import Burdens, Quantity

NAME = "key"
"""What the one key of a stack is called, which its alias ends in."""
WINDOW = 30
"""Days between a teardown and the end of a key, in which it can be taken back; KMS takes 7 to 30."""
USE = ("kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*")
ENCLOSE = ("kms:GenerateDataKey*", "kms:Decrypt")
"""What services do with a key that encrypt by themselves, and what those do that write into what is encrypted."""


@dataclass(frozen=True, kw_only=True)
class Key(Step):
    """A symmetric key with an alias, rotated by KMS every year; its id is its ARN.

    KMS makes a key for every CreateKey, so one is found by its alias, which nothing else can have, and until it has
    that by its tags. Deletion takes the alias along; until the window is over a provision takes both back.
    """

    rotation: bool = True
    enabled: bool = True
    until: str = ""
    """The day it goes for good, where somebody has scheduled that; none is wanted."""
    final_snapshot: bool = False
    """Whether the stack's database leaves a snapshot behind that this key opens."""
    skip_final_snapshot: bool = False
    """Set for a teardown by the flag of this name."""

    holds_data = True
    guarded = False
    tags_spread = True

    derived = ("alias", "policy")

    @property
    def alias(self) -> str:
        return f"alias/{self.label}"

    @property
    def policy(self) -> dict[str, Any]:
        """The policy wanted: the account's identities as their own policies say, and the services that act alone.

        CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using KMS"; SNS Developer Guide, "Managing
        Amazon SNS encryption keys" (event sources, and the topic's ARN as encryption context).
        """
        stack = self.stack
        groups = f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:*"
        account = {"AWS": f"arn:{stack.partition}:iam::{stack.account}:root"}
        logs = {"Service": f"logs.{stack.region}.amazonaws.com"}
        alerts = {"Service": "events.rds.amazonaws.com"}
        by_logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}}
        topic = f"arn:{stack.partition}:sns:{stack.region}:{stack.account}:{stack.name}-*"
        by_topics = {"ArnLike": {"kms:EncryptionContext:aws:sns:topicArn": topic}}
        statements = [
            {"Sid": "Account", "Principal": account, "Action": "kms:*"},
            {"Sid": "Logs", "Principal": logs, "Action": list(USE), "Condition": by_logs},
            {
                "Sid": "Alerts",
                "Principal": alerts,
                "Action": list(ENCLOSE),
                "Condition": by_topics,
            },
        ]
        every = {"Effect": "Allow", "Resource": "*"}
        return {"Version": "2012-10-17", "Statement": [{**each, **every} for each in statements]}

    def observe(self, aws: Reader) -> Live | None:
        named = _described(aws, self.alias)
        key = named or self._unnamed(aws)
        if key is None:
            return None
        tags = _tags(aws, key["KeyId"])
        if not self.claims(tags):
            return Live(key["Arn"], foreign=self._adoption(key["KeyId"]))
        facts = {
            "alias": self.alias if named else "",
            "enabled": key["KeyState"] == "Enabled",
            "until": "",
            "tags": {name: value for name, value in tags.items() if name in self.labels},
        }
        if key["KeyState"] == "PendingDeletion":
            return Live(key["Arn"], facts | {"until": f"{key['DeletionDate']:%Y-%m-%d}"}, leaving=True)
        rotation = aws.ask("kms.get_key_rotation_status", KeyId=key["KeyId"]) or {}
        policy = aws.ask("kms.get_key_policy", KeyId=key["KeyId"], PolicyName="default") or {}
        facts |= {
            "rotation": bool(rotation.get("KeyRotationEnabled")),
            "policy": json.loads(policy.get("Policy", "{}")),
        }
        return Live(key["Arn"], facts, busy=key["KeyState"] if key["KeyState"] not in ("Enabled", "Disabled") else "")

    def _unnamed(self, aws: Reader) -> Mapping[str, Any] | None:
        """Find the key that has no alias yet, or has lost it, by its tags. Only keys described as this one are asked
        for them: KMS answers ten such questions a second, and thousands about descriptions (KMS Developer Guide,
        "Request quotas"). What is in its window keeps its alias, so without one it is none of ours to take back."""
        listed = (_visible(aws, key["KeyId"]) for key in aws.items("kms.list_keys"))
        alike = [key for key in listed if key and key["Description"] == self.label]
        living = (key for key in alike if key["KeyState"] != "PendingDeletion")
        mine = {key["Arn"]: key for key in living if self.claims(_tags(aws, key["KeyId"]))}
        if len(mine) > 1:
            raise Ambiguous(self.name, mine)
        return next(iter(mine.values()), None)

    def _adoption(self, key: str) -> str:
        tags = (shlex.quote(f"TagKey={tag['TagKey']},TagValue={tag['TagValue']}") for tag in self._pairs())
        return f"aws kms tag-resource --key-id {key} --tags {' '.join(tags)}"

    def _pairs(self) -> list[dict[str, str]]:
        return [{"TagKey": key, "TagValue": value} for key, value in sorted(self.labels.items())]

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            policy = json.dumps(self.policy)
            yield Call("kms.create_key", Description=self.label, Policy=policy, Tags=self._pairs())
            live = Live(Unknown(self.name), {"alias": "", "enabled": True, "rotation": False})
        if live.leaving:
            yield Call("kms.cancel_key_deletion", KeyId=live.id)  # which leaves it disabled
        different = self.differences(live)
        if "enabled" in different:
            yield Call("kms.enable_key", KeyId=live.id)
        if "alias" in different:
            yield Call("kms.create_alias", AliasName=self.alias, TargetKeyId=live.id)
        if "tags" in different:
            yield Call("kms.tag_resource", KeyId=live.id, Tags=self._pairs())
        if "rotation" in different:
            yield Call("kms.enable_key_rotation", KeyId=live.id)
        if "policy" in different:
            yield Call("kms.put_key_policy", KeyId=live.id, PolicyName="default", Policy=json.dumps(self.policy))

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("kms.schedule_key_deletion", KeyId=live.id, PendingWindowInDays=WINDOW)

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        if twin["Description"] == self.label and twin["KeyState"] == "Enabled":
            yield Call("kms.schedule_key_deletion", KeyId=twin["Arn"], PendingWindowInDays=WINDOW)

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        snapshots = aws.items("rds.describe_db_cluster_snapshots")
        kept = [
            f"snapshot {each['DBClusterSnapshotIdentifier']}"
            for each in snapshots
            if each.get("KmsKeyId") == live.id and each.get("SnapshotType") != "automated"
        ]
        for cluster in aws.items("rds.describe_db_clusters"):
            if cluster.get("KmsKeyId") != live.id:
                continue
            if not self.stack.owns(tags_of(cluster)):
                kept.append(f"cluster {cluster['DBClusterIdentifier']}")
            elif self.final_snapshot and not self.skip_final_snapshot:
                kept.append(f"the final snapshot of {cluster['DBClusterIdentifier']}")
        return Burdens(needed_by=kept)

    def remains(self, live: Live) -> str:
        if live.leaving:
            return f"key {live.id} (free; gone for good on {live.facts['until']}, until then a provision takes it back)"
        if live.needed_by:
            return f"key {live.id} with {self.alias} (1 dollar a month), for {' and '.join(live.needed_by)}"
        return ""

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("kms-key", 1)

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        key = _described(aws, f"alias/{stack.name}-{NAME}")
        if key and key["KeyState"] != "PendingDeletion":
            tags = _listed(aws, key["KeyId"])
            yield from step_named(tags, stack, cls.__name__)


def _described(aws: Reader, key: str) -> Mapping[str, Any] | None:
    found = aws.ask("kms.describe_key", KeyId=key)
    return found["KeyMetadata"] if found else None


def _visible(aws: Reader, key: str) -> Mapping[str, Any] | None:
    """Describe a key of the account, if its own policy lets us."""
    try:
        return _described(aws, key)
    except Denied:
        return None


def _tags(aws: Reader, key: str) -> dict[str, str]:
    """Read a key's tags; a key whose own policy lets nobody ask has none."""
    try:
        return _listed(aws, key)
    except Denied:
        return {}


def _listed(aws: Reader, key: str) -> dict[str, str]:
    return {tag["TagKey"]: tag["TagValue"] for tag in aws.items("kms.list_resource_tags", KeyId=key)}
