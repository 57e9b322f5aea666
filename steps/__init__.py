"""One file per kind of resource: what is wanted, what is there, which AWS calls remain.

This page is the one table of kinds; it knows nothing of what they are for.
"""

from provisioner.kit import Step
from steps.backup_plan import BackupPlan
from steps.backup_vault import BackupVault
from steps.bucket import Bucket
from steps.cluster import Cluster
from steps.db_instance import DbInstance
from steps.db_parameters import DbParameters
from steps.db_subnet_group import DbSubnetGroup
from steps.default_network_acl import DefaultNetworkAcl
from steps.default_security_group import DefaultSecurityGroup
from steps.elastic_ip import ElasticIp
from steps.event_subscription import EventSubscription
from steps.flow_log import FlowLog
from steps.internet_gateway import InternetGateway
from steps.key import Key
from steps.log_bucket import LogBucket
from steps.log_group import LogGroup
from steps.nat_gateway import NatGateway
from steps.network_acl import NetworkAcl
from steps.role import Role
from steps.route_table import RouteTable
from steps.security_group import SecurityGroup
from steps.security_rules import SecurityRules
from steps.subnet import Subnet
from steps.topic import Topic
from steps.vpc import Vpc
from steps.vpc_endpoint import VpcEndpoint

KINDS: dict[str, type[Step]] = {
    kind.__name__: kind
    for kind in (
        Vpc,
        Subnet,
        InternetGateway,
        ElasticIp,
        NatGateway,
        RouteTable,
        VpcEndpoint,
        NetworkAcl,
        DefaultNetworkAcl,
        Key,
        Role,
        LogGroup,
        FlowLog,
        SecurityGroup,
        SecurityRules,
        DefaultSecurityGroup,
        LogBucket,
        Bucket,
        DbSubnetGroup,
        DbParameters,
        Cluster,
        DbInstance,
        Topic,
        EventSubscription,
        BackupVault,
        BackupPlan,
    )
}
"""Every kind by the name it has in tags and in the state."""
