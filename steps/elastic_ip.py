"""A fixed public address; knows nothing of what uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Step, tags_of
from provisioner.terms import MONTH, Quantity, Quota
from steps.tags import born, found_tags, retag


@dataclass(frozen=True, kw_only=True)
class ElasticIp(Step):
    """A public IPv4 address that stays the same for the life of the stack."""

    listing = "ec2.describe_addresses"
    quota = Quota(service="ec2", code="L-0263D0A3", what="Elastic IPs", where="network.nat", listings=(listing,))

    def observe(self, aws: Reader) -> Live | None:
        address = aws.mine(self.listing, self)
        if address is None:
            return None
        return Live(address["AllocationId"], {"tags": found_tags(self, address)})

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call("ec2.allocate_address", Domain="vpc", TagSpecifications=born("elastic-ip", self))
        else:
            yield from retag(self, live)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.release_address", AllocationId=live.id)

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        if tags_of(twin) == self.labels and not twin.get("AssociationId"):
            yield Call("ec2.release_address", AllocationId=twin["AllocationId"])

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("public-ipv4-hour", MONTH)
