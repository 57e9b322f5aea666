"""Graphs, colour and the schema: what other programs read of us is well formed, whatever a name holds."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from provisioner import drawing, schema
from provisioner.config import COMMANDED
from provisioner.kit import Stack, Step
from provisioner.paint import painted
from provisioner.settings import TABLES
from steps.subnet import Subnet
from steps.vpc import Vpc
from tests.world import ENVIRONMENTS

STACK = Stack(project="acme", environment="dev")
HOSTILE = 'a"b\\n]; end --> <b>#\n{'


def steps(name: str = "vpc") -> list[Step]:
    vpc = Vpc(name=name, stack=STACK, cidr="10.0.0.0/16")
    return [vpc, Subnet(name="private-1", stack=STACK, vpc=vpc, cidr="10.0.0.0/19", zone="a", public=False)]


def test_a_graph_for_mermaid() -> None:
    assert drawing.mermaid(steps()) == ('flowchart TD\n  s0["vpc<br>Vpc"]\n  s1["private-1<br>Subnet"]\n  s0 --> s1')


def test_a_graph_for_graphviz() -> None:
    assert drawing.dot(steps()) == (
        "digraph stack {\n"
        "  node [shape=box];\n"
        '  "vpc" [label="vpc\\nVpc"];\n'
        '  "private-1" [label="private-1\\nSubnet"];\n'
        '  "vpc" -> "private-1";\n'
        "}"
    )


def test_a_name_stays_within_its_quotes_whatever_is_in_it() -> None:
    _, box, _, arrow = drawing.mermaid(steps(HOSTILE)).splitlines()
    assert re.fullmatch(r'  s0\["[\w #;.-]*<br>Vpc"\]', box)
    assert arrow == "  s0 --> s1"
    *_, box, other, arrow, _ = drawing.dot(steps(HOSTILE)).splitlines()
    text = r'"(?:[^"\\]|\\.)*"'
    assert re.fullmatch(rf"  {text} \[label={text}\];", box)
    assert re.fullmatch(rf"  {text} -> {text};", arrow)
    assert other == '  "private-1" [label="private-1\\nSubnet"];'


PLAN = "acme-dev on aws\n\n+ vpc (Vpc): new\n  ec2.create_vpc\n~ a: [red]b\n- c: left\n! d: broken\n\n4 calls."


def console(environment: dict[str, str], **given: Any) -> Console:
    return Console(file=io.StringIO(), width=10, _environ=environment, **given)


def test_a_plan_is_coloured_by_its_marks_and_says_the_same_as_without() -> None:
    text = painted(PLAN, console({}, force_terminal=True, color_system="standard"))
    assert text.splitlines()[2:8] == [
        "\x1b[32m+ vpc (Vpc): new\x1b[0m",
        "  ec2.create_vpc",
        "\x1b[33m~ a: [red]b\x1b[0m",
        "\x1b[31m- c: left\x1b[0m",
        "\x1b[1;31m! d: broken\x1b[0m",
        "",
    ]
    assert re.sub(r"\x1b\[[\d;]*m", "", text) == PLAN


@pytest.mark.parametrize(
    "shown",
    [
        console({"NO_COLOR": "1"}, force_terminal=True, color_system="standard"),
        console({"TERM": "dumb"}, force_terminal=True),
        console({"TERM": "xterm"}),
    ],
    ids=["NO_COLOR", "a dumb terminal", "no terminal"],
)
def test_a_plan_without_colour_is_the_text_itself(shown: Console) -> None:
    assert painted(PLAN, shown) is PLAN


SCHEMA = schema.document()


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, alone or in a choice of one."""
    for each in (value, *value.get("anyOf", [])):
        if "$ref" in each:
            return dict(SCHEMA["$defs"][each["$ref"].rpartition("/")[2]])
    return value


def fits(value: Any, rule: dict[str, Any]) -> bool:
    """Check what the schema says with, as far as the environment files need it."""
    rule = resolved(rule)
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict}
    if not isinstance(value, kinds[rule["type"]]):
        return False
    if isinstance(value, dict):
        known = rule.get("properties", {})
        more = rule.get("additionalProperties", True)
        missing = set(rule.get("required", ())) - value.keys()
        return not missing and all(
            fits(each, known[key]) if key in known else more is not False and fits(each, more)
            for key, each in value.items()
        )
    if isinstance(value, str):
        return re.search(rule.get("pattern", ""), value) is not None and value in rule.get("enum", [value])
    lawful = value in rule.get("enum", [value])
    return lawful and rule.get("minimum", value) <= value <= rule.get("maximum", value)


@pytest.mark.parametrize("file", sorted(ENVIRONMENTS.glob("*.toml")), ids=lambda file: file.stem)
def test_the_schema_takes_every_environment_that_comes_along(file: Path) -> None:
    assert fits(tomllib.loads(file.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"netwrok": {}},
        {"project": "Not Good"},
        {"region": 3},
        {"suffix": "pr-42"},
        {"network": {"zones": 7}},
        {"database": {"min_acu": 0}},
        {"database": {"min_acu": 0, "max_acu": 300}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_check_of_the_file_refuses(change: dict[str, Any]) -> None:
    document = tomllib.loads((ENVIRONMENTS / "dev.toml").read_text())
    assert not fits({**document, **change}, SCHEMA)


def test_every_key_is_in_the_schema_and_says_what_it_is_for() -> None:
    for table, settings in TABLES.items():
        given = SCHEMA if not table else SCHEMA["$defs"][settings.__name__]
        assert list(given["properties"]) == [key for key in settings.model_fields if table or key not in COMMANDED]
        for key, rule in given["properties"].items():
            assert resolved(rule).get("description") or rule.get("description"), f"{table}.{key}"


def test_the_schema_has_nothing_that_toml_or_an_editor_does_not_know() -> None:
    text = json.dumps(SCHEMA)
    assert '"null"' not in text
    assert '"rule"' not in text
    assert SCHEMA["$schema"] == schema.DIALECT
