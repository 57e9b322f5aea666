"""The embedded cloud answers as AWS does where moto does not: refusals, defaults, tokens, shapes of errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner.kit import same
from provisioner.local import offerings, wire
from provisioner.local.cloud import Cloud

AURORA = {"Engine": "aurora-postgresql", "MasterUsername": "provisioner", "ManageMasterUserPassword": True}
NO_NAT, NO_SUBNET, NO_GROUP, NO_VPC = (f"{kind}-0123456789abcdef0" for kind in ("nat", "subnet", "sg", "vpc"))

_CLOUD = Cloud()
_CLIENTS: dict[tuple[str, str], Any] = {}


class Account:
    """Clients of the cloud, and a network with a database in it, built as far as a test asks for it."""

    def __init__(self, region: str = "us-east-1") -> None:
        self.region = region

    def client(self, service: str) -> Any:
        key = (service, self.region)
        if key not in _CLIENTS:
            session: Any = wire.isolated_session(self.region)
            _CLIENTS[key] = wire.plug(session.client(service, **wire.client_options()), _CLOUD)
        return _CLIENTS[key]

    ec2 = property(lambda self: self.client("ec2"))
    rds = property(lambda self: self.client("rds"))
    s3 = property(lambda self: self.client("s3"))

    def vpc(self, cidr: str = "10.0.0.0/16") -> str:
        return str(self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"])

    def subnet(self, vpc: str, zone: str = "a", third: int = 0) -> str:
        made = self.ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{third}.0/24", AvailabilityZone=f"{self.region}{zone}"
        )
        return str(made["Subnet"]["SubnetId"])

    def group(self, vpc: str, name: str = "app") -> str:
        return str(self.ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"])

    def default_group(self, vpc: str) -> dict[str, Any]:
        filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
        [found] = self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return dict(found)

    def internet(self, vpc: str) -> str:
        gateway = str(self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        self.ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        return gateway

    def table(self, vpc: str) -> str:
        return str(self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])

    def main_table(self, vpc: str) -> str:
        [table] = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        return str(table["RouteTableId"])

    def address(self) -> str:
        return str(self.ec2.allocate_address(Domain="vpc")["AllocationId"])

    def nat(self, subnet: str, address: str = "", **more: Any) -> str:
        made = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address or self.address(), **more)
        return str(made["NatGateway"]["NatGatewayId"])

    def network(self) -> tuple[str, str, str]:
        """Give a VPC with an internet gateway and a NAT gateway in its subnet."""
        vpc = self.vpc()
        self.internet(vpc)
        subnet = self.subnet(vpc)
        return vpc, subnet, self.nat(subnet)

    def subnet_group(self, name: str = "data") -> list[str]:
        vpc = self.vpc()
        subnets = [self.subnet(vpc, zone, third) for third, zone in enumerate("ab")]
        self.rds.create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription=name, SubnetIds=subnets)
        return subnets

    def vpc_of(self, subnet: str) -> str:
        return str(self.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"])

    def parameters(self, family: str = "aurora-postgresql16", name: str = "tuned") -> None:
        self.rds.create_db_cluster_parameter_group(
            DBClusterParameterGroupName=name, DBParameterGroupFamily=family, Description=name
        )

    def cluster(self, name: str = "db", least: float = 0, most: float = 4, **more: Any) -> dict[str, Any]:
        scaling = {"MinCapacity": least, "MaxCapacity": most, **more.pop("pause", {})}
        made = self.rds.create_db_cluster(
            DBClusterIdentifier=name, **{**AURORA, "ServerlessV2ScalingConfiguration": scaling, **more}
        )
        return dict(made["DBCluster"])

    def bare_cluster(self, name: str = "db") -> None:
        self.rds.create_db_cluster(DBClusterIdentifier=name, **AURORA)

    def instance(self, name: str = "db-1", cluster: str = "db", **more: Any) -> dict[str, Any]:
        wanted = {"DBInstanceClass": "db.serverless", "Engine": "aurora-postgresql", **more}
        made = self.rds.create_db_instance(DBInstanceIdentifier=name, DBClusterIdentifier=cluster, **wanted)
        return dict(made["DBInstance"])

    def stopped(self) -> None:
        """Make a cluster with an instance and stop it."""
        self.cluster()
        self.instance()
        self.rds.stop_db_cluster(DBClusterIdentifier="db")

    def found_instance(self, name: str = "db-1") -> dict[str, Any]:
        return dict(self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0])

    def permissions(self, group: str) -> list[dict[str, Any]]:
        return list(self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"])

    def found_cluster(self, name: str = "db") -> dict[str, Any]:
        return dict(self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0])

    def bucket(self, name: str = "a-bucket", **more: Any) -> None:
        self.s3.create_bucket(Bucket=name, **more)


@pytest.fixture
def aws() -> Account:
    _CLOUD.reset()
    return Account()


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error.get("Message", "")


def scenario(code: str, text: str = "") -> Callable[[Callable[[Account], Any]], Callable[[Account], Any]]:
    """Enter a function whose last call AWS refuses with this code and these words."""

    def enter(last: Callable[[Account], Any]) -> Callable[[Account], Any]:
        REFUSALS.append(pytest.param(last, code, text, id=last.__name__))
        return last

    return enter


REFUSALS: list[Any] = []


@scenario("DependencyViolation", "The vpc 'vpc-")
def vpc_with_a_subnet(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.subnet(vpc)
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation", "has dependencies and cannot be deleted.")
def vpc_with_a_security_group(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.group(vpc)
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation")
def vpc_with_an_internet_gateway(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.internet(vpc)
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation")
def vpc_with_a_route_table(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.table(vpc)
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation")
def vpc_with_an_endpoint(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3")
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation")
def vpc_with_a_network_acl(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.ec2.create_network_acl(VpcId=vpc)
    return aws.ec2.delete_vpc(VpcId=vpc)


@scenario("DependencyViolation", "The subnet 'subnet-")
def subnet_with_a_nat_gateway(aws: Account) -> Any:
    return aws.ec2.delete_subnet(SubnetId=aws.network()[1])


@scenario("DependencyViolation")
def subnet_with_an_interface(aws: Account) -> Any:
    subnet = aws.subnet(aws.vpc())
    aws.ec2.create_network_interface(SubnetId=subnet)
    return aws.ec2.delete_subnet(SubnetId=subnet)


@scenario("DependencyViolation")
def subnet_with_a_database(aws: Account) -> Any:
    subnets = aws.subnet_group()
    aws.cluster(DBSubnetGroupName="data")
    return aws.ec2.delete_subnet(SubnetId=subnets[0])


@scenario("DependencyViolation", "has a dependent object")
def group_that_another_group_names(aws: Account) -> Any:
    vpc = aws.vpc()
    app, database = aws.group(vpc), aws.group(vpc, "database")
    pair = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": app}]}
    aws.ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[pair])
    return aws.ec2.delete_security_group(GroupId=app)


@scenario("DependencyViolation", "has a dependent object")
def group_of_a_cluster(aws: Account) -> Any:
    group = aws.group(aws.vpc_of(aws.subnet_group()[0]))
    aws.cluster(DBSubnetGroupName="data", VpcSecurityGroupIds=[group])
    return aws.ec2.delete_security_group(GroupId=group)


@scenario("DependencyViolation", "has a dependent object")
def group_of_an_interface(aws: Account) -> Any:
    vpc = aws.vpc()
    group = aws.group(vpc)
    aws.ec2.create_network_interface(SubnetId=aws.subnet(vpc), Groups=[group])
    return aws.ec2.delete_security_group(GroupId=group)


@scenario("InvalidPermission.Duplicate")
def rule_that_differs_in_its_description(aws: Account) -> Any:
    vpc = aws.vpc()
    group, peer = aws.group(vpc), aws.group(vpc, "database")
    aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_from_group(peer, "first")])
    return aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_from_group(peer, "second")])


@scenario("CannotDelete", "cannot be deleted by a user")
def default_group(aws: Account) -> Any:
    return aws.ec2.delete_security_group(GroupId=aws.default_group(aws.vpc())["GroupId"])


@scenario("InvalidVpcID.NotFound", "does not exist")
def group_in_no_vpc(aws: Account) -> Any:
    return aws.ec2.create_security_group(VpcId=NO_VPC, GroupName="app", Description="app")


@scenario("InvalidParameterValue", "reserved")
def group_named_default(aws: Account) -> Any:
    return aws.group(aws.vpc(), "default")


@scenario("DependencyViolation", "has some mapped public address(es)")
def internet_gateway_of_a_nat_gateway(aws: Account) -> Any:
    vpc, _, _ = aws.network()
    [gateway] = aws.ec2.describe_internet_gateways()["InternetGateways"]
    return aws.ec2.detach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway["InternetGatewayId"])


@scenario("DependencyViolation", "The internetGateway 'igw-")
def attached_internet_gateway(aws: Account) -> Any:
    return aws.ec2.delete_internet_gateway(InternetGatewayId=aws.internet(aws.vpc()))


@scenario("InvalidParameterValue", "already has an internet gateway attached")
def second_internet_gateway(aws: Account) -> Any:
    vpc = aws.vpc()
    aws.internet(vpc)
    return aws.internet(vpc)


@scenario("DependencyViolation", "The routeTable 'rtb-")
def main_route_table(aws: Account) -> Any:
    return aws.ec2.delete_route_table(RouteTableId=aws.main_table(aws.vpc()))


@scenario("DependencyViolation", "The routeTable 'rtb-")
def associated_route_table(aws: Account) -> Any:
    vpc = aws.vpc()
    table = aws.table(vpc)
    aws.ec2.associate_route_table(RouteTableId=table, SubnetId=aws.subnet(vpc))
    return aws.ec2.delete_route_table(RouteTableId=table)


@scenario("Resource.AlreadyAssociated", "conflicts with an existing association")
def subnet_with_another_route_table(aws: Account) -> Any:
    vpc = aws.vpc()
    subnet = aws.subnet(vpc)
    aws.ec2.associate_route_table(RouteTableId=aws.table(vpc), SubnetId=subnet)
    return aws.ec2.associate_route_table(RouteTableId=aws.table(vpc), SubnetId=subnet)


@scenario("InvalidParameterValue", "belong to different networks")
def route_to_a_gateway_elsewhere(aws: Account) -> Any:
    gateway, table = aws.internet(aws.vpc()), aws.table(aws.vpc("10.1.0.0/16"))
    return aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)


@scenario("InvalidNatGatewayID.NotFound")
def route_to_no_nat_gateway(aws: Account) -> Any:
    table = aws.table(aws.vpc())
    return aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=NO_NAT)


@scenario("RouteAlreadyExists")
def second_endpoint_on_a_table(aws: Account) -> Any:
    vpc = aws.vpc()
    wanted = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": [aws.table(vpc)]}
    aws.ec2.create_vpc_endpoint(**wanted)
    return aws.ec2.create_vpc_endpoint(**wanted)


@scenario("InvalidRouteTableId.NotFound")
def endpoint_on_no_table(aws: Account) -> Any:
    service = "com.amazonaws.us-east-1.s3"
    return aws.ec2.create_vpc_endpoint(VpcId=aws.vpc(), ServiceName=service, RouteTableIds=["rtb-0123456789abcdef0"])


@scenario("AuthFailure", "You do not have permission to access the specified resource.")
def address_of_a_nat_gateway(aws: Account) -> Any:
    aws.network()
    return aws.ec2.release_address(AllocationId=aws.ec2.describe_addresses()["Addresses"][0]["AllocationId"])


@scenario("InvalidIPAddress.InUse")
def address_of_an_interface(aws: Account) -> Any:
    address = aws.address()
    eni = aws.ec2.create_network_interface(SubnetId=aws.subnet(aws.vpc()))["NetworkInterface"]
    aws.ec2.associate_address(AllocationId=address, NetworkInterfaceId=eni["NetworkInterfaceId"])
    return aws.ec2.release_address(AllocationId=address)


@scenario("InvalidAllocationID.NotFound")
def nat_gateway_without_its_address(aws: Account) -> Any:
    return aws.nat(aws.subnet(aws.vpc()), "eipalloc-0123456789abcdef0")


@scenario("Resource.AlreadyAssociated")
def nat_gateway_with_an_address_in_use(aws: Account) -> Any:
    _, subnet, _ = aws.network()
    return aws.nat(subnet, aws.ec2.describe_addresses()["Addresses"][0]["AllocationId"])


@scenario("NatGatewayNotFound")
def deletion_of_no_nat_gateway(aws: Account) -> Any:
    return aws.ec2.delete_nat_gateway(NatGatewayId=NO_NAT)


@scenario("NatGatewayNotFound")
def look_at_no_nat_gateway(aws: Account) -> Any:
    return aws.ec2.describe_nat_gateways(NatGatewayIds=[NO_NAT])


@scenario("IdempotentParameterMismatch")
def token_of_another_request(aws: Account) -> Any:
    aws.ec2.create_route_table(VpcId=aws.vpc(), ClientToken="once")
    return aws.ec2.create_route_table(VpcId=aws.vpc("10.1.0.0/16"), ClientToken="once")


@scenario("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
def dry_run(aws: Account) -> Any:
    return aws.ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)


@scenario("InvalidParameterCombination", "Cannot find version 15.3 for aurora-postgresql")
def withdrawn_engine_version(aws: Account) -> Any:
    return aws.cluster(EngineVersion="15.3")


@scenario("InvalidParameterCombination", "Cannot find version 99.9 for aurora-postgresql")
def unknown_engine_version(aws: Account) -> Any:
    return aws.cluster(EngineVersion="99.9")


@scenario("DBClusterAlreadyExistsFault")
def second_cluster_of_a_name(aws: Account) -> Any:
    aws.cluster()
    return aws.cluster("DB")


@scenario("InvalidParameterValue", "Invalid database cluster identifier")
def cluster_of_a_bad_name(aws: Account) -> Any:
    return aws.cluster("1-db")


@scenario("InvalidParameterCombination", "MasterUserPassword")
def cluster_with_two_passwords(aws: Account) -> Any:
    return aws.cluster(MasterUserPassword="secret-secret")


@scenario("InvalidParameterValue", "reserved word")
def cluster_with_a_reserved_user(aws: Account) -> Any:
    return aws.cluster(MasterUsername="admin")


@scenario("InvalidParameterValue", "not a valid identifier")
def cluster_with_a_bad_user(aws: Account) -> Any:
    return aws.cluster(MasterUsername="1st")


@scenario("InvalidParameterValue", "retention period")
def cluster_without_backups(aws: Account) -> Any:
    return aws.cluster(BackupRetentionPeriod=0)


@scenario("InvalidParameterValue", "retention period")
def cluster_with_backups_too_long(aws: Account) -> Any:
    aws.cluster()
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", BackupRetentionPeriod=36)


@scenario("InvalidParameterValue", "port")
def cluster_on_a_low_port(aws: Account) -> Any:
    return aws.cluster(Port=80)


@scenario("DBSubnetGroupNotFoundFault")
def cluster_in_no_subnet_group(aws: Account) -> Any:
    return aws.cluster(DBSubnetGroupName="nowhere")


@scenario("InvalidParameterValue", "Invalid security group")
def cluster_in_no_security_group(aws: Account) -> Any:
    return aws.cluster(VpcSecurityGroupIds=[NO_GROUP])


@scenario("InvalidParameterCombination", "different VPCs")
def cluster_in_a_group_elsewhere(aws: Account) -> Any:
    aws.subnet_group()
    return aws.cluster(DBSubnetGroupName="data", VpcSecurityGroupIds=[aws.group(aws.vpc("10.1.0.0/16"))])


@scenario("DBClusterParameterGroupNotFound")
def cluster_with_no_parameter_group(aws: Account) -> Any:
    return aws.cluster(DBClusterParameterGroupName="untuned")


@scenario("InvalidParameterCombination", "aurora-postgresql17")
def cluster_with_parameters_of_another_major(aws: Account) -> Any:
    aws.parameters("aurora-postgresql16")
    return aws.cluster(EngineVersion="17.4", DBClusterParameterGroupName="tuned")


@scenario("KMSKeyNotAccessibleFault")
def cluster_with_no_key(aws: Account) -> Any:
    return aws.cluster(StorageEncrypted=True, KmsKeyId="11111111-2222-3333-4444-555555555555")


@scenario("InvalidParameterValue", "Both MinCapacity and MaxCapacity must be specified")
def cluster_with_half_a_range(aws: Account) -> Any:
    return aws.cluster(ServerlessV2ScalingConfiguration={"MaxCapacity": 4})


@scenario("InvalidParameterCombination", "minimum")
def cluster_with_a_range_upside_down(aws: Account) -> Any:
    return aws.cluster(least=8, most=4)


@scenario("InvalidParameterValue", "0.5")
def cluster_with_uneven_capacity(aws: Account) -> Any:
    return aws.cluster(least=0.3)


@scenario("InvalidParameterValue", "maximum")
def cluster_with_too_small_a_maximum(aws: Account) -> Any:
    return aws.cluster(most=0.5)


@scenario("InvalidParameterValue", "256")
def cluster_with_too_large_a_maximum(aws: Account) -> Any:
    return aws.cluster(most=999)


@scenario("InvalidParameterValue", "SecondsUntilAutoPause")
def cluster_with_too_short_a_pause(aws: Account) -> Any:
    return aws.cluster(pause={"SecondsUntilAutoPause": 10})


@scenario("DBClusterNotFoundFault")
def change_of_no_cluster(aws: Account) -> Any:
    return aws.rds.modify_db_cluster(DBClusterIdentifier="nope", DeletionProtection=False)


@scenario("InvalidParameterCombination", "Cannot upgrade")
def downgrade(aws: Account) -> Any:
    aws.cluster(EngineVersion="16.9")
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="16.8")


@scenario("InvalidParameterCombination", "Cannot find version 16.6 for aurora-postgresql")
def upgrade_to_a_withdrawn_version(aws: Account) -> Any:
    aws.cluster(EngineVersion="15.10")
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="16.6", AllowMajorVersionUpgrade=True)


@scenario("InvalidParameterCombination", "Cannot upgrade aurora-postgresql from 16.11 to 17.4")
def upgrade_to_an_older_release(aws: Account) -> Any:
    aws.cluster(EngineVersion="16.11")
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="17.4", AllowMajorVersionUpgrade=True)


@scenario("InvalidParameterCombination", "AllowMajorVersionUpgrade")
def major_upgrade_by_accident(aws: Account) -> Any:
    aws.cluster(EngineVersion="16.8")
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="17.4")


@scenario("InvalidParameterCombination", "tuned is custom. You must explicitly specify a new DB cluster")
def major_upgrade_with_the_old_parameters(aws: Account) -> Any:
    aws.parameters()
    aws.cluster(EngineVersion="16.8", DBClusterParameterGroupName="tuned")
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="17.4", AllowMajorVersionUpgrade=True)


@scenario("InvalidParameterCombination", "with DBParameterGroupFamily aurora-postgresql17")
def major_upgrade_with_parameters_of_another_major(aws: Account) -> Any:
    aws.parameters()
    aws.cluster(EngineVersion="16.8")
    return aws.rds.modify_db_cluster(
        DBClusterIdentifier="db",
        EngineVersion="17.4",
        AllowMajorVersionUpgrade=True,
        DBClusterParameterGroupName="tuned",
    )


@scenario("InvalidDBClusterStateFault", "is in stopped state")
def change_of_a_stopped_cluster(aws: Account) -> Any:
    aws.stopped()
    return aws.rds.modify_db_cluster(DBClusterIdentifier="db", DeletionProtection=True)


@scenario("InvalidDBClusterStateFault", "is in stopped state")
def instance_of_a_stopped_cluster(aws: Account) -> Any:
    aws.stopped()
    return aws.instance("db-2")


@scenario("InvalidDBInstanceState", "is in stopped state")
def change_of_a_stopped_instance(aws: Account) -> Any:
    aws.stopped()
    return aws.rds.modify_db_instance(DBInstanceIdentifier="db-1", PromotionTier=1)


@scenario("InvalidDBInstanceState", "is in stopped state")
def deletion_of_a_stopped_instance(aws: Account) -> Any:
    aws.stopped()
    return aws.rds.delete_db_instance(DBInstanceIdentifier="db-1", SkipFinalSnapshot=True)


@scenario("DBClusterNotFoundFault")
def deletion_of_no_cluster(aws: Account) -> Any:
    return aws.rds.delete_db_cluster(DBClusterIdentifier="nope", SkipFinalSnapshot=True)


@scenario("InvalidParameterCombination", "is required unless SkipFinalSnapshot")
def deletion_without_a_decision(aws: Account) -> Any:
    aws.cluster()
    return aws.rds.delete_db_cluster(DBClusterIdentifier="db")


@scenario("InvalidParameterCombination", "can not be specified")
def deletion_with_two_decisions(aws: Account) -> Any:
    aws.cluster()
    return aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True, FinalDBSnapshotIdentifier="last")


@scenario("InvalidParameterCombination", "protected")
def deletion_of_a_protected_cluster(aws: Account) -> Any:
    aws.cluster(DeletionProtection=True)
    return aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)


@scenario("InvalidDBClusterStateFault")
def deletion_of_a_cluster_with_an_instance(aws: Account) -> Any:
    aws.cluster()
    aws.instance()
    return aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)


@scenario("InvalidDBClusterStateFault", "Set the Serverless v2 scaling configuration")
def serverless_instance_without_a_range(aws: Account) -> Any:
    aws.bare_cluster()
    return aws.instance()


@scenario("DBClusterNotFoundFault")
def instance_of_no_cluster(aws: Account) -> Any:
    return aws.instance()


@scenario("InvalidParameterCombination", "DBClusterIdentifier is required")
def instance_alone(aws: Account) -> Any:
    return aws.rds.create_db_instance(
        DBInstanceIdentifier="i", DBInstanceClass="db.serverless", Engine="aurora-postgresql"
    )


@scenario("InvalidParameterCombination")
def instance_of_another_engine(aws: Account) -> Any:
    aws.cluster()
    return aws.instance(Engine="aurora-mysql")


@scenario("InvalidParameterCombination", "db.huge")
def instance_of_no_class(aws: Account) -> Any:
    aws.cluster()
    return aws.instance(DBInstanceClass="db.huge")


@scenario("InvalidParameterCombination", "does not match the engine version")
def instance_of_another_version(aws: Account) -> Any:
    aws.cluster(EngineVersion="16.8")
    return aws.instance(EngineVersion="16.6")


@scenario("DBInstanceAlreadyExists")
def second_instance_of_a_name(aws: Account) -> Any:
    aws.cluster()
    aws.instance()
    return aws.instance()


@scenario("DBInstanceNotFound")
def change_of_no_instance(aws: Account) -> Any:
    return aws.rds.modify_db_instance(DBInstanceIdentifier="nope", PromotionTier=1)


@scenario("InvalidParameterCombination", "FinalDBSnapshotIdentifier")
def final_snapshot_of_an_instance(aws: Account) -> Any:
    aws.cluster()
    aws.instance()
    return aws.rds.delete_db_instance(DBInstanceIdentifier="db-1", FinalDBSnapshotIdentifier="last")


@scenario("DBSubnetGroupAlreadyExists")
def second_subnet_group_of_a_name(aws: Account) -> Any:
    subnets = aws.subnet_group()
    return aws.rds.create_db_subnet_group(DBSubnetGroupName="Data", DBSubnetGroupDescription="again", SubnetIds=subnets)


@scenario("DBSubnetGroupDoesNotCoverEnoughAZs", "Current AZ coverage: us-east-1a.")
def subnet_group_in_one_zone(aws: Account) -> Any:
    vpc = aws.vpc()
    subnets = [aws.subnet(vpc, "a", third) for third in range(2)]
    return aws.rds.create_db_subnet_group(DBSubnetGroupName="g", DBSubnetGroupDescription="g", SubnetIds=subnets)


@scenario("InvalidSubnet", NO_SUBNET)
def subnet_group_of_no_subnet(aws: Account) -> Any:
    return aws.rds.create_db_subnet_group(DBSubnetGroupName="g", DBSubnetGroupDescription="g", SubnetIds=[NO_SUBNET])


@scenario("InvalidSubnet", "different VPCs")
def subnet_group_over_two_vpcs(aws: Account) -> Any:
    subnets = [aws.subnet(aws.vpc(), "a"), aws.subnet(aws.vpc(), "b")]
    return aws.rds.create_db_subnet_group(DBSubnetGroupName="g", DBSubnetGroupDescription="g", SubnetIds=subnets)


@scenario("InvalidDBSubnetGroupStateFault", "db is still using it")
def subnet_group_in_use(aws: Account) -> Any:
    aws.subnet_group()
    aws.cluster(DBSubnetGroupName="data")
    return aws.rds.delete_db_subnet_group(DBSubnetGroupName="data")


@scenario("InvalidDBSubnetGroupStateFault", "db-1 is still using it")
def subnet_group_of_an_instance(aws: Account) -> Any:
    aws.subnet_group()
    aws.cluster(DBSubnetGroupName="data")
    aws.instance()
    return aws.rds.delete_db_subnet_group(DBSubnetGroupName="data")


@scenario("DBSubnetGroupNotFoundFault")
def tags_of_no_subnet_group(aws: Account) -> Any:
    return aws.rds.list_tags_for_resource(ResourceName="arn:aws:rds:us-east-1:123456789012:subgrp:nope")


@scenario("DBSubnetGroupNotFoundFault")
def deletion_of_no_subnet_group(aws: Account) -> Any:
    return aws.rds.delete_db_subnet_group(DBSubnetGroupName="nope")


@scenario("InvalidParameterValue", "not a valid parameter group family")
def parameters_of_no_family(aws: Account) -> Any:
    return aws.parameters("aurora-postgresql99")


@scenario("InvalidDBParameterGroupState")
def parameters_in_use(aws: Account) -> Any:
    aws.parameters()
    aws.cluster(DBClusterParameterGroupName="tuned")
    return aws.rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName="tuned")


@scenario("InvalidDBParameterGroupState")
def default_parameters(aws: Account) -> Any:
    return aws.rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName="default.aurora-postgresql16")


@scenario("BucketAlreadyOwnedByYou")
def second_bucket_of_a_name(aws: Account) -> Any:
    abroad = Account("eu-west-1")
    where = {"LocationConstraint": "eu-west-1"}
    abroad.bucket(CreateBucketConfiguration=where)
    return abroad.bucket(CreateBucketConfiguration=where)


@scenario("AccessDenied", "BlockPublicPolicy")
def public_policy(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.put_bucket_policy(Bucket="a-bucket", Policy=_policy("a-bucket"))


@scenario("MalformedPolicy", "valid JSON")
def policy_that_is_no_json(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.put_bucket_policy(Bucket="a-bucket", Policy="{")


@scenario("MalformedPolicy", "Statement")
def policy_without_statements(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.put_bucket_policy(Bucket="a-bucket", Policy="{}")


@scenario("MalformedPolicy", "Principal")
def policy_about_nobody(aws: Account) -> Any:
    aws.bucket()
    statement = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::a-bucket"}
    return aws.s3.put_bucket_policy(Bucket="a-bucket", Policy=json.dumps({"Statement": [statement]}))


@scenario("MalformedPolicy", "invalid resource")
def policy_about_another_bucket(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.put_bucket_policy(Bucket="a-bucket", Policy=_policy("b-bucket"))


@scenario("AccessDenied")
def bucket_of_another_owner(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.get_bucket_versioning(Bucket="a-bucket", ExpectedBucketOwner="111122223333")


@scenario("403")
def head_of_a_bucket_of_another_owner(aws: Account) -> Any:
    aws.bucket()
    return aws.s3.head_bucket(Bucket="a-bucket", ExpectedBucketOwner="111122223333")


@scenario("NotImplemented", "rds DescribeAccountAttributes")
def query_operation_moto_lacks(aws: Account) -> Any:
    return aws.rds.describe_account_attributes()


@scenario("NotImplemented", "ec2 DescribeVpcs")
def ec2_filter_moto_lacks(aws: Account) -> Any:
    return aws.ec2.describe_vpcs(Filters=[{"Name": "nonsense", "Values": ["x"]}])


@scenario("NotImplemented", "pricing DescribeServices")
def json_service_moto_lacks(aws: Account) -> Any:
    return aws.client("pricing").describe_services(ServiceCode="AmazonRDS")


@scenario("NotImplemented", "access-analyzer /analyzer")
def rest_service_moto_lacks(aws: Account) -> Any:
    return aws.client("accessanalyzer").list_analyzers()


@scenario("InternalFailure", "rds PromoteReadReplicaDBCluster")
def operation_moto_crashes_on(aws: Account) -> Any:
    return aws.rds.promote_read_replica_db_cluster(DBClusterIdentifier="nope")


def _from_group(peer: str, description: str = "") -> dict[str, Any]:
    pair = {"GroupId": peer, **({"Description": description} if description else {})}
    return {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [pair]}


def _policy(bucket: str) -> str:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(("last", "code", "text"), REFUSALS)
def test_the_cloud_refuses_what_aws_refuses(aws: Account, last: Callable[[Account], Any], code: str, text: str) -> None:
    got, said = refused(lambda: last(aws))
    assert got == code
    assert text in said


@pytest.mark.parametrize(
    "name",
    ["MyBucket123", "my_bucket_1", "ab", "192.168.5.4", "xn--abc", "abc-s3alias", "a..b", "-abc", "sthree-x", "a" * 64],
)
def test_a_bucket_name_that_breaks_the_rules_is_refused(aws: Account, name: str) -> None:
    assert refused(lambda: aws.bucket(name))[0] == "InvalidBucketName"


def test_a_refused_cluster_leaves_the_living_one_alone(aws: Account) -> None:
    born = aws.cluster(Tags=[{"Key": "a", "Value": "b"}], DeletionProtection=True)
    assert refused(aws.cluster)[0] == "DBClusterAlreadyExistsFault"
    found = aws.found_cluster()
    assert found["DbClusterResourceId"] == born["DbClusterResourceId"]
    assert found["TagList"] == [{"Key": "a", "Value": "b"}]
    assert found["DeletionProtection"] is True


def test_a_newborn_vpc_has_a_default_group_that_lets_itself_in_and_everything_out(aws: Account) -> None:
    group = aws.default_group(aws.vpc())
    [inward], [outward] = group["IpPermissions"], group["IpPermissionsEgress"]
    assert inward["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    assert outward["IpRanges"][0]["CidrIp"] == "0.0.0.0/0"


def test_an_emptied_vpc_can_be_deleted(aws: Account) -> None:
    vpc, subnet, nat = aws.network()
    table = aws.table(vpc)
    aws.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    endpoint = aws.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[table])[
        "VpcEndpoint"
    ]
    assert endpoint["VpcEndpointType"] == "Gateway"
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)
    [address] = aws.ec2.describe_addresses()["Addresses"]
    aws.ec2.release_address(AllocationId=address["AllocationId"])
    aws.ec2.delete_subnet(SubnetId=subnet)
    aws.ec2.delete_route_table(RouteTableId=table)
    gone = aws.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    assert gone["Unsuccessful"] == []
    [gateway] = aws.ec2.describe_internet_gateways()["InternetGateways"]
    aws.ec2.detach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway["InternetGatewayId"])
    aws.ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    aws.ec2.delete_vpc(VpcId=vpc)
    assert vpc not in [each["VpcId"] for each in aws.ec2.describe_vpcs()["Vpcs"]]


def test_a_subnet_gives_no_public_address_on_launch(aws: Account) -> None:
    aws.subnet(vpc := aws.vpc())
    [found] = aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    assert found["MapPublicIpOnLaunch"] is False


@pytest.mark.parametrize("name", ["tag:Stack", "tag-key"])
def test_nat_gateways_are_found_by_their_tags(aws: Account, name: str) -> None:
    _, subnet, _ = aws.network()
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Stack", "Value": "one"}]}]
    ours = aws.nat(subnet, TagSpecifications=tags)
    value = "one" if name == "tag:Stack" else "Stack"
    found = aws.ec2.describe_nat_gateways(Filters=[{"Name": name, "Values": [value]}])["NatGateways"]
    assert [each["NatGatewayId"] for each in found] == [ours]
    assert aws.ec2.describe_nat_gateways(Filters=[{"Name": name, "Values": ["none"]}])["NatGateways"] == []


def test_a_deleted_nat_gateway_is_listed_and_its_routes_are_blackholes(aws: Account) -> None:
    vpc, _, nat = aws.network()
    table = aws.table(vpc)
    aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)
    assert aws.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "deleted"
    routes = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert [route["State"] for route in routes if route.get("NatGatewayId") == nat] == ["blackhole"]


def test_the_address_of_a_deleted_nat_gateway_serves_the_next(aws: Account) -> None:
    _, subnet, nat = aws.network()
    [address] = aws.ec2.describe_addresses()["Addresses"]
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)
    after = aws.nat(subnet, address["AllocationId"])
    [found] = aws.ec2.describe_nat_gateways(NatGatewayIds=[after])["NatGateways"]
    assert found["State"] == "available"


def test_a_rule_that_names_a_group_can_be_described_anew(aws: Account) -> None:
    vpc = aws.vpc()
    group, peer = aws.group(vpc), aws.group(vpc, "database")
    aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_from_group(peer, "old")])
    aws.ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[_from_group(peer, "new")])
    [rule] = aws.permissions(group)
    assert [each["Description"] for each in rule["UserIdGroupPairs"]] == ["new"]


def test_a_rule_is_revoked_whatever_its_description(aws: Account) -> None:
    vpc = aws.vpc()
    group, peer = aws.group(vpc), aws.group(vpc, "database")
    ranges = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    described = {**ranges, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "said"}]}
    aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_from_group(peer, "said"), described])
    aws.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[_from_group(peer), ranges])
    assert aws.permissions(group) == []


def test_a_route_lives_and_dies_with_the_attachment_of_its_gateway(aws: Account) -> None:
    vpc = aws.vpc()
    gateway, table = aws.internet(vpc), aws.table(vpc)
    aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)

    def state() -> str:
        routes = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return str(routes[-1]["State"])

    aws.ec2.detach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    assert state() == "blackhole"
    aws.ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    assert state() == "active"


def test_a_blackhole_that_is_led_to_a_living_gateway_is_active_again(aws: Account) -> None:
    vpc, subnet, nat = aws.network()
    table = aws.table(vpc)
    anywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    aws.ec2.create_route(**anywhere, NatGatewayId=nat)
    aws.ec2.delete_nat_gateway(NatGatewayId=nat)
    aws.ec2.replace_route(**anywhere, NatGatewayId=aws.nat(subnet))
    [found] = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert [route["State"] for route in found["Routes"]] == ["active", "active"]


def test_a_nat_gateway_without_an_internet_gateway_fails_and_says_why(aws: Account) -> None:
    nat = aws.nat(aws.subnet(aws.vpc()))
    [found] = aws.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"]
    assert (found["State"], found["FailureCode"]) == ("failed", "Gateway.NotAttached")
    assert "has no Internet gateway attached" in found["FailureMessage"]


def test_a_client_token_gives_the_same_reply_again_also_after_a_deletion(aws: Account) -> None:
    _, subnet, _ = aws.network()
    wanted = {"SubnetId": subnet, "AllocationId": aws.address(), "ClientToken": "once"}
    first = aws.ec2.create_nat_gateway(**wanted)["NatGateway"]
    assert aws.ec2.create_nat_gateway(**wanted)["NatGateway"] == first
    aws.ec2.delete_nat_gateway(NatGatewayId=first["NatGatewayId"])
    assert aws.ec2.create_nat_gateway(**wanted)["NatGateway"]["NatGatewayId"] == first["NatGatewayId"]
    assert len(aws.ec2.describe_nat_gateways()["NatGateways"]) == 2


def test_client_tokens_of_tables_and_endpoints_are_honoured_too(aws: Account) -> None:
    vpc = aws.vpc()
    tables = {aws.ec2.create_route_table(VpcId=vpc, ClientToken="t")["RouteTable"]["RouteTableId"] for _ in range(2)}
    wanted = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3", "ClientToken": "e", "RouteTableIds": [*tables]}
    endpoints = {aws.ec2.create_vpc_endpoint(**wanted)["VpcEndpoint"]["VpcEndpointId"] for _ in range(2)}
    assert len(tables) == len(endpoints) == 1


def test_a_client_token_is_good_in_one_region(aws: Account) -> None:
    made = [
        each.ec2.create_route_table(VpcId=each.vpc(), ClientToken="once")["RouteTable"]["RouteTableId"]
        for each in (aws, Account("eu-west-1"))
    ]
    assert len(set(made)) == 2


def test_an_endpoint_that_moves_to_a_table_brings_its_route(aws: Account) -> None:
    vpc = aws.vpc()
    old, new = aws.table(vpc), aws.table(vpc)
    endpoint = aws.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[old])
    name = endpoint["VpcEndpoint"]["VpcEndpointId"]
    aws.ec2.modify_vpc_endpoint(VpcEndpointId=name, AddRouteTableIds=[new], RemoveRouteTableIds=[old])
    tables = aws.ec2.describe_route_tables(RouteTableIds=[old, new])["RouteTables"]
    through = {t["RouteTableId"] for t in tables for route in t["Routes"] if route.get("GatewayId") == name}
    assert through == {new}


def test_a_cluster_is_born_with_auroras_defaults(aws: Account) -> None:
    subnets = aws.subnet_group()
    born = aws.cluster(DBSubnetGroupName="data", StorageEncrypted=True)
    assert (born["EngineVersion"], born["DBClusterParameterGroup"]) == ("16.8", "default.aurora-postgresql16")
    assert born["EngineLifecycleSupport"] == "open-source-rds-extended-support"
    assert born["ServerlessV2ScalingConfiguration"]["SecondsUntilAutoPause"] == 300
    assert born["KmsKeyId"].startswith("arn:aws:kms:us-east-1:123456789012:key/")
    default = aws.default_group(aws.vpc_of(subnets[0]))["GroupId"]
    assert [each["VpcSecurityGroupId"] for each in born["VpcSecurityGroups"]] == [default]


def test_a_major_version_stands_for_its_default_minor(aws: Account) -> None:
    assert aws.cluster(EngineVersion="17")["EngineVersion"] == "17.5"


def test_the_lifecycle_is_told_as_given_from_the_first_reply_to_the_last(aws: Account) -> None:
    wanted = "open-source-rds-extended-support-disabled"
    replies = [aws.cluster(EngineLifecycleSupport=wanted), aws.found_cluster()]
    replies.append(aws.rds.modify_db_cluster(DBClusterIdentifier="db", DeletionProtection=True)["DBCluster"])
    assert {each["EngineLifecycleSupport"] for each in replies} == {wanted}


def test_a_partial_change_of_the_scaling_keeps_the_rest(aws: Account) -> None:
    aws.cluster(pause={"SecondsUntilAutoPause": 600})
    aws.rds.modify_db_cluster(DBClusterIdentifier="DB", ServerlessV2ScalingConfiguration={"MaxCapacity": 8})
    kept = {"MinCapacity": 0, "MaxCapacity": 8, "SecondsUntilAutoPause": 600}
    assert aws.found_cluster()["ServerlessV2ScalingConfiguration"] == kept


def test_a_cluster_that_never_pauses_tells_no_pause(aws: Account) -> None:
    aws.cluster()
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", ServerlessV2ScalingConfiguration={"MinCapacity": 1})
    assert aws.found_cluster()["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 1, "MaxCapacity": 4}


def test_authentication_by_iam_can_be_changed(aws: Account) -> None:
    aws.cluster()
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", EnableIAMDatabaseAuthentication=True)
    assert aws.found_cluster()["IAMDatabaseAuthenticationEnabled"] is True


def test_what_a_cluster_is_created_with_is_told_and_can_be_changed(aws: Account) -> None:
    wanted: dict[str, Any] = {"CopyTagsToSnapshot": True, "DeletionProtection": True, "BackupRetentionPeriod": 2}
    born = aws.cluster(DatabaseName="app", EnableIAMDatabaseAuthentication=True, **wanted)
    assert born["MasterUserSecret"]["SecretArn"].startswith("arn:aws:secretsmanager:us-east-1:123456789012:secret:")
    assert (born["DatabaseName"], born["IAMDatabaseAuthenticationEnabled"]) == ("app", True)
    assert {name: born[name] for name in wanted} == wanted
    changes = {"CopyTagsToSnapshot": False, "DeletionProtection": False, "BackupRetentionPeriod": 9}
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", **changes)
    found = aws.found_cluster()
    assert {name: found[name] for name in changes} == changes
    assert (found["DatabaseName"], found["MasterUserSecret"]["SecretStatus"]) == ("app", "active")


def test_an_instance_tells_its_settings_and_is_a_member_of_its_cluster(aws: Account) -> None:
    aws.cluster()
    names = ("PromotionTier", "AutoMinorVersionUpgrade", "PubliclyAccessible")
    born = aws.instance()
    assert [born[name] for name in names] == [1, True, False]
    changes = dict(zip(names, (5, False, True), strict=True))
    aws.rds.modify_db_instance(DBInstanceIdentifier="db-1", ApplyImmediately=True, **changes)
    found = aws.found_instance()
    assert {name: found[name] for name in names} == changes
    [member] = aws.found_cluster()["DBClusterMembers"]
    assert (member["DBInstanceIdentifier"], member["IsClusterWriter"], member["PromotionTier"]) == ("db-1", True, 5)


def test_instances_stop_and_start_with_their_cluster(aws: Account) -> None:
    aws.stopped()
    assert (aws.found_cluster()["Status"], aws.found_instance()["DBInstanceStatus"]) == ("stopped", "stopped")
    aws.rds.start_db_cluster(DBClusterIdentifier="db")
    assert (aws.found_cluster()["Status"], aws.found_instance()["DBInstanceStatus"]) == ("available", "available")
    aws.rds.delete_db_instance(DBInstanceIdentifier="db-1", SkipFinalSnapshot=True)
    aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)
    assert aws.rds.describe_db_clusters()["DBClusters"] == []


def test_an_upgrade_takes_parameters_of_its_family_and_the_instances_along(aws: Account) -> None:
    aws.parameters("aurora-postgresql16", "old")
    aws.parameters("aurora-postgresql17", "new")
    aws.cluster(EngineVersion="16.8", DBClusterParameterGroupName="old")
    aws.instance()
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="16.9")
    assert aws.found_cluster()["DBClusterParameterGroup"] == "old"
    upgrade = {"EngineVersion": "17.5", "AllowMajorVersionUpgrade": True, "DBClusterParameterGroupName": "new"}
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", **upgrade)
    assert aws.found_cluster()["DBClusterParameterGroup"] == "new"
    assert aws.found_cluster()["EngineVersion"] == aws.found_instance()["EngineVersion"] == "17.5"


def test_an_allowed_major_upgrade_brings_its_parameter_family(aws: Account) -> None:
    aws.cluster(EngineVersion="16.8")
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", EngineVersion="17.5", AllowMajorVersionUpgrade=True)
    found = aws.found_cluster()
    assert (found["EngineVersion"], found["DBClusterParameterGroup"]) == ("17.5", "default.aurora-postgresql17")


def test_instances_spread_over_the_zones_and_occupy_their_subnets(aws: Account) -> None:
    subnets = aws.subnet_group()
    group = aws.group(aws.vpc_of(subnets[0]))
    aws.cluster(DBSubnetGroupName="data", VpcSecurityGroupIds=[group])
    made = [aws.instance(f"db-{n}") for n in range(2)]
    assert {each["AvailabilityZone"] for each in made} == {"us-east-1a", "us-east-1b"}
    assert len({each["DbiResourceId"] for each in made}) == 2
    assert made[0]["DBSubnetGroup"]["DBSubnetGroupName"] == "data"
    interfaces = aws.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert {each["SubnetId"] for each in interfaces} == set(subnets)
    assert {each["Groups"][0]["GroupId"] for each in interfaces} == {group}


def test_a_database_lets_go_of_its_network_when_it_is_gone(aws: Account) -> None:
    subnets = aws.subnet_group()
    aws.cluster(DBSubnetGroupName="data")
    aws.instance()
    aws.rds.delete_db_instance(DBInstanceIdentifier="db-1", SkipFinalSnapshot=True)
    aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)
    aws.rds.delete_db_subnet_group(DBSubnetGroupName="data")
    for subnet in subnets:
        aws.ec2.delete_subnet(SubnetId=subnet)
    assert aws.client("secretsmanager").list_secrets()["SecretList"] == []


def test_a_cluster_can_be_built_again_at_once_and_only_its_final_snapshot_stays(aws: Account) -> None:
    aws.cluster()
    aws.rds.delete_db_cluster(DBClusterIdentifier="db", FinalDBSnapshotIdentifier="Last")
    aws.cluster()
    aws.rds.delete_db_cluster(DBClusterIdentifier="db", SkipFinalSnapshot=True)
    snapshots = aws.rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
    assert [each["DBClusterSnapshotIdentifier"] for each in snapshots] == ["last"]


def test_a_changed_subnet_group_is_still_there(aws: Account) -> None:
    subnets = aws.subnet_group()
    third = aws.subnet(aws.vpc_of(subnets[0]), "c", 2)
    aws.rds.modify_db_subnet_group(DBSubnetGroupName="Data", SubnetIds=[*subnets, third])
    [found] = aws.rds.describe_db_subnet_groups(DBSubnetGroupName="data")["DBSubnetGroups"]
    assert len(found["Subnets"]) == 3


@pytest.mark.parametrize(("family", "users"), [("aurora-postgresql16", ["rds.force_ssl"]), ("aurora-postgresql17", [])])
def test_changed_parameters_are_the_users_unless_they_are_as_the_engine_has_them(
    aws: Account, family: str, users: list[str]
) -> None:
    aws.parameters(family)
    changed = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}]
    aws.rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName="tuned", Parameters=changed)
    asked = partial(aws.rds.describe_db_cluster_parameters, DBClusterParameterGroupName="tuned")
    assert [each["ParameterName"] for each in asked(Source="user")["Parameters"]] == users
    named = asked(Filters=[{"Name": "parameter-name", "Values": ["rds.force_ssl"]}])["Parameters"]
    assert [(each["ParameterName"], each["ParameterValue"]) for each in named] == [("rds.force_ssl", "1")]
    assert len(asked()["Parameters"]) == 3


def test_another_parameter_group_is_heeded_after_a_reboot(aws: Account) -> None:
    aws.cluster()
    aws.instance()
    aws.parameters()

    def heeded() -> str:
        (cluster,) = aws.rds.describe_db_clusters()["DBClusters"]
        (member,) = cluster["DBClusterMembers"]
        return str(member["DBClusterParameterGroupStatus"])

    assert heeded() == "in-sync"
    aws.rds.modify_db_cluster(DBClusterIdentifier="db", DBClusterParameterGroupName="tuned", ApplyImmediately=True)
    assert heeded() == "pending-reboot"
    aws.rds.reboot_db_instance(DBInstanceIdentifier="db-1")
    assert heeded() == "in-sync"


def _versions(aws: Account, **more: Any) -> list[str]:
    found = aws.rds.describe_db_engine_versions(Engine="aurora-postgresql", **more)["DBEngineVersions"]
    return [each["EngineVersion"] for each in found]


def test_only_versions_that_can_be_created_are_listed_unless_asked_for_all(aws: Account) -> None:
    assert "15.3" not in _versions(aws)
    assert "15.3" in _versions(aws, IncludeAll=True)
    assert _versions(aws, EngineVersion="15.3") == []
    assert _versions(aws, EngineVersion="16.8") == ["16.8"]
    for region in offerings.recorded()["regions"]:
        assert not {"15.8", "16.4", "16.6"} & {*_versions(Account(region))}


def test_the_default_version_is_told_for_the_engine_and_for_a_major(aws: Account) -> None:
    assert _versions(aws, DefaultOnly=True) == ["16.8"]
    assert _versions(aws, DefaultOnly=True, EngineVersion="15") == ["15.13"]


def test_a_version_tells_its_range_family_and_upgrades(aws: Account) -> None:
    [told] = aws.rds.describe_db_engine_versions(Engine="aurora-postgresql", EngineVersion="16.10")["DBEngineVersions"]
    assert told["ServerlessV2FeaturesSupport"] == {"MinCapacity": 0, "MaxCapacity": 256}
    assert (told["DBParameterGroupFamily"], told["Status"]) == ("aurora-postgresql16", "available")
    upgrades = {each["EngineVersion"]: each["IsMajorVersionUpgrade"] for each in told["ValidUpgradeTarget"]}
    assert upgrades["16.11"] is False
    assert upgrades["17.6"] is True
    assert "16.9" not in upgrades
    assert "17.5" not in upgrades  # of the release before that of 16.10


def test_a_region_may_offer_less(aws: Account) -> None:
    assert "15.10" in _versions(Account("eu-west-1"))
    assert "15.10" not in _versions(Account("ap-southeast-6"))
    assert refused(lambda: Account("ap-southeast-6").cluster(EngineVersion="15.10"))[0] == "InvalidParameterCombination"


def test_serverless_is_orderable_with_its_zones(aws: Account) -> None:
    options = aws.rds.describe_orderable_db_instance_options(
        Engine="aurora-postgresql", EngineVersion="16.8", DBInstanceClass="db.serverless"
    )["OrderableDBInstanceOptions"]
    assert [option["SupportsClusters"] for option in options] == [True]
    assert {"Name": "us-east-1a"} in options[0]["AvailabilityZones"]


def test_the_end_of_support_is_told_for_each_major(aws: Account) -> None:
    [told] = aws.rds.describe_db_major_engine_versions(Engine="aurora-postgresql", MajorEngineVersion="16")[
        "DBMajorEngineVersions"
    ]
    ends = {
        each["LifecycleSupportName"]: each["LifecycleSupportEndDate"].year for each in told["SupportedEngineLifecycles"]
    }
    assert ends == {"open-source-rds-standard-support": 2029, "open-source-rds-extended-support": 2032}


def test_recorded_data_say_when_and_from_where_they_are() -> None:
    assert offerings.recorded()["date"]
    assert offerings.recorded()["source"]


def test_an_older_version_neither_pauses_nor_grows_as_far() -> None:
    old = offerings.versions("us-east-1")["14.7"]
    assert (old.offered, old.pauses, old.max_acu) == (False, False, 128)


def test_a_newborn_bucket_is_closed_encrypted_and_tagged(aws: Account) -> None:
    aws.bucket(CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "b & c"}]})
    assert aws.s3.get_bucket_tagging(Bucket="a-bucket")["TagSet"] == [{"Key": "a", "Value": "b & c"}]
    assert set(aws.s3.get_public_access_block(Bucket="a-bucket")["PublicAccessBlockConfiguration"].values()) == {True}
    [encryption] = aws.s3.get_bucket_encryption(Bucket="a-bucket")["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    [ownership] = aws.s3.get_bucket_ownership_controls(Bucket="a-bucket")["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}


def test_a_bucket_does_not_inherit_the_tags_of_a_deleted_one(aws: Account) -> None:
    aws.bucket(CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "b"}]})
    aws.s3.delete_bucket(Bucket="a-bucket")
    aws.bucket()
    assert refused(lambda: aws.s3.get_bucket_tagging(Bucket="a-bucket"))[0] == "NoSuchTagSet"


def test_a_bucket_without_tags_has_none(aws: Account) -> None:
    aws.bucket()
    assert refused(lambda: aws.s3.get_bucket_tagging(Bucket="a-bucket"))[0] == "NoSuchTagSet"


def test_a_second_creation_in_us_east_1_changes_nothing(aws: Account) -> None:
    aws.bucket()
    aws.s3.put_bucket_tagging(Bucket="a-bucket", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    aws.bucket()
    assert aws.s3.get_bucket_tagging(Bucket="a-bucket")["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_an_empty_value_of_a_bucket_tag_is_told(aws: Account) -> None:
    aws.bucket(CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": ""}]})
    assert aws.s3.get_bucket_tagging(Bucket="a-bucket")["TagSet"] == [{"Key": "a", "Value": ""}]
    tags = [{"Key": "b", "Value": ""}, {"Key": "c", "Value": "d"}]
    aws.s3.put_bucket_tagging(Bucket="a-bucket", Tagging={"TagSet": tags})
    assert aws.s3.get_bucket_tagging(Bucket="a-bucket")["TagSet"] == tags


def _denial(**condition: Any) -> dict[str, Any]:
    resources = ["arn:aws:s3:::a-bucket", "arn:aws:s3:::a-bucket/*"]
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources, **condition}


def _govern(aws: Account, statement: Any) -> str:
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    aws.s3.put_bucket_policy(Bucket="a-bucket", Policy=policy)
    return policy


def test_a_policy_that_only_denies_is_taken_and_obeyed(aws: Account) -> None:
    aws.bucket()
    policy = _govern(aws, _denial())
    assert aws.s3.get_bucket_policy(Bucket="a-bucket")["Policy"] == policy
    assert refused(lambda: aws.s3.put_object(Bucket="a-bucket", Key="a", Body=b""))[0] == "403"


@pytest.mark.parametrize("operator", ["Bool", "BoolIfExists"])
@pytest.mark.parametrize("value", ["false", ["false"], False])
def test_every_request_counts_as_one_over_tls(aws: Account, operator: str, value: Any) -> None:
    aws.bucket()
    without_tls = _denial(Condition={operator: {"aws:SecureTransport": value}})
    for statement in (without_tls, [without_tls]):
        policy = _govern(aws, statement)
        aws.s3.put_object(Bucket="a-bucket", Key="a", Body=b"")
        aws.s3.delete_objects(Bucket="a-bucket", Delete={"Objects": [{"Key": "a"}]})
        assert "Contents" not in aws.s3.list_objects_v2(Bucket="a-bucket")
        assert same(json.loads(aws.s3.get_bucket_policy(Bucket="a-bucket")["Policy"]), json.loads(policy))
    _govern(aws, [without_tls, _denial()])
    assert refused(lambda: aws.s3.delete_object(Bucket="a-bucket", Key="a"))[0] == "403"


def test_buckets_are_reached_by_host_name_too(aws: Account) -> None:
    hosted = wire.plug(wire.isolated_session("us-east-1").client("s3"), _CLOUD)
    hosted.create_bucket(Bucket="a-bucket")
    hosted.put_object(Bucket="a-bucket", Key="k/ä b", Body=b"hello")
    assert aws.s3.get_object(Bucket="a-bucket", Key="k/ä b")["Body"].read() == b"hello"
    assert aws.s3.get_public_access_block(Bucket="a-bucket")["PublicAccessBlockConfiguration"]["BlockPublicAcls"]


def test_a_list_longer_than_a_page_is_told_whole(aws: Account) -> None:
    names = {f"tuned-{n}" for n in range(101)}
    for name in names:
        aws.parameters(name=name)
    paged = aws.rds.get_paginator("describe_db_cluster_parameter_groups").paginate()
    assert {each["DBClusterParameterGroupName"] for each in paged.search("DBClusterParameterGroups")} == names


def test_a_reset_empties_every_region_and_frees_every_name(aws: Account) -> None:
    aws.bucket()
    abroad = Account("eu-west-1")
    abroad.cluster(StorageEncrypted=True)
    _CLOUD.reset()
    abroad.bucket(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    abroad.cluster()
    assert aws.rds.describe_db_clusters()["DBClusters"] == []
    assert [each["Name"] for each in aws.s3.list_buckets()["Buckets"]] == ["a-bucket"]


def test_a_reset_empties_moto_and_what_rules_remember(aws: Account) -> None:
    table = aws.ec2.create_route_table(VpcId=aws.vpc(), ClientToken="once")["RouteTable"]["RouteTableId"]
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/moto-api/reset"}
    assert json.loads(_CLOUD.answer(environ).body) == {"status": "ok"}
    again = aws.ec2.create_route_table(VpcId=aws.vpc(), ClientToken="once")["RouteTable"]["RouteTableId"]
    assert again != table


def test_the_cloud_is_a_wsgi_application(aws: Account) -> None:
    heads: list[Any] = []
    body = _CLOUD({"REQUEST_METHOD": "POST", "PATH_INFO": "/moto-api/reset"}, lambda *head: heads.append(head))
    assert (heads[0][0], b"".join(body)) == ("200 OK", b'{"status": "ok"}')


def test_an_isolated_session_takes_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        "AWS_ENDPOINT_URL": "http://elsewhere.invalid",
        "AWS_ENDPOINT_URL_STS": "http://elsewhere.invalid",
        "AWS_CA_BUNDLE": "/nowhere/ca.pem",
        "HTTP_PROXY": "http://proxy.invalid",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REGION": "mars-1",
        "AWS_DEFAULT_REGION": "mars-1",
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_RETRY_MODE": "nonsense",
        "AWS_MAX_ATTEMPTS": "many",
        "AWS_DATA_PATH": "/nowhere/data",
        "AWS_DEFAULTS_MODE": "nonsense",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    session: Any = wire.isolated_session("eu-west-1")
    client = wire.plug(session.client("sts", **wire.client_options()), _CLOUD)
    assert client.get_caller_identity()["Account"] == "123456789012"
    assert client.meta.region_name == "eu-west-1"
    assert client.meta.endpoint_url == wire.ENDPOINT
    assert session.get_credentials().get_frozen_credentials().token is None
    assert client._endpoint.http_session._proxy_config._proxies == {}
