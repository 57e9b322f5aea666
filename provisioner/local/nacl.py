"""What EC2 does with network ACLs and moto does not: their own rules, their numbers, and whose subnets hang on them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from provisioner.local import quotas
from provisioner.local.ec2 import rules
from provisioner.local.rules import Ask, Refusal, Reply

__all__ = ["rules"]

_LAST = 32766
_PORTED, _ICMP = ("6", "17"), ("1", "58")
_CHANGING = ("ReplaceNetworkAclEntry", "DeleteNetworkAclEntry")


@rules.before("CreateNetworkAcl")
def acls_of_a_vpc_are_limited(ask: Ask) -> None:
    """NetworkAclLimitExceeded for the 201st, the default one among them. VPC guide, "Amazon VPC quotas"."""
    quotas.check(ask, "acls", sum(acl.vpc_id == ask.get("VpcId") for acl in ask.ec2.network_acls.values()))


@rules.after("CreateNetworkAcl")
def a_new_acl_denies_everything(ask: Ask, reply: Reply) -> None:
    """Its only rules are AWS's own, which deny and which nobody changes. VPC guide, "Custom network ACLs"."""
    newest = list(ask.ec2.network_acls.values())[-1]
    for egress in (True, False):
        nothing: Any = None
        ask.ec2.create_network_acl_entry(
            newest.id, _LAST + 1, "-1", "deny", egress, "0.0.0.0/0", *[nothing] * 4, ipv6_cidr_block=None
        )


@rules.before("CreateNetworkAclEntry", *_CHANGING)
def the_numbers_of_rules_are_bounded(ask: Ask) -> None:
    """1 to 32766; the rules beyond are AWS's own. EC2 API, CreateNetworkAclEntry; the words are ours."""
    _acl(ask)
    if not 1 <= int(ask.get("RuleNumber")) <= _LAST:
        text = f"Value ({ask.get('RuleNumber')}) for parameter ruleNumber is invalid. It must be from 1 to {_LAST}."
        raise Refusal("InvalidParameterValue", text)


@rules.before(*_CHANGING)
def a_rule_has_to_be_there(ask: Ask) -> None:
    """InvalidNetworkAclEntry.NotFound for one that is not. EC2 API, "Error codes"; the words are ours."""
    if not any(_is_asked(ask, entry) for entry in _acl(ask).network_acl_entries):
        text = f"The network acl entry identified by {ask.get('RuleNumber')} does not exist."
        raise Refusal("InvalidNetworkAclEntry.NotFound", text)


@rules.before("CreateNetworkAclEntry", "ReplaceNetworkAclEntry")
def a_rule_says_its_ports(ask: Ask) -> None:
    """TCP and UDP have ports, ICMP a type and a code: MissingParameter; a CIDR block loses its host bits. EC2 API,
    CreateNetworkAclEntry."""
    protocol = ask.get("Protocol")
    missing = (protocol in _PORTED and not ask.get("PortRange.From")) or (
        protocol in _ICMP and not ask.get("Icmp.Type")
    )
    if missing:
        wanted = "portRange" if protocol in _PORTED else "icmpTypeCode"
        raise Refusal("MissingParameter", f"The request must contain the parameter {wanted}")
    if block := ask.get("CidrBlock"):
        try:
            ask.form["CidrBlock"] = str(IPv4Network(block, strict=False))
        except ValueError:
            text = f"Value ({block}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
            raise Refusal("InvalidParameterValue", text) from None


@rules.after("CreateNetworkAclEntry", "ReplaceNetworkAclEntry")
def a_rule_keeps_its_type_and_code(ask: Ask, reply: Reply) -> None:
    """Those of ICMP are told again; moto reads them under another name. EC2 API, NetworkAclEntry."""
    (entry,) = (each for each in _acl(ask).network_acl_entries if _is_asked(ask, each))
    if ask.get("Icmp.Type"):
        entry.icmp_type, entry.icmp_code = int(ask.get("Icmp.Type")), int(ask.get("Icmp.Code"))


@rules.before("CreateNetworkAclEntry")
def rules_of_an_acl_are_limited(ask: Ask) -> None:
    """NetworkAclEntryLimitExceeded for the 21st of a direction; AWS's own do not count. VPC guide, "Amazon VPC
    quotas"; that they do not count is assumed."""
    own = [entry for entry in _acl(ask).network_acl_entries if entry.rule_number <= _LAST]
    quotas.check(ask, "acl_rules", sum(entry.egress == ask.flag("Egress") for entry in own))


@rules.before("ReplaceNetworkAclAssociation")
def a_subnet_moves_within_its_network(ask: Ask) -> None:
    """InvalidAssociationID.NotFound for an association that is no more: each move makes another. InvalidParameterValue
    for an ACL of another VPC. EC2 API, ReplaceNetworkAclAssociation."""
    target, asked = _acl(ask), ask.get("AssociationId")
    holder = next((acl for acl in ask.ec2.network_acls.values() if asked in acl._associations), None)
    if holder is None:
        raise Refusal("InvalidAssociationID.NotFound", f"The association ID '{asked}' does not exist")
    if holder.vpc_id != target.vpc_id:
        text = f"network acl {target.id} and network acl association {asked} belong to different networks"
        raise Refusal("InvalidParameterValue", text)


@rules.before("DeleteNetworkAcl")
def a_default_acl_stays(ask: Ask) -> None:
    """InvalidParameterValue for the network's own. VPC guide, "Delete a network ACL"."""
    if _acl(ask).default:
        raise Refusal("InvalidParameterValue", f"cannot delete default network ACL {ask.get('NetworkAclId')}")


@rules.before("DescribeNetworkAcls")
def an_unknown_acl_is_said_so(ask: Ask) -> None:
    """InvalidNetworkAclID.NotFound; moto speaks of a route table."""
    for name in ask.many("NetworkAclId"):
        if name not in ask.ec2.network_acls:
            raise _unknown(name)


@rules.after("DeleteSubnet")
def a_subnet_leaves_its_acl(ask: Ask, reply: Reply) -> None:
    """The ACL may be deleted afterwards; moto keeps the association, and with it the ACL."""
    for acl in ask.ec2.network_acls.values():
        kept = {key: each for key, each in acl._associations.items() if each.subnet_id != ask.get("SubnetId")}
        acl._associations = kept


@rules.after("DeleteVpc")
def a_vpc_takes_its_default_acl_along(ask: Ask, reply: Reply) -> None:
    """VPC guide, "Delete your VPC"; moto keeps it for ever."""
    for name in [acl.id for acl in ask.ec2.network_acls.values() if acl.vpc_id == ask.get("VpcId")]:
        del ask.ec2.network_acls[name]


def _acl(ask: Ask) -> Any:
    name = ask.get("NetworkAclId")
    if name not in ask.ec2.network_acls:
        raise _unknown(name)
    return ask.ec2.network_acls[name]


def _unknown(name: str) -> Refusal:
    return Refusal("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{name}' does not exist")


def _is_asked(ask: Ask, entry: Any) -> bool:
    return bool(entry.rule_number == int(ask.get("RuleNumber")) and entry.egress == ask.flag("Egress"))
