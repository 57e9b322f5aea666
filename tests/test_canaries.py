"""No secret anywhere: what must not be seen is planted in every place, and every byte the tool wrote is searched."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from provisioner import log, redaction
from provisioner.cli import provisioner
from provisioner.errors import AwsError, Verdict
from provisioner.events import Event
from provisioner.kit import Call
from provisioner.local import process
from tests.shell import Shell as RealShell
from tests.shell import shell_over_a_cloud
from tests.test_cli import Clients, Shell, clients, cloud, shell
from tests.test_hostile_input import lie

__all__ = ["Clients", "clients", "cloud", "shell"]

KEY_ID, OTHER_ID = "AKIAIOSFODNN7CANARY1", "ASIAIOSFODNN7CANARY2"
KEY, OTHER_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEY1", "uTr0n9FEMIwK7MDENG+bPxRfiCYCANARYKEY2000"
TOKEN, OTHER_TOKEN = "IQoJb3JpZ2luX2VjECanary1" * 12 + "==", "FwoGZXIvYXdzECanary2/+" * 20 + "="
PASSWORD, PROXY = "c0rrect-horse-CANARY", "pr0xy-CANARY"
CANARIES = {KEY_ID, OTHER_ID, KEY, OTHER_KEY, TOKEN, OTHER_TOKEN, PASSWORD, PROXY, "CANARY"}
GIVEN = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": KEY,
    "AWS_SESSION_TOKEN": TOKEN,
    "DATABASE_PASSWORD": PASSWORD,
    "HTTPS_PROXY": f"http://me:{PROXY}@127.0.0.1:1",
    "NO_PROXY": "127.0.0.1",
}
ECHOES = {
    "a header": f"bad header Authorization: AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101, Signature={KEY}",
    "a bearer": f"'authorization': 'Bearer {OTHER_TOKEN}'",
    "a key id": f"{OTHER_ID} is inactive",
    "a secret key": f"the signature of {OTHER_KEY} does not match",
    "a token": f"The security token {OTHER_TOKEN} is expired",
    "a query": f"GET /?X-Amz-Security-Token={TOKEN}&X-Amz-Credential={KEY_ID} failed",
    "a document": json.dumps({"SecretString": {"password": PASSWORD}, "SessionToken": TOKEN}),
    "a login": f"cannot connect to http://me:{PROXY}@proxy.example:3128",
    "what was given": f"I was told {PASSWORD} by {KEY}",
}


def assert_kept(text: str | bytes, where: object = "") -> None:
    told = text.decode(errors="replace") if isinstance(text, bytes) else text
    assert [canary for canary in CANARIES if canary in told] == [], f"{where}: {told[:2000]}"


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Give every file in a folder, and what is in it."""
    yield from ((each, each.read_bytes()) for each in sorted(folder.rglob("*")) if each.is_file())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


COMMANDS = (
    ["provision", "dev"],
    ["provision", "dev", "--json", "-vv"],
    ["provision", "dev", "--log-format", "json", "-v"],
    ["status", "dev"],
    ["plan", "dev", "--json"],
)


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("echo", ECHOES)
def test_a_service_that_echoes_a_secret_does_not_get_it_told(shell: Shell, echo: str) -> None:
    def spoil(operation: str, response: Any) -> Any:
        if operation.startswith(("ec2.create_", *([] if command[0] == "provision" else ["ec2.describe_subnets"]))):
            raise AwsError(operation, f"Odd{OTHER_ID}", ECHOES[echo], Verdict.FATAL)
        return response

    command: list[str] = []
    lie(shell, spoil)
    for command in COMMANDS:
        result = shell.run(*command)
        assert result.exit_code == 1
        assert redaction.DROPPED in result.output
        assert_kept(result.stdout + result.stderr, command)
    for file, content in written(shell.states):
        assert_kept(content, file)


@pytest.mark.usefixtures("given")
def test_a_secret_in_a_defect_is_in_no_traceback(shell: Shell) -> None:
    def before(number: int, call: Call) -> None:
        raise RuntimeError(" and ".join(ECHOES.values()))

    shell.before = before
    for options in (["-vv"], ["-vv", "--json"], []):
        result = shell.run("provision", "dev", *options)
        assert result.exit_code == 1
        assert_kept(result.stdout + result.stderr, options)

    def connect(*_: object) -> Any:
        raise RuntimeError(ECHOES["a header"])

    result = CliRunner().invoke(provisioner, ["plan", "dev", "-vv", f"--config-dir={shell.environments}"], obj=connect)
    assert "Traceback" in result.stderr
    assert_kept(result.stdout + result.stderr)


@pytest.mark.usefixtures("given")
def test_a_log_line_tells_no_secret_in_either_form() -> None:
    for form in ("console", "json"):
        stream = io.StringIO()
        hear = log.listener("console" if form == "console" else "json", 2, stream)
        for text in ECHOES.values():
            hear(Event(what="failed", at=0, step=text, operation=text, code=text, why=text, remedy=text, id=text))
        assert stream.getvalue().count("\n") == len(ECHOES)
        assert_kept(stream.getvalue(), form)


def test_the_password_of_the_database_is_never_seen(shell: Shell, tmp_path: Path) -> None:
    said = [shell.done("provision", "dev", "--log-format", "json", "-vv").output]
    for command in ("status", "plan", "outputs", "drift"):
        said += [shell.done(command, "dev").output, shell.done(command, "dev", "--json", "-vv").output]
    shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    said += [shell.done("plan", "dev", "--out", str(tmp_path / "states" / "dev.plan")).output]
    (arn,) = {each["MasterUserSecret"]["SecretArn"] for each in clusters(shell)}
    secret = json.loads(shell.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])["password"]
    assert any(arn in text for text in said), "where it is may be known"
    assert len(secret) > 8
    assert [text for text in said if secret in text] == []
    assert [file for file, content in written(tmp_path) if secret.encode() in content] == []


def clusters(shell: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell.client("rds").describe_db_clusters()["DBClusters"]
    return found


@pytest.mark.parametrize("value", [KEY_ID, KEY, OTHER_KEY, "/".join([TOKEN[:100], TOKEN[:100]])])
def test_a_tag_that_is_a_credential_is_refused_without_being_told(shell: Shell, value: str) -> None:
    shell.edit("dev", 'team = "platform"\n', f'team = "platform"\nticket = "{value}"\n')
    result = shell.run("plan", "dev")
    assert result.exit_code == 2
    assert "tags.ticket: it looks like a key or a token of AWS; leave it out" in result.stderr
    assert_kept(result.output)


# As real processes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealShell]:
    folder = tmp_path_factory.mktemp("canaries")
    aws = folder / "home" / ".aws"
    aws.mkdir(parents=True)
    keys = f"aws_access_key_id={OTHER_ID}\naws_secret_access_key={OTHER_KEY}\naws_session_token={OTHER_TOKEN}\n"
    (aws / "credentials").write_text(f"[default]\n{keys}[other]\n{keys}")
    (aws / "config").write_text(f"[default]\nregion = us-east-1\n{keys}")
    before = dict(os.environ)
    os.environ.update({**GIVEN, "HOME": str(folder / "home")})
    try:
        with shell_over_a_cloud(folder / "states") as made:
            made.environment = {**made.environment, **GIVEN, "HOME": str(folder / "home")}
            yield made
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.process
@pytest.mark.parametrize("files", ["environment", "profile"])
def test_what_a_run_was_given_is_in_nothing_it_wrote_and_in_no_list_of_processes(real: RealShell, files: str) -> None:
    of_aws = {"AWS_ENDPOINT_URL": real.endpoint, "PROVISIONER_CONSISTENCY_WINDOW": "0"}
    if files == "profile":
        of_aws |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")
        of_aws |= {"AWS_PROFILE": "other"}
    plan = real.states / "dev.plan"
    commands = (
        ["plan", "dev", "--target=aws", "--out", str(plan)],
        ["provision", "dev", "--target=aws", "--yes", "-vv", "--log-format=json"],
        ["status", "dev", "--target=aws", "--json", "-vv"],
        ["plan", "dev"],
        ["local", "status"],
    )
    for command in commands:
        with real.started(*command, **of_aws) as running:
            assert_kept(Path(f"/proc/{running.pid}/cmdline").read_bytes(), command)
            stdout, stderr = running.communicate()
        assert running.returncode == 0, stderr
        assert_kept(stdout + stderr, command)
    cloud = process.status(real.states)
    assert cloud is not None
    for name in ("cmdline", "environ"):
        assert_kept(Path(f"/proc/{cloud.pid}/{name}").read_bytes(), name)
    found = dict(written(real.states))
    assert {"acme-dev.json", "acme-dev.lock", "dev.plan", "server.log", "contents"} <= {file.name for file in found}
    for file, content in found.items():
        assert_kept(content, file)
