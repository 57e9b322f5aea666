"""The rules of one security group; knows nothing of how the group came to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step, Unknown
from provisioner.terms import Check, Objection, Quota
from steps.order import as_wanted
from steps.permissions import NEWBORN, Rule, rules_of, settle
from steps.security_group import SecurityGroup

__all__ = ["Rule", "SecurityRules"]

SUFFIX = "-rules"
EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, kw_only=True)
class SecurityRules(Step):
    """Exactly these rules, no other: what a foreign hand added is revoked, AWS's allow-all egress too.

    Its name is always that of its group's step with ``-rules`` after it: rules carry no tags, so this is how those
    of a group that left the file are known. They are a step of their own so that two groups may name each other, and
    a teardown revokes them before it deletes either.
    """

    group: Ref[SecurityGroup]
    rules: tuple[Rule, ...]
    """No two of them alike but for their description; CIDR blocks as AWS writes them, without host bits."""
    attendant = True
    quota = Quota(service="vpc", code="L-0EA8095F", what="rules in one direction", where="network")

    def __post_init__(self) -> None:
        own = self.group.name + SUFFIX if isinstance(self.group, Step) else self.name
        if not self.name.endswith(SUFFIX) or self.name != own:
            raise ValueError(f"{self.name}: rules are named after their group, with {SUFFIX} after its name")

    def observe(self, aws: Reader) -> Live | None:
        owner = SecurityGroup.restored(self.name.removesuffix(SUFFIX), self.stack)
        group = aws.mine(owner.listing, owner)
        if group is None:
            return None
        return Live(group["GroupId"], {"group": group["GroupId"], "rules": as_wanted(self.rules, rules_of(group))})

    def provision(self, live: Live | None) -> Iterator[tuple[Call, ...]]:
        live = live or Live(Unknown(self.name), {"rules": (NEWBORN,)})
        if calls := settle(self.group, self.rules, live.facts["rules"]):
            yield calls

    @property
    def demand(self) -> tuple[str, int]:
        sides = [rule.direction for rule in self.rules]
        return self.name, max(sides.count("in"), sides.count("out"))

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._nobody_is_let_in(live)

    def _nobody_is_let_in(self, live: Live | None) -> Check:
        for rule in self.rules:
            if rule.direction == "in" and rule.peer in EVERYWHERE:
                remedy = "name the group or the network that needs it"
                yield Objection(self.name, f"{rule} lets the whole internet in", remedy)
        for rule in live.facts["rules"] if live else ():
            if rule.direction == "in" and rule.peer in EVERYWHERE and rule not in self.rules:
                what = f"somebody let the whole internet in: {rule}"
                yield Objection(self.name, what, "this run takes that back; see who needs it", "warning")

    def teardown(self, live: Live) -> Iterator[tuple[Call, ...]]:
        if live.facts["rules"]:
            yield settle(live.id, (), live.facts["rules"])

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        return (f"{group}{SUFFIX}" for group in SecurityGroup.survivors(aws, stack))
