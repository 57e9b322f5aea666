"""Input that means harm: from whatever place it comes, a command ends as documented, soon, and steers no terminal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from provisioner import drawing
from provisioner.aws import Aws, Told
from provisioner.clock import Clock
from provisioner.errors import AwsError, classify
from provisioner.kit import fingerprint
from provisioner.local.cloud import Cloud
from provisioner.session import Request
from steps.vpc import Vpc
from tests.cases import STACK
from tests.test_cli import Clients, Shell, clients, cloud, shell
from tests.world import VirtualClock, Watched

__all__ = ["clients", "cloud", "shell"]

STEERING = (
    "../../x\x1b[2J\x1b]0;owned\x07 \x9b31m\r\nsettled\u202egpj\u2066\u200b\x00\x08\x7f"
    " '; touch owned; \"$(touch owned)` #"
)
LARGE = "../A1b" * 1_750_000
HOSTILE = {"steering": STEERING, "large": LARGE}
CODES = {0, 1, 2, 3, 4, 130}
SECONDS = 30.0
"""That no command takes, however large what it is given; on an idle machine it is one or two."""
CHARACTERS = 400_000
"""That no command says of a stack of twenty steps."""


def each(places: Iterable[str], *large: str) -> list[tuple[str, str]]:
    """Pair every place with what steers, and those where a value of any length may arrive with a large one too."""
    return [*((place, "steering") for place in places), *((place, "large") for place in large)]


def assert_harmless(result: Result) -> None:
    """What every command has to be, whatever it met with; ``Shell`` sees to it that nothing is raised."""
    assert result.exit_code in CODES
    for text in (result.stdout, result.stderr):
        assert len(text) < CHARACTERS
        assert all(line.isprintable() for line in text.split("\n"))


@dataclass
class Patient:
    """A shell with dev built, which is as it was after every command; each has to end harmlessly."""

    shell: Shell
    saved: bytes
    state: bytes
    cloud: Cloud

    def run(self, *arguments: str) -> Result:
        self.cloud.reset()
        self.cloud.restore(self.saved)
        begun = time.monotonic()
        result = self.shell.run(*arguments)
        assert time.monotonic() - begun < SECONDS
        assert_harmless(result)
        if "--json" in arguments:
            json.loads(result.stdout)
            assert result.stdout.isascii()
        return result

    def remember(self, edit: Callable[[Any], None]) -> None:
        """Leave a state that somebody has edited."""
        document = json.loads(self.state)
        edit(document)
        self.shell.state().write_text(json.dumps(document))


@pytest.fixture(scope="module")
def built(cloud: Cloud, clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    cloud.reset()
    shell = Shell(tmp_path_factory.mktemp("built"), clients)
    shell.done("provision", "dev")
    saved = cloud.saved()
    assert saved is not None
    return saved[1], shell.state().read_bytes()


@pytest.fixture
def patient(built: tuple[bytes, bytes], shell: Shell, cloud: Cloud) -> Iterator[Patient]:
    shell.state().parent.mkdir(parents=True)
    shell.state().write_bytes(built[1])
    yield Patient(shell, *built, cloud)
    cloud.reset()


# What AWS says

Spoil = Callable[[str, Any], Any]
"""Give the answer of an operation as a hostile service would."""


class Lying(Watched):
    """AWS, when what it says is made up by somebody else."""

    spoil: Spoil = staticmethod(lambda operation, response: response)

    def _send(self, client: Any, operation: str, params: Mapping[str, Any]) -> Any:
        return self.spoil(operation, super()._send(client, operation, params))


def lie(shell: Shell, spoil: Spoil) -> None:
    def connect(request: Request, region: str, clock: Clock, told: Told) -> Aws:
        shell.clock = clock
        # What is repeated until a deadline takes no time.
        aws = Lying(shell.client, VirtualClock(), told)
        aws.spoil = spoil
        shell.connected.append(aws)
        return aws

    shell.connecting = connect


def put(text: str, *keys: str) -> Spoil:
    """Put the text into every field of these names, however deep; ids keep their beginning."""

    def spoiled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: text if key in keys and isinstance(each, str) else spoiled(each) for key, each in value.items()
            }
        return list(map(spoiled, value)) if isinstance(value, list) else value

    return lambda operation, response: spoiled(response)


def refuse(text: str, operation: str = "") -> Spoil:
    def spoil(asked: str, response: Any) -> Any:
        if asked.startswith(operation) and not asked.startswith(("sts.", "rds.describe_db_engine")):
            raise AwsError(asked, text if not operation else "Hostile", text, classify(text[:100]))
        return response

    return spoil


def retag(text: str) -> Spoil:
    """Give what is ours other values of the tags that somebody may change."""

    def spoiled(value: Any) -> Any:
        if isinstance(value, Mapping) and value.keys() == {"Key", "Value"} and value["Key"] in ("Name", "owner"):
            return {"Key": value["Key"], "Value": text}
        if isinstance(value, Mapping):
            return {key: spoiled(each) for key, each in value.items()}
        return list(map(spoiled, value)) if isinstance(value, list) else value

    return lambda operation, response: spoiled(response)


ANSWERS: dict[str, Callable[[str], Spoil]] = {
    "code and message": refuse,
    "message of a read": lambda text: refuse(text, "ec2.describe_subnets"),
    "account": lambda text: put(text, "Account", "UserId"),
    "arn": lambda text: put(text, "Arn", "DBClusterArn", "SecretArn", "DBSubnetGroupArn"),
    "ids": lambda text: put(text, "VpcId", "SubnetId", "GroupId", "RouteTableId"),
    "status": lambda text: put(text, "Status", "State", "DBInstanceStatus"),
    "tags": retag,
    "endpoint": lambda text: put(text, "Endpoint", "ReaderEndpoint"),
    "zone": lambda text: put(text, "ZoneName", "AvailabilityZone"),
    "addresses": lambda text: put(text, "CidrBlock", "CidrIp", "Description"),
}


@pytest.mark.parametrize(("place", "hostile"), each(ANSWERS, "code and message", "tags", "endpoint"))
def test_what_aws_says_steers_no_terminal_and_breaks_no_document(patient: Patient, place: str, hostile: str) -> None:
    lie(patient.shell, ANSWERS[place](HOSTILE[hostile]))
    for command in (["plan"], ["status", "--json"], ["drift", "--json"], ["outputs"]):
        patient.run(command[0], "dev", *command[1:])
    if place in REFUSED:
        patient.run("provision", "dev")


REFUSED = ("code and message", "message of a read", "account")
"""With what else is made up a run would wait for what will not be."""

# What the state says


def _into(*path: str) -> Callable[[Any, str], None]:
    def edit(document: Any, text: str) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = text

    return edit


def _a_step_called(document: Any, text: str) -> None:
    document["steps"][text] = document["steps"]["vpc"]


def _fields(document: Any, text: str) -> None:
    document["steps"]["vpc"]["fields"] = {"cidr": text, text: text, "tags": {text: text}}


def _a_past(document: Any, text: str) -> None:
    document["past"] = {text: [text], "vpc": [text]}


def _calls(document: Any, text: str) -> None:
    (call, *_) = document["steps"]["vpc"]["calls"]
    document["steps"]["vpc"]["calls"] = [
        {**call, "operation": text, "digest": text, "code": text, "params": {text: text}}
    ]


STATES: dict[str, Callable[[Any, str], None]] = {
    "project": _into("project"),
    "account": _into("account"),
    "schema": _into("schema"),
    "name of a step": _a_step_called,
    "id": _into("steps", "vpc", "id"),
    "id of a leftover": lambda document, text: document["steps"].update(
        gone={**document["steps"]["vpc"], "id": text, "kind": "ElasticIp"}
    ),
    "kind": _into("steps", "vpc", "kind"),
    "status": _into("steps", "vpc", "status"),
    "born": _into("steps", "vpc", "born"),
    "fields": _fields,
    "calls": _calls,
    "past": _a_past,
    "more": _into("more"),
}


@pytest.mark.parametrize(("place", "hostile"), each(STATES, "account", "name of a step", "id", "fields"))
def test_what_a_state_says_steers_no_terminal_and_leaves_its_folder_alone(
    patient: Patient, place: str, hostile: str, tmp_path: Path
) -> None:
    before = {each for each in tmp_path.rglob("*") if "states" not in each.parts}
    patient.remember(lambda document: STATES[place](document, HOSTILE[hostile]))
    for command in (["plan"], ["status", "--json"], ["drift"]):
        patient.run(command[0], "dev", *command[1:])
    assert {each for each in tmp_path.rglob("*") if "states" not in each.parts} == before


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_lock_that_somebody_wrote_into_steers_no_terminal(patient: Patient, hostile: str) -> None:
    patient.shell.state().with_suffix(".lock").write_text(f"pid 1 on {HOSTILE[hostile]} since x")
    patient.run("provision", "dev")
    text = "".join(HOSTILE[hostile].split())[:200].encode("ascii", "replace").decode()
    patient.shell.state().with_suffix(".lock").write_text(f"pid 1 on {text} since x")
    assert patient.run("provision", "dev").exit_code == 4


# What a plan on disk says

PLANS = ("stack", "made", "step", "operation", "parameter", "format", "version")


@pytest.mark.parametrize(
    ("place", "hostile"),
    each(["stack", "made", "step", "operation", "parameter", "format", "version"], "stack", "operation"),
)
def test_what_a_plan_on_disk_says_steers_no_terminal_and_is_not_done(
    patient: Patient, place: str, hostile: str, tmp_path: Path
) -> None:
    text, path = HOSTILE[hostile], tmp_path / "dev.plan"
    call = {"operation": "ec2.create_vpc", "params": {"CidrBlock": "10.0.0.0/16"}}
    if place in ("operation", "parameter"):
        call |= {"operation": text} if place == "operation" else {"params": {text: text}}
    step = {"step": text if place == "step" else "vpc", "kind": "Vpc", "reason": "new"}
    saved = {**call, "digest": fingerprint(call["operation"], call["params"])}
    document: dict[str, Any] = {"format": "provisioner plan", "version": 1, "stack": "acme-dev", "target": "local"}
    document |= {"account": "123456789012", "region": "us-east-1", "made": "2026-01-01T00:00:00Z"}
    document |= {"environment": {"file": "dev.toml", "digest": ""}, "steps": [{**step, "calls": [saved]}]}
    path.write_text(json.dumps(document | ({place: text} if place in document else {})))
    patient.shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    for options in ([], ["--json"]):
        assert patient.run("provision", "dev", "--plan", str(path), *options).exit_code in (2, 3)
    assert not patient.shell.connected or not patient.shell.calls


# What the user, or who wrote the command for them, gives

FILE = """project = "acme"\nregion = "us-east-1"\n[bucket]\n[database]\nmin_acu = 0\nmax_acu = 1\n"""
FILES: dict[str, Callable[[str], str]] = {
    "project": lambda text: FILE.replace('"acme"', text),
    "region": lambda text: FILE.replace('"us-east-1"', text),
    "a key": lambda text: f"{text} = 1\n{FILE}",
    "a table": lambda text: f"{FILE}[{text}]\n",
    "a tag": lambda text: f"{FILE}[tags]\nowner = {text}\n",
    "the key of a tag": lambda text: f'{FILE}[tags]\n{text} = "x"\n',
    "a list": lambda text: f"accounts = [{text}]\n{FILE}",
    "a version": lambda text: f"{FILE}engine_version = {text}\n",
    "a key of KMS": lambda text: f"{FILE}kms_key = {text}\n",
    "a name": lambda text: f"{FILE}name = {text}\n",
    "no TOML": lambda text: f"{text}\n{FILE}",
}


@pytest.mark.parametrize(("place", "hostile"), each(FILES, "project", "a tag", "no TOML"))
def test_a_hostile_value_of_a_file_is_one_mistake_and_steers_no_terminal(
    patient: Patient, place: str, hostile: str
) -> None:
    text = HOSTILE[hostile] if place == "no TOML" else json.dumps(HOSTILE[hostile]).replace("\\u007f", "\x7f")
    (patient.shell.environments / "dev.toml").write_text(FILES[place](text))
    for command in (["plan"], ["provision", "--json"]):
        result = patient.run(command[0], "dev", *command[1:])
        assert result.exit_code == 2
        assert len(result.output) < 10_000
    assert not patient.shell.connected or not patient.shell.calls


ARGUMENTS: dict[str, Callable[[str], list[str]]] = {
    "environment": lambda text: ["plan", text],
    "path as environment": lambda text: ["provision", f"../environments/{text[:50]}"],
    "environments": lambda text: ["cost", text],
    "suffix": lambda text: ["plan", "dev", "--suffix", text],
    "rehearsal": lambda text: ["rehearse", text],
    "key": lambda text: ["drift", "dev", "--accept", text],
    "plan": lambda text: ["provision", "dev", "--plan", text.replace("\x00", "")],
    "folder": lambda text: ["plan", "dev", "--config-dir", text.replace("\x00", "")],
    "option": lambda text: ["plan", "dev", f"--{text}"],
    "command": lambda text: [text],
    "number": lambda text: ["provision", "dev", "--parallelism", text],
    "choice": lambda text: ["plan", "dev", "--target", text],
}


@pytest.mark.parametrize(("place", "hostile"), each(ARGUMENTS, "environment", "suffix", "key", "option"))
def test_a_hostile_argument_steers_no_terminal_and_writes_nowhere(
    patient: Patient, place: str, hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    before = set(tmp_path.rglob("*"))
    result = patient.run(*ARGUMENTS[place](HOSTILE[hostile]))
    assert result.exit_code in (1, 2)
    assert set(tmp_path.rglob("*")) == before


def test_a_file_with_a_hostile_name_is_written_and_named_harmlessly(patient: Patient, tmp_path: Path) -> None:
    out = tmp_path / "x\x1b[2J\u202e\n'; touch owned; .plan"
    patient.shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    assert patient.run("plan", "dev", "--out", str(out)).exit_code == 0
    assert patient.run("provision", "dev", "--plan", str(out)).exit_code == 0


# What is drawn, and what is to be copied


@pytest.mark.parametrize("draw", [drawing.tree, drawing.mermaid, drawing.dot])
def test_a_drawing_has_as_many_lines_as_steps_whatever_they_are_called(draw: Callable[[Any], str]) -> None:
    names = ["vpc", STEERING, '"]; touch owned', "</text><script>", "}\nowned -> vpc"]
    plain = [f"step-{number}" for number in range(len(names))]
    hostile, harmless = (
        draw([Vpc(name=name, stack=STACK, cidr="10.0.0.0/16") for name in each]) for each in (names, plain)
    )
    assert len(hostile.split("\n")) == len(harmless.split("\n"))
    assert all(line.isprintable() for line in hostile.split("\n"))
    assert "<script>" not in hostile or draw is not drawing.mermaid


def run_as_copied(command: str, folder: Path) -> list[str]:
    """Run a line as if it were copied from the screen, and give the arguments that ``aws`` or we are called with."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("aws", "provisioner"):
        (tools / name).write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > {shlex.quote(str(folder))}/called\n')
        (tools / name).chmod(0o755)
    for name in ("touch", "rm"):
        (tools / name).write_text(f"#!/bin/sh\n: > {shlex.quote(str(folder))}/owned\n")
        (tools / name).chmod(0o755)
    subprocess.run(["/bin/sh", "-c", command], cwd=folder, env={"PATH": str(tools)}, check=False, capture_output=True)
    assert not (folder / "owned").exists(), command
    return (folder / "called").read_text().split("\0")[:-1]


ID = "sg-1; touch owned; $(touch owned) `touch owned` ' \" \x1b[2J"


@pytest.mark.process
@pytest.mark.parametrize("secret", ["", " password='; touch owned ' "])
def test_a_command_that_is_told_runs_nothing_else_when_it_is_copied(
    patient: Patient, tmp_path: Path, secret: str
) -> None:
    def spoil(operation: str, response: Any) -> Any:
        if operation == "ec2.describe_security_groups":
            bare = [{**each, "Tags": [], "GroupId": ID + secret} for each in response["SecurityGroups"]]
            return {**response, "SecurityGroups": bare}
        return response

    lie(patient.shell, spoil)
    told = patient.run("status", "dev").stdout
    line = next(line for line in told.splitlines() if "aws ec2 create-tags" in line)
    words = run_as_copied(line[line.index("aws ") :], tmp_path)
    assert words[:3] == ["ec2", "create-tags", "--resources"]
    assert words[3].startswith("sg-1; touch owned; $(touch owned)")


@pytest.mark.process
def test_the_command_to_go_on_with_runs_nothing_else_when_it_is_copied(patient: Patient, tmp_path: Path) -> None:
    folder = tmp_path / "it's; touch owned; $(touch owned)"
    folder.mkdir()
    os.symlink(patient.shell.environments, folder / "environments")
    patient.shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    lie(patient.shell, refuse("no", "rds.modify_db_cluster"))
    result = patient.run("provision", "dev", "--config-dir", str(folder / "environments"))
    assert result.exit_code == 1
    line = result.stdout.splitlines()[-1]
    words = run_as_copied(line[line.index("provisioner ") :], tmp_path)
    assert words[:4] == ["provision", "dev", "--config-dir", str(folder / "environments")]
