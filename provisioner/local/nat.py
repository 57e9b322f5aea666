"""What EC2 does with NAT gateways and their addresses and moto does not.

https://docs.aws.amazon.com/vpc/latest/userguide/vpc-nat-gateway.html
"""

from __future__ import annotations

from typing import Any

from moto.ec2.utils import generic_filter

from provisioner.local.ec2 import blacken, nats, rules
from provisioner.local.lifecycle import arrival, begin, come_into_being
from provisioner.local.rules import Ask, Refusal, Reply

__all__ = ["rules"]


@rules.before("CreateNatGateway")
def a_nat_gateway_needs_a_free_address(ask: Ask) -> None:
    """InvalidAllocationID.NotFound for no address; one in use is refused here (in AWS the gateway fails later)."""
    wanted = ask.get("AllocationId")
    address = next((each for each in ask.ec2.addresses if each.allocation_id == wanted), None)
    if wanted and address is None:
        raise Refusal("InvalidAllocationID.NotFound", f"The allocation ID '{wanted}' does not exist")
    if address is not None and address.association_id:
        text = f"Elastic IP address [{wanted}] is already associated"
        raise Refusal("Resource.AlreadyAssociated", text)


@rules.after("CreateNatGateway")
def a_nat_gateway_keeps_an_interface(ask: Ask, reply: Reply) -> Reply | None:
    """Its interface is AWS's, in use and in no group. EC2 User Guide, "Requester-managed network interfaces"."""
    nat = nats(ask)[-1]
    nat._eni.interface_type, nat._eni.status, nat._eni.requester_managed = "nat_gateway", "in-use", True
    nat._eni.description, nat._eni._group_set = f"Interface for NAT Gateway {nat.id}", []
    nat.state = "pending"
    return reply.told("available", "pending") if come_into_being(ask, "nat", nat.id) else None


@arrival("nat")
def a_nat_gateway_changes(ask: Ask, name: str, becomes: str) -> None:
    """It comes up or fails, lets go of what it has once it is deleted, and is not listed for ever."""
    nat = ask.ec2.nat_gateways[name]
    attached = any(each.vpc and each.vpc.id == nat.vpc_id for each in ask.ec2.internet_gateways.values())
    if becomes == "available" and not attached:
        _fail(nat, "Gateway.NotAttached", f"Network {nat.vpc_id} has no Internet gateway attached")
    elif becomes == "failed":
        _fail(nat, "InternalError", "Gateway failed because of an internal error")
    elif becomes == "gone":
        del ask.ec2.nat_gateways[name]
        return
    else:
        nat.state = becomes
    if nat.state != "available":
        _let_go(ask, nat)
        begin(ask, "nat listed", name, "gone")


def _fail(nat: Any, code: str, message: str) -> None:
    nat.state, nat.failure_code, nat.failure_message = "failed", code, message


@rules.before("DescribeNatGateways")
def nat_gateways_are_found_by_tags(ask: Ask) -> None:
    """Tag filters work, an unknown id is NatGatewayNotFound; moto ignores both. EC2 API, DescribeNatGateways."""
    for name in ask.many("NatGatewayId"):
        _nat(ask, name)
    tags = {name: value for name, value in _filters(ask).items() if name.startswith("tag")}
    if tags:
        found = [nat.id for nat in generic_filter(tags, nats(ask))]
        number = len(_filters(ask)) + 1
        ask.form[f"Filter.{number}.Name"] = "nat-gateway-id"
        ask.form |= {f"Filter.{number}.Value.{n}": name for n, name in enumerate(found or ["none"], 1)}


@rules.before("DeleteNatGateway")
def an_unknown_nat_gateway_is_said_so(ask: Ask) -> None:
    """NatGatewayNotFound."""
    ask.notes["state"] = _nat(ask, ask.get("NatGatewayId")).state


@rules.after("DeleteNatGateway")
def a_deleted_nat_gateway_lets_go(ask: Ask, reply: Reply) -> None:
    """Routes to it are blackholes; address and interface become free once it is deleted, not when it is asked to."""
    nat, had = _nat(ask, ask.get("NatGatewayId")), ask.notes["state"]
    nat.state = had
    if had not in ("deleting", "deleted"):
        nat.state = "deleting"
        blacken(ask, nat.id)
        begin(ask, "nat deleting", nat.id, "deleted")


def _nat(ask: Ask, name: str) -> Any:
    if name not in ask.ec2.nat_gateways:
        raise Refusal("NatGatewayNotFound", f"The Nat Gateway {name} was not found")
    return ask.ec2.nat_gateways[name]


def _let_go(ask: Ask, nat: Any) -> None:
    for address in ask.ec2.addresses:
        if address.eni is nat._eni:
            address.eni = address.association_id = None
    begin(ask, "interface lingering", nat._eni.id, "gone")


def _filters(ask: Ask) -> dict[str, list[str]]:
    names = {key: value for key, value in ask.form.items() if key.startswith("Filter.") and key.endswith(".Name")}
    return {name: ask.many(f"{key[:-5]}.Value") for key, name in names.items()}


@rules.before("ReleaseAddress")
def an_address_in_use_stays(ask: Ask) -> None:
    """AuthFailure while a NAT gateway has it (github.com/kubernetes/kops/issues/938), else InvalidIPAddress.InUse."""
    for address in ask.ec2.addresses:
        if address.allocation_id == ask.get("AllocationId") and address.association_id:
            if address.eni and address.eni.interface_type == "nat_gateway":
                raise Refusal("AuthFailure", "You do not have permission to access the specified resource.")
            raise Refusal("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
