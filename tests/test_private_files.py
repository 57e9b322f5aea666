"""Who may read what the tool writes: nobody but its owner, whatever the umask and whatever was there before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner import plan_file
from provisioner.kit import Stack
from state.history import add_run, history_path
from state.private import private_file, private_folder, state_folder
from state.record import State
from state.store import Journal, Lock, state_path

HERE = State("acme", "dev", "", "local", "123456789012", "us-east-1")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def write_all(states: Path) -> None:
    """Write everything that a run leaves in a state folder, and a plan beside it."""
    path = state_path(states, "local", "acme-dev")
    with Lock.acquire(path):
        journal = Journal(path, HERE, older=b"{}")
        journal.settled("vpc", "Vpc", f"vpc-{os.urandom(4).hex()}", {})
        journal.commit()
    add_run(history_path(states, "local"), 1.0, {"Vpc": [1.0]})
    plan = states / "local" / "dev.plan"
    plan_file.write(plan, [], stack=Stack(project="acme", environment="dev"), target="local", file=states / "dev.toml")


def modes(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): oct(each.stat().st_mode & 0o777) for each in [folder, *folder.rglob("*")]}


WRITTEN = {
    ".": "0o700",
    "local": "0o700",
    "local/acme-dev.json": "0o600",
    "local/acme-dev.json.older": "0o600",
    "local/acme-dev.lock": "0o600",
    "local/history.json": "0o600",
    "local/history.lock": "0o600",
    "local/dev.plan": "0o600",
}


@pytest.mark.parametrize("name", [".provisioner", "named/by/the/user"])
def test_what_is_made_is_the_owners_only_whatever_the_umask(tmp_path: Path, umask: int, name: str) -> None:
    write_all(tmp_path / name)
    assert modes(tmp_path / name) == WRITTEN


def test_what_was_left_wider_is_private_after_the_next_write(tmp_path: Path) -> None:
    states = tmp_path / ".provisioner"
    write_all(states)
    for each in [states, *states.rglob("*")]:
        each.chmod(0o777 if each.is_dir() else 0o666)
    for left in ("acme-dev.json.new", "history.json.new", "dev.plan.new"):
        (states / "local" / left).touch(mode=0o666)
    write_all(states)
    assert modes(states) == WRITTEN


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o770])
def test_a_folder_that_the_user_named_keeps_its_mode_and_what_is_ours_in_it_is_private(
    tmp_path: Path, mode: int
) -> None:
    theirs = tmp_path / "team"
    theirs.mkdir()
    (theirs / "notes").touch(mode=0o644)
    theirs.chmod(mode)
    tmp_path.chmod(0o755)
    write_all(theirs)
    assert modes(theirs) == {**WRITTEN, ".": oct(mode), "notes": "0o644"}
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("make", [private_folder, lambda path: state_folder(path.parent)], ids=["target", "states"])
def test_what_a_link_leads_to_is_the_users_and_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "aws").mkdir(parents=True)
    for each in (elsewhere, elsewhere / "aws"):
        each.chmod(0o755)
    (tmp_path / ".provisioner").symlink_to(elsewhere)
    make(tmp_path / ".provisioner" / "aws")
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    (tmp_path / "file").symlink_to(theirs)
    with pytest.raises(OSError, match="symbolic links"):
        private_file(tmp_path / "file")
    assert theirs.read_text() == "kept"
