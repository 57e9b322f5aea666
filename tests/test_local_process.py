"""The embedded cloud's process: one of it, found again, touched by nothing that happens to the commands.

A stand-in answers in place of the real server: what it answers is none of this module's business.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.local.process import CloudError, Missing, Running, down, status, up

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[1]

STAND_IN = """
import http.server, json, os, signal, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {
            "env": dict(os.environ), "cwd": os.getcwd(), "session": os.getsid(0), "parent": os.getppid(),
            "descriptors": sorted(os.listdir("/dev/fd")),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
announce = sys.argv[sys.argv.index("--announce") + 1]
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
port = server.server_address[1]
print("stand-in listens", flush=True)
with open(announce + ".new", "w") as file:
    json.dump({"endpoint": f"http://127.0.0.1:{port}", "pid": os.getpid()}, file)
os.replace(announce + ".new", announce)
server.serve_forever()
"""

STARTER = """
import sys
from pathlib import Path
from provisioner.local.process import up
print(up(Path(sys.argv[1]), server=[sys.argv[2]], requires=()).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    path = tmp_path / "stand in.py"
    path.write_text(STAND_IN)
    return path


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "my states"
    yield path
    down(path)


def start(states: Path, stand_in: Path) -> Running:
    return up(states, server=[str(stand_in)], requires=())


def told(running: Running) -> dict[str, object]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(running.endpoint, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def starter(states: Path, stand_in: Path, **options: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(states), str(stand_in)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=options.get("alone", False),
    )


def log(states: Path) -> str:
    return (states / "local-cloud/server.log").read_text()


def test_it_is_started_once_and_found_again(states: Path, stand_in: Path) -> None:
    assert status(states) is None
    running = start(states, stand_in)
    assert start(states, stand_in) == running
    assert status(states) == running
    assert log(states).count("stand-in listens") == 1


def test_several_commands_at_once_start_exactly_one(states: Path, stand_in: Path) -> None:
    starters = [starter(states, stand_in) for _ in range(6)]
    pids = {each.communicate()[0] for each in starters}
    assert len(pids) == 1
    assert log(states).count("stand-in listens") == 1


def test_a_look_writes_nothing(states: Path) -> None:
    assert status(states) is None
    assert not down(states)
    assert not states.exists()


def test_it_is_ended_and_can_be_started_anew(states: Path, stand_in: Path) -> None:
    first = start(states, stand_in)
    assert down(states)
    assert status(states) is None
    assert not down(states)
    assert start(states, stand_in).pid != first.pid


def test_one_that_ignores_the_request_is_ended_by_force(states: Path, stand_in: Path) -> None:
    up(states, server=[str(stand_in), "--stubborn"], requires=())
    assert down(states, patience=0.2)
    assert status(states) is None


def test_one_that_died_is_replaced(states: Path, stand_in: Path) -> None:
    first = start(states, stand_in)
    os.kill(first.pid, signal.SIGKILL)
    second = start(states, stand_in)
    assert second.pid != first.pid
    assert status(states) == second


@pytest.mark.parametrize("how", ["process", "group"])
def test_a_killed_command_leaves_it_alive(states: Path, stand_in: Path, how: str) -> None:
    with starter(states, stand_in, alone=True) as command:
        assert command.stdout is not None
        pid = int(command.stdout.readline())
        if how == "group":
            os.killpg(command.pid, signal.SIGKILL)
        else:
            command.kill()
        command.wait()
    found = status(states)
    assert found is not None
    assert found.pid == pid


def test_it_is_alone_in_its_session_without_what_the_command_has_open(states: Path, stand_in: Path) -> None:
    with (stand_in.parent / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        running = start(states, stand_in)
        found = told(running)
    assert found["cwd"] == "/"
    assert found["session"] != os.getsid(0)
    assert found["parent"] != os.getpid()
    links = {os.readlink(f"/proc/{running.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.pid}/fd")}
    assert str(stand_in.parent / "open") not in links
    assert not any(link.endswith("/lock") for link in links)


def test_its_environment_is_made_from_scratch_and_no_profile_is_within_reach(
    states: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = (
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "HTTPS_PROXY",
        "TOKEN",
        "PROVISIONER_PASSWORD",
    )
    home = stand_in.parent / "home"
    for key, value in {**dict.fromkeys(secret, "of the user"), "HOME": str(home)}.items():
        monkeypatch.setenv(key, value)
    running = start(states, stand_in)
    seen = {
        "environ": Path(f"/proc/{running.pid}/environ").read_text(),
        "cmdline": Path(f"/proc/{running.pid}/cmdline").read_text(),
    }
    assert [name for name, text in seen.items() if "of the user" in text] == []
    found = told(running)["env"]
    assert isinstance(found, dict)
    assert found["HOME"] == str(states / "local-cloud")
    allowed = {
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONUSERBASE",
    }
    of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    nowhere = {"BOTO_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    assert found.keys() <= allowed | nowhere | of_the_shell | {"AWS_EC2_METADATA_DISABLED"}
    assert {found[name] for name in nowhere} == {os.devnull}


def test_another_process_with_its_pid_is_not_taken_for_it(states: Path, stand_in: Path) -> None:
    running = start(states, stand_in)
    file = states / "local-cloud/server.json"
    own = file.read_text()
    file.write_text(json.dumps({"endpoint": running.endpoint, "pid": os.getpid()}))
    assert status(states) is None
    assert not down(states)
    file.write_text(own)
    assert status(states) == running


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"endpoint": "x", "pid": "y"}', '{"endpoint": "x", "pid": 1}']
)
def test_a_damaged_announcement_counts_as_none(states: Path, stand_in: Path, content: str) -> None:
    (states / "local-cloud").mkdir(parents=True)
    (states / "local-cloud/server.json").write_text(content)
    assert status(states) is None
    assert status(states) != start(states, stand_in)


def test_one_that_does_not_answer_is_not_running_and_not_ended_unasked(states: Path, stand_in: Path) -> None:
    running = start(states, stand_in)
    os.kill(running.pid, signal.SIGSTOP)
    assert status(states) is None
    with pytest.raises(CloudError, match="does not answer") as caught:
        up(states, server=[str(stand_in)], requires=(), ready=0)
    assert "provisioner local down" in caught.value.remedy
    os.kill(running.pid, signal.SIGCONT)
    assert start(states, stand_in) == running


def test_one_that_ends_at_once_is_told_with_its_last_words(states: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no room at the inn')")
    with pytest.raises(CloudError, match="no room at the inn") as caught:
        up(states, server=[str(broken)], requires=())
    assert str(states / "local-cloud/server.log") in caught.value.message


def test_what_is_not_installed_is_named_before_anything_is_started(states: Path) -> None:
    with pytest.raises(Missing, match=r"pip install 'provisioner\[local\]'"):
        up(states, requires=("json", "no_such_package"))
    assert not states.exists()


def test_a_folder_that_cannot_be_written_is_named(states: Path, stand_in: Path) -> None:
    states.write_text("in the way")
    with pytest.raises(CloudError, match=f"{os.strerror(errno.ENOTDIR)}.*--state-dir"):
        start(states, stand_in)
    states.unlink()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_files_and_folder_are_the_owners_only(states: Path, stand_in: Path, umask: int) -> None:
    folder = states / "local-cloud"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    before = os.umask(umask)
    try:
        start(states, stand_in)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.name: oct(each.stat().st_mode & 0o777) for each in folder.iterdir()} == dict.fromkeys(
        ("lock", "server.json", "server.log"), "0o600"
    )


def test_it_is_imported_without_the_cloud_itself() -> None:
    code = "import sys, provisioner.local.process; print(*{'boto3', 'moto', 'http', 'flask'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_was_built_is_kept_until_it_is_to_be_forgotten(states: Path, stand_in: Path) -> None:
    start(states, stand_in)
    contents = states / "local-cloud/contents"
    contents.write_text("built")
    assert down(states)
    assert contents.read_text() == "built"
    assert not down(states, forget=True)
    assert not contents.exists()


def test_one_that_runs_at_another_pace_is_said_so(states: Path, stand_in: Path) -> None:
    running = start(states, stand_in)
    assert up(states, server=[str(stand_in)], requires=(), time_scale=0.0) == running
    with pytest.raises(CloudError, match="time scale 0; end it first.*provisioner local down"):
        up(states, server=[str(stand_in)], requires=(), time_scale=1.0)
