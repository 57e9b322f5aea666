"""The embedded cloud as a process: ``python -m provisioner.local.server --port 0 --announce FILE``.

Serves one Cloud on 127.0.0.1, tells its address in FILE once it listens, keeps what it holds in another file where told
to, and ends at SIGTERM. Knows neither who starts it nor what it answers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from provisioner.clock import Clock, RealClock
from provisioner.local.cut import Cut

if TYPE_CHECKING:
    from provisioner.local.cloud import Cloud
    from provisioner.local.kept import Kept

HOST = "127.0.0.1"
_OURS = re.compile(r"(127\.0\.0\.1|([a-z0-9-]+\.)*localhost)(:\d{1,5})?", re.IGNORECASE)
"""The names by which we are called: ``bucket.localhost`` too, which browsers resolve to this machine themselves."""
_FROM_HERE = ("same-origin", "none")
"""What a browser says of a request that no other site's page has made. W3C, "Fetch Metadata Request Headers"."""
_UNREAD = 65536
"""Bytes of a refused request that are thrown away, so that its client gets to read why."""
_ITSELF = ("/moto-api/", "/provisioner/")
_FRAMING = frozenset({"connection", "content-length", "status", "transfer-encoding"})


class Listener(ThreadingHTTPServer):
    """One thread a connection, all speaking to one cloud."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, cloud: Cloud, kept: Kept | None = None, clock: Clock | None = None, owner: int | None = None
    ) -> None:
        super().__init__((HOST, port), Conversation)
        self.cloud, self.kept, self.owner = cloud, kept, owner
        self.clock = clock or RealClock()

    def service_actions(self) -> None:
        """Save what changed, and end with our owner; the loop comes by here between two connections and often."""
        if self.kept is not None:
            self.kept.save_when_due()
        if self.owner is not None and not _lives(self.owner):
            self.owner = None
            signal.raise_signal(signal.SIGTERM)

    def server_bind(self) -> None:
        """Bind without asking the resolver for our own name, which can take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed in the middle of a request."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.server_port}"


class Conversation(BaseHTTPRequestHandler):
    """One connection, kept alive, every response in a single segment without delay."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def answer(self) -> None:
        if refusal := self._is_foreign():
            return self._refuse(refusal)
        body = self._body()
        try:
            reply = self.server.cloud.answer(self._environ(body))
        except Cut:
            self.close_connection = True
            return None
        finally:
            # What is asked of the cloud itself, its faults above all, is answered at once.
            if not self.path.startswith(_ITSELF):
                self.server.clock.sleep(self.server.cloud.faults.latency)
        return self._send(reply.status, dict(reply.headers), reply.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = answer  # noqa: N815

    def handle_expect_100(self) -> bool:
        """Let the body come at once: botocore waits a second for this line."""
        if refusal := self._is_foreign():
            self._refuse(refusal)
            return False
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def _is_foreign(self) -> str:
        """Say why a request is not let in: no web page must reach us, neither by its own name nor by one that leads
        to us. "" for one that is."""
        hosts = self.headers.get_all("Host") or [HOST]
        if len(hosts) > 1 or not _OURS.fullmatch(hosts[0].strip()):
            return "it is called by a name that is not its own (Host)"
        if self.headers.get("Origin", f"http://{hosts[0]}") != f"http://{hosts[0]}":
            return "a page of another site asks (Origin)"
        if self.headers.get("Sec-Fetch-Site", "none") not in _FROM_HERE:
            return "a page of another site asks (Sec-Fetch-Site)"
        return ""

    def _refuse(self, why: str) -> None:
        """Say why not, before anything of the request's body is looked at, and end the connection."""
        self.close_connection = True
        told = f"The embedded cloud answers programs of this machine only; {why}.\n"
        self._send(403, {"Content-Type": "text/plain"}, told.encode())
        with suppress(OSError, ValueError):
            self.connection.settimeout(1)
            self.rfile.read(max(0, min(int(self.headers.get("Content-Length") or 0), _UNREAD)))

    def _body(self) -> bytes:
        """Read all of it. Raises ConnectionError where the client ends before it does: that is no request."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._whole(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self._line().partition(b";")[0], 16):
            parts.append(self._whole(size))
            self._line()
        while self._line().strip():
            pass
        return b"".join(parts)

    def _whole(self, size: int) -> bytes:
        read = self.rfile.read(size)
        if len(read) < size:
            raise ConnectionAbortedError(f"{size - len(read)} bytes of a request never came")
        return read

    def _line(self) -> bytes:
        if line := self.rfile.readline():
            return line
        raise ConnectionAbortedError("the rest of a request never came")

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        made: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "SERVER_NAME": HOST,
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            made[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        made.pop("HTTP_TRANSFER_ENCODING", None)
        return made | {"CONTENT_LENGTH": str(len(body))}

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Write status, headers and body; a HEAD tells the length of what a GET would give."""
        length = {name.lower(): value for name, value in headers.items()}.get("content-length", str(len(body)))
        is_head = self.command == "HEAD"
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _FRAMING:
                self.send_header(name, str(value))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", length if is_head else str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if is_head else body)
        self.wfile.flush()


def announce(file: Path, endpoint: str, time_scale: float = 0.0) -> None:
    """Write where we listen and how fast time passes, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(descriptor, "w") as temporary:
        json.dump({"endpoint": endpoint, "pid": os.getpid(), "time_scale": time_scale}, temporary)
    os.replace(name, file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m provisioner.local.server", description="Serve the embedded cloud.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--announce", type=Path, help="file that gets the endpoint and the pid as JSON")
    parser.add_argument("--contents", type=Path, help="file that keeps what the cloud holds")
    parser.add_argument("--time-scale", type=float, default=0.0, help="how long things take; 1 as long as at AWS")
    parser.add_argument("--faults", default="none", help="what goes wrong: none, some, brutal")
    parser.add_argument("--seed", type=int, default=0, help="which requests suffer it")
    parser.add_argument("--pace", type=float, default=1.0, help="how fast the cloud's clock runs; 10 ten times as fast")
    parser.add_argument("--owner", type=int, help="pid of the process with which to end")
    return parser.parse_args()


def _serving(arguments: argparse.Namespace) -> Listener:
    """Make the cloud without the shell's settings of moto and botocore, which are read when these are imported."""
    for name in [name for name in os.environ if name.startswith(("MOTO_", "AWS_"))]:
        del os.environ[name]
    from provisioner.local.cloud import Cloud
    from provisioner.local.faults import Faults
    from provisioner.local.kept import Kept

    faults = Faults.read({"preset": arguments.faults, "seed": arguments.seed})
    clock = RealClock(arguments.pace, time.time())
    cloud = Cloud(clock.now, arguments.time_scale, faults)
    kept = Kept(arguments.contents, cloud) if arguments.contents else None
    if kept is not None:
        kept.restore()
    return Listener(arguments.port, cloud, kept, clock, arguments.owner)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main() -> None:
    arguments = _arguments()
    listener = _serving(arguments)
    # shutdown waits for the loop that a signal handler interrupts, so it needs a thread of its own.
    signal.signal(signal.SIGTERM, lambda *_: Thread(target=listener.shutdown).start())
    if arguments.announce:
        announce(arguments.announce, listener.endpoint, arguments.time_scale)
    with listener:
        listener.serve_forever(poll_interval=0.1)
    if listener.kept is not None:
        listener.kept.save()


if __name__ == "__main__":
    main()
