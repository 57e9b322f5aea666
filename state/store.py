"""The state file and its lock: read, journal, write whole or not at all; knows no AWS and no step.

One process writes, the one that holds the lock; one thread of it calls the journal.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shlex
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from state.private import private_file, private_folder, sync_folder
from state.record import SCHEMA, Malformed, Newer, Record, Sent, State, Status, from_json, iso, schema_of, to_json

LONGEST = 500
"""Characters of JSON up to which a parameter is kept as it is; beyond them only its fingerprint."""

Rename = Callable[[Path, Path], object]
_HOLDER = re.compile(r"pid \d+ on (?P<host>\S+) since \S+")


class StateError(Exception):
    """The state cannot be used as it is: what happened, to what, and what to type next."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.code, self.message, self.remedy = code, message, remedy


class Held(StateError):
    """Another run holds the lock of the stack."""


def state_path(state_dir: Path, target: str, stack_name: str) -> Path:
    """Say where the state of a stack is: targets never share a folder."""
    return state_dir / target / f"{stack_name}.json"


def read(path: Path) -> State | None:
    """Read a state without lock and without writing, ``None`` where there is no file.

    Raises StateError for a damaged file, which stays as it is, and for one of a later version.
    """
    raw = _raw(path)
    return None if raw is None else _parsed(path, raw)[0]


class Lock:
    """Hold a stack for the whole run; the kernel lets go with the process, however it ends. The file stays."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path, host: str = "") -> Lock:
        """Lock the stack whose state is at ``path``, at once or not at all: raises Held, which names the holder.

        A shared folder may not carry the kernel's lock from one machine to another, but it carries the text: what
        another ``host`` than ours has written and not taken back holds too. Of our own host the kernel knows better.
        """
        host = host or socket.gethostname()
        lock = path.with_suffix(".lock")
        try:
            private_folder(lock.parent)
            fd = private_file(lock, os.O_RDWR)
        except OSError as error:
            raise _unwritable(lock, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = _holder(fd)
            if (elsewhere := _HOLDER.fullmatch(holder)) and elsewhere["host"] != host:
                os.close(fd)
                raise _left(lock, holder)
            os.truncate(fd, 0)
            os.write(fd, f"pid {os.getpid()} on {host} since {iso(time.time())}\n".encode())
        except BlockingIOError as error:
            holder = _holder(fd)
            os.close(fd)
            raise _held(lock, holder) from error
        except OSError as error:
            os.close(fd)
            raise _unwritable(lock, error) from error
        return cls(fd)

    def release(self) -> None:
        """Let go, and take back what names us; a second time does nothing."""
        if self._fd >= 0:
            with suppress(OSError):
                os.truncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Journal:
    """Remember what a run does. Changes gather in memory until ``commit`` writes all of them or none."""

    def __init__(self, path: Path, state: State, rename: Rename = os.replace, older: bytes = b"") -> None:
        """Begin with a state; ``older`` is the file as an earlier version wrote it, which is kept beside ours."""
        self.path = path
        self._state = self._written = state
        self._rename = rename
        self._older = older

    @classmethod
    def open(cls, path: Path, here: State, rename: Rename = os.replace) -> Journal:
        """Go on with what is remembered, or start with ``here``, whose header says which stack this is and where.

        Writes nothing: a file of an earlier schema is put into ours by the first commit. Raises StateError for a
        damaged file, a later schema, and a state of something else.
        """
        raw = _raw(path)
        if raw is None:
            return cls(path, here, rename)
        found, schema = _parsed(path, raw)
        if differing := [key for key in _IDENTITY if getattr(found, key) != getattr(here, key)]:
            raise _elsewhere(path, found, here, differing)
        return cls(path, found, rename, raw if schema < SCHEMA else b"")

    @property
    def state(self) -> State:
        """All that is remembered by now, written or not."""
        return self._state

    def record(self, name: str) -> Record | None:
        return self._state.steps.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._state.steps))

    def intend(
        self,
        name: str,
        kind: str,
        calls: Sequence[tuple[str, str, Mapping[str, Any]]],
        at: float,
        leaving: bool = False,
        born: float | None = None,
    ) -> None:
        """Note calls, each (operation, digest, params), that are about to leave together to build or to tear down.

        They take the place of the calls noted before, so ``born`` says when one of those created something.
        """
        known = self.record(name) or Record(kind)
        sent = tuple(Sent(operation, digest, _brief(params), round(at, 3)) for operation, digest, params in calls)
        status: Status = "leaving" if leaving else "pending"
        at_birth = None if born is None else round(born, 3)
        self._put(name, replace(known, kind=kind, status=status, calls=sent, born=at_birth))

    def outcome(self, name: str, digest: str, at: float, code: str = "", id: str = "") -> None:
        """Note that an intended call came back, with AWS's error code if it failed and the id if it told one.

        Raises KeyError where no such call was intended or all such have come back.
        """
        known = self._state.steps[name]
        index = next((i for i, sent in enumerate(known.calls) if sent.digest == digest and sent.done is None), None)
        if index is None:
            raise KeyError(digest)
        done = replace(known.calls[index], done=round(at, 3), code=code)
        calls = (*known.calls[:index], done, *known.calls[index + 1 :])
        self._put(name, replace(known, calls=calls, id=id or known.id))

    def settled(self, name: str, kind: str, id: str, fields: Mapping[str, Any]) -> None:
        """Note that nothing remains to be called, and with which specification."""
        known = self.record(name) or Record(kind)
        self._put(name, replace(known, kind=kind, id=id, status="settled", fields=_plain(fields)))

    def failed(self, name: str) -> None:
        """Note that the step gave up, if anything is remembered of it."""
        self._mark(name, "failed")

    def gone(self, name: str) -> None:
        """Forget a step that is no more; its id goes to its past."""
        if known := self.record(name):
            steps = {each: record for each, record in self._state.steps.items() if each != name}
            self._state = replace(self._state, steps=steps)
            self.also_past(name, [known.id])

    def past(self, name: str) -> tuple[str, ...]:
        """Give the ids the step had before its present one, in the order in which they were learned."""
        return self._state.past.get(name, ())

    def also_past(self, name: str, ids: Iterable[str]) -> None:
        """Add ids of earlier incarnations, each once."""
        before = self.past(name)
        after = tuple(dict.fromkeys([*before, *filter(None, ids)]))
        if after != before:
            self._state = replace(self._state, past={**self._state.past, name: after})

    def commit(self) -> None:
        """Put every change since the last commit on disk, safe from a power cut when it returns.

        Without a change nothing is written. Raises StateError where the file cannot be written; the old one is
        whole then, and the next commit tries again.
        """
        if self._state == self._written:
            return
        try:
            private_folder(self.path.parent)
            if self._older:
                _write(_kept(self.path), self._older)
            _write(self.path, _text(self._state), self._rename)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._written, self._older = self._state, b""

    def _mark(self, name: str, status: Status) -> None:
        if known := self.record(name):
            self._put(name, replace(known, status=status))

    def _put(self, name: str, record: Record) -> None:
        known = self.record(name)
        self._state = replace(self._state, steps={**self._state.steps, name: record})
        if known and known.id != record.id:
            self.also_past(name, [known.id])


_IDENTITY = ("target", "account", "region", "project", "environment", "suffix")


def _text(state: State) -> bytes:
    # A lone surrogate becomes the very escape that JSON has for it.
    return (json.dumps(to_json(state), indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def _kept(path: Path) -> Path:
    """Say where a file of an earlier schema is kept, in case somebody goes back to the version that wrote it."""
    return path.with_name(f"{path.name}.older")


def _write(path: Path, data: bytes, rename: Rename = os.replace) -> None:
    """Replace the file, whole or not at all. One fixed temporary name, as there is one writer: none pile up."""
    new = path.with_suffix(".json.new")
    with os.fdopen(private_file(new), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    rename(new, path)
    sync_folder(path.parent)


def _brief(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _shortened(value) for key, value in params.items()}


def _shortened(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True, default=str)
    if len(text) > LONGEST:
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return json.loads(text)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values as they will be read back, so that a state in memory equals the one on disk."""
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain


def _raw(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(
            "unreadable", f"cannot read {path}: {error.strerror}", f"make it readable: chmod u+r {_quoted(path)}"
        ) from error


def _parsed(path: Path, raw: bytes) -> tuple[State, int]:
    """Give the state, and the schema it was written in."""
    try:
        data = json.loads(raw.decode())
        return from_json(data), schema_of(data)
    except Newer as error:
        raise StateError(
            "newer",
            f"{path} was written by a later version ({error})",
            "upgrade provisioner to the version that wrote it, or a later one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, *_damage(raw, error)) from error


def _damage(raw: bytes, error: Exception) -> tuple[int, str]:
    """Say in which line something is wrong, and what."""
    if not raw.strip():
        return (1, "the file is empty")
    if isinstance(error, json.JSONDecodeError):
        return (error.lineno, error.msg)
    if isinstance(error, UnicodeDecodeError):
        return (raw.count(b"\n", 0, error.start) + 1, "not a text")
    if isinstance(error, Malformed):
        return (_line(raw.decode(), error.trail), str(error))
    return (1, "not a state")


def _line(text: str, trail: Sequence[str]) -> int:
    position = 0
    for key in trail:
        position = max(position, text.find(f"{json.dumps(key, ensure_ascii=False)}:", position))
    return text.count("\n", 0, position) + 1


def _damaged(path: Path, line: int, what: str) -> StateError:
    return StateError(
        "damaged",
        f"{path} is damaged at line {line}: {what}",
        f"move it aside and run the same command again: mv {_quoted(path)} {_quoted(f'{path}.damaged')} "
        "(AWS is the truth: what is there is found again by its tags)",
    )


def _elsewhere(path: Path, found: State, here: State, differing: Sequence[str]) -> StateError:
    there, now = (", ".join(f"{key} {getattr(each, key) or '(none)'}" for key in differing) for each in (found, here))
    return StateError(
        "elsewhere",
        f"{path} is the state of {there}, and this run is for {now}",
        "run with what it was built with, or keep the two apart with another --state-dir",
    )


def _held(lock: Path, holder: str) -> Held:
    return Held(
        "held",
        f"another run holds {lock} ({holder or 'it is just starting'})",
        "wait for it to end, or end it, and run the same command again",
    )


def _left(lock: Path, holder: str) -> Held:
    return Held(
        "held",
        f"a run on another machine holds {lock} ({holder})",
        f"wait for it to end; if you know that it has ended without letting go: rm {_quoted(lock)}",
    )


def _holder(fd: int) -> str:
    return os.pread(fd, 1000, 0).decode(errors="replace").strip()


def _unwritable(path: Path, error: OSError) -> StateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = f"free some space there (df -h {_quoted(path.parent)}) and run the same command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = f"make {path.parent} writable, or choose another folder with --state-dir"
    else:
        remedy = "put it right, or choose another folder with --state-dir, and run the same command again"
    return StateError("unwritable", f"cannot write {path}: {error.strerror or error}", remedy)


def _quoted(path: Path | str) -> str:
    return shlex.quote(str(path))
