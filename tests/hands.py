"""What foreign hands do to what is ours, by kind: change it, delete it, take its tags, obey what we told them to type.

Knows nothing of what comes of it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provisioner.engine import Seen
from steps.endpoint_policy import FULL
from tests import hands_security

ENVIRONMENTS = ("dev", "staging", "prod")
WITH_NAT = ("staging", "prod")
HARDENED = ("prod",)
EVERYWHERE = "0.0.0.0/0"
EVERYBODY = {"Protocol": "-1", "RuleAction": "allow", "CidrBlock": EVERYWHERE}
PERMITTING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
TRUSTING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}

Client = Callable[[str], Any]
Hand = Callable[[Client, Seen], object]


@dataclass(frozen=True)
class Change:
    """What a foreign hand does to the resources of one kind."""

    kind: str
    what: str
    do: Hand
    environments: tuple[str, ...] = ENVIRONMENTS
    """Where it can be done at all."""
    only: str = ""
    """How the names of the steps concerned begin."""


def live(seen: Seen) -> Any:
    assert seen.live is not None
    return seen.live


def untag(client: Client, seen: Seen) -> None:
    client("ec2").delete_tags(Resources=[live(seen).id], Tags=[{"Key": "team"}])
    client("ec2").create_tags(Resources=[live(seen).id], Tags=[{"Key": "Name", "Value": "mine"}])


def untag_in_rds(client: Client, seen: Seen) -> None:
    client("rds").remove_tags_from_resource(ResourceName=live(seen).facts["arn"], TagKeys=["team"])


def attribute(name: str) -> Hand:
    return lambda client, seen: client("ec2").modify_vpc_attribute(VpcId=live(seen).id, **{name: {"Value": False}})


def cluster(**changes: Any) -> Hand:
    return lambda client, seen: client("rds").modify_db_cluster(
        DBClusterIdentifier=live(seen).id, ApplyImmediately=True, **changes
    )


def instance(**changes: Any) -> Hand:
    return lambda client, seen: client("rds").modify_db_instance(
        DBInstanceIdentifier=live(seen).id, ApplyImmediately=True, **changes
    )


def setting(verb: str, **parameters: Any) -> Hand:
    return lambda client, seen: getattr(client("s3"), verb)(Bucket=live(seen).id, **parameters)


def rules(verb: str, *entries: dict[str, Any]) -> Hand:
    return lambda client, seen: getattr(client("ec2"), verb)(GroupId=live(seen).id, IpPermissions=list(entries))


def detach(client: Client, seen: Seen) -> None:
    client("ec2").detach_internet_gateway(InternetGatewayId=live(seen).id, VpcId=live(seen).facts["vpc"])


def delete_gateway(client: Client, seen: Seen) -> None:
    detach(client, seen)
    client("ec2").delete_internet_gateway(InternetGatewayId=live(seen).id)


def release_with_its_gateway(client: Client, seen: Seen) -> None:
    for nat in client("ec2").describe_nat_gateways()["NatGateways"]:
        if nat["State"] != "deleted" and nat["NatGatewayAddresses"][0]["AllocationId"] == live(seen).id:
            client("ec2").delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    client("ec2").release_address(AllocationId=live(seen).id)


def lead_to_the_internet(client: Client, seen: Seen) -> None:
    (gateway,) = client("ec2").describe_internet_gateways()["InternetGateways"]
    route = {"DestinationCidrBlock": EVERYWHERE, "GatewayId": gateway["InternetGatewayId"]}
    lead = client("ec2").replace_route if live(seen).facts["nat"] else client("ec2").create_route
    lead(RouteTableId=live(seen).id, **route)


def disassociate(client: Client, seen: Seen) -> None:
    for association in live(seen).facts["associations"].values():
        client("ec2").disassociate_route_table(AssociationId=association)


def hang_on_the_main_table(client: Client, seen: Seen) -> None:
    here = [{"Name": "vpc-id", "Values": [live(seen).facts["vpc"]]}, {"Name": "association.main", "Values": ["true"]}]
    (main,) = client("ec2").describe_route_tables(Filters=here)["RouteTables"]
    for association in live(seen).facts["associations"].values():
        client("ec2").replace_route_table_association(AssociationId=association, RouteTableId=main["RouteTableId"])


def delete_table(client: Client, seen: Seen) -> None:
    disassociate(client, seen)
    client("ec2").delete_route_table(RouteTableId=live(seen).id)


def forget_a_table(client: Client, seen: Seen) -> None:
    table = live(seen).facts["route_tables"][0]
    client("ec2").modify_vpc_endpoint(VpcEndpointId=live(seen).id, RemoveRouteTableIds=[table])


def delete_group(client: Client, seen: Seen) -> None:
    for group in client("ec2").describe_security_groups()["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            if any(pair["GroupId"] == live(seen).id for pair in rule["UserIdGroupPairs"]):
                client("ec2").revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
    client("ec2").delete_security_group(GroupId=live(seen).id)


def each_rule(change: Callable[[Any, str, str, dict[str, Any]], object]) -> Hand:
    """Do something to every rule of a group: (EC2, group, side, rule)."""

    def do(client: Client, seen: Seen) -> None:
        (group,) = client("ec2").describe_security_groups(GroupIds=[live(seen).id])["SecurityGroups"]
        for side, listed in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            for rule in group[listed]:
                change(client("ec2"), live(seen).id, side, rule)

    return do


def revoke(ec2: Any, group: str, side: str, rule: dict[str, Any]) -> None:
    getattr(ec2, f"revoke_security_group_{side}")(GroupId=group, IpPermissions=[rule])


def describe_anew(ec2: Any, group: str, side: str, rule: dict[str, Any]) -> None:
    for peer in (*rule["IpRanges"], *rule["UserIdGroupPairs"]):
        peer["Description"] = "temporary, ask Bob"
    getattr(ec2, f"update_security_group_rule_descriptions_{side}")(GroupId=group, IpPermissions=[rule])


def default_acl(client: Client, vpc: str) -> str:
    here = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}]
    (acl,) = client("ec2").describe_network_acls(Filters=here)["NetworkAcls"]
    return str(acl["NetworkAclId"])


def entry(verb: str, number: int, **changes: Any) -> Hand:
    """Do something to a rule of an ACL that lets packets in."""
    return lambda client, seen: getattr(client("ec2"), f"{verb}_network_acl_entry")(
        NetworkAclId=live(seen).id, RuleNumber=number, Egress=False, **changes
    )


def move_subnets(client: Client, seen: Seen) -> None:
    default = default_acl(client, live(seen).facts["vpc"])
    (acl,) = client("ec2").describe_network_acls(NetworkAclIds=[live(seen).id])["NetworkAcls"]
    for each in acl["Associations"]:
        association = each["NetworkAclAssociationId"]
        client("ec2").replace_network_acl_association(AssociationId=association, NetworkAclId=default)


def delete_acl(client: Client, seen: Seen) -> None:
    move_subnets(client, seen)
    client("ec2").delete_network_acl(NetworkAclId=live(seen).id)


def role(verb: str, **changes: Any) -> Hand:
    return lambda client, seen: getattr(client("iam"), verb)(RoleName=seen.step.label, **changes)


def delete_role(client: Client, seen: Seen) -> None:
    for policy in client("iam").list_role_policies(RoleName=seen.step.label)["PolicyNames"]:
        client("iam").delete_role_policy(RoleName=seen.step.label, PolicyName=policy)
    for each in client("iam").list_attached_role_policies(RoleName=seen.step.label)["AttachedPolicies"]:
        client("iam").detach_role_policy(RoleName=seen.step.label, PolicyArn=each["PolicyArn"])
    client("iam").delete_role(RoleName=seen.step.label)


def retag_role(client: Client, seen: Seen) -> None:
    client("iam").untag_role(RoleName=seen.step.label, TagKeys=["team"])
    client("iam").tag_role(RoleName=seen.step.label, Tags=[{"Key": "Name", "Value": "mine"}])


def retag_group(client: Client, seen: Seen) -> None:
    client("logs").untag_resource(resourceArn=live(seen).facts["arn"], tagKeys=["team"])
    client("logs").tag_resource(resourceArn=live(seen).facts["arn"], tags={"Name": "mine"})


def encrypt_group(client: Client, seen: Seen) -> None:
    lets = {"Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Action": "kms:*"}
    keeps = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
    statements = [{**each, "Resource": "*"} for each in (lets, keeps)]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    key = client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    client("logs").associate_kms_key(logGroupName=live(seen).id, kmsKeyId=key)
    client("kms").schedule_key_deletion(KeyId=key)


def replace_flow_log(**changes: Any) -> Hand:
    """Put another flow log with our tags in the place of ours, which AWS lets nobody change."""

    def do(client: Client, seen: Seen) -> None:
        ec2 = client("ec2")
        (log,) = ec2.describe_flow_logs(FlowLogIds=[live(seen).id])["FlowLogs"]
        ec2.delete_flow_logs(FlowLogIds=[live(seen).id])
        wanted = {
            "TrafficType": log["TrafficType"],
            "LogGroupName": log["LogGroupName"],
            "DeliverLogsPermissionArn": log["DeliverLogsPermissionArn"],
            "TagSpecifications": [{"ResourceType": "vpc-flow-log", "Tags": log["Tags"]}],
        }
        ec2.create_flow_logs(ResourceType="VPC", ResourceIds=[log["ResourceId"]], **{**wanted, **changes})

    return do


def lose_its_group(client: Client, seen: Seen) -> None:
    """Leave a flow log that delivers nothing."""
    client("logs").delete_log_group(logGroupName=live(seen).facts["group"])
    replace_flow_log()(client, seen)


def retag_bucket(client: Client, seen: Seen) -> None:
    tags = {**live(seen).facts["all_tags"], "team": "somebody else"}
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    client("s3").put_bucket_tagging(Bucket=live(seen).id, Tagging={"TagSet": tag_set})


def weaken_policy(client: Client, seen: Seen) -> None:
    policy = json.loads(client("s3").get_bucket_policy(Bucket=live(seen).id)["Policy"])
    policy["Statement"][0]["Action"] = "s3:PutObject"
    client("s3").put_bucket_policy(Bucket=live(seen).id, Policy=json.dumps(policy))


def add_a_public_subnet(client: Client, seen: Seen) -> None:
    ec2 = client("ec2")
    (public,) = ec2.describe_subnets(Filters=[{"Name": "tag:provisioner:step", "Values": ["public-1"]}])["Subnets"]
    subnets = [*live(seen).facts["subnets"], public["SubnetId"]]
    client("rds").modify_db_subnet_group(DBSubnetGroupName=live(seen).id, SubnetIds=subnets)


def allow_plain_connections(client: Client, seen: Seen) -> None:
    off = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    client("rds").modify_db_cluster_parameter_group(DBClusterParameterGroupName=live(seen).id, Parameters=[off])


def open_to_the_default_group(client: Client, seen: Seen) -> None:
    (own,) = live(seen).facts["security_groups"]
    (group,) = client("ec2").describe_security_groups(GroupIds=[own])["SecurityGroups"]
    default = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [group["VpcId"]]}]
    (stranger,) = client("ec2").describe_security_groups(Filters=default)["SecurityGroups"]
    cluster(VpcSecurityGroupIds=[own, stranger["GroupId"]])(client, seen)


def delete_instance(client: Client, seen: Seen) -> None:
    client("rds").delete_db_instance(DBInstanceIdentifier=live(seen).id, SkipFinalSnapshot=True)


def delete_database(client: Client, seen: Seen) -> None:
    cluster(DeletionProtection=False)(client, seen)
    for each in client("rds").describe_db_instances()["DBInstances"]:
        client("rds").delete_db_instance(DBInstanceIdentifier=each["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    client("rds").delete_db_cluster(DBClusterIdentifier=live(seen).id, SkipFinalSnapshot=True)


CHANGES = (
    Change("Vpc", "DNS turned off", attribute("EnableDnsSupport")),
    Change("Vpc", "host names turned off", attribute("EnableDnsHostnames")),
    Change("Vpc", "tags changed", untag),
    Change(
        "Subnet",
        "public addresses on launch",
        lambda client, seen: client("ec2").modify_subnet_attribute(
            SubnetId=live(seen).id, MapPublicIpOnLaunch={"Value": True}
        ),
    ),
    Change("Subnet", "tags changed", untag),
    Change(
        "Subnet",
        "deleted",
        lambda client, seen: client("ec2").delete_subnet(SubnetId=live(seen).id),
        ("dev",),
        only="public",
    ),
    Change("InternetGateway", "tags changed", untag),
    Change("InternetGateway", "detached", detach, ("dev",)),
    Change("InternetGateway", "deleted", delete_gateway, ("dev",)),
    Change("ElasticIp", "tags changed", untag, WITH_NAT),
    Change("ElasticIp", "released with its gateway", release_with_its_gateway, WITH_NAT),
    Change("NatGateway", "tags changed", untag, WITH_NAT),
    Change(
        "NatGateway",
        "deleted",
        lambda client, seen: client("ec2").delete_nat_gateway(NatGatewayId=live(seen).id),
        WITH_NAT,
    ),
    Change("RouteTable", "tags changed", untag),
    Change(
        "RouteTable",
        "route deleted",
        lambda client, seen: client("ec2").delete_route(RouteTableId=live(seen).id, DestinationCidrBlock=EVERYWHERE),
        only="public",
    ),
    Change("RouteTable", "private subnets led to the internet", lead_to_the_internet, only="private"),
    Change("RouteTable", "disassociated", disassociate),
    Change("RouteTable", "subnets hung on the main table", hang_on_the_main_table),
    Change("RouteTable", "deleted", delete_table),
    Change("VpcEndpoint", "tags changed", untag),
    Change("VpcEndpoint", "a table taken out", forget_a_table),
    Change(
        "VpcEndpoint",
        "deleted",
        lambda client, seen: client("ec2").delete_vpc_endpoints(VpcEndpointIds=[live(seen).id]),
    ),
    Change(
        "VpcEndpoint",
        "opened to everybody",
        lambda client, seen: client("ec2").modify_vpc_endpoint(
            VpcEndpointId=live(seen).id, PolicyDocument=json.dumps(FULL)
        ),
    ),
    Change("NetworkAcl", "tags changed", untag, HARDENED),
    Change("NetworkAcl", "a rule added", entry("create", 1, **EVERYBODY), HARDENED),
    Change("NetworkAcl", "a rule taken", entry("delete", 100), HARDENED),
    Change("NetworkAcl", "a rule changed", entry("replace", 300, **EVERYBODY), HARDENED),
    Change("NetworkAcl", "subnets moved to the default one", move_subnets, HARDENED),
    Change("NetworkAcl", "deleted", delete_acl, HARDENED),
    Change("DefaultNetworkAcl", "a rule added", entry("create", 1, **EVERYBODY)),
    Change(
        "DefaultNetworkAcl",
        "a rule changed",
        entry("replace", 100, **{**EVERYBODY, "RuleAction": "deny"}),
        ("dev", "staging"),
    ),
    Change("DefaultNetworkAcl", "closed", entry("delete", 100), ("dev", "staging")),
    Change("DefaultNetworkAcl", "opened", entry("create", 100, **EVERYBODY), HARDENED),
    Change("Role", "tags changed", retag_role, HARDENED),
    Change(
        "Role",
        "trust widened",
        role("update_assume_role_policy", PolicyDocument=json.dumps(TRUSTING)),
        HARDENED,
    ),
    Change(
        "Role",
        "permissions changed",
        role("put_role_policy", PolicyName="own", PolicyDocument=json.dumps(PERMITTING)),
        HARDENED,
    ),
    Change(
        "Role",
        "permissions added",
        role("put_role_policy", PolicyName="more", PolicyDocument=json.dumps(PERMITTING)),
        HARDENED,
    ),
    Change(
        "Role",
        "made an administrator",
        role("attach_role_policy", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        HARDENED,
    ),
    Change(
        "Role",
        "bounded",
        role("put_role_permissions_boundary", PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
        HARDENED,
    ),
    Change("Role", "deleted", delete_role, HARDENED),
    Change("LogGroup", "tags changed", retag_group, HARDENED),
    Change(
        "LogGroup",
        "kept for ever",
        lambda client, seen: client("logs").delete_retention_policy(logGroupName=live(seen).id),
        HARDENED,
    ),
    Change("LogGroup", "encrypted with another key", encrypt_group),
    Change(
        "LogGroup",
        "deleted",
        lambda client, seen: client("logs").delete_log_group(logGroupName=live(seen).id),
        HARDENED,
    ),
    Change("FlowLog", "tags changed", untag, HARDENED),
    Change("FlowLog", "of what is refused only", replace_flow_log(TrafficType="REJECT"), HARDENED),
    Change("FlowLog", "put together more often", replace_flow_log(MaxAggregationInterval=60), HARDENED),
    Change("FlowLog", "without a group to write to", lose_its_group, HARDENED),
    Change(
        "FlowLog",
        "deleted",
        lambda client, seen: client("ec2").delete_flow_logs(FlowLogIds=[live(seen).id]),
        HARDENED,
    ),
    Change("SecurityGroup", "tags changed", untag),
    Change("SecurityGroup", "deleted", delete_group, only="app"),
    Change("SecurityRules", "a rule in added", rules("authorize_security_group_ingress", SSH)),
    Change("SecurityRules", "a rule out added", rules("authorize_security_group_egress", SSH)),
    Change("SecurityRules", "all rules revoked", each_rule(revoke)),
    Change("SecurityRules", "descriptions changed", each_rule(describe_anew)),
    Change("DefaultSecurityGroup", "a rule added", rules("authorize_security_group_ingress", SSH)),
    Change("Bucket", "tags changed", retag_bucket),
    Change("Bucket", "opened to the public", setting("delete_public_access_block")),
    Change(
        "Bucket",
        "access lists allowed",
        setting(
            "put_bucket_ownership_controls", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
        ),
    ),
    Change(
        "Bucket",
        "encrypted otherwise",
        setting(
            "put_bucket_encryption",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            },
        ),
    ),
    Change(
        "Bucket",
        "versioning suspended",
        setting("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
    ),
    Change("Bucket", "everything kept for ever", setting("delete_bucket_lifecycle")),
    Change("Bucket", "policy deleted", setting("delete_bucket_policy")),
    Change("Bucket", "policy weakened", weaken_policy),
    Change("Bucket", "deleted", setting("delete_bucket")),
    Change("DbSubnetGroup", "tags changed", untag_in_rds),
    Change("DbSubnetGroup", "a public subnet added", add_a_public_subnet),
    Change("DbParameters", "tags changed", untag_in_rds),
    Change("DbParameters", "plain connections allowed", allow_plain_connections),
    Change("Cluster", "tags changed", untag_in_rds),
    Change("Cluster", "made large", cluster(ServerlessV2ScalingConfiguration={"MinCapacity": 8, "MaxCapacity": 64})),
    Change("Cluster", "backups kept longer", cluster(BackupRetentionPeriod=35)),
    Change("Cluster", "protection on", cluster(DeletionProtection=True), ("dev", "staging")),
    Change("Cluster", "protection off", cluster(DeletionProtection=False), ("prod",)),
    Change("Cluster", "authentication by IAM off", cluster(EnableIAMDatabaseAuthentication=False)),
    Change("Cluster", "snapshots without tags", cluster(CopyTagsToSnapshot=False)),
    Change("Cluster", "other parameters", cluster(DBClusterParameterGroupName="default.aurora-postgresql16")),
    Change("Cluster", "opened to another group", open_to_the_default_group),
    Change(
        "Cluster",
        "stopped",
        lambda client, seen: client("rds").stop_db_cluster(DBClusterIdentifier=live(seen).id),
    ),
    Change("Cluster", "deleted", delete_database),
    Change("DbInstance", "tags changed", untag_in_rds),
    Change("DbInstance", "made public", instance(PubliclyAccessible=True)),
    Change("DbInstance", "kept at its minor version", instance(AutoMinorVersionUpgrade=False)),
    Change("DbInstance", "promoted last", instance(PromotionTier=15)),
    Change("DbInstance", "of a fixed size", instance(DBInstanceClass="db.r6g.large")),
    Change("DbInstance", "deleted", delete_instance),
    Change(
        "Cluster", "logs told no more", cluster(CloudwatchLogsExportConfiguration={"DisableLogTypes": ["postgresql"]})
    ),
    *(Change(*each) for each in hands_security.CHANGES),
)


def disown(client: Client, seen: Seen) -> None:
    """Take the tag from it that makes it this project's and not another's."""
    key = "provisioner:project"
    if seen.step.kind in ("Bucket", "LogBucket"):
        tags = {name: value for name, value in live(seen).facts["all_tags"].items() if name != key}
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        client("s3").put_bucket_tagging(Bucket=live(seen).id, Tagging={"TagSet": tag_set})
    elif seen.step.kind == "LogGroup":
        client("logs").untag_resource(resourceArn=live(seen).facts["arn"], tagKeys=[key])
    elif seen.step.kind == "Role":
        client("iam").untag_role(RoleName=seen.step.label, TagKeys=[key])
    elif hands_security.disown(client, seen, key):
        pass
    elif "arn" in live(seen).facts:
        client("rds").remove_tags_from_resource(ResourceName=live(seen).facts["arn"], TagKeys=[key])
    else:
        client("ec2").delete_tags(Resources=[live(seen).id], Tags=[{"Key": key}])


def obey(client: Client, command: str) -> None:
    """Do with boto3 what the command does."""
    words = shlex.split(command)
    options = dict(zip(words[3::2], words[4::2], strict=False))
    if words[1] == "s3api":
        client("s3").put_bucket_tagging(Bucket=options["--bucket"], Tagging=json.loads(options["--tagging"]))
    elif words[1] == "logs":
        client("logs").tag_resource(resourceArn=options["--resource-arn"], tags=json.loads(options["--tags"]))
    elif hands_security.obey(client, words, options):
        pass
    elif words[1] == "iam":
        client("iam").tag_role(RoleName=options["--role-name"], Tags=json.loads(options["--tags"]))
    elif words[1] == "ec2":
        client("ec2").create_tags(Resources=[options["--resources"]], Tags=json.loads(options["--tags"]))
    else:
        pairs = (word.removeprefix("Key=").partition(",Value=") for word in words[words.index("--tags") + 1 :])
        tags = [{"Key": key, "Value": value} for key, _, value in pairs]
        client("rds").add_tags_to_resource(ResourceName=options["--resource-name"], Tags=tags)
