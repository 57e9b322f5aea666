"""Where the packets of some subnets go, and which subnets those are; knows nothing of gateway endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown
from steps.internet_gateway import InternetGateway
from steps.nat_gateway import NatGateway
from steps.order import as_wanted, members
from steps.subnet import Subnet
from steps.tags import born, found_tags, retag
from steps.vpc import Vpc

EVERYWHERE = "0.0.0.0/0"
UNUSABLE = "unusable"
NEWBORN: Mapping[str, Any] = {"subnets": (), "associations": {}, "elsewhere": {}, "gateway": None, "nat": None}


@dataclass(frozen=True, kw_only=True)
class RouteTable(Step):
    """A route table with its associations and its one route out: through ``gateway``, through ``nat``, or none.

    Only the route to 0.0.0.0/0 is ours. Every other one is left alone: the local route and those of gateway
    endpoints belong to AWS, and a peering or a VPN adds its routes here as part of its own life; removing them would
    cut somebody's connection to put right what no field of ours wishes for.
    """

    vpc: Ref[Vpc]
    subnets: tuple[Ref[Subnet], ...]
    gateway: Ref[InternetGateway] | None = None
    nat: Ref[NatGateway] | None = None
    fixed = frozenset({"vpc"})
    listing = "ec2.describe_route_tables"

    def observe(self, aws: Reader) -> Live | None:
        table = aws.mine(self.listing, self)
        if table is None:
            return None
        associations = _associations([table])
        missing = [subnet for subnet in members(self.subnets) if subnet not in associations]
        facts = {
            "vpc": table["VpcId"],
            "subnets": as_wanted(self.subnets, associations),
            "associations": associations,
            "elsewhere": self._elsewhere(aws, table["RouteTableId"], missing) if missing else {},
            "tags": found_tags(self, table),
        }
        return Live(table["RouteTableId"], facts | _way_out(table))

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        if live is None:
            yield Call("ec2.create_route_table", VpcId=self.vpc, TagSpecifications=born("route-table", self))
            live = Live(Unknown(self.name), NEWBORN)
        yield from retag(self, live)
        if self.differences(live) & {"gateway", "nat"}:
            yield self._route(live)
        if "subnets" in self.differences(live):
            yield (*self._associate(live), *_disassociate(live, keep=self.subnets))

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        if live.facts["associations"]:
            yield tuple(_disassociate(live))
        yield Call("ec2.delete_route_table", RouteTableId=live.id)

    def _elsewhere(self, aws: Reader, own: str, subnets: list[Any]) -> dict[str, str]:
        """Find the associations by which subnets hang on other tables, whoever made those."""
        tables = aws.items(self.listing, Filters=[{"Name": "association.subnet-id", "Values": subnets}])
        found = _associations(each for each in tables if each["RouteTableId"] != own)
        return {subnet: association for subnet, association in found.items() if subnet in subnets}

    def _route(self, live: Live) -> Call:
        route = {"RouteTableId": live.id, "DestinationCidrBlock": EVERYWHERE}
        target = {"NatGatewayId": self.nat} if self.nat else {"GatewayId": self.gateway} if self.gateway else {}
        if not target:
            return Call("ec2.delete_route", **route)
        exists = live.facts["gateway"] or live.facts["nat"]
        return Call("ec2.replace_route" if exists else "ec2.create_route", **route, **target)

    def _associate(self, live: Live) -> Iterator[Call]:
        for subnet in self.subnets:
            if subnet in live.facts["elsewhere"]:
                association = live.facts["elsewhere"][subnet]
                yield Call("ec2.replace_route_table_association", AssociationId=association, RouteTableId=live.id)
            elif subnet not in live.facts["subnets"]:
                yield Call("ec2.associate_route_table", RouteTableId=live.id, SubnetId=subnet)


def _disassociate(live: Live, keep: tuple[Any, ...] = ()) -> Iterator[Call]:
    for subnet, association in live.facts["associations"].items():
        if subnet not in keep:
            yield Call("ec2.disassociate_route_table", AssociationId=association)


def _associations(tables: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Map each subnet to its association; the main association, which names no subnet, is not one of them."""
    return {
        each["SubnetId"]: each["RouteTableAssociationId"]
        for table in tables
        for each in table["Associations"]
        if each.get("SubnetId") and not each.get("AssociationState", {}).get("State", "").startswith("disassociat")
    }


def _way_out(table: Mapping[str, Any]) -> dict[str, str | None]:
    """Say what the route to everywhere goes through; a blackhole, or a target no field can name, is unusable."""
    for route in table["Routes"]:
        if route.get("DestinationCidrBlock") == EVERYWHERE:
            gateway, nat = route.get("GatewayId") or None, route.get("NatGatewayId") or None
            usable = route.get("State") != "blackhole" and (gateway or nat)
            return {"gateway": gateway, "nat": nat} if usable else {"gateway": UNUSABLE, "nat": UNUSABLE}
    return {"gateway": None, "nat": None}
