"""The network ACL AWS gives every network; knows nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provisioner.kit import Call, Live, Reader, Ref, Step, Unknown
from provisioner.terms import Check, Objection
from steps.acl_rules import OPEN, OPEN_IPV6, AclRule, rules_of, settle
from steps.network_acl import NetworkAcl, acls
from steps.order import as_wanted, members
from steps.strangers import strangers
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class DefaultNetworkAcl(Step):
    """The network's default ACL: as AWS makes it, or without any rule, so that a subnet nobody thought of reaches none.

    AWS makes it and deletes it with the network; it carries no tags of ours.
    """

    vpc: Ref[Vpc]
    rules: tuple[AclRule, ...] = OPEN
    after: tuple[Ref[NetworkAcl], ...] = ()
    """To which our subnets move before this one closes."""
    attendant = True

    def observe(self, aws: Reader) -> Live | None:
        acl = next((each for each in acls(aws, self.vpc) if each["IsDefault"]), None)
        if acl is None:
            return None
        by_aws = OPEN_IPV6 if members(self.rules) else ()
        found = (rule for rule in rules_of(acl) if rule not in by_aws)
        facts = {
            "vpc": acl["VpcId"],
            "rules": as_wanted(self.rules, found),
            "hanging": tuple(sorted(each["SubnetId"] for each in acl["Associations"])),
        }
        return Live(acl["NetworkAclId"], facts)

    def provision(self, live: Live | None) -> Iterator[tuple[Call, ...]]:
        live = live or Live(Unknown(self.name), {"rules": OPEN})
        if calls := settle(live.id, self.rules, live.facts["rules"]):
            yield calls

    def teardown(self, live: Live) -> Iterator[Call]:
        return iter(())

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        if live is not None and live.facts["hanging"] and not self.rules:
            yield self._nobody_is_cut_off(aws, live)
            yield self._nobody_moves_along(aws, live)

    def _nobody_is_cut_off(self, aws: Reader, live: Live) -> Check:
        """Name the subnets of others that would reach nothing any more."""
        ours = self._ours(aws)
        for subnet in live.facts["hanging"]:
            if subnet not in ours:
                what = f"{subnet}, which is not ours, hangs on the default network ACL and will reach nothing"
                yield Objection(self.name, what, "give it an ACL of its own", "warning")

    def _nobody_moves_along(self, aws: Reader, live: Live) -> Check:
        """Name the machines of others in the subnets that move to ACLs of ours, which let in what we need."""
        moving = self._ours(aws).intersection(live.facts["hanging"])
        for each in strangers(aws, self.stack, live.facts["vpc"]):
            if each.subnet in moving:
                what = f"{each.id} ({each.told}) in {each.subnet} will be reached, and reach others, as new ACLs say"
                remedy = "plan --json has their rules; network_acls = false leaves the borders open"
                yield Objection("security.network_acls", what, remedy, "warning")

    def _ours(self, aws: Reader) -> set[str]:
        return {each["SubnetId"] for each in aws.ours("ec2.describe_subnets", self.stack)}
