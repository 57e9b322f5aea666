"""What somebody did behind our back, and what of it the environment file can be told to want; the file is not drift."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner import drift, plan
from provisioner.changes import Change
from provisioner.config import objections_to
from provisioner.drift import Drifted
from provisioner.settings import Settings
from tests.world import Killed, World, standing


def seen(world: World) -> list[Drifted]:
    return drift.drifted(world.look(), world.settings)


def cluster(world: World, **settings: Any) -> None:
    name = f"{world.stack.name}-cluster"
    world.client("rds").modify_db_cluster(DBClusterIdentifier=name, ApplyImmediately=True, **settings)


def scale(world: World) -> None:
    cluster(world, ServerlessV2ScalingConfiguration={"MinCapacity": 2, "MaxCapacity": 32})


def unprotect(world: World) -> None:
    cluster(world, DeletionProtection=False, BackupRetentionPeriod=30)


def expire(world: World, step: str = "bucket") -> None:
    [bucket] = [each.label for each in world.session().steps if each.name == step]
    s3 = world.client("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] = 7
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def expire_logs(world: World) -> None:
    expire(world, "access-logs")


def vpc(world: World) -> str:
    mine = [{"Name": "tag:provisioner:step", "Values": ["vpc"]}]
    return str(world.client("ec2").describe_vpcs(Filters=mine)["Vpcs"][0]["VpcId"])


def tag(world: World) -> None:
    tags = [{"Key": "team", "Value": "other"}, {"Key": "Name", "Value": "mine"}]
    world.client("ec2").create_tags(Resources=[vpc(world)], Tags=tags)


def names_off(world: World) -> None:
    world.client("ec2").modify_vpc_attribute(VpcId=vpc(world), EnableDnsHostnames={"Value": False})


def fewer(world: World) -> None:
    world.client("rds").delete_db_instance(DBInstanceIdentifier=f"{world.stack.name}-cluster-2", SkipFinalSnapshot=True)


def first_gone(world: World) -> None:
    world.client("rds").delete_db_instance(DBInstanceIdentifier=f"{world.stack.name}-cluster-1", SkipFinalSnapshot=True)


def no_bucket(world: World) -> None:
    world.client("s3").delete_bucket(Bucket=world.session().steps[-1].label)


def edited(world: World) -> None:
    world.change(database={"max_acu": 64.0}, tags={"team": "web"})


NO_KEY = "no key of the environment file says it; provision puts it right"
ROWS: dict[str, tuple[Callable[[World], None], list[tuple[str, str, str]]]] = {
    "nothing": (lambda world: None, []),
    "the file": (edited, []),
    "capacity": (
        scale,
        [("cluster max_acu 16.0 -> 32.0", "max_acu = 32", ""), ("cluster min_acu 1.0 -> 2.0", "min_acu = 2", "")],
    ),
    "protection": (
        unprotect,
        [
            ("cluster backup_days 14 -> 30", "backup_days = 30", ""),
            ("cluster deletion_protection true -> false", "deletion_protection = false", ""),
        ],
    ),
    "lifecycle": (
        expire,
        [
            (
                "bucket lifecycle 0.NoncurrentVersionExpiration.NoncurrentDays 90 -> 7",
                "noncurrent_days = 7",
                "",
            )
        ],
    ),
    "lifecycle of the logs": (
        expire_logs,
        [
            (
                "access-logs lifecycle 0.NoncurrentVersionExpiration.NoncurrentDays 90 -> 7",
                "noncurrent_days = 7",
                "",
            )
        ],
    ),
    "tags": (
        tag,
        [
            ("vpc tags Name acme-prod-vpc -> mine", "", NO_KEY),
            ("vpc tags team platform -> other", 'team = "other"', ""),
        ],
    ),
    "no key": (names_off, [("vpc dns_hostnames true -> false", "", NO_KEY)]),
    "a reader": (fewer, [("cluster-2 id acme-prod-cluster-2 -> none", "instances = 1", "")]),
    "the first instance": (
        first_gone,
        [
            (
                "cluster-1 id acme-prod-cluster-1 -> none",
                "",
                "instances are counted, and the first ones are missing; provision builds them again",
            )
        ],
    ),
    "the bucket": (
        no_bucket,
        [("bucket id acme-prod-123456789012-us-east-1 -> none", "In prod.toml, take out the table [bucket].", "")],
    ),
}


def line(each: Drifted) -> str:
    """Give the line to write, or what else to do."""
    if each.why_not:
        return ""
    written = drift.writing(each, "prod.toml")
    return written[1].strip() if len(written) > 1 else written[0]


@pytest.fixture
def prod(tmp_path: Path) -> World:
    return standing(tmp_path, "prod")


@pytest.mark.parametrize(("meddle", "expected"), ROWS.values(), ids=ROWS.keys())
def test_what_is_not_as_the_last_run_left_it_is_told_with_what_to_write(
    prod: World, meddle: Callable[[World], None], expected: list[tuple[str, str, str]]
) -> None:
    meddle(prod)
    found = seen(prod)
    assert [(f"{each.step} {each.change}", line(each), each.why_not) for each in found] == expected


@pytest.mark.parametrize(
    ("meddle", "follows"),
    [(scale, []), (unprotect, []), (expire, ["access-logs"])],
    ids=["capacity", "protection", "lifecycle"],
)
def test_what_was_accepted_and_written_is_drift_no_more_and_only_what_shares_the_key_is_called(
    prod: World, meddle: Callable[[World], None], follows: list[str]
) -> None:
    meddle(prod)
    found = seen(prod)
    accepted, objections = drift.accepted(found, [each.key for each in found])
    assert not objections
    for each in accepted:
        table, _, name = each.key.partition(".")
        assert tomllib.loads(line(each)) == {name: each.value}
        prod.change(**{table: {name: each.value}})
    assert seen(prod) == []
    assert [each.step for each in plan.provision(prod.look()) if each.calls] == follows
    session = prod.session()
    prod.provision(session)
    assert session.aws.mutations == len(follows)


def test_provision_puts_right_what_has_drifted_and_then_nothing_has(prod: World) -> None:
    for meddle in (scale, tag, names_off, fewer, expire):
        meddle(prod)
    assert len(seen(prod)) == 7
    assert set(prod.provision().results.values()) == {"settled"}
    assert seen(prod) == []


def test_a_run_that_was_not_finished_is_not_blamed_on_somebody(prod: World) -> None:
    prod.change(database={"max_acu": 32.0})
    session = prod.session()

    def die(number: int, call: Any) -> None:
        raise Killed

    session.aws.after = die  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        prod.provision(session)
    prod.change(database={"max_acu": 16.0})
    sight = prod.look()
    assert drift.drifted(sight, prod.settings) == []
    assert drift.untold(sight) == ["cluster"]
    text = drift.drift_text([], ["cluster"], stack="acme-prod", target="local", region="us-east-1")
    assert "so not told: cluster." in text


def test_without_a_record_nothing_is_remembered(prod: World) -> None:
    assert drift.remembered(prod.look())
    prod.lose_state()
    scale(prod)
    assert not drift.remembered(prod.look())
    assert seen(prod) == []


def one(step: str, field: str, **other: Any) -> Drifted:
    change = Change(field=field, cause="outside", old=1, new=other.get("value"))
    return Drifted(step=step, kind="Cluster", change=change, **other)


FOUND = [
    one("cluster", "max_acu", key="database.max_acu", value=4.0),
    one("vpc", "dns_support", why_not=NO_KEY),
    one("vpc", "tags.team", key="tags.team", value="a"),
    one("app", "tags.team", key="tags.team", value="b"),
    one("app", "tags.cost center", key="tags.cost center", value='x"y'),
]


@pytest.mark.parametrize(
    ("keys", "accepted", "objections"),
    [
        (["database.max_acu"], ["database.max_acu"], []),
        (["cluster.max_acu", "database.max_acu"], ["database.max_acu"], []),
        (["vpc.dns_support"], [], [f"vpc.dns_support: cannot be accepted; {NO_KEY}"]),
        (
            ["database.min_acu"],
            [],
            [
                "database.min_acu: has not drifted; "
                "what has: database.max_acu, vpc.dns_support, tags.team, tags.cost center"
            ],
        ),
        (
            ["tags.team"],
            [],
            ['tags.team: is "a" here and "b" there; the file has one value for all of them; provision puts them right'],
        ),
    ],
)
def test_what_is_to_be_kept_is_found_by_its_key_or_by_its_step(
    keys: list[str], accepted: list[str], objections: list[str]
) -> None:
    found, against = drift.accepted(FOUND, keys)
    assert [each.key for each in found] == accepted
    assert list(map(str, against)) == objections


def test_what_is_to_be_written_is_toml_whatever_is_in_it() -> None:
    head, written, every = drift.writing(FOUND[4], "dev.toml")
    assert head == "Write into dev.toml, under [tags]:"
    assert tomllib.loads(written.strip()) == {"cost center": 'x"y'}
    assert "every resource" in every


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("database.max_acu", 300.0, "database.max_acu: 300.0 is more than 256"),
        ("database.min_acu", 0.5, "database.auto_pause_seconds: without effect while min_acu is above 0"),
        ("database.max_acu", 4.0, ""),
        ("tags.team", "aws:x", "starts with aws:"),
    ],
)
def test_what_the_file_could_not_say_is_not_proposed(key: str, value: Any, told: str) -> None:
    settings = Settings.model_validate(
        {
            "project": "shop",
            "region": "us-east-1",
            "environment": "dev",
            "tags": {"team": "web"},
            "database": {"min_acu": 0, "max_acu": 1, "auto_pause_seconds": 600},
        }
    )
    objections = objections_to(settings, key, value)
    assert told in "; ".join(map(str, objections))
    assert bool(objections) is bool(told)
