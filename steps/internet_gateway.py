"""The network's door to the internet; knows nothing of the routes through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown, tags_of
from provisioner.terms import Burdens, Quota
from steps.strangers import holding, strangers
from steps.tags import born, found_tags, retag
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class InternetGateway(Step):
    """An internet gateway and its attachment; attached to nothing, its ``vpc`` is found as ``""``."""

    vpc: Ref[Vpc]
    listing = "ec2.describe_internet_gateways"
    quota = Quota(service="vpc", code="L-A4707A72", what="internet gateways", where="network", listings=(listing,))

    def observe(self, aws: Reader) -> Live | None:
        gateway = aws.mine(self.listing, self)
        return None if gateway is None else self._live(gateway)

    def _live(self, gateway: Mapping[str, Any]) -> Live:
        attached = [each["VpcId"] for each in gateway["Attachments"] if not each["State"].startswith("detach")]
        facts = {"vpc": attached[0] if attached else "", "tags": found_tags(self, gateway)}
        return Live(gateway["InternetGatewayId"], facts)

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call("ec2.create_internet_gateway", TagSpecifications=born("internet-gateway", self))
            live = Live(Unknown(self.name), {"vpc": ""})
        yield from retag(self, live)
        if "vpc" in self.differences(live):
            yield from _detach(live)
            yield Call("ec2.attach_internet_gateway", InternetGatewayId=live.id, VpcId=self.vpc)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield from _detach(live)
        yield Call("ec2.delete_internet_gateway", InternetGatewayId=live.id)

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        live = self._live(twin)
        if tags_of(twin) == self.labels and live.facts["vpc"] in ("", self.vpc):
            yield from self.teardown(live)

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        found = strangers(aws, self.stack, live.facts["vpc"]) if live.facts["vpc"] else ()
        return holding(self, live, (each for each in found if each.public), "is reached through")


def _detach(live: Live) -> Iterator[Call]:
    if live.facts["vpc"]:
        yield Call("ec2.detach_internet_gateway", InternetGatewayId=live.id, VpcId=live.facts["vpc"])
