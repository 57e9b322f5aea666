"""Rules of security groups, the way AWS lists and takes them; knows no step.

AWS gathers all peers of one protocol and port range in one entry; here every peer is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from provisioner.kit import Call, Ref, Unknown
from steps.security_group import SecurityGroup

Direction = Literal["in", "out"]
SIDES: Mapping[Direction, str] = {"in": "ingress", "out": "egress"}
LISTS: Mapping[Direction, str] = {"in": "IpPermissions", "out": "IpPermissionsEgress"}


@dataclass(frozen=True)
class Rule:
    """Traffic that may pass between a group and one peer."""

    direction: Direction
    port: int | None
    """The first port (for ICMP the type), ``None`` where the protocol has none."""
    peer: Ref[SecurityGroup]
    """A group, a CIDR block of IPv4 or IPv6, or a prefix list; another account's group is ``account/sg-...``."""
    description: str = ""
    protocol: str = "tcp"
    """``tcp``, ``udp``, ``icmp``, ``icmpv6``, a number, or ``-1`` for all traffic."""
    to_port: int | None = None
    """The last port (for ICMP the code), ``None`` where it is the first one."""

    def __str__(self) -> str:
        ports = "" if self.port is None else f" {self.port}" + (f"-{self.to_port}" if self.to_port is not None else "")
        way = "from" if self.direction == "in" else "to"
        protocol = "everything" if self.protocol == "-1" else self.protocol
        return f"{protocol}{ports} {way} {self.peer}" + (f" ({self.description})" if self.description else "")


NEWBORN = Rule("out", None, "0.0.0.0/0", protocol="-1")
"""The rule AWS gives every new group: everything may leave."""


def rules_of(group: Mapping[str, Any]) -> Iterator[Rule]:
    """Flatten the rules of a group that ``ec2.describe_security_groups`` shows."""
    for direction, listed in LISTS.items():
        for entry in group.get(listed, ()):
            first, last = entry.get("FromPort"), entry.get("ToPort")
            for peer, description in _peers(entry, group.get("OwnerId")):
                to_port = None if last == first else last
                yield Rule(direction, first, peer, description, entry["IpProtocol"], to_port)


def settle(group: Ref[SecurityGroup], wanted: Iterable[Rule], found: Iterable[Rule]) -> tuple[Call, ...]:
    """Name the calls between the rules found and those wanted; none depends on another.

    AWS tells rules apart by everything but their description, which it can change in place.
    """
    wish, there = {_anonymous(rule): rule for rule in wanted}, {_anonymous(rule): rule for rule in found}
    changes = {
        "authorize_security_group": [rule for key, rule in wish.items() if key not in there],
        "revoke_security_group": [rule for key, rule in there.items() if key not in wish],
        "update_security_group_rule_descriptions": [
            rule for key, rule in wish.items() if key in there and rule != there[key]
        ],
    }
    return tuple(
        Call(f"ec2.{verb}_{side}", GroupId=group, IpPermissions=[_entry(rule) for rule in concerned])
        for verb, rules in changes.items()
        for direction, side in SIDES.items()
        if (concerned := [rule for rule in rules if rule.direction == direction])
    )


def _anonymous(rule: Rule) -> Rule:
    return replace(rule, description="")


def _peers(entry: Mapping[str, Any], owner: str | None) -> Iterator[tuple[str, str]]:
    """List the peers of one entry, each with its description."""
    for pair in entry.get("UserIdGroupPairs", ()):
        account = pair.get("UserId", owner)
        group = pair["GroupId"] if account == owner else f"{account}/{pair['GroupId']}"
        yield group, pair.get("Description", "")
    for listed, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId")):
        for each in entry.get(listed, ()):
            yield each[key], each.get("Description", "")


def _entry(rule: Rule) -> dict[str, Any]:
    """Write one rule as an entry of its own."""
    to_port = rule.port if rule.to_port is None else rule.to_port
    ports = {} if rule.port is None else {"FromPort": rule.port, "ToPort": to_port}
    description = {"Description": rule.description} if rule.description else {}
    listed, peer = _peer(rule.peer)
    return {"IpProtocol": rule.protocol, **ports, listed: [{**peer, **description}]}


def _peer(peer: Any) -> tuple[str, dict[str, Any]]:
    """Tell what kind of peer it is by its spelling; a group that has no id yet is ``Unknown``."""
    if isinstance(peer, Unknown):
        return "UserIdGroupPairs", {"GroupId": peer}
    account, _, group = peer.rpartition("/")
    if group.startswith("sg-"):
        return "UserIdGroupPairs", {"GroupId": group, **({"UserId": account} if account else {})}
    if peer.startswith("pl-"):
        return "PrefixListIds", {"PrefixListId": peer}
    return ("Ipv6Ranges", {"CidrIpv6": peer}) if ":" in peer else ("IpRanges", {"CidrIp": peer})
