"""What a foreign hand does to keys, alerts and backups, and what it looks at before and after.

Knows nothing of who calls it, and when: those are rows of one table, in ``foreign``.
"""

from __future__ import annotations

from typing import Any

from provisioner.inventory import Client


def key(client: Client, id: str) -> Any:
    """Tell the state of a key, whether it is rotated and what it is called."""
    kms = client("kms")
    key = kms.describe_key(KeyId=id)["KeyMetadata"]
    rotated = key["Enabled"] and kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]
    return key["KeyState"], rotated, sorted(each["AliasName"] for each in kms.list_aliases(KeyId=id)["Aliases"])


def take_the_aliases(client: Client, id: str) -> None:
    """Leave a key without a name."""
    for each in client("kms").list_aliases(KeyId=id)["Aliases"]:
        client("kms").delete_alias(AliasName=each["AliasName"])


def topic(client: Client, id: str) -> Any:
    """Tell how a topic is encrypted and who may publish to it."""
    told = client("sns").get_topic_attributes(TopicArn=id)["Attributes"]
    return told.get("KmsMasterKeyId"), told["Policy"]


def subscriptions(client: Client, _: str) -> Any:
    """Tell every subscription that is at rest: one that was deleted comes back under the same name."""
    told = client("rds").describe_event_subscriptions()["EventSubscriptionsList"]
    return sorted((each["CustSubscriptionId"], each["Enabled"]) for each in told if each["Status"] == "active")


def vault(client: Client, id: str) -> Any:
    """Tell the tags of a vault."""
    arn = client("backup").describe_backup_vault(BackupVaultName=id)["BackupVaultArn"]
    return client("backup").list_tags(ResourceArn=arn)["Tags"]


def untag_the_vault(client: Client, id: str) -> None:
    """Take the name tag from a vault."""
    arn = client("backup").describe_backup_vault(BackupVaultName=id)["BackupVaultArn"]
    client("backup").untag_resource(ResourceArn=arn, TagKeyList=["Name"])


def selections(client: Client, id: str) -> Any:
    """Tell what a plan copies."""
    listed = client("backup").list_backup_selections(BackupPlanId=id)["BackupSelectionsList"]
    return sorted(each["SelectionName"] for each in listed)


def select_nothing(client: Client, id: str) -> None:
    """Have a plan copy nothing any more."""
    for each in client("backup").list_backup_selections(BackupPlanId=id)["BackupSelectionsList"]:
        client("backup").delete_backup_selection(BackupPlanId=id, SelectionId=each["SelectionId"])
