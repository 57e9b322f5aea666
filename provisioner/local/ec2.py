"""What EC2 does and moto does not: what may not be deleted while it is used, client tokens, defaults of newborns.

Each rule says what AWS does, and from where we know it (docs/embedded-cloud.md has them all in one table). Error texts
are AWS's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.ec2.models.route_tables import Route
from moto.ec2.models.security_groups import SecurityGroupRule

from provisioner.local import quotas
from provisioner.local.lifecycle import arrival, catch_up
from provisioner.local.rules import EVERY, Ask, Refusal, Reply, Rulebook

rules = Rulebook("ec2")

_PEER = re.compile(r"IpPermissions\.\d+\.(?:Groups|IpRanges|Ipv6Ranges|PrefixListIds)\.\d+")
_TOKENED = ("CreateNatGateway", "CreateRouteTable", "CreateVpcEndpoint", "CreateNetworkAcl", "CreateFlowLogs")


@rules.before(EVERY)
def what_is_due_has_happened(ask: Ask) -> None:
    """The statuses told are those of now. docs/embedded-cloud.md, "Time"."""
    catch_up(ask)


@rules.before(EVERY)
def a_dry_run_does_nothing(ask: Ask) -> None:
    """AWS answers DryRunOperation where the request would be allowed. EC2 API reference, DryRun of every action."""
    if ask.flag("DryRun"):
        raise Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


# Client tokens: EC2 Developer Guide, "Ensuring idempotency".


@rules.before(*_TOKENED)
def a_token_is_good_for_one_request(ask: Ask) -> Reply | None:
    """The same token and parameters give the first reply again, other parameters IdempotentParameterMismatch."""
    if (known := ask.memory.get(_token(ask))) is None:
        ask.notes["asked"] = dict(ask.form)
        return None
    asked, reply = known
    if asked != ask.form:
        raise Refusal(
            "IdempotentParameterMismatch",
            f"The client token '{ask.get('ClientToken')}' was already used with other parameters",
        )
    return reply  # type: ignore[no-any-return]


@rules.after(*_TOKENED)
def a_token_is_remembered(ask: Ask, reply: Reply) -> None:
    """Also after what it created is gone."""
    if ask.get("ClientToken"):
        ask.memory[_token(ask)] = (ask.notes["asked"], reply)


def _token(ask: Ask) -> tuple[str, str, str]:
    return ask.region, ask.action, ask.get("ClientToken")


# Quotas. https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html


@rules.before("CreateVpc")
def vpcs_are_limited(ask: Ask) -> None:
    """VpcLimitExceeded for the sixth, the default VPC among them."""
    quotas.check(ask, "vpcs", len(ask.ec2.vpcs))


@rules.before("CreateInternetGateway")
def internet_gateways_are_limited(ask: Ask) -> None:
    """InternetGatewayLimitExceeded: as many as VPCs."""
    quotas.check(ask, "internet_gateways", len(ask.ec2.internet_gateways))


@rules.before("AllocateAddress")
def addresses_are_limited(ask: Ask) -> None:
    """AddressLimitExceeded for the sixth."""
    quotas.check(ask, "addresses", len(ask.ec2.addresses))


@rules.before("CreateNatGateway")
def nat_gateways_of_a_zone_are_limited(ask: Ask) -> None:
    """NatGatewayLimitExceeded for the sixth in a zone; those being deleted count, those deleted or failed do not."""
    zones = {subnet.id: name for name, zone in ask.ec2.subnets.items() for subnet in zone.values()}
    mine = zones.get(ask.get("SubnetId"))
    quotas.check(ask, "nat_gateways", sum(mine == zones.get(nat.subnet_id) and living(nat) for nat in nats(ask)))


@rules.before("CreateSecurityGroup")
def security_groups_are_limited(ask: Ask) -> None:
    """SecurityGroupLimitExceeded: the default groups count."""
    quotas.check(ask, "security_groups", sum(map(len, ask.ec2.groups.values())))


@rules.before("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress")
def rules_of_a_group_are_limited(ask: Ask) -> None:
    """RulesPerSecurityGroupLimitExceeded, each direction by itself; moto knows AWS's default only."""
    group = ask.ec2.get_security_group_from_id(ask.get("GroupId"))
    if group is not None:
        has = group.ingress_rules if ask.action.endswith("Ingress") else group.egress_rules
        peers = {peer[0] for key in ask.form if (peer := _PEER.match(key))}
        quotas.check(ask, "rules", len(has) + len(peers) - 1)


def nats(ask: Ask) -> list[Any]:
    """List all NAT gateways, the latest last."""
    return list(ask.ec2.nat_gateways.values())


# VPC. https://docs.aws.amazon.com/vpc/latest/userguide/delete-vpc.html


@rules.after("CreateVpc")
def a_default_group_lets_itself_in(ask: Ask, reply: Reply) -> None:
    """The default group allows all traffic from its own members. VPC User Guide, "Default security groups"."""
    newest = list(ask.ec2.vpcs)[-1]
    group = ask.ec2.get_security_group_from_name("default", vpc_id=newest)
    ask.ec2.authorize_security_group_ingress(group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}])


@rules.before("DeleteVpc")
def a_vpc_goes_last(ask: Ask) -> None:
    """DependencyViolation while anything but its main table, default group and default ACL is in it."""
    vpc = ask.get("VpcId")
    if vpc in ask.ec2.vpcs and any(_inside(ask, vpc)):
        raise _depended_on("vpc", vpc)


def _inside(ask: Ask, vpc: str) -> Iterator[Any]:
    ec2 = ask.ec2
    yield from (group for group in ec2.groups[vpc].values() if group.name != "default")
    yield from (gateway for gateway in ec2.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc)
    yield from (each for each in ec2.vpc_end_points.values() if each.vpc_id == vpc and each.state != "deleted")
    yield from (nat for nat in nats(ask) if nat.vpc_id == vpc and living(nat))
    yield from (acl for acl in ec2.network_acls.values() if acl.vpc_id == vpc and not acl.default)
    yield from (table for table in ec2.route_tables.values() if table.vpc_id == vpc and not table.main_association_id)
    yield from (subnet for zone in ec2.subnets.values() for subnet in zone.values() if subnet.vpc_id == vpc)
    yield from (eni for eni in ec2.enis.values() if eni.vpc_id == vpc)


def living(nat: Any) -> bool:
    """Tell whether a NAT gateway is there, or may come to be."""
    return nat.state not in ("deleted", "failed")


def _depended_on(kind: str, name: str) -> Refusal:
    return Refusal("DependencyViolation", f"The {kind} '{name}' has dependencies and cannot be deleted.")


# Subnets. https://docs.aws.amazon.com/vpc/latest/userguide/subnet-deleting.html


@rules.before("DeleteSubnet")
def a_subnet_in_use_stays(ask: Ask) -> None:
    """DependencyViolation while a network interface is in it: an instance's, a NAT gateway's, a database's."""
    subnet = ask.get("SubnetId")
    if any(eni.subnet.id == subnet for eni in ask.ec2.enis.values()) or subnet in _subnets_of_databases(ask):
        raise _depended_on("subnet", subnet)


@rules.after("DeleteSubnet")
def a_subnet_takes_its_associations_along(ask: Ask, reply: Reply) -> None:
    """Its route table may be deleted afterwards; moto keeps the association, and with it the table."""
    for table in ask.ec2.route_tables.values():
        kept = {key: target for key, target in table._associations.items() if target != ask.get("SubnetId")}
        table._associations = kept


def _subnets_of_databases(ask: Ask) -> set[str]:
    groups = [ask.rds.subnet_groups.get(cluster.db_subnet_group_name) for cluster in ask.rds.clusters.values()]
    return {subnet.id for group in groups if group for subnet in group._subnets}


# Security groups. https://docs.aws.amazon.com/vpc/latest/userguide/deleting-security-groups.html


@rules.before("CreateSecurityGroup")
def a_group_needs_a_vpc(ask: Ask) -> None:
    """InvalidVpcID.NotFound for a VPC there is not, InvalidParameterValue for the name "default" or sg-..."""
    vpc = ask.get("VpcId")
    if vpc and vpc not in ask.ec2.vpcs:
        raise Refusal("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
    if ask.get("GroupName") == "default":
        raise Refusal("InvalidParameterValue", "Cannot use reserved security group name: default")
    if ask.get("GroupName").lower().startswith("sg-"):
        text = f"Invalid value '{ask.get('GroupName')}' for groupName. Group names may not be in the format sg-*."
        raise Refusal("InvalidParameterValue", text)


def _is_same_rule(one: Any, other: Any) -> bool:
    """Compare two rules as AWS does: a description is no part of a rule's identity. EC2 API, IpPermission."""
    return _identity(one) == _identity(other)


def _identity(rule: Any) -> tuple[Any, ...]:
    blocks = (rule.ip_range.get(kind) for kind in ("CidrIp", "CidrIpv6"))
    peers = (*blocks, rule.source_group.get("GroupId"), rule.prefix_list_id)
    return (rule.ip_protocol, rule.from_port, rule.to_port, *peers)


# moto revokes, describes anew and refuses as duplicate the rule that equals the one it is given.
SecurityGroupRule.__eq__ = _is_same_rule  # type: ignore[method-assign]


@rules.before("DeleteSecurityGroup")
def a_group_in_use_stays(ask: Ask) -> None:
    """CannotDelete for a default group, DependencyViolation while an interface, a cluster or a rule refers to it."""
    group = ask.ec2.get_security_group_from_id(ask.get("GroupId"))
    if group is None:
        return
    if group.name == "default":
        text = f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
        raise Refusal("CannotDelete", text)
    if any(_users(ask, group.id)):
        raise Refusal("DependencyViolation", f"resource {group.id} has a dependent object")


def _users(ask: Ask, group_id: str) -> Iterator[bool]:
    for groups in ask.ec2.groups.values():
        for group in groups.values():
            if group.id != group_id:
                rules_of = (*group.ingress_rules, *group.egress_rules)
                yield any((rule.source_group or {}).get("GroupId") == group_id for rule in rules_of)
    yield from (any(group.id == group_id for group in eni._group_set) for eni in ask.ec2.enis.values())
    yield from (group_id in cluster.vpc_security_group_ids for cluster in ask.rds.clusters.values())


# Internet gateways. https://docs.aws.amazon.com/vpc/latest/userguide/delete-igw.html


@rules.before("AttachInternetGateway")
def a_vpc_has_one_internet_gateway(ask: Ask) -> None:
    """InvalidParameterValue for a second one."""
    vpc, gateway = ask.get("VpcId"), ask.get("InternetGatewayId")
    others = (each for each in ask.ec2.internet_gateways.values() if each.vpc and each.id != gateway)
    if any(other.vpc.id == vpc for other in others):
        raise Refusal("InvalidParameterValue", f"Network {vpc} already has an internet gateway attached")


@rules.after("AttachInternetGateway")
def routes_come_to_life_with_their_gateway(ask: Ask, reply: Reply) -> None:
    """A blackhole route is active again once its gateway is attached. VPC User Guide, "Route tables"."""
    for route in _routes_to(ask, ask.get("InternetGatewayId")):
        route.__class__ = Route


@rules.before("DetachInternetGateway")
def mapped_addresses_hold_the_gateway(ask: Ask) -> None:
    """DependencyViolation while an interface of the VPC has a public address, as a NAT gateway's."""
    vpc = ask.get("VpcId")
    if any(address.eni and address.eni.vpc_id == vpc for address in ask.ec2.addresses):
        text = "has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        raise Refusal("DependencyViolation", f"Network {vpc} {text}")


@rules.after("DetachInternetGateway")
def routes_to_a_detached_gateway_are_blackholes(ask: Ask, reply: Reply) -> None:
    """VPC User Guide, "Route tables": a route whose target is gone stays, as a blackhole."""
    blacken(ask, ask.get("InternetGatewayId"))


@rules.before("DeleteInternetGateway")
def an_attached_gateway_stays(ask: Ask) -> None:
    """DependencyViolation while it is attached; moto says so too, in other words."""
    gateway = ask.ec2.internet_gateways.get(ask.get("InternetGatewayId"))
    if gateway and gateway.vpc:
        raise _depended_on("internetGateway", gateway.id)


# Route tables. https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Route_Tables.html


class Blackhole(Route):
    """A route whose target is gone."""

    @property
    def state(self) -> str:
        return "blackhole"


def _routes_to(ask: Ask, target: str) -> Iterator[Any]:
    for table in ask.ec2.route_tables.values():
        for route in table.routes:
            if target in (route.gateway_id, route.nat_gateway_id):
                yield route


def blacken(ask: Ask, target: str) -> None:
    """Make blackholes of all routes to what is going."""
    for route in _routes_to(ask, target):
        route.__class__ = Blackhole


@rules.before("AssociateRouteTable")
def a_subnet_has_one_route_table(ask: Ask) -> None:
    """Resource.AlreadyAssociated for a second one; the same one again is answered as before."""
    table = ask.get("RouteTableId")
    for other in ask.ec2.route_tables.values():
        if other.id != table and ask.get("SubnetId") in other._associations.values():
            text = f"the specified association for route table {table} conflicts with an existing association"
            raise Refusal("Resource.AlreadyAssociated", text)


@rules.before("CreateRoute")
def a_route_needs_a_target(ask: Ask) -> None:
    """InvalidParameterValue for a gateway of another network, InvalidNatGatewayID.NotFound for no NAT gateway."""
    table, gateway, nat = (ask.get(name) for name in ("RouteTableId", "GatewayId", "NatGatewayId"))
    found = ask.ec2.internet_gateways.get(gateway)
    vpc = getattr(ask.ec2.route_tables.get(table), "vpc_id", None)
    if found and vpc and (not found.vpc or found.vpc.id != vpc):
        text = f"route table {table} and network gateway {gateway} belong to different networks"
        raise Refusal("InvalidParameterValue", text)
    if nat and not (nat in ask.ec2.nat_gateways and living(ask.ec2.nat_gateways[nat])):
        raise Refusal("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat}' does not exist")


@rules.after("ReplaceRoute")
def a_route_led_elsewhere_is_no_blackhole(ask: Ask, reply: Reply) -> None:
    """It is active again. VPC User Guide, "Route tables"."""
    for route in ask.ec2.route_tables[ask.get("RouteTableId")].routes:
        if route.destination_cidr_block == ask.get("DestinationCidrBlock"):
            route.__class__ = Route


@rules.before("DeleteRouteTable")
def the_main_table_stays(ask: Ask) -> None:
    """DependencyViolation for a main table and for one with associations."""
    table = ask.ec2.route_tables.get(ask.get("RouteTableId"))
    if table and (table.main_association_id or table._associations):
        raise _depended_on("routeTable", table.id)


@rules.after("DeleteRouteTable")
def endpoints_forget_a_deleted_table(ask: Ask, reply: Reply) -> None:
    """The endpoint can still be deleted; moto would look for the table."""
    for endpoint in ask.ec2.vpc_end_points.values():
        endpoint.route_table_ids = [each for each in endpoint.route_table_ids if each != ask.get("RouteTableId")]


# Network interfaces of AWS's own


@arrival("interface")
def an_interface_goes(ask: Ask, name: str, becomes: str) -> None:
    """It occupies its address, its subnet and its groups until then."""
    ask.ec2.enis.pop(name, None)


def occupy(ask: Ask, subnet: Any, group_ids: list[str]) -> Any:
    """Give a database its network interface, which AWS manages and which nobody else can remove."""
    eni = ask.ec2.create_network_interface(subnet, "", group_ids=group_ids, description="RDSNetworkInterface")
    eni.status, eni.requester_managed, eni.requester_id = "in-use", True, "amazon-rds"
    return eni
