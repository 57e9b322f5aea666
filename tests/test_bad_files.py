"""Every file of tests/bad, both ways: refused with what it is refused for, and what becomes of it without a preflight.

The first lines of a file say what is expected: the exit code, each complaint in its order, the state of the cloud, and
for what the file alone does not tell (exit 3) what happens with --skip-preflight: a call ``fails``, it is ``refused``
all the same because nothing could be asked of AWS, or it ``builds`` because it is ours to refuse and not AWS's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner, Result

from provisioner import aws, loop
from provisioner.aws import Aws, Told
from provisioner.cli import provisioner
from provisioner.clock import Clock
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.session import Request
from tests.world import REGION, Watched

FILES = sorted((Path(__file__).parent / "bad").glob("*.toml"))
GROUPS = {"schema", "engine", "network", "quotas", "names", "access", "danger", "several"}
READING = ("Describe", "Get", "List", "Simulate", "Head")
REFUSED = re.compile(r"^  (?:\S+?:(?P<line>\d+): )?(?P<what>.+)\n    to go on: (?P<remedy>.+)$", re.MULTILINE)
MISTAKEN = re.compile(r"^\S+?(?::(?P<line>\d+))?: (?P<what>.+)$", re.MULTILINE)


@dataclass
class Case:
    """A file with what its first lines say."""

    path: Path
    exit_code: int = 0
    strict: bool = False
    expected: list[str] = field(default_factory=list)
    cloud: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""
    beside: str = ""
    skipped: str = ""

    def __post_init__(self) -> None:
        for line in self.path.read_text().splitlines():
            if not line.startswith("# "):
                break
            word, _, rest = line.removeprefix("# ").partition(" ")
            if word == "exit":
                code, _, option = rest.partition(" ")
                self.exit_code, self.strict = int(code), option == "--strict"
            elif word == "expect":
                self.expected.append(rest)
            else:
                assert word in ("cloud", "suffix", "beside", "skipped"), line
                value = json.loads(rest) if word == "cloud" else rest
                setattr(self, word, value.encode().decode("unicode_escape") if word == "beside" else value)


CASES = {path.stem: Case(path) for path in FILES}


class Server:
    """The cloud, with what it saw of what could change something."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.changes: list[str] = []

    def answer(self, environ: dict[str, Any]) -> Any:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"].seek(0)
        action = dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")
        action = action or environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        action = action or {"GET": "Get", "HEAD": "Head"}.get(environ["REQUEST_METHOD"], environ["REQUEST_METHOD"])
        if not action.startswith(READING) and b"DryRun=true" not in body:
            self.changes.append(action)
        return self.cloud.answer(environ)


@cache
def server() -> Server:
    return Server()


@cache
def client(service: str, region: str) -> Any:
    made = wire.isolated_session(region).client(service, **wire.client_options())
    plugged: Any = server()
    return wire.plug(made, plugged)


def connect(request: Request, region: str, clock: Clock, told: Told) -> Aws:
    aws._existing(region)
    return Watched(lambda service: client(service, region), clock, told)


@dataclass(frozen=True)
class Place:
    """A folder with the file as dev, and a cloud in the state it asks for."""

    case: Case
    folder: Path

    def run(self, command: str, *options: str) -> Result:
        if self.case.suffix:
            options = (*options, "--suffix", self.case.suffix)
        folders = (f"--config-dir={self.folder}", f"--state-dir={self.folder / 'state'}")
        result = CliRunner().invoke(provisioner, [command, "dev", *options, *folders], obj=connect)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result


@pytest.fixture
def placed(tmp_path: Path) -> Callable[[str], Place]:
    def place(name: str) -> Place:
        case, cloud = CASES[name], server().cloud
        (tmp_path / "dev.toml").write_bytes(case.path.read_bytes())
        if case.beside:
            (tmp_path / "staging.toml").write_text(case.beside)
        cloud.reset()
        for foreign in case.cloud.get("clusters", ()):
            given = {"Engine": "aurora-postgresql", "MasterUsername": "boss", "ManageMasterUserPassword": True}
            client("rds", REGION).create_db_cluster(DBClusterIdentifier=foreign, **given)
        cloud.allow(**case.cloud.get("allow", {}))
        cloud.occupy(case.cloud.get("occupy", ()))
        cloud.deny(case.cloud.get("deny", ()))
        server().changes.clear()
        return Place(case, tmp_path)

    return place


def complaints(result: Result) -> Iterator[tuple[str, int]]:
    """Read what a command says it refuses, each with its line in the file, 0 for none."""
    if result.exit_code == 2:
        for told in MISTAKEN.finditer(result.stderr.removeprefix("error: ")):
            yield told["what"], int(told["line"] or 0)
    for told in REFUSED.finditer(result.stderr) if result.exit_code == 3 else ():
        yield f"{told['what']}; {told['remedy']}", int(told["line"] or 0)


def test_there_are_sixty_bad_files_of_every_group_and_each_says_what_it_expects() -> None:
    assert len(CASES) >= 60
    assert {name.partition("-")[0] for name in CASES} == GROUPS
    for case in CASES.values():
        assert case.exit_code in (2, 3), case.path
        assert case.expected, case.path
        assert bool(case.skipped) == (case.exit_code == 3), case.path


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused_whole_with_its_lines_and_nothing_is_touched(
    name: str, placed: Callable[[str], Place]
) -> None:
    place = placed(name)
    case = place.case
    result = place.run("provision", *(["--strict"] if case.strict else []))
    assert result.exit_code == case.exit_code, result.output
    assert not result.stdout
    assert server().changes == []
    found = list(complaints(result))
    assert len(found) == len(case.expected), result.stderr
    lines = case.path.read_text().splitlines()
    for expected in case.expected:
        (line,) = (line for told, line in found if told.startswith(expected))
        key = expected.partition(":")[0].rpartition(".")[2]
        written = [number for number, text in enumerate(lines, 1) if re.match(rf"\[?\"?{re.escape(key)}\b", text)]
        assert line in written or not written, (expected, line)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.exit_code == 3])
def test_what_a_preflight_refuses_is_what_aws_refuses_without_one(
    name: str, placed: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SPREADING", 0.0)  # a key that is not there would be waited for like one just made
    place = placed(name)
    result = place.run("provision", "--skip-preflight", "--json")
    outcome, _, operation = place.case.skipped.partition(" ")
    if outcome == "fails":
        assert result.exit_code == 1, result.output
        failed = {failure["operation"] for failure in json.loads(result.stdout)["failures"]}
        assert operation in failed, failed
    else:
        assert result.exit_code == {"refused": 3, "builds": 0}[outcome], result.output
        assert (server().changes == []) == (outcome == "refused")


def test_the_founding_mistake_is_explained_in_under_ten_lines(placed: Callable[[str], Place]) -> None:
    for name in ("engine-founding-mistake", "engine-founding-mistake-unsized"):
        result = placed(name).run("plan")
        assert len(result.output.splitlines()) < 10
        assert "15.10" in result.output
        assert "min_acu" in result.output


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.strict])
def test_a_warning_is_told_and_never_changes_the_exit_code(name: str, placed: Callable[[str], Place]) -> None:
    place = placed(name)
    (expected,) = place.case.expected
    where, _, what = expected.partition(": ")
    assert (text := place.run("plan")).exit_code == 0
    (told,) = (line for line in text.stdout.splitlines() if line.startswith("warning: "))
    assert what in told
    document = place.run("preflight", "--json")
    assert document.exit_code == 0
    (warned,) = json.loads(document.stdout)["warnings"]
    assert warned["where"] == where
    assert place.run("preflight", "--strict", "--json").exit_code == 3
