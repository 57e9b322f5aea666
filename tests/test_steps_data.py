"""What the steps of bucket and database say, as text: spec and finding in, calls out; no AWS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from provisioner import decide
from provisioner.kit import Ambiguous, Call, Live, Stack, Step, Unknown
from steps.bucket import Bucket
from steps.cluster import Cluster
from steps.db_instance import DbInstance
from steps.db_parameters import DbParameters
from steps.db_subnet_group import DbSubnetGroup
from tests.cases import STACK, said
from tests.model import validate

ARN = "arn:aws:rds:eu-west-1:123456789012"

BUCKET = Bucket(name="bucket", stack=STACK)
NAME = "shop-dev-123456789012-eu-west-1"
OWNED = f"Bucket={NAME} ExpectedBucketOwner=123456789012"
SUBNETS = DbSubnetGroup(name="db-subnets", stack=STACK, subnets=("subnet-b", "subnet-a"))
PARAMETERS = DbParameters(name="db-parameters-16", stack=STACK, family="aurora-postgresql16")
CLUSTER = Cluster(
    name="database",
    stack=STACK,
    subnet_group="shop-dev-db-subnets",
    parameter_group="shop-dev-db-parameters-16",
    security_groups=("sg-1",),
    version="16.6",
    min_acu=0.0,
    max_acu=1.0,
    database="app",
    port=5433,
    master_user="provisioner",
)
INSTANCE = DbInstance(name="database-1", stack=STACK, cluster="shop-dev-database", zone="eu-west-1a")


class Answers:
    """A Reader that knows its answers by operation, and what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        validate(Call(operation, **params))
        self.asked.append(operation)
        answer = self.answers.get(operation.partition(".")[2])
        if callable(answer):
            return answer(**params)  # type: ignore[no-any-return]
        return answer.pop(0) if isinstance(answer, list) else answer

    def items(self, operation: str, /, **params: Any) -> Sequence[Mapping[str, Any]]:
        return self.ask(operation, **params) or ()  # type: ignore[return-value]

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        raise NotImplementedError

    def mine(self, operation: str, step: Step, dead: Mapping[str, Collection[str]] | None = None) -> None:
        raise NotImplementedError


def tagged(step: Step, **more: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {**step.labels, **more}.items()]


def exact(step: Step, **facts: Any) -> Live:
    """A finding that is in every fact what the step wants."""
    return Live(step.label, {"tags": step.labels, "arn": f"{ARN}:thing", **facts})


# Bucket

BUCKET_FACTS: dict[str, Any] = {
    "tags": BUCKET.labels,
    "all_tags": {**BUCKET.labels, "team": "shop"},
    "public_access_block": True,
    "ownership": "BucketOwnerEnforced",
    "encryption": "AES256",
    "encrypted_by": None,
    "versioning": True,
    "lifecycle": BUCKET.lifecycle,
    "policy": BUCKET.policy,
}
BUCKET_LIVE = Live(NAME, BUCKET_FACTS)
BUCKET_ANSWERS: dict[str, Any] = {
    "head_bucket": {},
    "get_bucket_tagging": lambda **asked: {"TagSet": tagged(BUCKET, team="shop")} if asked["Bucket"] == NAME else None,
    "get_public_access_block": {
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
    },
    "get_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    "get_bucket_encryption": {
        "ServerSideEncryptionConfiguration": {
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
        }
    },
    "get_bucket_versioning": {"Status": "Enabled"},
    "get_bucket_lifecycle_configuration": {"Rules": BUCKET.lifecycle},
    "get_bucket_policy": {
        "Policy": '{"Version":"2012-10-17","Statement":[{"Sid":"DenyWithoutTls","Effect":"Deny","Principal":"*",'
        f'"Action":"s3:*","Resource":["arn:aws:s3:::{NAME}","arn:aws:s3:::{NAME}/*"],'
        '"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}'
    },
}


def test_an_absent_bucket_is_created_with_its_tags_and_gets_only_what_s3_does_not_give() -> None:
    assert said(BUCKET.provision(None)) == [
        f"s3.create_bucket Bucket={NAME} "
        'CreateBucketConfiguration={"LocationConstraint": "eu-west-1", "Tags": [{"Key": "Nam... '
        "ObjectOwnership=BucketOwnerEnforced",
        f's3.put_bucket_versioning {OWNED} VersioningConfiguration={{"Status": "Enabled"}}',
        f"s3.put_bucket_lifecycle_configuration {OWNED} "
        'LifecycleConfiguration={"Rules": [{"ID": "expire", "Status": "Enabled", "Filter"...',
        f's3.put_bucket_policy {OWNED} Policy={{"Version": "2012-10-17", "Statement": [{{"Sid": "DenyWith...',
    ]
    created = next(BUCKET.provision(None))
    assert created.params["CreateBucketConfiguration"]["Tags"] == sorted(tagged(BUCKET), key=lambda tag: tag["Key"])


def test_old_versions_and_unfinished_uploads_expire() -> None:
    assert replace(BUCKET, noncurrent_days=7, abort_uploads_days=1).lifecycle == [
        {
            "ID": "expire",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]


def test_us_east_1_gets_no_location() -> None:
    created = next(replace(BUCKET, stack=replace(STACK, region="us-east-1")).provision(None))
    assert set(created.params["CreateBucketConfiguration"]) == {"Tags"}


def test_a_bucket_with_another_wish_than_a_newborn_is_encrypted_anew() -> None:
    assert said(replace(BUCKET, encryption="aws:kms").provision(None))[1] == (
        f"s3.put_bucket_encryption {OWNED} "
        'ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAl...'
    )


def test_a_bucket_as_wanted_needs_no_call() -> None:
    assert said(BUCKET.provision(BUCKET_LIVE)) == []


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("tags", {}, "put_bucket_tagging"),
        ("public_access_block", False, "put_public_access_block"),
        ("ownership", "ObjectWriter", "put_bucket_ownership_controls"),
        ("encryption", None, "put_bucket_encryption"),
        ("versioning", False, "put_bucket_versioning"),
        ("lifecycle", [], "put_bucket_lifecycle_configuration"),
        ("policy", {}, "put_bucket_policy"),
    ],
)
def test_each_setting_of_a_bucket_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(BUCKET.provision(Live(NAME, {**BUCKET_FACTS, fact: found})))
    assert line.startswith(f"s3.{call} {OWNED} ")


def test_a_shorter_time_for_old_versions_is_a_difference() -> None:
    assert replace(BUCKET, noncurrent_days=7).differences(BUCKET_LIVE) == {"lifecycle"}


def test_tags_others_gave_a_bucket_survive_the_repair_of_ours() -> None:
    (call,) = BUCKET.provision(Live(NAME, {**BUCKET_FACTS, "tags": {}}))
    assert {"Key": "team", "Value": "shop"} in call.params["Tagging"]["TagSet"]


def test_a_bucket_is_read_in_eight_questions_and_one_that_is_asked_for_the_other_one_anyway() -> None:
    aws = Answers(**BUCKET_ANSWERS)
    assert BUCKET.observe(aws) == BUCKET_LIVE
    assert len(aws.asked) == 9
    assert aws.asked.count("s3.get_bucket_tagging") == 2


def test_a_bare_bucket_of_ours_lacks_everything() -> None:
    live = BUCKET.observe(Answers(head_bucket={}, get_bucket_tagging=BUCKET_ANSWERS["get_bucket_tagging"]))
    assert live is not None
    assert BUCKET.differences(live) == BUCKET_FACTS.keys() - {"tags", "all_tags", "encrypted_by"}


def test_no_bucket_is_told_from_one_without_tags() -> None:
    assert BUCKET.observe(Answers()) is None
    live = BUCKET.observe(Answers(head_bucket={}, get_bucket_versioning={}))
    assert live is not None
    assert live.foreign.startswith(f'aws s3api put-bucket-tagging --bucket {NAME} --tagging \'{{"TagSet": [')


def test_a_bucket_that_goes_between_two_looks_is_gone_and_not_a_strangers() -> None:
    assert BUCKET.observe(Answers(head_bucket={})) is None


def test_the_command_that_adopts_a_bucket_keeps_its_tags() -> None:
    live = BUCKET.observe(Answers(head_bucket={}, get_bucket_tagging={"TagSet": [{"Key": "team", "Value": "shop"}]}))
    assert live is not None
    assert '{"Key": "team", "Value": "shop"}' in live.foreign
    assert '{"Key": "provisioner:stack", "Value": "shop-dev"}' in live.foreign


def versions(first: int, count: int, **more: Any) -> dict[str, Any]:
    listed = [{"Key": f"k{n}", "VersionId": f"v{n}", "Size": 1} for n in range(first, first + count)]
    return {"Versions": listed[1:], "DeleteMarkers": listed[:1], "IsTruncated": False, **more}


def test_a_bucket_that_holds_objects_to_keep_objects_and_hands_nothing_over() -> None:
    burdens = BUCKET.burdens(Answers(list_object_versions=versions(0, 2)), BUCKET_LIVE)
    assert [str(each) for each in burdens.protections] == [
        f"bucket: {NAME} holds objects and keep_data is true; --delete-data"
    ]
    assert not burdens.contents


@pytest.mark.parametrize("bucket", [replace(BUCKET, delete_data=True), replace(BUCKET, keep_data=False)])
def test_a_bucket_that_may_lose_its_objects_hands_over_one_bounded_batch(bucket: Bucket) -> None:
    more = {"IsTruncated": True, "NextKeyMarker": "k", "NextVersionIdMarker": "v"}
    aws = Answers(
        list_object_versions=[versions(1000 * page, 1000, **more) for page in range(5)],
        list_multipart_uploads={"Uploads": [{"Key": "big", "UploadId": "u", "Initiated": None}]},
    )
    burdens = bucket.burdens(aws, BUCKET_LIVE)
    assert len(burdens.contents) == 4001
    assert burdens.contents[-1] == {"Key": "big", "UploadId": "u"}
    assert not burdens.protections


def test_an_empty_bucket_has_no_burden() -> None:
    burdens = BUCKET.burdens(Answers(), BUCKET_LIVE)
    assert (list(burdens.contents), list(burdens.protections)) == ([], [])


def test_a_bucket_is_emptied_in_thousands_at_once_before_it_is_deleted() -> None:
    contents = [*({"Key": "k", "VersionId": str(n)} for n in range(1001)), {"Key": "big", "UploadId": "u"}]
    (line,) = said(BUCKET.teardown(replace(BUCKET_LIVE, contents=contents)))
    assert line.split(" | ") == [
        f's3.delete_objects {OWNED} Delete={{"Objects": [{{"Key": "k", "VersionId": "0"}}, {{"Key": "k",...',
        f's3.delete_objects {OWNED} Delete={{"Objects": [{{"Key": "k", "VersionId": "1000"}}], "Quiet":...',
        f"s3.abort_multipart_upload {OWNED} Key=big UploadId=u",
    ]
    assert said(BUCKET.teardown(BUCKET_LIVE)) == [f"s3.delete_bucket {OWNED}"]


def test_the_bucket_is_named_as_output_and_as_survivor() -> None:
    assert BUCKET.outputs(BUCKET_LIVE) == {"bucket": NAME}
    assert list(Bucket.survivors(Answers(**BUCKET_ANSWERS), STACK)) == ["bucket"]
    assert list(Bucket.survivors(Answers(), STACK)) == []


# DB subnet group

GROUP = f"{ARN}:subgrp:shop-dev-db-subnets"


def subnet_group(**more: Any) -> dict[str, Any]:
    subnets = [{"SubnetIdentifier": "subnet-a"}, {"SubnetIdentifier": "subnet-b"}]
    return {
        "DBSubnetGroupName": "shop-dev-db-subnets",
        "DBSubnetGroupDescription": "DbSubnetGroup db-subnets of shop-dev",
        "DBSubnetGroupArn": GROUP,
        "Subnets": subnets,
        **more,
    }


def test_an_absent_subnet_group_is_created_and_waits_for_its_subnets() -> None:
    step = replace(SUBNETS, subnets=(Unknown("private-a"), "subnet-b"))
    assert said(step.provision(None)) == [
        "rds.create_db_subnet_group DBSubnetGroupName=shop-dev-db-subnets "
        "DBSubnetGroupDescription=DbSubnetGroup db-subnets of shop-dev "
        'SubnetIds=["<private-a>", "subnet-b"] Tags=[{"Key": "Name", "Value": "shop-dev-db-subnets"}, {"Key":...'
    ]


def test_a_subnet_group_as_wanted_needs_no_call_whatever_the_order_of_its_subnets() -> None:
    aws = Answers(describe_db_subnet_groups=[[subnet_group()]], list_tags_for_resource={"TagList": tagged(SUBNETS)})
    live = SUBNETS.observe(aws)
    assert live == Live("shop-dev-db-subnets", {"subnets": SUBNETS.subnets, "tags": SUBNETS.labels, "arn": GROUP})
    assert said(SUBNETS.provision(live)) == []


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        (
            "subnets",
            ("subnet-a",),
            'modify_db_subnet_group DBSubnetGroupName=shop-dev-db-subnets SubnetIds=["subnet-b"',
        ),
        ("tags", {}, f"add_tags_to_resource ResourceName={ARN}:thing Tags="),
    ],
)
def test_each_fact_of_a_subnet_group_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(SUBNETS.provision(exact(SUBNETS, **{"subnets": SUBNETS.subnets, fact: found})))
    assert line.startswith(f"rds.{call}")


def test_a_subnet_group_is_deleted_by_name() -> None:
    assert said(SUBNETS.teardown(exact(SUBNETS))) == [
        "rds.delete_db_subnet_group DBSubnetGroupName=shop-dev-db-subnets"
    ]


def test_a_subnet_group_without_our_tags_is_foreign() -> None:
    aws = Answers(describe_db_subnet_groups=[[subnet_group()]], list_tags_for_resource={"TagList": []})
    live = SUBNETS.observe(aws)
    assert live is not None
    assert live.foreign.startswith(
        f"aws rds add-tags-to-resource --resource-name {GROUP} --tags Key=Name,Value=shop-dev"
    )


def test_a_group_that_goes_while_it_is_looked_at_is_gone() -> None:
    assert SUBNETS.observe(Answers(describe_db_subnet_groups=[[subnet_group()]])) is None


def test_the_groups_of_others_are_not_mistaken_for_ours() -> None:
    others = [subnet_group(DBSubnetGroupName="default")]
    assert SUBNETS.observe(Answers(describe_db_subnet_groups=[others])) is None
    theirs = Answers(describe_db_subnet_groups=[[subnet_group()]], list_tags_for_resource={"TagList": tagged(CLUSTER)})
    assert list(DbSubnetGroup.survivors(theirs, STACK)) == []


def test_only_groups_described_as_this_stacks_are_asked_for_their_tags() -> None:
    sibling = {"DBSubnetGroupName": "shop-dev-x-db", "DBSubnetGroupDescription": "DbSubnetGroup db of shop-dev-x"}
    groups = [subnet_group(), subnet_group(**sibling), subnet_group(DBSubnetGroupDescription="by hand")]
    aws = Answers(describe_db_subnet_groups=[groups], list_tags_for_resource={"TagList": tagged(SUBNETS)})
    assert list(DbSubnetGroup.survivors(aws, STACK)) == ["db-subnets"]
    assert aws.asked.count("rds.list_tags_for_resource") == 1


# DB parameters

PARAMETERS_FACTS = {"family": "aurora-postgresql16", "parameters": {"rds.force_ssl": "1"}}
SSL = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}]


def parameter_answers(tags: list[dict[str, str]]) -> Answers:
    group = {
        "DBClusterParameterGroupName": "shop-dev-db-parameters-16",
        "DBParameterGroupFamily": "aurora-postgresql16",
        "Description": "DbParameters db-parameters-16 of shop-dev",
        "DBClusterParameterGroupArn": f"{ARN}:thing",
    }
    return Answers(
        describe_db_cluster_parameter_groups=[[group]],
        list_tags_for_resource={"TagList": tags},
        describe_db_cluster_parameters=[
            [
                {"ParameterName": "rds.force_ssl", "ParameterValue": "1"},
                {"ParameterName": "log_statement", "ParameterValue": "ddl"},
            ]
        ],
    )


def test_an_absent_parameter_group_is_created_and_filled() -> None:
    assert [line.partition(" Parameters=")[0] for line in said(PARAMETERS.provision(None))] == [
        "rds.create_db_cluster_parameter_group DBClusterParameterGroupName=shop-dev-db-parameters-16 "
        "DBParameterGroupFamily=aurora-postgresql16 Description=DbParameters db-parameters-16 of shop-dev "
        'Tags=[{"Key": "Name", "Value": "shop-dev-db-parameters-16"}, {...',
        "rds.modify_db_cluster_parameter_group DBClusterParameterGroupName=shop-dev-db-parameters-16",
    ]
    assert list(PARAMETERS.provision(None))[1].params["Parameters"] == SSL


def test_parameters_others_set_are_none_of_ours() -> None:
    live = PARAMETERS.observe(parameter_answers(tagged(PARAMETERS)))
    assert live == exact(PARAMETERS, **PARAMETERS_FACTS)
    assert said(PARAMETERS.provision(live)) == []


def test_a_parameter_group_without_our_tags_is_foreign_and_an_absent_one_is_none() -> None:
    live = PARAMETERS.observe(parameter_answers([]))
    assert live is not None
    assert live.foreign
    assert PARAMETERS.observe(Answers()) is None


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("parameters", {"rds.force_ssl": "0"}, "modify_db_cluster_parameter_group"),
        ("parameters", {}, "modify_db_cluster_parameter_group"),
        ("tags", {}, "add_tags_to_resource"),
    ],
)
def test_each_fact_of_a_parameter_group_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(PARAMETERS.provision(exact(PARAMETERS, **{**PARAMETERS_FACTS, fact: found})))
    assert line.startswith(f"rds.{call} ")


def test_a_parameter_group_is_deleted_by_name() -> None:
    assert said(PARAMETERS.teardown(exact(PARAMETERS))) == [
        "rds.delete_db_cluster_parameter_group DBClusterParameterGroupName=shop-dev-db-parameters-16"
    ]
    assert list(DbParameters.survivors(parameter_answers(tagged(PARAMETERS)), STACK)) == ["db-parameters-16"]


# Cluster


def described(**more: Any) -> dict[str, Any]:
    return {
        "DBClusterIdentifier": "shop-dev-database",
        "DBClusterArn": f"{ARN}:thing",
        "DbClusterResourceId": "cluster-ABC",
        "Status": "available",
        "EngineVersion": "16.6",
        "DBSubnetGroup": "shop-dev-db-subnets",
        "DBClusterParameterGroup": "shop-dev-db-parameters-16",
        "DatabaseName": "app",
        "Port": 5433,
        "MasterUsername": "provisioner",
        "KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k-1",
        "StorageEncrypted": True,
        "BackupRetentionPeriod": 1,
        "DeletionProtection": False,
        "IAMDatabaseAuthenticationEnabled": True,
        "CopyTagsToSnapshot": True,
        "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.0, "MaxCapacity": 1.0, "SecondsUntilAutoPause": 300},
        "EnabledCloudwatchLogsExports": ["postgresql"],
        "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}],
        "Endpoint": "writer.example",
        "ReaderEndpoint": "reader.example",
        "MasterUserSecret": {"SecretArn": "arn:secret", "SecretStatus": "active"},
        "TagList": tagged(CLUSTER, team="shop"),
        **more,
    }


def looked(cluster: Cluster = CLUSTER, **more: Any) -> Live:
    live = cluster.observe(Answers(describe_db_clusters=[[described(**more)]]))
    assert live is not None
    return live


def test_an_absent_cluster_is_created_as_a_whole() -> None:
    assert said(CLUSTER.provision(None)) == [
        "rds.create_db_cluster DBClusterIdentifier=shop-dev-database Engine=aurora-postgresql "
        "ManageMasterUserPassword=true EngineVersion=16.6 DBSubnetGroupName=shop-dev-db-subnets "
        "DBClusterParameterGroupName=shop-dev-db-parameters-16 DatabaseName=app Port=5433 "
        "MasterUsername=provisioner StorageEncrypted=true BackupRetentionPeriod=1 DeletionProtection=false "
        "EnableIAMDatabaseAuthentication=true CopyTagsToSnapshot=true "
        "EngineLifecycleSupport=open-source-rds-extended-support-disabled "
        'VpcSecurityGroupIds=["sg-1"] '
        'ServerlessV2ScalingConfiguration={"MinCapacity": 0.0, "MaxCapacity": 1.0, "SecondsUntilAut... '
        'EnableCloudwatchLogsExports=["postgresql"] '
        'Tags=[{"Key": "Name", "Value": "shop-dev-database"}, {"Key": "...'
    ]


def test_a_cluster_that_never_pauses_and_has_a_key_says_so() -> None:
    (created,) = replace(CLUSTER, min_acu=0.5, kms_key="arn:aws:kms:eu-west-1:1:key/k").provision(None)
    assert created.params["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 1.0}
    assert created.params["KmsKeyId"] == "arn:aws:kms:eu-west-1:1:key/k"


def test_a_cluster_as_wanted_needs_no_call() -> None:
    live = looked()
    assert (live.id, live.busy, live.broken, live.leaving, live.foreign) == ("shop-dev-database", "", "", False, "")
    assert not CLUSTER.differences(live)
    assert said(CLUSTER.provision(live)) == []


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ({"EngineVersion": "16.4"}, "EngineVersion=16.6"),
        ({"DBClusterParameterGroup": "default"}, "DBClusterParameterGroupName=shop-dev-db-parameters-16"),
        ({"BackupRetentionPeriod": 2}, "BackupRetentionPeriod=1"),
        ({"DeletionProtection": True}, "DeletionProtection=false"),
        ({"IAMDatabaseAuthenticationEnabled": False}, "EnableIAMDatabaseAuthentication=true"),
        ({"CopyTagsToSnapshot": False}, "CopyTagsToSnapshot=true"),
        (
            {"EngineLifecycleSupport": "open-source-rds-extended-support"},
            "EngineLifecycleSupport=open-source-rds-extended-support-disabled",
        ),
        ({"VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-2"}]}, 'VpcSecurityGroupIds=["sg-1"]'),
        (
            {"EnabledCloudwatchLogsExports": ["instance"]},
            'CloudwatchLogsExportConfiguration={"EnableLogTypes": ["postgresql"], "DisableLogTypes": ["i...',
        ),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 1.0}},
            'ServerlessV2ScalingConfiguration={"MinCapacity": 0.0, "MaxCapacity": 1.0, "SecondsUntilAut...',
        ),
    ],
)
def test_each_setting_of_a_cluster_is_put_right_alone_and_at_once(found: dict[str, Any], changes: str) -> None:
    assert said(CLUSTER.provision(looked(**found))) == [
        f"rds.modify_db_cluster DBClusterIdentifier=shop-dev-database ApplyImmediately=true {changes}"
    ]


def test_several_settings_of_a_cluster_go_out_in_one_call_after_the_tags() -> None:
    live = looked(BackupRetentionPeriod=2, CopyTagsToSnapshot=False, TagList=tagged(CLUSTER, Name="other"))
    assert [line.partition("Tags=")[0] for line in said(CLUSTER.provision(live))] == [
        f"rds.add_tags_to_resource ResourceName={ARN}:thing ",
        "rds.modify_db_cluster DBClusterIdentifier=shop-dev-database ApplyImmediately=true "
        "BackupRetentionPeriod=1 CopyTagsToSnapshot=true",
    ]


@pytest.mark.parametrize("version", ["16.6", "16.11", "17.4", "16.6.1"])
def test_a_newer_version_counts_as_wanted_and_is_never_taken_back(version: str) -> None:
    assert said(CLUSTER.provision(looked(EngineVersion=version))) == []


def test_a_major_upgrade_changes_both_parameter_groups() -> None:
    live = looked(EngineVersion="15.12", DBClusterParameterGroup="shop-dev-db-parameters-15")
    assert said(CLUSTER.provision(live)) == [
        "rds.modify_db_cluster DBClusterIdentifier=shop-dev-database ApplyImmediately=true EngineVersion=16.6 "
        "DBClusterParameterGroupName=shop-dev-db-parameters-16 AllowMajorVersionUpgrade=true "
        "DBInstanceParameterGroupName=default.aurora-postgresql16"
    ]


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("subnet_group", {"DBSubnetGroup": "other"}),
        ("database", {"DatabaseName": "other"}),
        ("port", {"Port": 5432}),
        ("master_user", {"MasterUsername": "postgres"}),
        ("storage_encrypted", {"StorageEncrypted": False}),
    ],
)
def test_what_aws_never_changes_differs_and_is_not_called_for(field: str, found: dict[str, Any]) -> None:
    live = looked(**found)
    assert CLUSTER.differences(live) & CLUSTER.fixed == {field}
    assert said(CLUSTER.provision(live)) == []


class Keys(Answers):
    """A Reader that knows two aliases too."""

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        if operation != "kms.describe_key":
            return super().ask(operation, **params)
        self.asked.append(operation)
        key = {"alias/app": "k-1", "alias/other": "k-2"}.get(params["KeyId"])
        return key and {"KeyMetadata": {"Arn": f"arn:aws:kms:eu-west-1:123456789012:key/{key}"}}  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("key", "different"),
    [
        (None, set()),
        ("k-1", set()),
        ("arn:aws:kms:eu-west-1:123456789012:key/k-1", set()),
        ("alias/app", set()),
        ("alias/other", {"kms_key"}),
        ("alias/nowhere", {"kms_key"}),
        ("k-2", {"kms_key"}),
    ],
)
def test_the_key_is_compared_only_where_one_is_named(key: str | None, different: set[str]) -> None:
    cluster = replace(CLUSTER, kms_key=key)
    aws = Keys(describe_db_clusters=[[described()]])
    live = cluster.observe(aws)
    assert live is not None
    assert cluster.differences(live) == different
    assert ("kms.describe_key" in aws.asked) == (key is not None and key.startswith("alias/"))


def test_the_pause_is_not_compared_above_zero_capacity() -> None:
    cluster = replace(CLUSTER, min_acu=0.5)
    scaling = {"MinCapacity": 0.5, "MaxCapacity": 1.0, "SecondsUntilAutoPause": 999}
    assert not cluster.differences(looked(cluster, ServerlessV2ScalingConfiguration=scaling))


def test_pending_changes_count_as_found_and_busy() -> None:
    live = looked(BackupRetentionPeriod=7, PendingModifiedValues={"BackupRetentionPeriod": 1})
    assert not CLUSTER.differences(live)
    assert live.busy == "applying BackupRetentionPeriod"


@pytest.mark.parametrize(
    ("status", "busy", "broken"),
    [
        ("available", "", ""),
        ("storage-optimization", "", ""),
        ("creating", "creating", ""),
        ("deleting", "deleting", ""),
        ("never-heard-of", "never-heard-of", ""),
        ("inaccessible-encryption-credentials", "", "inaccessible-encryption-credentials: its KMS key cannot be used"),
        ("upgrade_failed", "", "upgrade-failed: it could not be upgraded to a supported version"),
    ],
)
def test_a_status_is_usable_busy_or_broken(status: str, busy: str, broken: str) -> None:
    live = looked(Status=status)
    assert (live.busy, live.broken, live.leaving) == (busy, broken, False)


def test_a_stopped_cluster_is_started_before_anything_is_changed() -> None:
    live = looked(Status="stopped", BackupRetentionPeriod=2)
    assert (live.busy, live.broken) == ("", "")
    assert said(CLUSTER.provision(live)) == ["rds.start_db_cluster DBClusterIdentifier=shop-dev-database"]


def test_a_cluster_without_our_tags_is_foreign_and_an_absent_one_is_none() -> None:
    assert looked(TagList=[]).foreign.startswith(f"aws rds add-tags-to-resource --resource-name {ARN}:thing --tags ")
    others = [described(DBClusterIdentifier="other", TagList=[])]
    assert CLUSTER.observe(Answers(describe_db_clusters=[others])) is None


def test_a_cluster_of_our_tags_is_ours_under_any_name_and_before_a_namesake() -> None:
    renamed = described(DBClusterIdentifier="old", BackupRetentionPeriod=2)
    live = CLUSTER.observe(Answers(describe_db_clusters=[[described(TagList=[]), renamed]]))
    assert live is not None
    assert (live.id, live.foreign) == ("old", "")
    assert all("DBClusterIdentifier=old " in line for line in said(CLUSTER.provision(live)))
    assert said(CLUSTER.teardown(live)) == [
        "rds.delete_db_cluster DBClusterIdentifier=old FinalDBSnapshotIdentifier=old-final-cluster-abc"
    ]


def test_two_clusters_of_our_tags_are_named_and_none_is_chosen() -> None:
    twins = [described(), described(DBClusterIdentifier="old")]
    with pytest.raises(Ambiguous, match="old, shop-dev-database"):
        CLUSTER.observe(Answers(describe_db_clusters=[twins]))


def test_a_cluster_leaves_a_snapshot_named_after_its_resource_id() -> None:
    assert said(CLUSTER.teardown(looked())) == [
        "rds.delete_db_cluster DBClusterIdentifier=shop-dev-database "
        "FinalDBSnapshotIdentifier=shop-dev-database-final-cluster-abc"
    ]


def test_a_cluster_in_deletion_still_names_its_snapshot() -> None:
    live = looked(Status="deleting")
    assert live.busy == "deleting"
    assert "shop-dev-database-final-cluster-abc" in CLUSTER.remains(live)


@pytest.mark.parametrize(
    "cluster", [replace(CLUSTER, final_snapshot=False), replace(CLUSTER, skip_final_snapshot=True)]
)
def test_a_cluster_leaves_no_snapshot_where_none_is_wanted(cluster: Cluster) -> None:
    live = looked(cluster)
    assert live.facts["snapshot"] == ""
    assert said(cluster.teardown(live)) == [
        "rds.delete_db_cluster DBClusterIdentifier=shop-dev-database SkipFinalSnapshot=true"
    ]


def test_a_protected_cluster_objects_until_the_flag_lifts_it() -> None:
    live = looked(DeletionProtection=True)
    (objection,) = CLUSTER.burdens(Answers(), live).protections
    assert str(objection) == "database: shop-dev-database has deletion protection; --disable-protection"
    assert not any("modify_db_cluster" in line for line in said(CLUSTER.teardown(live)))
    freed = replace(CLUSTER, disable_protection=True)
    assert not freed.burdens(Answers(), live).protections
    assert said(freed.teardown(live))[0] == (
        "rds.modify_db_cluster DBClusterIdentifier=shop-dev-database DeletionProtection=false ApplyImmediately=true"
    )
    assert not CLUSTER.burdens(Answers(), looked()).protections


def test_a_cluster_tells_where_it_is_reached() -> None:
    assert CLUSTER.outputs(looked()) == {
        "cluster_endpoint": "writer.example",
        "reader_endpoint": "reader.example",
        "port": 5433,
        "database": "app",
        "secret_arn": "arn:secret",
    }


# Instance

INSTANCE_FACTS = {
    "cluster": "shop-dev-database",
    "instance_class": "db.serverless",
    "publicly_accessible": False,
    "auto_minor_version_upgrade": True,
    "promotion_tier": 1,
    "monitoring_seconds": 0,
    "performance_insights": False,
    "insights_encrypted_by": None,
    "status": "available",
}


def instance(**more: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": "shop-dev-database-1",
        "DBInstanceArn": f"{ARN}:thing",
        "DBInstanceStatus": "available",
        "DBInstanceClass": "db.serverless",
        "DBClusterIdentifier": "shop-dev-database",
        "AvailabilityZone": "eu-west-1c",
        "PubliclyAccessible": False,
        "AutoMinorVersionUpgrade": True,
        "PromotionTier": 1,
        "PendingModifiedValues": {},
        "TagList": tagged(INSTANCE),
        **more,
    }


def member(**more: Any) -> Answers:
    return Answers(describe_db_instances=[[instance(**more)]])


def test_an_absent_instance_is_created_in_its_zone() -> None:
    assert said(replace(INSTANCE, cluster=Unknown("database")).provision(None)) == [
        "rds.create_db_instance DBInstanceIdentifier=shop-dev-database-1 Engine=aurora-postgresql "
        "AvailabilityZone=eu-west-1a DBClusterIdentifier=<database> DBInstanceClass=db.serverless "
        "PubliclyAccessible=false AutoMinorVersionUpgrade=true PromotionTier=1 "
        'Tags=[{"Key": "Name", "Value": "shop-dev-database-1"}, {"Key":...'
    ]


def test_an_instance_as_wanted_needs_no_call_whatever_its_zone() -> None:
    live = INSTANCE.observe(member())
    assert live == exact(INSTANCE, **INSTANCE_FACTS)
    assert said(INSTANCE.provision(live)) == []


@pytest.mark.parametrize(
    ("fact", "found", "call"),
    [
        ("instance_class", "db.r6g.large", "modify_db_instance {0} DBInstanceClass=db.serverless"),
        ("publicly_accessible", True, "modify_db_instance {0} PubliclyAccessible=false"),
        ("auto_minor_version_upgrade", False, "modify_db_instance {0} AutoMinorVersionUpgrade=true"),
        ("promotion_tier", 0, "modify_db_instance {0} PromotionTier=1"),
        ("tags", {}, "add_tags_to_resource"),
    ],
)
def test_each_fact_of_an_instance_is_put_right_alone(fact: str, found: Any, call: str) -> None:
    (line,) = said(INSTANCE.provision(exact(INSTANCE, **{**INSTANCE_FACTS, fact: found})))
    at_once = "DBInstanceIdentifier=shop-dev-database-1 ApplyImmediately=true"
    assert line.startswith(f"rds.{call.format(at_once)}")


def test_an_instance_of_another_cluster_is_not_moved() -> None:
    live = exact(INSTANCE, **{**INSTANCE_FACTS, "cluster": "other"})
    assert INSTANCE.differences(live) & INSTANCE.fixed == {"cluster"}
    assert said(INSTANCE.provision(live)) == []


def test_an_instance_in_deletion_releases_its_cluster() -> None:
    live = INSTANCE.observe(member(DBInstanceStatus="deleting"))
    assert live is not None
    assert (live.leaving, live.busy) == (True, "deleting")


def test_an_instance_without_capacity_is_broken_with_the_reason() -> None:
    live = among(instance(DBInstanceStatus="insufficient-capacity"))
    assert live.broken == "insufficient-capacity: AWS has no capacity for it in its zone now"


def among(*listed: dict[str, Any]) -> Live:
    """Look for the instance where these are listed."""
    live = INSTANCE.observe(Answers(describe_db_instances=tuple(listed)))
    assert live is not None
    return live


def test_a_broken_instance_is_replaced_only_beside_one_of_ours_that_serves() -> None:
    broken = instance(DBInstanceStatus="failed")
    beside = {"DBInstanceIdentifier": "shop-dev-database-2", "TagList": tagged(replace(INSTANCE, name="database-2"))}
    assert among(broken, instance(**beside)).cure == ""
    for unfit in (
        {"DBInstanceStatus": "failed"},
        {"DBInstanceStatus": "deleting"},
        {"DBClusterIdentifier": "other"},
        {"TagList": []},
    ):
        live = among(broken, instance(**{**beside, **unfit}))
        assert "aws rds reboot-db-instance --db-instance-identifier shop-dev-database-1" in live.cure
        refused = decide.standing(INSTANCE, live)
        assert refused is not None
        assert live.cure in refused.remedy


@pytest.mark.parametrize("status", ["inaccessible-encryption-credentials", "incompatible-parameters", "storage-full"])
def test_what_another_instance_would_share_is_not_cured_by_replacing_it(status: str) -> None:
    beside = {"DBInstanceIdentifier": "shop-dev-database-2", "TagList": tagged(replace(INSTANCE, name="database-2"))}
    live = among(instance(DBInstanceStatus=status), instance(**beside))
    assert isinstance(decide.toward_wish(INSTANCE, live, decide.Past(), 0.0, 0.0), decide.Failed)


def test_an_instance_is_healthy_without_a_cure() -> None:
    assert among(instance()).cure == ""


def test_an_instance_without_our_tags_is_foreign_and_an_absent_one_is_none() -> None:
    live = INSTANCE.observe(member(TagList=[]))
    assert live is not None
    assert live.foreign
    assert INSTANCE.observe(Answers()) is None


def test_an_instance_is_deleted_without_a_snapshot_of_its_own() -> None:
    assert said(INSTANCE.teardown(exact(INSTANCE, **INSTANCE_FACTS))) == [
        "rds.delete_db_instance DBInstanceIdentifier=shop-dev-database-1 SkipFinalSnapshot=true"
    ]


def test_a_stopped_cluster_is_started_before_it_gives_up_an_instance() -> None:
    assert said(INSTANCE.teardown(exact(INSTANCE, **{**INSTANCE_FACTS, "status": "stopped"}))) == [
        "rds.start_db_cluster DBClusterIdentifier=shop-dev-database"
    ]


# Steps that left the blueprint


RESTORED: Sequence[tuple[Step, Callable[[], Answers]]] = [
    (BUCKET, lambda: Answers(**BUCKET_ANSWERS)),
    (
        SUBNETS,
        lambda: Answers(
            describe_db_subnet_groups=[[subnet_group()]], list_tags_for_resource={"TagList": tagged(SUBNETS)}
        ),
    ),
    (PARAMETERS, lambda: parameter_answers(tagged(PARAMETERS))),
    (CLUSTER, lambda: Answers(describe_db_clusters=[[described()]])),
    (INSTANCE, member),
]


# The check of the calls itself


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (Call("rds.create_db_galaxy"), "no such operation"),
        (Call("s3.get_bucket_lifecycle", Bucket="b"), "the operation is deprecated"),
        (Call("rds.delete_db_cluster"), "Missing required parameter"),
        (Call("rds.delete_db_cluster", DBClusterIdentifier=Unknown("c"), Force=True), "Unknown parameter"),
        (
            Call("s3.create_bucket", Bucket="b", CreateBucketConfiguration={"LocationConstraint": "us-east-1"}),
            "LocationConstraint is us-east-1, not one of",
        ),
        (
            Call(
                "s3.put_bucket_lifecycle_configuration",
                Bucket="b",
                LifecycleConfiguration={"Rules": [{"Prefix": "", "Status": "Enabled"}]},
            ),
            r"Rules\[\].Prefix is deprecated",
        ),
    ],
)
def test_a_call_aws_would_not_take_or_calls_outdated_fails(call: Call, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        validate(call)
