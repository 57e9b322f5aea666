"""What stands in an account that one stack has to itself, listed kind by kind as a stranger with the console would.

Knows nothing of steps, engine and state, so that it can be held against what these say. Whoever calls brings clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import tags_of

Client = Callable[[str], Any]
"""Gives the boto3 client of a service."""


@dataclass(frozen=True)
class Found:
    """One resource."""

    kind: str
    id: str
    step: str = ""
    """Which step its tags say it is."""
    by_aws: bool = False
    """Whether AWS itself made it for another resource, with which it goes."""
    leaving: bool = False
    """Whether it is deleted already and only waits for its end."""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


_NETWORK = {
    "VPC": ("describe_vpcs", "Vpcs", "VpcId"),
    "subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "internet gateway": ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "route table": ("describe_route_tables", "RouteTables", "RouteTableId"),
    "address": ("describe_addresses", "Addresses", "AllocationId"),
    "NAT gateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "endpoint": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "security group": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "network ACL": ("describe_network_acls", "NetworkAcls", "NetworkAclId"),
    "flow log": ("describe_flow_logs", "FlowLogs", "FlowLogId"),
    "network interface": ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
}
"""By kind: the operation, the list in its answer and the id in an item of that."""
_DATABASE = {
    "subnet group": ("describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName", "DBSubnetGroupArn"),
    "parameter group": (
        "describe_db_cluster_parameter_groups",
        "DBClusterParameterGroups",
        "DBClusterParameterGroupName",
        "DBClusterParameterGroupArn",
    ),
    "cluster": ("describe_db_clusters", "DBClusters", "DBClusterIdentifier", "DBClusterArn"),
    "instance": ("describe_db_instances", "DBInstances", "DBInstanceIdentifier", "DBInstanceArn"),
    "snapshot": (
        "describe_db_cluster_snapshots",
        "DBClusterSnapshots",
        "DBClusterSnapshotIdentifier",
        "DBClusterSnapshotArn",
    ),
}
"""The same, and the ARN by which RDS is asked for tags."""


def inventory(client: Client) -> list[Found]:
    """List everything but the account's default network and what every account has."""
    return [
        *_network(client("ec2")),
        *_database(client("rds")),
        *_buckets(client("s3")),
        *_secrets(client),
        *_roles(client("iam")),
        *_log_groups(client("logs")),
        *_keys(client("kms")),
        *_topics(client("sns")),
        *_subscriptions(client("rds")),
        *_backups(client("backup")),
    ]


def _network(ec2: Any) -> Iterator[Found]:
    usual = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["IsDefault"]}
    for kind, (operation, listed, id) in _NETWORK.items():
        for item in getattr(ec2, operation)()[listed]:
            if item.get("VpcId") not in usual and str(item.get("State")).lower() != "deleted":
                by_aws = kind == "network interface" or any(each.get("Main") for each in item.get("Associations", ()))
                yield Found(kind, item[id], _step(item), by_aws)


def _database(rds: Any) -> Iterator[Found]:
    for kind, (operation, listed, id, arn) in _DATABASE.items():
        for item in getattr(rds, operation)()[listed]:
            usual = item[id] == "default" or item[id].startswith("default.")
            if not usual and item.get("SnapshotType") != "automated":
                yield Found(kind, item[id], _step(rds.list_tags_for_resource(ResourceName=item[arn])))


def _buckets(s3: Any) -> Iterator[Found]:
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])
        except s3.exceptions.ClientError:
            tags = {}
        yield Found("bucket", bucket["Name"], _step(tags))


def _secrets(client: Client) -> Iterator[Found]:
    for secret in client("secretsmanager").list_secrets()["SecretList"]:
        yield Found("secret", secret["Name"], _step(secret), by_aws=secret.get("OwningService") == "rds")


def _roles(iam: Any) -> Iterator[Found]:
    for role in iam.list_roles()["Roles"]:
        by_aws = role["Path"].startswith("/aws-service-role/")
        yield Found("role", role["Arn"], _step(iam.list_role_tags(RoleName=role["RoleName"])), by_aws)


def _log_groups(logs: Any) -> Iterator[Found]:
    for group in logs.describe_log_groups()["logGroups"]:
        tags = logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"]
        yield Found("log group", group["logGroupName"], tags.get("provisioner:step", ""))


def _keys(kms: Any) -> Iterator[Found]:
    """List the keys that are a stack's, which have their tags from the first moment; one that the file names is its
    owner's."""
    for each in kms.list_keys()["Keys"]:
        key = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
        if key["KeyManager"] != "AWS":
            tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=each["KeyId"])["Tags"]}
            if step := tags.get("provisioner:step"):
                yield Found("key", key["Arn"], step, leaving=key["KeyState"] == "PendingDeletion")


def _topics(sns: Any) -> Iterator[Found]:
    for topic in sns.list_topics()["Topics"]:
        yield Found("topic", topic["TopicArn"], _step(sns.list_tags_for_resource(ResourceArn=topic["TopicArn"])))


def _subscriptions(rds: Any) -> Iterator[Found]:
    for each in rds.describe_event_subscriptions()["EventSubscriptionsList"]:
        tags = rds.list_tags_for_resource(ResourceName=each["EventSubscriptionArn"])
        yield Found("event subscription", each["CustSubscriptionId"], _step(tags))


def _backups(backup: Any) -> Iterator[Found]:
    for vault in backup.list_backup_vaults()["BackupVaultList"]:
        tags = backup.list_tags(ResourceArn=vault["BackupVaultArn"])["Tags"]
        yield Found("backup vault", vault["BackupVaultName"], tags.get("provisioner:step", ""))
    for plan in backup.list_backup_plans()["BackupPlansList"]:
        tags = backup.list_tags(ResourceArn=plan["BackupPlanArn"])["Tags"]
        yield Found("backup plan", plan["BackupPlanId"], tags.get("provisioner:step", ""))


def _step(item: Mapping[str, Any]) -> str:
    return tags_of(item).get("provisioner:step", "")
