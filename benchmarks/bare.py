"""Build what ``provisioner provision dev`` builds, the bare way: one boto3 call after the other.

It looks at nothing, remembers nothing, tries nothing again and cannot be run twice; this is what the provisioner's
speed and size are compared with. Knows nothing of the provisioner: ``python benchmarks/bare.py --endpoint URL``.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import boto3

ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "acme-dev"
ZONES = ("us-east-1a", "us-east-1b")
ALL = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
"""What EC2 lets out of a newborn security group."""


ANYBODY = {"Effect": "Allow", "Principal": "*"}
THROUGH_S3 = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Account",
            **ANYBODY,
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}},
        },
        {
            "Sid": "Repositories",
            **ANYBODY,
            "Action": "s3:GetObject",
            "Resource": [
                f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket/*",
                f"arn:aws:s3:::al2023-repos-{REGION}-de612dc2/*",
            ],
        },
    ],
}
"""Who may go through the endpoint, and where to."""


def build(session: Any, endpoint: str) -> int:
    """Build the stack and give the number of calls it took."""
    ec2, rds, s3, logs = (session.client(each, endpoint_url=endpoint) for each in ("ec2", "rds", "s3", "logs"))
    calls = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1

    for client in (ec2, rds, s3, logs):
        client.meta.events.register("before-send", count)
    subnets, app, database = _network(ec2)
    _log(logs)
    _database(rds, subnets, database)
    _open(ec2, app, database)
    _bucket(s3)
    return calls


def _network(ec2: Any) -> tuple[list[str], str, str]:
    """Build the network; gives the private subnets and the two security groups."""
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16", TagSpecifications=_born("vpc", "Vpc", "vpc"))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    _close(ec2, vpc)
    public = [_subnet(ec2, vpc, f"public-{slot + 1}", 128 + 32 * slot, zone) for slot, zone in enumerate(ZONES)]
    private = [_subnet(ec2, vpc, f"private-{slot + 1}", 32 * slot, zone) for slot, zone in enumerate(ZONES)]
    born = _born("internet-gateway", "InternetGateway", "internet")
    internet = ec2.create_internet_gateway(TagSpecifications=born)["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    tables = [_routes(ec2, vpc, "public-routes", public)]
    ec2.create_route(RouteTableId=tables[0], DestinationCidrBlock="0.0.0.0/0", GatewayId=internet)
    tables += [_routes(ec2, vpc, f"private-routes-{slot}", [subnet]) for slot, subnet in enumerate(private, start=1)]
    ec2.create_vpc_endpoint(
        VpcEndpointType="Gateway",
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        RouteTableIds=tables,
        PolicyDocument=json.dumps(THROUGH_S3),
        TagSpecifications=_born("vpc-endpoint", "VpcEndpoint", "s3-endpoint"),
    )
    app, database = _group(ec2, vpc, "app", "The application"), _group(ec2, vpc, "database", "The database")
    return private, app, database


def _log(logs: Any) -> None:
    """Make the log group of the cluster, whose name RDS prescribes."""
    path = f"/aws/rds/cluster/{STACK}-cluster/postgresql"
    tags = {tag["Key"]: tag["Value"] for tag in _tags("LogGroup", "cluster-log")}
    logs.create_log_group(logGroupName=path, tags=tags)
    logs.put_retention_policy(logGroupName=path, retentionInDays=30)


def _close(ec2: Any, vpc: str) -> None:
    """Empty the default security group, whose id no create call tells: the one question asked."""
    named = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    group = ec2.describe_security_groups(Filters=named)["SecurityGroups"][0]["GroupId"]
    among = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=among)
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=ALL)


def _subnet(ec2: Any, vpc: str, name: str, third: int, zone: str) -> str:
    answer = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock=f"10.10.{third}.0/19",
        AvailabilityZone=zone,
        TagSpecifications=_born("subnet", "Subnet", name),
    )
    return str(answer["Subnet"]["SubnetId"])


def _routes(ec2: Any, vpc: str, name: str, subnets: list[str]) -> str:
    answer = ec2.create_route_table(VpcId=vpc, TagSpecifications=_born("route-table", "RouteTable", name))
    table = str(answer["RouteTable"]["RouteTableId"])
    for subnet in subnets:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return table


def _group(ec2: Any, vpc: str, name: str, description: str) -> str:
    answer = ec2.create_security_group(
        GroupName=f"{STACK}-{name}",
        Description=description,
        VpcId=vpc,
        TagSpecifications=_born("security-group", "SecurityGroup", name),
    )
    return str(answer["GroupId"])


def _open(ec2: Any, app: str, database: str) -> None:
    """Let the application reach the database and HTTPS, and nothing else reach anything."""
    ec2.authorize_security_group_ingress(
        GroupId=database, IpPermissions=[_postgresql(app, "PostgreSQL from the application")]
    )
    ec2.revoke_security_group_egress(GroupId=database, IpPermissions=ALL)
    anywhere = [{"CidrIp": "0.0.0.0/0", "Description": "HTTPS to anywhere"}]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": anywhere}
    ec2.authorize_security_group_egress(
        GroupId=app, IpPermissions=[https, _postgresql(database, "PostgreSQL to the database")]
    )
    ec2.revoke_security_group_egress(GroupId=app, IpPermissions=ALL)


def _postgresql(group: str, description: str) -> dict[str, Any]:
    pairs = [{"GroupId": group, "Description": description}]
    return {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": pairs}


def _database(rds: Any, subnets: list[str], group: str) -> None:
    subnet_group, parameters = f"{STACK}-cluster-subnets", f"{STACK}-cluster-parameters-16"
    rds.create_db_subnet_group(
        DBSubnetGroupName=subnet_group,
        DBSubnetGroupDescription="cluster subnets",
        SubnetIds=subnets,
        Tags=_tags("DbSubnetGroup", "cluster-subnets"),
    )
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=parameters,
        DBParameterGroupFamily="aurora-postgresql16",
        Description="cluster parameters",
        Tags=_tags("DbParameters", "cluster-parameters-16"),
    )
    forced = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
    rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=parameters, Parameters=[forced])
    rds.create_db_cluster(
        DBClusterIdentifier=f"{STACK}-cluster",
        Engine="aurora-postgresql",
        EngineVersion="16.8",
        ManageMasterUserPassword=True,
        MasterUsername="provisioner",
        DatabaseName="app",
        Port=5432,
        DBSubnetGroupName=subnet_group,
        DBClusterParameterGroupName=parameters,
        VpcSecurityGroupIds=[group],
        StorageEncrypted=True,
        BackupRetentionPeriod=1,
        DeletionProtection=False,
        EnableIAMDatabaseAuthentication=True,
        CopyTagsToSnapshot=True,
        EnableCloudwatchLogsExports=["postgresql"],
        EngineLifecycleSupport="open-source-rds-extended-support-disabled",
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.0, "MaxCapacity": 1.0, "SecondsUntilAutoPause": 300},
        Tags=_tags("Cluster", "cluster"),
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"{STACK}-cluster-1",
        DBClusterIdentifier=f"{STACK}-cluster",
        Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
        AvailabilityZone=ZONES[0],
        PubliclyAccessible=False,
        AutoMinorVersionUpgrade=True,
        PromotionTier=1,
        Tags=_tags("DbInstance", "cluster-1"),
    )


def _bucket(s3: Any) -> None:
    bucket = f"{STACK}-{ACCOUNT}-{REGION}"
    here = {"Bucket": bucket, "ExpectedBucketOwner": ACCOUNT}
    s3.create_bucket(
        Bucket=bucket,
        ObjectOwnership="BucketOwnerEnforced",
        CreateBucketConfiguration={"Tags": _tags("Bucket", "bucket", bucket)},
    )
    s3.put_bucket_versioning(**here, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "expire",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    s3.put_bucket_lifecycle_configuration(**here, LifecycleConfiguration={"Rules": [rule]})
    statement = {
        "Sid": "DenyWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(**here, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def _born(resource_type: str, kind: str, step: str) -> list[dict[str, Any]]:
    return [{"ResourceType": resource_type, "Tags": _tags(kind, step)}]


def _tags(kind: str, step: str, name: str = "") -> list[dict[str, str]]:
    tags = {
        "Name": name or f"{STACK}-{step}",
        "provisioner:environment": "dev",
        "provisioner:kind": kind,
        "provisioner:project": "acme",
        "provisioner:stack": STACK,
        "provisioner:step": step,
        "provisioner:suffix": "",
        "team": "platform",
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the dev environment with bare boto3 calls.")
    parser.add_argument("--endpoint", required=True, help="the embedded cloud, empty")
    endpoint = parser.parse_args().endpoint
    session = boto3.Session("embedded", "embedded", region_name=REGION)
    print(json.dumps({"calls": build(session, endpoint)}))


if __name__ == "__main__":
    main()
