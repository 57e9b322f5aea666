"""What RDS does with subnet groups and parameter groups and moto does not: what they cover, what is in use.

RDS API reference, CreateDBSubnetGroup, ModifyDBSubnetGroup, CreateDBClusterParameterGroup.
"""

from __future__ import annotations

from itertools import chain

from provisioner.local import offerings, quotas
from provisioner.local.offerings import ENGINE
from provisioner.local.protocol import reply as answer
from provisioner.local.rds.book import rules, wrong_value
from provisioner.local.rds.instances import subnet_group
from provisioner.local.rules import Ask, Refusal, Reply

_SUBNETS = "SubnetIds.SubnetIdentifier"
_USUAL = {"rds.force_ssl": "1", "log_statement": "none", "log_min_duration_statement": "-1"}
"""The engine's defaults of the parameters that are set here."""
_WITHOUT_TLS = frozenset(f"{ENGINE}{major}" for major in range(11, 17))
"""The families that take connections without TLS. Aurora User Guide, "Security with Amazon Aurora PostgreSQL"."""


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
    databases = (each.resource_id for each in ask.rds.databases.values() if subnet_group(each) is ask.notes["group"])
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
        raise wrong_value(f"ParameterGroupFamily {family} is not a valid parameter group family")


@rules.after("DescribeDBClusterParameters")
def parameters_are_told_with_whose_they_are(ask: Ask, reply: Reply) -> Reply:
    """One set to the engine's default is the engine's, and not told of with Source "user"
    (github.com/hashicorp/terraform-provider-aws/issues/23335); moto knows changed ones only and filters nothing."""
    group = ask.rds.db_cluster_parameter_groups[ask.get("DBClusterParameterGroupName")]
    usual = {**_USUAL, **({"rds.force_ssl": "0"} if group.db_parameter_group_family in _WITHOUT_TLS else {})}
    values = {**usual, **{name: said["ParameterValue"] for name, said in group.parameters.items()}}
    names = ask.many("Filters.Filter.1.Values.Value") or values
    listed = [
        {
            "ParameterName": name,
            "ParameterValue": values[name],
            "Source": "engine-default" if values[name] == usual.get(name) else "user",
            "IsModifiable": True,
        }
        for name in values
        if name in names
    ]
    return answer(ask, {"Parameters": [each for each in listed if ask.get("Source") in ("", each["Source"])]})


@rules.before("DeleteDBClusterParameterGroup")
def parameters_in_use_stay(ask: Ask) -> None:
    """InvalidDBParameterGroupState for a default group, or one a cluster uses."""
    name = ask.get("DBClusterParameterGroupName")
    if name.startswith("default."):
        raise Refusal("InvalidDBParameterGroupState", "Default DBClusterParameterGroups can not be deleted.")
    if any(cluster.parameter_group == name for cluster in ask.rds.clusters.values()):
        text = f"One or more database instances are still members of this parameter group {name}, so the group cannot"
        raise Refusal("InvalidDBParameterGroupState", f"{text} be deleted")
