"""What CloudWatch Logs does with log groups and moto does not: their names, their keys, how long they keep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from provisioner.local.protocol import told
from provisioner.local.rules import Ask, Refusal, Reply, Rulebook

rules = Rulebook("logs")

_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_TAGGING = ("ListTagsForResource", "TagResource", "UntagResource")


@rules.before("CreateLogGroup")
def a_log_group_has_a_lawful_name(ask: Ask) -> None:
    """InvalidParameterException for other characters, and for one that starts with ``aws/``. API, CreateLogGroup."""
    name = _asked(ask)["logGroupName"]
    if not _NAME.fullmatch(name) or name.startswith("aws/"):
        raise _invalid(f"Value '{name}' at 'logGroupName' failed to satisfy constraint: [\\.\\-_/#A-Za-z0-9]+")


@rules.before("CreateLogGroup", "AssociateKmsKey")
def a_key_lets_the_service_use_it(ask: Ask) -> None:
    """InvalidParameterException for a key that is not there, not enabled, or whose policy does not name the service.
    User guide, "Encrypt log data in CloudWatch Logs using KMS"."""
    asked = _asked(ask)
    if not (wanted := asked.get("kmsKeyId")):
        return
    key = ask.moto("kms").keys.get(wanted.rpartition("/")[2])
    if key is None or key.key_state != "Enabled" or f"logs.{ask.region}.amazonaws.com" not in key.policy:
        group = f"arn:aws:logs:{ask.region}:{ask.account}:log-group:{asked['logGroupName']}"
        raise _invalid(f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}'")


@rules.before("AssociateKmsKey", "DisassociateKmsKey")
def a_log_group_changes_its_key(ask: Ask) -> Reply:
    """What is written from then on is encrypted with it, or with the service's own. API; moto knows neither."""
    asked = _asked(ask)
    group = ask.moto("logs").groups.get(asked["logGroupName"])
    if group is None:
        raise _gone()
    group.kms_key_id = asked.get("kmsKeyId")
    return told({})


@rules.before("PutRetentionPolicy")
def a_log_group_keeps_for_some_spans(ask: Ask) -> None:
    """InvalidParameterException for other numbers of days. API, PutRetentionPolicy."""
    if _asked(ask)["retentionInDays"] not in _DAYS:
        raise _invalid("1 validation error detected: Value at 'retentionInDays' failed to satisfy constraint")


@rules.before("DescribeLogGroups")
def a_prefix_excludes_a_pattern(ask: Ask) -> None:
    """InvalidParameterException for both. API, DescribeLogGroups."""
    if {"logGroupNamePrefix", "logGroupNamePattern"} <= _asked(ask).keys():
        raise _invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")


@rules.after("DescribeLogGroups")
def groups_are_found_by_a_part_of_their_name(ask: Ask, reply: Reply) -> Reply | None:
    """Those in whose name the pattern occurs, case and all, and of them nothing but ARN, time and name. API,
    DescribeLogGroups; moto passes the pattern over."""
    if not (pattern := _asked(ask).get("logGroupNamePattern")):
        return None
    body = json.loads(reply.body)
    told = ("arn", "creationTime", "logGroupName")
    found = (each for each in body["logGroups"] if pattern in each["logGroupName"])
    body["logGroups"] = [{key: each[key] for key in told} for each in found]
    return Reply(reply.status, reply.headers, json.dumps(body).encode())


@rules.before(*_TAGGING)
def tags_are_those_of_a_group_that_is_there(ask: Ask) -> None:
    """ResourceNotFoundException for the ARN of none. API; that an ARN with ``:*`` at its end is none is assumed."""
    if not any(group.arn == _asked(ask)["resourceArn"] for group in ask.moto("logs").groups.values()):
        raise _gone()


@rules.before("DeleteLogGroup")
def the_arn_of_a_group_is_noted(ask: Ask) -> None:
    """For the rule after it."""
    if group := ask.moto("logs").groups.get(_asked(ask)["logGroupName"]):
        ask.notes["arn"] = group.arn


@rules.after("DeleteLogGroup")
def a_group_takes_its_tags_along(ask: Ask, reply: Reply) -> None:
    """One of the same name has its own; moto keeps those of the dead one."""
    ask.moto("logs").tagger.delete_all_tags_for_resource(ask.notes["arn"])


def _asked(ask: Ask) -> Mapping[str, Any]:
    return json.loads(ask.body)  # type: ignore[no-any-return]


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterException", text)


def _gone() -> Refusal:
    return Refusal("ResourceNotFoundException", "The specified log group does not exist.")
