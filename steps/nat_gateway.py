"""The way out for private subnets; knows nothing of the routes through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.kit import MONTH, Call, Live, Quantity, Reader, Ref, Step
from steps.elastic_ip import ElasticIp
from steps.internet_gateway import InternetGateway
from steps.subnet import Subnet
from steps.tags import born, found_tags, retag


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
