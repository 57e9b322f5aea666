"""The way out for private subnets; knows nothing of the routes through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step
from provisioner.terms import MONTH, Quantity, Quota
from steps.elastic_ip import ElasticIp
from steps.internet_gateway import InternetGateway
from steps.subnet import Subnet
from steps.tags import born, found_tags, retag


def _zones(gateways: Sequence[Mapping[str, Any]], subnets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the zone of each gateway that counts: those deleted or failed do not, and a regional one, which is in no
    subnet, has a quota of its own (VPC User Guide, "Quotas")."""
    at = {subnet["SubnetId"]: str(subnet["AvailabilityZone"]) for subnet in subnets}
    zonal = [each for each in gateways if "SubnetId" in each]
    return [at.get(each["SubnetId"], "") for each in zonal if each["State"] in ("pending", "available", "deleting")]


@dataclass(frozen=True, kw_only=True)
class NatGateway(Step):
    """A NAT gateway in a public subnet.

    Its address and its subnet are free only once it is ``deleted``, minutes after AWS accepted the deletion.
    """

    subnet: Ref[Subnet]
    address: Ref[ElasticIp]
    internet: Ref[InternetGateway]
    """Comes before it and goes after it: AWS does not detach a gateway while a NAT uses public addresses."""
    fixed = frozenset({"subnet", "address"})
    listing = "ec2.describe_nat_gateways"
    quota = Quota(
        service="vpc",
        code="L-FE5A380F",
        what="NAT gateways",
        where="network.nat",
        listings=(listing, Subnet.listing),
        places=_zones,
    )

    @property
    def demand(self) -> tuple[str, int]:
        return (self.subnet.zone if isinstance(self.subnet, Subnet) else ""), 1

    def observe(self, aws: Reader) -> Live | None:
        nat = aws.mine(self.listing, self, dead={"State": ("deleted",)})
        if nat is None:
            return None
        addresses = [each for each in nat["NatGatewayAddresses"] if each.get("IsPrimary", True)]
        facts = {
            "subnet": nat["SubnetId"],
            "address": addresses[0].get("AllocationId") if addresses else None,
            "internet": self._internet(aws, nat["VpcId"]),
            "tags": found_tags(self, nat),
        }
        state = nat["State"]
        return Live(
            nat["NatGatewayId"],
            {field: found for field, found in facts.items() if found is not None},
            busy=state if state in ("pending", "deleting") else "",
            broken=nat.get("FailureMessage") or state if state == "failed" else "",
        )

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "ec2.create_nat_gateway",
                SubnetId=self.subnet,
                AllocationId=self.address,
                TagSpecifications=born("natgateway", self),
            )
        else:
            yield from retag(self, live)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_nat_gateway", NatGatewayId=live.id)

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("nat-gateway-hour", MONTH)
        yield Quantity("nat-gateway-gb")

    def _internet(self, aws: Reader, vpc_id: str) -> str | None:
        """Name our internet gateway in the same network: a NAT that left the file still has to go before it."""
        for gateway in aws.ours(InternetGateway.listing, self.stack):
            if any(each["VpcId"] == vpc_id for each in gateway["Attachments"]):
                return str(gateway["InternetGatewayId"])
        return None
