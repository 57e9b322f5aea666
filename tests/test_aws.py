"""Requests as a server sees them: sent once, shared, retried by the table alone, and translated when they fail.

The server is a real one on this machine, which answers by a script and may cut the connection in place of an answer.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidRetryModeError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from provisioner.aws import Aws, connect, connect_local, newborn_id, options
from provisioner.errors import AwsError, Verdict, classify
from provisioner.kit import Ambiguous, Call, Reader, Stack, Step, Unknown
from provisioner.retry import DEADLINE, LONGEST
from tests.world import REGION, VirtualClock

STACK = Stack(project="shop", environment="dev")
CREATE = Call("ec2.create_vpc", CidrBlock="10.0.0.0/16")
MADE = "<CreateVpcResponse><vpc><vpcId>vpc-1</vpcId></vpc></CreateVpcResponse>"


@dataclass(frozen=True)
class Reply:
    """What the server answers; without a status it cuts the connection."""

    body: str = ""
    status: int = 200


CUT = Reply(status=0)


def refusal(code: str, status: int = 400) -> Reply:
    error = f"<Error><Code>{code}</Code><Message>told by {code}</Message></Error>"
    return Reply(f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>", status)


THROTTLED = refusal("RequestLimitExceeded", 503)


@dataclass
class Server:
    """Answer by a script, the last line of which goes for all that follows, and keep what was asked."""

    script: list[Reply] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    """Set unless answers are to be held back."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set once there has been a request."""
    endpoint: str = ""

    def next(self, body: str, headers: Mapping[str, str]) -> Reply:
        self.headers.append(headers)
        self.requests.append(dict(parse_qsl(body, keep_blank_values=True)))
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.arrived.set()
        self.open.wait(30)
        return reply


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    told.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            reply = told.next(body, dict(self.headers))
            if not reply.status:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        told.endpoint = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, args=(0.01,)).start()
        yield told
        told.open.set()
        http.shutdown()


@dataclass
class Link:
    """A connection to the server, its clock, and what was told of retries."""

    server: Server
    clock: VirtualClock = field(default_factory=VirtualClock)
    retries: list[tuple[str, str]] = field(default_factory=list)

    @cached_property
    def aws(self) -> Aws:
        return connect_local(self.server.endpoint, REGION, 10, self.clock, self.told)

    def told(self, operation: str, error: AwsError, wait: float) -> None:
        assert 0 <= wait <= LONGEST
        self.retries.append((operation, error.code))

    def scripted(self, *replies: Reply | str) -> Aws:
        self.server.script = [Reply(each) if isinstance(each, str) else each for each in replies]
        return self.aws


@pytest.fixture
def link(server: Server) -> Link:
    return Link(server)


# Mutating calls


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        pytest.param(CUT, "Unreachable", id="the connection is cut after the request"),
        pytest.param(refusal("InternalError", 500), "InternalError", id="500"),
        pytest.param(refusal("Unheard.Of", 503), "Unheard.Of", id="an unlisted code with a 5xx"),
        pytest.param(Reply("<html>bad gateway</html>", 502), "502", id="a proxy's page"),
        pytest.param(Reply("not what AWS speaks"), "UnreadableAnswer", id="an answer nobody can read"),
    ],
)
def test_a_call_without_an_answer_has_left_exactly_once(link: Link, reply: Reply, code: str) -> None:
    aws = link.scripted(reply, MADE)
    with pytest.raises(AwsError) as caught:
        aws.perform(CREATE)
    assert (caught.value.code, caught.value.verdict) == (code, Verdict.UNKNOWN)
    assert len(link.server.requests) == aws.requests == aws.mutations == 1
    assert link.retries == []


def test_a_throttled_call_goes_out_again_and_each_time_is_told(link: Link) -> None:
    aws = link.scripted(THROTTLED, refusal("Throttling"), MADE)
    assert aws.perform(CREATE)["Vpc"]["VpcId"] == "vpc-1"
    assert len(link.server.requests) == aws.requests == aws.mutations == 3
    assert link.server.requests[0] == link.server.requests[2]
    assert link.retries == [("ec2.create_vpc", "RequestLimitExceeded"), ("ec2.create_vpc", "Throttling")]


def test_a_throttled_call_whose_next_reply_is_lost_does_not_go_out_a_third_time(link: Link) -> None:
    aws = link.scripted(THROTTLED, CUT, MADE)
    with pytest.raises(AwsError, match="Unreachable"):
        aws.perform(CREATE)
    assert len(link.server.requests) == 2


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidVpcID.NotFound", "DependencyViolation", "Unheard"])
def test_a_refused_call_is_not_repeated(link: Link, code: str) -> None:
    aws = link.scripted(refusal(code))
    with pytest.raises(AwsError) as caught:
        aws.perform(CREATE)
    assert (caught.value.operation, caught.value.code) == ("ec2.create_vpc", code)
    assert caught.value.message == f"told by {code}"
    assert caught.value.verdict is classify(code)
    assert aws.mutations == 1


@pytest.mark.parametrize("ask", [lambda aws: aws.perform(CREATE), lambda aws: vpcs(aws.view())])
def test_a_request_that_stays_refused_is_given_up_at_the_deadline(link: Link, ask: Callable[[Aws], Any]) -> None:
    begun = link.clock.now()
    with pytest.raises(AwsError, match="RequestLimitExceeded"):
        ask(link.scripted(THROTTLED))
    assert DEADLINE <= link.clock.now() - begun < DEADLINE + LONGEST
    assert len(link.retries) == len(link.server.requests) - 1


@pytest.mark.parametrize("ask", [lambda aws: aws.perform(CREATE), lambda aws: vpcs(aws.view())])
def test_an_interrupted_run_repeats_nothing(link: Link, ask: Callable[[Aws], Any]) -> None:
    link.clock.stopped.set()
    with pytest.raises(AwsError, match="RequestLimitExceeded"):
        ask(link.scripted(THROTTLED))
    assert len(link.server.requests) == 1


@pytest.mark.parametrize(
    ("call", "body", "code"),
    [
        (
            Call("ec2.delete_vpc_endpoints", VpcEndpointIds=["vpce-1"]),
            "<DeleteVpcEndpointsResponse><unsuccessful><item><resourceId>vpce-1</resourceId><error>"
            "<code>DependencyViolation</code><message>in use</message></error></item></unsuccessful>"
            "</DeleteVpcEndpointsResponse>",
            "DependencyViolation",
        ),
        (
            Call("s3.delete_objects", Bucket="b", Delete={"Objects": [{"Key": "k"}]}),
            "<R><Error><Key>k</Key><Code>AccessDenied</Code><Message>in use</Message></Error></R>",
            "AccessDenied",
        ),
    ],
)
def test_a_failure_that_aws_hides_in_a_success_is_raised(link: Link, call: Call, body: str, code: str) -> None:
    with pytest.raises(AwsError) as caught:
        link.scripted(body).perform(call)
    assert (caught.value.operation, caught.value.code, caught.value.message) == (call.operation, code, "in use")
    assert caught.value.verdict is classify(code)


def test_a_throttled_part_of_a_success_goes_out_again(link: Link) -> None:
    busy = "<DeleteResult><Error><Key>k</Key><Code>SlowDown</Code></Error></DeleteResult>"
    aws = link.scripted(busy, "<DeleteResult/>")
    aws.perform(Call("s3.delete_objects", Bucket="b", Delete={"Objects": [{"Key": "k"}]}))
    assert link.retries == [("s3.delete_objects", "SlowDown")]


# Client tokens


@pytest.mark.parametrize(
    ("call", "token"),
    [
        pytest.param(
            Call("ec2.create_nat_gateway", SubnetId="s", AllocationId="a"), "ours", id="a create that takes one"
        ),
        pytest.param(
            Call("ec2.create_vpc_endpoint", VpcId="v", ServiceName="s"), "ours", id="another create that takes one"
        ),
        pytest.param(CREATE, None, id="a create that takes none"),
        pytest.param(Call("s3.create_bucket", Bucket="b"), None, id="a create of another service"),
        pytest.param(Call("ec2.delete_vpc", VpcId="vpc-1"), None, id="no create"),
        pytest.param(Call("ec2.create_tags", Resources=["r"], Tags=[]), None, id="a create in name only"),
    ],
)
def test_a_token_is_put_in_where_the_operation_takes_one(link: Link, call: Call, token: str | None) -> None:
    link.scripted("<Response/>").perform(call, token="ours")
    (request,) = link.server.requests
    assert request.get("ClientToken") == token
    assert "ClientToken" not in call.params


def test_the_token_of_a_repeated_call_is_the_same(link: Link) -> None:
    link.scripted(THROTTLED, "<Response/>").perform(Call("ec2.create_nat_gateway", SubnetId="s"), token="ours")
    assert [request["ClientToken"] for request in link.server.requests] == ["ours", "ours"]


def test_no_random_token_of_botocore_leaves_even_where_there_is_none_of_ours(link: Link) -> None:
    link.scripted("<Response/>").perform(Call("ec2.create_nat_gateway", SubnetId="s"))
    (request,) = link.server.requests
    assert request["ClientToken"] == ""


# Reads


def vpcs(view: Reader, **params: Any) -> list[str]:
    return [item["VpcId"] for item in view.items("ec2.describe_vpcs", **params)]


def listed(*ids: str, token: str = "") -> str:
    items = "".join(f"<item><vpcId>{each}</vpcId></item>" for each in ids)
    more = f"<nextToken>{token}</nextToken>" if token else ""
    return f"<DescribeVpcsResponse><vpcSet>{items}</vpcSet>{more}</DescribeVpcsResponse>"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (CUT, "Unreachable"),
        (THROTTLED, "RequestLimitExceeded"),
        (refusal("InternalError", 500), "InternalError"),
        (Reply("", 503), "503"),
        (Reply("not what AWS speaks"), "UnreadableAnswer"),
        (Reply("<html><body>well-formed</body></html>"), "UnreadableAnswer"),
    ],
)
def test_a_read_is_asked_again_until_it_is_answered(link: Link, reply: Reply, code: str) -> None:
    aws = link.scripted(reply, reply, reply, IDENTITY)
    assert whoami(aws)["Account"] == "1"
    assert link.retries == [("sts.get_caller_identity", code)] * 3
    assert (aws.reads, aws.mutations) == (4, 0)


def test_a_read_that_is_refused_for_good_is_not_repeated(link: Link) -> None:
    aws = link.scripted(refusal("UnauthorizedOperation", 403))
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        vpcs(aws.view())
    assert aws.reads == 1


@pytest.mark.parametrize("code", ["InvalidVpcID.NotFound", "NatGatewayNotFound"])
def test_there_is_no_such_thing_is_an_answer(link: Link, code: str) -> None:
    view = link.scripted(refusal(code)).view()
    assert view.ask("ec2.describe_vpc_attribute", VpcId="vpc-1", Attribute="enableDnsSupport") is None
    assert view.items("ec2.describe_vpcs", VpcIds=["vpc-1"]) == ()


def test_a_read_that_holds_what_is_not_known_yet_answers_nothing_without_a_request(link: Link) -> None:
    view = link.scripted(listed("vpc-1")).view()
    assert view.ask("ec2.describe_vpc_attribute", VpcId=Unknown("vpc"), Attribute="enableDnsSupport") is None
    assert vpcs(view, Filters=[{"Name": "vpc-id", "Values": ["vpc-1", Unknown("vpc")]}]) == []
    assert link.server.requests == []


def test_all_pages_are_one_answer(link: Link) -> None:
    view = link.scripted(listed("vpc-1", token="more"), listed("vpc-2")).view()
    assert vpcs(view) == ["vpc-1", "vpc-2"]
    assert [request.get("NextToken") for request in link.server.requests] == [None, "more"]


def test_a_page_that_fails_begins_the_answer_anew(link: Link) -> None:
    first, second = listed("vpc-1", token="more"), listed("vpc-2")
    assert vpcs(link.scripted(first, THROTTLED, first, second).view()) == ["vpc-1", "vpc-2"]
    assert len(link.server.requests) == 4


def test_a_listing_without_pages_is_read_too(link: Link) -> None:
    body = "<R><availabilityZoneInfo><item><zoneName>us-east-1a</zoneName></item></availabilityZoneInfo></R>"
    view = link.scripted(body).view()
    assert [zone["ZoneName"] for zone in view.items("ec2.describe_availability_zones")] == ["us-east-1a"]


# One question, one request


def at_once(link: Link, *asks: Callable[[], Any]) -> list[Any]:
    """Ask in threads of their own, while the server holds its answers back until one of them has come through."""
    link.server.open.clear()
    begun = threading.Barrier(len(asks) + 1)

    def asked(ask: Callable[[], Any]) -> Any:
        begun.wait(30)
        try:
            return ask()
        except AwsError as error:
            return error.code

    with ThreadPoolExecutor(len(asks)) as workers:
        answers = [workers.submit(asked, ask) for ask in asks]
        begun.wait(30)
        assert link.server.arrived.wait(30)
        link.server.open.set()
        return [answer.result(30) for answer in answers]


def test_the_same_question_by_many_threads_is_one_request(link: Link) -> None:
    aws = link.scripted(listed("vpc-1"))
    aws.client("ec2")
    assert at_once(link, *[lambda: vpcs(aws.view())] * 8) == [["vpc-1"]] * 8
    assert aws.requests == 1


def test_questions_that_differ_are_asked_each(link: Link) -> None:
    aws = link.scripted(listed("vpc-1"))
    asks = [lambda: vpcs(aws.view()), lambda: vpcs(aws.view(), VpcIds=["vpc-1"]), lambda: vpcs(aws.view())]
    assert at_once(link, *asks) == [["vpc-1"]] * 3
    assert aws.requests == 2


def test_a_failed_answer_is_shared_and_not_kept(link: Link) -> None:
    aws = link.scripted(refusal("UnauthorizedOperation"), listed("vpc-1"))
    assert "UnauthorizedOperation" in at_once(link, *[lambda: vpcs(aws.view())] * 8)
    assert vpcs(aws.view()) == ["vpc-1"]
    assert aws.requests == 2


def test_an_answer_older_than_a_steps_own_last_call_is_asked_again(link: Link) -> None:
    aws = link.scripted(listed(), MADE, listed("vpc-1"))
    assert vpcs(aws.view()) == vpcs(aws.view()) == []
    aws.perform(CREATE)
    since = aws.tick()
    assert vpcs(aws.view()) == []
    assert vpcs(aws.view(since)) == vpcs(aws.view(since)) == ["vpc-1"]
    assert vpcs(aws.view()) == ["vpc-1"]
    assert (aws.reads, aws.mutations) == (2, 1)


@pytest.mark.parametrize("replies", [(MADE,), (CUT,), (refusal("DependencyViolation"),)])
def test_a_call_makes_older_answers_stale_however_it_ended(link: Link, replies: tuple[Reply | str, ...]) -> None:
    aws = link.scripted(listed(), *replies, listed("vpc-1"))
    vpcs(aws.view())
    before = aws.tick()
    with suppress(AwsError):
        aws.perform(CREATE)
    assert vpcs(aws.view(before + 1)) == ["vpc-1"]


def test_a_question_still_under_way_is_too_old_for_who_wants_a_younger_answer(link: Link) -> None:
    aws = link.scripted(listed("old"), listed("young"))

    def younger() -> list[str]:
        assert link.server.arrived.wait(30)
        return vpcs(aws.view(aws.tick()))

    assert at_once(link, lambda: vpcs(aws.view()), younger) == [["old"], ["young"]]


# Ours and mine


@dataclass(frozen=True, kw_only=True)
class NatGateway(Step):
    """A step that can be found, and nothing else."""


GATEWAY = NatGateway(name="nat", stack=STACK)
DEAD = {"State": ("deleted", "deleting")}


def gateway(id: str, state: str = "available", **changed: str) -> str:
    named = {key.replace("_", ":"): value for key, value in changed.items()}
    pairs = (GATEWAY.labels | named).items()
    tags = "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in pairs)
    return f"<item><natGatewayId>{id}</natGatewayId><state>{state}</state><tagSet>{tags}</tagSet></item>"


def gateways(*items: str) -> str:
    return f"<DescribeNatGatewaysResponse><natGatewaySet>{''.join(items)}</natGatewaySet></DescribeNatGatewaysResponse>"


def test_ours_is_what_carries_the_whole_identity(link: Link) -> None:
    others = [gateway(f"nat-{key}", **{f"provisioner_{key}": "other"}) for key in ("project", "environment", "suffix")]
    aws = link.scripted(gateways(gateway("nat-1"), *others, gateway("nat-2", provisioner_step="other")))
    assert [item["NatGatewayId"] for item in aws.view().ours("ec2.describe_nat_gateways", STACK)] == ["nat-1", "nat-2"]
    (request,) = link.server.requests
    assert (request["Filter.1.Name"], request["Filter.1.Value.1"]) == ("tag:provisioner:stack", "shop-dev")


def test_ours_of_a_service_without_tag_filters_is_picked_from_the_whole_listing(link: Link) -> None:
    tags = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in STACK.identity.items())
    cluster = "<DBCluster><DBClusterIdentifier>{}</DBClusterIdentifier><TagList>{}</TagList></DBCluster>"
    clusters = f"<DBClusters>{cluster.format('a', tags)}{cluster.format('b', '')}</DBClusters>"
    body = f"<R><DescribeDBClustersResult>{clusters}</DescribeDBClustersResult></R>"
    ours = link.scripted(body).view().ours("rds.describe_db_clusters", STACK)
    assert [item["DBClusterIdentifier"] for item in ours] == ["a"]
    assert not any(key.startswith("Filter") for key in link.server.requests[0])


def test_mine_is_the_one_with_the_name_and_kind_of_the_step(link: Link) -> None:
    items = [gateway("nat-1", provisioner_step="other"), gateway("nat-2"), gateway("nat-3", provisioner_kind="Vpc")]
    found = link.scripted(gateways(*items)).view().mine("ec2.describe_nat_gateways", GATEWAY)
    assert found is not None
    assert found["NatGatewayId"] == "nat-2"


def test_nobody_is_mine_where_nothing_is_claimed(link: Link) -> None:
    view = link.scripted(gateways(gateway("nat-1", provisioner_step="other"))).view()
    assert view.mine("ec2.describe_nat_gateways", GATEWAY) is None


def test_two_that_are_mine_are_named_not_chosen_from(link: Link) -> None:
    view = link.scripted(gateways(gateway("nat-2"), gateway("nat-1"))).view()
    with pytest.raises(Ambiguous) as caught:
        view.mine("ec2.describe_nat_gateways", GATEWAY)
    assert (caught.value.step, caught.value.ids) == ("nat", ("nat-1", "nat-2"))


def test_what_is_in_a_final_state_is_no_match_and_remembered_as_dead(link: Link) -> None:
    aws = link.scripted(gateways(gateway("nat-1", "deleted"), gateway("nat-2"), gateway("nat-3", "deleting")))
    found = aws.view().mine("ec2.describe_nat_gateways", GATEWAY, DEAD)
    assert found is not None
    assert found["NatGatewayId"] == "nat-2"
    assert aws.corpses == {"nat": {"nat-1", "nat-3"}}


def test_all_steps_of_a_kind_share_one_answer(link: Link) -> None:
    aws = link.scripted(gateways(gateway("nat-1"), gateway("nat-2", provisioner_step="other")))
    for name in ("nat", "other", "none"):
        aws.view().mine("ec2.describe_nat_gateways", NatGateway(name=name, stack=STACK))
    assert aws.requests == 1


@pytest.mark.parametrize(
    ("operation", "response", "id"),
    [
        ("ec2.create_vpc", {"Vpc": {"VpcId": "vpc-1", "OwnerId": "1"}}, "vpc-1"),
        ("ec2.create_subnet", {"Subnet": {"SubnetId": "subnet-1", "VpcId": "vpc-1"}}, "subnet-1"),
        ("ec2.create_internet_gateway", {"InternetGateway": {"InternetGatewayId": "igw-1"}}, "igw-1"),
        ("ec2.create_nat_gateway", {"NatGateway": {"NatGatewayId": "nat-1"}, "ClientToken": "t"}, "nat-1"),
        ("ec2.create_route_table", {"RouteTable": {"RouteTableId": "rtb-1"}}, "rtb-1"),
        ("ec2.create_vpc_endpoint", {"VpcEndpoint": {"VpcEndpointId": "vpce-1"}}, "vpce-1"),
        ("ec2.create_security_group", {"GroupId": "sg-1"}, "sg-1"),
        ("ec2.allocate_address", {"PublicIp": "1.2.3.4", "AllocationId": "eipalloc-1"}, "eipalloc-1"),
        ("rds.create_db_cluster", {"DBCluster": {"DBClusterIdentifier": "c", "DbClusterResourceId": "r"}}, ""),
        ("s3.create_bucket", {"Location": "/b"}, ""),
        ("ec2.delete_vpc", {}, ""),
    ],
)
def test_the_id_of_a_newborn_is_read_from_the_answer_to_its_create(
    operation: str, response: dict[str, Any], id: str
) -> None:
    assert newborn_id(Call(operation), response) == id


# Errors and surroundings


@pytest.mark.parametrize(
    ("error", "code", "verdict"),
    [
        (EndpointConnectionError(endpoint_url="x"), "Unreachable", Verdict.UNKNOWN),
        (ConnectTimeoutError(endpoint_url="x"), "Unreachable", Verdict.UNKNOWN),
        (ReadTimeoutError(endpoint_url="x"), "Unreachable", Verdict.UNKNOWN),
        (ConnectionClosedError(endpoint_url="x"), "Unreachable", Verdict.UNKNOWN),
        (ResponseParserError("x"), "UnreadableAnswer", Verdict.UNKNOWN),
        (NoCredentialsError(), "NoCredentials", Verdict.FATAL),
        (PartialCredentialsError(provider="x", cred_var="y"), "NoCredentials", Verdict.FATAL),
        (CredentialRetrievalError(provider="x", error_msg="y"), "NoCredentials", Verdict.FATAL),
        (UnauthorizedSSOTokenError(), "NoCredentials", Verdict.FATAL),
        (SSOTokenLoadError(error_msg="x"), "NoCredentials", Verdict.FATAL),
        (TokenRetrievalError(provider="x", error_msg="y"), "NoCredentials", Verdict.FATAL),
        (ClientError({}, "CreateVpc"), "Unknown", Verdict.FATAL),
        (InvalidRetryModeError(provided_retry_mode="x", valid_modes=()), "Misconfigured", Verdict.FATAL),
    ],
)
def test_no_exception_of_botocore_goes_further(link: Link, error: Exception, code: str, verdict: Verdict) -> None:
    def fail(**_: Any) -> None:
        raise error

    aws = link.aws
    aws.client("ec2").meta.events.register("before-call", fail)
    for ask in (lambda: aws.perform(CREATE), lambda: vpcs(aws.view())):
        with pytest.raises(AwsError) as caught:
            ask()
        assert (caught.value.code, caught.value.verdict) == (code, verdict)
        assert caught.value.remedy
    assert bool(link.retries) == (verdict is Verdict.UNKNOWN)


def test_parameters_that_aws_does_not_know_are_refused_without_a_request(link: Link) -> None:
    with pytest.raises(AwsError) as caught:
        link.aws.perform(Call("ec2.create_vpc", Cidr="10.0.0.0/16"))
    assert (caught.value.code, caught.value.verdict) == ("ParamValidation", Verdict.FATAL)
    assert 'Unknown parameter in input: "Cidr"' in caught.value.message
    assert link.server.requests == []


KEYS = {"AWS_ACCESS_KEY_ID": "AKIDOFTHEUSER", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A user who has set nothing."""
    for name in os.environ:
        if name.upper().startswith("AWS_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def whoami(aws: Aws) -> Any:
    return aws.view().ask("sts.get_caller_identity")


IDENTITY = "<R><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></R>"


@pytest.mark.parametrize(
    ("surroundings", "code"),
    [
        ({}, "NoCredentials"),
        ({"AWS_ACCESS_KEY_ID": "half"}, "NoCredentials"),
        ({"AWS_PROFILE": "nobody"}, "NoCredentials"),
        ({"AWS_PROFILE": "failing"}, "NoCredentials"),
        ({"AWS_PROFILE": "signed-out"}, "NoCredentials"),
        ({"AWS_CONFIG_FILE": "garbage"}, "Misconfigured"),
        (KEYS | {"AWS_ENDPOINT_URL": "garbage"}, "Misconfigured"),
        (KEYS | {"AWS_RETRY_MODE": "garbage"}, "Misconfigured"),
    ],
)
def test_surroundings_without_a_way_to_aws_fail_at_once_with_the_remedy(
    bare: pytest.MonkeyPatch, tmp_path: Path, surroundings: dict[str, str], code: str
) -> None:
    bare.chdir(tmp_path)
    Path("garbage").write_text("[half\n=")
    Path(".aws").mkdir()
    Path(".aws/config").write_text(
        "[profile failing]\ncredential_process = false\n"
        "[profile signed-out]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.invalid/start\n"
    )
    for name, value in surroundings.items():
        bare.setenv(name, value)
    clock = VirtualClock()
    begun = clock.now()
    with pytest.raises(AwsError) as caught:
        whoami(connect(REGION, 10, clock, lambda *_: None))
    assert (caught.value.code, caught.value.verdict) == (code, Verdict.FATAL)
    assert "AWS" in caught.value.remedy
    assert clock.now() == begun


def test_the_aws_target_goes_where_the_user_says_and_repeats_nothing_though_the_user_says_so(
    bare: pytest.MonkeyPatch, link: Link
) -> None:
    retrying = {"AWS_MAX_ATTEMPTS": "5", "AWS_RETRY_MODE": "standard"}
    for name, value in (KEYS | retrying | {"AWS_ENDPOINT_URL": link.server.endpoint}).items():
        bare.setenv(name, value)
    link.scripted(CUT, MADE)
    with pytest.raises(AwsError, match="Unreachable"):
        connect(REGION, 10, link.clock, link.told).perform(CREATE)
    (headers,) = link.server.headers
    assert "AKIDOFTHEUSER" in headers["Authorization"]
    assert len(link.server.requests) == 1


HOSTILE = {
    **KEYS,
    "AWS_SESSION_TOKEN": "token",
    "AWS_PROFILE": "nobody",
    "AWS_DEFAULT_PROFILE": "nobody",
    "AWS_CONFIG_FILE": "garbage",
    "AWS_SHARED_CREDENTIALS_FILE": "garbage",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "AWS_CA_BUNDLE": "nowhere.pem",
    "REQUESTS_CA_BUNDLE": "nowhere.pem",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_MAX_ATTEMPTS": "5",
    "AWS_RETRY_MODE": "garbage",
    "AWS_DEFAULTS_MODE": "garbage",
    "AWS_STS_REGIONAL_ENDPOINTS": "garbage",
    "AWS_DATA_PATH": "nowhere",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}


def test_the_local_target_takes_nothing_from_its_surroundings(
    bare: pytest.MonkeyPatch, tmp_path: Path, link: Link
) -> None:
    bare.chdir(tmp_path)
    Path("garbage").write_text("[half\n=")
    for name, value in HOSTILE.items():
        bare.setenv(name, value)
    assert whoami(link.scripted(CUT, IDENTITY))["Account"] == "1"
    assert link.retries == [("sts.get_caller_identity", "Unreachable")]
    for headers in link.server.headers:
        assert re.search(rf"Credential=embedded/\d+/{REGION}/sts/", headers["Authorization"])
        assert "X-Amz-Security-Token" not in headers


def test_every_client_has_the_same_settings() -> None:
    settings = options(40)
    assert settings.retries == {"total_max_attempts": 1}
    assert (settings.max_pool_connections, options(2).max_pool_connections) == (40, 10)
    assert 0 < settings.connect_timeout <= settings.read_timeout <= 60


def test_a_region_that_does_not_exist_is_refused_at_once_with_the_nearest_that_does() -> None:
    with pytest.raises(AwsError, match="did you mean us-east-2") as told:
        connect_local("http://127.0.0.1:1", "us-east-9", 1, VirtualClock(), lambda *_: None)
    assert (told.value.code, told.value.verdict) == ("UnknownRegion", Verdict.FATAL)
    assert "key region" in told.value.remedy
