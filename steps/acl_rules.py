"""Rules of network ACLs, the way AWS lists and takes them; knows no step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from provisioner.kit import Call, Ref, Step

LAST = 32766
"""The highest number a rule of ours can have: 32767 and 32768 are AWS's own, which deny what no other allows."""
PROTOCOLS: Mapping[str, str] = {"-1": "everything", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_ICMP = ("1", "58")


@dataclass(frozen=True)
class AclRule:
    """Packets in one direction that may pass, or not; the lowest number that applies decides."""

    direction: Literal["in", "out"]
    number: int
    peer: str
    """A CIDR block of IPv4 or IPv6."""
    protocol: str = "-1"
    """The number IANA gave it, the way AWS tells it: ``6`` is TCP; ``-1`` is all of them."""
    ports: tuple[int, int] | None = None
    """The first and the last, for ICMP type and code; ``None`` where the protocol has none."""
    action: Literal["allow", "deny"] = "allow"

    def __str__(self) -> str:
        ports = "" if self.ports is None else f" {self.ports[0]}" + f"-{self.ports[1]}" * (len({*self.ports}) > 1)
        way = "from" if self.direction == "in" else "to"
        return f"{self.number} {self.action} {PROTOCOLS.get(self.protocol, self.protocol)}{ports} {way} {self.peer}"


OPEN = (AclRule("in", 100, "0.0.0.0/0"), AclRule("out", 100, "0.0.0.0/0"))
"""What AWS gives the default ACL of every network. VPC User Guide, "Default network ACL"."""
OPEN_IPV6 = (AclRule("in", 101, "::/0"), AclRule("out", 101, "::/0"))
"""What it adds once the network has a range of IPv6."""


def rules_of(acl: Mapping[str, Any]) -> Iterator[AclRule]:
    """Read the rules of an ACL that ``ec2.describe_network_acls`` shows, but for AWS's own."""
    for entry in acl["Entries"]:
        if entry["RuleNumber"] <= LAST:
            yield AclRule(
                "out" if entry["Egress"] else "in",
                entry["RuleNumber"],
                entry.get("CidrBlock") or entry["Ipv6CidrBlock"],
                entry["Protocol"],
                _ports(entry),
                entry["RuleAction"],
            )


def settle(acl: Ref[Step], wanted: Iterable[AclRule], found: Iterable[AclRule]) -> tuple[Call, ...]:
    """Name the calls between the rules found and those wanted; none depends on another.

    AWS tells rules of one direction apart by their number.
    """
    wish, there = {_place(rule): rule for rule in wanted}, {_place(rule): rule for rule in found}
    return (
        *(Call("ec2.create_network_acl_entry", **_entry(acl, wish[place])) for place in wish if place not in there),
        *(
            Call("ec2.replace_network_acl_entry", **_entry(acl, rule))
            for place, rule in wish.items()
            if place in there and there[place] != rule
        ),
        *(
            Call("ec2.delete_network_acl_entry", **_named(acl, rule))
            for place, rule in there.items()
            if place not in wish
        ),
    )


def _place(rule: AclRule) -> tuple[str, int]:
    return rule.direction, rule.number


def _ports(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    if found := entry.get("PortRange"):
        return found["From"], found["To"]
    if found := entry.get("IcmpTypeCode"):
        return found["Type"], found["Code"]
    return None


def _named(acl: Ref[Step], rule: AclRule) -> dict[str, Any]:
    return {"NetworkAclId": acl, "RuleNumber": rule.number, "Egress": rule.direction == "out"}


def _entry(acl: Ref[Step], rule: AclRule) -> dict[str, Any]:
    ports: dict[str, Any] = {}
    if rule.ports is not None and rule.protocol in _ICMP:
        ports = {"IcmpTypeCode": {"Type": rule.ports[0], "Code": rule.ports[1]}}
    elif rule.ports is not None:
        ports = {"PortRange": {"From": rule.ports[0], "To": rule.ports[1]}}
    peer = {"Ipv6CidrBlock" if ":" in rule.peer else "CidrBlock": rule.peer}
    return {**_named(acl, rule), "Protocol": rule.protocol, "RuleAction": rule.action, **peer, **ports}
