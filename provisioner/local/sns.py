"""What SNS does and moto does not: topics that are there already, policies it refuses, keys that cannot be used."""

from __future__ import annotations

from typing import Any

from provisioner.local import kms, trust
from provisioner.local.rules import Ask, Refusal, Rulebook

rules = Rulebook("sns")

_STATES = {"Disabled": "KMSDisabled", "PendingDeletion": "KMSInvalidState"}


@rules.before("CreateTopic")
def a_topic_is_made_once(ask: Ask) -> None:
    """The same again is the same topic; other attributes or tags are InvalidParameter. SNS API reference, CreateTopic;
    the words are those of public threads."""
    topic = find(ask, f"arn:aws:sns:{ask.region}:{ask.account}:{ask.get('Name')}")
    if topic is None:
        return
    given = dict(_entries(ask, "Attributes.entry", "key", "value"))
    held = {"KmsMasterKeyId": topic.kms_master_key_id, "Policy": topic.policy, "DisplayName": topic.display_name}
    if any(_plain(name, held.get(name)) != _plain(name, value) for name, value in given.items()):
        text = "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
        raise Refusal("InvalidParameter", text)
    tags = dict(_entries(ask, "Tags.member", "Key", "Value"))
    if tags and tags != topic._tags:
        raise Refusal("InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")


def _plain(name: str, value: str | None) -> Any:
    """Read a policy, which is the same in whatever spelling."""
    return trust.statements_of(value) if name == "Policy" and value else value


@rules.before("CreateTopic", "SetTopicAttributes")
def a_policy_is_about_its_topic(ask: Ask) -> None:
    """InvalidParameter for what is no policy, or is about something else. SNS API reference, SetTopicAttributes."""
    policy = dict(_entries(ask, "Attributes.entry", "key", "value")).get("Policy")
    if ask.get("AttributeName") == "Policy":
        policy = ask.get("AttributeValue")
    if policy is None:
        return
    topic = ask.get("TopicArn") or f"arn:aws:sns:{ask.region}:{ask.account}:{ask.get('Name')}"
    try:
        statements = trust.statements_of(policy)
    except ValueError:
        statements = []
    if not statements or any(each.get("Resource") != topic for each in statements):
        raise Refusal("InvalidParameter", "Invalid parameter: Policy Error: null")


@rules.before("Publish")
def a_topic_needs_its_key(ask: Ask) -> None:
    """KMSDisabled, KMSInvalidState or KMSNotFound. SNS API reference, Publish."""
    topic = find(ask, ask.get("TopicArn"))
    if topic is None or not topic.kms_master_key_id:
        return
    key = kms.find(ask, topic.kms_master_key_id)
    code = "KMSNotFound" if key is None else _STATES.get(key.key_state)
    if code:
        raise Refusal(code, f"{topic.kms_master_key_id} cannot be used.")


@rules.before("SetTopicAttributes", "TagResource", "ListTagsForResource")
def what_is_not_there_is_not_found(ask: Ask) -> None:
    """NotFound of a topic, ResourceNotFound of its tags. SNS API reference."""
    arn = ask.get("TopicArn") or ask.get("ResourceArn")
    if find(ask, arn) is None:
        code = "NotFound" if ask.get("TopicArn") else "ResourceNotFound"
        raise Refusal(code, "Topic does not exist" if ask.get("TopicArn") else "Resource does not exist", 404)


def find(ask: Ask, arn: str) -> Any:
    """Give a topic by its ARN, ``None`` where there is none."""
    return ask.moto("sns").topics.get(arn)


def lets(ask: Ask, arn: str, service: str) -> bool:
    """Tell whether a service of AWS may publish to a topic, whose key it may have to use. That a key that does not
    let it is told like a policy that does not is assumed."""
    topic = find(ask, arn)
    if topic is None or not trust.grants(topic.policy, service):
        return False
    key = topic.kms_master_key_id
    return not key or bool(kms.usable(ask, key) and kms.lets(ask, key, service))


def _entries(ask: Ask, name: str, key: str, value: str) -> list[tuple[str, str]]:
    entries, number = [], 1
    while (named := ask.form.get(f"{name}.{number}.{key}")) is not None:
        entries.append((named, ask.get(f"{name}.{number}.{value}")))
        number += 1
    return entries
