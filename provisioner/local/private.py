"""A cloud of one's own: a server in a temporary folder that nobody else finds, and of which nothing is left at the end.

Its time runs faster than ours, for whoever wants to see minutes pass in seconds. Knows nothing of what is built in it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provisioner.local import process

ADMINISTERED = "/provisioner/faults"
TIMEOUT = 60.0
"""Seconds within which the server answers what is asked of itself."""


class PrivateCloud:
    """A cloud that runs in a folder of its own."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder
        self._sessions: dict[str, Any] = {}

    def client(self, service: str, region: str, config: Any = None) -> Any:
        """Make a client that reaches this cloud and nothing else; ``config`` is added to the usual settings."""
        from provisioner.local import wire

        if region not in self._sessions:
            self._sessions[region] = wire.isolated_session(region)
        options = wire.client_options(self.endpoint)
        if config is not None:
            options["config"] = options["config"].merge(config)
        return self._sessions[region].client(service, **options)

    def switch(self, preset: str, seed: int) -> dict[str, Any]:
        """Let these things go wrong from now on, counted anew, and give them as fields of faults.Faults."""
        faults: dict[str, Any] = self._asked("POST", {"preset": preset, "seed": seed})["faults"]
        return faults

    def suffered(self) -> dict[str, int]:
        """Tell how many requests since the last switch suffered what."""
        return dict(self._asked("GET")["suffered"])

    def _asked(self, method: str, body: Any = None) -> Any:
        address = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT)
        try:
            connection.request(method, ADMINISTERED, json.dumps(body) if body else None)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(told["error"])
        return told


@contextmanager
def private_cloud(time_scale: float = 0.0, pace: float = 1.0) -> Iterator[PrivateCloud]:
    """Give a cloud whose clock runs ``pace`` times as fast as ours, and end it whatever happens meanwhile.

    Should this process be killed, the server ends by itself. Raises what process.up does.
    """
    folder = Path(tempfile.mkdtemp(prefix="provisioner-rehearsal-"))
    try:
        own = ("--pace", str(pace), "--owner", str(os.getpid()))
        running = process.up(folder, server=[*process.SERVER, *own], time_scale=time_scale)
        yield PrivateCloud(running.endpoint, folder)
    finally:
        with _undisturbed():
            process.down(folder, forget=True)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C leave half of it behind."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
