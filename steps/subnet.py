"""One subnet of the network in one zone; knows nothing of its routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown
from provisioner.terms import Burdens
from steps.strangers import holding, strangers
from steps.tags import born, found_tags, retag
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class Subnet(Step):
    """A range of addresses in one zone; what makes it public is its route table."""

    vpc: Ref[Vpc]
    cidr: str
    zone: str
    public: bool
    """Among which outputs it is listed; nothing in AWS tells it."""
    public_ip_on_launch: bool = False
    fixed = frozenset({"vpc", "cidr", "zone"})
    listing = "ec2.describe_subnets"

    def observe(self, aws: Reader) -> Live | None:
        subnet = aws.mine(self.listing, self)
        if subnet is None:
            return None
        facts = {
            "vpc": subnet["VpcId"],
            "cidr": subnet["CidrBlock"],
            "zone": subnet["AvailabilityZone"],
            "public_ip_on_launch": subnet["MapPublicIpOnLaunch"],
            "tags": found_tags(self, subnet),
        }
        state = subnet["State"]
        return Live(
            subnet["SubnetId"],
            facts,
            busy="pending" if state == "pending" else "",
            broken=state if state.startswith("failed") else "",
        )

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "ec2.create_subnet",
                VpcId=self.vpc,
                CidrBlock=self.cidr,
                AvailabilityZone=self.zone,
                TagSpecifications=born("subnet", self),
            )
            live = Live(Unknown(self.name), {"public_ip_on_launch": False})
        yield from retag(self, live)
        if "public_ip_on_launch" in self.differences(live):
            public_ip = {"Value": self.public_ip_on_launch}
            yield Call("ec2.modify_subnet_attribute", SubnetId=live.id, MapPublicIpOnLaunch=public_ip)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_subnet", SubnetId=live.id)

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        found = strangers(aws, self.stack, live.facts["vpc"])
        return holding(self, live, (each for each in found if each.subnet == live.id))

    def outputs(self, live: Live) -> Mapping[str, Any]:
        return {"public_subnet_ids" if self.public else "private_subnet_ids": (live.id,)}
