"""The commands as scripts and people meet them: exit codes, JSON and messages, against a cloud in this process."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from moto.backends import get_backend

from provisioner.aws import Aws, Told
from provisioner.cli import provisioner
from provisioner.clock import Clock, RealClock
from provisioner.errors import AwsError, Verdict
from provisioner.kit import Call
from provisioner.local import wire
from provisioner.local.cloud import ACCOUNT, Cloud
from provisioner.local.faults import Faults
from provisioner.session import Connect, Request
from state.store import Lock
from tests.census import Census, census, resources
from tests.golden import assert_golden
from tests.world import ENVIRONMENTS, REGION, Watched

Clients = Callable[[str], Any]
READS = (["plan", "dev"], ["status", "dev"], ["outputs", "dev"], ["graph", "dev"])


class Shell:
    """The command line in a folder of its own; what AWS is asked goes to the cloud in this process."""

    def __init__(self, folder: Path, clients: Clients) -> None:
        self.client = clients
        self.environments, self.states = folder / "environments", folder / "states"
        shutil.copytree(ENVIRONMENTS, self.environments)
        self.before: Callable[[int, Call], None] = lambda number, call: None
        self.connecting: Connect = self.connect
        self.connected: list[Watched] = []
        self.clock: Clock = RealClock()

    def run(self, *arguments: str) -> Result:
        """Run a command to its end; one that ends in anything but an exit code fails the test."""
        folders = {"--config-dir": self.environments, "--state-dir": self.states}
        options = [f"{key}={folder}" for key, folder in folders.items() if key not in arguments]
        taken = {"environments": "--config-dir", "local": "--state-dir"}.get(arguments[0], "")
        options = [option for option in options if option.startswith(taken)]
        result = CliRunner().invoke(provisioner, [*arguments, *options], obj=self.connecting)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.stdout + result.stderr
        return result

    def done(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result

    def told(self, *arguments: str) -> Any:
        """Give the one JSON document of a command that succeeds."""
        return json.loads(self.done(*arguments, "--json").stdout)

    def connect(self, request: Request, region: str, clock: Clock, told: Told) -> Aws:
        self.clock = clock
        aws = Watched(self.client, clock, told)
        aws.calls = []
        aws.before = self.before
        self.connected.append(aws)
        return aws

    @property
    def calls(self) -> list[str]:
        """The mutating calls of the last command."""
        return [call.operation for call in self.connected[-1].calls]

    def state(self, stack: str = "acme-dev", target: str = "local") -> Path:
        return self.states / target / f"{stack}.json"

    def edit(self, environment: str, old: str, new: str) -> None:
        file = self.environments / f"{environment}.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def without(self, environment: str, table: str) -> None:
        """Take a table out of the environment file."""
        file = self.environments / f"{environment}.toml"
        file.write_text(re.sub(rf"(?ms)^\[{table}\].*?(?=^\[|\Z)", "", file.read_text()))
        assert table not in tomllib.loads(file.read_text())

    def census(self) -> Census:
        return census(self.client)


@pytest.fixture(scope="module")
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> Clients:
    """Make each client once: one costs more than a whole run."""
    session, made = wire.isolated_session(REGION), {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = wire.plug(session.client(service, **wire.client_options()), cloud)
        return made[service]

    return client


@pytest.fixture
def shell(cloud: Cloud, clients: Clients, tmp_path: Path) -> Shell:
    cloud.reset()
    return Shell(tmp_path, clients)


@pytest.fixture
def dev(shell: Shell) -> Shell:
    """A shell with dev built."""
    shell.done("provision", "dev")
    return shell


def files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def refuse(operation: str, error: AwsError) -> Callable[[int, Call], None]:
    def before(number: int, call: Call) -> None:
        if call.operation == operation:
            raise error

    return before


_ID = re.compile(r"\b(acl|fl|vpc|subnet|sg|igw|rtb|vpce)-[0-9a-f]{8,17}\b")
_RANDOM = re.compile(r"(?<=\.cluster-)(ro-)?[a-z0-9]{12}(?=\.)|(?<=:secret:rds!cluster-)[\w-]+")


def normal(text: str) -> str:
    """Give every id the number of its first appearance, and take out what chance and time decide."""
    numbers: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"{found[1]}-#{sum(key.startswith(found[1] + '-') for key in numbers) + 1}")

    text = _RANDOM.sub(lambda found: f"{found[1] or ''}*", _ID.sub(numbered, text))
    return re.sub(r'"(seconds|reads)": [\d.]+', r'"\1": "*"', text)


# Exit codes


def test_provision_builds_and_then_finds_nothing_to_do(shell: Shell) -> None:
    assert "done in" in shell.done("provision", "dev").stdout
    assert shell.calls
    built = shell.census()
    again = shell.done("provision", "dev")
    assert "nothing to do" in again.stdout
    assert not shell.calls
    assert shell.census() == built


def test_a_failed_step_exits_1_says_what_to_do_and_the_same_command_goes_on(shell: Shell) -> None:
    shell.before = refuse(
        "rds.create_db_cluster", AwsError("rds.create_db_cluster", "AccessDenied", "not yours", Verdict.FATAL)
    )
    failed = shell.run("provision", "dev", "--log-format", "console")
    assert failed.exit_code == 1
    assert "cluster failed at rds.create_db_cluster" in failed.stdout
    assert "AccessDenied: not yours" in failed.stdout
    assert "grant this identity" in failed.stdout
    assert "blocked:    cluster-1" in failed.stdout
    last = failed.stdout.splitlines()[-1]
    assert last.startswith("Everything else is kept.")
    assert "provisioner provision dev --log-format console --config-dir=" in last
    told = json.loads(shell.run("provision", "dev", "--json").stdout)
    assert (told["result"], told["exit_code"]) == ("failed", 1)
    assert [each["step"] for each in told["failures"]] == ["cluster"]
    assert told["failures"][0].keys() == {"step", "operation", "code", "message", "remedy"}
    shell.before = lambda number, call: None
    shell.done("provision", "dev")
    assert shell.calls == ["rds.create_db_cluster", "rds.create_db_instance"]


def test_aws_out_of_reach_exits_1(shell: Shell) -> None:
    def connect(*_: Any) -> Aws:
        raise AwsError("sts.get_caller_identity", "NoCredentials", "Unable to locate credentials", Verdict.FATAL)

    shell.connecting = connect
    result = shell.run("provision", "dev", "--target", "aws", "--yes")
    assert result.exit_code == 1
    assert "check the AWS credentials" in result.stderr


WRONG: dict[str, Sequence[str]] = {
    "no ENV": ["plan"],
    "no such option": ["plan", "dev", "--bogus"],
    "no such target": ["plan", "dev", "--target", "mars"],
    "a negative window": ["plan", "dev", "--consistency-window=-1"],
    "no such environment": ["plan", "nope"],
    "a path for a name": ["plan", "../dev"],
    "a control character": ["plan", "\x1b[31mdev\n"],
    "not UTF-8": ["plan", "\udcff"],
    "an empty name": ["plan", ""],
    "no such folder": ["plan", "dev", "--config-dir", "/nowhere"],
    "a bad suffix": ["plan", "dev", "--suffix", "Not Good"],
    "a suffix too long": ["plan", "dev", "--suffix", "x" * 80],
}
BAD_FILES = {
    "not TOML": "project = ",
    "empty": "",
    "unknown key": '[network]\ncird = "10.0.0.0/16"\n',
    "not UTF-8": "project = '\udcff'",
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_exits_2_or_1_with_detailed_exitcode(shell: Shell, arguments: Sequence[str]) -> None:
    folder = () if "--config-dir" not in arguments else ("--state-dir", str(shell.states))
    result = shell.run(*arguments, *folder)
    assert result.exit_code == 2
    assert not result.stdout
    assert "\x1b" not in result.stderr
    assert shell.run(*arguments, *folder, "--detailed-exitcode").exit_code == 1
    assert_error(shell.run(*arguments, *folder, "--json"), 2)
    assert not shell.states.exists()


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_environment_file_exits_2_or_1_with_detailed_exitcode(shell: Shell, content: str) -> None:
    file = shell.environments / "dev.toml"
    file.write_bytes(content.encode(errors="surrogateescape"))
    result = shell.run("provision", "dev")
    assert result.exit_code == 2
    assert str(file) in result.stderr
    assert shell.run("plan", "dev", "--detailed-exitcode").exit_code == 1
    assert assert_error(shell.run("plan", "dev", "--json"), 2) == "config"


def test_all_mistakes_of_a_file_are_told_at_once(shell: Shell) -> None:
    shell.edit("dev", "zones = 2", "zones = 7")
    shell.edit("dev", "max_acu = 1 ", "max_acus = 1 ")
    told = shell.run("plan", "dev").stderr
    assert "network.zones" in told
    assert "database.max_acus" in told


def test_an_environment_file_that_cannot_be_read_exits_2(shell: Shell) -> None:
    (shell.environments / "test.toml").mkdir()
    result = shell.run("plan", "test")
    assert result.exit_code == 2
    assert "make it a file that you may read" in result.stderr


@pytest.mark.parametrize("arguments", [["bogus", "--json"], ["environments", "--bogus", "--json"]])
def test_a_command_or_option_that_is_not_there_is_an_error_document_too(shell: Shell, arguments: Sequence[str]) -> None:
    result = CliRunner().invoke(provisioner, arguments)
    assert assert_error(result, 2) == "usage"


@pytest.mark.parametrize("arguments", [[], ["local"]])
def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(provisioner, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: provisioner")


def test_help_tells_every_exit_code(shell: Shell) -> None:
    told = " ".join(CliRunner().invoke(provisioner, ["--help"]).stdout.split())
    assert re.findall(r"(?:codes:|;) (\d+) ", told) == ["0", "1", "2", "3", "4", "130"]


STATES = {
    "garbage": ("garbage", "damaged", "mv "),
    "an empty file": ("", "damaged", "mv "),
    "another document": ("{}", "damaged", "mv "),
    "a later version": ('{"schema": 99}', "newer", "upgrade provisioner to the version that wrote it"),
}


@pytest.mark.parametrize(("content", "code", "remedy"), STATES.values(), ids=STATES.keys())
def test_a_state_that_cannot_be_used_exits_3_and_stays_as_it_is(
    shell: Shell, content: str, code: str, remedy: str
) -> None:
    shell.state().parent.mkdir(parents=True)
    shell.state().write_text(content)
    result = shell.run("provision", "dev")
    assert result.exit_code == 3
    assert remedy in result.stderr
    assert assert_error(shell.run("plan", "dev", "--json"), 3) == code
    assert shell.run("plan", "dev", "--detailed-exitcode").exit_code == 1
    assert shell.state().read_text() == content
    assert resources(shell.census()) == 0


@pytest.mark.parametrize(("here", "elsewhere"), [(REGION, "eu-west-1"), (ACCOUNT, "210987654321")])
def test_the_state_of_another_region_or_account_exits_3(dev: Shell, here: str, elsewhere: str) -> None:
    document = dev.state().read_text()
    dev.state().write_text(document.replace(f'": "{here}"', f'": "{elsewhere}"'))
    for command in ("provision", "teardown", "plan"):
        result = dev.run(command, "dev")
        assert result.exit_code == 3
        assert not dev.calls
        assert elsewhere in result.stderr
        assert here in result.stderr


def test_a_state_folder_that_is_a_file_exits_1_and_is_named(shell: Shell) -> None:
    shell.states.write_text("in the way")
    result = shell.run("provision", "dev")
    assert result.exit_code == 1
    assert str(shell.states) in result.stderr
    assert "--state-dir" in result.stderr
    assert_error(shell.run("plan", "dev", "--json"), 1)


def test_a_state_that_cannot_be_read_exits_1(shell: Shell) -> None:
    shell.state().mkdir(parents=True)
    assert assert_error(shell.run("plan", "dev", "--json"), 1) == "unreadable"


def test_what_is_not_ours_exits_3_before_anything_is_changed(shell: Shell) -> None:
    shell.client("s3").create_bucket(Bucket=f"acme-dev-{ACCOUNT}-{REGION}")
    result = shell.run("provision", "dev")
    assert result.exit_code == 3
    assert result.stderr.startswith("Refused to provision; nothing was changed.")
    assert "put-bucket-tagging" in result.stderr
    assert not shell.calls
    assert assert_error(shell.run("provision", "dev", "--json"), 3) == "refused"


def test_a_second_run_meanwhile_exits_4_and_names_the_holder(dev: Shell) -> None:
    with Lock.acquire(dev.state()):
        for command in ("provision", "teardown"):
            result = dev.run(command, "dev")
            assert result.exit_code == 4
            assert re.search(r"pid \d+ on \S+ since 20\d\d-", result.stderr)
            assert assert_error(dev.run(command, "dev", "--json"), 4) == "held"
    dev.done("provision", "dev")


@pytest.mark.parametrize("number", [1, 4, 12, 30])
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_exits_130_tells_how_to_go_on_and_the_same_command_finishes(
    shell: Shell, number: int, which: signal.Signals
) -> None:
    def before(count: int, call: Call) -> None:
        if count == number:
            # Python notices a signal late if it comes in the instant in which the thread falls asleep.
            while not shell.clock.stopped.wait(0.05):
                signal.pthread_kill(threading.main_thread().ident or 0, which)

    shell.done("provision", "dev", "--suffix", "whole", "--parallelism=1")
    whole = resources(shell.census())
    shell.before = before
    stopped = shell.run("provision", "dev", "--parallelism=1")
    assert stopped.exit_code == 130
    assert stopped.stdout.splitlines()[-1].startswith(
        "Interrupted; what was done is kept. To go on: provisioner provision dev --parallelism=1"
    )
    assert len(shell.calls) == number
    shell.before = lambda number, call: None
    shell.done("provision", "dev")
    assert resources(shell.census()) == 2 * whole
    assert "Nothing to do" in shell.done("plan", "dev").stdout


def test_interrupted_before_the_first_call_it_exits_130_and_lets_go_of_the_lock(shell: Shell) -> None:
    def connect(*_: Any) -> Aws:
        raise KeyboardInterrupt

    own, shell.connecting = shell.connecting, connect
    result = shell.run("provision", "dev")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "run the same command again to go on"
    assert assert_error(shell.run("plan", "dev", "--json"), 130) == "interrupted"
    shell.connecting = own
    shell.done("provision", "dev")


def test_detailed_exitcode_is_2_where_there_is_something_to_do_and_0_where_there_is_not(shell: Shell) -> None:
    assert shell.run("plan", "dev", "--detailed-exitcode").exit_code == 2
    assert shell.run("plan", "dev").exit_code == 0
    shell.done("provision", "dev")
    assert shell.run("plan", "dev", "--detailed-exitcode").exit_code == 0
    shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    assert shell.run("plan", "dev", "--detailed-exitcode").exit_code == 2


def test_a_defect_is_told_in_two_lines_and_exits_1(shell: Shell) -> None:
    def connect(*_: Any) -> Aws:
        raise ZeroDivisionError("of all things")

    shell.connecting = connect
    result = shell.run("plan", "dev")
    assert result.exit_code == 1
    assert "ZeroDivisionError: of all things\nthis is a defect of provisioner" in result.stderr
    where = CliRunner().invoke(provisioner, ["plan", "dev", "-vv", f"--config-dir={shell.environments}"], obj=connect)
    assert where.exit_code == 1
    assert where.stderr.startswith("Traceback")
    assert "in connect" in where.stderr


def assert_error(result: Result, exit_code: int) -> str:
    """Fail unless the command ended in one error document and nothing else; gives the error's code."""
    assert result.exit_code == exit_code, result.output
    document = json.loads(result.stdout)
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"code", "message", "remedy"}
    assert all(isinstance(value, str) and value for value in document["error"].values())
    assert not result.stderr.strip()
    return str(document["error"]["code"])


# JSON


@pytest.mark.parametrize("command", ["plan", "status", "graph", "provision"])
def test_what_a_script_reads_of_a_stack_that_is_absent(shell: Shell, command: str) -> None:
    assert_golden(f"json/{command}-absent.json", normal(shell.done(command, "dev", "--json").stdout))


@pytest.mark.parametrize("command", ["plan", "status", "outputs", "teardown"])
def test_what_a_script_reads_of_a_stack_that_is_settled(dev: Shell, command: str) -> None:
    assert_golden(f"json/{command}-settled.json", normal(dev.done(command, "dev", "--json").stdout))


def test_what_a_script_reads_of_a_stack_that_differs(dev: Shell) -> None:
    dev.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    groups = dev.told("outputs", "dev")
    dev.client("ec2").authorize_security_group_ingress(
        GroupId=groups["app_security_group_id"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    for command in ("plan", "status"):
        steps = {each["step"]: each for each in dev.told(command, "dev")["steps"]}
        assert {name for name, each in steps.items() if each["status"] != "settled"} == {"app-rules", "cluster"}


def test_a_plan_that_is_refused_is_told_whole_with_what_forbids_it(dev: Shell) -> None:
    dev.without("dev", "bucket")
    dev.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    refused = dev.run("plan", "dev", "--json")
    assert refused.exit_code == 3
    assert not refused.stderr
    document = json.loads(refused.stdout)
    assert list(document) == ["stack", "target", "region", "steps", "mutating_calls", "expected", "refusals", "cost"]
    assert {each["step"] for each in document["steps"] if each["calls"]} == {"bucket", "cluster"}
    (told,) = document["refusals"]
    assert told.keys() == {"where", "what", "remedy"}
    assert told["where"] == "bucket"
    assert "--delete-data" in told["remedy"]
    assert dev.run("plan", "dev", "--json", "--detailed-exitcode").exit_code == 1


def test_status_shows_the_others_where_one_step_cannot_be_looked_at(dev: Shell) -> None:
    ec2 = dev.client("ec2")
    ours = ec2.describe_internet_gateways(Filters=[{"Name": "tag:provisioner:step", "Values": ["internet"]}])
    tags = [{"ResourceType": "internet-gateway", "Tags": ours["InternetGateways"][0]["Tags"]}]
    ec2.create_internet_gateway(TagSpecifications=tags)
    document = dev.run("status", "dev", "--json")
    assert document.exit_code == 1
    assert not document.stderr
    steps = {each["step"]: each for each in json.loads(document.stdout)["steps"]}
    assert {name for name, each in steps.items() if each["status"] != "settled"} == {
        "internet",
        "public-routes",
        "s3-endpoint",
    }
    assert {each["status"] for each in steps.values()} == {"settled", "broken"}
    assert "internet exists 2 times: igw-" in steps["internet"]["detail"]
    assert steps["public-routes"]["detail"] == "not looked at, for it needs internet"
    text = dev.run("status", "dev")
    assert text.exit_code == 1
    assert "19 settled, 3 broken" in text.stdout
    assert text.stdout.splitlines()[-1] == "  remove or retag all but one, then run the command again"


def test_credentials_that_expire_during_a_status_are_all_that_is_told(dev: Shell, cloud: Cloud) -> None:
    cloud.switch(Faults(expire_at=20))
    try:
        # EC2, RDS and CloudWatch Logs call it differently, and which is asked first is the threads' choice.
        told = assert_error(dev.run("status", "dev", "--json"), 1)
        assert told in ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
    finally:
        cloud.switch(Faults())


def test_outputs_as_an_env_file(dev: Shell) -> None:
    assert_golden("json/outputs.env", normal(dev.done("outputs", "dev", "--format", "env").stdout))


def test_outputs_are_the_documented_keys_in_their_order(dev: Shell) -> None:
    keys = (
        "vpc_id public_subnet_ids private_subnet_ids app_security_group_id database_security_group_id bucket"
        " cluster_endpoint reader_endpoint port database secret_arn alerts_topic backup_vault log_bucket"
        " region account"
    )
    assert list(dev.told("outputs", "dev")) == keys.split()
    env = dev.done("outputs", "dev", "--format", "env").stdout
    assert [line.partition("=")[0] for line in env.splitlines()] == keys.upper().split()


def test_subnets_are_given_in_the_order_of_their_zones(dev: Shell) -> None:
    found = dev.told("outputs", "dev")
    for key in ("public_subnet_ids", "private_subnet_ids"):
        listed = dev.client("ec2").describe_subnets(SubnetIds=found[key])["Subnets"]
        zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in listed}
        assert [zones[subnet] for subnet in found[key]] == [f"{REGION}a", f"{REGION}b"]


def test_outputs_of_a_stack_that_is_not_there_exit_1_with_the_command_that_builds_it(shell: Shell) -> None:
    result = shell.run("outputs", "dev", "--suffix", "pr-42")
    assert result.exit_code == 1
    assert not result.stdout
    assert result.stderr.endswith("build it: provisioner provision dev --suffix pr-42\n")
    assert assert_error(shell.run("outputs", "dev", "--json"), 1) == "absent"


def test_outputs_of_a_stack_of_which_only_something_foreign_stands_exit_1(shell: Shell) -> None:
    shell.client("s3").create_bucket(Bucket=f"acme-dev-{ACCOUNT}-{REGION}")
    assert assert_error(shell.run("outputs", "dev", "--json"), 1) == "absent"


def test_environments_are_listed(shell: Shell) -> None:
    assert shell.done("environments").stdout.split() == ["dev", "prod", "staging"]
    assert_golden("json/environments.json", shell.done("environments", "--json").stdout)


def test_no_environment_is_told_with_the_command_that_writes_some(shell: Shell, tmp_path: Path) -> None:
    told = shell.done("environments", "--config-dir", str(tmp_path / "none")).stdout
    assert "provisioner environments --write" in told
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_exits_1_and_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = shell.run("environments", "--write", "--config-dir", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr


def test_the_cloud_that_does_not_run_is_told_without_a_trace(shell: Shell) -> None:
    assert_golden("json/local-status.json", shell.done("local", "status", "--json").stdout)
    assert "provisioner local up" in shell.done("local", "status").stdout
    assert json.loads(shell.done("local", "down", "--json").stdout) == {"running": False, "ended": False}
    assert not shell.states.exists()


# Reading


@pytest.mark.parametrize("arguments", READS, ids=lambda arguments: arguments[0])
def test_a_reading_command_neither_locks_nor_writes(dev: Shell, arguments: Sequence[str]) -> None:
    with Lock.acquire(dev.state()):
        before = files(dev.states)
        dev.done(*arguments)
        dev.done(*arguments, "--json")
        assert files(dev.states) == before
    assert not dev.calls


@pytest.mark.parametrize("arguments", READS, ids=lambda arguments: arguments[0])
def test_a_reading_command_leaves_no_folder(shell: Shell, arguments: Sequence[str]) -> None:
    shell.run(*arguments)
    assert not shell.states.exists()


@pytest.mark.parametrize("command", ["status", "outputs", "graph", "teardown"])
def test_a_version_that_is_not_offered_keeps_nobody_from_looking_or_tearing_down(dev: Shell, command: str) -> None:
    dev.edit("dev", "[database]", '[database]\nengine_version = "99"')
    for refused in ("plan", "provision"):
        result = dev.run(refused, "dev")
        assert result.exit_code == 3
        assert "99 is not offered" in result.stderr
    dev.done(command, "dev")


# The target aws


@pytest.mark.parametrize("command", ["provision", "teardown"])
def test_on_aws_nobody_to_ask_and_no_yes_is_a_refusal(shell: Shell, command: str) -> None:
    shell.done("provision", "dev", "--target=aws", "--yes", "--consistency-window=0")
    shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    built = shell.census()
    result = shell.run(command, "dev", "--target=aws")
    assert result.exit_code == 3
    assert "pass --yes" in result.stderr
    assert not shell.calls
    assert assert_error(shell.run(command, "dev", "--target=aws", "--json"), 3) == "unconfirmed"
    assert shell.census() == built


@pytest.mark.parametrize("command", ["provision", "teardown"])
def test_on_aws_a_change_that_waits_for_something_busy_is_asked_about(shell: Shell, command: str) -> None:
    shell.done("provision", "dev", "--target=aws", "--yes", "--consistency-window=0")
    backends: Any = get_backend("rds")
    backends[ACCOUNT][REGION].clusters["acme-dev-cluster"].status = "backing-up"
    shell.edit("dev", "max_acu = 1 ", "max_acu = 2 ")
    assert shell.told("plan", "dev", "--target=aws")["mutating_calls"] == 0
    assert shell.run("plan", "dev", "--target=aws", "--detailed-exitcode").exit_code == 2
    assert assert_error(shell.run(command, "dev", "--target=aws", "--json"), 3) == "unconfirmed"
    assert not shell.calls


def test_on_aws_with_nothing_to_do_nobody_is_asked(shell: Shell) -> None:
    shell.done("provision", "dev", "--target=aws", "--yes", "--consistency-window=0")
    shell.done("provision", "dev", "--target=aws")
    assert not shell.calls


def test_the_target_can_come_from_the_environment(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONER_TARGET", "aws")
    assert shell.told("plan", "dev")["target"] == "aws"
    assert shell.told("plan", "dev", "--target=local")["target"] == "local"


def test_states_of_the_targets_are_apart(dev: Shell) -> None:
    local = files(dev.states)
    dev.done("provision", "dev", "--target=aws", "--yes", "--consistency-window=0")
    assert dev.state(target="aws").exists()
    dev.done("teardown", "dev", "--target=aws", "--yes", "--consistency-window=0")
    assert local.items() <= files(dev.states).items()


# Teardown


def test_teardown_of_dev_leaves_nothing_and_can_be_repeated(dev: Shell) -> None:
    dev.done("teardown", "dev")
    assert resources(dev.census()) == 0
    assert json.loads(dev.state().read_text())["steps"] == {}
    again = dev.done("teardown", "dev")
    assert not dev.calls
    assert "nothing to do" in again.stdout
    assert dev.run("outputs", "dev").exit_code == 1


def test_teardown_of_what_never_was_is_done(shell: Shell) -> None:
    shell.done("teardown", "dev")
    assert not shell.calls


def test_teardown_of_prod_names_all_that_is_protected_first_and_then_its_final_snapshot(shell: Shell) -> None:
    shell.done("provision", "prod")
    bucket = shell.told("outputs", "prod")["bucket"]
    shell.client("s3").put_object(Bucket=bucket, Key="precious", Body=b"1")
    built = shell.census()
    refused = shell.run("teardown", "prod")
    assert refused.exit_code == 3
    assert not shell.calls
    assert "to go on: --disable-protection" in refused.stderr
    assert "to go on: --delete-data" in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("All of these flags: ")
    half = shell.run("teardown", "prod", "--disable-protection")
    assert half.exit_code == 3
    assert not shell.calls
    assert "--delete-data" in assert_refused(shell.run("teardown", "prod", "--json"))
    assert shell.census() == built
    cluster = shell.client("rds").describe_db_clusters()["DBClusters"][0]
    snapshot = f"acme-prod-cluster-final-{cluster['DbClusterResourceId'].lower()}"
    gone = shell.done("teardown", "prod", "--disable-protection", "--delete-data")
    assert snapshot in gone.stdout.splitlines()[-1]
    (key,) = shell.census()["key"]
    assert key["Name"].startswith("the key acme-prod-key ")
    assert "key arn:aws:kms:" in gone.stdout.splitlines()[-1]
    assert resources(shell.census()) == 2
    (kept,) = shell.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    assert kept["DBClusterSnapshotIdentifier"] == snapshot


def test_teardown_without_a_final_snapshot_leaves_none(shell: Shell) -> None:
    shell.done("provision", "prod")
    gone = shell.told("teardown", "prod", "--disable-protection", "--skip-final-snapshot")
    (key,) = gone["remains"]
    assert key.startswith("key arn:aws:kms:")
    assert "(free; gone for good on " in key
    assert resources(shell.census()) == 0
    assert not shell.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]


def assert_refused(result: Result) -> str:
    assert assert_error(result, 3) == "refused"
    return str(json.loads(result.stdout)["error"]["remedy"])


def test_a_suffix_makes_a_stack_that_shares_nothing(shell: Shell) -> None:
    shell.done("provision", "dev", "--suffix", "a")
    alone = shell.census()
    shell.done("provision", "dev", "--suffix", "b")
    found = {suffix: shell.told("outputs", "dev", "--suffix", suffix) for suffix in ("a", "b")}
    for key in ("vpc_id", "app_security_group_id", "bucket", "cluster_endpoint", "secret_arn"):
        assert found["a"][key] != found["b"][key]
    assert not set(found["a"]["private_subnet_ids"]) & set(found["b"]["private_subnet_ids"])
    shell.done("teardown", "dev", "--suffix", "b")
    assert shell.census() == alone
    shell.done("provision", "dev", "--suffix", "a")
    assert not shell.calls


# Preflight


def test_a_preflight_is_told_as_one_document(dev: Shell, cloud: Cloud) -> None:
    assert_golden("json/preflight-settled.json", normal(dev.done("preflight", "dev", "--json").stdout))
    dev.edit("dev", "instances = 1", "instances = 3")
    cloud.allow(instances=2)
    cloud.deny(["iam:SimulatePrincipalPolicy"])
    refused = dev.run("preflight", "dev", "--json")
    assert refused.exit_code == 3
    assert not refused.stderr
    assert_golden("json/preflight-refused.json", normal(refused.stdout.replace(f"{dev.environments.parent}/", "")))
    assert dev.run("provision", "dev").exit_code == 3
    assert not dev.calls


def test_a_preflight_that_refuses_nothing_says_so_with_what_it_could_not_ask(shell: Shell, cloud: Cloud) -> None:
    cloud.deny(["servicequotas:ListServiceQuotas"])
    assert shell.done("preflight", "dev").stdout.splitlines() == [
        "acme-dev on local in us-east-1, as arn:aws:sts::123456789012:user/moto",
        "not checked: service-quotas.list_service_quotas was not answered (AccessDeniedException)",
        "Nothing stands in the way.",
    ]


def test_what_a_plan_would_delete_is_said_first(dev: Shell) -> None:
    dev.without("dev", "bucket")
    shown = dev.run("plan", "dev")
    assert shown.stdout.splitlines()[0] == f"This deletes data: bucket acme-dev-{ACCOUNT}-{REGION}."
    assert shown.exit_code == 3


def test_a_run_tells_its_warnings_and_goes_on(shell: Shell) -> None:
    shell.edit("staging", "10.20.0.0/16", "10.10.0.0/16")
    document = shell.told("provision", "dev")
    (warned,) = document["warnings"]
    assert (warned["where"], document["exit_code"]) == ("network.cidr", 0)
    assert shell.run("provision", "dev", "--strict").exit_code == 3
    assert not shell.calls


# What left the environment file


@pytest.mark.parametrize("table", ["bucket", "database"])
def test_data_that_left_the_file_goes_only_when_told(dev: Shell, table: str) -> None:
    built = dev.census()
    dev.without("dev", table)
    refused = dev.run("provision", "dev")
    assert refused.exit_code == 3
    assert "--delete-data" in refused.stderr
    assert not dev.calls
    assert dev.census() == built
    dev.done("provision", "dev", "--delete-data")
    left = dev.census()
    assert not left["bucket" if table == "bucket" else "cluster"]
    assert left["vpc"] == built["vpc"]
    dev.done("provision", "dev")
    assert not dev.calls


def test_a_plan_shows_what_left_the_file(dev: Shell) -> None:
    dev.without("dev", "bucket")
    shown = dev.run("plan", "dev")
    assert "left the environment file" in shown.stdout
    assert "s3.delete_bucket" in shown.stdout
    assert shown.exit_code == 3


# Logs


def test_log_lines_go_to_stderr_and_the_report_to_stdout(shell: Shell) -> None:
    result = shell.done("provision", "dev", "--log-format", "json", "--json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"called", "settled"} <= {line["event"] for line in lines}
    assert json.loads(result.stdout)["result"] == "done"


def test_a_reading_command_logs_only_when_asked(dev: Shell) -> None:
    assert not dev.done("plan", "dev").stderr
