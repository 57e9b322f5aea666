"""A security group by itself; knows nothing of its rules, so that two groups may name each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, tags_of
from provisioner.terms import Burdens, Check, Objection, Quota
from steps.strangers import holding, strangers
from steps.tags import adoption, born, found_tags, retag
from steps.vpc import Vpc


@dataclass(frozen=True, kw_only=True)
class SecurityGroup(Step):
    """A named group that rules and network interfaces refer to."""

    vpc: Ref[Vpc]
    description: str
    """AWS allows letters, digits, spaces and ``._-:/()#,@[]+=&;{}!$*``."""
    output: str = ""
    """The name of the output that tells its id, if any does."""
    fixed = frozenset({"vpc", "description"})
    listing = "ec2.describe_security_groups"
    quota = Quota(service="vpc", code="L-E79EC296", what="security groups", where="network", listings=(listing,))

    def observe(self, aws: Reader) -> Live | None:
        group = aws.mine(self.listing, self) or group_named(aws, self.vpc, self.label)
        if group is None:
            return None
        if not self.claims(tags_of(group)):  # AWS allows no second group of our name in our network
            return Live(group["GroupId"], foreign=adoption(self, group["GroupId"]))
        facts = {"vpc": group["VpcId"], "description": group["Description"], "tags": found_tags(self, group)}
        return Live(group["GroupId"], facts)

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "ec2.create_security_group",
                GroupName=self.label,
                Description=self.description,
                VpcId=self.vpc,
                TagSpecifications=born("security-group", self),
            )
        else:
            yield from retag(self, live)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_security_group", GroupId=live.id)

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._name_is_lawful()

    def _name_is_lawful(self) -> Check:
        """EC2 API reference, CreateSecurityGroup: a group's name cannot start with ``sg-``."""
        if self.label.startswith("sg-"):
            what = f"AWS takes no name of a security group that starts with sg-, as {self.label} does"
            yield Objection("project", what, "write a name for the project that is not sg")

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        found = strangers(aws, self.stack, live.facts["vpc"])
        return holding(self, live, (each for each in found if live.id in each.groups), "uses")

    def outputs(self, live: Live) -> Mapping[str, Any]:
        return {self.output: live.id} if self.output else {}


def group_named(aws: Reader, vpc: Ref[Vpc], name: str) -> Mapping[str, Any] | None:
    """Find a group by its name, which is unique in its network."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [name]}]
    return next(iter(aws.items(SecurityGroup.listing, Filters=filters)), None)
