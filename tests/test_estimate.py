"""How long a run is said to take: the longest path, by history or by published figures; and how history is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.estimate import Forecast, Stopwatch, forecast
from provisioner.events import Event, What
from provisioner.kit import Call
from provisioner.plan import Planned
from provisioner.words import about
from state.history import KEPT, History, add_run, history_path, read_history
from state.store import Lock

CREATE = Call("rds.create_db_cluster")
NEEDS = {"vpc": frozenset[str](), "cluster": frozenset({"vpc"}), "bucket": frozenset[str]()}


def planned(step: str, *calls: Call, status: Any = "absent", causes: Any = ("new",)) -> Planned:
    return Planned(step=step, kind=step.capitalize(), status=status, reason="", calls=calls, causes=causes)


NEW = [planned("vpc", Call("ec2.create_vpc")), planned("cluster", CREATE), planned("bucket", Call("s3.create_bucket"))]
KNOWN = {"Vpc.create": 12.0, "Cluster.create": 300.0, "Bucket.create": 400.0, "Cluster.change": 50.0}


def seconds(given: Forecast | None) -> Any:
    return given and (dict(given.seconds), given.total, given.source)


def test_a_run_takes_the_longest_path_and_not_the_sum() -> None:
    told = forecast(NEW, NEEDS, KNOWN, pace=1.0)
    assert seconds(told) == ({"vpc": 12.0, "cluster": 300.0, "bucket": 400.0}, 400.0, "history")


@pytest.mark.parametrize(
    ("known", "pace", "expected"),
    [
        ({}, 1.0, ({"vpc": 1.0, "cluster": 181.0, "bucket": 1.0}, 182.0, "table")),
        ({}, 0.1, ({"vpc": 0.1, "cluster": 18.1, "bucket": 0.1}, 18.2, "table")),
        ({"Cluster.create": 60.0}, 1.0, ({"vpc": 1.0, "cluster": 60.0, "bucket": 1.0}, 61.0, "both")),
        ({"Cluster.create": 0.5}, 0.0, ({"cluster": 0.5}, 0.5, "history")),
        ({}, 0.0, None),
    ],
)
def test_what_is_not_in_the_history_is_in_the_table_and_at_no_pace_in_neither(
    known: dict[str, float], pace: float, expected: Any
) -> None:
    told = seconds(forecast(NEW, NEEDS, known, pace))
    assert told == (expected and (pytest.approx(expected[0]), pytest.approx(expected[1]), expected[2]))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (planned("cluster", Call("rds.modify_db_cluster", BackupRetentionPeriod=1), status="differs"), 61.0),
        (planned("cluster", Call("rds.modify_db_cluster", EngineVersion="17.4"), status="differs"), 901.0),
        (planned("cluster", Call("rds.delete_db_cluster"), status="settled", causes=("left",)), 64.0),
        (planned("nat", Call("ec2.create_nat_gateway")), 107.0),
        (planned("nat", Call("ec2.delete_nat_gateway"), Call("ec2.create_nat_gateway"), status="broken"), 169.0),
        (planned("vpc", Call("ec2.create_vpc"), Call("ec2.modify_vpc_attribute")), 2.0),
    ],
)
def test_the_table_is_that_of_the_embedded_cloud(step: Planned, expected: float) -> None:
    told = forecast([step], {step.step: frozenset()}, {}, pace=1.0)
    assert told is not None
    assert told.total == expected


@pytest.mark.parametrize(
    ("status", "causes", "call", "expected"),
    [
        ("absent", ("new",), CREATE, 300.0),
        ("differs", ("file",), Call("rds.modify_db_cluster"), 50.0),
        ("absent", ("new",), Call("rds.modify_db_cluster"), 50.0),
        ("settled", ("left",), Call("rds.delete_db_cluster"), 70.0),
        ("settled", ("teardown",), Call("rds.delete_db_cluster"), 70.0),
        ("broken", ("broken",), CREATE, 370.0),
        ("broken", ("left",), Call("rds.delete_db_cluster"), 70.0),
    ],
)
def test_history_is_asked_for_the_same_work(status: str, causes: Any, call: Call, expected: float) -> None:
    step = planned("cluster", call, status=status, causes=causes)
    told = forecast([step], {"cluster": frozenset()}, KNOWN | {"Cluster.delete": 70.0}, pace=0.0)
    assert told is not None
    assert told.total == expected


def test_what_leaves_goes_after_the_rest_and_dependents_first() -> None:
    left = [
        planned("vpc", Call("ec2.create_vpc")),
        planned("bucket", Call("s3.delete_bucket"), status="settled", causes=("left",)),
        planned("cluster", Call("rds.delete_db_cluster"), status="settled", causes=("left",)),
    ]
    needs = {"vpc": frozenset[str](), "bucket": frozenset({"vpc"}), "cluster": frozenset({"vpc", "bucket"})}
    known = {"Vpc.create": 1.0, "Bucket.delete": 10.0, "Cluster.delete": 100.0}
    told = forecast(left, needs, known, pace=0.0)
    assert told is not None
    assert told.total == 111.0
    assert told.waits == {
        "vpc": frozenset(),
        "cluster": frozenset({"vpc"}),
        "bucket": frozenset({"vpc", "cluster"}),
    }


def test_a_teardown_goes_the_other_way() -> None:
    steps = [planned(name, Call("rds.delete_db_cluster"), status="settled", causes=("teardown",)) for name in NEEDS]
    known = {"Vpc.delete": 1.0, "Cluster.delete": 100.0, "Bucket.delete": 3.0}
    told = forecast(steps, NEEDS, known, pace=0.0, tearing=True)
    assert told is not None
    assert told.waits["vpc"] == {"cluster"}
    assert told.total == 101.0


def test_what_is_left_shrinks_with_the_time_spent_and_never_goes_below_nothing() -> None:
    told = Forecast(seconds={"vpc": 10.0, "cluster": 100.0}, waits=NEEDS, source="history")
    assert told.left({}, ()) == 110.0
    assert told.left({"vpc": 4.0}, ()) == 106.0
    assert told.left({"vpc": 999.0}, ()) == 100.0
    assert told.left({"vpc": 9.0, "cluster": 30.0}, {"vpc"}) == 70.0
    assert told.left({"cluster": 999.0}, {"vpc"}) == 0.0


def heard(*events: tuple[What, str, str, float]) -> dict[str, list[float]]:
    stopwatch = Stopwatch({"nat": "Nat", "vpc": "Vpc"})
    for what, step, operation, at in events:
        stopwatch(Event(what=what, step=step, operation=operation, at=at))
    return stopwatch.taken


@pytest.mark.parametrize(
    ("events", "taken"),
    [
        ([("calling", "ec2.create_nat_gateway", 1.0), ("settled", "", 90.0)], {"Nat.create": [89.0]}),
        (
            [("calling", "ec2.create_nat_gateway", 1.0), ("calling", "ec2.create_tags", 3.0), ("settled", "", 9.0)],
            {"Nat.create": [8.0]},
        ),
        ([("calling", "ec2.create_tags", 1.0), ("settled", "", 2.0)], {"Nat.change": [1.0]}),
        ([("calling", "ec2.delete_nat_gateway", 1.0), ("gone", "", 61.0)], {"Nat.delete": [60.0]}),
        ([("waiting", "", 1.0), ("settled", "", 90.0)], {}),
        ([("settled", "", 90.0)], {}),
        ([("calling", "ec2.create_nat_gateway", 1.0), ("failed", "", 90.0)], {}),
        (
            [
                ("calling", "ec2.delete_nat_gateway", 1.0),
                ("calling", "ec2.create_nat_gateway", 70.0),
                ("settled", "", 180.0),
            ],
            {},
        ),
    ],
)
def test_only_what_was_called_for_from_beginning_to_end_is_measured(events: Any, taken: Any) -> None:
    assert heard(*((what, "nat", operation, at) for what, operation, at in events)) == taken


def test_the_history_of_a_target_is_kept_and_the_middle_of_it_told(tmp_path: Path) -> None:
    path = history_path(tmp_path / "new", "aws")
    for taken in (100.0, 900.0, 110.0):
        add_run(path, 1.0, {"Cluster.create": [taken]})
    add_run(path, 1.0, {"Vpc.create": [2.0, 9.0, 4.0], "Cluster.change": []})
    assert read_history(path).typical(1.0) == {"Cluster.create": 110.0, "Vpc.create": 4.0}
    assert path.stat().st_mode & 0o077 == 0


def test_a_history_is_that_of_one_pace(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    add_run(path, 0.0, {"Cluster.create": [0.5]})
    assert read_history(path).typical(1.0) == {}
    add_run(path, 1.0, {"Vpc.create": [2.0]})
    assert read_history(path) == History(1.0, {"Vpc.create": (2.0,)})


def test_a_history_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    add_run(path, 1.0, {"Vpc.create": [float(number) for number in range(3 * KEPT)]})
    add_run(path, 1.0, {"Vpc.create": [1.5, -1.0, 1e12]})
    kept = read_history(path).seconds["Vpc.create"]
    assert len(kept) == KEPT
    assert kept[-1] == 1.5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "garbage",
        "[" * 100_000,
        "{}",
        "[]",
        "null",
        '{"schema": 2, "pace": 1, "seconds": {}}',
        '{"schema": 1, "pace": 1, "seconds": []}',
        '{"schema": 1, "pace": 1, "seconds": {"Vpc.create": 3}}',
        '{"schema": 1, "pace": 1, "seconds": {"Vpc.create": ["x"]}}',
        '{"schema": 1, "pace": 1, "seconds": {"Vpc.create": [NaN]}}',
        '{"schema": 1, "pace": 1, "seconds": {"Vpc.create": [-1]}}',
        '{"schema": 1, "pace": null, "seconds": {}}',
    ],
)
def test_a_history_that_cannot_be_used_is_none_and_the_next_run_begins_another(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history.json"
    path.write_text(content)
    assert read_history(path) == History()
    add_run(path, 1.0, {"Vpc.create": [2.0]})
    assert json.loads(path.read_text())["seconds"] == {"Vpc.create": [2.0]}


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    add_run(tmp_path / "file" / "history.json", 1.0, {"Vpc.create": [2.0]})
    path = tmp_path / "history.json"
    with Lock.acquire(path):
        add_run(path, 1.0, {"Vpc.create": [2.0]})
    assert not path.exists()
    add_run(path, 1.0, {"Vpc.create": []})
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (0.2, "a few seconds"),
        (4.9, "a few seconds"),
        (6, "about 5 s"),
        (62, "about 60 s"),
        (89, "about 90 s"),
        (91, "about 2 min"),
        (565, "about 9 min"),
        (7200, "about 2 h 0 min"),
    ],
)
def test_a_time_is_told_no_more_exactly_than_it_is_known(given: float, told: str) -> None:
    assert about(given) == told
