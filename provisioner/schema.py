"""The environment file as JSON Schema, so that an editor completes and checks it; knows no key by name.

What no schema can say (a minimum above a maximum, a network that is not private) stays with the check of the file.
"""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from typing import Any

from provisioner.config import COMMANDED
from provisioner.settings import TABLES, Settings, Table

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, Any]:
    """Give the schema, with what the settings say of every key and without what the command line says."""
    schema = Settings.model_json_schema()
    tables = {table.__name__: each for table in TABLES.values() if (each := schema["$defs"].get(table.__name__))}
    for table in TABLES.values():
        keys = tables.get(table.__name__, schema)["properties"]
        for key, text in _docstrings(table).items():
            keys[key]["description"] = text
    schema["properties"] = {key: each for key, each in schema["properties"].items() if key not in COMMANDED}
    schema["required"] = [key for key in schema["required"] if key not in COMMANDED]
    return {"$schema": DIALECT, "title": "An environment of provisioner", **_readable(schema)}


def _docstrings(table: type[Table]) -> dict[str, str]:
    """Read what stands under each field, which only the source knows."""
    (definition,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _readable(value: Any) -> Any:
    """Put our own words for a pattern where editors look; leave out made-up titles, and ``null``, unknown to TOML."""
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if not isinstance(value, dict):
        return value
    schema = {
        key: _readable(each)
        for key, each in value.items()
        if not (key == "title" and isinstance(each, str)) and not (key == "default" and each is None)
    }
    given = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(given) == 1:
        del schema["anyOf"]
        schema = {**given[0], **schema}
    if isinstance(schema.get("rule"), str):
        schema["description"] = " ".join(filter(None, [schema.get("description", ""), f"Write {schema.pop('rule')}."]))
    return schema
