"""What S3 does and moto does not: names, newborn defaults, tags at creation, policies it refuses.

Each rule says what AWS does, and from where we know it. Error texts are AWS's own where they are documented.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, PublicAccessBlock, s3_backends
from moto.s3.utils import bucket_policy_is_public

from provisioner.local import kms, trust
from provisioner.local.protocol import reply as answer
from provisioner.local.rules import EVERY, Ask, Refusal, Reply, Rulebook

rules = Rulebook("s3")

_HOSTED = re.compile(r"(.+)\.s3[.-].*amazonaws\.com")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SETTINGS = {"logging": "PutBucketLogging", "policy": "PutBucketPolicy", "tagging": "PutBucketTagging"}
_NOTIFICATIONS = "GetBucketNotificationConfiguration"
_READ = {"logging": "GetBucketLogging", "notification": _NOTIFICATIONS, "policy": "GetBucketPolicy"}
_KEY_STATES = {"Disabled": "KMS.DisabledException", "PendingDeletion": "KMS.KMSInvalidStateException"}
_TAKEN = "buckets of others"
"""Where the memory keeps the names that other accounts have."""
_TAKEN_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_FALSE = ("false", ["false"], False)
_TAKEN_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def addressed(environ: Mapping[str, Any], query: Mapping[str, str]) -> tuple[str, str]:
    """Read bucket and operation from a REST request; the operation is "" where no rule is written for it."""
    hosted = _HOSTED.fullmatch(environ.get("HTTP_HOST", "").partition(":")[0])
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    if hosted:
        bucket, key = hosted[1], environ["PATH_INFO"].lstrip("/")
    if environ["REQUEST_METHOD"] == "GET" and bucket and not key:
        return bucket, next((action for setting, action in _READ.items() if setting in query), "")
    if environ["REQUEST_METHOD"] == "PUT" and key and not set(query) - {"x-id"}:
        return bucket, "PutObject"
    if environ["REQUEST_METHOD"] != "PUT" or key or not bucket:
        return bucket, ""
    named = (action for setting, action in _SETTINGS.items() if setting in query)
    return bucket, next(named, "" if set(query) - {"x-id"} else "CreateBucket")


def _moto(ask: Ask) -> Any:
    return s3_backends[ask.account]["aws"]


def _stored(ask: Ask) -> Any:
    return _moto(ask).buckets.get(ask.bucket)


@rules.before(EVERY)
def a_bucket_is_whose_you_expect(ask: Ask) -> None:
    """403 AccessDenied for another owner than expected. S3 User Guide, "Verifying bucket ownership"."""
    expected = ask.environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", ask.account)
    if expected != ask.account and _stored(ask) is not None:
        raise Refusal("AccessDenied", "Access Denied", 403)


@rules.before("GetBucketLogging", "PutBucketLogging")
def a_bucket_that_is_gone_has_no_settings(ask: Ask) -> None:
    """NoSuchBucket. S3 API reference, "List of error codes"; moto answers this for all that no rule answers for it."""
    if _stored(ask) is None:
        raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404)


@rules.before(EVERY)
def a_name_that_is_taken_is_taken(ask: Ask) -> None:
    """BucketAlreadyExists for a create, AccessDenied for all else. S3 API reference, CreateBucket, HeadBucket."""
    if ask.bucket in ask.memory.get(_TAKEN, ()):
        if ask.action == "CreateBucket":
            text = "The requested bucket name is not available. The bucket namespace is shared by all users of the"
            raise Refusal("BucketAlreadyExists", f"{text} system. Please select a different name and try again.", 409)
        raise Refusal("AccessDenied", "Access Denied", 403)


def occupy(memory: dict[Any, Any], buckets: Sequence[str]) -> None:
    """Let other accounts own buckets of exactly these names."""
    memory[_TAKEN] = tuple(buckets)


@rules.before("CreateBucket")
def a_bucket_name_follows_the_rules(ask: Ask) -> None:
    """InvalidBucketName. S3 User Guide, "General purpose bucket naming rules"."""
    name = ask.bucket
    fits = _NAME.fullmatch(name) and ".." not in name and not _is_address(name)
    if not fits or name.startswith(_TAKEN_STARTS) or name.endswith(_TAKEN_ENDS):
        raise Refusal("InvalidBucketName", "The specified bucket is not valid.")


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


@rules.before("CreateBucket")
def ones_own_bucket_is_named_so(ask: Ask) -> None:
    """BucketAlreadyOwnedByYou, but for us-east-1, which answers 200. S3 API reference, CreateBucket."""
    ask.notes["newborn"] = _stored(ask) is None
    if not ask.notes["newborn"] and ask.region != "us-east-1":
        text = "Your previous request to create the named bucket succeeded and you already own it."
        raise Refusal("BucketAlreadyOwnedByYou", text, 409)


@rules.after("CreateBucket")
def a_newborn_bucket_is_closed_and_encrypted(ask: Ask, reply: Reply) -> None:
    """Public access blocked, ACLs off (April 2023), SSE-S3 (January 2023), and the tags it was created with."""
    if not ask.notes["newborn"]:
        return
    bucket = _stored(ask)
    bucket.__class__ = Bucket
    bucket.public_access_block = PublicAccessBlock(*["true"] * 4)
    bucket.ownership_rule = "BucketOwnerEnforced"
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}
    bucket.encryption = bucket.encryption or {"Rule": default}
    # moto would give it the tags of a deleted bucket of the same name.
    _moto(ask).delete_bucket_tagging(ask.bucket)
    if tags := _tags(ask.body):
        _moto(ask).put_bucket_tagging(ask.bucket, tags)


def _tags(body: bytes) -> dict[str, str]:
    """Read the tags of CreateBucket, which moto drops, or of PutBucketTagging."""
    if not body.strip():
        return {}
    found = (each for each in ElementTree.fromstring(body).iter() if _plain(each) == "Tag")
    pairs = ({_plain(part): part.text or "" for part in tag} for tag in found)
    return {pair["Key"]: pair.get("Value", "") for pair in pairs}


def _plain(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


@rules.after("PutBucketTagging")
def an_empty_value_of_a_tag_is_a_value(ask: Ask, reply: Reply) -> None:
    """It is told as ``""``; moto tells none. S3 API reference, Tag: key and value are required."""
    _moto(ask).put_bucket_tagging(ask.bucket, _tags(ask.body))


class Bucket(FakeBucket):
    """A bucket that takes every request as one over TLS; moto heeds the Deny of a policy and not its Condition."""

    def get_permission(self, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        applying = [each for each in _statements(json.loads(self.policy)) if not _is_without_tls(each)]
        return IAMPolicy(json.dumps({"Statement": applying})).is_action_permitted(action, resource)


def _statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    statements = policy.get("Statement", [])
    return statements if isinstance(statements, list) else [statements]


def _is_without_tls(statement: Mapping[str, Any]) -> bool:
    """Tell a statement about requests without TLS. IAM User Guide, "AWS global condition context keys"."""
    condition = statement.get("Condition", {})
    wanted = [value for operator in ("Bool", "BoolIfExists") for value in condition.get(operator, {}).items()]
    return any(key.lower() == "aws:securetransport" and value in _FALSE for key, value in wanted)


@rules.before("PutBucketPolicy")
def a_policy_is_well_formed(ask: Ask) -> None:
    """MalformedPolicy for what is no policy or is about another bucket. IAM User Guide, "JSON policy grammar"."""
    try:
        policy = json.loads(ask.body)
    except ValueError:
        raise Refusal("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'") from None
    statements = _statements(policy) if isinstance(policy, dict) else []
    if not statements:
        raise Refusal("MalformedPolicy", "Missing required field Statement")
    for statement in statements:
        for needed in ("Effect", "Principal"):
            if needed not in statement:
                raise Refusal("MalformedPolicy", f"Missing required field {needed}")
        resources = statement.get("Resource", [])
        for resource in [resources] if isinstance(resources, str) else resources:
            if resource.partition("/")[0] != f"arn:aws:s3:::{ask.bucket}":
                raise Refusal("MalformedPolicy", "Policy has invalid resource")


@rules.before("PutBucketPolicy")
def a_public_policy_is_blocked(ask: Ask) -> None:
    """AccessDenied while BlockPublicPolicy is on. S3 User Guide, "Blocking public access to your Amazon S3 storage"."""
    block = getattr(_stored(ask), "public_access_block", None)
    if block and block.block_public_policy and bucket_policy_is_public(ask.body):
        text = (
            f"User: arn:aws:iam::{ask.account}:root is not authorized to perform: s3:PutBucketPolicy on resource:"
            f' "arn:aws:s3:::{ask.bucket}" because public policies are prevented by the BlockPublicPolicy setting in'
            " S3 Block Public Access."
        )
        raise Refusal("AccessDenied", text, 403)


@rules.after("GetBucketPolicy")
def a_policy_is_told_in_an_order_of_its_own(ask: Ask, reply: Reply) -> Reply:
    """S3 keeps what a policy says, and no order of its lists (github.com/hashicorp/terraform/issues/2432)."""
    document = json.loads(reply.body)
    for statement in document["Statement"] if isinstance(document["Statement"], list) else ():
        for key, value in statement.items():
            statement[key] = value[::-1] if isinstance(value, list) else value
    return Reply(reply.status, reply.headers, json.dumps(document).encode())


@rules.before("PutBucketLogging")
def logs_go_where_s3_may_write(ask: Ask) -> Reply:
    """InvalidTargetBucketForLogging unless the bucket for them is there and lets S3 in. S3 User Guide, "Enabling Amazon
    S3 server access logging"; moto crashes on policies that speak of everybody."""
    told = {_plain(each): each.text or "" for each in ElementTree.fromstring(ask.body).iter()}
    target = _moto(ask).buckets.get(told["TargetBucket"]) if "TargetBucket" in told else None
    let_in = target is not None and trust.grants(target.policy or "{}", "logging.s3.amazonaws.com")
    if "TargetBucket" in told and not let_in:
        text = "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket"
        raise Refusal("InvalidTargetBucketForLogging", text)
    settings = {key: told.get(key, "") for key in ("TargetBucket", "TargetPrefix")} if target is not None else {}
    _stored(ask).logged = settings
    return Reply(200, {}, b"")


@rules.before("GetBucketLogging")
def where_logs_go_is_told(ask: Ask) -> Reply:
    """No log is ever delivered here, where AWS takes hours for it: moto would write one for every request."""
    settings = getattr(_stored(ask), "logged", {})
    return answer(ask, {"LoggingEnabled": settings} if settings else {})


@rules.before("PutObject")
def a_bucket_needs_its_key(ask: Ask) -> None:
    """KMS.DisabledException and the like; the setting itself takes any key. S3 User Guide, "Troubleshoot AWS KMS"."""
    rule = (getattr(_stored(ask), "encryption", None) or {}).get("Rule", {})
    default = (rule[0] if isinstance(rule, list) else rule).get("ApplyServerSideEncryptionByDefault", {})
    if name := default.get("KMSMasterKeyID"):
        key = kms.find(ask, name)
        code = "KMS.NotFoundException" if key is None else _KEY_STATES.get(key.key_state)
        if code:
            raise Refusal(code, f"{name} cannot be used.")


@rules.after(_NOTIFICATIONS)
def events_are_told(ask: Ask, reply: Reply) -> Reply | None:
    """EventBridgeConfiguration where it is on; moto keeps it to itself. S3 API reference, NotificationConfiguration."""
    told = getattr(_stored(ask), "notification_configuration", None)
    if told is None or told.event_bridge is None:
        return None
    end = b"</NotificationConfiguration>"
    if end in reply.body:
        return Reply(reply.status, reply.headers, reply.body.replace(end, b"<EventBridgeConfiguration/>" + end))
    return answer(ask, {"EventBridgeConfiguration": {}})
