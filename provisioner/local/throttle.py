"""EC2's token buckets: how many requests of a kind an account may send at once, and how many a second for long.

EC2 Developer Guide, "Request throttling for the Amazon EC2 API": every action has a bucket of its own in every region.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.local.rules import Ask


@dataclass(frozen=True)
class Size:
    """How many tokens a bucket holds, and how many come back in a second."""

    holds: float
    a_second: float


_MUTATING, _READING, _LISTING_ALL = Size(50, 5), Size(100, 20), Size(50, 10)
_OWN = {
    "CreateTags": Size(100, 10),
    "CreateNatGateway": Size(10, 1),
    "DeleteNatGateway": Size(10, 1),
    "CreateVpcEndpoint": Size(4, 0.3),
    "DeleteVpcEndpoints": Size(4, 0.3),
}
_HEAVY = frozenset({"DescribeSecurityGroups", "DescribeNetworkInterfaces"})
"""Reads that cost more when they ask for everything."""


class Buckets:
    """What is left in every bucket."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str, bool], tuple[float, float]] = {}

    def take(self, ask: Ask) -> bool:
        """Take a token for a request, and tell whether there was one; only EC2 has buckets."""
        if ask.service != "ec2":
            return True
        everything = ask.action in _HEAVY and _asks_for_everything(ask)
        usual = _LISTING_ALL if everything else _READING if ask.reads else _MUTATING
        size, key = _OWN.get(ask.action, usual), (ask.region, ask.action, everything)
        left, when = self._left.get(key, (size.holds, ask.now))
        left = min(size.holds, left + (ask.now - when) * size.a_second)
        enough = left >= 1
        self._left[key] = (left - enough, ask.now)
        return enough


def _asks_for_everything(ask: Ask) -> bool:
    return not any(key.startswith(("Filter.", "GroupId.", "NetworkInterfaceId.", "MaxResults")) for key in ask.form)
