"""The bucket that holds the access logs of the stack's other one; knows nothing of what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steps.bucket import LOGS, Bucket


@dataclass(frozen=True, kw_only=True)
class LogBucket(Bucket):
    """A bucket that S3 itself writes to, and that nothing logs.

    It is encrypted with S3's own key: server access logs are not delivered to a bucket whose default is SSE-KMS (S3
    User Guide, "Enabling Amazon S3 server access logging").
    """

    days: int = 365
    """How long a log is kept."""

    infix = LOGS

    @property
    def lifecycle(self) -> list[dict[str, Any]]:
        """The rules wanted; the expiration in days takes the delete markers along that it leaves (S3 User Guide,
        "Lifecycle configuration elements")."""
        return [{**rule, "Expiration": {"Days": self.days}} for rule in super().lifecycle]

    @property
    def policy(self) -> dict[str, Any]:
        """The policy wanted: nothing without TLS, and the logs of the other bucket from S3 (S3 User Guide, "Enabling
        Amazon S3 server access logging")."""
        source = self.arn.replace(self.label, Bucket(name=self.name, stack=self.stack).label)
        statement = {
            "Sid": "AccessLogs",
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"{self.arn}/*",
            "Condition": {
                "ArnLike": {"aws:SourceArn": source},
                "StringEquals": {"aws:SourceAccount": self.stack.account},
            },
        }
        policy = super().policy
        return {**policy, "Statement": [*policy["Statement"], statement]}

    def outputs(self, live: Any) -> dict[str, Any]:
        return {"log_bucket": live.id}
