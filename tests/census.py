"""Count what is in an account, with boto3 and by name: two censuses are equal if the same things stand there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from provisioner.kit import tags_of

Census = dict[str, list[Any]]


def census(client: Callable[[str], Any]) -> Census:
    """List everything that is not part of the account's default network, ids replaced by names."""
    ec2, rds, s3 = client("ec2"), client("rds"), client("s3")
    vpcs = [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc.get("IsDefault")]
    inside = {vpc["VpcId"] for vpc in vpcs}
    listed = {
        "vpc": vpcs,
        "subnet": [each for each in ec2.describe_subnets()["Subnets"] if each["VpcId"] in inside],
        "internet gateway": ec2.describe_internet_gateways()["InternetGateways"],
        "route table": [each for each in ec2.describe_route_tables()["RouteTables"] if each["VpcId"] in inside],
        "address": ec2.describe_addresses()["Addresses"],
        "nat gateway": [n for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] != "deleted"],
        "endpoint": [e for e in ec2.describe_vpc_endpoints()["VpcEndpoints"] if e["State"].lower() != "deleted"],
        "security group": [each for each in ec2.describe_security_groups()["SecurityGroups"] if each["VpcId"] in inside],
    }
    names = {
        each[key]: tags_of(each).get("Name", "default")
        for each in (item for items in listed.values() for item in items)
        for key in _ids(each)
    }
    counted = {
        kind: sorted((_named(_plain(item), names) for item in items), key=str) for kind, items in listed.items()
    }
    for vpc in counted["vpc"]:
        assert isinstance(vpc, dict)
    counted["subnet group"] = _of(rds.describe_db_subnet_groups()["DBSubnetGroups"], "DBSubnetGroupName", "Subnets")
    counted["subnet group"] = [_named(each, names) for each in counted["subnet group"]]
    counted["parameter group"] = _of(
        rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"],
        "DBClusterParameterGroupName",
        "DBParameterGroupFamily",
    )
    counted["cluster"] = [
        _named(each, names)
        for each in _of(
            rds.describe_db_clusters()["DBClusters"],
            "DBClusterIdentifier",
            "EngineVersion",
            "VpcSecurityGroups",
            "ServerlessV2ScalingConfiguration",
            "DeletionProtection",
            "BackupRetentionPeriod",
            "TagList",
        )
    ]
    counted["instance"] = _of(rds.describe_db_instances()["DBInstances"], "DBInstanceIdentifier", "AvailabilityZone")
    counted["bucket"] = [_bucket(s3, bucket["Name"]) for bucket in s3.list_buckets()["Buckets"]]
    return counted


def resources(counted: Census) -> int:
    """Count the things in a census."""
    return sum(map(len, counted.values()))


def _ids(item: Any) -> list[str]:
    known = (
        "InternetGatewayId RouteTableId AllocationId NatGatewayId VpcEndpointId SubnetId GroupId VpcId".split()
    )
    return [next(key for key in known if key in item)]


_VOLATILE = frozenset(
    "CreationTimestamp CreateTime PublicIp RouteTableAssociationId AssociationId NetworkInterfaceId DhcpOptionsId"
    " NatGatewayAddresses SubnetArn SecurityGroupArn VpcArn CidrBlockAssociationSet NetworkInterfaceIds"
    " DestinationPrefixListId PrefixListId OwnerId RouteTableAssociationState AvailabilityZoneId".split()
)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return sorted((_plain(each) for each in value), key=str)
    return value


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((_named(each, names) for each in value), key=str)
    return names.get(value, value) if isinstance(value, str) else value


def _of(items: list[Any], *keys: str) -> list[Any]:
    return sorted(({key: _plain(item.get(key)) for key in keys} for item in items), key=str)


def _bucket(s3: Any, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "tags": tags_of(s3.get_bucket_tagging(Bucket=name)),
        "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "policy": _quiet(lambda: s3.get_bucket_policy(Bucket=name)["Policy"]),
        "lifecycle": _quiet(lambda: s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]),
    }


def _quiet(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        return type(error).__name__
