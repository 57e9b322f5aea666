"""The one table of AWS error codes: what each means for a run and what to tell the user; knows no step.

Codes not listed are fatal. Sources: botocore/retries/standard.py (throttling), the EC2 API reference "Error codes",
the RDS and S3 API models, and for RDS the irregular names on the wire (``DBClusterNotFoundFault`` but
``DBInstanceNotFound``).
"""

from __future__ import annotations

import re
from enum import Enum

from provisioner.redaction import brief

CODE = 100
"""Characters of an error code."""


class Verdict(Enum):
    """What an error says about the call that got it."""

    THROTTLED = "refused unexecuted: the same request may go out again"
    UNKNOWN = "done or not: only a look tells"
    GONE = "there is no such thing"
    EXISTS = "there is one already: only a look tells whose"
    LATER = "not in this state: look again after a while"
    SPREADING = "not known there yet, or not at all: look again for some minutes"
    FATAL = "will be refused again"


class AwsError(Exception):
    """AWS refused a call, or its answer never came; what a service says is kept in one line without secrets."""

    def __init__(self, operation: str, code: str, message: str, verdict: Verdict) -> None:
        code, message = brief(code, CODE), brief(message)
        super().__init__(f"{operation}: {code}: {message}")
        self.operation, self.code, self.message, self.verdict = operation, code, message, verdict

    @property
    def remedy(self) -> str:
        """What the user can do about it."""
        return remedy(self.code)


_TABLE = {
    Verdict.THROTTLED: """
        RequestLimitExceeded Throttling ThrottlingException ThrottledException RequestThrottled
        RequestThrottledException TooManyRequestsException SlowDown EC2ThrottledException PriorRequestNotComplete
        BandwidthLimitExceeded OperationAborted""",
    Verdict.UNKNOWN: """
        RequestTimeout RequestTimeoutException InternalError InternalFailure InternalServerError ServiceUnavailable
        Unavailable 500 502 503 504 Unreachable UnreadableAnswer Defect""",
    Verdict.GONE: """
        404 NotFound NotFoundException ResourceNotFound ResourceNotFoundException
        NoSuchBucket NoSuchKey NoSuchUpload NoSuchTagSet NoSuchBucketPolicy
        NoSuchLifecycleConfiguration
        ServerSideEncryptionConfigurationNotFoundError NoSuchPublicAccessBlockConfiguration
        OwnershipControlsNotFoundError NatGatewayNotFound DBClusterNotFoundFault DBInstanceNotFound
        DBInstanceNotFoundFault DBSubnetGroupNotFoundFault DBParameterGroupNotFound DBParameterGroupNotFoundFault
        DBClusterParameterGroupNotFound DBClusterParameterGroupNotFoundFault Gateway.NotAttached
        SubscriptionNotFound SourceNotFound SNSTopicArnNotFound NoSuchEntity""",
    Verdict.EXISTS: """
        DBClusterAlreadyExistsFault DBInstanceAlreadyExists DBInstanceAlreadyExistsFault DBSubnetGroupAlreadyExists
        DBSubnetGroupAlreadyExistsFault DBParameterGroupAlreadyExists DBParameterGroupAlreadyExistsFault
        InvalidGroup.Duplicate InvalidPermission.Duplicate InvalidSubnet.Conflict RouteAlreadyExists
        Resource.AlreadyAssociated BucketAlreadyOwnedByYou EntityAlreadyExists FlowLogAlreadyExists
        NetworkAclEntryAlreadyExists ResourceAlreadyExistsException AlreadyExistsException SubscriptionAlreadyExist""",
    Verdict.LATER: """
        DependencyViolation InvalidDBClusterStateFault InvalidDBInstanceState InvalidDBInstanceStateFault
        InvalidGroup.InUse InvalidDBSubnetGroupStateFault InvalidDBParameterGroupState
        InvalidDBParameterGroupStateFault BucketNotEmpty
        IncorrectState InvalidIPAddress.InUse ConcurrentModification DeleteConflict OperationAbortedException
        EntityTemporarilyUnmodifiable InvalidEventSubscriptionState InvalidResourceStateException ConcurrentAccess""",
    Verdict.SPREADING: """
        SNSNoAuthorization KMSInvalidStateException DisabledException KMSKeyNotAccessibleFault
        InvalidTargetBucketForLogging""",
}
_VERDICTS = {code: verdict for verdict, codes in _TABLE.items() for code in codes.split()}

_KEYS = (
    "The specified KMS key does not exist or is not allowed to be used",
    "The specified KMS Key Id could not be found",
)
_WORDS = {
    "InvalidParameter": (Verdict.SPREADING, ("Unable to assume given IAM role",)),
    "InvalidParameterValue": (
        Verdict.SPREADING,
        (
            "IAM role ARN value is invalid or does not include the required permissions",
            "service linked role",
            "Missing necessary credentials",
            "Some input subnets in",
        ),
    ),
    "InvalidParameterCombination": (Verdict.LATER, ("disable deletion protection",)),
    "AuthFailure": (Verdict.LATER, ("You do not have permission to access the specified resource",)),
    "InvalidParameterValueException": (
        Verdict.SPREADING,
        ("cannot be assumed by AWS Backup", "is not authorized to call"),
    ),
    "AccessDeniedException": (Verdict.SPREADING, _KEYS),
    "InvalidParameterException": (Verdict.SPREADING, _KEYS),
    "InvalidRequestException": (
        Verdict.LATER,
        ("contains recovery points", "has backup selections", "Related backup plan selections must be deleted"),
    ),
}
"""What a code means where its message has one of these words, since it says other things too.

How a service refuses a role or a key that has not reached it yet: IAM takes seconds or minutes for that, like KMS (IAM
User Guide, "Changes that I make are not always immediately visible"). CreateFlowLogs, CreateDBInstance and
ModifyDBInstance, CreateBackupSelection, CreateLogGroup; as Terraform's provider knows them. RDS makes its role at the
first call of an account (cds-snc/terraform-modules/issues/88), and hears of a subnet later than EC2 tells it
(terraform-provider-aws/pull/49846). An address is its gateway's for a while after that is gone
(terraform-provider-aws/issues/11385). The last is how AWS Backup refuses to delete what is not empty."""
_EC2_NOT_FOUND = re.compile(r"Invalid\w+\.NotFound")
"""EC2's family: ``InvalidVpcID.NotFound``, ``InvalidGroup.NotFound``, ``InvalidPermission.NotFound`` and so on."""


def classify(code: str, status: int = 400, message: str = "") -> Verdict:
    """Tell what an error code means; an unlisted code with an HTTP status of 5xx leaves the outcome unknown.

    ``message`` counts where AWS has no code of its own for what passes by itself.
    """
    verdict, words = _WORDS.get(code, (Verdict.FATAL, ()))
    if any(each in message for each in words):
        return verdict
    if code in _VERDICTS:
        return _VERDICTS[code]
    if _EC2_NOT_FOUND.fullmatch(code):
        return Verdict.GONE
    return Verdict.UNKNOWN if status >= 500 else Verdict.FATAL


LOCKED_OUT = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "NoCredentials", "RequestExpired"}
    | {"UnrecognizedClientException"}
)
"""What the next request will be told as well: these credentials are none."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403"})
"""What these credentials may not do, though they are good for other things."""

_AGAIN = "then run the same command again: it goes on where it stopped"
_REMEDIES = {
    "ExpiredToken ExpiredTokenException RequestExpired": f"renew the AWS credentials, {_AGAIN}",
    # S3 answers HEAD without a body, so that expired credentials are a bare 400.
    "AuthFailure InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch NoCredentials 400": (
        f"check the AWS credentials (`aws sts get-caller-identity`), {_AGAIN}"
    ),
    "AccessDenied AccessDeniedException UnauthorizedOperation 403": (
        f"grant this identity the action named above, {_AGAIN}"
    ),
    "VpcLimitExceeded AddressLimitExceeded NatGatewayLimitExceeded InternetGatewayLimitExceeded"
    " DBClusterQuotaExceededFault InstanceQuotaExceeded RulesPerSecurityGroupLimitExceeded NetworkAclLimitExceeded"
    " NetworkAclEntryLimitExceeded FlowLogsLimitExceeded LimitExceeded LimitExceededException"
    " EventSubscriptionQuotaExceeded TopicLimitExceeded": (
        f"remove what is no longer needed or have the quota raised (Service Quotas in the console), {_AGAIN}"
    ),
    "DependencyViolation InvalidDBSubnetGroupStateFault InvalidDBParameterGroupState DeleteConflict": (
        f"find what still uses it and remove that, {_AGAIN}"
    ),
    "BucketAlreadyExists": "the name belongs to another account: choose another project name or SUFFIX",
    "KMSInvalidStateException DisabledException KMSKeyNotAccessibleFault KMSDisabled KMSInvalidState KMSNotFound": (
        f"see that the key is there, enabled and not about to be deleted, and that its policy lets this be, {_AGAIN}"
    ),
    "InsufficientDBInstanceCapacity": f"wait for AWS to have capacity in that zone, {_AGAIN}",
    "UnknownRegion": "correct the key region in the environment file; if AWS has just opened it, upgrade boto3",
    "Unreachable": f"check the network and the endpoint, {_AGAIN}",
    "Misconfigured": f"correct the AWS settings in the environment or in ~/.aws/config, {_AGAIN}",
}
_REMEDY = {code: told for codes, told in _REMEDIES.items() for code in codes.split()}


def remedy(code: str) -> str:
    """Say what to do about an error code."""
    return _REMEDY.get(code, f"correct what AWS objects to, {_AGAIN}")
