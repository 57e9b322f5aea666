"""The stack's bucket: private, encrypted, versioned, reached over TLS only; knows nothing of what it is used for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Denied, Live, Reader, Stack, Step, tags_of
from provisioner.terms import Burdens, Check, Objection, Quantity
from steps.tags import found_tags, pairs

CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")
"""How no bucket's name starts (S3 User Guide, "General purpose bucket naming rules")."""
OTHERS = (
    "names of buckets are shared by all of AWS, and this one is another account's: write another project or SUFFIX;"
    " if it is yours, grant this identity s3:ListBucket"
)
PAGES, PAGE, UPLOADS = 4, 1000, 100
"""How much of its contents one look takes in; a page is also the most objects one DeleteObjects takes."""


@dataclass(frozen=True, kw_only=True)
class Bucket(Step):
    """The one bucket of a stack: its name is made of stack, account and region, so nobody else has it by chance."""

    noncurrent_days: int = 30
    """How long overwritten and deleted objects can be had back."""
    abort_uploads_days: int = 7
    versioning: bool = True
    encryption: str = "AES256"
    ownership: str = "BucketOwnerEnforced"
    public_access_block: bool = True
    keep_data: bool = True
    delete_data: bool = False
    """Set for a teardown by the flag of this name."""

    holds_data = True

    @property
    def label(self) -> str:
        return _name(self.stack)

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
        arn = f"arn:{self.stack.partition}:s3:::{self.label}"
        statement = {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def differences(self, live: Live) -> frozenset[str]:
        derived = {"lifecycle": self.lifecycle, "policy": self.policy}
        return super().differences(live) | {key for key in derived if live.facts.get(key, derived[key]) != derived[key]}

    def observe(self, aws: Reader) -> Live | None:
        here = _here(self.stack)
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
            "tags": found_tags(self, tagging or {}),
            "all_tags": tags,
            "public_access_block": all(closed.get(each) for each in CLOSED),
            "ownership": ownership[0].get("ObjectOwnership"),
            "encryption": encryption[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm"),
            "versioning": read("bucket_versioning").get("Status") == "Enabled",
            "lifecycle": read("bucket_lifecycle_configuration").get("Rules", []),
            "policy": json.loads(read("bucket_policy").get("Policy", "{}")),
        }
        return Live(self.label, facts)

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
            live = Live(self.label, {**given, "versioning": False, "lifecycle": [], "policy": {}})
        # One call after another: S3 refuses settings written side by side (OperationAborted).
        different = self.differences(live)
        for fact, (setting, parameter, wanted) in self._settings(live).items():
            if fact in different:
                yield Call(f"s3.put_{setting}", **_here(self.stack), **{parameter: wanted})

    def _settings(self, live: Live) -> dict[str, tuple[str, str, Any]]:
        """Say how each fact is put right: with which operation, in which parameter, with which value."""
        # PutBucketTagging replaces all tags: those others added go out again beside ours.
        tags = _tag_set({**live.facts.get("all_tags", {}), **self.labels})
        owned = {"ObjectOwnership": self.ownership}
        closed = dict.fromkeys(CLOSED, self.public_access_block)
        encrypted = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": self.encryption}}
        status = "Enabled" if self.versioning else "Suspended"
        return {
            "tags": ("bucket_tagging", "Tagging", tags),
            "public_access_block": ("public_access_block", "PublicAccessBlockConfiguration", closed),
            "ownership": ("bucket_ownership_controls", "OwnershipControls", _rules(owned)),
            "encryption": ("bucket_encryption", "ServerSideEncryptionConfiguration", _rules(encrypted)),
            "versioning": ("bucket_versioning", "VersioningConfiguration", {"Status": status}),
            "lifecycle": ("bucket_lifecycle_configuration", "LifecycleConfiguration", _rules(*self.lifecycle)),
            "policy": ("bucket_policy", "Policy", json.dumps(self.policy)),
        }

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._name_is_lawful()

    def _name_is_lawful(self) -> Check:
        """That it is nobody else's is seen by the look itself, which S3 refuses."""
        if start := next((each for each in RESERVED if self.label.startswith(each)), ""):
            what = f"S3 takes no bucket's name that starts with {start}, as {self.label} does"
            yield Objection("project", what, "write another name for the project")

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        objects = list(_objects(aws, self.stack))
        if objects and self.keep_data and not self.delete_data:
            # What is to be kept is not handed over either: even an unheeded objection deletes nothing.
            what = f"{live.id} holds objects and keep_data is true"
            return Burdens(protections=[Objection(self.name, what, "--delete-data")])
        uploads = aws.ask("s3.list_multipart_uploads", **_here(self.stack), MaxUploads=UPLOADS) or {}
        unfinished = [{key: each[key] for key in ("Key", "UploadId")} for each in uploads.get("Uploads", ())]
        return Burdens(contents=[*objects, *unfinished])

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        here = _here(self.stack)
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
        try:
            tags = tags_of(aws.ask("s3.get_bucket_tagging", **_here(stack)) or {})
        except Denied:
            if _is_seen(aws, stack):
                raise
            return
        if stack.owns(tags) and tags.get("provisioner:kind") == cls.__name__:
            yield tags.get("provisioner:step", "")


def _is_seen(aws: Reader, stack: Stack) -> bool:
    try:
        return aws.ask("s3.head_bucket", **_here(stack)) is not None
    except Denied:
        return False


def _name(stack: Stack) -> str:
    return f"{stack.name}-{stack.account}-{stack.region}"


def _here(stack: Stack) -> dict[str, str]:
    """Name the bucket to S3, which refuses if it is another account's."""
    return {"Bucket": _name(stack), "ExpectedBucketOwner": stack.account}


def _tag_set(tags: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


def _rules(*rules: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"Rules": [*rules]}


def _objects(aws: Reader, stack: Stack) -> Iterator[dict[str, str]]:
    """List the first versions and delete markers of the bucket."""
    after: dict[str, str] = {}
    for _ in range(PAGES):
        page = aws.ask("s3.list_object_versions", **_here(stack), **after) or {}
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}
        if not page.get("IsTruncated"):
            return
        after = {key: page[f"Next{key}"] for key in ("KeyMarker", "VersionIdMarker") if f"Next{key}" in page}
