"""The only user of boto3: reads that are shared, calls that are made once; knows no step and decides nothing.

botocore's own retries are off on every client (``total_max_attempts: 1``): by default it repeats CreateVpc after a
lost reply. Its exceptions end here; everything above sees AwsError.
"""

from __future__ import annotations

import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from provisioner import retry
from provisioner.clock import Clock
from provisioner.errors import DENIED, AwsError, Verdict, classify
from provisioner.kit import Ambiguous, Call, Denied, Stack, Step, Unknown, fingerprint, tags_of, walk

Told = Callable[[str, AwsError, float], None]
"""Hears of every retry: operation, why, in how many seconds."""

_CREDENTIALS = (
    CredentialRetrievalError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

_ABROAD: dict[str, dict[str, Any]] = {
    "pricing": {"region_name": "us-east-1", "config": Config(connect_timeout=3, read_timeout=5)},
}
"""Services that are asked elsewhere than in the stack's region: the price list of all regions is told in three of
them only (botocore's endpoints), and is not worth waiting for."""

_CONTINUED = {"NextToken": "NextToken", "nextToken": "nextToken", "Marker": "Marker", "NextMarker": "Marker"}
"""By what an answer names the next page, and by what the question after it does: EC2 and others, CloudWatch Logs, RDS
and IAM, KMS."""
_TOKENS = ("ClientToken", "CreatorRequestId")
"""What a create takes to be made once however often it is sent; the second is AWS Backup's."""
_NEWBORNS = {
    "create_key": ("KeyMetadata", "Arn"),
    "create_flow_logs": ("FlowLogIds", 0),
    "create_role": ("Role", "Arn"),
}
"""Where an answer tells the id of what was made, as far as that is not by the noun of the operation."""


def options(parallelism: int) -> Config:
    """Give the settings every client has, whatever the target."""
    return Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=max(10, parallelism),
        connect_timeout=10,
        read_timeout=60,
        user_agent_extra="provisioner",
    )


def connect(region: str, parallelism: int, clock: Clock, told: Told) -> Aws:
    """Speak to AWS as the user's environment says: profile, credential chain, ``AWS_ENDPOINT_URL``."""
    _existing(region)
    try:
        session: Any = boto3.Session(region_name=region)
    except BotoCoreError as error:
        raise _translated("sts.get_caller_identity", error) from error
    aws = Aws(_clients(session, {"config": options(parallelism)}), clock, told)
    aws.expiry = _expiry(os.environ)
    return aws


def _expiry(environ: Mapping[str, str]) -> float | None:
    """Read when keys of the environment end: others botocore renews, or they do not tell. AWS CLI User Guide,
    "aws configure export-credentials"."""
    if "AWS_ACCESS_KEY_ID" not in environ or not environ.get("AWS_CREDENTIAL_EXPIRATION"):
        return None
    try:
        return datetime.fromisoformat(environ["AWS_CREDENTIAL_EXPIRATION"]).timestamp()
    except ValueError:
        return None


def connect_local(endpoint: str, region: str, parallelism: int, clock: Clock, told: Told) -> Aws:
    """Speak to the embedded cloud and to nothing else, whatever the user's environment says."""
    from provisioner.local import wire

    _existing(region)
    session: Any = wire.isolated_session(region)
    settings = wire.client_options(endpoint)
    settings["config"] = settings["config"].merge(options(parallelism))
    return Aws(_clients(session, settings), clock, told)


def _clients(session: Any, settings: Mapping[str, Any]) -> Callable[[str], Any]:
    def make(service: str) -> Any:
        abroad = _ABROAD.get(service, {})
        config = settings["config"].merge(abroad.get("config", Config()))
        return session.client(service, **{**settings, **abroad, "config": config})

    return make


def _existing(region: str) -> None:
    """Refuse a region that botocore's partitions do not list: its endpoint has no address, and asking would only
    be repeated until the deadline."""
    partitions = Loader().load_data("partitions")["partitions"]
    regions = sorted(name for partition in partitions for name in partition["regions"])
    if region not in regions:
        near = "".join(f"; did you mean {name}?" for name in get_close_matches(region, regions, 1))
        raise AwsError(f"region {region}", "UnknownRegion", f"there is no such region{near}", Verdict.FATAL)


def partition(region: str) -> str:
    """Name the partition of a region, ``aws-cn`` for Beijing; ``aws`` for one that botocore does not know."""
    partitions = Loader().load_data("partitions")["partitions"]
    return next((str(each["id"]) for each in partitions if region in each["regions"]), "aws")


class Forbidden(AwsError, Denied):
    """AWS does not let these credentials do what they are good for otherwise."""


class _Answer:
    """A question that is under way or answered, and the tick at which it was asked."""

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.asked = 0.0
        """When the request left whose answer it is."""
        self.future: Future[Any] = Future()


class Aws:
    """One account in one region: questions are asked once however many steps ask them, calls leave once.

    Freshness is counted in ticks: a tick passes with every mutating call that returned and with every ``tick()``.
    """

    def __init__(self, client: Callable[[str], Any], clock: Clock, told: Told = lambda *_: None) -> None:
        self._make, self._clock, self._told = client, clock, told
        self._clients: dict[str, Future[Any]] = {}
        self._answers: dict[str, _Answer] = {}
        self._lock = threading.Lock()
        # One thread makes all clients: every thread keeps the memory that parsing a model took.
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="provisioner-clients")
        self._performing = threading.local()
        self._now = 0
        self.requests = 0
        """HTTP requests sent, retries included."""
        self.mutations = 0
        """Those of them that could change something."""
        self.expiry: float | None = None
        """When the credentials end, in seconds since the epoch; ``None`` where they renew themselves or do not tell."""
        self.corpses: defaultdict[str, set[str]] = defaultdict(set)
        """Per step the ids of its resources seen in a final state."""

    @property
    def reads(self) -> int:
        """HTTP requests sent that could change nothing."""
        return self.requests - self.mutations

    def tick(self) -> int:
        """Let a tick pass: an answer is fresh to who names this tick if it is asked from now on."""
        with self._lock:
            self._now += 1
            return self._now

    def view(self, since: int = 0) -> View:
        """Read with answers no older than the given tick."""
        return View(self, since)

    def perform(self, call: Call, token: str = "") -> Any:
        """Make a mutating call, repeated only while AWS refuses it unexecuted; raises AwsError.

        Where the operation takes a client token it gets ``token``, never botocore's random one.
        """
        client = self.client(call.service)
        params = dict(call.params)
        if call.creates:
            taken = _operation(client, call.method).input_shape.members
            params |= {name: token for name in _TOKENS if name in taken}

        def send() -> Any:
            self._performing.now = True
            try:
                response = self._send(client, call.operation, params)
            finally:
                self._performing.now = False
            _complain(call.operation, response)
            return response

        try:
            return retry.calls(self._clock, lambda error, wait: self._told(call.operation, error, wait))(send)
        finally:
            self.tick()

    def answer(self, operation: str, params: Mapping[str, Any], since: int, paged: bool) -> tuple[Any, float]:
        """Ask, or share the answer of who asked the same no earlier than ``since``; with it the time of the asking."""
        key = fingerprint(operation, params, paged)
        with self._lock:
            answer = self._answers.get(key)
            asked = answer is not None and answer.tick >= since
            if answer is None or not asked:
                answer = self._answers[key] = _Answer(self._now)
        if not asked:
            try:
                answer.future.set_result(self._ask(answer, operation, params, paged))
            except BaseException as error:
                with self._lock:
                    self._answers.pop(key, None)
                answer.future.set_exception(error)
        return answer.future.result(), answer.asked

    def client(self, service: str) -> Any:
        """Give the client of a service; made when first used, for its model takes 0.2 s to parse."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._maker.submit(self._made, service)
        return self._clients[service].result()

    def _made(self, service: str) -> Any:
        try:
            client = self._make(service)
        except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
            raise _translated(f"{service}.client", error) from error
        client.meta.events.register_first("before-send", self._count)
        return client

    def _count(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1
            self.mutations += getattr(self._performing, "now", False)

    def _ask(self, answer: _Answer, operation: str, params: Mapping[str, Any], paged: bool) -> Any:
        client = self.client(operation.partition(".")[0])

        def send() -> Any:
            answer.asked = self._clock.now()
            return self._listing(client, operation, params) if paged else self._send(client, operation, params)

        try:
            return retry.reads(self._clock, lambda error, wait: self._told(operation, error, wait))(send)
        except AwsError as error:
            if error.verdict is Verdict.GONE:
                return () if paged else None
            raise

    def _listing(self, client: Any, operation: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Read a listing to its last page, as botocore's paginators do, which have to be searched for and parsed."""
        listed = _listed(client, operation.partition(".")[2])
        items: list[Any] = []
        page: dict[str, Any] = {}
        while True:
            response = self._send(client, operation, {**params, **page})
            items += response.get(listed, ())
            following = {asked: response[told] for told, asked in _CONTINUED.items() if response.get(told)}
            if not following:
                return tuple(items)
            if following == page:
                raise AwsError(operation, "UnreadableAnswer", f"{following} leads to itself", Verdict.UNKNOWN)
            page = following

    def _send(self, client: Any, operation: str, params: Mapping[str, Any]) -> Any:
        method = operation.partition(".")[2]
        try:
            return getattr(client, method)(**params)
        except (ClientError, BotoCoreError) as error:
            raise _translated(operation, error) from error
        except (ResponseParserError, KeyError, ValueError) as error:  # what its parsers raise, well-formed XML included
            raise AwsError(operation, "UnreadableAnswer", repr(error), Verdict.UNKNOWN) from error


class View:
    """The Reader of one step at one moment; see kit.Reader for what the methods promise."""

    def __init__(self, aws: Aws, since: int) -> None:
        self._aws, self._since = aws, since
        self.asked = math.inf
        """When the oldest of the answers was asked for."""

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        answer: Mapping[str, Any] | None = None
        if not _unknown(params):
            answer = self._answer(operation, params, paged=False)
        return answer

    def items(self, operation: str, /, **params: Any) -> Sequence[Mapping[str, Any]]:
        answer: Sequence[Mapping[str, Any]] = ()
        if not _unknown(params):
            answer = self._answer(operation, params, paged=True)
        return answer

    def _answer(self, operation: str, params: Mapping[str, Any], paged: bool) -> Any:
        answer, asked = self._aws.answer(operation, params, self._since, paged)
        self.asked = min(self.asked, asked)
        return answer

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        service, _, method = operation.partition(".")
        members = _operation(self._aws.client(service), method).input_shape.members
        named = {"Name": "tag:provisioner:stack", "Values": [stack.name]}
        filters = next(({key: [named]} for key in ("Filters", "Filter") if service == "ec2" and key in members), {})
        return [item for item in self.items(operation, **filters) if stack.owns(tags_of(item))]

    def mine(
        self, operation: str, step: Step, dead: Mapping[str, Collection[str]] | None = None
    ) -> Mapping[str, Any] | None:
        found: list[Mapping[str, Any]] = []
        corpses: list[Mapping[str, Any]] = []
        for item in self.ours(operation, step.stack):
            if step.claims(tags_of(item)):
                final = any(item.get(key) in values for key, values in (dead or {}).items())
                (corpses if final else found).append(item)
        self._aws.corpses[step.name].update(_ids(operation, corpses))
        if len(found) > 1:
            raise Ambiguous(step.name, dict(zip(_ids(operation, found), found, strict=True)))
        return found[0] if found else None


def newborn_id(call: Call, response: Mapping[str, Any]) -> str:
    """Read the id of what an EC2 create made from its answer, "" where there is none to read."""
    if path := _NEWBORNS.get(call.method):
        found: Any = response
        for key in path:
            found = found[key]
        return str(found)
    noun = "".join(word.capitalize() for word in call.method.split("_")[1:])
    for holder in (response.get(noun), response):
        for key in (f"{noun}Id", "GroupId", "AllocationId"):
            if isinstance(holder, Mapping) and key in holder:
                return str(holder[key])
    return ""


def _complain(operation: str, response: Mapping[str, Any]) -> None:
    """Raise what AWS hides in a success: DeleteVpcEndpoints and DeleteObjects answer 200 and list what failed."""
    for each in (*response.get("Unsuccessful", ()), *response.get("Errors", ())):
        error = each.get("Error", each)
        code, message = error["Code"], error.get("Message", "")
        raise AwsError(operation, code, message, classify(code, message=message))


def _ids(operation: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name what a describe listed: ``describe_nat_gateways`` lists ``NatGatewayId``; others by their own key."""
    noun = "".join(word.capitalize() for word in operation.partition(".")[2].split("_")[1:]).removesuffix("s")
    keys = (f"{noun}Id", "GroupId", "AllocationId", f"{noun.replace('Db', 'DB')}Identifier")
    return [str(next((item[key] for key in keys if key in item), "?")) for item in items]


def _unknown(params: Mapping[str, Any]) -> bool:
    return any(isinstance(leaf, Unknown) for leaf in walk(params))


def _operation(client: Any, method: str) -> Any:
    return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])


def _listed(client: Any, method: str) -> str:
    members = _operation(client, method).output_shape.members
    return next(str(name) for name, shape in members.items() if shape.type_name == "list")


def _translated(operation: str, error: Exception) -> AwsError:
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code = str(answer.get("Code") or "Unknown")
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        kind, message = Forbidden if code in DENIED else AwsError, str(answer.get("Message") or error)
        return kind(operation, code, message, classify(code, status, message))
    if isinstance(error, (HTTPClientError, NoConnection)):
        return AwsError(operation, "Unreachable", str(error), Verdict.UNKNOWN)
    if isinstance(error, ParamValidationError):
        return AwsError(operation, "ParamValidation", str(error), Verdict.FATAL)
    code = "NoCredentials" if isinstance(error, _CREDENTIALS) else "Misconfigured"
    return AwsError(operation, code, str(error), Verdict.FATAL)
