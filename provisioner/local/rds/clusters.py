"""What RDS does with clusters and moto does not: what may be combined, what takes time, defaults of newborns.

RDS API reference, CreateDBCluster, ModifyDBCluster, DeleteDBCluster.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from moto.rds.models import DBCluster

from provisioner.local import offerings, quotas
from provisioner.local.lifecycle import arrival, begin, come_into_being, until
from provisioner.local.offerings import ENGINE, Version
from provisioner.local.rds.book import cluster_of, combination, is_aurora, rules, usable_key, wrong_value
from provisioner.local.rules import Ask, Refusal, Reply

_IDENTIFIER = re.compile(r"(?!.*--)[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED = frozenset({"admin", "rdsadmin", "rds_superuser", "rds_replication", "rds_iam", "rds_password", "public"})
_SCALES = ("MinCapacity", "MaxCapacity", "SecondsUntilAutoPause")
_SCALING = "ServerlessV2ScalingConfiguration"
_UNDER_WAY = ("creating", "modifying", "upgrading", "starting", "stopping")
_EXTENDED = "open-source-rds-extended-support"
_VPC_GROUPS = "VpcSecurityGroupIds.VpcSecurityGroupId"


class Cluster(DBCluster):
    """A cluster whose status is what it was last made, and whose members are held to be gone while they leave."""

    @property
    def status(self) -> str:
        return self._status

    @status.setter
    def status(self, value: str) -> None:
        self._status = value

    @property
    def members(self) -> list[Any]:
        self.designate_writer()
        return [member for member in self._members if member.status != "deleting"]

    pending_reboot: Collection[str] = frozenset()
    """The members that do not heed its parameter group yet."""

    @property
    def db_cluster_members(self) -> list[dict[str, Any]]:
        """Its members as they are told, each with whether it heeds the cluster's parameter group by now."""
        waiting = {"DBClusterParameterGroupStatus": "pending-reboot"}
        told = super().db_cluster_members
        return [{**each, **(waiting if each["DBInstanceIdentifier"] in self.pending_reboot else {})} for each in told]


@arrival("cluster")
def a_cluster_changes(ask: Ask, name: str, becomes: str) -> None:
    """It gets a status, its instances too where it stops or starts, or it is gone."""
    cluster = ask.rds.clusters[name]
    if becomes == "gone":
        del ask.rds.clusters[name]
        return
    for member in cluster._members if cluster.status in ("stopping", "starting") else ():
        member.status = becomes
    cluster.status = becomes


def _settled(ask: Ask, cluster: Any, wanted: str = "available") -> None:
    name, status = cluster.db_cluster_identifier, cluster.status
    if status != wanted:
        text = f"DbCluster {name} is in {status} state but expected it to be one of {wanted}."
        raise Refusal("InvalidDBClusterStateFault", text)


@rules.before("CreateDBCluster")
def clusters_are_limited(ask: Ask) -> None:
    """DBClusterQuotaExceededFault for the 41st. Aurora User Guide, "Quotas in Amazon Aurora"."""
    if ask.get("DBClusterIdentifier") not in ask.rds.clusters:
        quotas.check(ask, "clusters", len(ask.rds.clusters))


@rules.before("CreateDBCluster")
def a_cluster_name_is_used_once(ask: Ask) -> None:
    """DBClusterAlreadyExistsFault; moto puts a new cluster in the place of the living one."""
    name = ask.get("DBClusterIdentifier")
    if not _IDENTIFIER.fullmatch(name):
        raise wrong_value(f"Invalid database cluster identifier:  {name}")
    if name in ask.rds.clusters:
        raise Refusal("DBClusterAlreadyExistsFault", "DB Cluster already exists")


@rules.before("CreateDBCluster")
def a_cluster_has_an_offered_version(ask: Ask) -> None:
    """InvalidParameterCombination for any other; a major, or nothing, stands for the default."""
    if is_aurora(ask):
        version = _offered(ask)
        ask.notes["version"], ask.form["EngineVersion"] = version, version.name


def _offered(ask: Ask) -> Version:
    wanted = ask.get("EngineVersion")
    if (version := offerings.find(ask.region, wanted)) is None:
        raise combination(f"Cannot find version {wanted} for {ENGINE}")
    return version


@rules.before("CreateDBCluster")
def a_cluster_without_extended_support_has_standard_support(ask: Ask) -> None:
    """InvalidParameterCombination past the end of standard support. RDS API reference, EngineLifecycleSupport."""
    if is_aurora(ask) and ask.get("EngineLifecycleSupport") == f"{_EXTENDED}-disabled":
        version: Version = ask.notes["version"]
        if offerings.lifecycle(version.major)["standard"] < _today(ask):
            text = f"The engine version {version.name} is past its end of standard support, and extended support is"
            raise combination(f"{text} disabled for this cluster.")


def _today(ask: Ask) -> str:
    return datetime.fromtimestamp(ask.now, UTC).date().isoformat()


@rules.before("CreateDBCluster")
def a_cluster_has_one_password(ask: Ask) -> None:
    """Managed by RDS or given, not both; some user names are the engine's own."""
    if ask.flag("ManageMasterUserPassword") and ask.get("MasterUserPassword"):
        raise combination("You can't specify MasterUserPassword when you specify ManageMasterUserPassword.")
    user = ask.get("MasterUsername")
    if is_aurora(ask) and user.lower() in _RESERVED:
        raise wrong_value(f"MasterUsername {user} cannot be used as it is a reserved word used by the engine")
    if user and not re.fullmatch(r"[A-Za-z]\w{0,62}", user):
        raise wrong_value("The parameter MasterUsername is not a valid identifier.")


@rules.before("CreateDBCluster", "ModifyDBCluster")
def backups_are_kept_one_to_35_days(ask: Ask) -> None:
    """InvalidParameterValue. RDS API reference, BackupRetentionPeriod of a cluster."""
    days = ask.get("BackupRetentionPeriod")
    if days and not 1 <= int(days) <= 35:
        raise wrong_value(f"Invalid backup retention period: {days}. Must be between 1 and 35.")


@rules.before("CreateDBCluster")
def a_cluster_lives_in_a_known_network(ask: Ask) -> None:
    """DBSubnetGroupNotFoundFault; a group not in the subnets' VPC is refused, and none is the VPC's default group."""
    name = ask.get("DBSubnetGroupName")
    if name and name not in ask.rds.subnet_groups:
        raise Refusal("DBSubnetGroupNotFoundFault", f"DB subnet group '{name}' does not exist.", 404)
    vpc = ask.rds.subnet_groups[name].vpc_id if name else ask.ec2.default_vpc.id
    _check_groups(ask, vpc)
    if not ask.many(_VPC_GROUPS):
        ask.form[f"{_VPC_GROUPS}.1"] = ask.ec2.get_security_group_from_name("default", vpc_id=vpc).id


def _check_groups(ask: Ask, vpc: str) -> None:
    for group_id in ask.many(_VPC_GROUPS):
        group = ask.ec2.get_security_group_from_id(group_id)
        if group is None:
            raise wrong_value(f"Invalid security group , groupId= {group_id}, groupName=.")
        if group.vpc_id != vpc:
            text = "The DB instance and EC2 security group are in different VPCs. The DB instance is in"
            raise combination(f"{text} {vpc} and the EC2 security group is in {group.vpc_id}")


@rules.before("CreateDBCluster")
def a_cluster_has_fitting_parameters(ask: Ask) -> None:
    """A parameter group of the version's family, by default ``default.<family>``."""
    if is_aurora(ask):
        family = ask.notes["version"].family
        ask.form.setdefault("DBClusterParameterGroupName", f"default.{family}")
        _check_parameters(ask, family)


def _check_parameters(ask: Ask, family: str) -> None:
    name = ask.get("DBClusterParameterGroupName")
    group = ask.rds.db_cluster_parameter_groups.get(name)
    if not group and name != f"default.{family}":
        raise Refusal("DBClusterParameterGroupNotFound", f"DBClusterParameterGroup not found: {name}", 404)
    if group and group.db_parameter_group_family != family:
        has = group.db_parameter_group_family
        text = f"The Parameter Group {name} with DBParameterGroupFamily {has} can't be used for this instance."
        raise combination(f"{text} Please use a Parameter Group with DBParameterGroupFamily {family}")


@rules.before("CreateDBCluster")
def a_cluster_scales_within_its_range(ask: Ask) -> None:
    """ACUs in halves, within the version's range. Aurora User Guide, "Capacity range for Aurora Serverless v2"."""
    if is_aurora(ask) and _scaling(ask):
        _check_scaling(ask, ask.notes["version"])


def _scaling(ask: Ask) -> dict[str, str]:
    start = f"{_SCALING}."
    return {key.removeprefix(start): value for key, value in ask.form.items() if key.startswith(start)}


def _check_scaling(ask: Ask, version: Version) -> None:
    wanted = _scaling(ask)
    if not {"MinCapacity", "MaxCapacity"} <= wanted.keys():
        text = "Both MinCapacity and MaxCapacity must be specified when you initialize Serverless v2 scaling"
        raise wrong_value(f"{text} configuration.")
    least, most = float(wanted["MinCapacity"]), float(wanted["MaxCapacity"])
    if least > most:
        raise combination("Serverless v2 minimum capacity can't be greater than its maximum capacity.")
    if (least * 2) % 1 or (most * 2) % 1:
        raise wrong_value("Serverless v2 capacity must be given in steps of 0.5 ACUs.")
    if least < version.min_acu:
        raise wrong_value(
            f"Serverless v2 minimum capacity {least} isn't supported by {version.name}: {version.min_acu}."
        )
    if not 1 <= most <= version.max_acu:
        raise wrong_value(f"Serverless v2 maximum capacity {most} must be between 1.0 and {version.max_acu}.")
    _check_pause(ask, wanted.get("SecondsUntilAutoPause"), pauses=least == 0)


def _check_pause(ask: Ask, seconds: str | None, pauses: bool) -> None:
    if not pauses:
        ask.form.pop(f"{_SCALING}.SecondsUntilAutoPause", None)  # AWS shows it only where the minimum is 0
    elif seconds is None:
        ask.form[f"{_SCALING}.SecondsUntilAutoPause"] = "300"
    elif not 300 <= int(seconds) <= 86_400:
        raise wrong_value(f"SecondsUntilAutoPause {seconds} must be between 300 and 86400.")


@rules.before("CreateDBCluster")
def an_encrypted_cluster_names_its_key(ask: Ask) -> None:
    """KmsKeyId is the ARN of the key given, by default of aws/rds. Aurora User Guide, "Encrypting Aurora resources"."""
    if not ask.flag("StorageEncrypted"):
        return
    ask.form["KmsKeyId"] = usable_key(ask, ask.get("KmsKeyId") or "alias/aws/rds")


@rules.before("CreateDBCluster")
def a_cluster_speaks_on_its_port(ask: Ask) -> None:
    """InvalidParameterValue outside 1150-65535."""
    port = ask.get("Port")
    if port and not 1150 <= int(port) <= 65535:
        raise wrong_value(f"Invalid port {port}: must be between 1150 and 65535.")


@rules.after("CreateDBCluster")
def a_newborn_cluster_tells_its_lifecycle(ask: Ask, reply: Reply) -> Reply | None:
    """EngineLifecycleSupport is told as given, by default extended support; moto drops it."""
    cluster = cluster_of(ask)
    cluster.__class__, cluster.status = Cluster, "creating"
    cluster.engine_lifecycle_support = ask.get("EngineLifecycleSupport") or _EXTENDED
    come_into_being(ask, "cluster", cluster.db_cluster_identifier)
    return reply.with_element("DBCluster", "EngineLifecycleSupport", cluster.engine_lifecycle_support)


@rules.before("ModifyDBCluster")
def an_unknown_cluster_is_not_changed(ask: Ask) -> None:
    """DBClusterNotFoundFault; moto crashes."""
    cluster = cluster_of(ask)
    if ask.get("EngineVersion") and cluster.engine == ENGINE:
        _check_upgrade(ask, cluster)
    _check_groups(ask, _vpc(ask, cluster))


def _vpc(ask: Ask, cluster: Any) -> str:
    group = ask.rds.subnet_groups.get(cluster.db_subnet_group_name)
    return group.vpc_id if group else ask.ec2.default_vpc.id  # type: ignore[no-any-return]


def _check_upgrade(ask: Ask, cluster: Any) -> None:
    """Upgrades only, a major one only where it is allowed. Aurora User Guide, "Upgrading Aurora PostgreSQL"."""
    wanted, has = _offered(ask), offerings.versions(ask.region)[cluster.engine_version]
    if wanted != has and wanted not in offerings.upgrades(ask.region, has):
        raise combination(f"Cannot upgrade {ENGINE} from {has.name} to {wanted.name}")
    if wanted.major != has.major:
        _check_major_upgrade(ask, cluster, wanted)
    ask.form["EngineVersion"] = wanted.name


def _check_major_upgrade(ask: Ask, cluster: Any, wanted: Version) -> None:
    """It is to be allowed, and a parameter group of one's own to be replaced (github.com/aws/aws-cli/issues/5939)."""
    if not ask.flag("AllowMajorVersionUpgrade"):
        raise combination("The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")
    group = cluster.parameter_group
    if not ask.get("DBClusterParameterGroupName") and not group.startswith("default."):
        text = f"The current DB cluster parameter group {group} is custom. You must explicitly specify a new DB cluster"
        raise combination(f"{text} parameter group, either default or custom, for the engine version upgrade.")
    ask.form.setdefault("DBClusterParameterGroupName", f"default.{wanted.family}")


@rules.before("ModifyDBCluster")
def a_change_fits_the_version(ask: Ask) -> None:
    """What is not named of the scaling configuration is kept; moto forgets it."""
    cluster = cluster_of(ask)
    if cluster.engine != ENGINE:
        return
    version = offerings.versions(ask.region)[ask.get("EngineVersion") or cluster.engine_version]
    if ask.get("DBClusterParameterGroupName"):
        _check_parameters(ask, version.family)
    if wanted := _scaling(ask):
        had = cluster.serverless_v2_scaling_configuration or {}
        kept = {key: str(had[key]) for key in _SCALES if key in had and key not in wanted}
        ask.form |= {f"{_SCALING}.{key}": value for key, value in kept.items()}
        _check_scaling(ask, version)


@rules.before("ModifyDBCluster")
def authentication_by_iam_can_be_changed(ask: Ask) -> None:
    """EnableIAMDatabaseAuthentication takes effect; moto shows what the cluster was created with."""
    if "EnableIAMDatabaseAuthentication" in ask.form:
        cluster_of(ask).iam_auth = ask.flag("EnableIAMDatabaseAuthentication")


@rules.before("ModifyDBCluster")
def what_it_had_is_noted(ask: Ask) -> None:
    """Another version takes longer than other changes, another parameter group needs a reboot."""
    ask.notes["cluster"] = cluster_of(ask)
    ask.notes["had"] = cluster_of(ask).engine_version
    ask.notes["had group"] = cluster_of(ask).parameter_group


@rules.after("ModifyDBCluster")
def a_change_of_a_cluster_takes_a_while(ask: Ask, reply: Reply) -> None:
    """It is modifying, or upgrading, and tells the new values. Aurora User Guide, "Viewing cluster status"."""
    cluster = ask.notes["cluster"]
    cluster.status = "modifying" if cluster.engine_version == ask.notes["had"] else "upgrading"
    begin(ask, f"cluster {cluster.status}", cluster.db_cluster_identifier, "available")


@rules.after("ModifyDBCluster")
def another_parameter_group_is_heeded_after_a_reboot(ask: Ask, reply: Reply) -> None:
    """Until then the members are pending-reboot; a major upgrade reboots them. Aurora User Guide, "Associating a DB
    cluster parameter group with a DB cluster"."""
    cluster = ask.notes["cluster"]
    if cluster.parameter_group != ask.notes["had group"] and not ask.flag("AllowMajorVersionUpgrade"):
        cluster.pending_reboot = {member.db_instance_identifier for member in cluster._members}


@rules.after("RebootDBInstance", "CreateDBInstance")
def a_reboot_lets_it_heed_the_parameter_group(ask: Ask, reply: Reply) -> None:
    """It is in-sync, as a newborn is."""
    for cluster in ask.rds.clusters.values():
        cluster.pending_reboot = {*cluster.pending_reboot} - {ask.get("DBInstanceIdentifier")}


@rules.after("StopDBCluster", "StartDBCluster")
def instances_stop_and_start_with_their_cluster(ask: Ask, reply: Reply) -> None:
    """They have the cluster's status. Aurora User Guide, "Stopping and starting an Amazon Aurora DB cluster"."""
    cluster, becomes = cluster_of(ask), "stopped" if ask.action == "StopDBCluster" else "available"
    cluster.status = "stopping" if becomes == "stopped" else "starting"
    for member in cluster._members:
        member.status = cluster.status
    begin(ask, f"cluster {cluster.status}", cluster.db_cluster_identifier, becomes)


@rules.before("ModifyDBCluster", "CreateDBInstance", "ModifyDBInstance", "DeleteDBInstance")
def what_is_busy_or_stopped_stays_as_it_is(ask: Ask) -> None:
    """Clusters that are not available, and their instances, can neither be changed, added to nor, stopped, removed."""
    cluster = ask.rds.clusters.get(ask.get("DBClusterIdentifier"))
    if cluster:
        _settled(ask, cluster)
    database = ask.rds.databases.get(ask.get("DBInstanceIdentifier"))
    if database is None or ask.action == "CreateDBInstance":
        return
    name, status = database.db_instance_identifier, database.status
    if status == "deleting":
        raise Refusal("InvalidDBInstanceState", f"Instance {name} is already being deleted.")
    refused = ("stopped", "stopping", "starting") if ask.action == "DeleteDBInstance" else _but_available(status)
    if status in refused:
        text = f"Instance {name} is in {status} state but expected it to be available."
        raise Refusal("InvalidDBInstanceState", text)


def _but_available(status: str) -> tuple[str, ...]:
    return () if status == "available" else (status,)


@rules.before("DeleteDBCluster")
def a_busy_cluster_stays(ask: Ask) -> None:
    """InvalidDBClusterStateFault while something is under way; a stopped or a broken one can be deleted."""
    cluster = cluster_of(ask)
    if cluster.status == "deleting":
        text = f"Cluster {cluster.db_cluster_identifier} is already being deleted."
        raise Refusal("InvalidDBClusterStateFault", text)
    if cluster.status in _UNDER_WAY:
        text = f"DB cluster {cluster.db_cluster_identifier} is not currently in the available state."
        raise Refusal("InvalidDBClusterStateFault", text)
    ask.notes["cluster"] = cluster


@rules.before("DeleteDBCluster")
def the_final_snapshot_is_decided(ask: Ask) -> None:
    """A final snapshot's name or SkipFinalSnapshot, not both and not neither."""
    cluster_of(ask)
    if ask.flag("SkipFinalSnapshot") and ask.get("FinalDBSnapshotIdentifier"):
        raise combination("FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is enabled.")
    if not ask.flag("SkipFinalSnapshot") and not ask.get("FinalDBSnapshotIdentifier"):
        raise combination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")


@rules.after("DeleteDBCluster")
def automated_backups_go_with_the_cluster(ask: Ask, reply: Reply) -> None:
    """DeleteAutomatedBackups defaults to true; moto's would stand in the way of a cluster of the same name."""
    snapshots, name = ask.rds.cluster_snapshots, ask.get("DBClusterIdentifier")
    for key, snapshot in list(snapshots.items()):
        if snapshot.snapshot_type == "automated" and snapshot.db_cluster_identifier == name:
            del snapshots[key]


@rules.after("DeleteDBCluster")
def a_cluster_goes_after_its_instances(ask: Ask, reply: Reply) -> Reply | None:
    """It is deleting until its last instance is gone, and for a while after."""
    cluster, name = ask.notes["cluster"], ask.get("DBClusterIdentifier")
    ask.rds.clusters[name] = cluster
    cluster.status = "deleting"
    last = max((until(ask, "instance", member.db_instance_identifier) or 0 for member in cluster._members), default=0)
    begin(ask, "cluster deleting", name, "gone", since=last)
    return reply.told("available", "deleting")
