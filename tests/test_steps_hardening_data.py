"""What the steps of a hardened database say, as text: key, log bucket, alerts, backups, and what the others gain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.kit import Ambiguous, Call, Live, Step, Unknown
from provisioner.terms import Quantity
from steps.backup_plan import BackupPlan
from steps.backup_vault import BATCH, BackupVault
from steps.bucket import EVENTS, Bucket
from steps.cluster import Cluster
from steps.db_instance import DbInstance
from steps.event_subscription import EventSubscription
from steps.key import Key
from steps.log_bucket import LogBucket
from steps.topic import Topic
from tests.cases import STACK, said
from tests.model import validate
from tests.test_steps_data import (
    BUCKET,
    BUCKET_ANSWERS,
    BUCKET_FACTS,
    BUCKET_LIVE,
    CLUSTER,
    INSTANCE,
    INSTANCE_FACTS,
    NAME,
    OWNED,
    Answers,
    described,
    exact,
    instance,
    looked,
    tagged,
)

ARN = "arn:aws:kms:eu-west-1:123456789012:key/k-1"
OTHER = "arn:aws:kms:eu-west-1:123456789012:key/k-2"

# Key

KEY = Key(name="key", stack=STACK)
KEY_FACTS: dict[str, Any] = {
    "alias": "alias/shop-dev-key",
    "enabled": True,
    "until": "",
    "rotation": True,
    "policy": KEY.policy,
    "tags": KEY.labels,
}


def described_key(**more: Any) -> dict[str, Any]:
    return {"KeyId": "k-1", "Arn": ARN, "Description": "shop-dev-key", "KeyState": "Enabled", **more}


def key_tags(step: Step) -> list[dict[str, str]]:
    return [{"TagKey": name, "TagValue": value} for name, value in step.labels.items()]


def keyring(named: bool = True, keys: Mapping[str, Mapping[str, Any]] | None = None, **more: Any) -> Answers:
    """Answer for these keys, of which the first has the alias where it is named."""
    known = keys if keys is not None else {"k-1": described_key()}

    def describe(**named_by: str) -> Mapping[str, Any] | None:
        key = named_by["KeyId"]
        found = known.get(key) or (next(iter(known.values()), None) if named and key.startswith("alias/") else None)
        return {"KeyMetadata": found} if found else None

    answers: dict[str, Any] = {
        "describe_key": describe,
        "list_keys": [[{"KeyId": each} for each in known]],
        "list_resource_tags": lambda **_: key_tags(KEY),
        "get_key_rotation_status": {"KeyRotationEnabled": True},
        "get_key_policy": {"Policy": json.dumps(KEY.policy)},
    }
    return Answers(**{**answers, **more})


def test_an_absent_key_is_created_named_and_rotated() -> None:
    lines = said(KEY.provision(None))
    assert lines[0].startswith(
        'kms.create_key Description=shop-dev-key Policy={"Version": "2012-10-17", "Statement": ['
    )
    assert lines[1:] == [
        "kms.create_alias AliasName=alias/shop-dev-key TargetKeyId=<key>",
        "kms.enable_key_rotation KeyId=<key>",
    ]
    (created, *_) = KEY.provision(None)
    assert created.params["Tags"] == sorted(key_tags(KEY), key=lambda tag: tag["TagKey"])


def test_a_key_as_wanted_needs_no_call_and_four_questions() -> None:
    aws = keyring()
    assert KEY.observe(aws) == Live(ARN, KEY_FACTS)
    assert len(aws.asked) == 4
    assert said(KEY.provision(Live(ARN, KEY_FACTS))) == []


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("alias", "", f"create_alias AliasName=alias/shop-dev-key TargetKeyId={ARN}"),
        ("enabled", False, f"enable_key KeyId={ARN}"),
        ("rotation", False, f"enable_key_rotation KeyId={ARN}"),
        ("policy", {}, f"put_key_policy KeyId={ARN} PolicyName=default Policy="),
        ("tags", {}, f"tag_resource KeyId={ARN} Tags="),
    ],
)
def test_each_fact_of_a_key_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(KEY.provision(Live(ARN, {**KEY_FACTS, fact: found})))
    assert line.startswith(f"kms.{call}"[:110])


def test_a_key_in_its_window_is_taken_back_and_enabled() -> None:
    end = datetime(2026, 12, 24, tzinfo=UTC)
    live = KEY.observe(keyring(keys={"k-1": described_key(KeyState="PendingDeletion", DeletionDate=end)}))
    assert live is not None
    assert (live.leaving, live.busy) == (True, "")
    assert said(KEY.provision(live)) == [f"kms.cancel_key_deletion KeyId={ARN}", f"kms.enable_key KeyId={ARN}"]
    assert KEY.remains(live) == f"key {ARN} (free; gone for good on 2026-12-24, until then a provision takes it back)"


def test_a_key_is_given_30_days() -> None:
    assert said(KEY.teardown(Live(ARN, KEY_FACTS))) == [f"kms.schedule_key_deletion KeyId={ARN} PendingWindowInDays=30"]


def test_a_key_without_its_alias_is_found_by_its_tags_and_only_keys_of_its_description_are_asked() -> None:
    others = {"k-9": described_key(KeyId="k-9", Description="theirs"), "k-1": described_key()}
    aws = keyring(named=False, keys=others)
    live = KEY.observe(aws)
    assert live is not None
    assert (live.id, live.facts["alias"]) == (ARN, "")
    assert aws.asked.count("kms.list_resource_tags") == 2


def test_two_keys_without_an_alias_are_told_apart_by_nobody() -> None:
    twins = {"k-1": described_key(), "k-2": described_key(KeyId="k-2", Arn=OTHER)}
    with pytest.raises(Ambiguous, match="k-1, .*k-2"):
        KEY.observe(keyring(named=False, keys=twins))
    assert said(KEY.surplus(twins["k-2"])) == [f"kms.schedule_key_deletion KeyId={OTHER} PendingWindowInDays=30"]
    assert said(KEY.surplus({**twins["k-2"], "KeyState": "Disabled"})) == []


def test_a_key_without_an_alias_that_is_going_is_none_of_ours() -> None:
    assert KEY.observe(keyring(named=False, keys={"k-1": described_key(KeyState="PendingDeletion")})) is None


def test_a_key_with_our_alias_and_not_our_tags_is_foreign() -> None:
    live = KEY.observe(keyring(list_resource_tags=lambda **_: []))
    assert live is not None
    assert live.foreign.startswith("aws kms tag-resource --key-id k-1 --tags TagKey=Name,TagValue=shop-dev-key ")
    assert list(Key.survivors(keyring(list_resource_tags=lambda **_: []), STACK)) == []


def test_a_key_survives_until_it_is_given_up() -> None:
    assert list(Key.survivors(keyring(), STACK)) == ["key"]
    assert list(Key.survivors(keyring(keys={"k-1": described_key(KeyState="PendingDeletion")}), STACK)) == []
    aws = keyring(keys={})
    assert list(Key.survivors(aws, STACK)) == []
    assert aws.asked == ["kms.describe_key"]


@pytest.mark.parametrize(
    ("key", "snapshots", "clusters", "needed"),
    [
        (KEY, [], [], []),
        (KEY, [{"DBClusterSnapshotIdentifier": "old", "KmsKeyId": ARN}], [], ["snapshot old"]),
        (KEY, [{"DBClusterSnapshotIdentifier": "rds:x", "KmsKeyId": ARN, "SnapshotType": "automated"}], [], []),
        (KEY, [{"DBClusterSnapshotIdentifier": "old", "KmsKeyId": OTHER}], [], []),
        (KEY, [], [described(KmsKeyId=ARN)], []),
        (
            replace(KEY, final_snapshot=True),
            [],
            [described(KmsKeyId=ARN)],
            ["the final snapshot of shop-dev-database"],
        ),
        (replace(KEY, final_snapshot=True, skip_final_snapshot=True), [], [described(KmsKeyId=ARN)], []),
        (KEY, [], [described(KmsKeyId=ARN, TagList=[])], ["cluster shop-dev-database"]),
    ],
)
def test_a_key_is_needed_by_what_outlives_it(key: Key, snapshots: Any, clusters: Any, needed: list[str]) -> None:
    aws = Answers(describe_db_cluster_snapshots=[snapshots], describe_db_clusters=[clusters])
    assert list(key.burdens(aws, Live(ARN, KEY_FACTS)).needed_by) == needed


def test_a_key_that_stays_is_named_with_its_price() -> None:
    live = Live(ARN, KEY_FACTS, needed_by=("snapshot old",))
    assert KEY.remains(live) == f"key {ARN} with alias/shop-dev-key (1 dollar a month), for snapshot old"


# Bucket on a key, with logs and events

HARD = replace(BUCKET, encryption="aws:kms", key=ARN, logs="shop-dev-logs", events=True)
HARD_FACTS = {
    **BUCKET_FACTS,
    "tags": HARD.labels,
    "all_tags": {**HARD.labels, "team": "shop"},
    "encryption": "aws:kms",
    "encrypted_by": ARN,
    "logs": "shop-dev-logs",
    "events": True,
    "notified": {},
}
ENCRYPTED = {
    "ServerSideEncryptionConfiguration": {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ARN},
                "BucketKeyEnabled": True,
            }
        ]
    }
}
QUEUES = {
    "QueueConfigurations": [{"Id": "q", "QueueArn": "arn:aws:sqs:eu-west-1:1:q", "Events": ["s3:ObjectCreated:*"]}]
}
HARD_ANSWERS = {
    **BUCKET_ANSWERS,
    "get_bucket_tagging": {"TagSet": tagged(HARD, team="shop")},
    "get_bucket_encryption": ENCRYPTED,
    "get_bucket_logging": {"LoggingEnabled": {"TargetBucket": "shop-dev-logs", "TargetPrefix": "bucket/"}},
    "get_bucket_notification_configuration": {"EventBridgeConfiguration": {}},
}


def test_a_hardened_bucket_as_wanted_needs_no_call() -> None:
    assert HARD.observe(Answers(**HARD_ANSWERS)) == Live(NAME, HARD_FACTS)
    assert said(HARD.provision(Live(NAME, HARD_FACTS))) == []


def test_an_absent_hardened_bucket_waits_for_its_key_and_its_logs() -> None:
    bucket = replace(HARD, key=Unknown("key"), logs=Unknown("access-logs"))
    assert [line.partition(" Bucket=")[0] for line in said(bucket.provision(None))] == [
        "s3.create_bucket",
        "s3.put_bucket_encryption",
        "s3.put_bucket_versioning",
        "s3.put_bucket_lifecycle_configuration",
        "s3.put_bucket_policy",
        "s3.put_bucket_logging",
        "s3.put_bucket_notification_configuration",
    ]
    (created, encrypted, *_) = bucket.provision(None)
    assert {"Key": EVENTS, "Value": "eventbridge"} in created.params["CreateBucketConfiguration"]["Tags"]
    assert encrypted.unknowns == {"key"}


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("encryption", "AES256", "put_bucket_encryption"),
        ("encryption", f"aws:kms with {OTHER}", "put_bucket_encryption"),
        ("encryption", "aws:kms without a bucket key", "put_bucket_encryption"),
        ("logs", None, "put_bucket_logging"),
        ("logs", "theirs", "put_bucket_logging"),
        ("events", False, "put_bucket_notification_configuration"),
        ("tags", BUCKET.labels, "put_bucket_tagging"),
    ],
)
def test_each_setting_of_a_hardened_bucket_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(HARD.provision(Live(NAME, {**HARD_FACTS, fact: found})))
    assert line.startswith(f"s3.{call} {OWNED} ")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": OTHER}, f"aws:kms with {OTHER}"),
        ({"SSEAlgorithm": "aws:kms"}, "aws:kms with the key of AWS"),
        ({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ARN}, "aws:kms without a bucket key"),
        ({"SSEAlgorithm": "AES256"}, "AES256"),
    ],
)
def test_how_a_bucket_is_encrypted_otherwise_is_told(rule: dict[str, str], told: str) -> None:
    rules = {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}}
    live = HARD.observe(Answers(**{**HARD_ANSWERS, "get_bucket_encryption": rules}))
    assert live is not None
    assert live.facts["encryption"] == told


def test_who_else_is_told_of_events_is_told_on() -> None:
    live = HARD.observe(Answers(**{**HARD_ANSWERS, "get_bucket_notification_configuration": QUEUES}))
    assert live is not None
    (call,) = HARD.provision(live)
    assert call.params["NotificationConfiguration"] == {**QUEUES, "EventBridgeConfiguration": {}}


def test_events_and_logs_are_taken_back_from_a_bucket_that_had_them_of_us() -> None:
    def tags(**_: Any) -> Mapping[str, Any]:
        return {"TagSet": tagged(HARD)}

    target = {"LoggingEnabled": {"TargetBucket": "shop-dev-logs-123456789012-eu-west-1", "TargetPrefix": ""}}
    both = {**QUEUES, "EventBridgeConfiguration": {}}
    found = {"get_bucket_tagging": tags, "get_bucket_logging": target, "get_bucket_notification_configuration": both}
    live = BUCKET.observe(Answers(**{**BUCKET_ANSWERS, **found}))
    assert live is not None
    logged, told, tagging = BUCKET.provision(live)
    assert logged.params["BucketLoggingStatus"] == {}
    assert told.params["NotificationConfiguration"] == QUEUES
    assert EVENTS not in {tag["Key"] for tag in tagging.params["Tagging"]["TagSet"]}


def test_events_and_logs_of_others_are_nobodys_business() -> None:
    theirs = {"get_bucket_notification_configuration": {"EventBridgeConfiguration": {}}}
    assert BUCKET.observe(Answers(**{**BUCKET_ANSWERS, **theirs})) == BUCKET_LIVE
    logs = {
        "get_bucket_tagging": {"TagSet": tagged(BUCKET)},
        "get_bucket_logging": {"LoggingEnabled": {"TargetBucket": "theirs"}},
    }
    live = BUCKET.observe(Answers(**{**BUCKET_ANSWERS, **logs}))
    assert live is not None
    assert said(BUCKET.provision(live)) == []


# Log bucket

LOGS = LogBucket(name="access-logs", stack=STACK, days=90)
LOGS_NAME = "shop-dev-logs-123456789012-eu-west-1"


def test_a_log_bucket_lets_s3_write_what_it_has_to_say_of_the_other_one_and_loses_it_in_time() -> None:
    assert LOGS.label == LOGS_NAME
    _, lets = LOGS.policy["Statement"]
    assert lets == {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{LOGS_NAME}/*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{NAME}"},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        },
    }
    (rule,) = LOGS.lifecycle
    assert rule["Expiration"] == {"Days": 90}
    assert LOGS.encryption == "AES256"


def test_an_absent_log_bucket_is_created_like_any_other() -> None:
    assert [line.partition(" Bucket=")[0] for line in said(LOGS.provision(None))] == [
        "s3.create_bucket",
        "s3.put_bucket_versioning",
        "s3.put_bucket_lifecycle_configuration",
        "s3.put_bucket_policy",
    ]


def test_a_log_bucket_survives_under_its_own_name_unless_the_stack_has_too_long_a_one() -> None:
    def tags(**asked: Any) -> Mapping[str, Any] | None:
        return {"TagSet": tagged(LOGS)} if asked["Bucket"] == LOGS_NAME else None

    assert list(LogBucket.survivors(Answers(get_bucket_tagging=tags), STACK)) == ["access-logs"]
    assert list(Bucket.survivors(Answers(get_bucket_tagging=tags), STACK)) == []
    aws = Answers()
    assert list(LogBucket.survivors(aws, replace(STACK, project="s" * 32))) == []
    assert aws.asked == []


# Cluster and instances


def test_a_hardened_cluster_is_created_under_the_stacks_key() -> None:
    (created,) = replace(CLUSTER, kms_key=ARN, secret_key=ARN).provision(None)
    assert (created.params["KmsKeyId"], created.params["MasterUserSecretKmsKeyId"]) == (ARN, ARN)


def test_a_cluster_that_was_built_before_the_key_keeps_its_own_and_says_so() -> None:
    later = replace(CLUSTER, kms_key=OTHER, secret_key=OTHER, implied=frozenset({"kms_key", "secret_key"}))
    live = looked(later)
    assert not later.differences(live)
    declared = replace(later, kms_key=KEY, secret_key=KEY)
    checks = [each for check in declared.objections(Answers(describe_key=later_key), live, 0.0) for each in check]
    (told,) = [each for each in checks if each.where == "security.own_key"]
    assert told.severity == "warning"
    assert told.what == "shop-dev-database was built with another key, and storage keep it: AWS cannot change that"


def later_key(**_: str) -> Mapping[str, Any]:
    return {"KeyMetadata": {"Arn": OTHER}}


def test_a_key_that_is_not_there_yet_is_compared_with_nothing() -> None:
    live = looked(replace(CLUSTER, kms_key=Unknown("key")))
    assert "kms_key" not in live.facts


def test_only_a_key_that_the_file_names_is_the_clusters_to_pay_for() -> None:
    assert Quantity("kms-key") in replace(CLUSTER, kms_key="alias/app").costs()
    assert Quantity("kms-key") not in replace(CLUSTER, kms_key=KEY).costs()
    assert list(KEY.costs()) == [Quantity("kms-key", 1)]


def test_exports_that_are_under_way_count_as_made() -> None:
    pending = {"PendingCloudwatchLogsExports": {"LogTypesToEnable": ["postgresql"]}}
    live = looked(EnabledCloudwatchLogsExports=[], PendingModifiedValues=pending)
    assert not CLUSTER.differences(live)
    assert live.busy == "applying PendingCloudwatchLogsExports"


WATCHED = replace(
    INSTANCE, monitoring_role="arn:role", monitoring_seconds=60, performance_insights=True, insights_key=ARN
)
WATCHED_FACTS = {
    **INSTANCE_FACTS,
    "monitoring_role": "arn:role",
    "monitoring_seconds": 60,
    "performance_insights": True,
    "insights_encrypted_by": ARN,
}
WATCHING = {
    "MonitoringInterval": 60,
    "MonitoringRoleArn": "arn:role",
    "PerformanceInsightsEnabled": True,
    "PerformanceInsightsKMSKeyId": ARN,
}


def test_a_watched_instance_is_created_so() -> None:
    (created,) = WATCHED.provision(None)
    validate(created)
    assert created.params["MonitoringInterval"] == 60
    assert created.params["MonitoringRoleArn"] == "arn:role"
    assert created.params["EnablePerformanceInsights"] is True
    assert created.params["PerformanceInsightsRetentionPeriod"] == 7
    assert created.params["PerformanceInsightsKMSKeyId"] == ARN


def test_a_watched_instance_as_wanted_needs_no_call() -> None:
    live = WATCHED.observe(Answers(describe_db_instances=[[instance(**WATCHING)]]))
    assert live == exact(WATCHED, **WATCHED_FACTS)
    assert said(WATCHED.provision(live)) == []


@pytest.mark.parametrize(
    ("step", "facts", "changes"),
    [
        (WATCHED, {"monitoring_seconds": 0}, "MonitoringInterval=60 MonitoringRoleArn=arn:role"),
        (WATCHED, {"monitoring_role": "arn:other"}, "MonitoringInterval=60 MonitoringRoleArn=arn:role"),
        (
            WATCHED,
            {"performance_insights": False},
            f"EnablePerformanceInsights=true PerformanceInsightsRetentionPeriod=7 PerformanceInsightsKMSKeyId={ARN}",
        ),
        (INSTANCE, {"monitoring_seconds": 60}, "MonitoringInterval=0"),
        (INSTANCE, {"performance_insights": True}, "EnablePerformanceInsights=false"),
    ],
)
def test_what_an_instance_is_watched_by_is_switched_alone(step: DbInstance, facts: Any, changes: str) -> None:
    found = exact(step, **{**(WATCHED_FACTS if step is WATCHED else INSTANCE_FACTS), **facts})
    assert said(step.provision(found)) == [
        f"rds.modify_db_instance DBInstanceIdentifier=shop-dev-database-1 ApplyImmediately=true {changes}"
    ]


# Topic

TOPIC = Topic(name="alerts", stack=STACK, key=ARN)
TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:shop-dev-alerts"
TOPIC_FACTS: dict[str, Any] = {"key": ARN, "policy": TOPIC.policy, "tags": TOPIC.labels}


def topic_answers(**more: Any) -> Answers:
    attributes = {"TopicArn": TOPIC_ARN, "KmsMasterKeyId": ARN, "Policy": json.dumps(TOPIC.policy)}
    answers = {"get_topic_attributes": {"Attributes": attributes}, "list_tags_for_resource": {"Tags": tagged(TOPIC)}}
    return Answers(**{**answers, **more})


def test_an_absent_topic_is_created_as_a_whole() -> None:
    (line,) = said(TOPIC.provision(None))
    assert line.startswith('sns.create_topic Name=shop-dev-alerts Attributes={"KmsMasterKeyId": "arn:aws:kms:eu-west-1')
    (created,) = TOPIC.provision(None)
    assert json.loads(created.params["Attributes"]["Policy"]) == TOPIC.policy
    assert [each["Condition"] for each in TOPIC.policy["Statement"]] == [
        {
            "ArnLike": {"aws:SourceArn": "arn:aws:rds:eu-west-1:123456789012:*"},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        },
        {"Bool": {"aws:SecureTransport": "false"}},
    ]


def test_a_topic_as_wanted_needs_no_call() -> None:
    assert TOPIC.observe(topic_answers()) == Live(TOPIC_ARN, TOPIC_FACTS)
    assert said(TOPIC.provision(Live(TOPIC_ARN, TOPIC_FACTS))) == []
    assert TOPIC.observe(Answers()) is None


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("key", None, f"set_topic_attributes TopicArn={TOPIC_ARN} AttributeName=KmsMasterKeyId AttributeValue=arn:"),
        ("policy", {}, f"set_topic_attributes TopicArn={TOPIC_ARN} AttributeName=Policy AttributeValue="),
        ("tags", {}, f"tag_resource ResourceArn={TOPIC_ARN} Tags="),
    ],
)
def test_each_fact_of_a_topic_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(TOPIC.provision(Live(TOPIC_ARN, {**TOPIC_FACTS, fact: found})))
    assert line.startswith(f"sns.{call}")


def test_a_topic_goes_by_its_arn_and_survives_by_its_name() -> None:
    assert said(TOPIC.teardown(Live(TOPIC_ARN, TOPIC_FACTS))) == [f"sns.delete_topic TopicArn={TOPIC_ARN}"]
    assert list(Topic.survivors(topic_answers(), STACK)) == ["alerts"]
    aws = Answers()
    assert list(Topic.survivors(aws, STACK)) == []
    assert aws.asked == ["sns.get_topic_attributes"]


def test_a_topic_without_our_tags_is_foreign() -> None:
    live = TOPIC.observe(topic_answers(list_tags_for_resource={"Tags": []}))
    assert live is not None
    assert live.foreign.startswith(f"aws sns tag-resource --resource-arn {TOPIC_ARN} --tags Key=Name,Value=shop-dev-al")


# Event subscription

SUBSCRIPTION = EventSubscription(
    name="instance-alerts",
    stack=STACK,
    topic=TOPIC_ARN,
    source_type="db-instance",
    sources=("shop-dev-cluster-1", "shop-dev-cluster-2"),
    categories=("configuration change", "failure"),
)
SUBSCRIPTION_ARN = "arn:aws:rds:eu-west-1:123456789012:es:shop-dev-instance-alerts"
SUBSCRIPTION_FACTS: dict[str, Any] = {
    "topic": TOPIC_ARN,
    "source_type": "db-instance",
    "sources": SUBSCRIPTION.sources,
    "categories": SUBSCRIPTION.categories,
    "enabled": True,
}


def subscribed(tags: Any = None, **more: Any) -> Answers:
    item = {
        "CustSubscriptionId": "shop-dev-instance-alerts",
        "EventSubscriptionArn": SUBSCRIPTION_ARN,
        "SnsTopicArn": TOPIC_ARN,
        "Status": "active",
        "SourceType": "db-instance",
        "SourceIdsList": ["shop-dev-cluster-2", "shop-dev-cluster-1"],
        "EventCategoriesList": ["failure", "configuration change"],
        "Enabled": True,
    }
    tag_list = {"TagList": tagged(SUBSCRIPTION) if tags is None else tags}
    return Answers(describe_event_subscriptions=[[{**item, **more}]], list_tags_for_resource=tag_list)


def test_an_absent_subscription_is_created_as_a_whole() -> None:
    (line,) = said(SUBSCRIPTION.provision(None))
    assert line.partition(" Tags=")[0] == (
        f"rds.create_event_subscription SubscriptionName=shop-dev-instance-alerts SnsTopicArn={TOPIC_ARN} "
        'SourceType=db-instance EventCategories=["configuration change", "failure"] Enabled=true '
        'SourceIds=["shop-dev-cluster-1", "shop-dev-cluster-2"]'
    )


def test_a_subscription_as_wanted_needs_no_call_whatever_the_order() -> None:
    live = SUBSCRIPTION.observe(subscribed())
    wanted = {**SUBSCRIPTION_FACTS, "arn": SUBSCRIPTION_ARN, "tags": SUBSCRIPTION.labels}
    assert live == Live("shop-dev-instance-alerts", wanted)
    assert said(SUBSCRIPTION.provision(live)) == []


@pytest.mark.parametrize(
    ("fact", "found", "calls"),
    [
        ("topic", "arn:other", ["modify_event_subscription"]),
        ("source_type", "db-cluster", ["modify_event_subscription"]),
        ("categories", (), ["modify_event_subscription"]),
        ("enabled", False, ["modify_event_subscription"]),
        ("tags", {}, ["add_tags_to_resource"]),
        (
            "sources",
            ("shop-dev-cluster-1", "theirs"),
            ["add_source_identifier_to_subscription", "remove_source_identifier_from_subscription"],
        ),
    ],
)
def test_each_fact_of_a_subscription_is_put_right_alone(fact: str, found: Any, calls: list[str]) -> None:
    live = exact(SUBSCRIPTION, **{**SUBSCRIPTION_FACTS, fact: found})
    assert [line.partition(" ")[0] for line in said(SUBSCRIPTION.provision(live))] == [f"rds.{each}" for each in calls]


@pytest.mark.parametrize(
    ("status", "busy", "broken"),
    [
        ("creating", "creating", ""),
        ("modifying", "modifying", ""),
        ("deleting", "deleting", ""),
        ("no-permission", "", "no-permission: RDS may not publish to its topic"),
        ("topic-not-exist", "", "topic-not-exist: its topic was deleted"),
        ("all-sources-deleted", "", ""),
    ],
)
def test_a_subscription_is_active_busy_or_broken(status: str, busy: str, broken: str) -> None:
    live = SUBSCRIPTION.observe(subscribed(Status=status))
    assert live is not None
    assert (live.busy, live.broken) == (busy, broken)


def test_a_subscription_goes_by_its_name_and_survives_by_it() -> None:
    assert said(SUBSCRIPTION.teardown(exact(SUBSCRIPTION))) == [
        "rds.delete_event_subscription SubscriptionName=shop-dev-instance-alerts"
    ]
    assert list(EventSubscription.survivors(subscribed(), STACK)) == ["instance-alerts"]
    assert list(EventSubscription.survivors(subscribed(CustSubscriptionId="theirs"), STACK)) == []


def test_a_subscription_without_our_tags_is_foreign_and_an_absent_one_is_none() -> None:
    live = SUBSCRIPTION.observe(subscribed(tags=[]))
    assert live is not None
    assert live.foreign.startswith(f"aws rds add-tags-to-resource --resource-name {SUBSCRIPTION_ARN} --tags Key=Name")
    assert SUBSCRIPTION.observe(Answers()) is None


# Backups

VAULT = BackupVault(name="vault", stack=STACK, key=ARN)
VAULT_ARN = "arn:aws:backup:eu-west-1:123456789012:backup-vault:shop-dev-vault"
VAULT_LIVE = Live("shop-dev-vault", {"arn": VAULT_ARN, "encrypted_by": ARN, "key": ARN, "tags": VAULT.labels})
PLAN = BackupPlan(name="backup-plan", stack=STACK, vault="shop-dev-vault", role="arn:role", cluster="shop-dev-cluster")
PLAN_ARN = "arn:aws:backup:eu-west-1:123456789012:backup-plan:p-1"
PLAN_FACTS: dict[str, Any] = {
    "arn": PLAN_ARN,
    "tags": PLAN.labels,
    "document": PLAN.document,
    "selection": PLAN.selection,
    "selections": ["s-1"],
}


def vaults(tags: Mapping[str, str] | None = None, **more: Any) -> Answers:
    vault = {"BackupVaultName": "shop-dev-vault", "BackupVaultArn": VAULT_ARN, "EncryptionKeyArn": ARN}
    told = {"Tags": VAULT.labels if tags is None else tags}
    return Answers(list_backup_vaults=[[vault]], list_tags=told, **more)


def test_a_vault_is_created_with_its_key_and_its_tags() -> None:
    assert said(VAULT.provision(None))[0].startswith(
        f"backup.create_backup_vault BackupVaultName=shop-dev-vault EncryptionKeyArn={ARN} BackupVaultTags="
    )
    assert said(replace(VAULT, key=None).provision(None))[0].startswith(
        "backup.create_backup_vault BackupVaultName=shop-dev-vault BackupVaultTags="
    )


def test_a_vault_as_wanted_needs_no_call_and_another_key_is_kept() -> None:
    assert VAULT.observe(vaults()) == VAULT_LIVE
    assert said(VAULT.provision(VAULT_LIVE)) == []
    assert replace(VAULT, key=OTHER).differences(VAULT_LIVE) == {"key"}
    assert replace(VAULT, key=OTHER, implied=frozenset({"key"})).differences(VAULT_LIVE) == set()
    assert VAULT.observe(Answers()) is None


def test_the_tags_of_a_vault_are_put_right() -> None:
    (line,) = said(VAULT.provision(replace(VAULT_LIVE, facts={**VAULT_LIVE.facts, "tags": {}})))
    assert line.startswith(f"backup.tag_resource ResourceArn={VAULT_ARN[:50]}")


def points(number: int, status: str = "COMPLETED") -> list[dict[str, Any]]:
    return [{"RecoveryPointArn": f"arn:{each}", "Status": status} for each in range(number)]


@pytest.mark.parametrize(
    ("number", "needed"),
    [(0, []), (1, ["a copy of the database in it"]), (3, ["3 copies of the database in it"])],
)
def test_a_vault_stays_for_what_is_in_it(number: int, needed: list[str]) -> None:
    aws = Answers(list_recovery_points_by_backup_vault=[points(number)])
    burdens = VAULT.burdens(aws, VAULT_LIVE)
    assert (list(burdens.needed_by), list(burdens.contents)) == (needed, [])
    assert bool(VAULT.remains(replace(VAULT_LIVE, needed_by=burdens.needed_by))) == bool(needed)


def test_a_vault_that_may_lose_its_copies_loses_them_in_bounded_batches_before_it_goes() -> None:
    lost = replace(VAULT, delete_data=True)
    burdens = lost.burdens(Answers(list_recovery_points_by_backup_vault=[points(250)]), VAULT_LIVE)
    assert len(burdens.contents) == BATCH
    (batch,) = lost.teardown(replace(VAULT_LIVE, contents=burdens.contents))
    assert isinstance(batch, tuple)
    assert len(batch) == BATCH
    assert batch[0] == Call("backup.delete_recovery_point", BackupVaultName="shop-dev-vault", RecoveryPointArn="arn:0")
    assert said(lost.teardown(replace(VAULT_LIVE, contents=[("arn:0", "DELETING")]))) == []
    assert said(lost.teardown(VAULT_LIVE)) == ["backup.delete_backup_vault BackupVaultName=shop-dev-vault"]


def test_a_vault_survives_and_is_foreign_by_its_tags() -> None:
    assert list(BackupVault.survivors(vaults(), STACK)) == ["vault"]
    live = VAULT.observe(vaults(tags={}))
    assert live is not None
    assert live.foreign.startswith(f'aws backup tag-resource --resource-arn {VAULT_ARN} --tags \'{{"Name": "shop-d')


def plans(document: Any = None, selected: Any = None, tags: Any = None) -> Answers:
    rule = {**PLAN.document["Rules"][0], "RuleId": "r", "StartWindowMinutes": 480, "CompletionWindowMinutes": 10080}
    whole = {**PLAN.document, "Rules": [rule]} if document is None else document
    told = (
        {"ListOfTags": [], "NotResources": [], "Conditions": {"StringEquals": []}, **PLAN.selection}
        if selected is None
        else selected
    )
    return Answers(
        list_backup_plans=[[{"BackupPlanId": "p-1", "BackupPlanArn": PLAN_ARN, "BackupPlanName": PLAN.label}]],
        list_tags={"Tags": PLAN.labels if tags is None else tags},
        get_backup_plan={"BackupPlan": whole},
        list_backup_selections=[[{"SelectionId": "s-1"}]],
        get_backup_selection={"BackupSelection": told},
    )


def test_an_absent_plan_is_created_and_selects_the_cluster() -> None:
    lines = said(PLAN.provision(None))
    assert [line.partition("={")[0] for line in lines] == [
        "backup.create_backup_plan BackupPlan",
        "backup.create_backup_selection BackupPlanId=<backup-plan> BackupSelection",
    ]
    assert PLAN.selection["Resources"] == ["arn:aws:rds:eu-west-1:123456789012:cluster:shop-dev-cluster"]
    assert PLAN.document["Rules"] == [
        {
            "RuleName": "daily",
            "TargetBackupVaultName": "shop-dev-vault",
            "ScheduleExpression": "cron(0 5 ? * * *)",
            "Lifecycle": {"DeleteAfterDays": 35},
        }
    ]


def test_a_plan_as_wanted_needs_no_call_whatever_aws_adds_to_it() -> None:
    assert PLAN.observe(plans()) == Live("p-1", PLAN_FACTS)
    assert said(PLAN.provision(Live("p-1", PLAN_FACTS))) == []
    assert PLAN.observe(Answers()) is None


@pytest.mark.parametrize(
    ("fact", "found", "calls"),
    [
        ("document", {}, ["update_backup_plan"]),
        ("selection", None, ["delete_backup_selection", "create_backup_selection"]),
        ("tags", {}, ["tag_resource"]),
    ],
)
def test_each_fact_of_a_plan_is_put_right_alone(fact: str, found: Any, calls: list[str]) -> None:
    lines = said(PLAN.provision(Live("p-1", {**PLAN_FACTS, fact: found})))
    assert [line.partition(" ")[0] for line in lines] == [f"backup.{each}" for each in calls]


def test_a_plan_of_other_rules_or_other_selections_differs() -> None:
    rule = PLAN.document["Rules"][0]
    for rules in ([], [rule, rule], [{**rule, "Lifecycle": {"DeleteAfterDays": 1}}], [{**rule, "More": 1}]):
        live = PLAN.observe(plans(document={**PLAN.document, "Rules": rules}))
        assert live is not None
        assert PLAN.differences(live) == {"document"}
    live = PLAN.observe(plans(selected={**PLAN.selection, "Resources": ["*"]}))
    assert live is not None
    assert PLAN.differences(live) == {"selection"}


def test_a_plan_goes_after_its_selections_and_survives_by_its_name() -> None:
    assert said(PLAN.teardown(Live("p-1", PLAN_FACTS))) == [
        "backup.delete_backup_selection BackupPlanId=p-1 SelectionId=s-1",
        "backup.delete_backup_plan BackupPlanId=p-1",
    ]
    assert list(BackupPlan.survivors(plans(), STACK)) == ["backup-plan"]


def test_a_plan_without_our_tags_is_foreign_and_two_with_them_are_told_apart_by_nobody() -> None:
    live = PLAN.observe(plans(tags={}))
    assert live is not None
    assert live.foreign.startswith(f"aws backup tag-resource --resource-arn {PLAN_ARN} --tags ")
    items = [{"BackupPlanId": id, "BackupPlanArn": id, "BackupPlanName": PLAN.label} for id in ("p-1", "p-2")]
    with pytest.raises(Ambiguous, match="p-1, p-2"):
        PLAN.observe(Answers(list_backup_plans=[items], list_tags={"Tags": PLAN.labels}))
    assert said(PLAN.surplus(items[1])) == ["backup.delete_backup_plan BackupPlanId=p-2"]


def test_a_region_in_which_aurora_is_not_backed_up_is_warned_of() -> None:
    for opted, warned in ((True, 0), (False, 1)):
        aws = Answers(describe_region_settings={"ResourceTypeOptInPreference": {"Aurora": opted}})
        found = [each for check in PLAN.objections(aws, None, 0.0) for each in check]
        assert [each.severity for each in found] == ["warning"] * warned


def test_copies_are_paid_for_by_the_gigabyte() -> None:
    assert list(PLAN.costs()) == [Quantity("aurora-backup-gb")]


RESTORED: Sequence[tuple[Step, Callable[[], Answers]]] = [
    (KEY, keyring),
    (LOGS, lambda: Answers(**{**BUCKET_ANSWERS, "get_bucket_tagging": {"TagSet": tagged(LOGS)}})),
    (TOPIC, topic_answers),
    (SUBSCRIPTION, subscribed),
    (VAULT, vaults),
    (PLAN, plans),
]


def test_a_cluster_names_its_groups_only_to_come_after_them() -> None:
    assert said(replace(CLUSTER, logs=("/aws/rds/cluster/shop-dev-database/postgresql",)).provision(looked())) == []
    assert isinstance(CLUSTER, Cluster)
