"""A plan on disk: written when it is shown, read to hold a run to it; knows no AWS and no screen.

The file is JSON that a person can review. It names calls, never tokens or credentials; an id that was not known yet is
``{"$step": name}`` and stands for whatever id that step has got since.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioner.kit import Call, Stack, Unknown
from provisioner.plan import Planned
from state.private import private_file

FORMAT, VERSION = "provisioner plan", 1
LARGEST = 16 * 1024 * 1024
"""Bytes beyond which a file is no plan."""
_UNKNOWN = "$step"


class PlanFileError(Exception):
    """The file cannot be held to: what is wrong with it, and what to type next."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message, self.remedy = message, remedy


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What somebody was shown and agreed to."""

    path: Path
    stack: str
    target: str
    account: str
    region: str
    made: str
    """When, as ISO 8601 in UTC."""
    environment: str
    """The digest of the environment file it was made of."""
    calls: Mapping[str, tuple[Call, ...]]
    """By step; ids that were not known are ``Unknown``."""

    def allows(self, step: str, call: Call, ids: Mapping[str, str]) -> bool:
        """Tell whether a call is one of those shown, with the ids that have become known since in their place."""
        wanted = call.resolved(ids)
        return any(_covers(each.resolved(ids), wanted) for each in self.calls.get(step, ()))

    def missing(self, planned: Sequence[Planned], ids: Mapping[str, str]) -> list[Planned]:
        """Give what lies ahead and was not shown, with those calls only."""
        return [
            replace(each, calls=calls)
            for each in planned
            if (calls := tuple(call for call in each.calls if not self.allows(each.step, call, ids)))
        ]

    def check(self, stack: Stack, target: str) -> None:
        """Raise PlanFileError where it is the plan of something else."""
        here = {"stack": stack.name, "target": target, "account": stack.account, "region": stack.region}
        if other := [name for name in here if getattr(self, name) != here[name]]:
            there = ", ".join(f"{name} {getattr(self, name)}" for name in other)
            now = ", ".join(f"{name} {here[name]}" for name in other)
            raise PlanFileError(
                f"{self.path} is a plan for {there}, and this run is for {now}",
                "run it with what it was made with, or make a plan of this",
            )


def _covers(shown: Call, call: Call) -> bool:
    """Tell whether two calls are the same but for ids of what AWS makes by itself, which no plan can know."""
    free = {key for key, value in shown.params.items() if isinstance(value, Unknown) and value.by_aws}
    one, other = (
        Call(each.operation, **{key: value for key, value in each.params.items() if key not in free})
        for each in (shown, call)
    )
    return one.digest == other.digest


def digest_of(path: Path) -> str:
    """Fingerprint a file, "" where it cannot be read."""
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return ""


def write(path: Path, planned: Sequence[Planned], *, stack: Stack, target: str, file: Path) -> None:
    """Put a plan on disk, whole or not at all, in place of an earlier one.

    Raises OSError, and PlanFileError where something else stands there, which stays.
    """
    if path.exists() and not _is_plan(path):
        raise PlanFileError(f"{path} is there and is no plan, so it was left as it is", "choose another name for --out")
    document = {
        "format": FORMAT,
        "version": VERSION,
        "stack": stack.name,
        "target": target,
        "account": stack.account,
        "region": stack.region,
        "made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "environment": {"file": str(file), "digest": digest_of(file)},
        "steps": [
            {"step": each.step, "kind": each.kind, "reason": each.reason, "calls": list(map(_saved, each.calls))}
            for each in planned
            if each.calls
        ],
    }
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(private_file(new), "w") as opened:
        opened.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    new.replace(path)


def read(path: Path) -> Shown:
    """Read a plan. Raises PlanFileError for whatever is none, and for one of a later version."""
    remedy = f"make one: provisioner plan ENV --out {shlex.quote(str(path))}"
    try:
        if not path.is_file():
            raise PlanFileError(f"{path} is no file", remedy)
        if path.stat().st_size > LARGEST:
            raise PlanFileError(f"{path} is too large for a plan", remedy)
        document = json.loads(path.read_bytes().decode())
    except OSError as error:
        raise PlanFileError(f"cannot read {path}: {error.strerror}", "make it a file that you may read") from error
    except (ValueError, RecursionError) as error:
        raise PlanFileError(f"{path} is not JSON: {type(error).__name__}", remedy) from error
    try:
        return _parsed(path, document)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PlanFileError(f"{path} is no plan, or a damaged one: {type(error).__name__} {error}", remedy) from error


def _is_plan(path: Path) -> bool:
    try:
        read(path)
    except PlanFileError:
        return False
    return True


def _parsed(path: Path, document: Any) -> Shown:
    if document["format"] != FORMAT:
        raise ValueError("format")
    version = document["version"]
    if type(version) is not int or version < 1:
        raise ValueError("version")
    if version > VERSION:
        raise PlanFileError(
            f"{path} was written by a later version ({version}, known here is {VERSION})",
            "upgrade: pip install --upgrade provisioner",
        )
    said = {name: document[name] for name in ("stack", "target", "account", "region", "made")}
    said["environment"] = document["environment"]["digest"]
    if wrong := [name for name, value in said.items() if not isinstance(value, str)]:
        raise ValueError(", ".join(wrong))
    calls: dict[str, tuple[Call, ...]] = {}
    for each in document["steps"]:
        loaded = tuple(map(_loaded, each["calls"]))
        calls[str(each["step"])] = (*calls.get(str(each["step"]), ()), *loaded)
    return Shown(path=path, calls=calls, **said)


def _saved(call: Call) -> dict[str, Any]:
    return {"operation": call.operation, "params": _marked(call.params), "digest": call.digest}


def _marked(value: Any) -> Any:
    if isinstance(value, Unknown):
        return {_UNKNOWN: value.name}
    if isinstance(value, Mapping):
        return {key: _marked(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(each) for each in value]
    return value


def _loaded(saved: Any) -> Call:
    call = Call(str(saved["operation"]), **_unmarked(saved["params"]))
    if call.digest != saved["digest"]:
        raise ValueError(f"the digest of {call.operation} is another")
    return call


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            Unknown(str(value[_UNKNOWN])) if set(value) == {_UNKNOWN} else {k: _unmarked(v) for k, v in value.items()}
        )
    return list(map(_unmarked, value)) if isinstance(value, list) else value
