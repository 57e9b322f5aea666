"""Turn an environment file into settings; say every complaint at once, each with its line, its key and its remedy.

What a value may be is said in ``settings``. Knows no AWS.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from provisioner.page import ConfigError, Page, lines_of
from provisioner.settings import ENVIRONMENT, TABLES, Settings
from provisioner.terms import Objection
from provisioner.words import either, shown

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
        what = f"{shown(environment)} cannot be an environment's name"
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
            return Objection(where, f"{shown(value)} is less than {given['ge']:g}", _allowed(path))
        case "less_than_equal":
            return Objection(where, f"{shown(value)} is more than {given['le']:g}", _allowed(path))
        case "too_long":
            return Objection(where, f"more than {given['max_length']} of them", f"write at most {given['max_length']}")
        case "string_too_short":
            return Objection(where, "a key is empty", "write a name")
        case "string_pattern_mismatch" | "literal_error":
            return Objection(where, f"{shown(value)} is not allowed", _allowed(path))
        case _:
            return Objection(where, f"{shown(value)} is {_kind(path)[0]}", _allowed(path))


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
        return f"write {either(map(shown, schema['enum']))}"
    steps = f" in steps of {schema['multipleOf']}" if "multipleOf" in schema else ""
    span = f" from {schema['minimum']:g} to {schema['maximum']:g}" if "minimum" in schema else ""
    return f"write {_kind(path)[1]}{span}{steps}"


def _rounded(path: Sequence[str], value: float) -> str:
    schema = _schema(path)
    within = schema["minimum"] <= value <= schema["maximum"]
    return f"write {math.ceil(value * 2) / 2:g}" if within else _allowed(path)


def _kind(path: Sequence[str]) -> tuple[str, str]:
    return KINDS[_schema(path)["type"]]
