"""Count what is in an account, with boto3 and by name: two censuses are equal if the same things stand there.

Knows nothing of steps: what it lists is what a stranger with the console would see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from tests import census_security

Client = Callable[[str], Any]
Census = dict[str, list[Any]]


@dataclass(frozen=True)
class Listing:
    """How a kind of EC2 resource is listed, and what of it makes two of them equal."""

    operation: str
    id: str
    told: tuple[str, ...]


_EC2 = {
    "vpc": Listing("describe_vpcs", "VpcId", ("CidrBlock",)),
    "subnet": Listing(
        "describe_subnets", "SubnetId", ("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch")
    ),
    "internet gateway": Listing("describe_internet_gateways", "InternetGatewayId", ("Attachments",)),
    "route table": Listing("describe_route_tables", "RouteTableId", ("VpcId", "Routes", "Associations")),
    "address": Listing("describe_addresses", "AllocationId", ("Domain",)),
    "nat gateway": Listing("describe_nat_gateways", "NatGatewayId", ("SubnetId", "State", "NatGatewayAddresses")),
    "endpoint": Listing(
        "describe_vpc_endpoints", "VpcEndpointId", ("VpcId", "ServiceName", "RouteTableIds", "PolicyDocument")
    ),
    "security group": Listing(
        "describe_security_groups", "GroupId", ("GroupName", "Description", "IpPermissions", "IpPermissionsEgress")
    ),
    "network acl": Listing("describe_network_acls", "NetworkAclId", ("VpcId", "IsDefault", "Entries", "Associations")),
    "flow log": Listing(
        "describe_flow_logs",
        "FlowLogId",
        (
            *("ResourceId", "TrafficType", "LogGroupName", "DeliverLogsPermissionArn"),
            *("MaxAggregationInterval", "DeliverLogsStatus"),
        ),
    ),
    "interface": Listing("describe_network_interfaces", "NetworkInterfaceId", ("SubnetId", "InterfaceType", "Groups")),
}
_RDS = {
    "subnet group": ("describe_db_subnet_groups", "DBSubnetGroup", ("Subnets",)),
    "parameter group": ("describe_db_cluster_parameter_groups", "DBClusterParameterGroup", ("DBParameterGroupFamily",)),
    "cluster": (
        "describe_db_clusters",
        "DBCluster",
        (
            *("EngineVersion", "Status", "DatabaseName", "MasterUsername", "Port", "StorageEncrypted"),
            *("DBSubnetGroup", "DBClusterParameterGroup", "VpcSecurityGroups", "ServerlessV2ScalingConfiguration"),
            *("BackupRetentionPeriod", "DeletionProtection", "IAMDatabaseAuthenticationEnabled"),
            *("CopyTagsToSnapshot", "EngineLifecycleSupport", "EnabledCloudwatchLogsExports", "KmsKeyId"),
        ),
    ),
    "instance": (
        "describe_db_instances",
        "DBInstance",
        (
            *("DBClusterIdentifier", "DBInstanceClass", "DBInstanceStatus", "AvailabilityZone"),
            *("PubliclyAccessible", "AutoMinorVersionUpgrade", "PromotionTier"),
            *("MonitoringInterval", "MonitoringRoleArn", "PerformanceInsightsEnabled", "PerformanceInsightsKMSKeyId"),
        ),
    ),
    "snapshot": ("describe_db_cluster_snapshots", "DBClusterSnapshot", ("DBClusterIdentifier", "SnapshotType")),
    "subscription": (
        "describe_event_subscriptions",
        "EventSubscription",
        ("SnsTopicArn", "Status", "SourceType", "SourceIdsList", "EventCategoriesList", "Enabled"),
    ),
}
_BUCKET = (
    *("bucket_tagging", "public_access_block", "bucket_ownership_controls", "bucket_encryption", "bucket_versioning"),
    *("bucket_lifecycle_configuration", "bucket_policy", "bucket_logging", "bucket_notification_configuration"),
)
_PASSING = frozenset(
    [
        "AssociationId",
        "RouteTableAssociationId",
        "NetworkAclAssociationId",
        "NetworkInterfaceId",
        "PublicIp",
        "PrivateIp",
        "DestinationPrefixListId",
        "SubnetAvailabilityZone",
        "ResponseMetadata",
    ]
)
"""What AWS makes up anew every time, at any depth, and has no name."""


@dataclass(frozen=True)
class _Remembering:
    """A client that asks every question once."""

    client: Any
    answers: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def ask(**params: Any) -> Any:
            question = f"{operation} {params}"
            if question not in self.answers:
                self.answers[question] = getattr(self.client, operation)(**params)
            return self.answers[question]

        return ask


def remembering(client: Client) -> Client:
    """Give clients that ask every question once, for who looks more than once while nothing changes."""
    return cache(lambda service: _Remembering(client(service)))


def census(client: Client) -> Census:
    """List everything but the account's default network and default groups, every id replaced by a name."""
    counted = _network(client("ec2"))
    rds, s3 = client("rds"), client("s3")
    names = {id: name for each in counted.values() for id, name in each.names.items()}
    names |= census_security.names(client)
    found = {kind: [_plain(each, names) for each in listed.items] for kind, listed in counted.items()}
    found |= {kind: [_plain(each, names) for each in _database(rds, *how)] for kind, how in _RDS.items()}
    found["secret"] = [
        _told(each, ("OwningService",)) for each in client("secretsmanager").list_secrets()["SecretList"]
    ]
    found["role"] = [_plain(each, {}) for each in _roles(client("iam"))]
    found["log group"] = [_plain(each, names) for each in _log_groups(client("logs"))]
    found |= {kind: [_plain(each, names) for each in items] for kind, items in census_security.census(client).items()}
    found["bucket"] = [_plain(_bucket(s3, each["Name"]), names) for each in s3.list_buckets()["Buckets"]]
    return {kind: sorted(items, key=str) for kind, items in found.items()}


def resources(counted: Census) -> int:
    """Count the things in a census."""
    return sum(map(len, counted.values()))


def owned(client: Client) -> list[tuple[str, str]]:
    """List everything that carries our tags by step and id; what the stack leaves on purpose is no step's."""
    ec2, rds, s3 = client("ec2"), client("rds"), client("s3")
    found: list[tuple[Mapping[str, str], str]] = []
    for listing in _EC2.values():
        items = _items(getattr(ec2, listing.operation)())
        found += [(_tags(item), item[listing.id]) for item in items if not _dead(item)]
    for kind, (operation, noun, _) in _RDS.items():
        items = _items(getattr(rds, operation)()) if kind != "snapshot" else []
        for item in items:
            tags = rds.list_tags_for_resource(ResourceName=item[f"{noun}Arn"])
            found.append((_tags(tags), _name(item, noun)))
    for bucket in s3.list_buckets()["Buckets"]:
        found.append((_tags(_setting(s3, "bucket_tagging", bucket["Name"])), bucket["Name"]))
    found += [(role["tags"], role["Arn"]) for role in _roles(client("iam"))]
    found += [(group["tags"], group["logGroupName"]) for group in _log_groups(client("logs"))]
    found += census_security.owned(client)
    return sorted((tags[_STEP], id) for tags, id in found if _STEP in tags)


_STEP = "provisioner:step"


@dataclass(frozen=True)
class _Listed:
    items: list[dict[str, Any]]
    names: Mapping[str, str]


def _network(ec2: Any) -> dict[str, _Listed]:
    found = {kind: _items(getattr(ec2, listing.operation)()) for kind, listing in _EC2.items()}
    usual = {vpc["VpcId"] for vpc in found["vpc"] if vpc["IsDefault"]}
    counted = {}
    for kind, listing in _EC2.items():
        items = [each for each in found[kind] if each.get("VpcId") not in usual and not _dead(each)]
        names = {each[listing.id]: _tags(each).get("Name") or f"the {kind} of AWS" for each in items}
        counted[kind] = _Listed([_told(each, listing.told) for each in items], names)
    for vpc, told in zip(counted["vpc"].names, counted["vpc"].items, strict=True):
        told["DNS"] = [_attribute(ec2, vpc, attribute) for attribute in ("enableDnsSupport", "enableDnsHostnames")]
    return counted


def _attribute(ec2: Any, vpc: str, attribute: str) -> bool:
    answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
    return bool(answer[f"{attribute[0].upper()}{attribute[1:]}"]["Value"])


def _dead(item: Mapping[str, Any]) -> bool:
    """Tell what AWS goes on listing for a while: NAT gateways and endpoints."""
    return str(item.get("State")).lower() == "deleted"


def _database(rds: Any, operation: str, noun: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for item in _items(getattr(rds, operation)()):
        name = _name(item, noun)
        if name.startswith("default") or item.get("SnapshotType") == "automated":
            continue  # AWS's own, which come and go by themselves
        tags = rds.list_tags_for_resource(ResourceName=item[f"{noun}Arn"])
        told = {"Name": name, **_told({**item, **tags}, keys)}
        if noun == "DBClusterParameterGroup":
            set_by_hand = rds.describe_db_cluster_parameters(DBClusterParameterGroupName=name, Source="user")
            told["Parameters"] = {each["ParameterName"]: each["ParameterValue"] for each in set_by_hand["Parameters"]}
        if noun == "DBInstance" and not item.get("PerformanceInsightsEnabled"):
            told.pop("PerformanceInsightsKMSKeyId", None)  # they keep the key they once began with
        if noun == "DBClusterSnapshot":
            told["Name"] = name.partition("-final-")[0]  # the rest is the id of the cluster
        yield told


def _name(item: Mapping[str, Any], noun: str) -> str:
    names = (f"{noun}Identifier", f"{noun}Name", "CustSubscriptionId")
    return str(next(item[key] for key in names if key in item))


def _roles(iam: Any) -> Iterator[dict[str, Any]]:
    for each in iam.list_roles()["Roles"]:
        name = {"RoleName": each["RoleName"]}
        role = iam.get_role(**name)["Role"]
        told = _told(role, ("Arn", "AssumeRolePolicyDocument", "PermissionsBoundary"))
        policies = iam.list_role_policies(**name)["PolicyNames"]
        told["policies"] = {
            policy: iam.get_role_policy(**name, PolicyName=policy)["PolicyDocument"] for policy in policies
        }
        yield {**told, "attached": iam.list_attached_role_policies(**name)["AttachedPolicies"]}


def _log_groups(logs: Any) -> Iterator[dict[str, Any]]:
    for group in logs.describe_log_groups()["logGroups"]:
        told = _told(group, ("logGroupName", "retentionInDays", "kmsKeyId"))
        yield {**told, "tags": logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"]}


def _bucket(s3: Any, name: str) -> dict[str, Any]:
    settings = {setting: _setting(s3, setting, name) for setting in _BUCKET}
    if policy := settings["bucket_policy"].get("Policy"):
        settings["bucket_policy"] = json.loads(policy)
    settings["bucket_tagging"] = _tags(settings["bucket_tagging"])
    versions = s3.list_object_versions(Bucket=name)
    return {
        "name": name,
        **settings,
        "objects": len(versions.get("Versions", ())) + len(versions.get("DeleteMarkers", ())),
    }


def _setting(s3: Any, setting: str, bucket: str) -> dict[str, Any]:
    try:
        return dict(getattr(s3, f"get_{setting}")(Bucket=bucket))
    except ClientError as error:
        return {"absent": error.response["Error"]["Code"]}


def _items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return next(value for value in answer.values() if isinstance(value, list))


def _tags(item: Mapping[str, Any]) -> dict[str, str]:
    listed = item.get("Tags") or item.get("TagList") or item.get("TagSet") or ()
    return {tag["Key"]: tag["Value"] for tag in listed}


def _told(item: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {"tags": _tags(item), **{key: item[key] for key in keys if key in item}}


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Put names in the place of ids, and everything in an order of its own."""
    if isinstance(value, Mapping):
        return {key: _plain(each, names) for key, each in value.items() if key not in _PASSING}
    if isinstance(value, list):
        return sorted((_plain(each, names) for each in value), key=str)
    return names.get(value, value) if isinstance(value, str) else value
