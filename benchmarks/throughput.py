"""Measure how many requests the embedded cloud's server answers, against moto's own server: eight threads on each.

Both get the same requests in the same order, recorded once from boto3 and sent again over plain sockets, so that what
is measured is the server. Rounds are short and alternate.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks.commands import ROOT, environment
from benchmarks.figures import Failed, Figure
from provisioner.local import process, wire

THREADS = 8
TURNS = 3
"""How often each thread sends the whole mix in a round."""
READY = 60.0
NAME = "the-name-of-a-group"
"""In a recorded request, what is to be another one whenever it is sent."""
REGION, BUCKET = "us-east-1", "a-bucket-of-the-benchmark"
TAGS = [{"Key": "provisioner:stack", "Value": "acme-dev"}, {"Key": "team", "Value": "platform"}]
OURS = [{"Name": "tag:provisioner:stack", "Values": ["acme-dev"]}]


@dataclass(frozen=True)
class Sent:
    """A request as botocore sends it; nobody checks its signature."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    seconds: float
    """A request, of all threads together."""
    errors: int


def measure(rounds: int) -> Iterator[Figure]:
    """Give the time a request takes on ours and on moto's, and the errors on ours."""
    with TemporaryDirectory(prefix="provisioner-bench-") as folder, _moto(Path(folder)) as theirs:
        try:
            mixes = {side: _recorded(side) for side in (process.up(Path(folder)).endpoint, theirs)}
            taken = [[_round(side, mix) for side, mix in mixes.items()] for _ in range(rounds + 1)][1:]
        finally:
            process.down(Path(folder))
    ours, bare_moto = zip(*taken, strict=True)
    spent = [1000 * median(each.seconds for each in side) for side in (ours, bare_moto)]
    yield Figure(f"{THREADS} threads: time a request", spent[0], 1, "moto's own server", spent[1], "ms")
    yield Figure(f"{THREADS} threads: errors", max(each.errors for each in ours), 0)


@contextmanager
def _moto(folder: Path) -> Iterator[str]:
    """Run what ``moto_server`` runs, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "--port", str(port)]
    with open(os.devnull, "w") as nowhere:
        child = subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere, env=environment(folder))
    try:
        _await(port, child)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


def _await(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed("moto's own server does not come up")


def _recorded(endpoint: str) -> list[tuple[Sent, ...]]:
    """Build something to ask about, and give the requests of the mix; those of a tuple go out one after another."""
    session = wire.isolated_session(REGION)
    sent: list[Sent] = []

    def record(request: Any, **_: Any) -> None:
        sent.append(Sent(request.method, *_read(request)))

    clients = {name: session.client(name, **wire.client_options(endpoint)) for name in ("ec2", "rds", "s3", "sts")}
    vpc, subnets = _network(clients["ec2"])
    cluster = _data(clients["rds"], clients["s3"], subnets)
    for client in clients.values():
        client.meta.events.register("before-send", record)
    mix = []
    for each in (*_reads(vpc, cluster, **clients), *_changes(vpc, cluster, **clients)):
        each()
        mix.append(tuple(sent))
        sent.clear()
    return mix


def _read(request: Any) -> tuple[str, dict[str, str], bytes]:
    """Give target, headers and body of a request that botocore is about to send."""
    url, body = urlsplit(request.url), request.body or b""
    content = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else bytes(body)
    if hasattr(body, "seek"):
        body.seek(0)
    told = {name: each.decode() if isinstance(each, bytes) else str(each) for name, each in request.headers.items()}
    return url.path + (f"?{url.query}" if url.query else ""), told, content


def _network(ec2: Any) -> tuple[str, list[str]]:
    """Build a network as far as moto's own server lets it be built; gives the VPC and its subnets."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=_born("vpc"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=_born("internet-gateway"))
    ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway["InternetGateway"]["InternetGatewayId"])
    subnets = []
    for third, zone in enumerate("abab"):
        given = {"CidrBlock": f"10.0.{third}.0/24", "AvailabilityZone": f"{REGION}{zone}"}
        subnet = ec2.create_subnet(VpcId=vpc, TagSpecifications=_born("subnet"), **given)["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc, TagSpecifications=_born("route-table"))["RouteTable"]
        ec2.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=subnet)
        group = {"GroupName": f"group-of-{third}", "Description": "one of four"}
        ec2.create_security_group(VpcId=vpc, TagSpecifications=_born("security-group"), **group)
        subnets.append(subnet)
    service = {"ServiceName": f"com.amazonaws.{REGION}.s3", "VpcEndpointType": "Gateway"}
    ec2.create_vpc_endpoint(VpcId=vpc, TagSpecifications=_born("vpc-endpoint"), **service)
    return vpc, subnets


def _data(rds: Any, s3: Any, subnets: list[str]) -> str:
    """Build a bucket and a database; gives the ARN of the cluster."""
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": TAGS})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnets)
    tuned = {"DBClusterParameterGroupName": "tuned", "DBParameterGroupFamily": "aurora-postgresql16"}
    rds.create_db_cluster_parameter_group(Description="tuned", **tuned)
    engine = {"DBClusterIdentifier": "db", "Engine": "aurora-postgresql"}
    capacity = {"MinCapacity": 0.5, "MaxCapacity": 4}
    owner = {"MasterUsername": "owner", "ManageMasterUserPassword": True, "Tags": TAGS}
    made = rds.create_db_cluster(DBSubnetGroupName="data", ServerlessV2ScalingConfiguration=capacity, **engine, **owner)
    rds.create_db_instance(DBInstanceIdentifier="db-1", DBInstanceClass="db.serverless", Tags=TAGS, **engine)
    return str(made["DBCluster"]["DBClusterArn"])


def _born(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def _reads(vpc: str, cluster: str, ec2: Any, rds: Any, s3: Any, sts: Any) -> Iterator[Callable[[], Any]]:
    """Name the questions that a run which finds nothing to do asks."""
    yield sts.get_caller_identity
    for noun in ("vpcs", "subnets", "internet_gateways", "route_tables", "security_groups", "vpc_endpoints"):
        yield lambda noun=noun: getattr(ec2, f"describe_{noun}")(Filters=OURS)
    for noun in ("clusters", "instances", "subnet_groups", "cluster_parameter_groups"):
        yield getattr(rds, f"describe_db_{noun}")
    yield lambda: ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")
    yield lambda: rds.list_tags_for_resource(ResourceName=cluster)
    for noun in ("tagging", "versioning", "location"):
        yield lambda noun=noun: getattr(s3, f"get_bucket_{noun}")(Bucket=BUCKET)


def _changes(vpc: str, cluster: str, ec2: Any, rds: Any, s3: Any, sts: Any) -> Iterator[Callable[[], Any]]:
    """Name changes that can be made again and again, and a security group that comes and goes."""
    yield lambda: ec2.create_tags(Resources=[vpc], Tags=TAGS)
    yield lambda: ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    yield lambda: rds.add_tags_to_resource(ResourceName=cluster, Tags=TAGS)
    yield lambda: s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": TAGS})

    def come_and_go() -> None:
        made = ec2.create_security_group(GroupName=NAME, Description="comes and goes", VpcId=vpc)
        ec2.delete_security_group(GroupId=made["GroupId"])

    yield come_and_go


_numbers = count()


def _round(endpoint: str, mix: Sequence[tuple[Sent, ...]]) -> Round:
    """Send the mix from all threads at once, each beginning elsewhere in it."""
    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = [
            pool.submit(_conversation, urlsplit(endpoint).netloc, [*mix[first:], *mix[:first]] * TURNS)
            for first in range(0, THREADS * 2, 2)
        ]
        errors = sum(each.result() for each in answers)
    return Round((time.monotonic() - begun) / (sum(map(len, mix)) * TURNS * THREADS), errors)


def _conversation(address: str, mix: Sequence[tuple[Sent, ...]]) -> int:
    """Send requests one after another over one connection, as long as the server keeps it; gives the errors."""
    connection, errors = HTTPConnection(address, timeout=60), 0
    for requests in mix:
        name, born = f"group-{next(_numbers)}", b""
        for sent in requests:
            body = sent.body.replace(NAME.encode(), name.encode())
            body = re.sub(rb"sg-[0-9a-f]+", born, body) if born else body
            headers = sent.headers | {"Content-Length": str(len(body))}
            try:
                connection.request(sent.method, sent.target, body, headers)
                response = connection.getresponse()
                answer = response.read()
            except (HTTPException, OSError):
                connection.close()
                errors += 1
                continue
            errors += response.status >= 300
            found = re.search(rb"<groupId>(sg-[0-9a-f]+)", answer)
            born = found[1] if found else b""
    connection.close()
    return errors
