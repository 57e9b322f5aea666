"""What only real processes show: kill -9, Ctrl-C, terminals, the lock, make, and an environment that means harm.

One embedded cloud serves the page; every wait is for a condition and bounded.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

import pytest

from provisioner.local import process
from state.store import Lock, read
from tests.census import Census, resources
from tests.shell import PATIENCE, ROOT, Process, Shell, shell_over_a_cloud, watched

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One cloud for the page, in a folder with a space in its name."""
    with shell_over_a_cloud(tmp_path_factory.mktemp("the cloud") / "my states") as shell:
        yield shell


@pytest.fixture
def shell(ground: Shell) -> Shell:
    ground.reset()
    return ground


@pytest.fixture(scope="module")
def whole(ground: Shell) -> Census:
    """What stands when dev was built without a disturbance."""
    ground.reset()
    ground.done("provision", "dev")
    return ground.census()


@pytest.fixture
def dev(shell: Shell) -> Shell:
    shell.done("provision", "dev")
    return shell


def read_until(running: Process, word: str, times: int) -> None:
    """Follow the log until a word was said so often; fails if the run ends before."""
    assert running.stderr is not None
    for line in running.stderr:
        times -= f"] {word} " in line
        if times == 0:
            return
    pytest.fail(f"the run ended before its log said {word!r} often enough")


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    return pytest.fail(f"in vain: {what}")


def files(states: Path) -> dict[Path, tuple[bytes, int]]:
    """Read every file that is not the cloud's own: it saves its contents when it likes."""
    kept = [path for path in states.rglob("*") if path.is_file() and "local-cloud" not in path.parts]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept}


# kill -9


@pytest.mark.parametrize(("word", "times"), [("calling", 1), ("calling", 9), ("settled", 9), ("called", 33)])
def test_killed_in_the_middle_the_same_command_gives_exactly_one_of_everything(
    whole: Census, shell: Shell, word: str, times: int
) -> None:
    with shell.started("provision", "dev", "-v") as running:
        read_until(running, word, times)
        running.kill()
    if shell.state().exists():
        assert read(shell.state()) is not None
    shell.done("provision", "dev", "-v")
    assert shell.census() == whole
    assert shell.run("plan", "dev", "--detailed-exitcode").returncode == 0
    state = read(shell.state())
    assert state is not None
    assert {record.status for record in state.steps.values()} == {"settled"}


def test_killed_in_a_teardown_the_same_command_leaves_nothing(dev: Shell) -> None:
    with dev.started("teardown", "dev") as running:
        read_until(running, "called", 9)
        running.kill()
    dev.done("teardown", "dev")
    assert resources(dev.census()) == 0


def test_killed_with_its_process_group_it_leaves_the_cloud_alive(whole: Census, shell: Shell) -> None:
    pid = json.loads(shell.done("local", "status", "--json"))["pid"]
    with shell.started("provision", "dev") as running:
        read_until(running, "called", 10)
        os.killpg(running.pid, signal.SIGKILL)
    assert json.loads(shell.done("local", "status", "--json")) == {
        "running": True,
        "endpoint": shell.endpoint,
        "pid": pid,
    }
    shell.done("provision", "dev")
    assert shell.census() == whole


def test_killed_while_it_starts_the_cloud_the_same_command_finds_or_starts_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "states")
    try:
        with shell.started("provision", "dev") as running:
            eventually((shell.states / "local-cloud" / "server.log").exists, "the cloud to be started")
            os.killpg(running.pid, signal.SIGKILL)
        shell.done("provision", "dev")
        assert servers(shell.states) == 1
    finally:
        process.down(shell.states)


def test_several_at_once_start_exactly_one_cloud_and_share_nothing_in_it(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "states")
    suffixes = ("a", "b", "c")
    try:
        runs = [subprocess.Popen(shell.command("provision", "dev", "--suffix", each), cwd=ROOT) for each in suffixes]
        for running in runs:
            with watched(running):
                assert running.wait() == 0
        assert servers(shell.states) == 1
        assert len(shell.census()["vpc"]) == len(shell.census()["cluster"]) == len(suffixes)
    finally:
        process.down(shell.states)


def servers(states: Path) -> int:
    """Count the processes that serve a state folder's cloud."""
    listed = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)
    return sum(f"--announce {states}" in line and "/bin/sh" not in line for line in listed.stdout.splitlines())


# Ctrl-C


@pytest.mark.parametrize(
    ("command", "which"), [("provision", signal.SIGINT), ("provision", signal.SIGTERM), ("teardown", signal.SIGINT)]
)
def test_interrupted_it_ends_in_good_order(whole: Census, shell: Shell, command: str, which: signal.Signals) -> None:
    if command == "teardown":
        shell.done("provision", "dev")
    with shell.started(command, "dev", "--parallelism=1") as running:
        read_until(running, "called", 3)
        running.send_signal(which)
        stdout, _ = running.communicate()
    assert running.returncode == 130
    assert stdout.splitlines()[-1].startswith(
        f"Interrupted; what was done is kept. To go on: provisioner {command} dev --parallelism=1"
    )
    state = read(shell.state())
    assert state is not None
    assert all(sent.done for record in state.steps.values() for sent in record.calls)
    Lock.acquire(shell.state()).release()
    shell.done(command, "dev")
    assert shell.census() == whole if command == "provision" else resources(shell.census()) == 0


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_looks_it_says_how_to_go_on(shell: Shell, which: signal.Signals) -> None:
    lock = shell.state().with_suffix(".lock")
    with shell.started("provision", "dev", "--parallelism=1") as running:
        eventually(lambda: lock.exists() and lock.read_text(), "the lock to be taken")
        running.send_signal(which)
        stdout, stderr = running.communicate()
    # Where it strikes an exec of source, as in a NamedTuple, CPython ends itself by the signal: a shell's 130 too.
    assert running.returncode in (130, -signal.SIGINT)
    assert "go on" in (stdout or stderr).splitlines()[-1]
    Lock.acquire(shell.state()).release()


def test_interrupted_twice_it_ends_at_once_and_the_same_command_finishes(whole: Census, shell: Shell) -> None:
    def hangs() -> bool:
        """Tell whether a call is under way to which no answer comes."""
        before = shell.state().read_bytes()
        time.sleep(0.5)
        return before == shell.state().read_bytes() and b'"done": null' in before

    with shell.started("provision", "dev", "-v") as running:
        read_until(running, "calling", 1)
        shell.order("/provisioner/faults", latency=2 * PATIENCE)
        eventually(hangs, "a call without an answer")
        running.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=1)
        running.send_signal(signal.SIGINT)
        stdout, _ = running.communicate(timeout=PATIENCE / 2)
    shell.order("/provisioner/faults")
    assert running.returncode == 130
    assert stdout.splitlines()[-1].startswith("Interrupted; what was done is kept. To go on: provisioner provision dev")
    state = read(shell.state())
    assert state is not None
    assert any(sent.done is None for record in state.steps.values() for sent in record.calls)
    shell.done("provision", "dev")
    assert shell.census() == whole


# A disk without room


@pytest.mark.parametrize("kilobytes", [1, 8, 16])
def test_a_full_disk_stops_the_run_before_the_next_call_and_the_same_command_finishes(
    whole: Census, shell: Shell, kilobytes: int
) -> None:
    limited = ["/bin/bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "sh", *shell.command("provision", "dev")]
    with shell.running(limited) as running:
        _, stderr = running.communicate()
    assert running.returncode == 1
    assert f"cannot write {shell.state()}" in stderr
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr
    state = read(shell.state())
    assert (state is None) == (resources(shell.census()) == 0)
    shell.done("provision", "dev")
    assert shell.census() == whole


# The lock, and who takes none


def test_a_second_run_meanwhile_exits_4_and_names_the_holder(shell: Shell) -> None:
    with Lock.acquire(shell.state()):
        second = shell.run("provision", "dev")
    assert second.returncode == 4
    assert f"pid {os.getpid()} on " in second.stderr
    shell.done("provision", "dev")


def test_a_reading_command_leaves_the_state_folder_as_it_was(dev: Shell) -> None:
    before = files(dev.states)
    for command in ("plan", "status", "outputs", "graph"):
        dev.done(command, "dev")
    assert files(dev.states) == before


# The target aws


def test_boto3s_own_way_leads_to_aws_and_states_never_mix(shell: Shell) -> None:
    on_aws = ("dev", "--target=aws", "--consistency-window=0")
    refused = shell.run("provision", *on_aws, **shell.aws)
    assert refused.returncode == 3
    assert "pass --yes" in refused.stderr
    assert resources(shell.census()) == 0
    shell.done("provision", *on_aws, "--yes", **shell.aws)
    assert shell.state(target="aws").exists()
    assert not shell.state(target="local").exists()
    assert shell.run("plan", *on_aws, "--detailed-exitcode", **shell.aws).returncode == 0
    shell.done("teardown", *on_aws, "--yes", **shell.aws)
    assert resources(shell.census()) == 0


def test_aws_out_of_credentials_exits_1_with_what_to_do(shell: Shell) -> None:
    nobody = {key: value for key, value in shell.aws.items() if "KEY" not in key} | {
        "AWS_EC2_METADATA_DISABLED": "true"
    }
    result = shell.run("provision", "dev", "--target=aws", "--yes", **nobody)
    assert result.returncode == 1
    assert "check the AWS credentials" in result.stderr


@pytest.mark.parametrize(("answer", "exit_code"), [("n\n", 3), ("\n", 3), ("\x03", 130), ("\x04", 130)])
def test_on_a_terminal_the_plan_is_shown_and_whoever_does_not_say_yes_changes_nothing(
    shell: Shell, answer: str, exit_code: int
) -> None:
    told, code = on_terminal(shell, answer, "provision", "dev", "--target=aws")
    assert "ec2.create_vpc" in told
    assert "acme-dev in account 123456789012?" in told
    assert code == exit_code
    assert "Traceback" not in told
    assert resources(shell.census()) == 0


def test_on_a_terminal_yes_builds_with_a_live_view(shell: Shell) -> None:
    told, code = on_terminal(shell, "y\n", "provision", "dev", "--target=aws", "--consistency-window=0", TERM="xterm")
    assert code == 0
    assert "done in" in told
    assert "[info" not in told
    assert resources(shell.census()) > 0


def on_terminal(shell: Shell, answer: str, *arguments: str, **environment: str) -> tuple[str, int]:
    """Run a command on a terminal and answer its question; gives all that was on the screen, and the exit code."""
    master, slave = pty.openpty()
    # It has to be the controlling terminal, so that what is typed can interrupt.
    controlled = [sys.executable, "-c", "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"]
    with subprocess.Popen(
        [*controlled, *shell.command(*arguments)],
        cwd=ROOT,
        env=shell.environment | shell.aws | environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as running:
        os.close(slave)
        told = ""
        with watched(running), suppress(OSError):
            while True:
                if select([master], [], [], 0.2)[0]:
                    told += os.read(master, 65536).decode(errors="replace")
                elif "[y/N]" in told:
                    # Python loses a Ctrl-C in the instant in which it begins to read: typed again, as people do.
                    os.write(master, answer.encode())
        code = running.wait()
    os.close(master)
    return told, code


# An environment that means harm


def test_the_local_target_takes_nothing_from_the_environment(whole: Census, shell: Shell, tmp_path: Path) -> None:
    garbage = tmp_path / "config"
    garbage.write_text("[[[ not an ini file")
    hostile = {
        "AWS_PROFILE": "nowhere",
        "AWS_CONFIG_FILE": str(garbage),
        "AWS_SHARED_CREDENTIALS_FILE": str(garbage),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "mars-1",
        "AWS_REGION": "mars-1",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "many",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    shell.done("provision", "dev", **hostile)
    assert shell.census() == whole
    shell.done("local", "status", **hostile)
    shell.done("teardown", "dev", **hostile)


# Streams


def test_a_reader_that_went_away_is_no_traceback(dev: Shell) -> None:
    for command in (["status", "dev"], ["plan", "nowhere", "--json"]):
        with dev.started(*command) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            running.stdout.close()
            assert running.stderr.read() == ""
        assert running.returncode == 1


def test_streams_may_be_closed_and_need_not_know_every_character(dev: Shell) -> None:
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *dev.command("provision", "dev")]
    assert subprocess.run(closed, cwd=ROOT, env=dev.environment, timeout=PATIENCE).returncode == 0
    assert "vpc (Vpc)" in dev.done("graph", "dev", PYTHONIOENCODING="ascii")


# make


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose path has a space in it, with what ``make install`` makes standing in for itself."""
    folder = tmp_path / "a check out"
    for name in ("provisioner", "steps", "state", "environments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "setup.cfg", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / ".venv" / "installed").touch()
    return folder


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = Shell(checkout).environment
    command = ["make", *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def test_make_provisions_and_tears_down_from_a_path_with_a_space(checkout: Path) -> None:
    try:
        built = make(checkout, "provision", "ENV=dev", "SUFFIX=pr-42")
        assert built.returncode == 0, built.stderr
        assert "provision acme-dev-pr-42: done in" in built.stdout
        again = make(checkout, "provision", "ENV=dev", "SUFFIX=pr-42", "ARGS=--json --log-format=json")
        assert json.loads(again.stdout)["calls"]["mutating"] == 0
        gone = make(checkout, "teardown", "ENV=dev", "SUFFIX=pr-42", "YES=1")
        assert "teardown acme-dev-pr-42: done in" in gone.stdout
        refused = make(checkout, "status", "ENV=nowhere")
        assert refused.returncode == 2
        assert "provisioner exited with 2" in refused.stderr
    finally:
        process.down(checkout / ".provisioner")


def test_make_alone_prints_help(checkout: Path) -> None:
    told = make(checkout)
    assert told.returncode == 0
    for target in ("install", "provision", "plan", "teardown", "status", "test", "crash", "check", "cover", "bench"):
        assert f"make {target} " in told.stdout


@pytest.mark.parametrize("target", ["provision", "plan", "teardown", "status"])
def test_make_without_env_says_so(checkout: Path, target: str) -> None:
    told = make(checkout, target)
    assert told.returncode == 2
    assert f"ENV is missing; type: make {target} ENV=dev" in told.stderr


def test_make_passes_what_it_is_given_to_no_shell(checkout: Path) -> None:
    told = make(checkout, "plan", "ENV=$(shell touch harm); touch harm; `touch harm`")
    assert told.returncode == 2
    assert not (checkout / "harm").exists()


def test_make_installs_anew_where_the_python_of_the_venv_is_gone(checkout: Path) -> None:
    assert "pip install" not in make(checkout, "-n", "status", "ENV=dev").stdout
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout / "gone")
    assert "pip install" in make(checkout, "-n", "status", "ENV=dev").stdout


def test_what_the_shell_has_set_does_not_reach_the_tests() -> None:
    harm = {"AWS_PROFILE": "nowhere", "PROVISIONER_TARGET": "aws", "http_proxy": "http://127.0.0.1:1"}
    one = "tests/test_cli.py::test_what_a_script_reads_of_a_stack_that_is_absent"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | harm, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout
