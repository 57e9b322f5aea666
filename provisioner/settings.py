"""What an environment may be: the tables of its file, each value with its rule, validated and frozen.

Reads no file and knows no AWS: whether AWS has such a region, version or key is asked from it, later and elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from provisioner.kit import Stack
from provisioner.redaction import is_credential
from provisioner.words import either, shown

ENVIRONMENT = "[a-z][a-z0-9]{0,11}"
STACK_LENGTH = 35
"""What a stack's name may have, so that every name made of it fits; a bucket's has an account and a region besides."""
HARDENED: Mapping[str, Any] = MappingProxyType({"instances": 2, "backup_days": 14, "deletion_protection": True})
"""What a hardened database has where the file does not say; less is refused."""
HARDENED_PORT = 5433
"""Where a hardened database listens where the file does not say: not where everybody looks first."""
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
RESERVED = frozenset({"admin", "postgres", "rdsadmin", "template0", "template1"}).union(
    re.findall(
        r"\w+",
        """all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
        collation column concurrently constraint create cross current_catalog current_date current_role
        current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
        except false fetch for foreign freeze from full grant group having ilike in initially inner intersect
        into is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null
        offset on only or order outer overlaps placing primary references returning right select session_user
        similar some symmetric system_user table tablesample then to trailing true union unique user using
        variadic verbose when where window with""",
    )
)
"""What RDS or every PostgreSQL server has already, and what PostgreSQL reserves (its documentation, appendix C)."""


def _fault(what: str, remedy: str, where: str = "") -> PydanticCustomError:
    return PydanticCustomError("fault", "{what}; {remedy}", {"what": what, "remedy": remedy, "where": where})


def _text(pattern: str, rule: str) -> Any:
    """Bind a text to a pattern, with the pattern in words, which are what people see."""
    return Field(pattern=f"^(?:{pattern})$", json_schema_extra={"rule": rule})


def _lawful_cidr(text: str) -> str:
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        raise _fault(f"{text} is not an IPv4 network", "write one like 10.0.0.0/16") from None
    if not 16 <= network.prefixlen <= 22:
        size = "large" if network.prefixlen < 16 else "small"
        remedy = "write a network from /16 to /22, of which a subnet takes an eighth"
        raise _fault(f"a /{network.prefixlen} is too {size}", remedy)
    if str(network) != text:
        raise _fault(f"{text} does not start where the network starts", f"write {network}")
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise _fault(f"{text} is not a private network", f"write one inside {either(map(str, PRIVATE))}")
    return text


def _lawful_tag(limit: int, *reserved: str) -> AfterValidator:
    """Check what both EC2 and RDS, the stricter, take (API Reference of RDS, data type Tag)."""

    def check(text: str) -> str:
        if len(text) > limit:
            raise _fault(f"{shown(text)} has {len(text)} characters", f"write at most {limit}")
        if found := next((each for each in reserved if text.lower().startswith(each)), None):
            raise _fault(f"{shown(text)} starts with {found}, which is reserved", "write another")
        if is_credential(text):
            raise _fault("it looks like a key or a token of AWS", "leave it out: many may read tags")
        if not re.fullmatch(r"[\w .:/=+@-]*", text):
            remedy = "write letters, digits, spaces and _ . : / = + - @ only"
            raise _fault(f"{shown(text)} has a character that AWS does not take", remedy)
        return text

    return AfterValidator(check)


def _unreserved(text: str) -> str:
    if text.lower() in RESERVED or text.lower().startswith("pg_"):
        raise _fault(f'"{text}" is reserved by PostgreSQL or RDS', "write another name")
    return text


def _lawful_peer(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError:
        raise _fault(f"{text} is not an IPv4 network", "write one like 10.0.0.0/16, without host bits") from None


TagKey = Annotated[str, Field(min_length=1), _lawful_tag(128, "aws:", "rds:", "provisioner:")]
TagValue = Annotated[str, _lawful_tag(256, "aws:", "rds:")]
Identifier = Annotated[
    str,
    _text("[A-Za-z][A-Za-z0-9_]{0,62}", "1 to 63 letters, digits and underscores, a letter first"),
    AfterValidator(_unreserved),
]
Acu = Annotated[float, Field(ge=0, le=256, multiple_of=0.5, allow_inf_nan=False)]


Account = Annotated[str, _text("[0-9]{12}", "the 12 digits of an account, in quotes")]


class Table(BaseModel):
    """One table of the file: nothing is converted, nothing unknown is passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Network(Table):
    """The VPC and what connects it."""

    cidr: Annotated[
        str,
        _text("[0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}", "a private IPv4 network such as 10.0.0.0/16"),
        AfterValidator(_lawful_cidr),
    ] = "10.0.0.0/16"
    """Split in eight equal parts, of which each zone takes a private and a public one."""
    zones: Literal[2, 3] = 2
    """Availability zones; which ones is asked from the region."""
    nat: Literal["none", "single", "per-zone"] = "none"
    """How private subnets reach the internet."""
    peers: tuple[Annotated[str, AfterValidator(_lawful_peer)], ...] = Field(
        default=(), strict=False, json_schema_extra={"rule": 'a list of networks, such as ["10.1.0.0/16"]'}
    )
    """Networks this one is joined with, or will be: it overlaps none of them."""


class Bucket(Table):
    """The stack's S3 bucket."""

    keep_data: bool = True
    """Whether teardown refuses while there are objects in it."""
    noncurrent_days: int = Field(default=30, ge=1, le=3650)
    """Days until an overwritten or deleted version goes for good."""
    abort_uploads_days: int = Field(default=7, ge=1, le=3650)
    """Days until an unfinished upload is thrown away."""


class Database(Table):
    """The Aurora PostgreSQL cluster."""

    min_acu: Acu
    """The least capacity of an instance; 0 lets it pause."""
    max_acu: Annotated[Acu, Field(ge=1)]
    """The most, not less than min_acu."""
    auto_pause_seconds: int = Field(default=300, ge=300, le=86400)
    """How long nobody has to be connected before it pauses."""
    instances: int = Field(default=1, ge=1, le=15)
    """The writer, and readers of which one takes over when it fails."""
    engine_version: Annotated[
        str | None, _text(r"[1-9][0-9]{0,2}(\.[0-9]{1,3})?", 'a major version ("16") or a minimum ("16.6"), in quotes')
    ] = None
    """Absent: AWS's default of the region for a newborn, whatever it runs for one that stands."""
    name: Identifier = "app"
    """The database created in the cluster."""
    port: int = Field(default=5432, ge=1150, le=65535)
    """Where it listens, which the security groups open."""
    # The reference of RDS speaks of 16 letters or numbers; its PostgreSQL engines are seen to take PostgreSQL's own 63.
    master_user: Identifier = "provisioner"
    """The first user, whose password RDS keeps in Secrets Manager."""
    kms_key: Annotated[
        str | None,
        _text(
            "arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+|alias/[A-Za-z0-9/_-]+"
            "|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}",
            "the ARN of a key, its id or its alias (alias/...)",
        ),
    ] = None
    """Absent: AWS's own key."""
    backup_days: int = Field(default=1, ge=1, le=35)
    """Days back to which any second can be restored."""
    deletion_protection: bool = False
    """Whether teardown refuses, unless told --disable-protection."""
    final_snapshot: bool = True
    """Whether teardown takes a last snapshot."""

    @field_validator("min_acu", "max_acu")
    @classmethod
    def _exact(cls, value: float) -> float:
        """Put right what passes for a multiple of 0.5 and is none, 1e-320, and -0.0."""
        return round(value * 2) / 2

    @field_validator("max_acu")
    @classmethod
    def _at_least_min_acu(cls, value: float, info: ValidationInfo) -> float:
        low = info.data.get("min_acu", 0.0)
        if value < low:
            raise _fault(f"{value:g} is less than min_acu", f"write {low:g} or more")
        return value

    @field_validator("auto_pause_seconds")
    @classmethod
    def _only_where_it_pauses(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("min_acu", 0.0) > 0:
            raise _fault("without effect while min_acu is above 0", "leave it out, or write min_acu = 0")
        return value


Switch: TypeAlias = bool | None
"""On, off, or as ``hardened`` says."""
Retention: TypeAlias = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2557, 3653]
"""Days for which CloudWatch can be told to keep logs. CloudWatch Logs API, PutRetentionPolicy."""


def _on(switch: Switch, hardened: bool) -> bool:
    return hardened if switch is None else switch


class Security(Table):
    """What a hardened environment has beyond the rest, each by a switch of its own; absent: as ``hardened`` says."""

    own_key: Switch = None
    """A KMS key of the stack's own, with rotation, for bucket, database, logs and the master password."""
    network_acls: Switch = None
    """Network ACLs of the subnets' own; the one that AWS gives every network then lets nothing through."""
    flow_logs: Switch = None
    """A log of who talked to whom in the network."""
    access_logs: Switch = None
    """A second bucket, with a log of who asked the first one for what."""
    bucket_events: Switch = None
    """Whether the bucket tells EventBridge what happens to its objects."""
    backup_plan: Switch = None
    """Daily copies of the database in a vault of its own, which outlive it."""
    enhanced_monitoring: Switch = None
    """Metrics of the database's operating system, every minute."""
    performance_insights: Switch = None
    """What the database waits for, kept for seven days."""
    alerts: Switch = None
    """A topic that is told when the database fails, is changed or maintained; encrypted, so it takes own_key."""
    role_boundary: Annotated[
        str | None, _text("arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+", "the ARN of a policy")
    ] = None
    """A policy that bounds every role made here; absent: none."""
    log_days: Retention | None = None
    """Days the logs are kept; absent: 365 of a hardened environment, else 30."""


class Settings(Table):
    """What one environment is to be."""

    project: Annotated[
        str, _text("[a-z][a-z0-9]*(-[a-z0-9]+)*", "small letters, digits and single hyphens, a letter first")
    ]
    """The first part of every name."""
    region: Annotated[str, _text("[a-z]+(-[a-z]+)+-[0-9]+", "the code of an AWS region, such as us-east-1")]
    """Where everything is built."""
    environment: Annotated[str, _text(ENVIRONMENT, "1 to 12 small letters and digits, a letter first")]
    suffix: Annotated[
        str, _text("([a-z0-9]+(-[a-z0-9]+)*)?", "small letters, digits and single hyphens, such as pr-42")
    ] = ""
    budget: Annotated[float | None, Field(ge=0, le=100_000, allow_inf_nan=False)] = None
    """US dollars a month; a plan that costs more, even idle, is refused."""
    accounts: Annotated[
        tuple[Account, ...] | None,
        Field(strict=False, json_schema_extra={"rule": 'a list of accounts, such as ["123456789012"]'}),
    ] = None
    """The accounts it may be built in; absent: any."""
    production: bool = False
    """Whether what would endanger its data is refused."""
    hardened: bool = False
    """Whether it passes the public security benchmarks; what that takes is in the table security, by switch."""
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=40)] = Field(default_factory=dict)
    """Tags of every resource, beside those that mark it as this stack's."""
    network: Network = Field(default_factory=Network)
    security: Security = Field(default_factory=Security)
    bucket: Bucket | None = None
    database: Database | None = None

    @field_validator("suffix")
    @classmethod
    def _name_fits(cls, suffix: str, info: ValidationInfo) -> str:
        if {"project", "environment"} <= info.data.keys():
            name = Stack(project=info.data["project"], environment=info.data["environment"], suffix=suffix).name
            limit = min(STACK_LENGTH, 63 - len("-123456789012-") - len(info.data.get("region", "")))
            if len(name) > limit:
                what = f"the stack's name {name} has {len(name)} characters and every resource's name begins with it"
                raise _fault(what, f"make it at most {limit}", where="suffix" if suffix else "project")
        return suffix

    @model_validator(mode="before")
    @classmethod
    def _hardened_database(cls, document: Any) -> Any:
        """Let a hardened database be one where the file does not say."""
        database = document.get("database") if isinstance(document, dict) else None
        if isinstance(database, dict) and document.get("hardened") is True:
            return {**document, "database": {**HARDENED, **database}}
        return document

    @field_validator("bucket")
    @classmethod
    def _log_bucket_has_a_name(cls, bucket: Bucket | None, info: ValidationInfo) -> Bucket | None:
        given = info.data
        security, hardened = given.get("security", Security()), given.get("hardened", False)
        if (
            bucket
            and _on(security.access_logs, hardened)
            and {"project", "environment", "suffix", "region"} <= given.keys()
        ):
            stack = Stack(project=given["project"], environment=given["environment"], suffix=given["suffix"])
            limit = 63 - len("-logs-123456789012-") - len(given["region"])
            if len(stack.name) > limit:
                what = f"{stack.name} has {len(stack.name)} characters, too many for the name of a log bucket"
                remedy = f"make it at most {limit}, or write access_logs = false"
                raise _fault(what, remedy, where="security.access_logs")
        return bucket

    @field_validator("security")
    @classmethod
    def _encrypted_alerts(cls, security: Security, info: ValidationInfo) -> Security:
        """Refuse alerts without a key: AWS's own key of SNS lets RDS write nothing (Aurora User Guide, "Granting
        permissions to publish notifications to an Amazon SNS topic")."""
        hardened = info.data.get("hardened", False)
        if _on(security.alerts, hardened) and not _on(security.own_key, hardened):
            remedy = "write own_key = true, or alerts = false"
            raise _fault("the topic is encrypted and there is no key", remedy, where="security.alerts")
        return security

    def has(self, switch: str) -> bool:
        """Tell whether a part of the table security is wanted."""
        return _on(getattr(self.security, switch), self.hardened)

    @property
    def log_days(self) -> int:
        """How long logs are kept."""
        return self.security.log_days or (365 if self.hardened else 30)

    @property
    def port(self) -> int:
        """Where a database that does not stand yet is to listen; 0 without one."""
        if self.database is None:
            return 0
        return HARDENED_PORT if self.hardened and self.implied("database", "port") else self.database.port

    def implied(self, section: str, *keys: str) -> frozenset[str]:
        """Tell which of these keys of a table the file does not name; ``""`` stands for the keys above all tables."""
        table = getattr(self, section) if section else self
        return frozenset(keys) - (table.model_fields_set if table else frozenset())


TABLES: Mapping[str, type[Table]] = {
    "": Settings,
    "network": Network,
    "security": Security,
    "bucket": Bucket,
    "database": Database,
}
