"""Which events of the database are told to a topic; knows nothing of who listens there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step, Unknown, step_named, tags_of
from provisioner.terms import Quota
from steps import rds
from steps.order import as_wanted, members
from steps.tags import found_tags, pairs
from steps.topic import Topic

LISTING = "rds.describe_event_subscriptions"
SOURCELESS = "all-sources-deleted"
"""Where it rests once every source was deleted by others; it is active again when one is added
(github.com/aws-cloudformation/aws-cloudformation-resource-providers-rds/pull/551). That naming one of before again
counts as adding it is assumed."""
BROKEN = {
    "no-permission": "RDS may not publish to its topic",
    "topic-not-exist": "its topic was deleted",
}
"""RDS API reference, EventSubscription: it does not find back by itself."""
NAMES = {"topic": "SnsTopicArn", "source_type": "SourceType", "categories": "EventCategories", "enabled": "Enabled"}
"""What AWS calls the fields that it changes in one call."""


@dataclass(frozen=True, kw_only=True)
class EventSubscription(Step):
    """The events of one type of source, of some categories, told to a topic."""

    topic: Ref[Topic]
    source_type: str
    """``db-cluster``, ``db-instance`` and the like."""
    sources: tuple[Ref[Any], ...]
    """Whose events; none would be everybody's."""
    categories: tuple[str, ...]
    enabled: bool = True

    quota = Quota(
        service="rds",
        code="L-A59F4C87",
        what="event subscriptions",
        where="security.alerts",
        listings=(LISTING,),
    )

    def observe(self, aws: Reader) -> Live | None:
        for item in aws.items(LISTING):
            if item["CustSubscriptionId"] == self.label:
                return self._live(aws, item)
        return None

    def _live(self, aws: Reader, item: Mapping[str, Any]) -> Live | None:
        arn, status = item["EventSubscriptionArn"], item["Status"]
        tags = aws.ask("rds.list_tags_for_resource", ResourceName=arn)
        if tags is None:
            return None  # it went between the two looks
        if not self.claims(tags_of(tags)):
            return Live(self.label, foreign=rds.adoption(arn, self))
        sources = item.get("SourceIdsList", ()) if status != SOURCELESS else ()
        facts = {
            "arn": arn,
            "topic": item["SnsTopicArn"],
            "source_type": item.get("SourceType"),
            "sources": as_wanted(self.sources, map(self._absent(), sources)),
            "categories": as_wanted(self.categories, item.get("EventCategoriesList", ())),
            "enabled": item["Enabled"],
            "tags": found_tags(self, tags),
        }
        broken = f"{status}: {BROKEN[status]}" if status in BROKEN else ""
        return Live(self.label, facts, busy="" if broken or status in ("active", SOURCELESS) else status, broken=broken)

    def _absent(self) -> Callable[[str], Any]:
        """Give what tells a source that is not there now by the name it will have again: a subscription keeps it."""
        names = {f"{self.stack.name}-{each.name}": each for each in members(self.sources) if isinstance(each, Unknown)}
        return lambda source: names.get(source, source)

    def _settings(self) -> dict[str, Any]:
        values = {told: getattr(self, field) for field, told in NAMES.items()}
        return {**values, "EventCategories": list(self.categories)}

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        named = {"SubscriptionName": self.label}
        if live is None:
            sources = {"SourceIds": list(self.sources)}
            yield Call("rds.create_event_subscription", **named, **self._settings(), **sources, Tags=pairs(self))
            return
        yield from rds.retag(self, live)
        different = self.differences(live)
        if not different.isdisjoint(NAMES):
            yield Call("rds.modify_event_subscription", **named, **self._settings())
        if "sources" in different:
            # The wanted come first: without any source it would tell the events of everybody's databases.
            for verb, concerned in self._moves(live.facts["sources"]).items():
                for source in concerned:
                    yield Call(f"rds.{verb}_subscription", **named, SourceIdentifier=source)

    def _moves(self, found: tuple[str, ...]) -> dict[str, list[Any]]:
        return {
            "add_source_identifier_to": [each for each in self.sources if each not in found],
            "remove_source_identifier_from": [each for each in found if each not in self.sources],
        }

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("rds.delete_event_subscription", SubscriptionName=live.id)

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        """Only those that tell this stack's own topic, or have its name, are asked for their tags."""
        for item in aws.items(LISTING):
            if item["CustSubscriptionId"].startswith(f"{stack.name}-"):
                tags = tags_of(aws.ask("rds.list_tags_for_resource", ResourceName=item["EventSubscriptionArn"]) or {})
                yield from step_named(tags, stack, cls.__name__)
