"""A teardown looks before it touches, and leaves nothing behind but what it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from provisioner import plan
from provisioner.kit import Call
from provisioner.local.cloud import ACCOUNT
from tests.census import census
from tests.world import Killed, Watched, World, standing

PROTECTION, DATA, SNAPSHOT = "disable_protection", "delete_data", "skip_final_snapshot"
BUCKET = "acme-prod-123456789012-us-east-1"


def filled(folder: Path, environment: str = "prod") -> World:
    """Give a world in which the bucket holds an object."""
    world = standing(folder, environment)
    world.client("s3").put_object(Bucket=BUCKET.replace("prod", environment), Key="report", Body=b"dear")
    return world


def fill(bucket: str, *keys: str) -> None:
    """Put objects where moto keeps them: by requests it takes longer than all that is tested."""
    for key in keys:
        s3_backends[ACCOUNT]["aws"].put_object(bucket, key, b"")


def protections(world: World, *flags: str) -> dict[str, str]:
    """Say what is protected, and the flag that lifts it."""
    lifted = frozenset(flags)
    refused = plan.refusals(world.look(tearing=True, flags=lifted), lifted, tearing=True)
    return {objection.where: objection.remedy for objection in refused}


def calls(session: Any) -> list[Call]:
    assert isinstance(session.aws, Watched)
    return session.aws.calls


def snapshots(world: World) -> list[str]:
    found = world.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    return [each["DBClusterSnapshotIdentifier"] for each in found]


def test_all_that_is_protected_is_named_together_with_the_flags(tmp_path: Path) -> None:
    world = filled(tmp_path)
    assert protections(world) == {"cluster": "--disable-protection", "bucket": "--delete-data"}
    assert protections(world, PROTECTION) == {"bucket": "--delete-data"}
    assert protections(world, DATA) == {"cluster": "--disable-protection"}
    assert protections(world, PROTECTION, DATA) == {}


def test_a_look_at_what_is_protected_calls_nothing(tmp_path: Path) -> None:
    world = filled(tmp_path)
    standing_there = census(world.client)
    session = world.session()
    session.look(tearing=True)
    assert calls(session) == []
    assert census(world.client) == standing_there


def test_an_empty_bucket_needs_no_flag(tmp_path: Path) -> None:
    assert protections(standing(tmp_path, "prod"), PROTECTION) == {}


def test_dev_needs_no_flag_whatever_its_bucket_holds(tmp_path: Path) -> None:
    world = filled(tmp_path, "dev")
    assert protections(world) == {}
    outcome = world.teardown()
    assert (outcome.failures, outcome.remains) == ((), ())
    assert not any(census(world.client).values())


def test_prod_leaves_its_final_snapshot_and_names_it(tmp_path: Path) -> None:
    world = filled(tmp_path)
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    outcome = world.teardown(flags=frozenset({PROTECTION, DATA}))
    assert {name for name, result in outcome.results.items() if result != "gone"} == {"key"}
    (snapshot,) = snapshots(world)
    assert snapshot == f"acme-prod-cluster-final-{cluster['DbClusterResourceId'].lower()}"
    cluster_s, key_s = sorted(outcome.remains)
    assert cluster_s.startswith(f"final snapshot {snapshot} ")
    assert key_s.startswith("key arn:")
    assert key_s.endswith(f"alias/acme-prod-key (1 dollar a month), for snapshot {snapshot}")
    left = census(world.client)
    assert [item["Name"] for item in left.pop("snapshot")] == ["acme-prod-cluster"]
    assert [item["state"] for item in left.pop("key")] == ["Enabled"]
    assert not any(left.values())


def test_the_final_snapshot_can_be_skipped(tmp_path: Path) -> None:
    world = standing(tmp_path, "prod")
    outcome = world.teardown(flags=frozenset({PROTECTION, SNAPSHOT}))
    (told,) = outcome.remains
    assert told.startswith("key arn:")
    assert "(free; gone for good on" in told
    assert not any(census(world.client).values())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_resumed_teardown_takes_one_snapshot_of_the_same_name(tmp_path: Path, state: str, when: str) -> None:
    world = standing(tmp_path, "prod")
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    flags = frozenset({PROTECTION})
    session = world.session()

    def die(number: int, call: Call) -> None:
        if call.operation == "rds.delete_db_cluster":
            raise Killed

    setattr(session.aws, when, die)
    with pytest.raises(Killed):
        world.teardown(session, flags)
    if state == "lost":
        world.lose_state()
    outcome = world.teardown(flags=flags)
    assert not outcome.failures
    assert snapshots(world) == [f"acme-prod-cluster-final-{cluster['DbClusterResourceId'].lower()}"]


def test_protection_is_lifted_only_when_the_cluster_is_about_to_go(tmp_path: Path) -> None:
    world = standing(tmp_path, "prod")
    session = world.session()
    world.teardown(session, frozenset({PROTECTION}))
    called = [call.operation for call in calls(session) if call.operation.startswith("rds.") and "_db_" in call.method]
    assert called[:4] == [*["rds.delete_db_instance"] * 2, "rds.modify_db_cluster", "rds.delete_db_cluster"]


def test_a_full_bucket_is_emptied_in_batches_of_a_thousand(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev")
    bucket, s3 = BUCKET.replace("prod", "dev"), world.client("s3")
    fill(bucket, *(f"{number % 500}" for number in range(2500)))
    for number in range(40):
        s3.delete_object(Bucket=bucket, Key=f"{number}")
    for number in range(3):
        s3.create_multipart_upload(Bucket=bucket, Key=f"unfinished {number}")
    session = world.session()
    outcome = world.teardown(session)
    assert not outcome.failures, outcome.failures
    emptying = [call for call in calls(session) if call.operation == "s3.delete_objects"]
    batches = [len(call.params["Delete"]["Objects"]) for call in emptying]
    assert sum(batches) == 2540
    assert max(batches) == 1000
    assert len(batches) == 3
    assert [call.operation for call in calls(session)].count("s3.abort_multipart_upload") == 3
    assert not any(census(world.client).values())


def test_a_teardown_that_dies_while_it_empties_a_bucket_goes_on_there(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev")
    fill(BUCKET.replace("prod", "dev"), *map(str, range(1100)))
    session = world.session()

    def die(number: int, call: Call) -> None:
        if call.operation == "s3.delete_objects":
            raise Killed

    assert isinstance(session.aws, Watched)
    session.aws.after = die
    with pytest.raises(Killed):
        world.teardown(session)
    world.lose_state()
    rest = world.session()
    outcome = world.teardown(rest)
    assert not outcome.failures
    (batch,) = (call for call in calls(rest) if call.operation == "s3.delete_objects")
    assert len(batch.params["Delete"]["Objects"]) == 100
    assert not any(census(world.client).values())


def test_a_bucket_of_thousands_of_keys_leaves_none_of_them_in_the_state(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev")
    fill(BUCKET.replace("prod", "dev"), *(f"secret-{number}" for number in range(60)))
    session = world.session()
    written: list[str] = []
    assert isinstance(session.aws, Watched)
    session.aws.after = lambda number, call: written.append(world.state.read_text())
    world.teardown(session)
    assert any("s3.delete_objects" in text for text in written)
    assert not any(re.search(r"secret-\d", text) for text in written)
