"""A private way to one AWS service, free of charge; knows nothing of that service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, tags_of
from provisioner.terms import Quantity
from steps.endpoint_policy import FULL
from steps.order import as_wanted, members
from steps.route_table import RouteTable
from steps.tags import adoption, born, found_tags, retag
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class VpcEndpoint(Step):
    """A gateway endpoint: AWS adds its route to each of the route tables."""

    vpc: Ref[Vpc]
    service_name: str
    """As AWS names it: ``com.amazonaws.<region>.s3``."""
    route_tables: tuple[Ref[RouteTable], ...]
    policy: Mapping[str, Any] = field(default_factory=lambda: FULL)
    """Who may reach what this way, on top of what his own policies permit."""
    fixed = frozenset({"vpc", "service_name"})
    listing = "ec2.describe_vpc_endpoints"

    def observe(self, aws: Reader) -> Live | None:
        endpoint = aws.mine(self.listing, self, dead={"State": ("deleted", "Deleted")})
        if endpoint is None:
            return self._rival(aws)
        facts = {
            "vpc": endpoint["VpcId"],
            "service_name": endpoint["ServiceName"],
            "route_tables": as_wanted(self.route_tables, endpoint.get("RouteTableIds", ())),
            "policy": json.loads(endpoint["PolicyDocument"]) if "PolicyDocument" in endpoint else FULL,
            "tags": found_tags(self, endpoint),
        }
        # AWS spells its states in lower case, its model capitalises them.
        state = endpoint["State"].lower()
        return Live(
            endpoint["VpcEndpointId"],
            facts,
            busy=state if state in ("pending", "deleting") else "",
            broken=endpoint.get("LastError", {}).get("Message") or state if state in ("failed", "rejected") else "",
        )

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "ec2.create_vpc_endpoint",
                VpcEndpointType="Gateway",
                VpcId=self.vpc,
                ServiceName=self.service_name,
                RouteTableIds=list(self.route_tables),
                **({} if self.policy == FULL else {"PolicyDocument": json.dumps(self.policy)}),
                TagSpecifications=born("vpc-endpoint", self),
            )
            return
        yield from retag(self, live)
        if changes := self._changes(live):
            yield Call("ec2.modify_vpc_endpoint", VpcEndpointId=live.id, **changes)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_vpc_endpoints", VpcEndpointIds=[live.id])

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("gateway-endpoint", 1)

    def _rival(self, aws: Reader) -> Live | None:
        """Find the endpoint of others whose routes to the service are in our tables already: AWS allows no second."""
        there = {"vpc-id": self.vpc, "service-name": self.service_name}
        for endpoint in aws.items(self.listing, Filters=[{"Name": key, "Values": [at]} for key, at in there.items()]):
            alive = endpoint["State"].lower() in ("pending", "available")
            routed = not set(members(self.route_tables)).isdisjoint(endpoint.get("RouteTableIds", ()))
            if alive and routed and not self.claims(tags_of(endpoint)):
                return Live(endpoint["VpcEndpointId"], foreign=adoption(self, endpoint["VpcEndpointId"]))
        return None

    def _changes(self, live: Live) -> dict[str, Any]:
        found = live.facts["route_tables"]
        policy = json.dumps(self.policy) if "policy" in self.differences(live) else ""
        changes = {
            "AddRouteTableIds": [table for table in self.route_tables if table not in found],
            "RemoveRouteTableIds": [table for table in found if table not in self.route_tables],
            "PolicyDocument": policy,
        }
        return {parameter: value for parameter, value in changes.items() if value}
