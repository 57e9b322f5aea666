"""The Aurora PostgreSQL cluster: storage, endpoints and settings; its instances are steps of their own."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step
from provisioner.terms import Burdens, Check, Objection, Quantity, Quota
from steps import offers, rds
from steps.db_parameters import DbParameters
from steps.db_subnet_group import DbSubnetGroup
from steps.key import Key
from steps.log_group import LogGroup
from steps.order import as_wanted
from steps.security_group import SecurityGroup
from steps.tags import pairs

NAMES = {
    "version": ("EngineVersion", "EngineVersion"),
    "subnet_group": ("DBSubnetGroup", "DBSubnetGroupName"),
    "parameter_group": ("DBClusterParameterGroup", "DBClusterParameterGroupName"),
    "database": ("DatabaseName", "DatabaseName"),
    "port": ("Port", "Port"),
    "master_user": ("MasterUsername", "MasterUsername"),
    "storage_encrypted": ("StorageEncrypted", "StorageEncrypted"),
    "backup_days": ("BackupRetentionPeriod", "BackupRetentionPeriod"),
    "deletion_protection": ("DeletionProtection", "DeletionProtection"),
    "iam_authentication": ("IAMDatabaseAuthenticationEnabled", "EnableIAMDatabaseAuthentication"),
    "copy_tags_to_snapshot": ("CopyTagsToSnapshot", "CopyTagsToSnapshot"),
    "engine_lifecycle_support": ("EngineLifecycleSupport", "EngineLifecycleSupport"),
}
"""Fields that AWS takes and tells as they are: what describe calls them, and what create and modify do."""
SCALING = {"min_acu": "MinCapacity", "max_acu": "MaxCapacity", "auto_pause_seconds": "SecondsUntilAutoPause"}


@dataclass(frozen=True, kw_only=True)
class Cluster(Step):
    """A cluster for Serverless v2 instances; RDS keeps the master password in Secrets Manager, unseen by us."""

    subnet_group: Ref[DbSubnetGroup]
    parameter_group: Ref[DbParameters]
    security_groups: tuple[Ref[SecurityGroup], ...]
    version: str
    """The least that is right: a newer one that AWS upgraded to counts as wanted."""
    min_acu: float
    max_acu: float
    auto_pause_seconds: int = 300
    database: str
    port: int
    master_user: str
    kms_key: Ref[Key] | None = None
    """The stack's own key; or one that the file names, by id, ARN or alias, which is compared by what it points to
    now; ``None`` is AWS's own key."""
    secret_key: Ref[Key] | None = None
    """The key that encrypts the master password; ``None`` is AWS's own."""
    log_exports: tuple[str, ...] = ("postgresql",)
    """Which of its logs go to CloudWatch."""
    logs: tuple[Ref[LogGroup], ...] = ()
    """Where they go: named so that these are there before it writes, and go after it. RDS would make its own."""
    backup_days: int = 1
    deletion_protection: bool = False
    iam_authentication: bool = True
    copy_tags_to_snapshot: bool = True
    storage_encrypted: bool = True
    engine_lifecycle_support: str = "open-source-rds-extended-support-disabled"
    running: bool = True
    """A stopped cluster can neither be changed nor lose its instances."""
    final_snapshot: bool = True
    disable_protection: bool = False
    """Set for a teardown by the flag of this name, as is the next one."""
    skip_final_snapshot: bool = False

    fixed = frozenset({"subnet_group", "database", "port", "master_user", "kms_key", "secret_key", "storage_encrypted"})
    holds_data = True
    patience = 7200.0
    listing = "rds.describe_db_clusters"
    quota = Quota(service="rds", code="L-952B80B8", what="DB clusters", where="database", listings=(listing,))

    def observe(self, aws: Reader) -> Live | None:
        live = rds.look(aws, self, "DBCluster", "Status", self._facts)
        named = isinstance(self.kms_key, str) and "alias/" in self.kms_key
        if live is None or live.facts.get("kms_key") in (None, self.kms_key) or not named:
            return live
        key = (aws.ask("kms.describe_key", KeyId=self.kms_key) or {}).get("KeyMetadata", {}).get("Arn")
        same = key == live.facts["kms_key"]
        return replace(live, facts={**live.facts, "kms_key": self.kms_key}) if same else live

    def _facts(self, found: Mapping[str, Any]) -> dict[str, Any]:
        facts = {field: found[told] for field, (told, _) in NAMES.items() if told in found}
        scaling, key = found.get("ServerlessV2ScalingConfiguration", {}), found.get("KmsKeyId", "")
        facts |= {
            field: scaling.get(told)
            for field, told in SCALING.items()
            if field != "auto_pause_seconds" or not scaling.get("MinCapacity")  # AWS knows no pause above 0 ACU
        }
        if isinstance(self.version, str) and rds.numbers(facts["version"]) >= rds.numbers(self.version):
            facts["version"] = self.version
        secret = found.get("MasterUserSecret", {})
        if isinstance(self.kms_key, str):
            facts["kms_key"] = self.kms_key if key.endswith(self.kms_key) else key
        if self.secret_key is not None and secret:
            facts["secret_key"] = secret.get("KmsKeyId")
        groups = [each["VpcSecurityGroupId"] for each in found.get("VpcSecurityGroups", ())]
        kept = self.final_snapshot and not self.skip_final_snapshot
        return facts | {
            "running": found["Status"] != "stopped",
            "security_groups": as_wanted(self.security_groups, groups),
            "cluster_endpoint": found.get("Endpoint"),
            "reader_endpoint": found.get("ReaderEndpoint"),
            "secret_arn": secret.get("SecretArn"),
            "encrypted_by": (key, secret.get("KmsKeyId")),
            "log_exports": as_wanted(self.log_exports, _exported(found)),
            # By name, and not names as values: those would make the cluster need its instances.
            "heeding": {
                each["DBInstanceIdentifier"]: each.get("DBClusterParameterGroupStatus")
                for each in found.get("DBClusterMembers", ())
            },
            "snapshot": f"{found['DBClusterIdentifier']}-final-{found['DbClusterResourceId'].lower()}" if kept else "",
        }

    def _settings(self, names: Collection[str]) -> dict[str, Any]:
        """Say some fields in the parameters of create and modify."""
        settings = {given: getattr(self, field) for field, (_, given) in NAMES.items() if field in names}
        if "security_groups" in names:
            settings["VpcSecurityGroupIds"] = list(self.security_groups)
        if not SCALING.keys().isdisjoint(names):
            scaling = {given: getattr(self, field) for field, given in SCALING.items()}
            if self.min_acu:
                del scaling["SecondsUntilAutoPause"]
            settings["ServerlessV2ScalingConfiguration"] = scaling
        return settings

    def _exports(self, found: tuple[str, ...]) -> dict[str, Any]:
        """Say which logs are to be told from now on, and which no longer."""
        moves = {
            "EnableLogTypes": [each for each in self.log_exports if each not in found],
            "DisableLogTypes": [each for each in found if each not in self.log_exports],
        }
        return {"CloudwatchLogsExportConfiguration": {key: types for key, types in moves.items() if types}}

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "rds.create_db_cluster",
                DBClusterIdentifier=self.label,
                Engine=rds.ENGINE,
                ManageMasterUserPassword=True,
                **self._settings({*NAMES, *SCALING, "security_groups"}),
                **({"KmsKeyId": self.kms_key} if self.kms_key else {}),
                **({"MasterUserSecretKmsKeyId": self.secret_key} if self.secret_key else {}),
                EnableCloudwatchLogsExports=list(self.log_exports),
                Tags=pairs(self),
            )
            return
        different = self.differences(live) - self.fixed
        if "running" in different:
            yield Call("rds.start_db_cluster", DBClusterIdentifier=live.id)
            return
        yield from rds.retag(self, live)
        changes = self._settings(different)
        if "version" in different and (major := rds.numbers(self.version)[0]) > rds.numbers(live.facts["version"])[0]:
            changes |= self._settings({"parameter_group"})
            changes |= {
                "AllowMajorVersionUpgrade": True,
                "DBInstanceParameterGroupName": f"default.{rds.ENGINE}{major}",
            }
        if "log_exports" in different:
            changes |= self._exports(live.facts["log_exports"])
        if changes:
            yield Call("rds.modify_db_cluster", DBClusterIdentifier=live.id, ApplyImmediately=True, **changes)

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        running = None if live is None else live.facts.get("version")
        default = running is None and "version" in self.implied
        if running is None and not default:
            yield offers.version_is_offered(aws, self.stack.region, self.version)
        elif running not in (None, self.version):
            yield offers.version_is_offered(aws, self.stack.region, self.version)
            yield offers.upgrade_is_possible(aws, running, self.version)
        if live is None or any(live.facts.get(key) != getattr(self, key) for key in ("version", "min_acu", "max_acu")):
            yield offers.capacity_is_supported(aws, self.version, self.min_acu, self.max_acu, default)
        extended = not self.engine_lifecycle_support.endswith("-disabled")
        yield offers.support_lasts(aws, self.version, live is None, extended, now)
        if live is None and isinstance(self.kms_key, str):
            yield self._key_is_usable(aws, self.kms_key)
        if live is not None and isinstance(self.kms_key, Key):
            yield self._key_is_kept(aws, live, self.kms_key.alias)

    def remarks(self, live: Live) -> Check:
        """A group in the place of another one is heeded after a reboot only (Aurora User Guide, "Associating a DB
        cluster parameter group with a DB cluster"), which ends every connection: when is for the owner to say."""
        heeding: Mapping[str, Any] = live.facts.get("heeding", {})
        group = self.parameter_group.label if isinstance(self.parameter_group, Step) else self.parameter_group
        upgraded = rds.numbers(self.version)[0] > rds.numbers(live.facts.get("version", self.version))[0]
        swapped = live.facts.get("parameter_group", group) != group and not upgraded
        for instance in sorted(each for each, status in heeding.items() if swapped or status == "pending-reboot"):
            what = f"{instance} heeds the cluster's own parameters, which demand TLS, only after a reboot"
            command = f"aws rds reboot-db-instance --db-instance-identifier {shlex.quote(instance)}"
            remedy = f"once this run has put them back: {command}" if swapped else command
            yield Objection(self.name, what, remedy, "warning")

    def _key_is_kept(self, aws: Reader, live: Live, alias: str) -> Check:
        """What was built before the key keeps its own, and the user should not believe otherwise."""
        own = (aws.ask("kms.describe_key", KeyId=alias) or {}).get("KeyMetadata", {}).get("Arn")
        storage, secret = live.facts.get("encrypted_by", (own, own))
        kept = {"storage": storage, "master password": secret}
        if other := [what for what, key in kept.items() if key and key != own]:
            what = f"{live.id} was built with another key, and {' and '.join(other)} keep it: AWS cannot change that"
            remedy = f"leave it, write own_key = false (and alerts = false), or {self.moving}"
            yield Objection("security.own_key", what, remedy, "warning")

    def _key_is_usable(self, aws: Reader, key: str) -> Check:
        found = (aws.ask("kms.describe_key", KeyId=key) or {}).get("KeyMetadata", {})
        state = found.get("KeyState", "not there")
        if state != "Enabled":
            remedy = "write the ARN, id or alias of a key of this region that is enabled, or leave the key out"
            yield Objection("database.kms_key", f"the KMS key {key} is {state}", remedy)

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        if self.disable_protection or not live.facts.get("deletion_protection"):
            return Burdens()
        return Burdens(protections=[Objection(self.name, f"{live.id} has deletion protection", "--disable-protection")])

    def teardown(self, live: Live) -> Iterator[Call]:
        if self.disable_protection and live.facts.get("deletion_protection"):
            off = {"DeletionProtection": False, "ApplyImmediately": True}
            yield Call("rds.modify_db_cluster", DBClusterIdentifier=live.id, **off)
        snapshot = live.facts.get("snapshot")
        last: dict[str, Any] = {"FinalDBSnapshotIdentifier": snapshot} if snapshot else {"SkipFinalSnapshot": True}
        yield Call("rds.delete_db_cluster", DBClusterIdentifier=live.id, **last)

    def remains(self, live: Live) -> str:
        snapshot = live.facts.get("snapshot")
        return f"final snapshot {snapshot} (paid for by the GB until you delete it)" if snapshot else ""

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("secret", 1)
        yield Quantity("aurora-gb")
        yield Quantity("aurora-io")
        if self.backup_days > 1:  # one day is free. Aurora User Guide, "Understanding backup storage usage"
            yield Quantity("aurora-backup-gb")
        if isinstance(self.kms_key, str):
            yield Quantity("kms-key")

    def outputs(self, live: Live) -> Mapping[str, Any]:
        names = ("cluster_endpoint", "reader_endpoint", "port", "database", "secret_arn")
        return {name: live.facts.get(name) for name in names}


def _exported(found: Mapping[str, Any]) -> list[str]:
    """Read which logs are told, a change that AWS has accepted and holds back counted as made."""
    pending = found.get("PendingCloudwatchLogsExports", {})
    types = {*found.get("EnabledCloudwatchLogsExports", ()), *pending.get("LogTypesToEnable", ())}
    return sorted(types - {*pending.get("LogTypesToDisable", ())})
