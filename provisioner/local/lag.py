"""Reads that lag behind writes: what was true some seconds ago, put in the place of what is true while one is answered.

Before something is changed, what is there is written down with the time. Knows no service but by which reads lag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from provisioner.local import contents
from provisioner.local.contents import Contents
from provisioner.local.rules import Ask

_SETTINGS = frozenset(
    {
        *("encryption", "lifecycle", "logging", "notification", "ownershipControls", "policy", "publicAccessBlock"),
        *("tagging", "versioning"),
    }
)
"""What is asked of a bucket and may be out of date; its objects never are. S3 User Guide, "Data consistency model"."""


class Past:
    """What was there, as far back as the slowest read can see."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._written: deque[tuple[float, bytes]] = deque()
        """What was there before each change, and when that came; of several at once what was there before the first."""
        self._read: tuple[float, Contents] | None = None

    @contextmanager
    def behind(self, ask: Ask) -> Iterator[Ask]:
        """Give the request as of the time at which it is to be answered, with what was there then in its place."""
        if not self._seconds:
            yield ask
            return
        seen = ask.now - self._seconds
        while self._written and self._written[0][0] <= seen:
            self._written.popleft()
        if not ask.reads:
            if not self._written or self._written[-1][0] < ask.now:
                for service, region in (("ec2", ask.region), ("rds", ask.region), ("s3", "aws")):
                    contents.touch(service, ask.account, region)
                self._written.append((ask.now, contents.packed(ask.memory)))
            yield ask
        elif not self._written or not _lags(ask):
            yield ask
        else:
            was, present = self._first(), contents.present(ask.memory)
            contents.show(was)
            try:
                yield replace(ask, now=seen, memory=was.memory)
            finally:
                contents.show(present)

    def _first(self) -> Contents:
        at, written = self._written[0]
        if self._read is None or self._read[0] != at:
            self._read = at, contents.unpacked(written)
        return self._read[1]


def _lags(ask: Ask) -> bool:
    """Tell whether AWS promises less than that a read sees what was written before it."""
    if ask.service == "s3":
        of_bucket = ask.environ["PATH_INFO"].strip("/") in ("", ask.bucket)
        asked = not ask.bucket or ask.environ["REQUEST_METHOD"] == "HEAD" or _SETTINGS & ask.query.keys()
        return bool(of_bucket and asked)
    return ask.service in ("ec2", "rds")
