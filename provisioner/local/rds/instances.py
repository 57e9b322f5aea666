"""What RDS does with instances and moto does not: where they may be, what they occupy, what takes time.

RDS API reference, CreateDBInstance.
"""

from __future__ import annotations

import random
import string
from typing import Any

from provisioner.local import offerings, quotas
from provisioner.local.ec2 import occupy
from provisioner.local.lifecycle import arrival, begin, come_into_being
from provisioner.local.offerings import ENGINE
from provisioner.local.rds.book import cluster_of, combination, is_aurora, rules
from provisioner.local.rules import Ask, Refusal, Reply


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
    if not is_aurora(ask) or ask.get("DBInstanceIdentifier") in ask.rds.databases:
        return
    if not ask.get("DBClusterIdentifier"):
        raise combination(f"DBClusterIdentifier is required for engine {ENGINE}.")
    cluster = cluster_of(ask)
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
        raise combination(f"{text}{name}, Engine={ENGINE}, EngineVersion={cluster.engine_version}.")
    if version and version != cluster.engine_version:
        text = f"The engine version that you requested for your DB instance ({version}) does not match the engine"
        raise combination(f"{text} version of your DB cluster ({cluster.engine_version}).")
    if name == "db.serverless" and not cluster.serverless_v2_scaling_configuration:
        text = "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2"
        raise Refusal("InvalidDBClusterStateFault", f"{text} DB instance.")


def _check_zone(ask: Ask) -> None:
    name, zone = ask.get("DBInstanceClass"), ask.get("AvailabilityZone")
    if zone and not offerings.is_to_be_had(ask.region, name, zone):
        text = f"The requested DB instance class {name} is not available in the Availability Zone {zone}."
        raise combination(text)


def _emptiest(ask: Ask, cluster: Any, group: Any) -> str:
    used = [member.availability_zone for member in cluster._members]
    zones: set[str] = {subnet.availability_zone for subnet in group._subnets}
    fitting = {zone for zone in zones if offerings.is_to_be_had(ask.region, ask.get("DBInstanceClass"), zone)}
    return min(sorted(fitting or zones), key=used.count)


@rules.after("CreateDBInstance")
def an_instance_occupies_an_address(ask: Ask, reply: Reply) -> Reply | None:
    """Its interface is in the subnet of its zone and in its groups. Aurora User Guide, "Working in a VPC"."""
    database = ask.rds.databases[ask.get("DBInstanceIdentifier")]
    if group := subnet_group(database):
        subnet = next((each for each in group._subnets if each.availability_zone == database.availability_zone), None)
        database.interface = occupy(ask, subnet or group._subnets[0], _groups_of(database)).id
    database.status = "creating"
    takes_time = come_into_being(ask, "instance", database.db_instance_identifier)
    reply = reply.told("available", "creating") if takes_time else reply
    old = database.dbi_resource_id
    database.dbi_resource_id = "db-" + "".join(random.choices(string.ascii_uppercase + string.digits, k=26))
    return Reply(reply.status, reply.headers, reply.body.replace(old.encode(), database.dbi_resource_id.encode()))


def subnet_group(database: Any) -> Any:
    return getattr(database, "db_subnet_group", None)


def _groups_of(database: Any) -> list[str]:
    owner = database.cluster if database.db_cluster_identifier else database
    return list(owner.vpc_security_group_ids)


@rules.before("DeleteDBInstance")
def a_member_leaves_no_snapshot(ask: Ask) -> None:
    """InvalidParameterCombination for a final snapshot of a cluster's instance: the data is the cluster's."""
    database = ask.rds.databases.get(ask.get("DBInstanceIdentifier"))
    if database and database.db_cluster_identifier and ask.get("FinalDBSnapshotIdentifier"):
        raise combination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance")
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
