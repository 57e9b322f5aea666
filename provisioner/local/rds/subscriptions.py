"""What RDS does with event subscriptions and moto does not: whom they tell of what, and whether they may.

RDS API reference, CreateEventSubscription, ModifyEventSubscription, AddSourceIdentifierToSubscription.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provisioner.local import quotas, sns
from provisioner.local.lifecycle import arrival, begin, until
from provisioner.local.protocol import reply as answer
from provisioner.local.rds.book import combination, rules
from provisioner.local.rules import Ask, Refusal, Reply

_SERVICE = "events.rds.amazonaws.com"
_CATEGORIES = {
    "db-cluster": {
        *("configuration change", "creation", "deletion", "failover", "failure", "global failover", "maintenance"),
        *("notification", "serverless"),
    },
    "db-instance": {
        *("availability", "backup", "configuration change", "creation", "deletion", "failover", "failure"),
        *("low storage", "maintenance", "notification", "read replica", "recovery", "restoration", "security"),
        "security patching",
    },
    "db-parameter-group": {"configuration change"},
    "db-security-group": {"configuration change", "failure"},
    "db-cluster-snapshot": {"backup", "notification"},
    "db-snapshot": {"creation", "deletion", "notification", "restoration"},
}
"""Aurora User Guide, "Amazon RDS event categories and event messages for Aurora"; RDS User Guide for snapshots."""


@arrival("subscription")
def a_subscription_changes(ask: Ask, name: str, becomes: str) -> None:
    """It becomes active, or it is gone."""
    if becomes == "gone":
        del ask.rds.event_subscriptions[name]
    else:
        ask.rds.event_subscriptions[name].status = becomes


@rules.before("CreateEventSubscription")
def a_subscription_is_made_once(ask: Ask) -> None:
    """SubscriptionAlreadyExist; EventSubscriptionQuotaExceeded for the 21st; on unless said."""
    if ask.get("SubscriptionName") in ask.rds.event_subscriptions:
        text = f"Subscription {ask.get('SubscriptionName')} already exists."
        raise Refusal("SubscriptionAlreadyExist", text)
    quotas.check(ask, "subscriptions", len(ask.rds.event_subscriptions))
    ask.form.setdefault("Enabled", "true")


@rules.before(
    "ModifyEventSubscription",
    "DeleteEventSubscription",
    "AddSourceIdentifierToSubscription",
    "RemoveSourceIdentifierFromSubscription",
)
def only_what_is_there_and_at_rest_is_changed(ask: Ask) -> None:
    """SubscriptionNotFound, InvalidEventSubscriptionState."""
    subscription = _found(ask)
    if until(ask, "subscription", subscription.subscription_name) is not None:
        text = f"Subscription {subscription.subscription_name} is {subscription.status}."
        raise Refusal("InvalidEventSubscriptionState", text)


@rules.before("CreateEventSubscription", "ModifyEventSubscription")
def a_subscription_tells_a_topic_that_listens(ask: Ask) -> None:
    """SNSTopicArnNotFound, SNSNoAuthorization."""
    arn = ask.get("SnsTopicArn")
    if arn and sns.find(ask, arn) is None:
        raise Refusal("SNSTopicArnNotFound", f"SNS topic {arn} does not exist.", 404)
    if arn and not sns.lets(ask, arn, _SERVICE):
        raise Refusal("SNSNoAuthorization", f"You do not have permission to publish to the SNS topic {arn}.")


@rules.before("CreateEventSubscription", "ModifyEventSubscription")
def a_category_is_one_of_its_source_type(ask: Ask) -> None:
    """SubscriptionCategoryNotFound."""
    had = None if ask.action.startswith("Create") else _found(ask).source_type
    known = _CATEGORIES.get(ask.get("SourceType") or had or "", set().union(*_CATEGORIES.values()))
    if unknown := set(ask.many("EventCategories.EventCategory")) - known:
        text = f"The category {', '.join(sorted(unknown))} does not exist."
        raise Refusal("SubscriptionCategoryNotFound", text, 404)


@rules.before("CreateEventSubscription")
def a_source_is_there(ask: Ask) -> None:
    """SourceNotFound; without a type of sources none can be named."""
    sources = ask.many("SourceIds.SourceId")
    if sources and not ask.get("SourceType"):
        raise combination("A SourceType must be given with SourceIds.")
    for source in sources:
        _check_source(ask, ask.get("SourceType"), source)


@rules.after("CreateEventSubscription")
def a_newborn_subscription_takes_a_while(ask: Ask, reply: Reply) -> Reply | None:
    """It is creating."""
    subscription = _found(ask)
    subscription.status = "creating"
    subscription.event_categories = ask.many("EventCategories.EventCategory")
    subscription.source_ids = ask.many("SourceIds.SourceId")
    begin(ask, "subscription creating", subscription.subscription_name, "active")
    return _told(ask, subscription)


@rules.before("ModifyEventSubscription")
def a_subscription_is_modified(ask: Ask) -> Reply:
    """What is not named is kept; moto has no such operation."""
    subscription = _found(ask)
    subscription.sns_topic_arn = ask.get("SnsTopicArn") or subscription.sns_topic_arn
    subscription.source_type = ask.get("SourceType") or subscription.source_type
    subscription.event_categories = ask.many("EventCategories.EventCategory") or subscription.event_categories
    if "Enabled" in ask.form:
        subscription.enabled = ask.flag("Enabled")
    return _changed(ask, subscription)


@rules.before("AddSourceIdentifierToSubscription")
def a_source_is_added(ask: Ask) -> Reply:
    """SourceNotFound; moto has no such operation."""
    subscription, source = _found(ask), ask.get("SourceIdentifier")
    _check_source(ask, subscription.source_type, source)
    subscription.source_ids = [*(each for each in subscription.source_ids if each != source), source]
    return _changed(ask, subscription)


@rules.before("RemoveSourceIdentifierFromSubscription")
def a_source_is_removed(ask: Ask) -> Reply:
    """SourceNotFound where it is none of its sources; moto has no such operation."""
    subscription, source = _found(ask), ask.get("SourceIdentifier")
    if source not in subscription.source_ids:
        raise _no_source(source)
    subscription.source_ids = [each for each in subscription.source_ids if each != source]
    return _changed(ask, subscription)


@rules.before("DeleteEventSubscription")
def a_subscription_takes_a_while_to_go(ask: Ask) -> Reply:
    """It is deleting."""
    subscription = _found(ask)
    subscription.status = "deleting"
    told = _told(ask, subscription)
    begin(ask, "subscription deleting", subscription.subscription_name, "gone")
    return told


@rules.before("DescribeEventSubscriptions")
def a_subscription_that_may_not_tell_says_so(ask: Ask) -> Reply:
    """Its status is no-permission or topic-not-exist (RDS API reference, EventSubscription), or all-sources-deleted
    until one is added (github.com/aws-cloudformation/aws-cloudformation-resource-providers-rds/pull/551). That RDS
    notices at once, that one of before counts as added, and that the first two stay so, is assumed."""
    for name, subscription in ask.rds.event_subscriptions.items():
        if until(ask, "subscription", name) is None:
            if sns.find(ask, subscription.sns_topic_arn) is None:
                subscription.status = "topic-not-exist"
            elif not sns.lets(ask, subscription.sns_topic_arn, _SERVICE):
                subscription.status = "no-permission"
            elif _sourceless(ask, subscription):
                subscription.status = "all-sources-deleted"
    wanted = ask.get("SubscriptionName")
    listed = [_found(ask)] if wanted else list(ask.rds.event_subscriptions.values())
    return answer(ask, {"EventSubscriptionsList": [_as_told(ask, each) for each in listed]})


def _found(ask: Ask) -> Any:
    name = ask.get("SubscriptionName")
    if name not in ask.rds.event_subscriptions:
        raise Refusal("SubscriptionNotFound", f"Subscription {name} not found.", 404)
    return ask.rds.event_subscriptions[name]


def _check_source(ask: Ask, kind: str, source: str) -> None:
    held = _sources(ask, kind)
    if held is not None and source not in held:
        raise _no_source(source)


def _sourceless(ask: Ask, subscription: Any) -> bool:
    held, ids = _sources(ask, subscription.source_type), subscription.source_ids
    return held is not None and bool(ids) and not any(each in held for each in ids)


def _sources(ask: Ask, kind: str) -> Collection[str] | None:
    """List what can be a source, as far as it is known here."""
    return {"db-cluster": ask.rds.clusters, "db-instance": ask.rds.databases}.get(kind)


def _no_source(source: str) -> Refusal:
    return Refusal("SourceNotFound", f"The source {source} was not found.", 404)


def _changed(ask: Ask, subscription: Any) -> Reply:
    subscription.status = "modifying"
    begin(ask, "subscription modifying", subscription.subscription_name, "active")
    return _told(ask, subscription)


def _told(ask: Ask, subscription: Any) -> Reply:
    return answer(ask, {"EventSubscription": _as_told(ask, subscription)})


def _as_told(ask: Ask, subscription: Any) -> dict[str, Any]:
    return {
        "CustomerAwsId": ask.account,
        "CustSubscriptionId": subscription.subscription_name,
        "EventSubscriptionArn": f"arn:aws:rds:{ask.region}:{ask.account}:es:{subscription.subscription_name}",
        "SnsTopicArn": subscription.sns_topic_arn,
        "Status": subscription.status,
        "SourceType": subscription.source_type,
        "SourceIdsList": subscription.source_ids,
        "EventCategoriesList": subscription.event_categories,
        "Enabled": bool(subscription.enabled),
    }
