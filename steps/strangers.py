"""What others have put into our network, which keeps it from being deleted; knows no kind of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.kit import Reader, Stack, tags_of


def strangers(aws: Reader, stack: Stack, vpc_id: str) -> Iterator[str]:
    """Name the subnets, security groups and network interfaces in our network that are not ours."""
    inside = [{"Name": "vpc-id", "Values": [vpc_id]}]
    subnets = aws.items("ec2.describe_subnets", Filters=inside)
    for subnet in subnets:
        if not stack.owns(tags_of(subnet)):
            yield f"{subnet['SubnetId']} (subnet {subnet['CidrBlock']})"
    for group in aws.items("ec2.describe_security_groups", Filters=inside):
        if group["GroupName"] != "default" and not stack.owns(tags_of(group)):
            yield f"{group['GroupId']} (security group {group['GroupName']})"
    owned = {subnet["SubnetId"]: stack.owns(tags_of(subnet)) for subnet in subnets}
    gateways = {gateway["NatGatewayId"] for gateway in aws.ours("ec2.describe_nat_gateways", stack)}
    for interface in aws.items("ec2.describe_network_interfaces", Filters=inside):
        # One whose subnet is gone is gone as well, only its listing lags.
        place = owned.get(interface["SubnetId"])
        if place is False or (place and not _maybe_ours(interface, gateways)):
            yield f"{interface['NetworkInterfaceId']} ({_told(interface)})"


def _maybe_ours(interface: Mapping[str, Any], gateways: set[str]) -> bool:
    """Tell what AWS made for our resources, from what it writes into the description: an interface of RDS does not
    tell whose database it serves, and no teardown is refused on a guess."""
    about = interface.get("Description", "")
    return about == "RDSNetworkInterface" or about.rpartition(" ")[2] in gateways


def _told(interface: Mapping[str, Any]) -> str:
    kind = interface.get("InterfaceType", "interface").replace("_", " ")
    owner = interface.get("RequesterId") or interface.get("OwnerId")
    parts = (
        "network interface" if kind == "interface" else kind,
        interface.get("Description"),
        owner and f"of {owner}",
    )
    return ", ".join(filter(None, parts))
