"""What EC2 does with the endpoints of a VPC and moto does not.

https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
"""

from __future__ import annotations

from provisioner.local.ec2 import rules
from provisioner.local.lifecycle import arrival, begin, come_into_being
from provisioner.local.rules import Ask, Refusal, Reply

__all__ = ["rules"]


@rules.before("CreateVpcEndpoint")
def an_endpoint_is_a_gateway_unless_said(ask: Ask) -> None:
    """VpcEndpointType defaults to Gateway; a table that leads to the service already is RouteAlreadyExists."""
    ask.form.setdefault("VpcEndpointType", "Gateway")
    wanted, service = set(ask.many("RouteTableId")), ask.get("ServiceName")
    for table in wanted - set(ask.ec2.route_tables):
        raise Refusal("InvalidRouteTableId.NotFound", f"The routeTable ID '{table}' does not exist")
    for other in ask.ec2.vpc_end_points.values():
        if other.service_name == service and other.state != "deleted" and wanted & set(other.route_table_ids):
            table, prefixes = sorted(wanted & set(other.route_table_ids))[0], other.destination_prefix_list_id
            text = f"route table {table} already has a route with destination-prefix-list-id {prefixes}"
            raise Refusal("RouteAlreadyExists", text)


@rules.before("ModifyVpcEndpoint")
def an_endpoint_moves_its_routes(ask: Ask) -> None:
    """Adding and removing route tables adds and removes the routes. EC2 API, ModifyVpcEndpoint."""
    endpoint = ask.ec2.vpc_end_points.get(ask.get("VpcEndpointId"))
    prefixes = endpoint and endpoint.destination_prefix_list_id
    if not prefixes:
        return
    for table in ask.many("RemoveRouteTableId"):
        if table in endpoint.route_table_ids:
            ask.ec2.delete_route(table, prefixes)
    for table in ask.many("AddRouteTableId"):
        if table not in endpoint.route_table_ids:
            ask.ec2.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefixes)


@rules.after("CreateVpcEndpoint")
def an_endpoint_comes_up(ask: Ask, reply: Reply) -> Reply | None:
    """It is pending for a while; the interfaces of an interface endpoint are AWS's."""
    endpoint = list(ask.ec2.vpc_end_points.values())[-1]
    for name in endpoint.network_interface_ids:
        eni = ask.ec2.enis[name]
        eni.interface_type, eni.status, eni.requester_managed = "vpc_endpoint", "in-use", True
        eni.description = f"VPC Endpoint Interface {endpoint.id}"
    endpoint.state = "pending"
    return reply.told("available", "pending") if come_into_being(ask, "endpoint", endpoint.id) else None


@rules.before("DeleteVpcEndpoints")
def interfaces_of_an_endpoint_are_noted(ask: Ask) -> None:
    """One that is being deleted, or is, stays as it is."""
    found = (ask.ec2.vpc_end_points.get(name) for name in ask.many("VpcEndpointId"))
    leaving = ask.notes["leaving"] = [each for each in found if each and each.state not in ("deleting", "deleted")]
    ask.notes["interfaces"] = {
        name: ask.ec2.enis[name] for each in leaving for name in each.network_interface_ids if name in ask.ec2.enis
    }
    ask.notes["states"] = {each.id: each.state for each in ask.ec2.vpc_end_points.values()}


@rules.after("DeleteVpcEndpoints")
def an_endpoint_goes_down(ask: Ask, reply: Reply) -> None:
    """It is deleting for a while, its interfaces linger, and it is not listed for ever."""
    for name, state in ask.notes["states"].items():
        ask.ec2.vpc_end_points[name].state = state
    ask.ec2.enis.update(ask.notes["interfaces"])
    for endpoint in ask.notes["leaving"]:
        endpoint.state = "deleting"
        begin(ask, "endpoint deleting", endpoint.id, "deleted")


@arrival("endpoint")
def an_endpoint_changes(ask: Ask, name: str, becomes: str) -> None:
    """It comes up, is deleted, is forgotten."""
    endpoint = ask.ec2.vpc_end_points[name]
    endpoint.state = becomes
    if becomes == "gone":
        del ask.ec2.vpc_end_points[name]
    elif becomes == "deleted":
        begin(ask, "endpoint listed", name, "gone")
        for interface in endpoint.network_interface_ids:
            begin(ask, "interface lingering", interface, "gone")
