"""What others have put into our network, which keeps it, or a part of it, from being deleted; knows no kind of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Live, Reader, Stack, Step, tags_of
from provisioner.terms import Burdens, Objection


@dataclass(frozen=True)
class Stranger:
    """Something in our network that is not ours."""

    id: str
    told: str
    """What it is and whose, for a person."""
    subnet: str = ""
    """Where its address is, if it has one."""
    groups: frozenset[str] = frozenset()
    """The security groups it is in, or whose members its rules name."""
    public: bool = False
    """Whether a public address is mapped to it, which holds the network's internet gateway."""


def strangers(aws: Reader, stack: Stack, vpc_id: str) -> Iterator[Stranger]:
    """Name the subnets, security groups and network interfaces in our network that are not ours."""
    inside = [{"Name": "vpc-id", "Values": [vpc_id]}]
    subnets = aws.items("ec2.describe_subnets", Filters=inside)
    for subnet in subnets:
        if not stack.owns(tags_of(subnet)):
            yield Stranger(subnet["SubnetId"], f"subnet {subnet['CidrBlock']}")
    for group in aws.items("ec2.describe_security_groups", Filters=inside):
        if group["GroupName"] != "default" and not stack.owns(tags_of(group)):
            yield Stranger(group["GroupId"], f"security group {group['GroupName']}", groups=frozenset(_peers(group)))
    owned = {subnet["SubnetId"]: stack.owns(tags_of(subnet)) for subnet in subnets}
    gateways = {gateway["NatGatewayId"] for gateway in aws.ours("ec2.describe_nat_gateways", stack)}
    for interface in aws.items("ec2.describe_network_interfaces", Filters=inside):
        # One whose subnet is gone is gone as well, only its listing lags.
        place = owned.get(interface["SubnetId"])
        if place is False or (place and not _maybe_ours(interface, gateways)):
            yield Stranger(
                interface["NetworkInterfaceId"],
                _told(interface),
                interface["SubnetId"],
                frozenset(group["GroupId"] for group in interface.get("Groups", ())),
                public="PublicIp" in interface.get("Association", {}),
            )


def holding(step: Step, live: Live, found: Iterable[Stranger], how: str = "is in") -> Burdens:
    """Say that these keep a step's resource from being deleted."""
    remedy = "remove it, or have its owner do so, then run the same command again"
    told = (f"{each.id} ({each.told}) {how} {live.id} and is not ours" for each in found)
    return Burdens(strangers=[Objection(step.name, each, remedy) for each in told])


def _peers(group: Mapping[str, Any]) -> Iterator[str]:
    for entry in (*group.get("IpPermissions", ()), *group.get("IpPermissionsEgress", ())):
        yield from (pair["GroupId"] for pair in entry.get("UserIdGroupPairs", ()))


def _maybe_ours(interface: Mapping[str, Any], gateways: set[str]) -> bool:
    """Tell what AWS made for our resources, from what it writes into the description: an interface of RDS does not
    tell whose database it serves, and nothing is held to be a stranger on a guess."""
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
