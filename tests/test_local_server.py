"""The embedded cloud over HTTP: what arrives, who is let in, how the process begins and ends."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from provisioner.local import wire
from provisioner.local.cloud import Cloud
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
    return wire.isolated_session("us-east-1").client(service, **wire.client_options(listener.endpoint))


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


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_a_web_page_is_not_let_in(connection: http.client.HTTPConnection, headers: dict[str, str]) -> None:
    connection.request("POST", "/moto-api/reset", headers=headers)
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 403


def _signed(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=embedded/20260101/us-east-1/{service}/aws4_request, Signature=0"


@pytest.mark.process
def test_the_process_announces_itself_and_ends_at_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "cloud.json"
    process = subprocess.Popen([sys.executable, "-m", "provisioner.local.server", "--announce", str(file)])
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        told = json.loads(file.read_text())
        assert told["pid"] == process.pid
        port = int(told["endpoint"].rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == [file]
