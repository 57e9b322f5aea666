"""What may pass at the border of some subnets; knows nothing of security groups, which decide at each interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown
from provisioner.terms import Quota
from steps.acl_rules import AclRule, rules_of, settle
from steps.order import as_wanted, members
from steps.subnet import Subnet
from steps.tags import born, found_tags, retag
from steps.vpc import Vpc

NEWBORN: Mapping[str, Any] = {"rules": (), "subnets": (), "associations": {}, "elsewhere": {}, "home": ""}
"""AWS's own rules deny everything until there are others."""


@dataclass(frozen=True, kw_only=True)
class NetworkAcl(Step):
    """A network ACL with exactly these rules, in both directions: it remembers no connection, so answers need some too.

    A subnet always hangs on one ACL: it is moved here from where it is, and back to the network's default one when this
    one goes. Subnets of others that hang here as well are none of ours.
    """

    vpc: Ref[Vpc]
    subnets: tuple[Ref[Subnet], ...]
    rules: tuple[AclRule, ...]
    """No two of one direction with the same number."""
    fixed = frozenset({"vpc"})
    listing = "ec2.describe_network_acls"
    quota = Quota(service="vpc", code="L-2AEEBF1A", what="rules in one direction", where="network.peers")

    def observe(self, aws: Reader) -> Live | None:
        acl = aws.mine(self.listing, self)
        if acl is None:
            return None
        own = {each["SubnetId"]: each["NetworkAclAssociationId"] for each in acl["Associations"]}
        others = [each for each in acls(aws, acl["VpcId"]) if each["NetworkAclId"] != acl["NetworkAclId"]]
        wanted = members(self.subnets)
        facts = {
            "vpc": acl["VpcId"],
            "subnets": as_wanted(self.subnets, (each for each in own if each in wanted or not wanted)),
            "rules": as_wanted(self.rules, rules_of(acl)),
            "associations": own,
            "elsewhere": {
                each["SubnetId"]: each["NetworkAclAssociationId"]
                for other in others
                for each in other["Associations"]
                if each["SubnetId"] in wanted and each["SubnetId"] not in own
            },
            "home": next((each["NetworkAclId"] for each in others if each["IsDefault"]), ""),
            "tags": found_tags(self, acl),
        }
        return Live(acl["NetworkAclId"], facts)

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        if live is None:
            yield Call("ec2.create_network_acl", VpcId=self.vpc, TagSpecifications=born("network-acl", self))
            live = Live(Unknown(self.name), NEWBORN)
        yield from retag(self, live)
        differences = self.differences(live)
        if "rules" in differences:
            yield settle(live.id, self.rules, live.facts["rules"])
        if "subnets" in differences:
            yield tuple(self._moved(live))

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        home = live.facts.get("home") or Unknown(f"default ACL of {live.facts['vpc']}")
        if moves := tuple(_move(each, home) for each in live.facts["associations"].values()):
            yield moves
        yield Call("ec2.delete_network_acl", NetworkAclId=live.id)

    @property
    def demand(self) -> tuple[str, int]:
        sides = [rule.direction for rule in self.rules]
        return self.name, max(sides.count("in"), sides.count("out"))

    def _moved(self, live: Live) -> Iterator[Call]:
        """Move the subnets that hang elsewhere; by which association is seen once they and this one are there."""
        for subnet in self.subnets:
            if subnet not in live.facts["associations"]:
                yield _move(live.facts["elsewhere"].get(subnet) or Unknown(f"association of {subnet}"), live.id)


def acls(aws: Reader, vpc: Ref[Vpc]) -> list[Mapping[str, Any]]:
    """List all ACLs of a network: one question for all steps that ask it."""
    return list(aws.items(NetworkAcl.listing, Filters=[{"Name": "vpc-id", "Values": [vpc]}]))


def _move(association: str | Unknown, acl: str | Unknown) -> Call:
    return Call("ec2.replace_network_acl_association", AssociationId=association, NetworkAclId=acl)
