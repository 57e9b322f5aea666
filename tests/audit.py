"""The public security checks of Prowler, AWS Foundational Security Best Practices, CIS and Checkov, asked with boto3.

Each row is one requirement with the checks that make it, answered the way those tools answer it: from what AWS tells,
not from what was declared. Knows no step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from botocore.exceptions import ClientError

EVERYWHERE = ("0.0.0.0/0", "::/0")
CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class Account:
    """What AWS tells of one stack's environment, each listing asked once."""

    def __init__(self, client: Callable[[str], Any], stack: str) -> None:
        self.client, self.stack = client, stack

    @cached_property
    def cluster(self) -> Any:
        (found,) = self.client("rds").describe_db_clusters()["DBClusters"]
        return found

    @cached_property
    def instances(self) -> Any:
        return self.client("rds").describe_db_instances()["DBInstances"]

    @cached_property
    def parameters(self) -> dict[str, str]:
        group = self.cluster["DBClusterParameterGroup"]
        listed = self.client("rds").describe_db_cluster_parameters(DBClusterParameterGroupName=group, Source="user")
        return {each["ParameterName"]: each["ParameterValue"] for each in listed["Parameters"]}

    @cached_property
    def subscriptions(self) -> Any:
        return self.client("rds").describe_event_subscriptions()["EventSubscriptionsList"]

    @cached_property
    def vpc(self) -> str:
        (found,) = (each for each in self._ec2("describe_vpcs", "Vpcs") if not each["IsDefault"])
        return str(found["VpcId"])

    @cached_property
    def subnets(self) -> Any:
        return self._inside("describe_subnets", "Subnets")

    @cached_property
    def groups(self) -> Any:
        return self._inside("describe_security_groups", "SecurityGroups")

    @cached_property
    def acls(self) -> Any:
        return self._inside("describe_network_acls", "NetworkAcls")

    @cached_property
    def bucket(self) -> str:
        (found,) = (name for name in self._buckets() if "-logs-" not in name)
        return found

    @cached_property
    def buckets(self) -> list[str]:
        return list(self._buckets())

    def managed_by_us(self, key: str | None) -> bool:
        """Tell whether a key is the customer's own, of which KMS makes a new generation every year."""
        kms = self.client("kms")
        if not key or kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] != "CUSTOMER":
            return False
        return bool(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])

    def setting(self, name: str, bucket: str | None = None) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = getattr(self.client("s3"), f"get_{name}")(Bucket=bucket or self.bucket)
        except ClientError:
            return {}
        return found

    def rules(self, *sides: str) -> Iterator[tuple[Any, str]]:
        """Give every entry of the security groups with every range it names."""
        for group in self.groups:
            for entry in (entry for side in sides for entry in group[side]):
                yield from ((entry, each["CidrIp"]) for each in entry.get("IpRanges", ()))
                yield from ((entry, each["CidrIpv6"]) for each in entry.get("Ipv6Ranges", ()))

    def described(self) -> Iterator[str]:
        for group in self.groups:
            for entry in (*group["IpPermissions"], *group["IpPermissionsEgress"]):
                for peer in (*entry.get("IpRanges", ()), *entry.get("UserIdGroupPairs", ())):
                    yield peer.get("Description", "")

    def _buckets(self) -> Iterator[str]:
        listed = self.client("s3").list_buckets()["Buckets"]
        return (each["Name"] for each in listed if each["Name"].startswith(f"{self.stack}-"))

    def _ec2(self, operation: str, listed: str, **params: Any) -> Any:
        return getattr(self.client("ec2"), operation)(**params)[listed]

    def _inside(self, operation: str, listed: str) -> Any:
        return self._ec2(operation, listed, Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])


def covers(entry: Mapping[str, Any], port: int) -> bool:
    """Tell whether an entry of a network ACL is about this port."""
    ports = entry.get("PortRange")
    return entry["Protocol"] == "-1" or (ports is not None and ports["From"] <= port <= ports["To"])


def acls_are_closed(account: Account) -> bool:
    """No ACL, the default one included, lets everybody in on all ports, on 22 or on 3389; judged without the order of
    the rules, as Checkov does, so that the rule of an order-aware tool holds too."""
    for acl in account.acls:
        for entry in acl["Entries"]:
            inward = not entry["Egress"] and entry["RuleAction"] == "allow"
            if inward and entry.get("CidrBlock") in EVERYWHERE and (covers(entry, 22) or covers(entry, 3389)):
                return False
    return True


def policy_of(account: Account, bucket: str | None = None) -> list[Any]:
    return list(json.loads(account.setting("bucket_policy", bucket).get("Policy", '{"Statement": []}'))["Statement"])


def refuses_plain_http(account: Account, bucket: str) -> bool:
    return any(
        each["Effect"] == "Deny"
        and each["Action"] == "s3:*"
        and each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for each in policy_of(account, bucket)
    )


def lets_in_only_our_own(account: Account, bucket: str) -> bool:
    return all(
        each["Effect"] == "Deny" or ("Service" in each["Principal"] and "aws:SourceAccount" in str(each["Condition"]))
        for each in policy_of(account, bucket)
    )


def expires(account: Account, bucket: str) -> bool:
    rules = account.setting("bucket_lifecycle_configuration", bucket).get("Rules", ())
    return any(each["Status"] == "Enabled" and "AbortIncompleteMultipartUpload" in each for each in rules)


def encryption(account: Account, bucket: str) -> Mapping[str, Any]:
    (rule,) = account.setting("bucket_encryption", bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    found: Mapping[str, Any] = rule["ApplyServerSideEncryptionByDefault"]
    return found


def is_in_a_backup_plan(account: Account) -> bool:
    backup = account.client("backup")
    for plan in backup.list_backup_plans()["BackupPlansList"]:
        for each in backup.list_backup_selections(BackupPlanId=plan["BackupPlanId"])["BackupSelectionsList"]:
            chosen = backup.get_backup_selection(BackupPlanId=plan["BackupPlanId"], SelectionId=each["SelectionId"])
            if account.cluster["DBClusterArn"] in chosen["BackupSelection"]["Resources"]:
                return True
    return False


def is_told(account: Account, source: str, *events: str) -> bool:
    """Tell whether an enabled subscription to an encrypted topic is about these events of a kind of source."""
    sns = account.client("sns")
    for each in account.subscriptions:
        if each["Enabled"] and each["SourceType"] == source and set(events) <= set(each["EventCategoriesList"]):
            topic = sns.get_topic_attributes(TopicArn=each["SnsTopicArn"])["Attributes"]
            if account.managed_by_us(topic.get("KmsMasterKeyId")):
                return True
    return False


def flow_is_logged(account: Account) -> bool:
    logs = account.client("ec2").describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [account.vpc]}])
    return any(each["FlowLogStatus"] == "ACTIVE" and each["TrafficType"] == "ALL" for each in logs["FlowLogs"])


def logs_are_kept(account: Account) -> bool:
    """All log groups of the stack: encrypted with our own key and kept for a year at least (CloudWatch.16)."""
    groups = account.client("logs").describe_log_groups()["logGroups"]
    ours = [each for each in groups if account.stack in each["logGroupName"]]
    return bool(ours) and all(
        each.get("retentionInDays", 0) >= 365 and account.managed_by_us(each.get("kmsKeyId")) for each in ours
    )


def endpoints_are_bound(account: Account) -> bool:
    """Every statement of every endpoint's policy names this account's identities, or reads and one bucket at a time."""
    for endpoint in account._inside("describe_vpc_endpoints", "VpcEndpoints"):
        for each in json.loads(endpoint["PolicyDocument"])["Statement"]:
            bound = "aws:PrincipalAccount" in str(each.get("Condition"))
            if not bound and (each["Action"] != "s3:GetObject" or "*" in map(str, (each["Resource"],))):
                return False
    return True


def subnets_are_both(account: Account) -> bool:
    """There are public and private subnets, in two zones at least."""
    tables = account._inside("describe_route_tables", "RouteTables")
    public = {
        association.get("SubnetId")
        for table in tables
        if any(str(route.get("GatewayId", "")).startswith("igw-") for route in table["Routes"])
        for association in table["Associations"]
    }
    zones = {each["AvailabilityZone"] for each in account.subnets}
    return len(zones) >= 2 and {each["SubnetId"] in public for each in account.subnets} == {True, False}


def addresses_are_used(account: Account) -> bool:
    return all("AssociationId" in each for each in account.client("ec2").describe_addresses()["Addresses"])


def groups_are_used(account: Account) -> bool:
    """Every group but the default one has an interface or is named by another's rules."""
    interfaces = account._inside("describe_network_interfaces", "NetworkInterfaces")
    used = {group["GroupId"] for each in interfaces for group in each["Groups"]}
    for group in account.groups:
        for entry in (*group["IpPermissions"], *group["IpPermissionsEgress"]):
            used |= {pair["GroupId"] for pair in entry.get("UserIdGroupPairs", ())} - {group["GroupId"]}
    return all(each["GroupName"] == "default" or each["GroupId"] in used for each in account.groups)


def engine_is_supported(account: Account) -> bool:
    rds, version = account.client("rds"), account.cluster["EngineVersion"]
    (found,) = rds.describe_db_engine_versions(Engine="aurora-postgresql", EngineVersion=version, IncludeAll=True)[
        "DBEngineVersions"
    ]
    return bool(found["Status"] == "available")


@dataclass(frozen=True)
class Row:
    """One requirement and the public checks that make it."""

    name: str
    """As docs/security.md names it."""
    checks: str
    holds: Callable[[Account], bool]


def of_instances(key: str, value: Any) -> Callable[[Account], bool]:
    return lambda account: all(each.get(key) == value for each in account.instances)


ROWS = (
    # Aurora
    Row(
        "Database encrypted",
        "rds_cluster_storage_encrypted rds_instance_storage_encrypted RDS.27 RDS.3 3.2.1 CKV_AWS_96",
        lambda a: a.cluster["StorageEncrypted"] and of_instances("StorageEncrypted", True)(a),
    ),
    Row("Database encrypted with a key of its own", "CKV_AWS_327", lambda a: a.managed_by_us(a.cluster["KmsKeyId"])),
    Row(
        "Database not public",
        "rds_instance_no_public_access RDS.2 3.2.3 CKV_AWS_17",
        of_instances("PubliclyAccessible", False),
    ),
    Row(
        "Deletion protection",
        "rds_cluster_deletion_protection rds_instance_deletion_protection RDS.7 RDS.8 CKV_AWS_139",
        lambda a: a.cluster["DeletionProtection"],
    ),
    Row(
        "Authentication by IAM",
        "rds_cluster_iam_authentication_enabled rds_instance_iam_authentication_enabled RDS.12 RDS.10 CKV_AWS_162",
        lambda a: a.cluster["IAMDatabaseAuthenticationEnabled"],
    ),
    Row(
        "Database log exported",
        "rds_cluster_integration_cloudwatch_logs rds_instance_integration_cloudwatch_logs RDS.37 RDS.9 CKV_AWS_324",
        lambda a: "postgresql" in a.cluster.get("EnabledCloudwatchLogsExports", ()),
    ),
    Row(
        "Statements logged",
        "CKV2_AWS_27",
        lambda a: {"log_statement", "log_min_duration_statement"} <= a.parameters.keys(),
    ),
    Row(
        "Tags on snapshots",
        "rds_cluster_copy_tags_to_snapshots RDS.16 CKV_AWS_313",
        lambda a: a.cluster["CopyTagsToSnapshot"],
    ),
    Row(
        "TLS to the database",
        "rds_instance_transport_encrypted RDS.38 RDS.39 CKV2_AWS_69",
        lambda a: a.parameters.get("rds.force_ssl") == "1",
    ),
    Row(
        "Master user without a usual name",
        "rds_cluster_default_admin rds_instance_default_admin RDS.24 RDS.25",
        lambda a: a.cluster["MasterUsername"] not in ("admin", "postgres"),
    ),
    Row(
        "Port other than 5432",
        "rds_cluster_non_default_port rds_instance_non_default_port RDS.23",
        lambda a: a.cluster["Port"] != 5432,
    ),
    Row(
        "Two instances in two zones",
        "rds_cluster_multi_az rds_instance_multi_az RDS.15 RDS.5 3.2.4",
        lambda a: len({each["AvailabilityZone"] for each in a.instances}) >= 2,
    ),
    Row(
        "Minor versions by themselves",
        "rds_instance_minor_version_upgrade_enabled rds_cluster_minor_version_upgrade_enabled RDS.13 RDS.35 3.2.2"
        " CKV_AWS_226",
        of_instances("AutoMinorVersionUpgrade", True),
    ),
    Row(
        "Backups",
        "rds_instance_backup_enabled RDS.11 CKV_AWS_133",
        lambda a: a.cluster["BackupRetentionPeriod"] >= 1,
    ),
    Row(
        "Backup plan",
        "rds_cluster_protected_by_backup_plan rds_instance_protected_by_backup_plan CKV2_AWS_8",
        is_in_a_backup_plan,
    ),
    Row(
        "Enhanced monitoring",
        "rds_instance_enhanced_monitoring_enabled RDS.6 CKV_AWS_118",
        lambda a: all(each.get("MonitoringInterval") and each.get("MonitoringRoleArn") for each in a.instances),
    ),
    Row(
        "Performance Insights with a key of its own",
        "CKV_AWS_353 CKV_AWS_354",
        lambda a: all(
            each.get("PerformanceInsightsEnabled") and a.managed_by_us(each.get("PerformanceInsightsKMSKeyId"))
            for each in a.instances
        ),
    ),
    Row(
        "No extended support",
        "rds_instance_extended_support",
        lambda a: a.cluster["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled",
    ),
    Row(
        "Supported engine version",
        "rds_instance_deprecated_engine_version CKV_AWS_250",
        engine_is_supported,
    ),
    Row(
        "Database in the private subnets",
        "rds_instance_inside_vpc RDS.18",
        lambda a: all(each["DBSubnetGroup"]["VpcId"] == a.vpc for each in a.instances),
    ),
    Row(
        "Told when the cluster fails or is maintained",
        "rds_cluster_critical_event_subscription RDS.19",
        lambda a: is_told(a, "db-cluster", "failure", "maintenance"),
    ),
    Row(
        "Told when an instance fails, changes or is maintained",
        "rds_instance_critical_event_subscription RDS.20",
        lambda a: is_told(a, "db-instance", "failure", "maintenance", "configuration change"),
    ),
    # Network
    Row("Flow logs", "vpc_flow_logs_enabled EC2.6 4.7 CKV2_AWS_11", flow_is_logged),
    Row("Logs kept for a year, with a key of its own", "CloudWatch.16 CKV_AWS_158 CKV_AWS_338", logs_are_kept),
    Row(
        "Default security group without rules",
        "ec2_securitygroup_default_restrict_traffic EC2.2 6.5 CKV2_AWS_12",
        lambda a: (
            not any(
                each["IpPermissions"] or each["IpPermissionsEgress"]
                for each in a.groups
                if each["GroupName"] == "default"
            )
        ),
    ),
    Row(
        "Nothing let in from the internet",
        "ec2_securitygroup_allow_ingress_from_internet_to_any_port EC2.13 EC2.14 EC2.19 6.3 6.4 CKV_AWS_24 CKV_AWS_25"
        " CKV_AWS_260 CKV_AWS_277",
        lambda a: not any(cidr in EVERYWHERE for _, cidr in a.rules("IpPermissions")),
    ),
    Row(
        "No wide public range, nothing out on all ports",
        "ec2_securitygroup_allow_wide_open_public_ipv4 CKV_AWS_382",
        lambda a: (
            not any(
                (cidr in EVERYWHERE and entry["IpProtocol"] == "-1")
                or (ip_network(cidr).is_global and 1 <= ip_network(cidr).prefixlen <= 23)
                for entry, cidr in a.rules("IpPermissions", "IpPermissionsEgress")
            )
        ),
    ),
    Row(
        "Description of every group and rule",
        "CKV_AWS_23",
        lambda a: all(a.described()) and all(each["Description"] for each in a.groups),
    ),
    Row("Every group used", "ec2_securitygroup_not_used EC2.22 CKV2_AWS_5", groups_are_used),
    Row(
        "Network ACLs closed, the default one too",
        "ec2_networkacl_allow_ingress_any_port ec2_networkacl_allow_ingress_tcp_port_22"
        " ec2_networkacl_allow_ingress_tcp_port_3389 EC2.21 6.2 CKV_AWS_229 CKV_AWS_230 CKV_AWS_231 CKV_AWS_232"
        " CKV_AWS_352",
        acls_are_closed,
    ),
    Row(
        "Every network ACL used",
        "ec2_networkacl_unused EC2.16 CKV2_AWS_1",
        lambda a: all(each["IsDefault"] or each["Associations"] for each in a.acls),
    ),
    Row(
        "No public address on launch",
        "vpc_subnet_no_public_ip_by_default EC2.15 CKV_AWS_130",
        lambda a: not any(each["MapPublicIpOnLaunch"] for each in a.subnets),
    ),
    Row(
        "Public and private subnets in two zones",
        "vpc_subnet_different_az vpc_subnet_separate_private_public",
        subnets_are_both,
    ),
    Row("Endpoint policy bound to the account", "", endpoints_are_bound),
    Row("Every address used", "CKV2_AWS_19", addresses_are_used),
    # Bucket
    Row(
        "Public access blocked",
        "s3_bucket_level_public_access_block S3.8 3.1.4 CKV_AWS_53 CKV_AWS_54 CKV_AWS_55 CKV_AWS_56 CKV2_AWS_6",
        lambda a: all(
            a.setting("public_access_block", each)["PublicAccessBlockConfiguration"][part]
            for each in a.buckets
            for part in CLOSED
        ),
    ),
    Row(
        "TLS to the bucket",
        "s3_bucket_secure_transport_policy S3.5 3.1.1 CKV_AWS_379 CKV_AWS_70 CKV_AWS_93",
        lambda a: all(refuses_plain_http(a, each) for each in a.buckets),
    ),
    Row(
        "No access lists",
        "s3_bucket_acl_prohibited s3_bucket_public_access s3_bucket_public_list_acl s3_bucket_public_write_acl S3.12"
        " S3.2 CKV2_AWS_65 CKV_AWS_20 CKV_AWS_57 CKV_AWS_375",
        lambda a: all(
            a.setting("bucket_ownership_controls", each)["OwnershipControls"]["Rules"]
            == [{"ObjectOwnership": "BucketOwnerEnforced"}]
            for each in a.buckets
        ),
    ),
    Row("Bucket encrypted", "CKV_AWS_19", lambda a: all(encryption(a, each)["SSEAlgorithm"] for each in a.buckets)),
    Row(
        "Bucket encrypted with a key of its own",
        "s3_bucket_kms_encryption S3.17 CKV_AWS_145",
        lambda a: a.managed_by_us(encryption(a, a.bucket).get("KMSMasterKeyID")),
    ),
    Row(
        "Versions kept",
        "s3_bucket_object_versioning S3.14 CKV_AWS_21",
        lambda a: all(a.setting("bucket_versioning", each).get("Status") == "Enabled" for each in a.buckets),
    ),
    Row(
        "Lifecycle with unfinished uploads",
        "s3_bucket_lifecycle_enabled S3.13 CKV2_AWS_61 CKV_AWS_300",
        lambda a: all(expires(a, each) for each in a.buckets),
    ),
    Row(
        "Access logged",
        "s3_bucket_server_access_logging_enabled S3.9 CKV_AWS_18",
        lambda a: "LoggingEnabled" in a.setting("bucket_logging"),
    ),
    Row(
        "Events to EventBridge",
        "s3_bucket_event_notifications_enabled CKV2_AWS_62",
        lambda a: "EventBridgeConfiguration" in a.setting("bucket_notification_configuration"),
    ),
    Row(
        "No other account in the policy",
        "s3_bucket_cross_account_access s3_bucket_policy_public_write_access S3.6 S3.3 2.21 CKV2_AWS_43",
        lambda a: all(lets_in_only_our_own(a, each) for each in a.buckets),
    ),
    Row(
        "Name that nobody expects",
        "s3_bucket_shadow_resource_vulnerability",
        lambda a: not any(each.startswith(("aws-", "cdk-", "sagemaker-", "cf-templates-")) for each in a.buckets),
    ),
)
"""What can be seen in the embedded cloud."""
