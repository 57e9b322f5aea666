"""Start, find and end the embedded cloud's process; knows neither moto nor what the cloud answers.

Everything it leaves is in ``<state-dir>/local-cloud``: the lock under which it is started and ended, the pid of one
that is starting, the file in which the server announces itself, its log and that of the one before, and what the cloud
held, which outlives the process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.clock import Clock, RealClock
from state.private import private_file, private_folder

SERVER = ("-m", "provisioner.local.server")
REQUIRES = ("moto", "flask_cors")
READY = 60.0
"""Seconds the server may take to answer after its start."""
PATIENCE = 5.0
"""Seconds it has to end after SIGTERM, and again after SIGKILL."""
ANSWER = 2.0
"""Seconds within which a server that is well answers."""
PAUSE = 0.02
"""Seconds between two looks."""


class CloudError(Exception):
    """The embedded cloud cannot be used: what happened, and what to type next."""

    code = "cloud"

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message, self.remedy = message, remedy


class Missing(CloudError):
    """What the embedded cloud is made of is not installed."""

    code = "missing"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    endpoint: str
    pid: int
    time_scale: float = 0.0
    """How long things take in it in terms of what they take at AWS."""


@dataclass(frozen=True)
class _Files:
    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def starting(self) -> Path:
        return self.folder / "starting"

    @property
    def announced(self) -> Path:
        return self.folder / "server.json"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def previous_log(self) -> Path:
        return self.folder / "server.log.1"

    @property
    def contents(self) -> Path:
        return self.folder / "contents"


def up(
    state_dir: Path,
    *,
    server: Sequence[str] = SERVER,
    requires: Sequence[str] = REQUIRES,
    ready: float = READY,
    time_scale: float | None = None,
    clock: Clock | None = None,
) -> Running:
    """Give the running server, started if there is none; several commands at once start one.

    ``server`` is what Python is to run, ``time_scale`` at which pace, ``None`` any. Raises Missing, or CloudError where
    one runs at another pace, or with the end of the log if it does not come up.
    """
    files, clock = _files(state_dir), clock or RealClock()
    _check(requires)
    with _locked(files) as lock:
        pid = _alive(files)
        running = _answering(files, pid, clock, ready) if pid else None
        if running is None:
            pace = ["--contents", str(files.contents), "--time-scale", str(time_scale or 0.0)]
            running = _answering(files, _start(files, [*server, *pace], lock), clock, ready)
        files.starting.unlink(missing_ok=True)
    if running and time_scale not in (None, running.time_scale):
        raise CloudError(
            f"the embedded cloud runs already, at the time scale {running.time_scale:g}",
            f"end it first, what was built in it is kept: {_down(files)}",
        )
    if running:
        return running
    raise _failed(files, "ended before it answered", "put right what it says, and run the same command again")


def status(state_dir: Path) -> Running | None:
    """Give the server if its process is ours and it answers. Writes nothing."""
    files = _files(state_dir)
    running = _ours(files)
    return running if running and _answers(running.endpoint) else None


def down(state_dir: Path, *, forget: bool = False, patience: float = PATIENCE, clock: Clock | None = None) -> bool:
    """End the server, by force if it does not end by itself, and tell whether there was one.

    What was built in it is kept for the next one, unless it is to ``forget`` that.
    """
    files, clock = _files(state_dir), clock or RealClock()
    if not files.folder.is_dir():
        return False
    with _locked(files):
        pid = _alive(files)
        if pid:
            _end(files, pid, clock, patience)
        files.announced.unlink(missing_ok=True)
        files.starting.unlink(missing_ok=True)
        if forget:
            files.contents.unlink(missing_ok=True)
    return pid is not None


def _files(state_dir: Path) -> _Files:
    return _Files(state_dir.resolve() / "local-cloud")


def _check(requires: Sequence[str]) -> None:
    if missing := [name for name in requires if find_spec(name) is None]:
        raise Missing(
            f"the embedded cloud needs what is not installed: {', '.join(missing)}",
            "type: pip install 'provisioner[local]'",
        )


@contextmanager
def _locked(files: _Files) -> Iterator[int]:
    """Start and end one at a time; whoever comes second waits, and finds what the first has done."""
    try:
        private_folder(files.folder)
        fd = private_file(files.lock, os.O_RDWR)
    except OSError as error:
        raise CloudError(
            f"cannot write {files.lock}: {error.strerror}",
            "make it writable, or choose another folder with --state-dir",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _start(files: _Files, server: Sequence[str], lock: int) -> int:
    """Start the server as nobody's child, in a session of its own: what ends this process leaves it alone.

    The shell between them holds the lock too, until it has put down the pid: whoever comes after a kill finds it.
    """
    files.announced.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        files.log.replace(files.previous_log)
    os.close(private_file(files.log, os.O_WRONLY | os.O_EXCL))
    command = [sys.executable, *server, "--port", "0", "--announce", str(files.announced)]
    script = 'umask 077; log="$1"; shift; "$@" </dev/null >>"$log" 2>&1 & echo $! >"$0"'
    subprocess.run(
        ["/bin/sh", "-c", script, str(files.starting), str(files.log), *command],
        stdin=lock,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(files.folder),
        cwd="/",
        start_new_session=True,
        check=True,
    )
    return int(files.starting.read_text())


def _environment(home: Path) -> dict[str, str]:
    """Make what a Python needs to run, and nothing that holds a secret or leads to one, to AWS or to a proxy.

    ``home`` takes the place of the user's, where profiles and credentials lie.
    """
    kept = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH"}
    return {
        **{key: os.environ[key] for key in kept & os.environ.keys()},
        "HOME": str(home),
        # What was installed for the user alone is found from there too.
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "BOTO_CONFIG": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _answering(files: _Files, pid: int, clock: Clock, seconds: float) -> Running | None:
    """Wait until the process answers; ``None`` when it has ended. A silent one may hold a stack: it is left alone."""
    deadline = clock.now() + seconds
    while _runs(pid, files):
        if (running := _ours(files)) and _answers(running.endpoint):
            return running
        if clock.now() >= deadline:
            raise _failed(files, f"(pid {pid}) does not answer after {seconds:g} s", f"end it: {_down(files)}")
        clock.sleep(PAUSE)
    return None


def _down(files: _Files) -> str:
    return f"provisioner local down --state-dir {shlex.quote(str(files.folder.parent))}"


def _failed(files: _Files, what: str, remedy: str) -> CloudError:
    end = "\n".join(files.log.read_text(errors="replace").splitlines()[-10:])
    return CloudError(f"the embedded cloud {what}; the last lines of {files.log}:\n{end or '(none)'}\n", remedy)


def _end(files: _Files, pid: int, clock: Clock, patience: float) -> None:
    for force in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, force)
        deadline = clock.now() + patience
        while clock.now() < deadline:
            if not _runs(pid, files):
                return
            clock.sleep(PAUSE)
    raise CloudError(f"the embedded cloud (pid {pid}) does not end", f"end it by hand: kill -9 {pid}")


def _alive(files: _Files) -> int | None:
    """Give the pid of our server, whether it has announced itself or is about to."""
    if running := _ours(files):
        return running.pid
    try:
        pid = int(files.starting.read_text())
    except (OSError, ValueError):
        return None
    return pid if _runs(pid, files) else None


def _ours(files: _Files) -> Running | None:
    """Read who announced itself here, if that process is still alive and not another that was given its pid."""
    try:
        announced = json.loads(files.announced.read_text())
        scale = float(announced.get("time_scale", 0.0))
        running = Running(str(announced["endpoint"]), int(announced["pid"]), scale)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return running if _runs(running.pid, files) else None


def _runs(pid: int, files: _Files) -> bool:
    """Tell a server of ours by its command line, which names our file.

    In the middle of its exec a process has none yet, and runs; a dead child not yet reaped has none either.
    """
    line = _command_line(pid)
    return str(files.announced) in line or (not line and _in_exec(pid))


def _in_exec(pid: int) -> bool:
    """Tell a living process without a command line from a dead one."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape")
        except OSError:
            return ""
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def _answers(endpoint: str) -> bool:
    """Ask for any answer at all; a socket will do, and loads no HTTP client."""
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=ANSWER) as connection:
            connection.sendall(b"GET /moto-api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with connection.makefile("rb") as answer:
                # To the end: a reply cut short is an error in the server's log.
                return answer.read().startswith(b"HTTP/")
    except OSError:
        return False
