"""What the state file and its lock promise: whole or untouched, readable, never somebody else's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.record import SCHEMA, Malformed, Newer, Record, Sent, State, from_json, iso, to_json
from state.store import Held, Journal, Lock, StateError, read, state_path

HERE = State("shop", "dev", "", "local", "123456789012", "eu-central-1")
VPC = ("ec2.create_vpc", "d1", {"CidrBlock": "10.0.0.0/16"})
TAG = ("ec2.create_tags", "d2", {"Resources": ["vpc-1"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return state_path(tmp_path / "states", "local", "shop-dev")


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal.open(path, HERE)


def settled(path: Path) -> Journal:
    journal = Journal.open(path, HERE)
    journal.intend("vpc", "Vpc", [VPC], at=1.5)
    journal.outcome("vpc", "d1", at=2.25, id="vpc-1")
    journal.settled("vpc", "Vpc", "vpc-1", {"cidr": "10.0.0.0/16"})
    journal.commit()
    return journal


# The file


def test_the_path_keeps_targets_and_stacks_apart() -> None:
    assert state_path(Path("s"), "aws", "shop-dev") == Path("s/aws/shop-dev.json")


def test_what_one_run_commits_the_next_one_knows(path: Path) -> None:
    written = settled(path)
    again = Journal.open(path, HERE)
    assert again.state == written.state
    assert again.record("vpc") == Record(
        "Vpc",
        "vpc-1",
        "settled",
        (Sent("ec2.create_vpc", "d1", {"CidrBlock": "10.0.0.0/16"}, 1.5, 2.25),),
        {"cidr": "10.0.0.0/16"},
    )


def test_the_file_is_for_people_too(path: Path) -> None:
    journal = settled(path)
    journal.settled("größe", "Bucket", "b", {"note": "für Menschen"})
    journal.commit()
    text = path.read_text()
    assert list(json.loads(text)) == [
        *("schema", "project", "environment", "suffix", "target", "account", "region"),
        *("steps", "past"),
    ]
    assert '"at": "1970-01-01T00:00:01.500Z"' in text
    assert '"note": "für Menschen"' in text
    assert text.startswith('{\n "schema": 2,\n "project": "shop",\n')


def test_only_its_owner_may_read_file_and_folders(path: Path) -> None:
    settled(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)} == {0o700}


def test_opening_and_reading_write_nothing(path: Path) -> None:
    assert read(path) is None
    Journal.open(path, HERE).commit()
    assert not path.parent.exists()


def test_a_commit_without_a_change_writes_nothing(path: Path) -> None:
    settled(path)
    before = path.stat()
    journal = Journal.open(path, HERE)
    journal.settled("vpc", "Vpc", "vpc-1", {"cidr": "10.0.0.0/16"})
    journal.commit()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_changes_are_on_disk_only_after_the_commit(path: Path) -> None:
    journal = settled(path)
    journal.gone("vpc")
    assert read(path) != journal.state
    journal.commit()
    assert read(path) == journal.state
    assert journal.state.steps == {}


class Killed(BaseException):
    """The end of the process, as far as a test can go through it."""


def test_a_run_killed_between_write_and_rename_leaves_the_old_file_whole(path: Path) -> None:
    before = settled(path).state

    def killed(source: Path, target: Path) -> None:
        raise Killed

    dying = Journal.open(path, HERE, rename=killed)
    dying.gone("vpc")
    with pytest.raises(Killed):
        dying.commit()
    assert read(path) == before
    resumed = Journal.open(path, HERE)
    resumed.failed("vpc")
    resumed.commit()
    assert read(path) == resumed.state
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_new_file_is_complete_before_it_takes_the_name(path: Path) -> None:
    seen: list[State | None] = []

    def looking(source: Path, target: Path) -> None:
        seen.append(read(source))
        os.replace(source, target)

    journal = Journal.open(path, HERE, rename=looking)
    journal.settled("vpc", "Vpc", "vpc-1", {})
    journal.commit()
    assert seen == [journal.state]


def test_a_full_disk_is_named_and_the_next_commit_tries_again(path: Path) -> None:
    answers: Iterator[int] = iter([errno.ENOSPC])

    def full_once(source: Path, target: Path) -> None:
        if code := next(answers, 0):
            raise OSError(code, os.strerror(code))
        os.replace(source, target)

    journal = Journal.open(path, HERE, rename=full_once)
    journal.settled("vpc", "Vpc", "vpc-1", {})
    with pytest.raises(StateError) as caught:
        journal.commit()
    assert caught.value.code == "unwritable"
    assert str(path) in caught.value.message
    assert "No space left" in caught.value.message
    assert "free some space" in caught.value.remedy
    journal.commit()
    assert read(path) == journal.state


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_named(path: Path, code: int) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(code, os.strerror(code))

    journal = Journal.open(path, HERE, rename=refused)
    journal.settled("vpc", "Vpc", "vpc-1", {})
    with pytest.raises(StateError, match="--state-dir"):
        journal.commit()


def test_a_file_where_the_folder_should_be_is_named(path: Path) -> None:
    path.parent.parent.write_text("in the way")
    for action in (lambda: Lock.acquire(path), lambda: Journal.open(path, HERE)):
        with pytest.raises(StateError, match="Not a directory|File exists"):
            action()


# What cannot be used


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"", 1, "empty"),
        (b" \n\n", 1, "empty"),
        (b'{\n "schema": 1,\n "project": "sh', 3, "Unterminated string"),
        (b"{}\n{}", 2, "Extra data"),
        (b'{\n "schema": 1,\n \xff\xfe', 3, "not a text"),
        (b"\0" * 4096, 1, "Expecting value"),
        (b"[" * 100_000, 1, "not a state"),
        (b"9" * 5000, 1, "not a state"),
        (b"[]", 1, "the file: should be an object"),
        (b"{}", 1, "schema is missing"),
        (b'{\n "schema": true}', 2, "schema: should be a whole number"),
        (b'{\n "schema": 0}', 2, "schema: is 0"),
    ],
)
def test_a_damaged_file_is_kept_and_named(path: Path, content: bytes, line: int, what: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StateError) as caught:
        Journal.open(path, HERE)
    assert caught.value.code == "damaged"
    assert f"{path} is damaged at line {line}: " in caught.value.message
    assert what in caught.value.message
    assert f"mv {path} {path}.damaged" in caught.value.remedy
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"status": "settled"', '"status": "happy"', "steps.vpc.status: should be one of pending, settled"),
        ('"at": "1970-01-01T00:00:01.500Z"', '"at": "yesterday"', "steps.vpc.calls.at: should be an ISO 8601 time"),
        ('"code": ""', '"code": 7', "steps.vpc.calls.code: should be a text"),
        ('"id": "vpc-1"', '"id": null', "steps.vpc.id: should be a text"),
        ('"past": {}', '"past": {"vpc": "vpc-0"}', "past.vpc: should be a list"),
    ],
)
def test_a_wrong_shape_is_named_with_its_line(path: Path, old: str, new: str, what: str) -> None:
    settled(path)
    text = path.read_text()
    line = text.count("\n", 0, text.index(old)) + 1
    path.write_text(text.replace(old, new))
    with pytest.raises(StateError) as caught:
        read(path)
    assert f"line {line}: {what}" in caught.value.message


def test_a_file_cut_off_anywhere_is_damage_and_nothing_else(path: Path) -> None:
    settled(path)
    whole = path.read_bytes()
    for end in range(len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(StateError, match="damaged at line"):
            read(path)


def test_a_file_that_may_not_be_read_is_named(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StateError, match="cannot read"):
        read(path)


def test_a_later_schema_asks_for_an_upgrade(path: Path) -> None:
    settled(path)
    newer = path.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 1}').replace('"steps"', '"stages"')
    path.write_text(newer)
    with pytest.raises(StateError, match="upgrade") as caught:
        Journal.open(path, HERE)
    assert caught.value.code == "newer"
    assert path.read_text() == newer


def older(path: Path) -> str:
    """Put a file of schema 1 in place of a file of ours, as the version that wrote it did; gives its text."""
    data = json.loads(path.read_text())
    for record in data["steps"].values():
        del record["born"]
    text = json.dumps({**data, "schema": 1}, indent=1)
    path.write_text(text)
    return text


def test_a_file_of_an_earlier_schema_is_read_as_it_is_and_kept_when_ours_takes_its_place(path: Path) -> None:
    settled(path)
    text = older(path)
    found = read(path)
    assert found is not None
    assert found.steps["vpc"].born == 2.25
    journal = Journal.open(path, HERE)
    journal.commit()
    assert path.read_text() == text
    journal.gone("vpc")
    journal.commit()
    assert json.loads(path.read_text())["schema"] == SCHEMA
    kept = path.with_name("shop-dev.json.older")
    assert kept.read_text() == text
    assert kept.stat().st_mode & 0o777 == 0o600
    journal.settled("vpc", "Vpc", "vpc-2", {})
    journal.commit()
    assert kept.read_text() == text


def test_the_birth_is_remembered_whatever_is_called_after_it(path: Path, journal: Journal) -> None:
    journal.intend("vpc", "Vpc", [VPC], at=10)
    journal.outcome("vpc", "d1", at=11, id="vpc-1")
    journal.intend("vpc", "Vpc", [TAG], at=12, born=11)
    journal.commit()
    found = read(path)
    assert found is not None
    assert found.steps["vpc"].born == 11
    assert [sent.operation for sent in found.steps["vpc"].calls] == ["ec2.create_tags"]


@pytest.mark.parametrize("key", ["account", "region", "target", "project", "environment", "suffix"])
def test_a_state_of_elsewhere_is_refused_with_both_places(path: Path, key: str) -> None:
    settled(path)
    here = from_json({**to_json(HERE), key: "other"})
    with pytest.raises(StateError) as caught:
        Journal.open(path, here)
    assert caught.value.code == "elsewhere"
    assert f"is the state of {key} {getattr(HERE, key) or '(none)'}" in caught.value.message
    assert f"this run is for {key} other" in caught.value.message


# The journal


def test_an_intent_has_no_outcome_until_its_answer_is_in(journal: Journal) -> None:
    journal.intend("vpc", "Vpc", [VPC, TAG], at=10)
    journal.outcome("vpc", "d2", at=11, code="Throttling")
    record = journal.record("vpc")
    assert record is not None
    assert record.status == "pending"
    assert [(sent.done, sent.code) for sent in record.calls] == [(None, ""), (11, "Throttling")]


def test_two_equal_calls_are_answered_one_by_one(journal: Journal) -> None:
    journal.intend("vpc", "Vpc", [TAG, TAG], at=10)
    journal.outcome("vpc", "d2", at=11)
    journal.outcome("vpc", "d2", at=12)
    record = journal.record("vpc")
    assert record is not None
    assert [sent.done for sent in record.calls] == [11, 12]
    with pytest.raises(KeyError):
        journal.outcome("vpc", "d2", at=13)


def test_the_id_a_create_tells_is_remembered_at_once(path: Path, journal: Journal) -> None:
    journal.intend("vpc", "Vpc", [VPC], at=10)
    journal.outcome("vpc", "d1", at=11, id="vpc-1")
    journal.commit()
    found = read(path)
    assert found is not None
    assert (found.steps["vpc"].id, found.steps["vpc"].status) == ("vpc-1", "pending")


def test_a_new_intent_keeps_id_and_specification(path: Path) -> None:
    journal = settled(path)
    journal.intend("vpc", "Vpc", [TAG], at=10)
    record = journal.record("vpc")
    assert record is not None
    assert (record.id, record.status, record.fields) == ("vpc-1", "pending", {"cidr": "10.0.0.0/16"})
    assert [sent.operation for sent in record.calls] == ["ec2.create_tags"]


def test_an_id_that_changes_or_goes_stays_in_the_past(path: Path) -> None:
    journal = settled(path)
    journal.intend("vpc", "Vpc", [VPC], at=10)
    journal.outcome("vpc", "d1", at=11, id="vpc-2")
    assert journal.past("vpc") == ("vpc-1",)
    journal.settled("vpc", "Vpc", "vpc-3", {})
    journal.also_past("vpc", ["vpc-0", "vpc-1", ""])
    journal.gone("vpc")
    journal.gone("vpc")
    assert (journal.record("vpc"), journal.names()) == (None, ())
    assert journal.past("vpc") == ("vpc-1", "vpc-2", "vpc-0", "vpc-3")
    journal.commit()
    assert Journal.open(path, HERE).past("vpc") == journal.past("vpc")


def test_a_step_is_leaving_while_calls_tear_it_down_and_pending_while_they_build_it(path: Path) -> None:
    journal = settled(path)
    journal.intend("vpc", "Vpc", [TAG], at=9, leaving=True)
    journal.intend("vpc", "Vpc", [TAG], at=9)
    assert [each.status for each in journal.state.steps.values()] == ["pending"]
    journal.intend("vpc", "Vpc", [("ec2.delete_vpc", "d3", {"VpcId": "vpc-1"})], at=10, leaving=True)
    assert [each.status for each in journal.state.steps.values()] == ["leaving"]
    journal.failed("vpc")
    assert [each.status for each in journal.state.steps.values()] == ["failed"]


def test_nothing_is_made_up_about_a_step_never_recorded(journal: Journal) -> None:
    journal.failed("vpc")
    journal.gone("vpc")
    assert journal.state == HERE


def test_long_parameters_are_kept_as_their_fingerprint_and_odd_ones_as_text(path: Path, journal: Journal) -> None:
    params = {"Keys": ["k" * 40] * 1000, "Short": ["a", 1, None], "When": Path("odd")}
    journal.intend("bucket", "Bucket", [("s3.delete_objects", "d", params)], at=1)
    journal.commit()
    assert read(path) == journal.state
    kept = journal.state.steps["bucket"].calls[0].params
    assert kept["Short"] == ["a", 1, None]
    assert kept["When"] == "odd"
    assert kept["Keys"].startswith("sha256:")
    assert len(kept["Keys"]) == len("sha256:") + 16


TEXTS = st.text(max_size=20)
TIMES = st.floats(0, 4e9).map(lambda at: round(at, 3))
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3))
SENT = st.builds(Sent, TEXTS, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), TIMES, st.none() | TIMES, TEXTS)
RECORDS = st.builds(
    Record,
    TEXTS,
    TEXTS,
    st.sampled_from(["pending", "settled", "failed", "leaving"]),
    st.lists(SENT, max_size=2).map(tuple),
    st.dictionaries(TEXTS, VALUES, max_size=3),
)
STATES = st.builds(
    State,
    *[TEXTS] * 6,
    st.dictionaries(TEXTS, RECORDS, max_size=3),
    st.dictionaries(TEXTS, st.lists(TEXTS, max_size=3).map(tuple), max_size=3),
)


@given(STATES)
def test_every_state_survives_its_json(state: State) -> None:
    assert from_json(json.loads(json.dumps(to_json(state)))) == state


@given(VALUES | st.dictionaries(st.sampled_from(["schema", "steps", "past"]), VALUES))
def test_no_other_json_passes_for_a_state(value: object) -> None:
    with pytest.raises(Malformed):
        from_json(value)


def test_a_later_schema_is_told_from_damage() -> None:
    with pytest.raises(Newer):
        from_json({"schema": SCHEMA + 1})


def test_a_time_reads_as_utc() -> None:
    assert iso(1_795_000_000.0006) == "2026-11-18T11:06:40.001Z"


# The lock

HOLD = """
import sys
from pathlib import Path
from state.store import Lock
lock = Lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_names_who_holds_it_and_since_when(path: Path) -> None:
    with Lock.acquire(path):
        text = path.with_suffix(".lock").read_text()
    assert text.startswith(f"pid {os.getpid()} on ")
    assert " since 20" in text
    assert path.with_suffix(".lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_let_go_can_be_taken_again(path: Path) -> None:
    lock = Lock.acquire(path)
    lock.release()
    lock.release()
    with Lock.acquire(path), pytest.raises(Held, match=f"pid {os.getpid()} on "):
        Lock.acquire(path)


def test_what_another_host_holds_is_not_taken_from_it_and_the_command_that_does_is_told(path: Path) -> None:
    lock = Lock.acquire(path, host="elsewhere")
    written = path.with_suffix(".lock").read_text()
    assert "on elsewhere since" in written
    os.close(lock._fd)  # as a machine that went away, or a folder whose locks stay on their machine
    with pytest.raises(Held, match="on elsewhere since") as caught:
        Lock.acquire(path)
    assert f"rm {path.with_suffix('.lock')}" in caught.value.remedy
    assert path.with_suffix(".lock").read_text() == written
    Lock.acquire(path, host="elsewhere").release()
    Lock.acquire(path).release()


@pytest.mark.process
def test_a_child_that_inherits_everything_does_not_inherit_the_lock(path: Path) -> None:
    lock = Lock.acquire(path)
    child = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    lock.release()
    with Lock.acquire(path):
        child.communicate(b"\n")
    assert child.returncode == 0


@pytest.mark.process
def test_a_second_holder_is_refused_until_the_first_process_is_dead(path: Path) -> None:
    root = Path(__file__).parents[1]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Held, match=f"pid {holder.pid} on ") as caught:
            Lock.acquire(path)
        assert "wait for it to end" in caught.value.remedy
        holder.kill()
    with Lock.acquire(path):
        assert path.with_suffix(".lock").read_text().startswith(f"pid {os.getpid()} on ")
