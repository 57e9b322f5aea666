"""Count what a hardened stack has beside its network and its data: keys, topics, vaults and plans, as a stranger would.

A key that is about to go for good is no more: nothing can be done with it, and it costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Client = Callable[[str], Any]
_PASSING = ("RuleId", "SelectionId")


def keys(client: Client) -> Iterator[dict[str, Any]]:
    """List the keys that are nobody else's, with a name in the place of what AWS makes up."""
    kms = client("kms")
    for each in kms.list_keys()["Keys"]:
        key = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
        if key["KeyManager"] == "AWS" or key["KeyState"] == "PendingDeletion":
            continue
        named = {"KeyId": each["KeyId"]}
        aliases = [alias["AliasName"] for alias in kms.list_aliases(**named)["Aliases"]]
        yield {
            "Arn": key["Arn"],
            "Name": f"the key {key['Description']} with {aliases}",
            "state": key["KeyState"],
            "rotation": kms.get_key_rotation_status(**named)["KeyRotationEnabled"],
            "policy": json.loads(kms.get_key_policy(**named, PolicyName="default")["Policy"]),
            "tags": {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(**named)["Tags"]},
        }


def names(client: Client) -> dict[str, str]:
    """Name every key by what the account calls it: what AWS made up for its own is another after a fresh start."""
    kms = client("kms")
    aliases = {each.get("TargetKeyId"): each["AliasName"] for each in kms.list_aliases()["Aliases"]}
    arns = {each["KeyId"]: each["KeyArn"] for each in kms.list_keys()["Keys"]}
    of_aws = {arns[key]: alias for key, alias in aliases.items() if key in arns and alias.startswith("alias/aws/")}
    return of_aws | {each["Arn"]: each["Name"] for each in keys(client)}


def census(client: Client) -> dict[str, list[dict[str, Any]]]:
    """List all of it by kind."""
    return {
        "key": list(keys(client)),
        "topic": [{**told, "Policy": json.loads(told["Policy"])} for told in _topics(client("sns"))],
        "vault": list(_vaults(client("backup"))),
        "plan": list(_plans(client("backup"))),
    }


def owned(client: Client) -> list[tuple[Mapping[str, str], str]]:
    """List all of it by tags and id."""
    found = [(key["tags"], key["Arn"]) for key in keys(client)]
    found += [(topic["tags"], topic["TopicArn"]) for topic in _topics(client("sns"))]
    found += [(vault["tags"], vault["BackupVaultName"]) for vault in _vaults(client("backup"))]
    for each in client("backup").list_backup_plans()["BackupPlansList"]:
        tags = client("backup").list_tags(ResourceArn=each["BackupPlanArn"])["Tags"]
        found.append((tags, each["BackupPlanId"]))
    return found


def _topics(sns: Any) -> Iterator[dict[str, Any]]:
    for each in sns.list_topics()["Topics"]:
        told = sns.get_topic_attributes(TopicArn=each["TopicArn"])["Attributes"]
        tags = sns.list_tags_for_resource(ResourceArn=each["TopicArn"])["Tags"]
        named = {key: told[key] for key in ("TopicArn", "Policy", "KmsMasterKeyId") if key in told}
        yield {**named, "tags": {tag["Key"]: tag["Value"] for tag in tags}}


def _vaults(backup: Any) -> Iterator[dict[str, Any]]:
    for each in backup.list_backup_vaults()["BackupVaultList"]:
        told = {key: each[key] for key in ("BackupVaultName", "EncryptionKeyArn", "NumberOfRecoveryPoints")}
        yield {**told, "tags": backup.list_tags(ResourceArn=each["BackupVaultArn"])["Tags"]}


def _plans(backup: Any) -> Iterator[dict[str, Any]]:
    for each in backup.list_backup_plans()["BackupPlansList"]:
        named = {"BackupPlanId": each["BackupPlanId"]}
        document = backup.get_backup_plan(**named)["BackupPlan"]
        rules = [{key: told for key, told in rule.items() if key not in _PASSING} for rule in document["Rules"]]
        selections = [
            backup.get_backup_selection(**named, SelectionId=selection["SelectionId"])["BackupSelection"]
            for selection in backup.list_backup_selections(**named)["BackupSelectionsList"]
        ]
        tags = backup.list_tags(ResourceArn=each["BackupPlanArn"])["Tags"]
        yield {"name": document["BackupPlanName"], "rules": rules, "selections": selections, "tags": tags}
