"""The table of contents of a stack: settings and choices in, steps out; pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from typing import Any

from provisioner.kit import Stack, Step
from provisioner.settings import Settings
from provisioner.survey import Choices
from steps.acl_rules import OPEN, AclRule
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
from steps.endpoint_policy import s3_of
from steps.event_subscription import EventSubscription
from steps.flow_log import FlowLog
from steps.internet_gateway import InternetGateway
from steps.key import Key
from steps.log_bucket import LogBucket
from steps.log_group import LogGroup
from steps.nat_gateway import NatGateway
from steps.network_acl import NetworkAcl
from steps.rds import ENGINE
from steps.role import Role
from steps.route_table import RouteTable
from steps.security_group import SecurityGroup
from steps.security_rules import Rule, SecurityRules
from steps.subnet import Subnet
from steps.topic import Topic
from steps.vpc import Vpc
from steps.vpc_endpoint import VpcEndpoint

ANYWHERE = "0.0.0.0/0"
QUERIES = {"log_statement": "ddl", "log_min_duration_statement": "1000"}
"""Parameters of a hardened database, which logs what changes its schema and what takes longer than a second."""
CLUSTER_ALERTS = ("failure", "maintenance")
INSTANCE_ALERTS = ("configuration change", "failure", "maintenance")
"""Exactly the categories that FSBP RDS.19 and RDS.20 name: Prowler takes one more for a failure."""
MONITORING = 60
"""Seconds between two looks at a database's operating system."""
TCP, ICMP = "6", "1"
ANSWERS = (
    AclRule("in", 300, ANYWHERE, TCP, (1024, 3388)),
    AclRule("in", 310, ANYWHERE, TCP, (3390, 65535)),
    AclRule("in", 320, ANYWHERE, ICMP, (3, 4)),
)
"""What an ACL, which remembers no connection, has to let back in: answers to the ports that NAT gateways and Linux
choose from (VPC User Guide, "Ephemeral ports"), and word that a packet was too large ("Path MTU Discovery").

3389 is left out, and not denied by a rule before: checks that read rules in their order and those that do not find no
remote desktop open to the world, and a client that happens to choose that port tries again. There is none for UDP: an
application's group lets nothing but TCP out, and what the network's own resolver and clock say no ACL looks at.
"""
WRITE_LOGS = ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
"""VPC User Guide, "IAM role for publishing flow logs to CloudWatch Logs"; but for CreateLogGroup, with which the
service would make the group anew, without tags, after it was deleted."""


def blueprint(settings: Settings, stack: Stack, choices: Choices) -> list[Step]:
    """Draw the stack: every step once, each after what it refers to."""
    common: dict[str, Any] = {"stack": stack, "tags": settings.tags}
    vpc = Vpc(name="vpc", cidr=choices.cidr, implied=settings.implied("network", "cidr"), **common)
    public, private = _subnets(vpc, choices, common)
    steps: list[Step] = [vpc, DefaultSecurityGroup(name="default-rules", vpc=vpc, **common), *public, *private]
    key = _key(settings, common) if settings.has("own_key") else None
    steps += [key] if key else []
    steps += _borders(settings, vpc, public, private, common)
    steps += _routes(settings.network.nat, vpc, public, private, common)
    if settings.has("flow_logs"):
        steps += _flow_log(settings, vpc, common, key)
    app = SecurityGroup(name="app", vpc=vpc, description="The application", output="app_security_group_id", **common)
    out = [Rule("out", 443, ANYWHERE, "HTTPS to anywhere")]
    steps.append(app)
    if settings.database is not None:
        group, *rest = _database(settings, choices, vpc, private, app, key, common)
        out.append(Rule("out", choices.port, group, "PostgreSQL to the database"))
        steps += [group, *rest]
    steps.append(SecurityRules(name="app-rules", group=app, rules=tuple(out), **common))
    if settings.bucket is not None:
        steps += _buckets(settings, key, common)
    return steps


def _key(settings: Settings, common: dict[str, Any]) -> Key:
    """The key that encrypts everything, and whether a snapshot of the database is to need it after all."""
    database = settings.database
    return Key(name="key", final_snapshot=database is not None and database.final_snapshot, **common)


def _role(settings: Settings, **wished: Any) -> Role:
    """A role that is bounded as the file says."""
    return Role(boundary=settings.security.role_boundary or "", **wished)


def _buckets(settings: Settings, key: Key | None, common: dict[str, Any]) -> Iterator[Step]:
    """The bucket, after the one that gets its logs."""
    wish, logs = settings.bucket, None
    assert wish is not None
    if settings.has("access_logs"):
        logs = LogBucket(name="access-logs", days=settings.log_days, **wish.model_dump(), **common)
        yield logs
    yield Bucket(
        name="bucket",
        encryption="aws:kms" if key else "AES256",
        key=key,
        logs=logs,
        events=settings.has("bucket_events"),
        **wish.model_dump(),
        **common,
    )


def _subnets(vpc: Vpc, choices: Choices, common: dict[str, Any]) -> tuple[list[Subnet], list[Subnet]]:
    """Cut the network in eight equal parts: private slots from the front, public ones from the middle."""
    parts = [str(part) for part in IPv4Network(choices.cidr).subnets(prefixlen_diff=3)]
    slots = list(enumerate(choices.zones))
    subnet = partial(Subnet, vpc=vpc, **common)
    return (
        [subnet(name=f"public-{slot + 1}", cidr=parts[slot + 4], zone=zone, public=True) for slot, zone in slots],
        [subnet(name=f"private-{slot + 1}", cidr=parts[slot], zone=zone, public=False) for slot, zone in slots],
    )


def _routes(nat: str, vpc: Vpc, public: list[Subnet], private: list[Subnet], common: dict[str, Any]) -> Iterator[Step]:
    """A private route table per zone, whatever the NAT: to change that later changes routes and nothing else."""
    internet = InternetGateway(name="internet", vpc=vpc, **common)
    table = RouteTable(name="public-routes", vpc=vpc, subnets=tuple(public), gateway=internet, **common)
    yield from (internet, table)
    tables, gateways = [table], list[NatGateway]()
    for slot, subnet in enumerate(public[: {"none": 0, "single": 1}.get(nat)], start=1):
        address = ElasticIp(name=f"nat-address-{slot}", **common)
        gateways.append(NatGateway(name=f"nat-{slot}", subnet=subnet, address=address, internet=internet, **common))
        yield from (address, gateways[-1])
    for slot, subnet in enumerate(private):
        way = gateways[min(slot, len(gateways) - 1)] if gateways else None
        tables.append(RouteTable(name=f"private-routes-{slot + 1}", vpc=vpc, subnets=(subnet,), nat=way, **common))
        yield tables[-1]
    service = f"com.amazonaws.{vpc.stack.region}.s3"
    yield VpcEndpoint(
        name="s3-endpoint",
        vpc=vpc,
        service_name=service,
        route_tables=tuple(tables),
        policy=s3_of(vpc.stack),
        **common,
    )


def _borders(
    settings: Settings, vpc: Vpc, public: list[Subnet], private: list[Subnet], common: dict[str, Any]
) -> Iterator[Step]:
    """Subnets keep the ACL that AWS gives them, or get their own, and then that one closes behind them."""
    if not settings.has("network_acls"):
        yield DefaultNetworkAcl(name="default-acl", vpc=vpc, **common)
        return
    from_web = [AclRule("in", 200 + n, ANYWHERE, TCP, (port, port)) for n, port in enumerate((80, 443))]
    inner = tuple(_inside(vpc.cidr, settings.network.peers))
    acls = tuple(
        NetworkAcl(name=f"{side}-acl", vpc=vpc, subnets=tuple(subnets), rules=(*inner, *more, *ANSWERS), **common)
        for side, subnets, more in (("public", public, from_web), ("private", private, ()))
    )
    yield from acls
    yield DefaultNetworkAcl(name="default-acl", vpc=vpc, rules=(), after=acls, **common)


def _inside(cidr: str, peers: Sequence[str]) -> Iterator[AclRule]:
    """Let in whatever comes from the network and from those it is joined with, and everything out: what of it may
    reach whom is said by the security groups, so no port of a database that stands is cut off."""
    yield from (AclRule("in", number, peer) for number, peer in enumerate((cidr, *peers), start=100))
    yield OPEN[1]


def _flow_log(settings: Settings, vpc: Vpc, common: dict[str, Any], key: Key | None = None) -> Iterator[Step]:
    """The log, after the group it is written to and the role that may write to just that."""
    stack = vpc.stack
    path = f"/aws/vpc/{stack.name}/flow"
    group = LogGroup(name="flow-log-group", path=path, key=key, days=settings.log_days, **common)
    here = f"arn:{stack.partition}:{{}}:{stack.region}:{stack.account}:{{}}"
    role = _role(
        settings,
        name="flow-log-role",
        service="vpc-flow-logs.amazonaws.com",
        source=here.format("ec2", "vpc-flow-log/*"),
        statements=(
            {"Action": list(WRITE_LOGS), "Resource": here.format("logs", f"log-group:{path}:*")},
            {"Action": "logs:DescribeLogGroups", "Resource": "*"},
        ),
        **common,
    )
    yield from (group, role, FlowLog(name="flow-log", vpc=vpc, group=group, role=role, **common))


def _database(
    settings: Settings,
    choices: Choices,
    vpc: Vpc,
    private: list[Subnet],
    app: SecurityGroup,
    key: Key | None,
    common: dict[str, Any],
) -> Iterator[Any]:
    """The database, its security group first; nothing reaches it but the application."""
    wish = settings.database
    assert wish is not None
    group = SecurityGroup(
        name="database", vpc=vpc, description="The database", output="database_security_group_id", **common
    )
    yield group
    reach = Rule("in", choices.port, app, "PostgreSQL from the application")
    yield SecurityRules(name="database-rules", group=group, rules=(reach,), **common)
    subnet_group = DbSubnetGroup(name="cluster-subnets", subnets=tuple(private), **common)
    major = choices.version.split(".")[0]
    parameters = _parameters(settings, f"{ENGINE}{major}", f"cluster-parameters-{major}", common)
    logs = LogGroup(name="cluster-log", path=_log_path(vpc.stack), key=key, days=settings.log_days, **common)
    yield from (subnet_group, parameters, logs)
    named = {"database": "name", "port": "port", "master_user": "master_user", "kms_key": "kms_key"}
    named |= {"version": "engine_version"}
    unnamed = settings.implied("database", *named.values())
    implied = frozenset(field for field, name in named.items() if name in unnamed) | {"storage_encrypted", "secret_key"}
    cluster = Cluster(
        name="cluster",
        subnet_group=subnet_group,
        parameter_group=parameters,
        security_groups=(group,),
        version=choices.version,
        port=choices.port,
        database=wish.name,
        kms_key=wish.kms_key or key,
        secret_key=key,
        logs=(logs,),
        **wish.model_dump(exclude={"name", "port", "engine_version", "instances", "kms_key"}),
        implied=implied,
        **common,
    )
    yield cluster
    instances = yield from _instances(settings, choices, cluster, key, common)
    if key and settings.has("alerts"):
        yield from _alerts(cluster, instances, key, common)
    if settings.has("backup_plan"):
        yield from _backups(settings, cluster, key, common)


def _log_path(stack: Stack) -> str:
    """Where RDS writes what the database logs (Aurora User Guide, "Publishing database logs to CloudWatch Logs")."""
    return f"/aws/rds/cluster/{stack.name}-cluster/postgresql"


def _parameters(settings: Settings, family: str, name: str, common: dict[str, Any]) -> DbParameters:
    """The parameters of the engine, those of a hardened one among them."""
    parameters = DbParameters(name=name, family=family, **common)
    more = QUERIES if settings.hardened else {}
    return replace(parameters, parameters={**parameters.parameters, **more})


def _instances(
    settings: Settings, choices: Choices, cluster: Cluster, key: Key | None, common: dict[str, Any]
) -> Generator[Step, None, list[DbInstance]]:
    """The instances over the zones, and who writes what is seen of their operating systems."""
    assert settings.database is not None
    watched: dict[str, Any] = {}
    if settings.has("enhanced_monitoring"):
        stack, service = cluster.stack, "monitoring.rds.amazonaws.com"
        source = f"arn:{stack.partition}:rds:{stack.region}:{stack.account}:db:{stack.name}-*"
        managed = ("service-role/AmazonRDSEnhancedMonitoringRole",)
        role = _role(settings, name="monitoring-role", service=service, source=source, managed=managed, **common)
        yield role
        watched |= {"monitoring_role": role, "monitoring_seconds": MONITORING}
    if settings.has("performance_insights"):
        watched |= {"performance_insights": True, "insights_key": key}
    zones = choices.zones
    instances = [
        DbInstance(name=f"cluster-{slot + 1}", cluster=cluster, zone=zones[slot % len(zones)], **watched, **common)
        for slot in range(settings.database.instances)
    ]
    yield from instances
    return instances


def _alerts(cluster: Cluster, instances: list[DbInstance], key: Key, common: dict[str, Any]) -> Iterator[Step]:
    """A topic, and what it is told of the database."""
    topic = Topic(name="alerts", key=key, **common)
    subscription = partial(EventSubscription, topic=topic, **common)
    yield topic
    yield subscription(name="cluster-alerts", source_type="db-cluster", sources=(cluster,), categories=CLUSTER_ALERTS)
    yield subscription(
        name="instance-alerts", source_type="db-instance", sources=tuple(instances), categories=INSTANCE_ALERTS
    )


def _backups(settings: Settings, cluster: Cluster, key: Key | None, common: dict[str, Any]) -> Iterator[Step]:
    """A vault that outlives the database, and what is copied into it."""
    managed = ("service-role/AWSBackupServiceRolePolicyForBackup",)
    role = _role(settings, name="backup-role", service="backup.amazonaws.com", managed=managed, **common)
    vault = BackupVault(name="vault", key=key, role=role, implied=frozenset({"key"}), **common)
    yield from (role, vault, BackupPlan(name="backup-plan", vault=vault, role=role, cluster=cluster, **common))
