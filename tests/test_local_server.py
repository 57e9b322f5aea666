"""The embedded cloud over HTTP: what arrives, who is let in, how the process begins and ends."""

from __future__ import annotations

import http.client
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.local.faults import PRESETS, Faults
from provisioner.local.kept import Kept
from provisioner.local.server import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    cloud = Cloud()
    cloud.reset()
    with Listener(0, cloud) as listening:
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def connection(listener: Listener) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", listener.server_port, timeout=10)
    yield opened
    opened.close()


def client(listener: Listener, service: str) -> Any:
    return _client(listener.endpoint, service)


def _client(endpoint: str, service: str) -> Any:
    session: Any = wire.isolated_session("us-east-1")
    return session.client(service, **wire.client_options(endpoint))


def test_boto3_builds_and_reads_over_http(listener: Listener) -> None:
    ec2, s3 = client(listener, "ec2"), client(listener, "s3")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
    s3.create_bucket(Bucket="a-bucket")
    s3.put_object(Bucket="a-bucket", Key="a b/ü", Body=b"hello")
    assert s3.get_object(Bucket="a-bucket", Key="a b/ü")["Body"].read() == b"hello"
    assert s3.head_object(Bucket="a-bucket", Key="a b/ü")["ContentLength"] == 5
    s3.delete_object(Bucket="a-bucket", Key="a b/ü")
    s3.delete_bucket(Bucket="a-bucket")
    for each in (ec2, s3):
        each.close()


def test_a_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    sockets = set()
    for _ in range(2):
        connection.request("POST", "/moto-api/reset")
        reply = connection.getresponse()
        assert json.loads(reply.read()) == {"status": "ok"}
        sockets.add(connection.sock.getsockname())
    assert len(sockets) == 1


def test_a_body_may_come_in_chunks(connection: http.client.HTTPConnection) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": _signed("ec2")}
    body = [b"Action=Describe", b"Vpcs&Version=2016-11-15"]
    connection.request("POST", "/", iter(body), headers, encode_chunked=True)
    reply = connection.getresponse()
    assert reply.status == 200
    assert b"<vpcSet>" in reply.read()


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        ("Content-Length: 10", "<Create"),
        ("Content-Length: 10", ""),
        ("Transfer-Encoding: chunked", "a\r\n<Create"),
        ("Transfer-Encoding: chunked", ""),
    ],
)
def test_a_request_that_its_client_did_not_finish_is_none(listener: Listener, framing: str, sent: str) -> None:
    head = f"PUT /a-bucket HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {_signed('s3')}\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", listener.server_port), timeout=30) as killed:
        killed.sendall(f"{head}{sent}".encode())
        killed.shutdown(socket.SHUT_WR)
        assert killed.recv(1) == b""
    s3 = client(listener, "s3")
    assert s3.list_buckets()["Buckets"] == []
    s3.close()


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "evil.example/.localhost"},
    {"Host": "bucket.s3.amazonaws.com"},
    {"Host": "169.254.169.254"},
    {"Host": "0.0.0.0"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Expect": "100-continue", "Host": "evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/moto-api/reset", ""),
        ("POST", "/provisioner/quotas", ""),
        ("GET", "/provisioner/faults", ""),
        ("POST", "/", "ec2"),
        ("PUT", "/stolen", "s3"),
        ("OPTIONS", "/", "ec2"),
    ],
)
def test_a_web_page_is_not_let_in_and_changes_nothing(
    listener: Listener, headers: dict[str, str], method: str, path: str, service: str
) -> None:
    before = listener.cloud.saved()
    signed = {"Authorization": _signed(service)} if service else {}
    form = {"Content-Type": "application/x-www-form-urlencoded"} if service == "ec2" else {}
    asking = http.client.HTTPConnection("127.0.0.1", listener.server_port, timeout=10)
    body = {"ec2": "Action=CreateVpc&CidrBlock=10.0.0.0/16", "": '{"vpcs": 99}'}.get(service)
    asking.request(method, path, body, {**signed, **form, **headers})
    reply = asking.getresponse()
    assert b"programs of this machine only" in reply.read()
    assert (reply.status, reply.getheader("Access-Control-Allow-Origin")) == (403, None)
    assert asking.sock is None, "the connection is closed"
    asking.close()
    assert listener.cloud.saved() == before


def test_two_names_at_once_are_no_name_of_ours(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.server_port), timeout=10) as asking:
        asking.sendall(b"POST /moto-api/reset HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
        assert asking.makefile("rb").readline() == b"HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "a-bucket.localhost"])
@pytest.mark.parametrize("own", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
def test_programs_of_this_machine_and_a_page_of_its_own_are_let_in(
    listener: Listener, connection: http.client.HTTPConnection, name: str, own: dict[str, str]
) -> None:
    host = f"{name}:{listener.server_port}"
    origin = {"Origin": f"http://{host}"} if own else {}
    connection.request("GET", "/provisioner/faults", headers={"Host": host, **own, **origin})
    reply = connection.getresponse()
    assert "suffered" in json.loads(reply.read())
    assert reply.status == 200


def test_it_listens_on_this_machine_only(listener: Listener) -> None:
    assert listener.socket.getsockname() == ("127.0.0.1", listener.server_port)
    with pytest.raises(ConnectionRefusedError):
        # Another address of the same machine: what listened on all would be here too.
        socket.create_connection(("127.0.0.2", listener.server_port), timeout=10)


def _signed(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=embedded/20260101/us-east-1/{service}/aws4_request, Signature=0"


@pytest.mark.process
def test_many_callers_at_once_all_get_their_own_answers(listener: Listener) -> None:
    listener.cloud.allow(vpcs=20)
    ec2, rds, s3 = clients = [client(listener, service) for service in ("ec2", "rds", "s3")]
    s3.create_bucket(Bucket="a-bucket")

    def work(caller: int) -> None:
        family = "aurora-postgresql16"
        for n in range(5):
            name = f"caller-{caller}-{n}"
            vpc = ec2.create_vpc(CidrBlock=f"10.{caller}.{n}.0/24")["Vpc"]["VpcId"]
            group = ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"]
            [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            assert (found["VpcId"], found["GroupName"]) == (vpc, name)
            told = {"DBClusterParameterGroupName": name, "DBParameterGroupFamily": family, "Description": name}
            rds.create_db_cluster_parameter_group(**told)
            [told] = rds.describe_db_cluster_parameter_groups(DBClusterParameterGroupName=name)[
                "DBClusterParameterGroups"
            ]
            assert told["Description"] == name
            s3.put_object(Bucket="a-bucket", Key=name, Body=name.encode())
            assert s3.get_object(Bucket="a-bucket", Key=name)["Body"].read() == name.encode()
            ec2.delete_security_group(GroupId=group)
            ec2.delete_vpc(VpcId=vpc)

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(work, range(8))) == [None] * 8
    assert len(rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]) == 40
    for each in clients:
        each.close()


def test_a_lost_connection_is_one_over_http_too(listener: Listener) -> None:
    ec2 = client(listener, "ec2")
    for faults, made in ((Faults(cut_before=1.0), 0), (Faults(unresolved=60.0), 0), (Faults(cut_after=1.0), 1)):
        listener.cloud.switch(faults)
        with pytest.raises(ConnectionClosedError):
            ec2.create_vpc(CidrBlock="10.0.0.0/16")
        listener.cloud.switch(Faults())
        assert len([vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]) == made
    ec2.close()


@contextmanager
def _process(file: Path, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the server with these options and settings and give it with its endpoint."""
    command = [sys.executable, "-m", "provisioner.local.server", "--announce", str(file), *options]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        told = json.loads(file.read_text())
        assert told["pid"] == process.pid
        yield process, told["endpoint"]
    finally:
        file.unlink(missing_ok=True)
        process.kill()
        process.communicate()


def _built(endpoint: str) -> list[str]:
    ec2 = _client(endpoint, "ec2")
    found = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    ec2.close()
    return found


def _build(endpoint: str) -> str:
    ec2 = _client(endpoint, "ec2")
    vpc = str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    ec2.close()
    return vpc


@pytest.mark.process
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_built_outlives_the_process(tmp_path: Path, end: signal.Signals) -> None:
    file, contents = tmp_path / "cloud.json", tmp_path / "contents"
    with _process(file, "--contents", str(contents)) as (process, endpoint):
        vpc = _build(endpoint)
        deadline = time.monotonic() + 30
        while end == signal.SIGKILL and not (contents.exists() and vpc.encode() in contents.read_bytes()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(end)
        process.wait(30)
    assert contents.stat().st_mode & 0o777 == 0o600
    with _process(file, "--contents", str(contents)) as (_, endpoint):
        assert _built(endpoint) == [vpc]


@pytest.mark.process
@pytest.mark.parametrize("harm", ["damaged", "of another version", "empty", "foreign"])
def test_contents_that_cannot_be_read_are_set_aside_and_named(tmp_path: Path, harm: str) -> None:
    file, contents = tmp_path / "cloud.json", tmp_path / "contents"
    cloud = Cloud()
    cloud.reset()
    kept = Kept(contents, cloud)
    kept.save()
    head, digest, saved = contents.read_bytes().split(b"\n", 2)
    foreign = pickle.dumps(print)
    harmed = {
        "damaged": b"\n".join([head, digest, saved[:-1]]),
        "of another version": b"\n".join([head + b"1", digest, saved]),
        "empty": b"",
        "foreign": b"\n".join([head, sha256(foreign).hexdigest().encode(), foreign]),
    }[harm]
    contents.write_bytes(harmed)
    with _process(file, "--contents", str(contents)) as (process, endpoint):
        assert _built(endpoint) == []
        process.terminate()
        assert b"set aside" in process.communicate(timeout=30)[1]
    assert (tmp_path / "contents.unreadable").read_bytes() == harmed


def test_contents_that_cannot_be_written_stop_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cloud = Cloud()
    Kept(tmp_path / "nowhere" / "contents", cloud).save()
    assert "was not saved" in caplog.text


@pytest.mark.process
def test_the_process_is_as_hard_as_it_is_told_to_be(tmp_path: Path) -> None:
    with _process(tmp_path / "cloud.json", "--faults", "brutal", "--seed", "3") as (_, endpoint):
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
        connection.request("GET", "/provisioner/faults")
        told = json.loads(connection.getresponse().read())
        connection.close()
    assert (told["faults"]["seed"], told["faults"]["throttle"]) == (3, PRESETS["brutal"].throttle)


@pytest.mark.process
def test_the_process_announces_itself_and_ends_at_sigterm(tmp_path: Path) -> None:
    with _process(tmp_path / "cloud.json") as (process, endpoint):
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_settings_of_the_shell_do_not_change_the_cloud(tmp_path: Path) -> None:
    hostile = {
        "MOTO_ACCOUNT_ID": "999999999999",
        "MOTO_ENABLE_RECORDING": "true",
        "MOTO_RECORDER_FILEPATH": str(tmp_path / "recording"),
        "MOTO_S3_DEFAULT_MAX_KEYS": "1",
        "MOTO_S3_CUSTOM_ENDPOINTS": "http://elsewhere.invalid",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "true",
        "MOTO_AMIS_PATH": "/nowhere/images.json",
        "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "MOTO_PRETTIFY_RESPONSES": "true",
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_DEFAULT_REGION": "mars-1",
    }
    with _process(tmp_path / "cloud.json", **hostile) as (_, endpoint):
        sts, ec2, s3 = clients = [_client(endpoint, service) for service in ("sts", "ec2", "s3")]
        assert sts.get_caller_identity()["Account"] == "123456789012"
        assert ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["OwnerId"] == "123456789012"
        assert ec2.describe_images()["Images"] == []
        s3.create_bucket(Bucket="a-bucket")
        for key in "ab":
            s3.put_object(Bucket="a-bucket", Key=key, Body=b"")
        assert s3.list_objects_v2(Bucket="a-bucket")["KeyCount"] == 2
        for each in clients:
            each.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_it_ends_with_the_process_it_belongs_to(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner,
        _process(tmp_path / "cloud.json", "--owner", str(owner.pid)) as (server, endpoint),
    ):
        assert _built(endpoint) == []
        owner.kill()
        owner.wait()
        assert server.wait(30) == 0


@pytest.mark.process
def test_its_time_passes_at_the_pace_it_is_told(tmp_path: Path) -> None:
    with _process(tmp_path / "cloud.json", "--pace", "1000000", "--time-scale", "1") as (_, endpoint):
        rds = _client(endpoint, "rds")
        rds.create_db_cluster(
            DBClusterIdentifier="db",
            Engine="aurora-postgresql",
            MasterUsername="owner",
            ManageMasterUserPassword=True,
            ServerlessV2ScalingConfiguration={"MinCapacity": 0, "MaxCapacity": 1},
        )
        assert rds.describe_db_clusters()["DBClusters"][0]["Status"] == "available"
        rds.close()
