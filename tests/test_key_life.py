"""The key of a stack outlives what it encrypts, and nothing else does: what becomes of it at and after a teardown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner import plan, preflight
from provisioner.aws import Forbidden
from provisioner.errors import classify
from provisioner.kit import Call
from provisioner.wiring import Outcome
from tests.census import census, resources
from tests.world import Watched, World, standing

GONE = frozenset({"skip_final_snapshot", "delete_data"})
DAY = 86_400
ALIAS = "alias/acme-dev-key"


def hardened(folder: Path, **database: Any) -> World:
    """Give a world in which a hardened environment stands, with what is said of its database."""
    world = standing(folder, "dev-hardened")
    world.change(database=database)
    return world


def key(world: World) -> dict[str, Any]:
    return dict(world.client("kms").describe_key(KeyId=ALIAS)["KeyMetadata"])


def operations(world: World, run: str, flags: frozenset[str] = frozenset()) -> tuple[Outcome, list[str]]:
    session = world.session()
    assert isinstance(session.aws, Watched)
    outcome = (world.teardown if run == "teardown" else world.provision)(session, flags)
    assert outcome.failures == ()
    return outcome, [call.operation for call in session.aws.calls if call.service in ("kms", "backup")]


def copied(world: World) -> None:
    """Have the backup plan made a copy."""
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    role = world.client("iam").get_role(RoleName="acme-dev-us-east-1-backup")["Role"]["Arn"]
    world.client("backup").start_backup_job(
        BackupVaultName="acme-dev-vault", ResourceArn=cluster["DBClusterArn"], IamRoleArn=role
    )


def remove_snapshots(world: World) -> None:
    rds = world.client("rds")
    for each in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]:
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=each["DBClusterSnapshotIdentifier"])


def test_a_key_that_nothing_needs_has_30_days_and_its_owner_is_told_the_last(tmp_path: Path) -> None:
    world = hardened(tmp_path, final_snapshot=True)
    outcome, made = operations(world, "teardown", GONE)
    assert made[-1] == "kms.schedule_key_deletion"
    assert outcome.results["key"] == "gone"
    assert key(world)["KeyState"] == "PendingDeletion"
    left = (key(world)["DeletionDate"].timestamp() - world.clock.now()) / DAY
    assert left == pytest.approx(30, abs=0.1)
    (told,) = outcome.remains
    assert told.startswith(f"key {key(world)['Arn']} (free; gone for good on 2027-02-1")
    assert resources(census(world.client)) == 0
    assert operations(world, "teardown", GONE)[1] == []


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_provision_within_the_window_takes_the_same_key_back(tmp_path: Path, state: str) -> None:
    world = hardened(tmp_path)
    before, whole = key(world)["Arn"], census(world.client)
    operations(world, "teardown", GONE)
    if state == "lost":
        world.lose_state()
    world.clock.sleep(29 * DAY)
    outcome, made = operations(world, "provision")
    assert set(outcome.results.values()) == {"settled"}
    assert made[:2] == ["kms.cancel_key_deletion", "kms.enable_key"]
    assert (key(world)["Arn"], key(world)["KeyState"]) == (before, "Enabled")
    assert census(world.client) == whole


def test_a_provision_after_the_window_makes_another_key(tmp_path: Path) -> None:
    world = hardened(tmp_path)
    before = key(world)["Arn"]
    operations(world, "teardown", GONE)
    world.clock.sleep(31 * DAY)
    _, made = operations(world, "provision")
    assert "kms.create_key" in made
    assert key(world)["Arn"] != before


def test_a_key_stays_for_the_final_snapshot_and_goes_after_it(tmp_path: Path) -> None:
    world = hardened(tmp_path, final_snapshot=True)
    planned = {each.step: each for each in plan.teardown(world.look(tearing=True))}
    assert planned["key"].reason == "stays, for the final snapshot of acme-dev-cluster"
    assert planned["key"].calls == ()
    outcome, made = operations(world, "teardown")
    assert "kms.schedule_key_deletion" not in made
    assert (outcome.results["key"], key(world)["KeyState"]) == ("kept", "Enabled")
    (kept,) = [each for each in outcome.remains if each.startswith("key ")]
    assert kept.startswith(
        f"key {key(world)['Arn']} with {ALIAS} (1 dollar a month), for snapshot acme-dev-cluster-final-"
    )
    again, made = operations(world, "teardown")
    assert (again.results["key"], made) == ("kept", [])
    remove_snapshots(world)
    last, made = operations(world, "teardown")
    assert (last.results["key"], made) == ("gone", ["kms.schedule_key_deletion"])
    assert resources(census(world.client)) == 0


def test_a_key_that_stayed_is_the_key_of_what_is_built_next(tmp_path: Path) -> None:
    world = hardened(tmp_path, final_snapshot=True)
    before = key(world)["Arn"]
    operations(world, "teardown")
    outcome, made = operations(world, "provision")
    assert set(outcome.results.values()) == {"settled"}
    assert not [each for each in made if each.startswith("kms.")]
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    assert cluster["KmsKeyId"] == before


def test_a_vault_stays_for_its_copies_and_the_key_for_the_vault(tmp_path: Path) -> None:
    world = hardened(tmp_path)
    copied(world)
    outcome, made = operations(world, "teardown")
    assert {name for name, result in outcome.results.items() if result == "kept"} == {"vault", "key", "backup-role"}
    assert "backup.delete_backup_vault" not in made
    told = " ".join(outcome.remains)
    assert "backup vault acme-dev-vault, for a copy of the database in it" in told
    assert f"key {key(world)['Arn']} with {ALIAS} (1 dollar a month), for vault" in told
    assert "role acme-dev-us-east-1-backup (free), for vault" in told
    again, made = operations(world, "teardown", GONE)
    assert made == ["backup.delete_recovery_point", "backup.delete_backup_vault", "kms.schedule_key_deletion"]
    assert (again.results["vault"], again.results["key"]) == ("gone", "gone")
    assert resources(census(world.client)) == 0


def test_many_copies_are_lost_in_batches_when_they_may_be(tmp_path: Path) -> None:
    world = hardened(tmp_path)
    for _ in range(130):
        copied(world)
    _, made = operations(world, "teardown", GONE)
    assert made.count("backup.delete_recovery_point") == 130
    assert resources(census(world.client)) == 0


def test_a_key_taken_out_of_the_file_stays_as_long_as_what_it_encrypted(tmp_path: Path) -> None:
    world = hardened(tmp_path)
    world.change(security={"own_key": False, "alerts": False})
    assert "key" not in {each.where for each in plan.refusals(world.look(), frozenset(), tearing=False)}
    outcome, made = operations(world, "provision", GONE)
    assert "kms.schedule_key_deletion" not in made
    assert (outcome.results["key"], key(world)["KeyState"]) == ("kept", "Enabled")
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    assert cluster["KmsKeyId"] == key(world)["Arn"]
    for _ in range(2):
        again, made = operations(world, "provision", GONE)
        assert (again.results["key"], made) == ("kept", [])


def test_a_lost_answer_makes_no_second_key(tmp_path: Path) -> None:
    class Lost(Exception):
        """The answer never came."""

    world = World(tmp_path, "dev-hardened")
    session = world.session()
    assert isinstance(session.aws, Watched)

    def lose(number: int, call: Call) -> None:
        if call.operation == "kms.create_key":
            raise Lost

    session.aws.after = lose
    world.provision(session)
    assert len(census(world.client)["key"]) == 1
    world.lose_state()
    outcome, made = operations(world, "provision")
    assert set(outcome.results.values()) == {"settled"}
    assert "kms.create_key" not in made
    assert len(census(world.client)["key"]) == 1


def test_a_stack_built_before_the_key_keeps_what_cannot_change_and_takes_the_rest(tmp_path: Path) -> None:
    world = standing(tmp_path)
    (before,) = world.client("rds").describe_db_clusters()["DBClusters"]
    world.change(hardened=True, database={"deletion_protection": False})
    assert list(plan.refusals(world.look(), frozenset(), tearing=False)) == []
    outcome, _ = operations(world, "provision")
    assert set(outcome.results.values()) == {"settled"}
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    assert (cluster["KmsKeyId"], cluster["Port"]) == (before["KmsKeyId"], before["Port"])
    (bucket,) = [each for each in census(world.client)["bucket"] if "logs" not in each["name"]]
    rule = bucket["bucket_encryption"]["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert operations(world, "provision")[1] == []


USES = {
    "KMSKeyNotAccessibleFault": ("rds", "create_db_cluster", "KmsKeyId", {"StorageEncrypted": True}),
    "InvalidParameterException": ("logs", "create_log_group", "kmsKeyId", {"logGroupName": "theirs"}),
    "InvalidParameterValueException": ("backup", "create_backup_vault", "EncryptionKeyArn", {}),
}


class Unheeded(Watched):
    """AWS, of which KMS does not heed for a while that a key was tagged when it was created."""

    seconds = 240.0
    made = 0.0

    def perform(self, call: Call, token: str = "") -> Any:
        if call.operation == "kms.create_key":
            self.made = self._clock.now()
        elif call.service == "kms" and self._clock.now() < self.made + self.seconds:
            text = f"User is not authorized to perform: {call.operation}"
            raise Forbidden(call.operation, "AccessDeniedException", text, classify("AccessDeniedException", 400, text))
        return super().perform(call, token)


@pytest.mark.parametrize(("seconds", "failed"), [(240.0, set()), (3600.0, {"kms.create_alias"})])
def test_who_is_let_at_a_key_by_its_tags_waits_until_kms_heeds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, failed: set[str]
) -> None:
    monkeypatch.setattr(Unheeded, "seconds", seconds)
    world = World(tmp_path, "dev-hardened")
    world.connection = Unheeded
    assert {each.operation for each in world.provision().failures} == failed
    world.connection = Watched
    assert world.provision().failures == ()
    assert len([each for each in world.client("kms").list_aliases()["Aliases"] if each["AliasName"] == ALIAS]) == 1


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_insights_are_switched_on_again_under_the_key_they_began_with(
    tmp_path: Path, before: bool, after: bool
) -> None:
    world = standing(tmp_path, "dev")
    keys = []
    for security in (
        {"performance_insights": True, "own_key": before},
        {"performance_insights": False},
        {"performance_insights": True, "own_key": after},
    ):
        world.change(security=security)
        assert world.provision().failures == ()
        (instance,) = world.client("rds").describe_db_instances()["DBInstances"]
        assert instance["PerformanceInsightsEnabled"] is security["performance_insights"]
        keys.append(instance["PerformanceInsightsKMSKeyId"])
    assert len({*keys}) == 1


@pytest.mark.parametrize("run", ["provision", "teardown"])
def test_a_subscription_whose_sources_were_all_deleted_gets_them_back_or_goes(tmp_path: Path, run: str) -> None:
    world = standing(tmp_path, "dev")
    world.change(security={"alerts": True, "own_key": True})
    assert world.provision().failures == ()
    rds = world.client("rds")
    for each in rds.describe_db_instances()["DBInstances"]:
        rds.delete_db_instance(DBInstanceIdentifier=each["DBInstanceIdentifier"])
    listed = rds.describe_event_subscriptions()["EventSubscriptionsList"]
    assert "all-sources-deleted" in {each["Status"] for each in listed}
    if run == "teardown":
        assert world.teardown(flags=GONE).failures == ()
        assert rds.describe_event_subscriptions()["EventSubscriptionsList"] == []
        return
    assert world.provision().failures == ()
    assert {each["Status"] for each in rds.describe_event_subscriptions()["EventSubscriptionsList"]} == {"active"}
    assert [call for step in plan.provision(world.look()) for call in step.calls] == []


def test_a_parameter_group_put_back_is_in_force_only_after_a_reboot_and_that_is_said(tmp_path: Path) -> None:
    world = standing(tmp_path, "dev")
    rds = world.client("rds")
    (cluster,) = rds.describe_db_clusters()["DBClusters"]
    version = cluster["EngineVersion"].partition(".")[0]
    named = {"DBClusterIdentifier": cluster["DBClusterIdentifier"]}
    group = f"default.aurora-postgresql{version}"
    rds.modify_db_cluster(**named, DBClusterParameterGroupName=group, ApplyImmediately=True)
    assert world.provision().failures == ()
    (cluster,) = rds.describe_db_clusters()["DBClusters"]
    assert cluster["DBClusterParameterGroup"].startswith("acme-dev-")
    (member,) = cluster["DBClusterMembers"]
    (told,) = warnings(world)
    assert told.startswith(member["DBInstanceIdentifier"])
    rds.reboot_db_instance(DBInstanceIdentifier=member["DBInstanceIdentifier"])
    assert world.provision().failures == ()
    assert warnings(world) == []


def warnings(world: World) -> list[str]:
    """Give what a plan warns of."""
    session = world.session()
    sight = session.look()
    found = preflight.findings(session.flight(sight, plan.provision(sight)))
    return [each.what for each in found.warnings]


@pytest.mark.parametrize("state", ["disable_key", "schedule_key_deletion"])
@pytest.mark.parametrize("code", USES)
def test_a_key_that_is_disabled_or_going_encrypts_nothing(tmp_path: Path, code: str, state: str) -> None:
    world = hardened(tmp_path)
    arn = key(world)["Arn"]
    getattr(world.client("kms"), state)(KeyId=arn)
    service, operation, parameter, more = USES[code]
    named = {"rds": {"DBClusterIdentifier": "theirs", "Engine": "aurora-postgresql", "MasterUsername": "boss"}}
    named |= {"backup": {"BackupVaultName": "theirs"}}
    password = {"MasterUserPassword": "correct-horse"} if service == "rds" else {}
    with pytest.raises(ClientError) as refused:
        getattr(world.client(service), operation)(**named.get(service, {}), **password, **more, **{parameter: arn})
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as refused:
        world.client("s3").put_object(Bucket="acme-dev-123456789012-us-east-1", Key="k", Body=b"")
    assert refused.value.response["Error"]["Code"].startswith("KMS.")
    with pytest.raises(ClientError) as refused:
        world.client("sns").publish(TopicArn="arn:aws:sns:us-east-1:123456789012:acme-dev-alerts", Message="hello")
    assert refused.value.response["Error"]["Code"].startswith("KMS")
