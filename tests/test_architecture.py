"""What nobody keeps in mind: who may import whom, who may wait, what may be called, and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader

from provisioner.kit import Call

ROOT = Path(__file__).parents[1]
FREE = ("tests", "benchmarks", "provisioner.local")
"""What may use whatever it needs from outside."""

LAYERS = (
    {"provisioner.__main__"},
    {"provisioner.cli"},
    {"provisioner.options"},
    {"provisioner.command", "provisioner.run"},
    {"provisioner.caller", "provisioner.verdict"},
    {"provisioner.rehearsal"},
    {"provisioner.session", "provisioner.log", "provisioner.progress", "provisioner.paint", "provisioner.exits"},
    {"provisioner.bill", "provisioner.notice"},
    {"provisioner.blueprint", "provisioner.report", "provisioner.plan_text", "provisioner.drawing"}
    | {"provisioner.preflight"},
    {"provisioner.access", "provisioner.caution", "provisioner.quotas"},
    {"provisioner.iam_policy"},
    {"provisioner.survey", "provisioner.estimate", "provisioner.plan_file", "provisioner.drift", "provisioner.schema"},
    {"provisioner.plan", "provisioner.cost"},
    {"provisioner.engine"},
    {"provisioner.loop"},
    {"provisioner.wiring", "provisioner.course"},
    {"provisioner.checks", "provisioner.foreign"},
    {"provisioner.deeds"},
    {"provisioner.inventory"},
    {"provisioner.aws", "provisioner.config"},
    {"provisioner.settings"},
    {"provisioner.decide", "provisioner.prices", "provisioner.page", "provisioner.asking"},
    {"provisioner.changes", "provisioner.graph", "provisioner.retry", "provisioner.lifetime", "provisioner.local"}
    | {"provisioner.border"},
    {"provisioner.kit", "provisioner.errors", "provisioner.events", "provisioner.clock", "provisioner.words"},
    {"provisioner.terms", "provisioner.redaction", "provisioner.permissions"},
    {"provisioner"},
)
"""From what knows most to what knows nothing: a module knows only those below it."""
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
BESIDE = {
    "steps": {"provisioner.blueprint", "provisioner.session", "provisioner.survey"},
    "state": {
        "provisioner.wiring",
        "provisioner.course",
        "provisioner.session",
        "provisioner.log",
        "provisioner.exits",
        "provisioner.checks",
        "provisioner.rehearsal",
        "provisioner.plan_file",
        "provisioner.prices",
        "provisioner.local.process",
        "provisioner.local.kept",
    },
    "provisioner.local": {
        "provisioner.aws",
        "provisioner.session",
        "provisioner.cli",
        "provisioner.run",
        "provisioner.exits",
    },
}
"""What stands beside the layers, and who may know it."""
OWNERS = {
    "boto3": "provisioner.aws",
    "botocore": "provisioner.aws",
    "click": "provisioner.cli provisioner.options",
    "pydantic": "provisioner.config provisioner.settings",
    "pydantic_core": "provisioner.config provisioner.settings",
    "rich": "provisioner.progress provisioner.paint",
    "structlog": "provisioner.log",
    "tenacity": "provisioner.retry",
    "moto": "",
    "flask": "",
    "werkzeug": "",
}
"""The one module of each that may import what is not ours; rich has one for each of the two streams."""


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    name_of(file): file
    for folder in ("provisioner", "steps", "state", "tests", "benchmarks")
    for file in sorted((ROOT / folder).rglob("*.py"))
}
PRODUCT = sorted(name for name in FILES if not name.startswith(("tests", "benchmarks")))


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text())


def imports(name: str) -> set[str]:
    """List what a module imports anywhere in it, for types only included, ours by module."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by dots"
            whole = f"{node.module}"
            found |= {each if (each := f"{whole}.{alias.name}") in FILES else whole for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer(name: str) -> str:
    return "provisioner.local" if within(name, "provisioner.local") else name


def ours(name: str) -> set[str]:
    return {each for each in imports(name) if each in FILES}


@pytest.mark.parametrize("name", [name for name in PRODUCT if within(name, "provisioner")])
def test_a_module_knows_only_what_is_below_it(name: str) -> None:
    assert layer(name) in DEPTH, f"{name} is in no layer: say in LAYERS what it may know"
    for other in (layer(each) for each in ours(name) if within(each, "provisioner")):
        below = DEPTH[other] > DEPTH[layer(name)]
        assert below or other == layer(name), f"{name} may not know {other}"


@pytest.mark.parametrize("package", BESIDE)
def test_what_stands_beside_the_layers_is_known_to_few(package: str) -> None:
    knowing = {
        name for name in PRODUCT if not within(name, package) and any(within(each, package) for each in ours(name))
    }
    assert knowing <= BESIDE[package]


def test_the_vocabulary_imports_nothing_else_of_ours() -> None:
    assert ours("provisioner.kit") == {"provisioner.terms"}
    assert ours("provisioner.terms") == set()


@pytest.mark.parametrize("name", [name for name in PRODUCT if within(name, "steps")])
def test_a_step_knows_the_vocabulary_and_other_steps_only(name: str) -> None:
    assert all(each in ("provisioner.kit", "provisioner.terms") or within(each, "steps") for each in ours(name))


@pytest.mark.parametrize("name", [name for name in PRODUCT if within(name, "state")])
def test_the_state_knows_nothing_of_the_provisioner(name: str) -> None:
    assert all(within(each, "state") for each in ours(name))


@pytest.mark.parametrize("name", [name for name in PRODUCT if within(name, "provisioner.local")])
def test_the_embedded_cloud_knows_the_clock_the_permissions_how_files_are_kept_private_and_itself_only(
    name: str,
) -> None:
    known = ("provisioner.clock", "provisioner.permissions", "state.private")
    assert all(each in known or within(each, "provisioner.local") for each in ours(name))


@pytest.mark.parametrize("package", OWNERS)
def test_what_is_not_ours_has_one_door(package: str) -> None:
    using = {name for name in FILES if any(within(each, package) for each in imports(name))}
    assert {name for name in using if not any(within(name, free) for free in FREE)} <= {*OWNERS[package].split()}


def test_only_the_clock_lets_time_pass() -> None:
    waiting = {f"{name}: {line}" for name in PRODUCT if name != "provisioner.clock" for line in waits(name)}
    assert waiting == set()
    assert list(waits("provisioner.clock")) == ["self.stopped.wait"]


def test_no_test_sleeps_unless_it_waits_for_a_process_and_none_patches() -> None:
    tests = [name for name in FILES if within(name, "tests")]
    sleeping = [name for name in tests if any("sleep" in line for line in waits(name))]
    assert [name for name in sleeping if "pytest.mark.process" not in FILES[name].read_text()] == []
    assert [name for name in tests if any(within(each, "unittest") for each in imports(name))] == []


WAITING = {"time.sleep", "asyncio.sleep", "select.select", "signal.pause", "signal.sigtimedwait"}


def waits(name: str) -> Iterator[str]:
    """List what a module lets time pass with, but for the clock."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio"):
            yield from (f"from {node.module} import {alias.name}" for alias in node.names if alias.name == "sleep")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WAITING | {f"{ast.unparse(node.value)}.wait"}:
            yield ast.unparse(node)


SERVICES = "ec2|rds|s3|sts|kms|iam|logs|secretsmanager|service-quotas|pricing|sns|backup"
NAMED = re.compile(rf"(?:{SERVICES})\.[a-z0-9_]+[a-z0-9]")
PARAMETERS = {"rds.force_ssl"}
"""What reads like an operation and is a parameter of PostgreSQL."""
OPERATIONS = sorted(
    {
        (node.value, name)
        for name in PRODUCT
        if not within(name, "provisioner.local")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and NAMED.fullmatch(str(node.value)) and node.value not in PARAMETERS
    }
)
"""With the module that names each; those put together of parts are seen by the tests that make the calls."""


@cache
def model(service: str) -> dict[str, Any]:
    loaded: dict[str, Any] = Loader().load_service_model(service, "service-2")
    return loaded


def described(call: Call) -> dict[str, Any]:
    """Give what botocore's model says of an operation."""
    named = {xform_name(name): said for name, said in model(call.service)["operations"].items()}
    assert call.method in named, f"AWS has no {call.operation}"
    return dict(named[call.method])


def test_the_operations_that_are_named_are_found() -> None:
    named = {operation for operation, _ in OPERATIONS}
    assert {"ec2.describe_vpcs", "ec2.create_vpc", "rds.create_db_cluster", "sts.get_caller_identity"} <= named


@pytest.mark.parametrize(("operation", "where"), OPERATIONS)
def test_every_operation_that_is_named_exists_and_is_current(operation: str, where: str) -> None:
    said = described(Call(operation))
    assert not said.get("deprecated"), f"{where} uses {operation}, which is deprecated"


@pytest.mark.parametrize(("operation", "where"), OPERATIONS)
def test_every_token_that_botocore_would_make_up_is_one_that_we_give(operation: str, where: str) -> None:
    call = Call(operation)
    taken = model(call.service)["shapes"][described(call)["input"]["shape"]]["members"]
    made_up = {member for member, said in taken.items() if said.get("idempotencyToken")}
    if operation == "backup.create_backup_selection":
        return  # its name is used once in a plan, which makes a repeat harmless
    given = made_up <= {"ClientToken", "CreatorRequestId"} and call.creates
    assert not made_up or given, f"{where}: {operation} would get {made_up}"


@pytest.mark.process
def test_the_command_line_loads_nothing_that_is_slow_to_load() -> None:
    code = "import sys, provisioner.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "click" in loaded
    assert loaded & (OWNERS.keys() - {"click"}) == set()
    assert "provisioner.session" not in done.stdout.split()


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.read_text().strip()])
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(tree(name))


TEXTS = [
    file
    for file in sorted(ROOT.rglob("*"))
    if file.suffix in {"", ".md", ".py", ".toml", ".cfg", ".txt", ".json", ".sh", ".yml", ".env"}
    and file.is_file()
    and not any(
        part.startswith(".") or part in ("build", "dist", "__pycache__") or part.endswith(".egg-info")
        for part in file.relative_to(ROOT).parts
    )
]
LEFT_UNDONE = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")
OF_ONE_MACHINE = re.compile(r"(?<![\w.}])/(?:work|home|root|Users|tmp|opt|mnt)/")
REGISTRIES = re.compile(r"(?i)pypi[.]org|pythonhosted|npmjs|artifactory|nexus|index-url|find-links")


def told(files: list[Path], pattern: re.Pattern[str]) -> list[str]:
    """List the lines that hold a pattern, each with its place."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    assert told(TEXTS, LEFT_UNDONE) == []


def test_no_file_speaks_of_one_machine() -> None:
    assert told(TEXTS, OF_ONE_MACHINE) == []


def test_nothing_depends_on_where_packages_come_from() -> None:
    assert told([file for file in TEXTS if file.parts[-2:] != ("tests", Path(__file__).name)], REGISTRIES) == []


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md", "setup.cfg", "Makefile", "docs/environment-file.md"])
def test_the_texts_that_are_looked_through_are_found(file: str) -> None:
    assert ROOT / file in TEXTS
