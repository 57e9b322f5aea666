"""What every step promises, kept in the embedded cloud: built once, left alone, put right, gone without a trace."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from provisioner import plan, preflight
from provisioner.clock import RealClock
from provisioner.kit import Call
from provisioner.session import Session
from provisioner.wiring import Outcome
from steps import KINDS
from tests.census import Census, census, resources
from tests.hands import CHANGES, ENVIRONMENTS, Change, live
from tests.world import Killed, Watched, World, standing

FLAGS = frozenset({"disable_protection", "delete_data", "skip_final_snapshot"})


@cache
def built(environment: str) -> Census:
    with TemporaryDirectory() as folder:
        return census(standing(Path(folder), environment).client)


def settled(outcome: Outcome) -> bool:
    assert not outcome.failures, outcome.failures
    return set(outcome.results.values()) == {"settled"}


def calls(session: Session) -> list[str]:
    assert isinstance(session.aws, Watched)
    return list(map(repr, session.aws.calls))


def test_there_is_a_change_for_every_kind_of_resource() -> None:
    assert {change.kind for change in CHANGES} == set(KINDS)


@pytest.mark.parametrize(
    ("environment", "change"),
    [
        pytest.param(environment, change, id=f"{environment}-{change.kind}-{change.what}", marks=marks)
        for change in CHANGES
        for environment in dict.fromkeys((change.environments[0], change.environments[-1]))
        for marks in [() if environment == change.environments[0] else pytest.mark.crash]
    ],
)
def test_what_a_foreign_hand_changes_is_planned_and_put_right(tmp_path: Path, environment: str, change: Change) -> None:
    world = standing(tmp_path, environment)
    concerned = [
        seen
        for name, seen in world.look().seen.items()
        if seen.step.kind == change.kind and name.startswith(change.only)
    ]
    assert concerned
    for seen in concerned:
        change.do(world.client, seen)
    planned = {each.step: each.calls for each in plan.provision(world.look())}
    assert all(planned[seen.step.name] for seen in concerned), planned
    assert settled(world.provision())
    assert census(world.client) == built(environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_built_once_and_goes_without_a_trace(tmp_path: Path, environment: str) -> None:
    world = World(tmp_path, environment)
    empty = census(world.client)
    assert settled(world.provision())
    assert census(world.client) == built(environment)
    again = world.session()
    assert settled(world.provision(again))
    assert calls(again) == []
    down = world.teardown(flags=FLAGS)
    assert set(down.results.values()) == {"gone"}
    assert [each for each in down.remains if not each.startswith("key ") or "free" not in each] == []
    assert census(world.client) == empty
    assert resources(empty) == 0
    once_more = world.session()
    world.teardown(once_more, flags=FLAGS)
    assert calls(once_more) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_lost_state_changes_nothing(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, environment)
    kept = world.state.read_text()
    world.lose_state()
    session = world.session()
    assert settled(world.provision(session))
    assert calls(session) == []
    assert remembered(world.state.read_text()) == remembered(kept)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_state_names_exactly_what_stands(tmp_path: Path, environment: str) -> None:
    world = standing(tmp_path, environment)
    written = {name: step["id"] for name, step in remembered(world.state.read_text()).items()}
    assert written == {name: live(seen).id for name, seen in world.look().seen.items()}
    assert {step["status"] for step in remembered(world.state.read_text()).values()} == {"settled"}


def remembered(state: str) -> Any:
    """Read what a state says of its steps, but for the calls that were made for them, and when."""
    steps = json.loads(state)["steps"]
    return {name: {**step, "calls": [], "born": None} for name, step in steps.items()}


def checked(session: Session) -> None:
    """Make the preflight that comes before every provision."""
    sight = session.look()
    assert preflight.findings(session.flight(sight, plan.provision(sight))) == preflight.Findings()


def test_dev_is_built_with_112_requests_and_found_built_with_41(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.session()
    checked(first)
    world.provision(first)
    assert first.aws.requests <= 112
    second = world.session()
    checked(second)
    world.provision(second)
    assert second.aws.mutations == 0
    assert second.aws.reads <= 41


# Changes of the environment file.


Tables = dict[str, Any]
SWITCHES = [
    *("network_acls", "flow_logs", "access_logs", "bucket_events", "backup_plan", "enhanced_monitoring"),
    "performance_insights",
]
"""What can be had alone: alerts are encrypted, and a key is not given up for the asking."""


def fresh(folder: Path, environment: str, *changes: Tables) -> Census:
    """Count what a file, changed so, gives in an empty account."""
    world = World(folder / "fresh", environment)
    for tables in changes:
        world.change(**tables)
    assert settled(world.provision())
    return census(world.client)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ("dev", [{"network": {"nat": nat}} for nat in ("single", "per-zone", "none")]),
        ("prod", [{"network": {"nat": nat}} for nat in ("single", "none", "per-zone")]),
        ("dev", [{"network": {"zones": zones}} for zones in (3, 2)]),
        ("staging", [{"network": {"zones": 3, "nat": "per-zone"}}, {"network": {"zones": 2, "nat": "single"}}]),
        ("dev", [{"database": {"instances": instances}} for instances in (2, 1)]),
        ("staging", [{"database": {"min_acu": 1, "max_acu": 4.5}}, {"database": {"min_acu": 0, "max_acu": 1}}]),
        ("dev", [{"database": {"auto_pause_seconds": 3600}}, {"database": {"backup_days": 35}}]),
        ("dev", [{"database": {"deletion_protection": True}}]),
        ("dev", [{"bucket": {"noncurrent_days": 3}}, {"bucket": {"abort_uploads_days": 5}}]),
        ("dev", [{"tags": {"owner": "alice"}}, {"tags": {"team": "network"}}]),
        *(("dev", [{"security": {switch: on}} for on in (True, False)]) for switch in SWITCHES),
        (
            "prod",
            [{"network": {"peers": peers}} for peers in (["10.9.0.0/16", "10.8.0.0/16"], ["10.8.0.0/16"])],
        ),
        ("prod", [{"network": {"zones": zones}} for zones in (3, 2)]),
        ("prod", [{"security": {"log_days": 7}}, {"tags": {"owner": "alice"}}]),
    ],
)
def test_a_changed_file_leads_to_what_it_gives_in_an_empty_account(
    tmp_path: Path, environment: str, path: list[Tables]
) -> None:
    wanted = [fresh(tmp_path / str(length), environment, *path[:length]) for length in range(1, len(path) + 1)]
    world = standing(tmp_path, environment)
    for tables, whole in zip(path, wanted, strict=True):
        world.change(**tables)
        outcome = world.provision()
        assert not outcome.failures, outcome.failures
        assert census(world.client) == whole
        again = world.session()
        world.provision(again)
        assert calls(again) == []


@pytest.mark.parametrize("flags", [frozenset[str](), frozenset({"delete_data"})])
@pytest.mark.parametrize(("table", "steps"), [("bucket", {"bucket"}), ("database", {"cluster", "cluster-log"})])
def test_what_holds_data_leaves_the_file_only_by_a_flag(
    tmp_path: Path, table: str, steps: set[str], flags: frozenset[str]
) -> None:
    world = standing(tmp_path)
    world.change(**{table: None})
    refused = list(plan.refusals(world.look(flags=flags), flags, tearing=False))
    if not flags:
        assert {each.where for each in refused} == steps
        assert all("--delete-data" in each.remedy for each in refused)
        return
    assert refused == []
    assert not world.provision(flags=flags).failures
    assert census(world.client) == fresh(tmp_path, "dev", {table: None})


@pytest.mark.parametrize(
    ("tables", "step", "told"),
    [
        ({"network": {"cidr": "10.99.0.0/16"}}, "vpc", "cidr is 10.10.0.0/16, wanted 10.99.0.0/16"),
        ({"database": {"name": "other"}}, "cluster", "database is app, wanted other"),
        ({"database": {"port": 6543}}, "cluster", "port is 5432, wanted 6543"),
        ({"database": {"master_user": "boss"}}, "cluster", "master_user is provisioner, wanted boss"),
    ],
)
def test_what_aws_cannot_change_is_refused_with_the_way_out(
    tmp_path: Path, tables: Tables, step: str, told: str
) -> None:
    world = standing(tmp_path)
    world.change(**tables)
    refused = {each.where: each for each in plan.refusals(world.look(), frozenset(), tearing=False)}
    assert told in refused[step].what
    assert "put the old value back" in refused[step].remedy
    assert "SUFFIX" in refused[step].remedy


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_what_the_file_does_not_name_keeps_what_was_built(tmp_path: Path, state: str) -> None:
    world = World(tmp_path)
    world.change(network={"cidr": "10.77.0.0/16"}, database={"name": "orders", "port": 6543, "master_user": "boss"})
    assert settled(world.provision())
    whole = census(world.client)
    document = world.settings.model_dump(exclude_unset=True)
    del document["network"]["cidr"], document["database"]["name"]
    del document["database"]["port"], document["database"]["master_user"]
    world.settings = type(world.settings).model_validate(document)
    if state == "lost":
        world.lose_state()
    session = world.session()
    assert list(plan.refusals(session.look(), frozenset(), tearing=False)) == []
    assert settled(world.provision(session))
    assert calls(session) == []
    assert census(world.client) == whole


def version(world: World) -> str:
    (found,) = world.client("rds").describe_db_clusters()["DBClusters"]
    return str(found["EngineVersion"])


@pytest.mark.parametrize("state", ["kept", "lost"])
@pytest.mark.parametrize("wanted", [None, "16", "16.4", "15"])
def test_a_newer_engine_than_the_file_asks_for_stays(tmp_path: Path, wanted: str | None, state: str) -> None:
    world = standing(tmp_path)
    rds = world.client("rds")
    rds.modify_db_cluster(DBClusterIdentifier="acme-dev-cluster", EngineVersion="16.9", ApplyImmediately=True)
    world.change(database={"engine_version": wanted} if wanted else {})
    if state == "lost":
        world.lose_state()
    session = world.session()
    assert settled(world.provision(session))
    assert calls(session) == []
    assert version(world) == "16.9"


def test_a_newer_minimum_is_an_upgrade(tmp_path: Path) -> None:
    world = standing(tmp_path)
    assert version(world) == "16.8"
    world.change(database={"engine_version": "16.9"})
    assert settled(world.provision())
    assert version(world) == "16.9"


def test_a_newer_major_version_brings_its_parameters(tmp_path: Path) -> None:
    world = standing(tmp_path)
    world.change(database={"engine_version": "17"})
    outcome = world.provision()
    assert not outcome.failures, outcome.failures
    (found,) = world.client("rds").describe_db_clusters()["DBClusters"]
    assert found["EngineVersion"].startswith("17.")
    assert found["DBClusterParameterGroup"] == "acme-dev-cluster-parameters-17"
    assert outcome.results["cluster-parameters-16"] == "gone"


def test_a_teardown_resumed_while_the_cluster_is_deleting_names_its_final_snapshot(tmp_path: Path) -> None:
    def die(number: int, call: Call) -> None:
        if call.operation == "rds.delete_db_cluster":
            raise Killed

    world, flags = standing(tmp_path, "prod"), frozenset({"disable_protection", "delete_data"})
    world.cloud.time_scale = 1.0
    dead = world.session()
    assert isinstance(dead.aws, Watched)
    dead.aws.after = die
    with pytest.raises(Killed):
        world.teardown(dead, flags)
    live = world.look(tearing=True).seen["cluster"].live
    assert live is not None
    assert live.busy == "deleting"
    outcome = world.teardown(flags=flags)
    assert not outcome.failures
    assert live.facts["snapshot"] in " ".join(outcome.remains)


@pytest.mark.parametrize("parallelism", [1, 10])
def test_a_pool_of_threads_builds_the_same_as_one_step_after_the_other(tmp_path: Path, parallelism: int) -> None:
    apart = World(tmp_path / "a", "prod")
    apart.provision()
    built = census(apart.client)
    together = World(tmp_path / "b", "prod")
    with ThreadPoolExecutor(parallelism) as workers:
        session = together.session()
        session.engine.workers, session.engine.clock = workers, RealClock()
        outcome = session.engine.provision(session.look())
    assert (set(outcome.results.values()), outcome.failures) == ({"settled"}, ())
    assert census(together.client) == built
