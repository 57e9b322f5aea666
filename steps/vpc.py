"""The virtual network; knows nothing of what of ours lives in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Step, Unknown, tags_of
from provisioner.terms import Burdens, Quota
from steps.strangers import holding, strangers
from steps.tags import born, found_tags, retag


@dataclass(frozen=True, kw_only=True)
class Vpc(Step):
    """The network everything else of the stack lives in."""

    cidr: str
    dns_support: bool = True
    dns_hostnames: bool = True
    fixed = frozenset({"cidr"})
    listing = "ec2.describe_vpcs"
    quota = Quota(service="vpc", code="L-F678F1CE", what="VPCs", where="network", listings=(listing,))

    def observe(self, aws: Reader) -> Live | None:
        vpc = aws.mine(self.listing, self)
        if vpc is None:
            return None
        facts = {
            "cidr": vpc["CidrBlock"],
            "dns_support": _is_on(aws, vpc["VpcId"], "enableDnsSupport"),
            "dns_hostnames": _is_on(aws, vpc["VpcId"], "enableDnsHostnames"),
            "tags": found_tags(self, vpc),
        }
        return Live(vpc["VpcId"], facts, busy="pending" if vpc["State"] == "pending" else "")

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call("ec2.create_vpc", CidrBlock=self.cidr, TagSpecifications=born("vpc", self))
            live = Live(Unknown(self.name), {"dns_support": True, "dns_hostnames": False})
        yield from retag(self, live)
        differences = self.differences(live)
        if "dns_support" in differences:
            yield Call("ec2.modify_vpc_attribute", VpcId=live.id, EnableDnsSupport={"Value": self.dns_support})
        if "dns_hostnames" in differences:
            yield Call("ec2.modify_vpc_attribute", VpcId=live.id, EnableDnsHostnames={"Value": self.dns_hostnames})

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_vpc", VpcId=live.id)

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        if twin["CidrBlock"] == self.cidr and tags_of(twin) == self.labels:
            yield Call("ec2.delete_vpc", VpcId=twin["VpcId"])

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        return holding(self, live, strangers(aws, self.stack, str(live.id)))

    def outputs(self, live: Live) -> Mapping[str, Any]:
        return {"vpc_id": live.id}


def _is_on(aws: Reader, vpc_id: str, attribute: str) -> bool:
    answer = aws.ask("ec2.describe_vpc_attribute", VpcId=vpc_id, Attribute=attribute)
    return answer is not None and bool(answer[f"{attribute[0].upper()}{attribute[1:]}"]["Value"])
