"""The security group AWS gives every network; knows nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown
from steps.order import as_wanted
from steps.permissions import NEWBORN, Rule, rules_of, settle
from steps.security_group import group_named
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class DefaultSecurityGroup(Step):
    """The network's default group without any rule, so that what names no group can talk to nobody.

    AWS makes it and deletes it with the network; it carries no tags of ours.
    """

    vpc: Ref[Vpc]
    rules: tuple[Rule, ...] = ()
    attendant = True

    def observe(self, aws: Reader) -> Live | None:
        group = group_named(aws, self.vpc, "default")
        if group is None:
            return None
        return Live(group["GroupId"], {"vpc": group["VpcId"], "rules": as_wanted(self.rules, rules_of(group))})

    def provision(self, live: Live | None) -> Iterator[tuple[Call, ...]]:
        if live is None:
            own = Unknown(self.name)
            live = Live(own, {"rules": (Rule("in", None, own, protocol="-1"), NEWBORN)})
        if calls := settle(live.id, self.rules, live.facts["rules"]):
            yield calls

    def teardown(self, live: Live) -> Iterator[Call]:
        return iter(())
