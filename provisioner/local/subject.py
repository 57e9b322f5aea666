"""What a request is about, as IAM sees it: the operation, its parameters, the resources they name and their tags.

Knows no policy and refuses nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import moto.backends
from botocore import xform_name
from moto.core.utils import get_service_model
from moto.utilities.utils import get_partition

from provisioner import permissions
from provisioner.local.rules import Ask
from provisioner.permissions import Grant, Target

CLIENTS = {"servicequotas": "service-quotas"}
"""What boto3 calls a service that signs under another name."""
PREFIXES = {
    "elastic-ip": "eipalloc-",
    "internet-gateway": "igw-",
    "natgateway": "nat-",
    "network-acl": "acl-",
    "route-table": "rtb-",
    "security-group": "sg-",
    "subnet": "subnet-",
    "vpc": "vpc-",
    "vpc-endpoint": "vpce-",
    "vpc-flow-log": "fl-",
}
"""How the ids of EC2's resources begin."""
_TAG = re.compile(r"(.*Tags?(?:\.(?:member|Tag))?\.\d+)\.Key")
_HEADERS = {"HTTP_X_AMZ_OBJECT_OWNERSHIP": "ObjectOwnership"}
"""Parameters that S3 takes as headers and that call for an action of their own."""
_ASSOCIATIONS = ("rtbassoc-", "aclassoc-")


@dataclass(frozen=True)
class _Path:
    """How a REST operation is addressed."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    query: frozenset[tuple[str, str]]

    def fits(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        asked = all(name in query and value in ("", query[name]) for name, value in self.query)
        return self.method == method and asked and self.pattern.fullmatch(path) is not None


class Subject:
    """One request, read for IAM."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    @cached_property
    def operation(self) -> str:
        """As boto3 and the table of permissions name it; "" where it is not known."""
        if self.ask.action and self.ask.service != "s3":
            return f"{CLIENTS.get(self.ask.service, self.ask.service)}.{xform_name(self.ask.action)}"
        return f"{self.ask.service}.{xform_name(self._addressed.operation)}" if self._addressed else ""

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Its parameters, named as on the wire; lists of EC2 and members of JSON as lists and objects."""
        found: dict[str, Any] = dict(self.ask.form)
        for key, value in self.ask.form.items():
            name, _, number = key.rpartition(".")
            if number.isdigit():
                found.setdefault(name, []).append(value)
        if self._addressed is not None:
            match = self._addressed.pattern.fullmatch(self._path)
            assert match is not None
            found |= dict(zip(self._addressed.labels, map(unquote, match.groups()), strict=True))
        found |= {name: self.ask.environ[header] for header, name in _HEADERS.items() if header in self.ask.environ}
        with suppress(ValueError):
            body = json.loads(self.ask.body or b"{}")
            found |= body if isinstance(body, dict) else {}
        return found

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags that the request gives."""
        matches = (_TAG.fullmatch(key) for key in self.ask.form)
        found = {
            self.ask.form[match[0]]: self.ask.form.get(f"{match[1]}.Value", "")
            for match in matches
            if match is not None
        }
        with suppress(ElementTree.ParseError):
            for element in ElementTree.fromstring(self.ask.body).iter() if self.ask.body[:1] == b"<" else ():
                if element.tag.rpartition("}")[2] == "Tag":
                    key, value = (element.findtext(f"{{*}}{name}") or "" for name in ("Key", "Value"))
                    found[key] = value
        for name in ("Tags", "tags", "BackupVaultTags", "BackupPlanTags"):
            found |= _tags(self.parameters.get(name))
        return found

    def resources(self, grant: Grant) -> Iterator[tuple[Target, str]]:
        """Give everything that an action is judged against, each with its ARN."""
        for target in grant.targets:
            yield from ((target, arn) for arn in self._arns(target))

    def tags_of(self, arn: str) -> dict[str, str]:
        """Give the tags that a resource has now; none where there is no such resource, and of buckets: S3 judges by
        their tags only where that is switched on, bucket by bucket (S3 User Guide, "Using tags for ABAC")."""
        _, _, service, _, _, name = arn.split(":", 5)
        with suppress(Exception):
            return _tags(_KEPT[service](self, arn, name)) if service in _KEPT else {}
        return {}

    def boundary(self, role: str) -> str:
        """Give the policy that bounds a role, or that the request would have bound it; "" where there is none."""
        kept = _role(self, role.rpartition("/")[2])
        return str(self.parameters.get("PermissionsBoundary") or getattr(kept, "permissions_boundary_arn", "") or "")

    @cached_property
    def _path(self) -> str:
        path = str(self.ask.environ.get("RAW_URI") or self.ask.environ["PATH_INFO"]).partition("?")[0]
        hosted = self.ask.service == "s3" and not path.lstrip("/").startswith(self.ask.bucket)
        return f"/{self.ask.bucket}{path}" if hosted else path

    @cached_property
    def _addressed(self) -> _Path | None:
        if self.ask.form or self.ask.environ.get("HTTP_X_AMZ_TARGET") or not self.ask.service:
            return None
        method, query = self.ask.environ["REQUEST_METHOD"], self.ask.query
        fitting = [each for each in _paths(self.ask.service) if each.fits(method, self._path, query)]
        return max(fitting, key=lambda each: len(each.query), default=None)

    def _arns(self, target: Target) -> Iterator[str]:
        if not target.type:
            yield "*"
            return
        arn, names = permissions.resources()[target.type].arn, permissions.resources()[target.type].names
        place = {"partition": get_partition(self.ask.region), "region": self.ask.region, "account": self.ask.account}
        value = _at(self.parameters, target.parameter) if target.parameter else None
        if value is None:
            if not target.optional:
                # What has not our name whatever the stack is AWS's own, and the request leaves the choice to AWS.
                yield arn.format("*" if "{" in names[0] else names[0], **place)
            return
        for each in value if isinstance(value, list) else [value]:
            found = self._resolved(target.type, str(each))
            whole = found if found.startswith("arn:") else arn.format(found, **place)
            if found and re.fullmatch(re.escape(arn.format("\0", **place)).replace("\0", ".*"), whole):
                yield whole

    def _resolved(self, type_: str, value: str) -> str:
        """Give the name by which the ARN of a type is made, "" for what is of another type."""
        if value.startswith(_ASSOCIATIONS):
            return self._associated(value) if type_ == "subnet" else ""
        if type_ in PREFIXES and not value.startswith("arn:"):
            return value if value.startswith(PREFIXES[type_]) else ""
        if type_ == "alias":
            return value.removeprefix("alias/")
        if type_ == "key":
            return _key(self, value)
        if type_ in ("role", "missing-role") and not value.startswith("arn:"):
            path = self.parameters.get("Path") or getattr(_role(self, value), "path", None)
            if type_ == "missing-role":
                return "" if path else value
            return f"{str(path).lstrip('/')}{value}" if path else ""
        return value.removesuffix(":*")

    def _associated(self, association: str) -> str:
        """Give the subnet of an association with a route table or a network ACL."""
        for table in self.ask.ec2.route_tables.values():
            if association in table._associations:
                return str(table._associations[association])
        for acl in self.ask.ec2.network_acls.values():
            if association in acl._associations:
                return str(acl._associations[association].subnet_id)
        return "*"


def _at(parameters: Mapping[str, Any], name: str) -> Any:
    """Read a parameter; a dot leads into an object of JSON."""
    found: Any = parameters
    if name in parameters:
        return parameters[name]
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _tags(said: Any) -> dict[str, str]:
    """Read tags in any of the ways in which AWS and moto tell them."""
    if isinstance(said, Mapping):
        return {str(key): str(value) for key, value in said.items()}
    pairs = (each for each in said or () if isinstance(each, Mapping))
    return {
        str(each.get("Key", each.get("TagKey", each.get("key")))): str(
            each.get("Value", each.get("TagValue", each.get("value", "")))
        )
        for each in pairs
    }


def _key(subject: Subject, value: str) -> str:
    with suppress(Exception):
        return str(subject.ask.moto("kms").describe_key(value).arn)
    return value


def _role(subject: Subject, name: str) -> Any:
    backends: Any = moto.backends.get_backend("iam")
    return next((role for role in backends[subject.ask.account]["aws"].roles.values() if role.name == name), None)


_KEPT: Mapping[str, Any] = {
    "ec2": lambda subject, arn, name: subject.ask.ec2.tags.get(name.rpartition("/")[2], {}),
    "rds": lambda subject, arn, name: subject.ask.rds.list_tags_for_resource(arn),
    "kms": lambda subject, arn, name: subject.ask.moto("kms").list_resource_tags(name.partition("/")[2])["Tags"],
    "logs": lambda subject, arn, name: subject.ask.moto("logs").list_tags_for_resource(arn),
    "sns": lambda subject, arn, name: subject.ask.moto("sns").topics[arn]._tags,
    "iam": lambda subject, arn, name: getattr(_role(subject, name.rpartition("/")[2]), "tags", ()),
    "backup": lambda subject, arn, name: subject.ask.memory.get(("backup", subject.ask.region, "tags"), {}).get(arn),
}
"""Where the tags of a service's resources are kept: by moto, and those of backups by our own rules."""


@cache
def _paths(service: str) -> tuple[_Path, ...]:
    """List how the operations of a REST service are addressed, from AWS's model of it; none where it has one URL."""
    model = get_service_model(service)
    found = []
    for name in model.operation_names:
        if model.operation_model(name).deprecated:
            continue
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        labels = re.findall(r"\{([^}+]+)\+?\}", path)
        pattern = re.sub(r"\\\{[^}]+\+\\\}", "(.+)", re.escape(path.rstrip("/")))
        pattern = re.sub(r"\\\{.+?\\\}", "([^/]+)", pattern)
        asked = frozenset((key, value) for key, _, value in (part.partition("=") for part in query.split("&") if part))
        found.append(_Path(name, http["method"], re.compile(f"{pattern}/?"), tuple(labels), asked))
    return tuple(found)
