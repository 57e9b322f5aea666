"""Folders and files that nobody but their owner may read, whatever the umask; knows not what is in them.

What is ours is made so, and made so again where it was left wider: the folders of the targets and of the embedded
cloud, every file we write, and the state folder under its own name. A folder that ``--state-dir`` names is the user's:
made by us it is private, found there it keeps the mode that it has.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = 0o700, 0o600
OURS = ".provisioner"
"""The name by which a state folder is known to be nobody else's."""


def state_folder(path: Path) -> None:
    """Make the folder of the states, and those above it that are missing. Raises OSError."""
    _make(path)
    if path.name == OURS:
        _tighten(path)


def private_folder(path: Path) -> None:
    """Make a folder of ours in that of the states; its entry survives a power cut. Raises OSError."""
    state_folder(path.parent)
    _make(path)
    _tighten(path)


def private_file(path: Path, flags: int = os.O_WRONLY | os.O_TRUNC) -> int:
    """Open a file of ours, made where it is missing, and give its descriptor, which no other program gets.

    Never follows a link. Raises OSError.
    """
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE)
    # One who may write what another owns may not change its mode: to write it is what was asked for.
    with suppress(OSError):
        os.fchmod(fd, FILE)
    return fd


def sync_folder(path: Path) -> None:
    """See to it that what was made or renamed in a folder is there after a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make(path: Path) -> None:
    if not path.is_dir():
        if path.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        _make(path.parent)
        path.mkdir(mode=FOLDER, exist_ok=True)
        # A umask takes away what the owner needs as well.
        path.chmod(FOLDER)
        sync_folder(path.parent)


def _tighten(folder: Path) -> None:
    """Take from a folder what others may do in it, if it is our user's own and no link to somewhere else."""
    with suppress(OSError):
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != FOLDER:
            folder.chmod(FOLDER)
