"""What every network step says for what it finds: pure, as golden text; no AWS, no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.kit import Ambiguous, Call, Live, Unknown, bind, bound
from steps.default_security_group import DefaultSecurityGroup
from steps.elastic_ip import ElasticIp
from steps.internet_gateway import InternetGateway
from steps.nat_gateway import NatGateway
from steps.order import as_wanted
from steps.permissions import NEWBORN, rules_of
from steps.route_table import RouteTable
from steps.security_group import SecurityGroup
from steps.security_rules import Rule, SecurityRules
from steps.subnet import Subnet
from steps.tags import born, found_tags, pairs
from steps.vpc import Vpc
from steps.vpc_endpoint import VpcEndpoint
from tests.cases import STACK, Case, Told, described, flat, golden, printed, question, tagged

NETWORK = Vpc(name="network", stack=STACK, cidr="10.0.0.0/16", tags={"team": "shop"})
SUBNET = Subnet(name="public-a", stack=STACK, vpc="vpc-1", cidr="10.0.0.0/24", zone="eu-west-1a", public=True)
INTERNET = InternetGateway(name="internet", stack=STACK, vpc="vpc-1")
ADDRESS = ElasticIp(name="nat-a-address", stack=STACK)
NAT = NatGateway(name="nat-a", stack=STACK, subnet="subnet-1", address="eipalloc-1", internet="igw-1")
PUBLIC = RouteTable(name="public", stack=STACK, vpc="vpc-1", subnets=("subnet-2", "subnet-1"), gateway="igw-1")
PRIVATE = RouteTable(name="private-a", stack=STACK, vpc="vpc-1", subnets=("subnet-3",), nat="nat-1")
S3 = "com.amazonaws.x.s3"
ENDPOINT = VpcEndpoint(name="s3", stack=STACK, vpc="vpc-1", service_name=S3, route_tables=("rtb-2", "rtb-1"))
APP = SecurityGroup(name="app", stack=STACK, vpc="vpc-1", description="What runs here", output="app_security_group_id")
TO_DATABASE = Rule("out", 5432, "sg-2", "database")
TO_ANYWHERE = Rule("out", 443, "0.0.0.0/0", "HTTPS")
FROM_WORLD = Rule("in", 22, "0.0.0.0/0")
APP_RULES = SecurityRules(name="app-rules", stack=STACK, group="sg-1", rules=(TO_ANYWHERE, TO_DATABASE))
DEFAULT_GROUP = DefaultSecurityGroup(name="default-group", stack=STACK, vpc="vpc-1")

ALL_OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
APP_FOUND = {
    "GroupId": "sg-1",
    "OwnerId": "123456789012",
    "VpcId": "vpc-1",
    "Description": "What runs here",
    "IpPermissions": [],
    "IpPermissionsEgress": [
        {
            "IpProtocol": "tcp",
            "FromPort": 5432,
            "ToPort": 5432,
            "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": "123456789012", "Description": "database"}],
        },
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "HTTPS"}],
        },
    ],
}
DEFAULT_FOUND = {"GroupId": "sg-9", "OwnerId": "123456789012", "VpcId": "vpc-1"}
ASKED_DEFAULT = question("ec2.describe_security_groups", vpc_id=["vpc-1"], group_name=["default"])


def attribute(name: str, value: bool) -> tuple[Call, dict[str, Any]]:
    asked = Call("ec2.describe_vpc_attribute", VpcId="vpc-1", Attribute=name)
    return asked, {f"E{name[1:]}": {"Value": value}}


def table(step: RouteTable, target: Mapping[str, str], **subnets: str) -> dict[str, Any]:
    """Describe a route table as AWS does: with the local route, an endpoint's and a peering's beside ours."""
    return tagged(
        step,
        RouteTableId="rtb-1",
        VpcId="vpc-1",
        Routes=[
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
            {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"},
            {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1", "State": "active"},
            *([{"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **target}] if target else []),
        ],
        Associations=[
            {"Main": True, "RouteTableAssociationId": "rtbassoc-0"},
            *(
                {
                    "SubnetId": subnet,
                    "RouteTableAssociationId": association,
                    "AssociationState": {"State": "associated"},
                }
                for subnet, association in ((key.replace("_", "-"), value) for key, value in subnets.items())
            ),
        ],
    )


CASES = [
    Case(
        NETWORK,
        Told(
            {"ec2.describe_vpcs": [tagged(NETWORK, VpcId="vpc-1", CidrBlock="10.0.0.0/16", State="available")]},
            dict([attribute("enableDnsSupport", True), attribute("enableDnsHostnames", True)]),
        ),
        absent="""
            ec2.create_vpc CidrBlock=10.0.0.0/16
            ec2.modify_vpc_attribute VpcId=<network> EnableDnsHostnames={"Value": true}
        """,
        teardown="ec2.delete_vpc VpcId=vpc-1",
        off={
            "support off": (
                {"dns_support": False},
                'ec2.modify_vpc_attribute VpcId=vpc-1 EnableDnsSupport={"Value": true}',
            ),
            "hostnames off": (
                {"dns_hostnames": False},
                'ec2.modify_vpc_attribute VpcId=vpc-1 EnableDnsHostnames={"Value": true}',
            ),
        },
    ),
    Case(
        SUBNET,
        described(
            SUBNET,
            SubnetId="subnet-1",
            VpcId="vpc-1",
            CidrBlock="10.0.0.0/24",
            AvailabilityZone="eu-west-1a",
            MapPublicIpOnLaunch=False,
            State="available",
        ),
        absent="ec2.create_subnet VpcId=vpc-1 CidrBlock=10.0.0.0/24 AvailabilityZone=eu-west-1a",
        teardown="ec2.delete_subnet SubnetId=subnet-1",
        off={
            "public IPs given": (
                {"public_ip_on_launch": True},
                'ec2.modify_subnet_attribute SubnetId=subnet-1 MapPublicIpOnLaunch={"Value": false}',
            ),
        },
    ),
    Case(
        INTERNET,
        described(INTERNET, InternetGatewayId="igw-1", Attachments=[{"VpcId": "vpc-1", "State": "available"}]),
        absent="""
            ec2.create_internet_gateway
            ec2.attach_internet_gateway InternetGatewayId=<internet> VpcId=vpc-1
        """,
        teardown="""
            ec2.detach_internet_gateway InternetGatewayId=igw-1 VpcId=vpc-1
            ec2.delete_internet_gateway InternetGatewayId=igw-1
        """,
        off={
            "detached": ({"vpc": ""}, "ec2.attach_internet_gateway InternetGatewayId=igw-1 VpcId=vpc-1"),
            "attached elsewhere": (
                {"vpc": "vpc-9"},
                """
                ec2.detach_internet_gateway InternetGatewayId=igw-1 VpcId=vpc-9
                ec2.attach_internet_gateway InternetGatewayId=igw-1 VpcId=vpc-1
                """,
            ),
        },
    ),
    Case(
        ADDRESS,
        described(ADDRESS, AllocationId="eipalloc-1"),
        absent="ec2.allocate_address Domain=vpc",
        teardown="ec2.release_address AllocationId=eipalloc-1",
    ),
    Case(
        NAT,
        described(
            NAT,
            NatGatewayId="nat-1",
            VpcId="vpc-1",
            SubnetId="subnet-1",
            NatGatewayAddresses=[
                {"AllocationId": "eipalloc-8", "IsPrimary": False},
                {"AllocationId": "eipalloc-1", "IsPrimary": True},
            ],
            State="available",
        ),
        absent="ec2.create_nat_gateway SubnetId=subnet-1 AllocationId=eipalloc-1",
        teardown="ec2.delete_nat_gateway NatGatewayId=nat-1",
    ),
    Case(
        PUBLIC,
        Told({PUBLIC.listing: [table(PUBLIC, {"GatewayId": "igw-1"}, subnet_1="rtbassoc-1", subnet_2="rtbassoc-2")]}),
        absent="""
            ec2.create_route_table VpcId=vpc-1
            ec2.create_route RouteTableId=<public> DestinationCidrBlock=0.0.0.0/0 GatewayId=igw-1
            & ec2.associate_route_table RouteTableId=<public> SubnetId=subnet-2
            & ec2.associate_route_table RouteTableId=<public> SubnetId=subnet-1
        """,
        teardown="""
            & ec2.disassociate_route_table AssociationId=rtbassoc-1
            & ec2.disassociate_route_table AssociationId=rtbassoc-2
            ec2.delete_route_table RouteTableId=rtb-1
        """,
        off={
            "no route": (
                {"gateway": None},
                "ec2.create_route RouteTableId=rtb-1 DestinationCidrBlock=0.0.0.0/0 GatewayId=igw-1",
            ),
            "blackhole": (
                {"gateway": "unusable", "nat": "unusable"},
                "ec2.replace_route RouteTableId=rtb-1 DestinationCidrBlock=0.0.0.0/0 GatewayId=igw-1",
            ),
            "one subnet loose": (
                {"subnets": ("subnet-1",), "associations": {"subnet-1": "rtbassoc-1"}},
                "& ec2.associate_route_table RouteTableId=rtb-1 SubnetId=subnet-2",
            ),
            "one subnet on another table": (
                {"subnets": ("subnet-1",), "elsewhere": {"subnet-2": "rtbassoc-7"}},
                "& ec2.replace_route_table_association AssociationId=rtbassoc-7 RouteTableId=rtb-1",
            ),
            "one subnet too many": (
                {"subnets": ("subnet-2", "subnet-1", "subnet-9"), "associations": {"subnet-9": "rtbassoc-9"}},
                "& ec2.disassociate_route_table AssociationId=rtbassoc-9",
            ),
        },
    ),
    Case(
        PRIVATE,
        Told({PRIVATE.listing: [table(PRIVATE, {"NatGatewayId": "nat-1"}, subnet_3="rtbassoc-3")]}),
        absent="""
            ec2.create_route_table VpcId=vpc-1
            ec2.create_route RouteTableId=<private-a> DestinationCidrBlock=0.0.0.0/0 NatGatewayId=nat-1
            & ec2.associate_route_table RouteTableId=<private-a> SubnetId=subnet-3
        """,
        teardown="""
            & ec2.disassociate_route_table AssociationId=rtbassoc-3
            ec2.delete_route_table RouteTableId=rtb-1
        """,
        off={
            "another NAT gateway": (
                {"nat": "nat-9"},
                "ec2.replace_route RouteTableId=rtb-1 DestinationCidrBlock=0.0.0.0/0 NatGatewayId=nat-1",
            ),
            "out through the internet gateway": (
                {"gateway": "igw-1", "nat": None},
                "ec2.replace_route RouteTableId=rtb-1 DestinationCidrBlock=0.0.0.0/0 NatGatewayId=nat-1",
            ),
        },
    ),
    Case(
        ENDPOINT,
        described(
            ENDPOINT,
            VpcEndpointId="vpce-1",
            VpcId="vpc-1",
            ServiceName=S3,
            RouteTableIds=["rtb-1", "rtb-2"],
            State="available",
        ),
        absent=f"ec2.create_vpc_endpoint VpcEndpointType=Gateway VpcId=vpc-1 ServiceName={S3} "
        'RouteTableIds=["rtb-2", "rtb-1"]',
        teardown='ec2.delete_vpc_endpoints VpcEndpointIds=["vpce-1"]',
        off={
            "a table missing": (
                {"route_tables": ("rtb-1",)},
                'ec2.modify_vpc_endpoint VpcEndpointId=vpce-1 AddRouteTableIds=["rtb-2"]',
            ),
            "another table": (
                {"route_tables": ("rtb-2", "rtb-9")},
                'ec2.modify_vpc_endpoint VpcEndpointId=vpce-1 AddRouteTableIds=["rtb-1"] RemoveRouteTableIds=["rtb-9"]',
            ),
        },
    ),
    Case(
        APP,
        described(APP, **APP_FOUND),
        absent="ec2.create_security_group GroupName=shop-dev-app Description=What runs here VpcId=vpc-1",
        teardown="ec2.delete_security_group GroupId=sg-1",
    ),
    Case(
        APP_RULES,
        described(APP, **APP_FOUND),
        absent="""
            & ec2.authorize_security_group_egress GroupId=sg-1
            - tcp 443 443 0.0.0.0/0 HTTPS
            - tcp 5432 5432 sg-2 database
            & ec2.revoke_security_group_egress GroupId=sg-1
            - -1 0.0.0.0/0
        """,
        teardown="""
            & ec2.revoke_security_group_egress GroupId=sg-1
            - tcp 443 443 0.0.0.0/0 HTTPS
            - tcp 5432 5432 sg-2 database
        """,
        off={
            "a rule missing": (
                {"rules": (TO_DATABASE,)},
                """
                & ec2.authorize_security_group_egress GroupId=sg-1
                - tcp 443 443 0.0.0.0/0 HTTPS
                """,
            ),
            "rules of a foreign hand": (
                {"rules": (TO_ANYWHERE, TO_DATABASE, FROM_WORLD, replace(TO_DATABASE, port=22))},
                """
                & ec2.revoke_security_group_ingress GroupId=sg-1
                - tcp 22 22 0.0.0.0/0
                & ec2.revoke_security_group_egress GroupId=sg-1
                - tcp 22 22 sg-2 database
                """,
            ),
            "another description": (
                {"rules": (replace(TO_ANYWHERE, description="any"), TO_DATABASE)},
                """
                & ec2.update_security_group_rule_descriptions_egress GroupId=sg-1
                - tcp 443 443 0.0.0.0/0 HTTPS
                """,
            ),
        },
    ),
    Case(
        DEFAULT_GROUP,
        Told(questions={ASKED_DEFAULT: [DEFAULT_FOUND]}),
        absent="""
            & ec2.revoke_security_group_ingress GroupId=<default-group>
            - -1 <default-group>
            & ec2.revoke_security_group_egress GroupId=<default-group>
            - -1 0.0.0.0/0
        """,
        teardown="",
        off={
            "all may leave": (
                {"rules": tuple(rules_of({"IpPermissionsEgress": [ALL_OUT]}))},
                """
                & ec2.revoke_security_group_egress GroupId=sg-9
                - -1 0.0.0.0/0
                """,
            ),
        },
    ),
]
BY_NAME = {case.step.name: case for case in CASES}


def rival(**more: Any) -> Told:
    found = {"VpcEndpointId": "vpce-9", "State": "available", "RouteTableIds": ["rtb-1"], "Tags": [], **more}
    return Told(questions={question(ENDPOINT.listing, vpc_id=["vpc-1"], service_name=[S3]): [found]})


def test_an_endpoint_of_others_with_routes_in_our_tables_is_foreign() -> None:
    live = ENDPOINT.observe(rival())
    assert live is not None
    assert live.id == "vpce-9"
    assert live.foreign.startswith("aws ec2 create-tags --resources vpce-9 --tags ")


@pytest.mark.parametrize(
    "harmless",
    [{"State": "deleting"}, {"RouteTableIds": ["rtb-9"]}, {"Tags": pairs(ENDPOINT)}],
    ids=["on its way out", "on other tables", "ours, not yet listed by its tags"],
)
def test_an_endpoint_that_is_not_in_the_way_is_not_seen(harmless: dict[str, Any]) -> None:
    assert ENDPOINT.observe(rival(**harmless)) is None


@pytest.mark.parametrize(
    ("name", "group"), [("app", "sg-1"), ("rules-of-app", "sg-1"), ("app-rules", replace(APP, name="other"))]
)
def test_rules_that_are_not_named_after_their_group_are_refused(name: str, group: Any) -> None:
    with pytest.raises(ValueError, match="named after their group"):
        replace(APP_RULES, name=name, group=group)


def inside(operation: str, *items: dict[str, Any]) -> tuple[Call, list[dict[str, Any]]]:
    return question(operation, vpc_id=["vpc-1"]), list(items)


def interface(name: str, subnet: str, about: str, kind: str = "interface") -> dict[str, Any]:
    told = {"Description": about, "InterfaceType": kind, "RequesterId": "lambda", "OwnerId": "123456789012"}
    return {"NetworkInterfaceId": name, "SubnetId": subnet, **told}


def test_what_others_have_put_into_the_network_is_named_together_and_nothing_of_ours() -> None:
    aws = Told(
        {NAT.listing: [tagged(NAT, NatGatewayId="nat-1")]},
        dict(
            [
                inside(
                    "ec2.describe_subnets",
                    tagged(SUBNET, SubnetId="subnet-1", CidrBlock="10.0.0.0/24"),
                    {"SubnetId": "subnet-9", "CidrBlock": "10.0.9.0/24"},
                ),
                inside(
                    "ec2.describe_security_groups",
                    {"GroupId": "sg-0", "GroupName": "default"},
                    tagged(APP, GroupId="sg-1", GroupName="shop-dev-app"),
                    {"GroupId": "sg-9", "GroupName": "by-hand"},
                ),
                inside(
                    "ec2.describe_network_interfaces",
                    interface("eni-1", "subnet-1", "Interface for NAT Gateway nat-1", "nat_gateway"),
                    interface("eni-2", "subnet-1", "RDSNetworkInterface"),
                    interface("eni-3", "subnet-gone", "of a subnet that is gone"),
                    interface("eni-6", "subnet-1", "Interface for NAT Gateway nat-9", "nat_gateway"),
                    interface("eni-7", "subnet-1", "AWS Lambda VPC ENI-web", "lambda"),
                    interface("eni-8", "subnet-1", "VPC Endpoint Interface vpce-9", "vpc_endpoint"),
                    interface("eni-9", "subnet-9", "RDSNetworkInterface"),
                ),
            ]
        ),
    )
    burdens = NETWORK.burdens(aws, Live("vpc-1"))
    assert [each.what.removesuffix(" is in vpc-1 and is not ours") for each in burdens.strangers] == [
        "subnet-9 (subnet 10.0.9.0/24)",
        "sg-9 (security group by-hand)",
        "eni-6 (nat gateway, Interface for NAT Gateway nat-9, of lambda)",
        "eni-7 (lambda, AWS Lambda VPC ENI-web, of lambda)",
        "eni-8 (vpc endpoint, VPC Endpoint Interface vpce-9, of lambda)",
        "eni-9 (network interface, RDSNetworkInterface, of lambda)",
    ]
    assert {each.where for each in burdens.strangers} == {"network"}
    remedy = "remove it, or have its owner do so, then run the same command again"
    assert {each.remedy for each in burdens.strangers} == {remedy}
    assert not burdens.protections


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("network", {"vpc_id": "vpc-1"}),
        ("public-a", {"public_subnet_ids": ("subnet-1",)}),
        ("app", {"app_security_group_id": "sg-1"}),
        ("internet", {}),
    ],
)
def test_outputs_are_told(name: str, outputs: Mapping[str, Any]) -> None:
    case = BY_NAME[name]
    assert case.step.outputs(case.found()) == outputs


def test_a_private_subnet_is_listed_among_the_private_ones() -> None:
    assert replace(SUBNET, public=False).outputs(Live("subnet-1")) == {"private_subnet_ids": ("subnet-1",)}


def test_a_security_group_without_an_output_tells_none() -> None:
    assert replace(APP, output="").outputs(Live("sg-1")) == {}


@pytest.mark.parametrize(
    ("name", "state", "busy", "broken"),
    [
        ("network", {"State": "pending"}, "pending", ""),
        ("public-a", {"State": "pending"}, "pending", ""),
        ("public-a", {"State": "failed-insufficient-capacity"}, "", "failed-insufficient-capacity"),
        ("nat-a", {"State": "pending"}, "pending", ""),
        ("nat-a", {"State": "deleting"}, "deleting", ""),
        ("nat-a", {"State": "failed", "FailureMessage": "no free IP", "NatGatewayAddresses": []}, "", "no free IP"),
        ("nat-a", {"State": "failed", "NatGatewayAddresses": [{}]}, "", "failed"),
        ("s3", {"State": "Pending"}, "pending", ""),
        ("s3", {"State": "deleting"}, "deleting", ""),
        ("s3", {"State": "Failed", "LastError": {"Message": "no such route"}}, "", "no such route"),
        ("s3", {"State": "rejected"}, "", "rejected"),
    ],
)
def test_aws_states_are_read(name: str, state: Mapping[str, Any], busy: str, broken: str) -> None:
    case = BY_NAME[name]
    ((listing, (item,)),) = case.aws.listings.items()
    live = case.step.observe(replace(case.aws, listings={listing: [{**item, **state}]}))
    assert live is not None
    assert (live.busy, live.broken) == (busy, broken)
    assert case.step.differences(live) == frozenset()


@pytest.mark.parametrize(("name", "state"), [("nat-a", "deleted"), ("s3", "deleted"), ("s3", "Deleted")])
def test_what_is_in_a_final_state_is_gone(name: str, state: str) -> None:
    case = BY_NAME[name]
    ((listing, (item,)),) = case.aws.listings.items()
    assert case.step.observe(Told({listing: [{**item, "State": state}]})) is None


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("network", {"cidr"}),
        ("public-a", {"vpc", "cidr", "zone"}),
        ("nat-a", {"subnet", "address"}),
        ("public", {"vpc"}),
        ("s3", {"vpc", "service_name"}),
        ("app", {"vpc", "description"}),
    ],
)
def test_what_aws_cannot_change_is_seen_and_never_called_for(name: str, fixed: set[str]) -> None:
    case = BY_NAME[name]
    changed: dict[str, Any] = dict.fromkeys(fixed, "other")
    other = replace(case.step, **changed)
    assert other.differences(case.found()) == fixed == other.fixed
    assert printed(other.provision(case.found())) == ""


def test_a_vpc_that_vanished_between_two_reads_raises_nothing() -> None:
    live = NETWORK.observe(replace(BY_NAME["network"].aws, questions={}))
    assert live is not None
    assert live.facts["dns_support"] is False


def test_a_nat_gateway_names_the_internet_gateway_it_has_to_go_before() -> None:
    (item,) = BY_NAME["nat-a"].aws.listings[NAT.listing]
    gateways = [
        tagged(INTERNET, InternetGatewayId="igw-9", Attachments=[{"VpcId": "vpc-9"}]),
        tagged(INTERNET, InternetGatewayId="igw-1", Attachments=[{"VpcId": "vpc-1"}]),
    ]
    live = NAT.observe(Told({NAT.listing: [item], INTERNET.listing: gateways}))
    assert live is not None
    assert live.facts["internet"] == "igw-1"


def test_a_gateway_on_its_way_off_is_attached_to_nothing() -> None:
    item = tagged(INTERNET, InternetGatewayId="igw-1", Attachments=[{"VpcId": "vpc-1", "State": "detaching"}])
    live = INTERNET.observe(Told({INTERNET.listing: [item]}))
    assert live is not None
    assert live.facts["vpc"] == ""
    assert printed(INTERNET.teardown(live)) == "ec2.delete_internet_gateway InternetGatewayId=igw-1"


@pytest.mark.parametrize(
    ("target", "ways"),
    [
        ({}, (None, None)),
        ({"GatewayId": "igw-1"}, ("igw-1", None)),
        ({"NatGatewayId": "nat-1"}, (None, "nat-1")),
        ({"NatGatewayId": "nat-1", "State": "blackhole"}, ("unusable", "unusable")),
        ({"TransitGatewayId": "tgw-1"}, ("unusable", "unusable")),
    ],
)
def test_the_way_out_is_read_from_the_route_to_everywhere(
    target: Mapping[str, str], ways: tuple[str | None, str | None]
) -> None:
    live = PRIVATE.observe(Told({PRIVATE.listing: [table(PRIVATE, target, subnet_3="rtbassoc-3")]}))
    assert live is not None
    assert (live.facts["gateway"], live.facts["nat"]) == ways


def test_a_table_without_a_way_out_loses_the_route_somebody_added() -> None:
    inner = replace(PRIVATE, nat=None)
    live = inner.observe(BY_NAME["private-a"].aws)
    assert printed(inner.provision(live)) == "ec2.delete_route RouteTableId=rtb-1 DestinationCidrBlock=0.0.0.0/0"


def test_a_table_without_a_way_out_is_created_without_a_route() -> None:
    assert printed(replace(PRIVATE, nat=None).provision(None)) == golden("""
        ec2.create_route_table VpcId=vpc-1
        & ec2.associate_route_table RouteTableId=<private-a> SubnetId=subnet-3
    """)


def test_a_subnet_that_hangs_on_a_foreign_table_is_found_there() -> None:
    asked = Call(PUBLIC.listing, Filters=[{"Name": "association.subnet-id", "Values": ["subnet-2"]}])
    foreign = {**table(PRIVATE, {}, subnet_2="rtbassoc-7", subnet_8="rtbassoc-8"), "RouteTableId": "rtb-7"}
    own = table(PUBLIC, {"GatewayId": "igw-1"}, subnet_1="rtbassoc-1")
    live = PUBLIC.observe(Told({PUBLIC.listing: [own]}, {asked: [foreign]}))
    assert live is not None
    assert live.facts["elsewhere"] == {"subnet-2": "rtbassoc-7"}


def test_an_association_that_one_read_shows_and_another_not_yet_is_not_elsewhere() -> None:
    asked = Call(PRIVATE.listing, Filters=[{"Name": "association.subnet-id", "Values": ["subnet-3"]}])
    stale, fresh = table(PRIVATE, {}), table(PRIVATE, {}, subnet_3="rtbassoc-3")
    live = PRIVATE.observe(Told({PRIVATE.listing: [stale]}, {asked: [fresh]}))
    assert live is not None
    assert live.facts["elsewhere"] == {}


def test_an_association_on_its_way_off_is_none() -> None:
    own = table(PRIVATE, {"NatGatewayId": "nat-1"}, subnet_3="rtbassoc-3")
    own["Associations"][1]["AssociationState"] = {"State": "disassociating"}
    live = PRIVATE.observe(Told({PRIVATE.listing: [own]}))
    assert live is not None
    assert live.facts["subnets"] == ()
    assert printed(PRIVATE.teardown(live)) == "ec2.delete_route_table RouteTableId=rtb-1"


def test_a_group_with_our_name_without_our_tags_is_foreign() -> None:
    asked = question("ec2.describe_security_groups", vpc_id=["vpc-1"], group_name=["shop-dev-app"])
    live = APP.observe(Told(questions={asked: [{"GroupId": "sg-7", "VpcId": "vpc-1"}]}))
    assert live is not None
    assert live.id == "sg-7"
    assert live.foreign.startswith('aws ec2 create-tags --resources sg-7 --tags \'[{"Key": "Name"')


def test_a_group_exists_twice_is_named_not_chosen_from() -> None:
    twice = Told({APP.listing: [tagged(APP, **APP_FOUND), tagged(APP, **{**APP_FOUND, "GroupId": "sg-8"})]})
    with pytest.raises(Ambiguous):
        APP_RULES.observe(twice)


def test_rules_go_with_their_group() -> None:
    assert SecurityRules.attendant
    assert DefaultSecurityGroup.attendant


def test_rules_of_every_group_of_ours_are_survivors() -> None:
    assert list(SecurityRules.survivors(BY_NAME["app"].aws, STACK)) == ["app-rules"]


def test_a_rule_wished_for_twice_is_satisfied_once() -> None:
    twice = replace(APP_RULES, rules=(*APP_RULES.rules, TO_ANYWHERE))
    assert list(twice.provision(BY_NAME["app-rules"].found())) == []


def test_no_rules_left_need_no_revocation() -> None:
    assert list(APP_RULES.teardown(Live("sg-1", {"rules": ()}))) == []


def test_one_entry_of_aws_holds_many_rules() -> None:
    entry = {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 81,
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inner"}, {"CidrIp": "0.0.0.0/0"}],
        "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
        "PrefixListIds": [{"PrefixListId": "pl-1"}],
        "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": "1"}, {"GroupId": "sg-3", "UserId": "2"}],
    }
    group = {"OwnerId": "1", "IpPermissions": [entry], "IpPermissionsEgress": [ALL_OUT]}
    assert set(rules_of(group)) == {
        Rule("in", 80, "10.0.0.0/8", "inner", to_port=81),
        Rule("in", 80, "0.0.0.0/0", to_port=81),
        Rule("in", 80, "::/0", to_port=81),
        Rule("in", 80, "pl-1", to_port=81),
        Rule("in", 80, "sg-2", to_port=81),
        Rule("in", 80, "2/sg-3", to_port=81),
        Rule("out", None, "0.0.0.0/0", protocol="-1"),
    }


@pytest.mark.parametrize(
    ("rule", "entry"),
    [
        (
            Rule("in", 443, "10.0.0.0/8", "inner"),
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inner"}],
            },
        ),
        (Rule("in", None, "::/0", protocol="-1"), {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}),
        (
            Rule("in", 8, "pl-1", protocol="icmp", to_port=-1),
            {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "PrefixListIds": [{"PrefixListId": "pl-1"}]},
        ),
        (
            Rule("in", 0, "2/sg-3", to_port=9),
            {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 9, "UserIdGroupPairs": [{"GroupId": "sg-3", "UserId": "2"}]},
        ),
        (
            Rule("in", 1, Unknown("database")),
            {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": Unknown("database")}]},
        ),
    ],
)
def test_a_rule_is_written_as_aws_takes_it(rule: Rule, entry: Mapping[str, Any]) -> None:
    (call,) = flat(replace(APP_RULES, rules=(rule,)).provision(Live("sg-1", {"rules": ()})))
    assert call == Call("ec2.authorize_security_group_ingress", GroupId="sg-1", IpPermissions=[entry])


def test_a_foreign_rule_is_revoked_as_it_was_found() -> None:
    odd = Rule("out", 8, "::/0", "ping", protocol="icmpv6", to_port=0)
    (call,) = flat(APP_RULES.teardown(Live("sg-1", {"rules": (odd,)})))
    entry = {"FromPort": 8, "ToPort": 0, "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "ping"}]}
    assert call.params["IpPermissions"] == [{"IpProtocol": "icmpv6", **entry}]


def test_two_groups_may_name_each_other() -> None:
    app = SecurityGroup(name="app", stack=STACK, vpc="vpc-1", description="a")
    database = SecurityGroup(name="database", stack=STACK, vpc="vpc-1", description="d")
    rules = SecurityRules(name="app-rules", stack=STACK, group=app, rules=(Rule("out", 5432, database),))
    (call, _) = flat(bind(rules, {"app": "sg-1"}).provision(None))
    assert call.unknowns == {"database"}
    assert bound(call.params, {"database": "sg-2"})["IpPermissions"][0]["UserIdGroupPairs"] == [{"GroupId": "sg-2"}]


def test_tags_others_added_are_none_of_ours() -> None:
    item = {"Tags": [*pairs(NETWORK), {"Key": "aws:cloudformation:stack-name", "Value": "x"}]}
    assert found_tags(NETWORK, item) == NETWORK.labels


def test_tags_are_written_in_the_order_of_their_keys() -> None:
    (specification,) = born("vpc", NETWORK)
    keys = [tag["Key"] for tag in specification["Tags"]]
    assert specification["ResourceType"] == "vpc"
    assert keys == sorted(NETWORK.labels)


def test_members_found_in_another_order_are_the_same() -> None:
    assert as_wanted(("b", "a"), {"a", "b"}) == ("b", "a")
    assert as_wanted(("b",), ["z", "c", "b"]) == ("b", "c", "z")
    assert as_wanted(Unknown("subnets"), {"b", "a"}) == ("a", "b")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (NEWBORN, "everything to 0.0.0.0/0"),
        (Rule("in", 5432, "sg-1", "PostgreSQL"), "tcp 5432 from sg-1 (PostgreSQL)"),
        (Rule("out", 1, "10.0.0.0/8", to_port=9), "tcp 1-9 to 10.0.0.0/8"),
    ],
)
def test_a_rule_is_told_in_words(rule: Rule, told: str) -> None:
    assert str(rule) == told
