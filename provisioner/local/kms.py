"""What KMS does and moto does not: what a key in its state refuses, policies that lock out, the end of a key's window.

KMS has no tokens: every CreateKey makes a key, however often its answer is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.utils import RESERVED_ALIASES

from provisioner.local import trust
from provisioner.local.protocol import told
from provisioner.local.rules import EVERY, Ask, Refusal, Reply, Rulebook

rules = Rulebook("kms")

_USES = (
    *("CreateGrant", "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt"),
    *("EnableKeyRotation", "DisableKeyRotation"),
)
_CHANGES = (
    *("CreateAlias", "DisableKey", "EnableKey", "GetKeyRotationStatus", "ScheduleKeyDeletion", "TagResource"),
    *("UntagResource", "UpdateAlias", "UpdateKeyDescription"),
)
"""What a key in its window refuses, beside all use of it; a disabled one refuses use only. KMS Developer Guide, "Key
states of AWS KMS keys"."""
_WINDOW = range(7, 31)

# Whoever names no key gets AWS's own of the service, which moto makes when it is first asked for: of these too.
RESERVED_ALIASES.extend(each for each in ("alias/aws/backup", "alias/aws/sns") if each not in RESERVED_ALIASES)


@rules.before(EVERY)
def a_key_goes_when_its_window_is_over(ask: Ask) -> None:
    """It is gone with its aliases. KMS Developer Guide, "Deleting AWS KMS keys"."""
    keys = ask.moto("kms").keys
    for id, key in list(keys.items()):
        if key.deletion_date is not None and key.deletion_date.replace(tzinfo=UTC).timestamp() <= ask.now:
            del keys[id]


@rules.before(EVERY)
def a_key_of_aws_says_so(ask: Ask) -> None:
    """KeyManager is AWS for what has an alias of AWS. KMS API reference, KeyMetadata."""
    for key in ask.moto("kms").keys.values():
        if any(alias.startswith("alias/aws/") for alias in key.aliases):
            key.key_manager = "AWS"


@rules.before(EVERY)
def a_key_has_an_arn(ask: Ask) -> None:
    """KeyId may be the key's ARN; moto crashes on it in some operations."""
    asked = _asked(ask)
    if ":key/" in str(asked.get("KeyId")):
        ask.body = json.dumps({**asked, "KeyId": asked["KeyId"].rpartition("/")[2]}).encode()
        ask.environ["CONTENT_LENGTH"] = str(len(ask.body))


@rules.before(*_USES, *_CHANGES)
def a_key_refuses_what_its_state_forbids(ask: Ask) -> None:
    """KMSInvalidStateException in its window, DisabledException for the use of a disabled one."""
    asked = _asked(ask)
    key = find(ask, asked.get("KeyId") or asked.get("TargetKeyId") or "")
    if key is not None and key.key_state == "PendingDeletion":
        raise Refusal("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key is not None and key.key_state == "Disabled" and ask.action in _USES:
        raise Refusal("DisabledException", f"{key.arn} is disabled.")


@rules.before("CancelKeyDeletion")
def only_what_is_in_its_window_is_taken_back(ask: Ask) -> None:
    """KMSInvalidStateException; what is taken back is disabled. KMS API reference, CancelKeyDeletion."""
    key = find(ask, _asked(ask).get("KeyId", ""))
    if key is not None and key.key_state != "PendingDeletion":
        raise Refusal("KMSInvalidStateException", f"{key.arn} is not pending deletion.")


@rules.before("ScheduleKeyDeletion")
def a_window_has_7_to_30_days(ask: Ask) -> Reply | None:
    """ValidationException; moto answers with nothing, and reckons from the time of this machine."""
    asked = _asked(ask)
    key, days = find(ask, asked.get("KeyId", "")), asked.get("PendingWindowInDays", 30)
    if days not in _WINDOW:
        raise Refusal("ValidationException", f"PendingWindowInDays {days} must be between 7 and 30")
    if key is None:
        return None
    end = ask.now + days * 86_400
    key.enabled, key.key_state = False, "PendingDeletion"
    key.deletion_date = datetime.fromtimestamp(end, UTC).replace(tzinfo=None)
    answer = {"KeyId": key.arn, "DeletionDate": end, "KeyState": key.key_state, "PendingWindowInDays": days}
    return told(answer)


@rules.before("CreateKey", "PutKeyPolicy")
def a_policy_locks_nobody_out(ask: Ask) -> None:
    """MalformedPolicyDocumentException unless somebody of the account may change it again. KMS Developer Guide,
    "Allow access to the AWS account"; the words are ours."""
    asked = _asked(ask)
    if not asked.get("Policy"):
        return
    try:
        statements = trust.statements_of(asked["Policy"])
    except ValueError:
        raise Refusal("MalformedPolicyDocumentException", "The policy is no JSON.") from None
    if not asked.get("BypassPolicyLockoutSafetyCheck") and not any(_keeps_open(ask, each) for each in statements):
        text = "The new key policy will not allow you to update the key policy in the future."
        raise Refusal("MalformedPolicyDocumentException", text)


def _keeps_open(ask: Ask, statement: Mapping[str, Any]) -> bool:
    principals = trust.many(statement.get("Principal", {}).get("AWS", ()))
    ours = any(f":{ask.account}:" in each or each in (ask.account, "*") for each in principals)
    actions = {each.lower() for each in trust.many(statement.get("Action", ()))}
    return (
        statement.get("Effect") == "Allow"
        and ours
        and not {"kms:*", "kms:put*", "kms:putkeypolicy"}.isdisjoint(actions)
    )


@rules.before("CreateKey", "TagResource")
def tags_are_well_formed(ask: Ask) -> None:
    """TagException for more than 50, for one key twice and for AWS's own prefix. KMS API reference, Tag."""
    keys = [tag["TagKey"] for tag in _asked(ask).get("Tags", ())]
    if len(keys) > 50 or len(set(keys)) < len(keys) or any(key.startswith("aws:") for key in keys):
        raise Refusal(
            "TagException", "The tags are not valid: at most 50, each key once and none that starts with aws:"
        )


def find(ask: Ask, name: str) -> Any:
    """Give a key by its id, its ARN or an alias; ``None`` where there is none."""
    try:
        return ask.moto("kms").describe_key(name)
    except (AttributeError, KeyError, JsonRESTError):
        return None


def usable(ask: Ask, name: str) -> str:
    """Give the ARN of a key that can be used, "" where there is none or it is disabled or in its window."""
    key = find(ask, name)
    return str(key.arn) if key is not None and key.key_state == "Enabled" else ""


def lets(ask: Ask, name: str, service: str) -> bool:
    """Tell whether a key's own policy lets a service of AWS use it."""
    key = find(ask, name)
    return key is not None and trust.grants(key.policy, service)


def _asked(ask: Ask) -> dict[str, Any]:
    return dict(json.loads(ask.body or b"{}"))
