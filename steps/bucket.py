"""A bucket: private, encrypted, versioned, reached over TLS only; knows nothing of what it is used for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from provisioner.kit import Call, Denied, Live, Reader, Ref, Stack, Step, Unknown, step_named, tags_of
from provisioner.terms import Burdens, Check, Objection, Quantity
from steps.key import Key
from steps.tags import pairs

CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")
"""How no bucket's name starts (S3 User Guide, "General purpose bucket naming rules")."""
OTHERS = (
    "names of buckets are shared by all of AWS, and this one is another account's: write another project or SUFFIX;"
    " if it is yours, grant this identity s3:ListBucket"
)
PAGES, PAGE, UPLOADS = 4, 1000, 100
"""How much of its contents one look takes in; a page is also the most objects one DeleteObjects takes."""
LONGEST = 63
"""Characters in the name of a bucket (S3 User Guide, "General purpose bucket naming rules")."""
LOGS = "logs"
"""What stands in the name of the bucket that holds the access logs of the other one."""
KEY, EVENTS = "provisioner:key", "provisioner:events"
"""The tag of a bucket that we made tell EventBridge: it shows, at no further question, what is to be taken back."""


@dataclass(frozen=True, kw_only=True)
class Bucket(Step):
    """A bucket of a stack: its name is made of stack, account and region, so nobody else has it by chance."""

    noncurrent_days: int = 30
    """How long overwritten and deleted objects can be had back."""
    abort_uploads_days: int = 7
    versioning: bool = True
    encryption: str = "AES256"
    ownership: str = "BucketOwnerEnforced"
    public_access_block: bool = True
    key: Ref[Key] | None = None
    """Encrypts new objects where ``encryption`` is ``aws:kms``; ``None`` is AWS's own."""
    logs: Ref[Bucket] | None = None
    """Gets a log of who asked this one for what."""
    events: bool = False
    """Whether EventBridge is told what happens to objects."""
    keep_data: bool = True
    delete_data: bool = False
    """Set for a teardown by the flag of this name."""

    holds_data = True
    infix: ClassVar[str] = ""
    """What tells its name from that of the stack's other bucket."""

    derived = ("lifecycle", "policy")

    @property
    def label(self) -> str:
        return self._here["Bucket"]

    @cached_property
    def labels(self) -> dict[str, str]:
        return super().labels | self._marks

    @property
    def _marks(self) -> dict[str, Any]:
        """What its tags tell of it beside whose it is. That of the key stays when the key leaves the file: whatever was
        encrypted with it before is lost without it, and by its tag the bucket keeps it."""
        events = {EVENTS: "eventbridge"} if self.events else {}
        key = Unknown(self.key.name) if isinstance(self.key, Step) else self.key
        return {**events, **({} if key is None else {KEY: key})}

    @property
    def arn(self) -> str:
        """What policies call it."""
        return f"arn:{self.stack.partition}:s3:::{self.label}"

    @property
    def _here(self) -> dict[str, str]:
        return _here(self.stack, self.infix)

    @property
    def lifecycle(self) -> list[dict[str, Any]]:
        """The rules wanted."""
        rule = {
            "ID": "expire",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": self.noncurrent_days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": self.abort_uploads_days},
        }
        return [rule]

    @property
    def policy(self) -> dict[str, Any]:
        """The policy wanted: nothing without TLS."""
        statement = {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [self.arn, f"{self.arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def observe(self, aws: Reader) -> Live | None:
        here = self._here
        # In this order: tags that were asked for before it showed would make a newborn of ours a stranger's.
        try:
            if aws.ask("s3.head_bucket", **here) is None:
                return None
        except Denied:
            return Live(self.label, foreign=self._adoption({}), cure=OTHERS)
        tagging = aws.ask("s3.get_bucket_tagging", **here)
        # What was deleted between the two has no tags either, and no versioning, which every bucket has.
        if tagging is None and aws.ask("s3.get_bucket_versioning", **here) is None:
            return None
        tags = tags_of(tagging or {})
        if not self.claims(tags):
            return Live(self.label, foreign=self._adoption(tags))

        def read(setting: str) -> Mapping[str, Any]:
            return aws.ask(f"s3.get_{setting}", **here) or {}

        ownership = read("bucket_ownership_controls").get("OwnershipControls", {}).get("Rules", [{}])
        encryption = read("bucket_encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
        closed = read("public_access_block").get("PublicAccessBlockConfiguration", {})
        facts = {
            "tags": {key: value for key, value in tags.items() if key in self.labels or key == EVENTS},
            "all_tags": tags,
            "public_access_block": all(closed.get(each) for each in CLOSED),
            "ownership": ownership[0].get("ObjectOwnership"),
            **self._encrypted(encryption[0]),
            "versioning": read("bucket_versioning").get("Status") == "Enabled",
            "lifecycle": read("bucket_lifecycle_configuration").get("Rules", []),
            "policy": json.loads(read("bucket_policy").get("Policy", "{}")),
        }
        if self.logs is not None or _has_logs(aws, self.stack):
            target = read("bucket_logging").get("LoggingEnabled", {}).get("TargetBucket")
            ours = self.logs is not None or target == _here(self.stack, LOGS)["Bucket"]
            facts["logs"] = target if ours else None
        if self.events or EVENTS in tags:
            told = read("bucket_notification_configuration")
            facts |= {"events": "EventBridgeConfiguration" in told, "notified": _notified(told)}
        return Live(self.label, facts)

    def _encrypted(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Tell how new objects are encrypted; only where a key of ours is wanted, whether it is that one."""
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        told, key = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
        if self.key is not None and told == self.encryption:
            if key != self.key:
                told = f"{told} with {key or 'the key of AWS'}"
            elif not rule.get("BucketKeyEnabled"):
                told = f"{told} without a bucket key"
        return {"encryption": told, "encrypted_by": key}

    def _adoption(self, tags: Mapping[str, str]) -> str:
        adopted = shlex.quote(json.dumps(_tag_set({**tags, **self.labels})))
        return f"aws s3api put-bucket-tagging --bucket {shlex.quote(self.label)} --tagging {adopted}"

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            elsewhere = {"LocationConstraint": self.stack.region} if self.stack.region != "us-east-1" else {}
            born = {**elsewhere, "Tags": pairs(self)}
            own = {"ObjectOwnership": self.ownership}
            yield Call("s3.create_bucket", Bucket=self.label, CreateBucketConfiguration=born, **own)
            given = {"public_access_block": True, "encryption": "AES256"}  # by S3, to every bucket since April 2023
            bare = {"versioning": False, "lifecycle": [], "policy": {}, "logs": None, "events": False}
            live = Live(self.label, {**given, **bare})
        # One call after another: S3 refuses settings written side by side (OperationAborted).
        different = self.differences(live)
        for fact, (setting, parameter, wanted) in self._settings(live).items():
            if fact in different:
                more = {"SkipDestinationValidation": True} if fact == "events" else {}
                yield Call(f"s3.put_{setting}", **self._here, **{parameter: wanted}, **more)

    def _settings(self, live: Live) -> dict[str, tuple[str, str, Any]]:
        """Say how each fact is put right: with which operation, in which parameter, with which value."""
        # PutBucketTagging and PutBucketNotificationConfiguration replace all: what others added goes out again.
        others = {key: value for key, value in live.facts.get("all_tags", {}).items() if key != EVENTS}
        tags = _tag_set({**others, **self.labels})
        notified = {**live.facts.get("notified", {}), **({"EventBridgeConfiguration": {}} if self.events else {})}
        owned = {"ObjectOwnership": self.ownership}
        closed = dict.fromkeys(CLOSED, self.public_access_block)
        key = {} if self.key is None else {"KMSMasterKeyID": self.key}
        encrypted: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": self.encryption, **key}}
        encrypted |= {"BucketKeyEnabled": True} if key else {}
        logged = {"LoggingEnabled": {"TargetBucket": self.logs, "TargetPrefix": f"{self.name}/"}} if self.logs else {}
        status = "Enabled" if self.versioning else "Suspended"
        return {
            "public_access_block": ("public_access_block", "PublicAccessBlockConfiguration", closed),
            "ownership": ("bucket_ownership_controls", "OwnershipControls", _rules(owned)),
            "encryption": ("bucket_encryption", "ServerSideEncryptionConfiguration", _rules(encrypted)),
            "versioning": ("bucket_versioning", "VersioningConfiguration", {"Status": status}),
            "lifecycle": ("bucket_lifecycle_configuration", "LifecycleConfiguration", _rules(*self.lifecycle)),
            "policy": ("bucket_policy", "Policy", json.dumps(self.policy)),
            "logs": ("bucket_logging", "BucketLoggingStatus", logged),
            "events": ("bucket_notification_configuration", "NotificationConfiguration", notified),
            # Last: what a tag says is done has been done, or undone.
            "tags": ("bucket_tagging", "Tagging", tags),
        }

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._name_is_lawful()

    def _name_is_lawful(self) -> Check:
        """That it is nobody else's is seen by the look itself, which S3 refuses."""
        if start := next((each for each in RESERVED if self.label.startswith(each)), ""):
            what = f"S3 takes no bucket's name that starts with {start}, as {self.label} does"
            yield Objection("project", what, "write another name for the project")

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        objects = list(_objects(aws, self._here))
        if objects and self.keep_data and not self.delete_data:
            # What is to be kept is not handed over either: even an unheeded objection deletes nothing.
            what = f"{live.id} holds objects and keep_data is true"
            return Burdens(protections=[Objection(self.name, what, "--delete-data")])
        uploads = aws.ask("s3.list_multipart_uploads", **self._here, MaxUploads=UPLOADS) or {}
        unfinished = [{key: each[key] for key in ("Key", "UploadId")} for each in uploads.get("Uploads", ())]
        return Burdens(contents=[*objects, *unfinished])

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        here = self._here
        if not live.contents:
            yield Call("s3.delete_bucket", **here)
            return
        objects = [each for each in live.contents if "VersionId" in each]
        batches = [objects[start : start + PAGE] for start in range(0, len(objects), PAGE)]
        yield (
            *(Call("s3.delete_objects", **here, Delete={"Objects": each, "Quiet": True}) for each in batches),
            *(Call("s3.abort_multipart_upload", **here, **each) for each in live.contents if "UploadId" in each),
        )

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("s3-gb")

    def outputs(self, live: Live) -> Mapping[str, Any]:
        return {"bucket": live.id}

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        here = _here(stack, cls.infix)
        if len(here["Bucket"]) > LONGEST:
            return
        try:
            tags = tags_of(aws.ask("s3.get_bucket_tagging", **here) or {})
        except Denied:
            if _is_seen(aws, here):
                raise
            return
        yield from step_named(tags, stack, cls.__name__)


def _is_seen(aws: Reader, here: Mapping[str, str]) -> bool:
    try:
        return aws.ask("s3.head_bucket", **here) is not None
    except Denied:
        return False


def _has_logs(aws: Reader, stack: Stack) -> bool:
    """Tell whether the stack has a bucket for logs, which every look asks for all the same."""
    here = _here(stack, LOGS)
    try:
        return len(here["Bucket"]) <= LONGEST and aws.ask("s3.get_bucket_tagging", **here) is not None
    except Denied:
        return False


def _here(stack: Stack, infix: str = "") -> dict[str, str]:
    """Name a bucket to S3, which refuses if it is another account's."""
    name = "-".join(filter(None, (stack.name, infix, stack.account, stack.region)))
    return {"Bucket": name, "ExpectedBucketOwner": stack.account}


def _notified(told: Mapping[str, Any]) -> dict[str, Any]:
    """Read who else is told what happens to objects."""
    kinds = (f"{kind}Configurations" for kind in ("Topic", "Queue", "LambdaFunction"))
    return {kind: told[kind] for kind in kinds if told.get(kind)}


def _tag_set(tags: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


def _rules(*rules: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"Rules": [*rules]}


def _objects(aws: Reader, here: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """List the first versions and delete markers of the bucket."""
    after: dict[str, str] = {}
    for _ in range(PAGES):
        page = aws.ask("s3.list_object_versions", **here, **after) or {}
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}
        if not page.get("IsTruncated"):
            return
        after = {key: page[f"Next{key}"] for key in ("KeyMarker", "VersionIdMarker") if f"Next{key}" in page}
