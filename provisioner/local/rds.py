"""What RDS does and moto does not: what it offers, what may be combined, what is in use, defaults of newborns.

Each rule says what AWS does, and from where we know it (docs/embedded-cloud.md has them all in one table). Codes are
those of the RDS service model, with its irregularities; texts are AWS's own where a public thread quotes them.
"""

from __future__ import annotations

import random
import re
import string
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.rds.models import DBCluster

from provisioner.local import offerings, quotas
from provisioner.local.ec2 import occupy
from provisioner.local.lifecycle import arrival, begin, catch_up, come_into_being, until
from provisioner.local.offerings import ENGINE, Version
from provisioner.local.protocol import reply as answer
from provisioner.local.rules import EVERY, Ask, Refusal, Reply, Rulebook

rules = Rulebook("rds")

_NAMES = (
    "DBClusterIdentifier",
    "DBInstanceIdentifier",
    "DBSubnetGroupName",
    "DBClusterParameterGroupName",
    "DBClusterSnapshotIdentifier",
    "FinalDBSnapshotIdentifier",
)
_IDENTIFIER = re.compile(r"(?!.*--)[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED = frozenset({"admin", "rdsadmin", "rds_superuser", "rds_replication", "rds_iam", "rds_password", "public"})
_SCALES = ("MinCapacity", "MaxCapacity", "SecondsUntilAutoPause")
_SCALING = "ServerlessV2ScalingConfiguration"
_UNDER_WAY = ("creating", "modifying", "upgrading", "starting", "stopping")
_STANDARD = "open-source-rds-standard-support"
_EXTENDED = "open-source-rds-extended-support"
_NOT_FOUND = {
    "cluster": "DBClusterNotFoundFault",
    "db": "DBInstanceNotFound",
    "subgrp": "DBSubnetGroupNotFoundFault",
    "cluster-pg": "DBParameterGroupNotFound",
}
"""By the type in an ARN, the code that says there is no such thing."""
_VPC_GROUPS = "VpcSecurityGroupIds.VpcSecurityGroupId"
_SUBNETS = "SubnetIds.SubnetIdentifier"


@rules.before(EVERY)
def what_is_due_has_happened(ask: Ask) -> None:
    """The statuses told are those of now. docs/embedded-cloud.md, "Time"."""
    catch_up(ask)


@rules.before(EVERY)
def identifiers_are_lower_case(ask: Ask) -> None:
    """Identifiers are stored in lower case and found in any. RDS API reference, CreateDBCluster."""
    for name in _NAMES:
        if name in ask.form:
            ask.form[name] = ask.form[name].lower()


@rules.before("ListTagsForResource", "AddTagsToResource", "RemoveTagsFromResource")
def what_is_not_there_has_no_tags(ask: Ask) -> None:
    """A resource that is gone is not found: no tags at all would make what was ours nobody's."""
    arn = ask.get("ResourceName")
    kind, _, name = arn.partition(":rds:")[2].partition(":")[2].partition(":")[2].partition(":")
    if kind in _NOT_FOUND and not name.startswith("default") and not ask.rds._get_resource_for_tagging(arn):
        raise Refusal(_NOT_FOUND[kind], f"{arn} not found.", 404)


def _combination(text: str) -> Refusal:
    return Refusal("InvalidParameterCombination", text)


def _value(text: str) -> Refusal:
    return Refusal("InvalidParameterValue", text)


def _is_aurora(ask: Ask) -> bool:
    return ask.get("Engine") == ENGINE


def _cluster(ask: Ask) -> Any:
    name = ask.get("DBClusterIdentifier")
    if name not in ask.rds.clusters:
        raise Refusal("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)
    return ask.rds.clusters[name]


# What is offered. RDS API reference, DescribeDBEngineVersions, DescribeOrderableDBInstanceOptions.


@rules.before("DescribeDBEngineVersions")
def engine_versions_are_told(ask: Ask) -> Reply | None:
    """Every offered version, deprecated ones with IncludeAll; moto has no such operation."""
    wanted, family = ask.get("EngineVersion"), ask.get("DBParameterGroupFamily")
    listed = []
    for version in offerings.versions(ask.region).values() if ask.get("Engine") in ("", ENGINE) else ():
        fits = wanted in ("", version.name, version.major) and family in ("", version.family)
        if fits and (version.offered or ask.flag("IncludeAll")) and _is_asked_default(ask, version):
            listed.append(_told(ask, version))
    return answer(ask, {"DBEngineVersions": listed})


def _is_asked_default(ask: Ask, version: Version) -> bool:
    """DefaultOnly: the default of the engine, or of the engine and major version asked for."""
    if not ask.flag("DefaultOnly"):
        return True
    return version.default if ask.get("EngineVersion") == version.major else version == offerings.find(ask.region, "")


def _told(ask: Ask, version: Version) -> dict[str, Any]:
    long_term = " (LTS)" if version.name in offerings.recorded()["long_term_support"] else ""
    return {
        "Engine": ENGINE,
        "EngineVersion": version.name,
        "MajorEngineVersion": version.major,
        "DBParameterGroupFamily": version.family,
        "DBEngineDescription": "Aurora PostgreSQL",
        "DBEngineVersionDescription": f"Aurora PostgreSQL (Compatible with PostgreSQL {version.name}){long_term}",
        "Status": "available" if version.offered else "deprecated",
        "SupportedEngineModes": ["provisioned"],
        "SupportedFeatureNames": ["Bedrock", "Lambda", "s3Export", "s3Import"],
        "ExportableLogTypes": ["postgresql"],
        "SupportsLogExportsToCloudwatchLogs": True,
        "SupportsReadReplica": False,
        "SupportsGlobalDatabases": True,
        "ValidUpgradeTarget": [_target(version, each) for each in offerings.upgrades(ask.region, version)],
        "ServerlessV2FeaturesSupport": {"MinCapacity": version.min_acu, "MaxCapacity": version.max_acu},
    }


def _target(version: Version, target: Version) -> dict[str, Any]:
    return {
        "Engine": ENGINE,
        "EngineVersion": target.name,
        "Description": f"Aurora PostgreSQL (Compatible with PostgreSQL {target.name})",
        "AutoUpgrade": False,
        "IsMajorVersionUpgrade": target.major != version.major,
        "SupportedEngineModes": ["provisioned"],
    }


@rules.before("DescribeDBMajorEngineVersions")
def lifecycles_are_told(ask: Ask) -> Reply | None:
    """When standard and extended support of each major version end; moto has no such operation."""
    listed = []
    for major, each in offerings.recorded()["majors"].items():
        if ask.get("Engine") in ("", ENGINE) and ask.get("MajorEngineVersion") in ("", major):
            spans = {_STANDARD: (each["start"], each["standard"]), _EXTENDED: (each["standard"], each["extended"])}
            lifecycles = [
                {"LifecycleSupportName": name, "LifecycleSupportStartDate": start, "LifecycleSupportEndDate": end}
                for name, (start, end) in spans.items()
            ]
            listed.append({"Engine": ENGINE, "MajorEngineVersion": major, "SupportedEngineLifecycles": lifecycles})
    return answer(ask, {"DBMajorEngineVersions": listed})


@rules.before("DescribeOrderableDBInstanceOptions")
def orderable_classes_are_told(ask: Ask) -> Reply | None:
    """One row per version and class with its zones; moto answers with versions and classes of long ago."""
    if not _is_aurora(ask):
        return None
    zones = [zone.name for zone in ask.ec2.describe_availability_zones()]
    wanted, chosen = ask.get("EngineVersion"), ask.get("DBInstanceClass")
    options = [
        {
            "Engine": ENGINE,
            "EngineVersion": version.name,
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": [{"Name": zone} for zone in zones if offerings.is_to_be_had(ask.region, name, zone)],
            "Vpc": True,
            "SupportsClusters": True,
            "SupportsStorageEncryption": True,
            "SupportsIAMDatabaseAuthentication": True,
            "SupportsPerformanceInsights": True,
            "SupportsHttpEndpoint": True,
            "StorageType": "aurora",
            "SupportedEngineModes": ["provisioned"],
            "SupportedNetworkTypes": ["IPV4", "DUAL"],
        }
        for version in offerings.versions(ask.region).values()
        for name in offerings.recorded()["classes"]
        if version.offered and wanted in ("", version.name) and chosen in ("", name)
    ]
    return answer(ask, {"OrderableDBInstanceOptions": options})


# Clusters. RDS API reference, CreateDBCluster, ModifyDBCluster, DeleteDBCluster.


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
        raise _value(f"Invalid database cluster identifier:  {name}")
    if name in ask.rds.clusters:
        raise Refusal("DBClusterAlreadyExistsFault", "DB Cluster already exists")


@rules.before("CreateDBCluster")
def a_cluster_has_an_offered_version(ask: Ask) -> None:
    """InvalidParameterCombination for any other; a major, or nothing, stands for the default."""
    if _is_aurora(ask):
        version = _offered(ask)
        ask.notes["version"], ask.form["EngineVersion"] = version, version.name


def _offered(ask: Ask) -> Version:
    wanted = ask.get("EngineVersion")
    if (version := offerings.find(ask.region, wanted)) is None:
        raise _combination(f"Cannot find version {wanted} for {ENGINE}")
    return version


@rules.before("CreateDBCluster")
def a_cluster_without_extended_support_has_standard_support(ask: Ask) -> None:
    """InvalidParameterCombination past the end of standard support. RDS API reference, EngineLifecycleSupport."""
    if _is_aurora(ask) and ask.get("EngineLifecycleSupport") == f"{_EXTENDED}-disabled":
        version: Version = ask.notes["version"]
        if offerings.lifecycle(version.major)["standard"] < _today(ask):
            text = f"The engine version {version.name} is past its end of standard support, and extended support is"
            raise _combination(f"{text} disabled for this cluster.")


def _today(ask: Ask) -> str:
    return datetime.fromtimestamp(ask.now, UTC).date().isoformat()


@rules.before("CreateDBCluster")
def a_cluster_has_one_password(ask: Ask) -> None:
    """Managed by RDS or given, not both; some user names are the engine's own."""
    if ask.flag("ManageMasterUserPassword") and ask.get("MasterUserPassword"):
        raise _combination("You can't specify MasterUserPassword when you specify ManageMasterUserPassword.")
    user = ask.get("MasterUsername")
    if _is_aurora(ask) and user.lower() in _RESERVED:
        raise _value(f"MasterUsername {user} cannot be used as it is a reserved word used by the engine")
    if user and not re.fullmatch(r"[A-Za-z]\w{0,62}", user):
        raise _value("The parameter MasterUsername is not a valid identifier.")


@rules.before("CreateDBCluster", "ModifyDBCluster")
def backups_are_kept_one_to_35_days(ask: Ask) -> None:
    """InvalidParameterValue. RDS API reference, BackupRetentionPeriod of a cluster."""
    days = ask.get("BackupRetentionPeriod")
    if days and not 1 <= int(days) <= 35:
        raise _value(f"Invalid backup retention period: {days}. Must be between 1 and 35.")


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
            raise _value(f"Invalid security group , groupId= {group_id}, groupName=.")
        if group.vpc_id != vpc:
            text = "The DB instance and EC2 security group are in different VPCs. The DB instance is in"
            raise _combination(f"{text} {vpc} and the EC2 security group is in {group.vpc_id}")


@rules.before("CreateDBCluster")
def a_cluster_has_fitting_parameters(ask: Ask) -> None:
    """A parameter group of the version's family, by default ``default.<family>``."""
    if _is_aurora(ask):
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
        raise _combination(f"{text} Please use a Parameter Group with DBParameterGroupFamily {family}")


@rules.before("CreateDBCluster")
def a_cluster_scales_within_its_range(ask: Ask) -> None:
    """ACUs in halves, within the version's range. Aurora User Guide, "Capacity range for Aurora Serverless v2"."""
    if _is_aurora(ask) and _scaling(ask):
        _check_scaling(ask, ask.notes["version"])


def _scaling(ask: Ask) -> dict[str, str]:
    start = f"{_SCALING}."
    return {key.removeprefix(start): value for key, value in ask.form.items() if key.startswith(start)}


def _check_scaling(ask: Ask, version: Version) -> None:
    wanted = _scaling(ask)
    if not {"MinCapacity", "MaxCapacity"} <= wanted.keys():
        text = "Both MinCapacity and MaxCapacity must be specified when you initialize Serverless v2 scaling"
        raise _value(f"{text} configuration.")
    least, most = float(wanted["MinCapacity"]), float(wanted["MaxCapacity"])
    if least > most:
        raise _combination("Serverless v2 minimum capacity can't be greater than its maximum capacity.")
    if (least * 2) % 1 or (most * 2) % 1:
        raise _value("Serverless v2 capacity must be given in steps of 0.5 ACUs.")
    if least < version.min_acu:
        raise _value(f"Serverless v2 minimum capacity {least} isn't supported by {version.name}: {version.min_acu}.")
    if not 1 <= most <= version.max_acu:
        raise _value(f"Serverless v2 maximum capacity {most} must be between 1.0 and {version.max_acu}.")
    _check_pause(ask, wanted.get("SecondsUntilAutoPause"), pauses=least == 0)


def _check_pause(ask: Ask, seconds: str | None, pauses: bool) -> None:
    if not pauses:
        ask.form.pop(f"{_SCALING}.SecondsUntilAutoPause", None)  # AWS shows it only where the minimum is 0
    elif seconds is None:
        ask.form[f"{_SCALING}.SecondsUntilAutoPause"] = "300"
    elif not 300 <= int(seconds) <= 86_400:
        raise _value(f"SecondsUntilAutoPause {seconds} must be between 300 and 86400.")


@rules.before("CreateDBCluster")
def an_encrypted_cluster_names_its_key(ask: Ask) -> None:
    """KmsKeyId is the ARN of the key given, by default of aws/rds. Aurora User Guide, "Encrypting Aurora resources"."""
    if not ask.flag("StorageEncrypted"):
        return
    try:
        ask.form["KmsKeyId"] = ask.moto("kms").describe_key(ask.get("KmsKeyId") or "alias/aws/rds").arn
    except (KeyError, JsonRESTError):
        text = f"The specified KMS key [{ask.get('KmsKeyId')}] does not exist, is not enabled or you do not have"
        raise Refusal("KMSKeyNotAccessibleFault", f"{text} permissions to access it.") from None


@rules.before("CreateDBCluster")
def a_cluster_speaks_on_its_port(ask: Ask) -> None:
    """InvalidParameterValue outside 1150-65535."""
    port = ask.get("Port")
    if port and not 1150 <= int(port) <= 65535:
        raise _value(f"Invalid port {port}: must be between 1150 and 65535.")


@rules.after("CreateDBCluster")
def a_newborn_cluster_tells_its_lifecycle(ask: Ask, reply: Reply) -> Reply | None:
    """EngineLifecycleSupport is told as given, by default extended support; moto drops it."""
    cluster = _cluster(ask)
    cluster.__class__, cluster.status = Cluster, "creating"
    cluster.engine_lifecycle_support = ask.get("EngineLifecycleSupport") or _EXTENDED
    come_into_being(ask, "cluster", cluster.db_cluster_identifier)
    return reply.with_element("DBCluster", "EngineLifecycleSupport", cluster.engine_lifecycle_support)


@rules.before("ModifyDBCluster")
def an_unknown_cluster_is_not_changed(ask: Ask) -> None:
    """DBClusterNotFoundFault; moto crashes."""
    cluster = _cluster(ask)
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
        raise _combination(f"Cannot upgrade {ENGINE} from {has.name} to {wanted.name}")
    if wanted.major != has.major:
        _check_major_upgrade(ask, cluster, wanted)
    ask.form["EngineVersion"] = wanted.name


def _check_major_upgrade(ask: Ask, cluster: Any, wanted: Version) -> None:
    """It is to be allowed, and a parameter group of one's own to be replaced (github.com/aws/aws-cli/issues/5939)."""
    if not ask.flag("AllowMajorVersionUpgrade"):
        raise _combination("The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")
    group = cluster.parameter_group
    if not ask.get("DBClusterParameterGroupName") and not group.startswith("default."):
        text = f"The current DB cluster parameter group {group} is custom. You must explicitly specify a new DB cluster"
        raise _combination(f"{text} parameter group, either default or custom, for the engine version upgrade.")
    ask.form.setdefault("DBClusterParameterGroupName", f"default.{wanted.family}")


@rules.before("ModifyDBCluster")
def a_change_fits_the_version(ask: Ask) -> None:
    """What is not named of the scaling configuration is kept; moto forgets it."""
    cluster = _cluster(ask)
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
        _cluster(ask).iam_auth = ask.flag("EnableIAMDatabaseAuthentication")


@rules.before("ModifyDBCluster")
def a_new_version_is_noted(ask: Ask) -> None:
    """It takes longer than other changes."""
    ask.notes["cluster"] = _cluster(ask)
    ask.notes["had"] = _cluster(ask).engine_version


@rules.after("ModifyDBCluster")
def a_change_of_a_cluster_takes_a_while(ask: Ask, reply: Reply) -> None:
    """It is modifying, or upgrading, and tells the new values. Aurora User Guide, "Viewing cluster status"."""
    cluster = ask.notes["cluster"]
    cluster.status = "modifying" if cluster.engine_version == ask.notes["had"] else "upgrading"
    begin(ask, f"cluster {cluster.status}", cluster.db_cluster_identifier, "available")


@rules.after("StopDBCluster", "StartDBCluster")
def instances_stop_and_start_with_their_cluster(ask: Ask, reply: Reply) -> None:
    """They have the cluster's status. Aurora User Guide, "Stopping and starting an Amazon Aurora DB cluster"."""
    cluster, becomes = _cluster(ask), "stopped" if ask.action == "StopDBCluster" else "available"
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
    cluster = _cluster(ask)
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
    _cluster(ask)
    if ask.flag("SkipFinalSnapshot") and ask.get("FinalDBSnapshotIdentifier"):
        raise _combination("FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is enabled.")
    if not ask.flag("SkipFinalSnapshot") and not ask.get("FinalDBSnapshotIdentifier"):
        raise _combination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")


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


# Instances. RDS API reference, CreateDBInstance.


@rules.before("CreateDBInstance")
def instances_are_limited(ask: Ask) -> None:
    """InstanceQuotaExceeded for the 41st. Aurora User Guide, "Quotas in Amazon Aurora"."""
    if ask.get("DBInstanceIdentifier") not in ask.rds.databases:
        quotas.check(ask, "instances", len(ask.rds.databases))


@arrival("instance")
def an_instance_changes(ask: Ask, name: str, becomes: str) -> None:
    """It gets a status, or it is gone, and its interface soon after."""
    database = ask.rds.databases[name]
    database.status = becomes
    if becomes == "gone":
        del ask.rds.databases[name]
        if interface := getattr(database, "interface", None):
            begin(ask, "interface lingering", interface, "gone")


@rules.before("CreateDBInstance")
def an_instance_of_aurora_joins_a_cluster(ask: Ask) -> None:
    """It takes network, port, encryption and version from the cluster, and the emptiest zone of its subnets."""
    if not _is_aurora(ask) or ask.get("DBInstanceIdentifier") in ask.rds.databases:
        return
    if not ask.get("DBClusterIdentifier"):
        raise _combination(f"DBClusterIdentifier is required for engine {ENGINE}.")
    cluster = _cluster(ask)
    _check_class(ask, cluster)
    ask.form |= {"Port": str(cluster.port), "StorageEncrypted": str(cluster.storage_encrypted).lower()}
    ask.form.setdefault("PubliclyAccessible", "false")
    if group := ask.rds.subnet_groups.get(cluster.db_subnet_group_name):
        ask.form["DBSubnetGroupName"] = group.name
        ask.form.setdefault("AvailabilityZone", _emptiest(ask, cluster, group))
    _check_zone(ask)


def _check_class(ask: Ask, cluster: Any) -> None:
    name, version = ask.get("DBInstanceClass"), ask.get("EngineVersion")
    if name not in offerings.recorded()["classes"]:
        text = "RDS does not support creating a DB instance with the following combination: DBInstanceClass="
        raise _combination(f"{text}{name}, Engine={ENGINE}, EngineVersion={cluster.engine_version}.")
    if version and version != cluster.engine_version:
        text = f"The engine version that you requested for your DB instance ({version}) does not match the engine"
        raise _combination(f"{text} version of your DB cluster ({cluster.engine_version}).")
    if name == "db.serverless" and not cluster.serverless_v2_scaling_configuration:
        text = "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2"
        raise Refusal("InvalidDBClusterStateFault", f"{text} DB instance.")


def _check_zone(ask: Ask) -> None:
    name, zone = ask.get("DBInstanceClass"), ask.get("AvailabilityZone")
    if zone and not offerings.is_to_be_had(ask.region, name, zone):
        text = f"The requested DB instance class {name} is not available in the Availability Zone {zone}."
        raise _combination(text)


def _emptiest(ask: Ask, cluster: Any, group: Any) -> str:
    used = [member.availability_zone for member in cluster._members]
    zones: set[str] = {subnet.availability_zone for subnet in group._subnets}
    fitting = {zone for zone in zones if offerings.is_to_be_had(ask.region, ask.get("DBInstanceClass"), zone)}
    return min(sorted(fitting or zones), key=used.count)


@rules.after("CreateDBInstance")
def an_instance_occupies_an_address(ask: Ask, reply: Reply) -> Reply | None:
    """Its interface is in the subnet of its zone and in its groups. Aurora User Guide, "Working in a VPC"."""
    database = ask.rds.databases[ask.get("DBInstanceIdentifier")]
    if group := _subnet_group(database):
        subnet = next((each for each in group._subnets if each.availability_zone == database.availability_zone), None)
        database.interface = occupy(ask, subnet or group._subnets[0], _groups_of(database)).id
    database.status = "creating"
    takes_time = come_into_being(ask, "instance", database.db_instance_identifier)
    reply = reply.told("available", "creating") if takes_time else reply
    old = database.dbi_resource_id
    database.dbi_resource_id = "db-" + "".join(random.choices(string.ascii_uppercase + string.digits, k=26))
    return Reply(reply.status, reply.headers, reply.body.replace(old.encode(), database.dbi_resource_id.encode()))


def _subnet_group(database: Any) -> Any:
    return getattr(database, "db_subnet_group", None)


def _groups_of(database: Any) -> list[str]:
    owner = database.cluster if database.db_cluster_identifier else database
    return list(owner.vpc_security_group_ids)


@rules.before("DeleteDBInstance")
def a_member_leaves_no_snapshot(ask: Ask) -> None:
    """InvalidParameterCombination for a final snapshot of a cluster's instance: the data is the cluster's."""
    database = ask.rds.databases.get(ask.get("DBInstanceIdentifier"))
    if database and database.db_cluster_identifier and ask.get("FinalDBSnapshotIdentifier"):
        raise _combination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance")
    ask.notes["database"] = database


@rules.after("DeleteDBInstance")
def an_instance_takes_a_while_to_go(ask: Ask, reply: Reply) -> None:
    """It is deleting for minutes, in which its cluster can be deleted already."""
    name = ask.get("DBInstanceIdentifier")
    ask.rds.databases[name] = ask.notes["database"]
    begin(ask, "instance deleting", name, "gone")


@rules.after("ModifyDBInstance")
def a_change_of_an_instance_takes_a_while(ask: Ask, reply: Reply) -> None:
    """It is modifying, and tells the new values."""
    name = ask.get("NewDBInstanceIdentifier").lower() or ask.get("DBInstanceIdentifier")
    ask.rds.databases[name].status = "modifying"
    begin(ask, "instance modifying", name, "available")


# Subnet groups. RDS API reference, CreateDBSubnetGroup, ModifyDBSubnetGroup, DeleteDBSubnetGroup.


@rules.before("CreateDBSubnetGroup")
def a_subnet_group_name_is_used_once(ask: Ask) -> None:
    """DBSubnetGroupAlreadyExists; moto replaces the group."""
    name = ask.get("DBSubnetGroupName")
    if name in ask.rds.subnet_groups:
        raise Refusal("DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists.")


@rules.before("CreateDBSubnetGroup")
def subnet_groups_are_limited(ask: Ask) -> None:
    """DBSubnetGroupQuotaExceeded for the 51st. Aurora User Guide, "Quotas in Amazon Aurora"."""
    quotas.check(ask, "subnet_groups", len(ask.rds.subnet_groups))


@rules.before("CreateDBSubnetGroup", "ModifyDBSubnetGroup")
def a_subnet_group_covers_two_zones(ask: Ask) -> None:
    """InvalidSubnet for an unknown subnet or two VPCs, DBSubnetGroupDoesNotCoverEnoughAZs for one zone."""
    known = {subnet.id: subnet for zone in ask.ec2.subnets.values() for subnet in zone.values()}
    wanted = ask.many(_SUBNETS)
    if unknown := [name for name in wanted if name not in known]:
        raise Refusal("InvalidSubnet", f"Some input subnets in :[{', '.join(unknown)}] are invalid.")
    if len({known[name].vpc_id for name in wanted}) > 1:
        raise Refusal("InvalidSubnet", "The specified subnets are in different VPCs.")
    zones = sorted({known[name].availability_zone for name in wanted})
    if len(zones) < 2:
        text = "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage:"
        text = f"{text} {', '.join(zones)}. Add subnets to cover at least 2 AZs."
        raise Refusal("DBSubnetGroupDoesNotCoverEnoughAZs", text)


@rules.before("ModifyDBSubnetGroup", "DeleteDBSubnetGroup")
def a_subnet_group_must_be_there(ask: Ask) -> None:
    """DBSubnetGroupNotFoundFault."""
    name = ask.get("DBSubnetGroupName")
    if name not in ask.rds.subnet_groups:
        raise Refusal("DBSubnetGroupNotFoundFault", f"DB subnet group '{name}' does not exist.", 404)
    ask.notes["group"] = ask.rds.subnet_groups[name]


@rules.after("ModifyDBSubnetGroup")
def a_changed_subnet_group_stays(ask: Ask, reply: Reply) -> None:
    """moto forgets a group that it changes."""
    ask.rds.subnet_groups[ask.get("DBSubnetGroupName")] = ask.notes["group"]


@rules.before("DeleteDBSubnetGroup")
def a_subnet_group_in_use_stays(ask: Ask) -> None:
    """InvalidDBSubnetGroupStateFault."""
    name = ask.get("DBSubnetGroupName")
    clusters = (each.resource_id for each in ask.rds.clusters.values() if each.db_subnet_group_name == name)
    databases = (each.resource_id for each in ask.rds.databases.values() if _subnet_group(each) is ask.notes["group"])
    if user := next(chain(databases, clusters), None):
        text = (
            f"Cannot delete the subnet group '{name}' because at least one database instance: {user} is still using it."
        )
        raise Refusal("InvalidDBSubnetGroupStateFault", text)


# Parameter groups. RDS API reference, CreateDBClusterParameterGroup, DeleteDBClusterParameterGroup.


@rules.before("CreateDBClusterParameterGroup")
def a_family_must_be_known(ask: Ask) -> None:
    """InvalidParameterValue for a family of Aurora PostgreSQL that there is not."""
    family = ask.get("DBParameterGroupFamily")
    families = {version.family for version in offerings.versions(ask.region).values()}
    if family.startswith(ENGINE) and family not in families:
        raise _value(f"ParameterGroupFamily {family} is not a valid parameter group family")


@rules.after("ModifyDBClusterParameterGroup")
def changed_parameters_are_the_users(ask: Ask, reply: Reply) -> None:
    """They are told with Source "user"."""
    group = ask.rds.db_cluster_parameter_groups[ask.get("DBClusterParameterGroupName")]
    for parameter in group.parameters.values():
        parameter |= {"Source": "user", "IsModifiable": True}


@rules.before("DeleteDBClusterParameterGroup")
def parameters_in_use_stay(ask: Ask) -> None:
    """InvalidDBParameterGroupState for a default group, or one a cluster uses."""
    name = ask.get("DBClusterParameterGroupName")
    if name.startswith("default."):
        raise Refusal("InvalidDBParameterGroupState", "Default DBClusterParameterGroups can not be deleted.")
    if any(cluster.parameter_group == name for cluster in ask.rds.clusters.values()):
        text = f"One or more database instances are still members of this parameter group {name}, so the group cannot"
        raise Refusal("InvalidDBParameterGroupState", f"{text} be deleted")
