"""The file that keeps what the cloud holds over a restart of its process; knows not what that is.

A kill loses what was changed since the last save: a fifth of a second, or of much contents twenty times what it takes
to write them down. What cannot be read is set aside, and the cloud starts empty.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import moto

from state.private import private_file

if TYPE_CHECKING:
    from provisioner.local.cloud import Cloud

FORMAT = 1
"""Other than that of any contents that this code cannot read."""
HEAD = (
    f"provisioner cloud, format {FORMAT}, moto {moto.__version__}, python {sys.version_info[0]}.{sys.version_info[1]}"
)
PAUSE, SHARE, PATIENCE = 0.2, 20, 60.0
"""Seconds between two saves, how many times longer than a save that is at least, and seconds after one that failed."""
_log = logging.getLogger(__name__)


class Kept:
    """The contents of one cloud in one file, which nobody else writes."""

    def __init__(self, file: Path, cloud: Cloud) -> None:
        self._file, self._cloud = file, cloud
        self._number = -1
        self._due = 0.0

    def restore(self) -> None:
        """Put into the cloud what the file holds, if it holds anything."""
        try:
            self._cloud.restore(_read(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except Exception as error:
            aside = self._file.with_name(f"{self._file.name}.unreadable")
            self._file.replace(aside)
            _log.warning("cannot use what the cloud held (%s): it is set aside as %s, the cloud is empty", error, aside)

    def save_when_due(self) -> None:
        """Save, unless that was done a moment ago."""
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Write down what changed since the last save, if anything did; a failure is logged."""
        begun, pause = time.monotonic(), PAUSE
        try:
            if (saved := self._cloud.saved(self._number)) is not None:
                self._number, contents = saved
                self._write(b"\n".join([HEAD.encode(), sha256(contents).hexdigest().encode(), contents]))
        except Exception as error:
            _log.warning("what the cloud holds was not saved to %s: %r", self._file, error)
            pause = PATIENCE
        ended = time.monotonic()
        self._due = ended + max(pause, SHARE * (ended - begun))

    def _write(self, written: bytes) -> None:
        new = self._file.with_name(f"{self._file.name}.new")
        with os.fdopen(private_file(new), "wb") as file:
            file.write(written)
        new.replace(self._file)


def _read(written: bytes) -> bytes:
    head, digest, contents = (written.split(b"\n", 2) + [b"", b""])[:3]
    if head != HEAD.encode():
        raise ValueError(f"written as {head[:80].decode(errors='replace')!r}, read is {HEAD!r}")
    if digest != sha256(contents).hexdigest().encode():
        raise ValueError("damaged: its digest is another")
    return contents
