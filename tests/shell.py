"""``python -m provisioner`` as real processes, and the embedded cloud that they speak to; every wait is bounded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any

from provisioner.local import process, wire
from state.store import state_path
from tests.census import Census, census
from tests.world import ENVIRONMENTS, REGION

ROOT = Path(__file__).parents[1]
PATIENCE = 90.0
"""Seconds after which a process that should have ended is killed, which fails its test."""
HARMFUL = ("AWS_", "PROVISIONER_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "MAKE", "MFLAGS")

Process = subprocess.Popen[str]


class Shell:
    """A folder from which ``python -m provisioner`` is run, and the cloud it speaks to."""

    def __init__(self, states: Path) -> None:
        self.states, self.session = states, wire.isolated_session(REGION)
        self.environment = {key: value for key, value in os.environ.items() if not key.upper().startswith(HARMFUL)}
        self.environment["TERM"] = "dumb"

    @property
    def aws(self) -> dict[str, str]:
        """An environment in which boto3 takes the embedded cloud for AWS."""
        keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_CONFIG_FILE": os.devnull}
        return keys | {"AWS_ENDPOINT_URL": self.endpoint, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    @property
    def endpoint(self) -> str:
        running = process.status(self.states)
        assert running is not None
        return running.endpoint

    def command(self, *arguments: str) -> list[str]:
        folders = ["--config-dir", str(ENVIRONMENTS), "--state-dir", str(self.states)]
        own = folders[2:] if arguments[0] == "local" else folders
        return [sys.executable, "-m", "provisioner", *arguments, *own]

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[Process]:
        """Run a command beside the test, in a session of its own."""
        with self.running(self.command(*arguments), **environment) as running:
            yield running

    @contextmanager
    def running(self, command: Sequence[str], **environment: str) -> Iterator[Process]:
        with (
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as running,
            watched(running),
        ):
            yield running

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with self.started(*arguments, **environment) as running:
            stdout, stderr = running.communicate()
        assert "Traceback" not in stdout + stderr, stderr
        return subprocess.CompletedProcess(arguments, running.returncode, stdout, stderr)

    def done(self, *arguments: str, **environment: str) -> str:
        """Run a command that has to succeed, and give what it says."""
        ended = self.run(*arguments, **environment)
        assert ended.returncode == 0, ended
        return ended.stdout

    def census(self) -> Census:
        with ExitStack() as stack:

            @cache
            def client(service: str) -> Any:
                made = self.session.client(service, **wire.client_options(self.endpoint))
                return stack.enter_context(closing(made))

            return census(client)

    def state(self, stack: str = "acme-dev", target: str = "local") -> Path:
        return state_path(self.states, target, stack)

    def order(self, path: str, **told: Any) -> None:
        """Tell the cloud itself what to do."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{self.endpoint}{path}", json.dumps(told).encode(), method="POST")
        direct.open(request, timeout=PATIENCE).close()

    def reset(self) -> None:
        """Empty the cloud and forget all that was built in it."""
        self.order("/moto-api/reset")
        for target in ("local", "aws"):
            shutil.rmtree(self.states / target, ignore_errors=True)


@contextmanager
def shell_over_a_cloud(states: Path) -> Iterator[Shell]:
    """Give a shell whose cloud runs as long as it is needed."""
    process.up(states)
    try:
        yield Shell(states)
    finally:
        process.down(states)


@contextmanager
def watched(running: subprocess.Popen[Any]) -> Iterator[None]:
    """Kill a process that outlives our patience, or the test."""
    timer = Timer(PATIENCE, running.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        running.kill()
