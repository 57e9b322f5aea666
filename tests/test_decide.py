"""What a step shall do next, row by row: each table row is one reason, in words, and one decision, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from provisioner import decide
from provisioner.decide import Act, Asleep, Decision, Failed, Past, Settled
from provisioner.kit import Call, Live, Stack, Step, Unknown

STACK = Stack(project="shop", environment="dev")
NOW, WINDOW = 1000.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Disk(Step):
    """A resource that can grow and not move."""

    size: int = 10
    zone: str = "a"
    owner: str | Unknown = "vpc-1"
    fixed = frozenset({"zone"})
    moving = "copy it from a snapshot"
    patience = 600.0

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        if live is None:
            yield self.birth
            live = Live(Unknown(self.name), {"size": 10})
        if "size" in self.differences(live):
            yield Call("ec2.modify_volume", VolumeId=live.id, Size=self.size)

    @property
    def birth(self) -> Call:
        return Call("ec2.create_volume", AvailabilityZone=self.zone, Owner=self.owner)

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        yield self.death

    @property
    def death(self) -> Call:
        return Call("ec2.delete_volume", VolumeId="vol-1")


class Archive(Disk):
    """A disk whose loss loses data."""

    holds_data = True


class Attachment(Disk):
    """What has no life of its own, and is undone by two calls at once as long as it is there."""

    attendant = True

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        if live.facts:
            yield (Call("ec2.detach_volume", VolumeId="vol-1"), self.death)


DISK = Disk(name="disk", stack=STACK)
ARCHIVE = Archive(name="disk", stack=STACK)
ATTACHMENT = Attachment(name="disk", stack=STACK)
LARGER = replace(DISK, size=20)
GROW = Call("ec2.modify_volume", VolumeId="vol-1", Size=20)
EXACT = Live("vol-1", {"size": 10, "zone": "a"})


@dataclass(frozen=True)
class Row:
    """One reason: given this, decide that."""

    reason: str
    expected: str
    step: Step = DISK
    live: Live | None = EXACT
    past: Past = field(default_factory=Past)


def told(decision: Decision) -> str:
    match decision:
        case Settled():
            return "settled"
        case Asleep(until, why):
            return f"asleep {until - NOW:g}: {why}"
        case Act(batches):
            return "act " + ", ".join(" and ".join(call.method for call in batch) for batch in batches)
        case Failed(code, message, remedy, operation):
            return f"{code} | {message} | {remedy}" + (f" | {operation}" if operation else "")


def reasons(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.reason) for row in rows])


BROKEN = replace(EXACT, broken="out of order")
FOREIGN = replace(EXACT, foreign="aws ec2 create-tags ...")
MOVED = Live("vol-1", {"size": 10, "zone": "b"})


@reasons(
    [
        Row("what is as wanted is settled", "settled"),
        Row("what is not there is created and set up", "act create_volume, modify_volume", LARGER, None),
        Row("what differs is changed in place", "act modify_volume", LARGER),
        Row(
            "what was just created is not believed to be absent",
            "asleep 1: what was created to show",
            live=None,
            past=Past(born=NOW - 5),
        ),
        Row(
            "the older the create, the longer until the next look",
            "asleep 2.5: what was created to show",
            live=None,
            past=Past(born=NOW - 50),
        ),
        Row(
            "disbelief ends with the window, however long the pause would be",
            "asleep 1: what was created to show",
            live=None,
            past=Past(born=NOW - 59),
        ),
        Row(
            "after the window what is absent is created again", "act create_volume", live=None, past=Past(born=NOW - 60)
        ),
        Row(
            "a create by an earlier run with an outcome nobody knows counts as one",
            "asleep 1: what was created to show",
            live=None,
            past=Past(born=NOW, made={DISK.birth.digest: NOW}),
        ),
        Row(
            "a call whose effect does not show yet is not repeated",
            "asleep 1.5: ec2.modify_volume to show",
            LARGER,
            past=Past(made={GROW.digest: NOW - 30}),
        ),
        Row(
            "a call without effect after its window is repeated",
            "act modify_volume",
            LARGER,
            past=Past(made={GROW.digest: NOW - 60}, tries={GROW.digest: 2}),
        ),
        Row(
            "another call than the one that does not show yet goes out at once",
            "act modify_volume",
            replace(DISK, size=30),
            past=Past(made={GROW.digest: NOW - 1}),
        ),
        Row(
            "the same call three times without effect is an error that shows wanted and found",
            "NoEffect | made 3 times without effect; found: size 10 -> 20"
            " | look at the resource in the AWS console, then run the same command again | ec2.modify_volume",
            LARGER,
            past=Past(made={GROW.digest: NOW - 60}, tries={GROW.digest: 3}),
        ),
        Row(
            "a create without effect three times is an error too",
            "NoEffect | made 3 times without effect; found: nothing there"
            " | look at the resource in the AWS console, then run the same command again | ec2.create_volume",
            live=None,
            past=Past(tries={DISK.birth.digest: 3}),
        ),
        Row(
            "the last of three calls has its window too before it is an error",
            "asleep 1: ec2.modify_volume to show",
            LARGER,
            past=Past(made={GROW.digest: NOW - 1}, tries={GROW.digest: 3}),
        ),
        Row(
            "a call that holds the id of what is not there waits for it",
            "asleep 1: what it belongs to",
            replace(DISK, owner=Unknown("vpc")),
            None,
        ),
        Row(
            "who waited too long for what it belongs to gives up",
            "Timeout | still what it belongs to after 10 minutes | run the same command again",
            replace(DISK, owner=Unknown("vpc")),
            None,
            Past(awaited="what it belongs to", since=NOW - 600),
        ),
        Row("what is busy is left alone", "asleep 1: creating", LARGER, replace(EXACT, busy="creating")),
        Row(
            "what has long been busy is looked at less often",
            "asleep 5: creating",
            live=replace(EXACT, busy="creating"),
            past=Past(awaited="creating", since=NOW - 100),
        ),
        Row(
            "a look at what is busy is never more than fifteen seconds away",
            "asleep 15: creating",
            live=replace(EXACT, busy="creating"),
            past=Past(awaited="creating", since=NOW - 599),
        ),
        Row(
            "what is busy beyond its patience fails and says how to go on",
            "Timeout | still creating after 10 minutes | run the same command again",
            live=replace(EXACT, busy="creating"),
            past=Past(awaited="creating", since=NOW - 600),
        ),
        Row("what is leaving is waited for", "asleep 1: deleting", live=replace(EXACT, busy="deleting", leaving=True)),
        Row("what can still be taken back is no obstacle", "settled", live=replace(EXACT, leaving=True)),
        Row(
            "what has our name and not our tags is refused with the command that takes it over",
            "Foreign | vol-1 stands in the place of shop-dev-disk and has not the tags of this stack"
            " | if it is yours, take it over with: aws ec2 create-tags ...",
            live=FOREIGN,
        ),
        Row("what broke in an earlier run and holds no data is replaced", "act delete_volume", live=BROKEN),
        Row(
            "what broke in this run stops it, and the next run replaces it",
            "Broken | vol-1: out of order | nothing to do by hand, then run the same command again",
            live=BROKEN,
            past=Past(touched=True),
        ),
        Row(
            "what is broken and holds data is never replaced",
            "Broken | vol-1: out of order | save what it holds, delete it by hand, then run the same command again",
            ARCHIVE,
            BROKEN,
        ),
        Row(
            "a replacement is not deleted twice while the delete does not show yet",
            "asleep 1: ec2.delete_volume to show",
            live=BROKEN,
            past=Past(made={DISK.death.digest: NOW}),
        ),
        Row(
            "another one that shows before the newborn does is not built on",
            "asleep 1: what was created to show",
            live=replace(EXACT, id="vol-0"),
            past=Past(born=NOW, newborn="vol-1"),
        ),
        Row(
            "another one is taken for the right one where the newborn never showed",
            "settled",
            live=replace(EXACT, id="vol-0"),
            past=Past(born=NOW - WINDOW, newborn="vol-1"),
        ),
        Row(
            "another one is the right one where the newborn was removed",
            "settled",
            live=replace(EXACT, id="vol-0"),
            past=Past(born=NOW, newborn="vol-1", thinned=True),
        ),
        Row(
            "what AWS cannot change in place is refused with how the data would have to be moved",
            "Fixed | AWS cannot change this in place: zone is b, wanted a"
            " | put the old value back, or copy it from a snapshot",
            live=MOVED,
        ),
        Row(
            "a fixed field that the file does not name keeps what was built",
            "settled",
            replace(DISK, implied=frozenset({"zone"})),
            MOVED,
        ),
        Row(
            "a field that is implied and not fixed is put right all the same",
            "act modify_volume",
            replace(LARGER, implied=frozenset({"size"})),
        ),
    ]
)
def test_toward_the_wish(row: Row) -> None:
    assert told(decide.toward_wish(row.step, row.live, row.past, NOW, WINDOW)) == row.expected


@reasons(
    [
        Row("what is not there is gone", "settled", live=None),
        Row(
            "what was just created is not believed to be gone",
            "asleep 1: what was created to show",
            live=None,
            past=Past(born=NOW - 5),
        ),
        Row("after the window what is absent is gone", "settled", live=None, past=Past(born=NOW - 60)),
        Row("what is there is torn down", "act delete_volume"),
        Row("what differs is torn down as it is", "act delete_volume", LARGER),
        Row("what is broken is torn down", "act delete_volume", ARCHIVE, BROKEN),
        Row(
            "what is broken in this run is torn down all the same",
            "act delete_volume",
            live=BROKEN,
            past=Past(touched=True),
        ),
        Row("what AWS could not change in place is torn down", "act delete_volume", live=MOVED),
        Row("what is foreign is left alone and holds nothing up", "settled", live=FOREIGN),
        Row("what AWS has accepted to delete holds nothing up", "settled", live=replace(EXACT, leaving=True)),
        Row("what outlives the teardown keeps what it needs", "settled", live=replace(EXACT, needed_by=("a copy",))),
        Row(
            "what is busy is waited for before it is deleted",
            "asleep 1: modifying",
            live=replace(EXACT, busy="modifying"),
        ),
        Row(
            "what stays busy beyond its patience fails",
            "Timeout | still modifying after 10 minutes | run the same command again",
            live=replace(EXACT, busy="modifying"),
            past=Past(awaited="modifying", since=NOW - 600),
        ),
        Row(
            "a delete that does not show yet is not repeated",
            "asleep 1: ec2.delete_volume to show",
            past=Past(made={DISK.death.digest: NOW - 5}),
        ),
        Row(
            "a delete without effect three times is an error",
            "NoEffect | made 3 times without effect; found: no change"
            " | look at the resource in the AWS console, then run the same command again | ec2.delete_volume",
            past=Past(tries={DISK.death.digest: 3}),
        ),
        Row("what may be undone at once is undone at once", "act detach_volume and delete_volume", ATTACHMENT),
        Row("an attendant is done when nothing is left to undo", "settled", ATTACHMENT, Live("vol-1")),
    ]
)
def test_toward_nothing(row: Row) -> None:
    assert told(decide.toward_nothing(row.step, row.live, row.past, NOW, WINDOW)) == row.expected


def test_what_has_nothing_left_to_call_and_a_life_of_its_own_is_waited_for() -> None:
    class Endless(Disk):
        def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
            yield from ()

    decision = decide.toward_nothing(Endless(name="disk", stack=STACK), EXACT, Past(), NOW, WINDOW)
    assert told(decision) == "asleep 1: to disappear"


def test_a_batch_waits_for_the_youngest_of_its_calls() -> None:
    made = {ATTACHMENT.death.digest: NOW - 50, Call("ec2.detach_volume", VolumeId="vol-1").digest: NOW - 100}
    decision = decide.toward_nothing(ATTACHMENT, EXACT, Past(made=made), NOW, WINDOW)
    assert told(decision) == "asleep 2.5: ec2.detach_volume to show"


def test_without_a_window_what_was_created_is_looked_for_only_once() -> None:
    assert told(decide.toward_wish(DISK, None, Past(born=NOW), NOW, 0.0)) == "act create_volume"


@pytest.mark.parametrize(
    ("live", "touched", "code"),
    [
        (EXACT, True, ""),
        (BROKEN, False, ""),
        (BROKEN, True, "Broken"),
        (FOREIGN, False, "Foreign"),
        (MOVED, False, "Fixed"),
        (replace(MOVED, foreign="aws ..."), True, "Foreign"),
        (replace(MOVED, broken="out of order"), True, "Broken"),
        (replace(MOVED, busy="modifying"), False, "Fixed"),
    ],
)
def test_what_stands_in_the_way_for_good_is_told_before_anything_is_waited_for(
    live: Live, touched: bool, code: str
) -> None:
    stop = decide.standing(DISK, live, touched)
    assert (stop.code if stop else "") == code


@pytest.mark.parametrize(
    ("live", "word"),
    [
        (None, "absent"),
        (EXACT, "settled"),
        (Live("vol-1", {"size": 5}), "differs"),
        (MOVED, "differs"),
        (replace(EXACT, busy="creating"), "busy"),
        (replace(EXACT, busy="deleting", leaving=True), "busy"),
        (replace(BROKEN, busy="rebooting"), "broken"),
        (replace(BROKEN, foreign="aws ..."), "foreign"),
        (Live("vol-1"), "settled"),
    ],
)
def test_every_finding_has_one_word(live: Live | None, word: str) -> None:
    assert decide.status(DISK, live) == word


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"size": 10}, ""),
        ({"size": 5, "zone": "b"}, "size 5 -> 10, zone b -> a"),
        ({"zone": "b" * 99}, f"zone {'b' * 77}... -> a"),
        ({"unheard_of": 1}, ""),
    ],
)
def test_differences_are_told_found_first_and_cut_to_a_line(facts: Mapping[str, Any], text: str) -> None:
    assert decide.differing(DISK, Live("vol-1", facts)) == text


def test_of_tags_only_those_that_differ_are_told() -> None:
    renamed = Live("vol-1", {"tags": DISK.labels | {"Name": "other"}})
    assert decide.differing(DISK, renamed) == "tags Name other -> shop-dev-disk"


def test_tags_are_compared_with_all_the_labels_of_a_step() -> None:
    assert decide.differing(DISK, Live("vol-1", {"tags": DISK.labels})) == ""
    assert decide.differing(DISK, Live("vol-1", {"tags": {}})).startswith("tags Name absent -> shop-dev-disk, ")


@pytest.mark.parametrize(("age", "seconds"), [(0, 1), (20, 1), (40, 2), (299, 14.95), (300, 15), (9000, 15)])
def test_the_pause_is_a_twentieth_of_the_age_within_bounds(age: float, seconds: float) -> None:
    assert decide.pause(NOW - age, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("takes", [20.5, 43, 61, 106, 180, 210.3, 299, 381, 525, 707, 3600])
def test_what_takes_a_while_is_seen_to_be_ready_within_a_twentieth_of_it(takes: float) -> None:
    looked, looks = 0.0, 0
    while looked < takes:
        looked, looks = looked + decide.pause(NOW, NOW + looked), looks + 1
    assert looked <= takes * 1.05
    assert looks <= 76 + takes / decide.LONGEST
