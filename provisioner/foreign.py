"""A foreign hand: what somebody with the console does to a stack, drawn by a seed, and whether that was put right.

Knows nothing of steps and engine. A change is read before, after it was made, and once more after the repair.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import deeds
from provisioner.inventory import Client, Found
from provisioner.kit import tags_of

ANYWHERE = "0.0.0.0/0"

Look = Callable[[Client, str], Any]
"""Reads what a change concerns, of the resource with this id."""
Do = Callable[[Client, str], object]


@dataclass(frozen=True)
class Change:
    """Something that can be done to a resource of some kind."""

    kind: str
    """One of those of an inventory."""
    what: str
    look: Look
    do: Do
    step: str = ""
    """How the tag of what it is done to begins, where not every one of the kind will do."""
    subject: str = ""
    """Of what nothing else is changed at the same time, where that is not the kind."""


@dataclass(frozen=True)
class Made:
    """A change that was made, to the resource with this id."""

    change: Change
    id: str
    before: Any

    @property
    def what(self) -> str:
        return f"{self.change.kind} {self.id}: {self.change.what}"


def interfere(client: Client, found: Sequence[Found], seed: int) -> list[Made]:
    """Change one thing of every subject there is. Raises what make does."""
    chance = random.Random(seed)
    able: dict[str, list[tuple[Change, str]]] = defaultdict(list)
    for change in CHANGES:
        ids = [each.id for each in found if concerns(change, each) and not each.leaving]
        if ids:
            able[change.subject or change.kind].append((change, chance.choice(sorted(ids))))
    return [make(client, *chance.choice(choices)) for choices in able.values()]


def put_right(client: Client, made: Iterable[Made]) -> list[tuple[Made, bool]]:
    """Look once more at what was changed, and tell whether it is as it was."""
    return [(each, each.change.look(client, each.id) == each.before) for each in made]


def leave_an_object(client: Client, bucket: str) -> None:
    """Put what somebody would miss into a bucket, in two versions."""
    for content in (b"first", b"second"):
        client("s3").put_object(Bucket=bucket, Key="left/by a user", Body=content)


def concerns(change: Change, each: Found) -> bool:
    """Tell whether a change can be made to a resource: one of the stack's, of its kind."""
    return each.kind == change.kind and bool(each.step) and not each.by_aws and each.step.startswith(change.step)


def make(client: Client, change: Change, id: str) -> Made:
    """Make a change to the resource with this id. Raises ValueError where it shows no effect."""
    made = Made(change, id, change.look(client, id))
    change.do(client, id)
    if change.look(client, id) == made.before:
        raise ValueError(f"{made.what}: shows no effect")
    return made


def _tags(client: Client, id: str) -> Any:
    return tags_of(client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}]))


def _untag(client: Client, id: str) -> None:
    client("ec2").delete_tags(Resources=[id], Tags=[{"Key": "Name"}])


def _host_names(client: Client, id: str) -> Any:
    return client("ec2").describe_vpc_attribute(VpcId=id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]


def _subnet(client: Client, id: str) -> Any:
    (subnet,) = client("ec2").describe_subnets(SubnetIds=[id])["Subnets"]
    return subnet["MapPublicIpOnLaunch"]


def _table(client: Client, id: str) -> dict[str, Any]:
    (table,) = client("ec2").describe_route_tables(RouteTableIds=[id])["RouteTables"]
    return dict(table)


def _routes(client: Client, id: str) -> Any:
    return [route for route in _table(client, id)["Routes"] if route.get("DestinationCidrBlock") == ANYWHERE]


def _associated(client: Client, id: str) -> Any:
    return sorted(each["SubnetId"] for each in _table(client, id)["Associations"])


def _disassociate(client: Client, id: str) -> None:
    for each in _table(client, id)["Associations"]:
        client("ec2").disassociate_route_table(AssociationId=each["RouteTableAssociationId"])


def _rules(client: Client, id: str) -> Any:
    (group,) = client("ec2").describe_security_groups(GroupIds=[id])["SecurityGroups"]
    return sorted(map(str, group["IpPermissions"])), sorted(map(str, group["IpPermissionsEgress"]))


def _open(client: Client, id: str) -> None:
    to_all = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": ANYWHERE}]}
    client("ec2").authorize_security_group_ingress(GroupId=id, IpPermissions=[to_all])


def _close(client: Client, id: str) -> None:
    (group,) = client("ec2").describe_security_groups(GroupIds=[id])["SecurityGroups"]
    client("ec2").revoke_security_group_egress(GroupId=id, IpPermissions=group["IpPermissionsEgress"])


def _endpoints(client: Client, _: str) -> Any:
    """Tell the tables of every endpoint: one that was deleted comes back under another id."""
    listed = client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return sorted(sorted(each["RouteTableIds"]) for each in listed if each["State"].lower() == "available")


def _forget_a_table(client: Client, id: str) -> None:
    (endpoint,) = client("ec2").describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"]
    client("ec2").modify_vpc_endpoint(VpcEndpointId=id, RemoveRouteTableIds=endpoint["RouteTableIds"][:1])


def _acl(client: Client, id: str) -> Any:
    (acl,) = client("ec2").describe_network_acls(NetworkAclIds=[id])["NetworkAcls"]
    entries = sorted(acl["Entries"], key=lambda each: (each["Egress"], each["RuleNumber"]))
    return entries, sorted(each["SubnetId"] for each in acl["Associations"])


def _let_anybody_in(client: Client, id: str) -> None:
    entry = {"RuleNumber": 1, "Egress": False, "Protocol": "-1", "RuleAction": "allow", "CidrBlock": ANYWHERE}
    client("ec2").create_network_acl_entry(NetworkAclId=id, **entry)


def _move_to_the_default(client: Client, id: str) -> None:
    ec2 = client("ec2")
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[id])["NetworkAcls"]
    here = [{"Name": "vpc-id", "Values": [acl["VpcId"]]}, {"Name": "default", "Values": ["true"]}]
    (default,) = ec2.describe_network_acls(Filters=here)["NetworkAcls"]
    for each in acl["Associations"]:
        move = {"AssociationId": each["NetworkAclAssociationId"], "NetworkAclId": default["NetworkAclId"]}
        ec2.replace_network_acl_association(**move)


def _flow_logs(client: Client, _: str) -> Any:
    """Tell what is logged where: one that was deleted comes back under another id."""
    return sorted((each["ResourceId"], each["LogGroupName"]) for each in client("ec2").describe_flow_logs()["FlowLogs"])


def _role(client: Client, id: str) -> Any:
    iam, name = client("iam"), {"RoleName": id.rpartition("/")[2]}
    policies = {
        each: iam.get_role_policy(**name, PolicyName=each)["PolicyDocument"]
        for each in iam.list_role_policies(**name)["PolicyNames"]
    }
    attached = sorted(each["PolicyArn"] for each in iam.list_attached_role_policies(**name)["AttachedPolicies"])
    return policies, attached, iam.get_role(**name)["Role"]["AssumeRolePolicyDocument"]


def _log_group(client: Client, id: str) -> Any:
    found = client("logs").describe_log_groups(logGroupNamePrefix=id)["logGroups"]
    return [(each["logGroupName"], each.get("retentionInDays")) for each in found]


def _gateways(client: Client, _: str) -> Any:
    """Tell where every NAT gateway is: one that was deleted comes back under another id."""
    listed = client("ec2").describe_nat_gateways()["NatGateways"]
    living = [each for each in listed if each["State"] == "available"]
    return sorted((each["SubnetId"], tags_of(each).get("Name", "")) for each in living)


def _cluster(fact: str) -> Look:
    def look(client: Client, id: str) -> Any:
        return client("rds").describe_db_clusters(DBClusterIdentifier=id)["DBClusters"][0][fact]

    return look


def _modify(**changes: Any) -> Do:
    return lambda client, id: client("rds").modify_db_cluster(DBClusterIdentifier=id, ApplyImmediately=True, **changes)


def _switch_protection(client: Client, id: str) -> None:
    _modify(DeletionProtection=not _cluster("DeletionProtection")(client, id))(client, id)


def _keep_backups_otherwise(client: Client, id: str) -> None:
    _modify(BackupRetentionPeriod=8 if _cluster("BackupRetentionPeriod")(client, id) != 8 else 9)(client, id)


def _instances(client: Client, _: str) -> Any:
    listed = client("rds").describe_db_instances()["DBInstances"]
    living = [each for each in listed if each["DBInstanceStatus"] == "available"]
    return sorted((each["DBInstanceIdentifier"], each["PubliclyAccessible"]) for each in living)


def _setting(name: str) -> Look:
    def look(client: Client, id: str) -> Any:
        s3 = client("s3")
        try:
            answer = getattr(s3, f"get_{name}")(Bucket=id)
        except s3.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return {key: told for key, told in answer.items() if key != "ResponseMetadata"}

    return look


CHANGES = (
    Change("VPC", "its name tag taken", _tags, _untag),
    Change(
        "VPC",
        "DNS host names switched off",
        _host_names,
        lambda client, id: client("ec2").modify_vpc_attribute(VpcId=id, EnableDnsHostnames={"Value": False}),
    ),
    Change(
        "subnet",
        "public addresses given in it",
        _subnet,
        lambda client, id: client("ec2").modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch={"Value": True}),
        step="private",
    ),
    Change("subnet", "its name tag taken", _tags, _untag),
    Change(
        "route table",
        "the way to the internet removed",
        _routes,
        lambda client, id: client("ec2").delete_route(RouteTableId=id, DestinationCidrBlock=ANYWHERE),
        step="public",
    ),
    Change("route table", "its subnets taken off", _associated, _disassociate),
    Change("security group", "PostgreSQL opened to the world", _rules, _open, step="database"),
    Change("security group", "the way out closed", _rules, _close, step="app"),
    Change("endpoint", "a route table taken off", _endpoints, _forget_a_table),
    Change(
        "endpoint",
        "deleted",
        _endpoints,
        lambda client, id: client("ec2").delete_vpc_endpoints(VpcEndpointIds=[id]),
    ),
    Change("network ACL", "everybody let in", _acl, _let_anybody_in),
    Change("network ACL", "its subnets moved to the default one", _acl, _move_to_the_default),
    Change("flow log", "its name tag taken", _tags, _untag),
    Change(
        "flow log",
        "deleted",
        _flow_logs,
        lambda client, id: client("ec2").delete_flow_logs(FlowLogIds=[id]),
    ),
    Change(
        "role",
        "made an administrator",
        _role,
        lambda client, id: client("iam").attach_role_policy(
            RoleName=id.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        ),
    ),
    Change(
        "log group",
        "everything kept for ever",
        _log_group,
        lambda client, id: client("logs").delete_retention_policy(logGroupName=id),
    ),
    Change("NAT gateway", "its name tag taken", _tags, _untag),
    Change(
        "NAT gateway",
        "deleted",
        _gateways,
        lambda client, id: client("ec2").delete_nat_gateway(NatGatewayId=id),
    ),
    Change(
        "bucket",
        "no longer closed to the public",
        _setting("public_access_block"),
        lambda client, id: client("s3").delete_public_access_block(Bucket=id),
    ),
    Change(
        "bucket",
        "versioning suspended",
        _setting("bucket_versioning"),
        lambda client, id: client("s3").put_bucket_versioning(
            Bucket=id, VersioningConfiguration={"Status": "Suspended"}
        ),
    ),
    Change(
        "bucket",
        "its policy deleted",
        _setting("bucket_policy"),
        lambda client, id: client("s3").delete_bucket_policy(Bucket=id),
    ),
    Change("key", "disabled", deeds.key, lambda client, id: client("kms").disable_key(KeyId=id)),
    Change("key", "about to be deleted", deeds.key, lambda client, id: client("kms").schedule_key_deletion(KeyId=id)),
    Change("key", "its alias taken", deeds.key, deeds.take_the_aliases),
    Change(
        "topic",
        "unencrypted",
        deeds.topic,
        lambda client, id: client("sns").set_topic_attributes(
            TopicArn=id, AttributeName="KmsMasterKeyId", AttributeValue=""
        ),
    ),
    Change(
        "event subscription",
        "switched off",
        deeds.subscriptions,
        lambda client, id: client("rds").modify_event_subscription(SubscriptionName=id, Enabled=False),
    ),
    Change(
        "event subscription",
        "deleted",
        deeds.subscriptions,
        lambda client, id: client("rds").delete_event_subscription(SubscriptionName=id),
    ),
    Change("backup vault", "its name tag taken", deeds.vault, deeds.untag_the_vault),
    Change("backup plan", "nothing copied any more", deeds.selections, deeds.select_nothing),
    Change(
        "cluster",
        "deletion protection switched",
        _cluster("DeletionProtection"),
        _switch_protection,
        subject="database",
    ),
    Change(
        "cluster",
        "backups kept otherwise",
        _cluster("BackupRetentionPeriod"),
        _keep_backups_otherwise,
        subject="database",
    ),
    Change(
        "cluster",
        "stopped",
        _cluster("Status"),
        lambda client, id: client("rds").stop_db_cluster(DBClusterIdentifier=id),
        subject="database",
    ),
    Change(
        "instance",
        "made public",
        _instances,
        lambda client, id: client("rds").modify_db_instance(
            DBInstanceIdentifier=id, PubliclyAccessible=True, ApplyImmediately=True
        ),
        subject="database",
    ),
    Change(
        "instance",
        "deleted",
        _instances,
        lambda client, id: client("rds").delete_db_instance(DBInstanceIdentifier=id, SkipFinalSnapshot=True),
        subject="database",
    ),
)
