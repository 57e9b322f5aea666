"""Turn an environment file into validated, frozen settings; say every complaint at once, each with its key and remedy.

Knows no AWS: whether a region, a version or a key exists there is asked from AWS, later and elsewhere.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from provisioner.kit import Stack
from provisioner.page import ConfigError, Page, lines_of
from provisioner.terms import Objection

__all__ = ["ConfigError", "Database", "Page", "Settings", "load", "names", "page", "write_templates"]

ENVIRONMENT = "[a-z][a-z0-9]{0,11}"
STACK_LENGTH = 35
"""What a stack's name may have, so that every name made of it fits; a bucket's has an account and a region besides."""
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
COMMANDED = {
    "environment": "leave it out: the name of the file says it",
    "suffix": "leave it out: the command line says it, with --suffix",
}
"""Settings that are no keys of the file."""
SIZED = "every database here is Aurora Serverless v2, which has no fixed size"
INSIDE = ("a database here is reached from its own network only", "leave it out: the security group app is let in")
MISSED = {
    "instance_class": (SIZED, "write min_acu and max_acu instead; one ACU is about 2 GiB of memory"),
    "publicly_accessible": INSIDE,
    "allowed_cidrs": INSIDE,
    "password": ("no password is ever written down", "leave it out: RDS makes one and keeps it in Secrets Manager"),
}
"""What other tools have under [database] and this one has not, and why."""
STAND_INS: Mapping[str, Any] = MappingProxyType({"database": {"min_acu": 0.5, "max_acu": 1.0}})
"""What a file that lacks them is read with where only the rest of it is asked about."""
KINDS = {
    "string": ("not text", "text in quotes"),
    "integer": ("not a whole number", "a whole number"),
    "number": ("not a number", "a number"),
    "boolean": ("neither true nor false", "true or false"),
    "object": ("not a table", ""),
    "array": ("not a list", "a list"),
}
"""What is said of a value of another kind, and what to write instead, by the type's name in JSON Schema."""


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
        raise _fault(f"{text} is not a private network", f"write one inside {_either(map(str, PRIVATE))}")
    return text


def _lawful_tag(limit: int, *reserved: str) -> AfterValidator:
    """Check what both EC2 and RDS, the stricter, take (API Reference of RDS, data type Tag)."""

    def check(text: str) -> str:
        if len(text) > limit:
            raise _fault(f"{_shown(text)} has {len(text)} characters", f"write at most {limit}")
        if found := next((each for each in reserved if text.lower().startswith(each)), None):
            raise _fault(f"{_shown(text)} starts with {found}, which is reserved", "write another")
        if not re.fullmatch(r"[\w .:/=+@-]*", text):
            remedy = "write letters, digits, spaces and _ . : / = + - @ only"
            raise _fault(f"{_shown(text)} has a character that AWS does not take", remedy)
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
    # The reference of RDS speaks of 16 characters; its PostgreSQL engines are seen to take PostgreSQL's own 63.
    master_user: Identifier = "provisioner_admin"
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
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=40)] = Field(default_factory=dict)
    """Tags of every resource, beside those that mark it as this stack's."""
    network: Network = Field(default_factory=Network)
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

    def implied(self, section: str, *keys: str) -> frozenset[str]:
        """Tell which of these keys of a table the file does not name; ``""`` stands for the keys above all tables."""
        table = getattr(self, section) if section else self
        return frozenset(keys) - (table.model_fields_set if table else frozenset())


TABLES: Mapping[str, type[Table]] = {"": Settings, "network": Network, "bucket": Bucket, "database": Database}


def names(config_dir: Path) -> list[str]:
    """List the environments that have a file."""
    return sorted(file.stem for file in config_dir.glob("*.toml") if re.fullmatch(ENVIRONMENT, file.stem))


def write_templates(config_dir: Path) -> list[Path]:
    """Copy the environment files that come with the package into the folder; a file that is there stays as it is."""
    config_dir.mkdir(parents=True, exist_ok=True)
    written = []
    for template in sorted((Path(__file__).parent / "templates").glob("*.toml")):
        path = config_dir / template.name
        if not path.exists():
            path.write_bytes(template.read_bytes())
            written.append(path)
    return written


def load(config_dir: Path, environment: str, suffix: str = "") -> Settings:
    """Read and check one environment's file; raises ConfigError, and nothing else, with all that is wrong."""
    if not re.fullmatch(ENVIRONMENT, environment):
        what = f"{_shown(environment)} cannot be an environment's name"
        raise ConfigError(config_dir, [Objection("environment", what, _choice(config_dir, Path(environment).stem))])
    path = config_dir / f"{environment}.toml"
    text = _read(path)
    document = _parsed(path, text)
    objections = [Objection(key, "no key of the file", COMMANDED[key]) for key in COMMANDED if key in document]
    try:
        settings = Settings.model_validate({**document, "environment": environment, "suffix": suffix})
    except ValidationError as error:
        objections += map(_objection, error.errors(include_url=False))
    if objections:
        raise ConfigError(path, objections, lines_of(text), _readable(document, objections, environment, suffix))
    return settings


def objections_to(settings: Settings, key: str, value: Any) -> list[Objection]:
    """Say what would be wrong with the file if one key (``database.max_acu``) had another value."""
    document = settings.model_dump(exclude_unset=True)
    table, _, name = key.rpartition(".") if not key.startswith("tags.") else key.partition(".")
    document[table] = {**(document.get(table) or {}), name: value}
    try:
        Settings.model_validate(document)
    except ValidationError as error:
        return list(map(_objection, error.errors(include_url=False)))
    return []


def page(config_dir: Path, environment: str) -> Page:
    """Give the lines of an environment file that has been read."""
    path = config_dir / f"{environment}.toml"
    return Page(path, lines_of(_read(path)))


def _readable(
    document: Mapping[str, Any], objections: Iterable[Objection], environment: str, suffix: str
) -> Settings | None:
    """Read the file without the keys that are wrong."""
    rest: dict[str, Any] = {key: dict(each) if isinstance(each, dict) else each for key, each in document.items()}
    for key, values in STAND_INS.items():
        if isinstance(rest.get(key), dict):
            rest[key] = values | rest[key]
    for objection in objections:
        table, _, key = objection.where.rpartition(".")
        place = rest.get(table) if table else rest
        if isinstance(place, dict):
            place.pop(key, None)
            place |= {key: STAND_INS[table][key]} if key in STAND_INS.get(table, ()) else {}
    try:
        return Settings.model_validate({**rest, "environment": environment, "suffix": suffix})
    except ValidationError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        absent = Objection("environment", f"there is no {path.name}", _choice(path.parent, path.stem))
        raise ConfigError(path, [absent]) from None
    except OSError as error:
        unreadable = Objection("environment", f"cannot be read ({error.strerror})", "make it a file that you may read")
        raise ConfigError(path, [unreadable]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, [Objection(f"line {line}", "not UTF-8", "save the file as UTF-8")]) from None


def _choice(config_dir: Path, asked: str) -> str:
    there, more = names(config_dir), "`provisioner environments --write` adds the examples"
    if near := get_close_matches(asked.lower(), there, n=1):
        return f"did you mean {near[0]}? Here are {', '.join(there)}; {more}"
    if there:
        return f"choose one of {', '.join(there)}; {more}"
    return f"{config_dir} has no environments yet: `provisioner environments --write` puts examples there"


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what, where = re.fullmatch(r"(.*?)(?: \(at (.*)\))?", str(error), re.DOTALL).groups()  # type: ignore[union-attr]
        what = what.replace("Cannot overwrite a value", "a key is written twice")
        remedy = 'write key = value, one a line, text in "quotes"'
        raise ConfigError(path, [Objection(where or path.name, f"not TOML: {what}", remedy)]) from None


def _objection(error: ErrorDetails) -> Objection:
    """Put one of pydantic's complaints into the words of someone who writes the file."""
    *section, key = path = [str(part) for part in error["loc"][:2] if not isinstance(part, int)]
    where, value, given = ".".join(path), error["input"], error.get("ctx", {})
    match error["type"]:
        case "fault":
            return Objection(given["where"] or where, given["what"], given["remedy"])
        case "extra_forbidden" if section == ["database"] and key in MISSED:
            return Objection(where, *MISSED[key])
        case "extra_forbidden":
            return Objection(where, "unknown key", _nearest(".".join(section), key))
        case "missing":
            return Objection(where, "missing", _allowed(path))
        case "multiple_of":
            return Objection(where, f"{value:g} is not a multiple of 0.5", _rounded(path, value))
        case "greater_than_equal":
            return Objection(where, f"{_shown(value)} is less than {given['ge']:g}", _allowed(path))
        case "less_than_equal":
            return Objection(where, f"{_shown(value)} is more than {given['le']:g}", _allowed(path))
        case "too_long":
            return Objection(where, f"more than {given['max_length']} of them", f"write at most {given['max_length']}")
        case "string_too_short":
            return Objection(where, "a key is empty", "write a name")
        case "string_pattern_mismatch" | "literal_error":
            return Objection(where, f"{_shown(value)} is not allowed", _allowed(path))
        case _:
            return Objection(where, f"{_shown(value)} is {_kind(path)[0]}", _allowed(path))


def _nearest(section: str, key: str) -> str:
    """Name the key that may have been meant: first by its spelling, then by its place."""
    here = _keys(section)
    if near := get_close_matches(key.lower().replace("-", "_"), here, n=1):
        return f"did you mean {near[0]}?"
    for other in TABLES:
        if key in _keys(other):
            return f"did you mean {key} in [{other}]?" if other else f"did you mean {key} above the first [table]?"
    return f"leave it out; known here are {', '.join(here)}"


def _keys(section: str) -> list[str]:
    return [key for key in TABLES[section].model_fields if section or key not in COMMANDED]


def _schema(path: Sequence[str]) -> dict[str, Any]:
    *section, key = path
    if section == ["tags"]:
        return {"type": "string", "rule": "text in quotes"}
    schema = TABLES[".".join(section)].model_json_schema()["properties"][key]
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    if "$ref" in schema or schema["type"] == "object":
        return {"type": "object", "rule": f"[{key}] above its keys"}
    return schema


def _allowed(path: Sequence[str]) -> str:
    schema = _schema(path)
    if "rule" in schema:
        return f"write {schema['rule']}"
    if "enum" in schema:
        return f"write {_either(map(_shown, schema['enum']))}"
    steps = f" in steps of {schema['multipleOf']}" if "multipleOf" in schema else ""
    span = f" from {schema['minimum']:g} to {schema['maximum']:g}" if "minimum" in schema else ""
    return f"write {_kind(path)[1]}{span}{steps}"


def _rounded(path: Sequence[str], value: float) -> str:
    schema = _schema(path)
    within = schema["minimum"] <= value <= schema["maximum"]
    return f"write {math.ceil(value * 2) / 2:g}" if within else _allowed(path)


def _kind(path: Sequence[str]) -> tuple[str, str]:
    return KINDS[_schema(path)["type"]]


def _shown(value: Any) -> str:
    """Show a value the way the file writes it, if it is short."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "so large a number"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
