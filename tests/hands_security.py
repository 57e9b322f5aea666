"""What foreign hands do to the keys, logs, alerts and backups of a hardened stack.

Knows nothing of what comes of it; a row is (kind, what, deed, environments, how the names of the steps begin).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from provisioner.engine import Seen

HARDENED = ("prod",)
OPEN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*"}]}

Client = Callable[[str], Any]
Hand = Callable[[Client, Seen], object]


def live(seen: Seen) -> Any:
    assert seen.live is not None
    return seen.live


def key(verb: str, **parameters: Any) -> Hand:
    return lambda client, seen: getattr(client("kms"), verb)(KeyId=live(seen).id, **parameters)


def retag_key(client: Client, seen: Seen) -> None:
    client("kms").untag_resource(KeyId=live(seen).id, TagKeys=["team"])
    client("kms").tag_resource(KeyId=live(seen).id, Tags=[{"TagKey": "Name", "TagValue": "mine"}])


def open_key(client: Client, seen: Seen) -> None:
    statements = [{**each, "Resource": "*"} for each in OPEN["Statement"]]
    policy = json.dumps({**OPEN, "Statement": statements})
    client("kms").put_key_policy(KeyId=live(seen).id, PolicyName="default", Policy=policy)


def take_alias(client: Client, seen: Seen) -> None:
    client("kms").delete_alias(AliasName=f"alias/{seen.step.label}")


def retag_bucket(client: Client, seen: Seen) -> None:
    tags = {**live(seen).facts["all_tags"], "team": "somebody else"}
    tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
    client("s3").put_bucket_tagging(Bucket=live(seen).id, Tagging={"TagSet": tag_set})


def setting(verb: str, **parameters: Any) -> Hand:
    return lambda client, seen: getattr(client("s3"), verb)(Bucket=live(seen).id, **parameters)


def encrypt(algorithm: str, **more: Any) -> Hand:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}, **more}
    return setting("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})


def forget_the_bucket_key(client: Client, seen: Seen) -> None:
    name = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": live(seen).facts["encrypted_by"]}
    rule = {"ApplyServerSideEncryptionByDefault": name, "BucketKeyEnabled": False}
    setting("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})(client, seen)


def delete_with_its_source(client: Client, seen: Seen) -> None:
    client("s3").delete_bucket(Bucket=live(seen).id)


def instance(**changes: Any) -> Hand:
    return lambda client, seen: client("rds").modify_db_instance(
        DBInstanceIdentifier=live(seen).id, ApplyImmediately=True, **changes
    )


def topic(attribute: str, value: str) -> Hand:
    return lambda client, seen: client("sns").set_topic_attributes(
        TopicArn=live(seen).id, AttributeName=attribute, AttributeValue=value
    )


def widen(client: Client, seen: Seen) -> None:
    events = {"Effect": "Allow", "Principal": {"Service": "events.rds.amazonaws.com"}, "Action": "SNS:Publish"}
    policy = {"Version": "2012-10-17", "Statement": [{**events, "Resource": live(seen).id}]}
    topic("Policy", json.dumps(policy))(client, seen)


def keep_from_publishing(client: Client, seen: Seen) -> None:
    nobody = {"Effect": "Deny", "Principal": "*", "Action": "SNS:Publish", "Resource": live(seen).id}
    topic("Policy", json.dumps({"Version": "2012-10-17", "Statement": [nobody]}))(client, seen)


def retag_topic(client: Client, seen: Seen) -> None:
    client("sns").untag_resource(ResourceArn=live(seen).id, TagKeys=["team"])
    client("sns").tag_resource(ResourceArn=live(seen).id, Tags=[{"Key": "Name", "Value": "mine"}])


def subscription(verb: str = "modify_event_subscription", **changes: Any) -> Hand:
    return lambda client, seen: getattr(client("rds"), verb)(SubscriptionName=live(seen).id, **changes)


def tell_elsewhere(client: Client, seen: Seen) -> None:
    events = {"Effect": "Allow", "Principal": {"Service": "events.rds.amazonaws.com"}, "Action": "SNS:Publish"}
    arn = live(seen).facts["topic"].replace("alerts", "others")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**events, "Resource": arn}]})
    client("sns").create_topic(Name=arn.rpartition(":")[2], Attributes={"Policy": policy})
    subscription(SnsTopicArn=arn)(client, seen)
    # What they made is theirs to take away again, and nobody counts it.
    client("sns").delete_topic(TopicArn=arn)


def forget_a_source(client: Client, seen: Seen) -> None:
    source = live(seen).facts["sources"][0]
    subscription("remove_source_identifier_from_subscription", SourceIdentifier=source)(client, seen)


def retag_subscription(client: Client, seen: Seen) -> None:
    client("rds").remove_tags_from_resource(ResourceName=live(seen).facts["arn"], TagKeys=["team"])


def retag_backup(client: Client, seen: Seen) -> None:
    client("backup").untag_resource(ResourceArn=live(seen).facts["arn"], TagKeyList=["team"])
    client("backup").tag_resource(ResourceArn=live(seen).facts["arn"], Tags={"Name": "mine"})


def plan(change: Callable[[dict[str, Any]], object]) -> Hand:
    """Change the document of a plan."""

    def do(client: Client, seen: Seen) -> None:
        document = client("backup").get_backup_plan(BackupPlanId=live(seen).id)["BackupPlan"]
        rules = [{name: told for name, told in rule.items() if name != "RuleId"} for rule in document["Rules"]]
        change(rules[0])
        client("backup").update_backup_plan(BackupPlanId=live(seen).id, BackupPlan={**document, "Rules": rules})

    return do


def unselect(client: Client, seen: Seen) -> None:
    for each in live(seen).facts["selections"]:
        client("backup").delete_backup_selection(BackupPlanId=live(seen).id, SelectionId=each)


def select_besides(client: Client, seen: Seen) -> None:
    wanted = {**live(seen).facts["selection"], "SelectionName": "another", "Resources": ["arn:aws:s3:::theirs"]}
    client("backup").create_backup_selection(BackupPlanId=live(seen).id, BackupSelection=wanted)


def delete_plan(client: Client, seen: Seen) -> None:
    unselect(client, seen)
    client("backup").delete_backup_plan(BackupPlanId=live(seen).id)


CHANGES: tuple[tuple[Any, ...], ...] = (
    ("Key", "disabled", key("disable_key"), HARDENED),
    ("Key", "rotation off", key("disable_key_rotation"), HARDENED),
    ("Key", "opened to everybody", open_key, HARDENED),
    ("Key", "alias deleted", take_alias, HARDENED),
    ("Key", "tags changed", retag_key, HARDENED),
    ("Key", "about to be deleted", key("schedule_key_deletion", PendingWindowInDays=7), HARDENED),
    ("LogBucket", "tags changed", retag_bucket, HARDENED),
    ("LogBucket", "policy deleted", setting("delete_bucket_policy"), HARDENED),
    ("LogBucket", "kept for ever", setting("delete_bucket_lifecycle"), HARDENED),
    ("LogBucket", "encrypted so that no log comes", encrypt("aws:kms"), HARDENED),
    ("LogBucket", "deleted", delete_with_its_source, HARDENED),
    ("Bucket", "encrypted by AWS", encrypt("AES256"), HARDENED),
    ("Bucket", "encrypted with another key", encrypt("aws:kms"), HARDENED),
    ("Bucket", "without a bucket key", forget_the_bucket_key, HARDENED),
    ("Bucket", "logged no more", setting("put_bucket_logging", BucketLoggingStatus={}), HARDENED),
    (
        "Bucket",
        "events told no more",
        setting("put_bucket_notification_configuration", NotificationConfiguration={}),
        HARDENED,
    ),
    ("DbInstance", "metrics off", instance(MonitoringInterval=0), HARDENED),
    ("DbInstance", "insights off", instance(EnablePerformanceInsights=False), HARDENED),
    ("DbInstance", "insights on", instance(EnablePerformanceInsights=True), ("dev",)),
    ("Topic", "tags changed", retag_topic, HARDENED),
    ("Topic", "unencrypted", topic("KmsMasterKeyId", ""), HARDENED),
    ("Topic", "open without TLS", widen, HARDENED),
    ("Topic", "closed to RDS", keep_from_publishing, HARDENED),
    ("Topic", "deleted", lambda client, seen: client("sns").delete_topic(TopicArn=live(seen).id), HARDENED),
    ("EventSubscription", "tags changed", retag_subscription, HARDENED),
    ("EventSubscription", "switched off", subscription(Enabled=False), HARDENED),
    ("EventSubscription", "of other categories", subscription(EventCategories=["deletion"]), HARDENED),
    ("EventSubscription", "told to a topic that is gone", tell_elsewhere, HARDENED),
    ("EventSubscription", "a source taken", forget_a_source, HARDENED),
    ("EventSubscription", "deleted", subscription("delete_event_subscription"), HARDENED),
    ("BackupVault", "tags changed", retag_backup, HARDENED),
    ("BackupPlan", "tags changed", retag_backup, HARDENED),
    ("BackupPlan", "copies kept for ever", plan(lambda rule: rule.pop("Lifecycle")), HARDENED),
    ("BackupPlan", "another time", plan(lambda rule: rule.update(ScheduleExpression="cron(0 1 ? * 1 *)")), HARDENED),
    ("BackupPlan", "nothing selected", unselect, HARDENED),
    ("BackupPlan", "something else selected besides", select_besides, HARDENED),
    ("BackupPlan", "deleted", delete_plan, HARDENED),
)


def disown(client: Client, seen: Seen, tag: str) -> bool:
    """Take a tag from a resource of these kinds; tells whether it is one."""
    match seen.step.kind:
        case "Key":
            client("kms").untag_resource(KeyId=live(seen).id, TagKeys=[tag])
        case "Topic":
            client("sns").untag_resource(ResourceArn=live(seen).id, TagKeys=[tag])
        case "BackupVault" | "BackupPlan":
            client("backup").untag_resource(ResourceArn=live(seen).facts["arn"], TagKeyList=[tag])
        case _:
            return False
    return True


def give_back(client: Client, seen: Seen) -> bool:
    """Put back the tags that were taken from a resource of these kinds; tells whether it is one."""
    labels = seen.step.labels
    match seen.step.kind:
        case "Key":
            tags = [{"TagKey": name, "TagValue": value} for name, value in labels.items()]
            client("kms").tag_resource(KeyId=live(seen).id, Tags=tags)
        case "Topic":
            tags = [{"Key": name, "Value": value} for name, value in labels.items()]
            client("sns").tag_resource(ResourceArn=live(seen).id, Tags=tags)
        case "BackupVault" | "BackupPlan":
            client("backup").tag_resource(ResourceArn=live(seen).facts["arn"], Tags=dict(labels))
        case _:
            return False
    return True


def obey(client: Client, words: list[str], options: Mapping[str, str]) -> bool:
    """Do with boto3 what a command for these kinds does; tells whether it is one."""
    given = words[words.index("--tags") + 1 :] if "--tags" in words else []
    match words[1]:
        case "kms":
            pairs = (word.removeprefix("TagKey=").partition(",TagValue=") for word in given)
            tags = [{"TagKey": name, "TagValue": value} for name, _, value in pairs]
            client("kms").tag_resource(KeyId=options["--key-id"], Tags=tags)
        case "sns":
            pairs = (word.removeprefix("Key=").partition(",Value=") for word in given)
            tags = [{"Key": name, "Value": value} for name, _, value in pairs]
            client("sns").tag_resource(ResourceArn=options["--resource-arn"], Tags=tags)
        case "backup":
            client("backup").tag_resource(ResourceArn=options["--resource-arn"], Tags=json.loads(options["--tags"]))
        case _:
            return False
    return True
