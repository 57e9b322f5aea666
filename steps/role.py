"""What a service of AWS may do for the stack; knows nothing of which resource hands it over."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Stack, Step, Unknown, same, step_named, tags_of
from provisioner.terms import Check, Objection
from steps.order import as_wanted
from steps.tags import pairs

POLICY = "own"
"""What the role's inline policy is called."""


@dataclass(frozen=True, kw_only=True)
class Role(Step):
    """A role that one service of AWS can assume, for resources of this account only, with exactly these permissions.

    Its id is its ARN. Its name belongs to the account, so it has the region in it: a stack of the same name in another
    one has its own. What others attach to it is taken away again: a role that may do more than the file says is a way
    round the file.
    """

    service: str
    """Who assumes it: ``vpc-flow-logs.amazonaws.com``."""
    source: str | tuple[str, ...] = ()
    """Patterns of the ARNs it acts for, the condition aws:SourceArn; none where the service sends no such key."""
    statements: tuple[Mapping[str, Any], ...] = ()
    """Of its inline policy, in IAM's own words, ``Effect`` aside, which is always Allow."""
    managed: tuple[str, ...] = ()
    """AWS's own policies, by path and name: ``service-role/AmazonRDSEnhancedMonitoringRole``."""
    boundary: str = ""
    """The ARN of a policy that bounds whatever it is permitted."""

    derived = ("trust", "policies", "attached")

    @property
    def label(self) -> str:
        return f"{_beginning(self.stack)}{self.name.removesuffix('-role')}"  # IAM takes 64 characters

    @property
    def path(self) -> str:
        return f"/provisioner/{self.stack.name}/"

    @property
    def trust(self) -> dict[str, Any]:
        """The trust policy wanted: no other account's resource can have the service act here (IAM User Guide, "The
        confused deputy problem")."""
        condition: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": self.stack.account}}
        if source := [self.source] if isinstance(self.source, str) else list(self.source):
            condition["ArnLike"] = {"aws:SourceArn": source[0] if len(source) == 1 else source}
        who = {"Effect": "Allow", "Principal": {"Service": self.service}, "Action": "sts:AssumeRole"}
        return _document([{**who, "Condition": condition}])

    @property
    def policies(self) -> dict[str, Any]:
        """The inline policies wanted, by name."""
        allowed = [{"Effect": "Allow", **each} for each in self.statements]
        return {POLICY: _document(allowed)} if allowed else {}

    @property
    def attached(self) -> tuple[str, ...]:
        """The ARNs of the managed policies wanted."""
        return tuple(f"arn:{self.stack.partition}:iam::aws:policy/{each}" for each in self.managed)

    def observe(self, aws: Reader) -> Live | None:
        answer = aws.ask("iam.get_role", RoleName=self.label)
        if answer is None:
            return None
        role = answer["Role"]
        tags = tags_of(role)
        if not self.claims(tags) or role["Path"] != self.path:
            return Live(role["Arn"], foreign=self._adoption(), cure=self._cure(role["Path"]))
        attached = aws.items("iam.list_attached_role_policies", RoleName=self.label)
        facts = {
            "trust": role["AssumeRolePolicyDocument"],
            "policies": dict(self._inline(aws)),
            "attached": as_wanted(self.attached, (each["PolicyArn"] for each in attached)),
            "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "tags": {key: value for key, value in tags.items() if key in self.labels},
        }
        return Live(role["Arn"], facts)

    def _inline(self, aws: Reader) -> Iterator[tuple[str, Any]]:
        names: Any = aws.items("iam.list_role_policies", RoleName=self.label)
        for name in names:
            if found := aws.ask("iam.get_role_policy", RoleName=self.label, PolicyName=name):
                yield name, found["PolicyDocument"]

    def _adoption(self) -> str:
        return f"aws iam tag-role --role-name {self.label} --tags {shlex.quote(json.dumps(pairs(self)))}"

    def _cure(self, path: str) -> str:
        """Say what helps where tags do not: IAM moves no role to another path."""
        return "" if path == self.path else f"its path is {path}: delete it, or choose another SUFFIX"

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        if live is None:
            yield Call(
                "iam.create_role",
                Path=self.path,
                RoleName=self.label,
                AssumeRolePolicyDocument=json.dumps(self.trust),
                Tags=pairs(self),
                **({"PermissionsBoundary": self.boundary} if self.boundary else {}),
            )
            live = Live(Unknown(self.name), {"policies": {}, "attached": ()})
        # First: whoever is only let near bounded roles can do nothing else to one before.
        yield from self._bounded(live)
        if calls := tuple(self._changes(live)):
            yield calls

    def _bounded(self, live: Live) -> Iterator[Call]:
        if "boundary" in self.differences(live):
            verb = "put" if self.boundary else "delete"
            bound = {"PermissionsBoundary": self.boundary} if self.boundary else {}
            yield Call(f"iam.{verb}_role_permissions_boundary", RoleName=self.label, **bound)

    def _changes(self, live: Live) -> Iterator[Call]:
        """Name what brings a role to what is wanted; none of it depends on another."""
        differences = self.differences(live)
        if "tags" in differences:
            yield Call("iam.tag_role", RoleName=self.label, Tags=pairs(self))
        if "trust" in differences:
            trust = json.dumps(self.trust)
            yield Call("iam.update_assume_role_policy", RoleName=self.label, PolicyDocument=trust)
        found = live.facts["policies"]
        for name, document in self.policies.items():
            if not same(document, found.get(name)):
                named = {"RoleName": self.label, "PolicyName": name}
                yield Call("iam.put_role_policy", **named, PolicyDocument=json.dumps(document))
        for arn in self.attached:
            if arn not in live.facts["attached"]:
                yield Call("iam.attach_role_policy", RoleName=self.label, PolicyArn=arn)
        yield from self._taken(live, self.policies, self.attached)

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        if calls := tuple(self._taken(live, (), ())):
            yield calls
        yield Call("iam.delete_role", RoleName=self.label)

    def _taken(self, live: Live, policies: Any, attached: Any) -> Iterator[Call]:
        """Take away all it may do but for these."""
        for name in live.facts["policies"]:
            if name not in policies:
                yield Call("iam.delete_role_policy", RoleName=self.label, PolicyName=name)
        for arn in live.facts["attached"]:
            if arn not in attached:
                yield Call("iam.detach_role_policy", RoleName=self.label, PolicyArn=arn)

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._tags_differ_by_more_than_case()
        if self.boundary:
            yield self._boundary_is_there(aws)

    def _boundary_is_there(self, aws: Reader) -> Check:
        if aws.ask("iam.get_policy", PolicyArn=self.boundary) is None:
            what = f"the policy {self.boundary} is not there"
            yield Objection("security.role_boundary", what, "write the ARN of a policy that is, or create it first")

    def _tags_differ_by_more_than_case(self) -> Check:
        """Roles take no two keys that differ in their case alone (IAM User Guide, "Tags for IAM resources")."""
        known = dict[str, str]()
        for key in self.labels:
            if (other := known.setdefault(key.lower(), key)) != key:
                what = f"the tags {other} and {key} differ in their case alone, and a role takes one of them"
                yield Objection(f"tags.{key}", what, "write another key")

    def remains(self, live: Live) -> str:
        return f"role {self.label} (free), for {' and '.join(live.needed_by)}" if live.needed_by else ""

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        listed = (role["RoleName"] for role in aws.items("iam.list_roles", PathPrefix=f"/provisioner/{stack.name}/"))
        for name in (each for each in listed if each.startswith(_beginning(stack))):
            # The list tells no tags.
            answer = aws.ask("iam.get_role", RoleName=name)
            tags = tags_of(answer["Role"]) if answer else {}
            yield from step_named(tags, stack, cls.__name__, untold=cls.__name__)


def _beginning(stack: Stack) -> str:
    return f"{stack.name}-{stack.region}-"


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a policy in plain JSON values, which is how IAM tells it again."""
    document: dict[str, Any] = json.loads(json.dumps({"Version": "2012-10-17", "Statement": statements}, default=str))
    return document
