"""The embedded cloud: a WSGI application that puts our rules around moto.

Reads a request, lets it suffer its fate, runs the rules of its action, asks moto in between and turns whatever goes
wrong into an error of AWS's own shape. Knows no rule: those are found by (service, action) in one table.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode

import moto.core.responses
import moto.kms.models
from moto.core.request import Request
from moto.core.utils import method_names_from_class
from moto.ec2.responses import EC2Response
from moto.iam.responses import IamResponse
from moto.kms.responses import KmsResponse
from moto.kms.utils import generate_private_key
from moto.logs.responses import LogsResponse
from moto.moto_api import recorder
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds.responses import RDSResponse
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.sns.responses import SNSResponse
from moto.sts.responses import TokenResponse
from werkzeug.exceptions import HTTPException

from provisioner.local import (
    ACCOUNT,
    access,
    backup,
    contents,
    ec2,
    endpoints,
    flow,
    iam,
    kms,
    lifecycle,
    logs,
    nacl,
    nat,
    pricing,
    quotas,
    rds,
    s3,
    sns,
)
from provisioner.local.cut import Cut
from provisioner.local.faults import PRESETS, Fate, Faults
from provisioner.local.lag import Past
from provisioner.local.protocol import refused
from provisioner.local.rules import EVERY, After, Ask, Before, Refusal, Reply

FAULTS = "/provisioner/faults"
"""Where faults are switched on and told."""
QUOTAS, WRECKS = "/provisioner/quotas", "/provisioner/wrecks"
"""Where limits are set, by quota, and where the next newborns are doomed, by kind."""
POLICY = "/provisioner/policy"
"""Where a policy is put in force for an access key."""
DENIALS, STRANGERS = "/provisioner/denials", "/provisioner/strangers"
"""Where actions are denied, and where names of buckets are taken by other accounts."""

Environ = dict[str, Any]
BOOKS = tuple(
    module.rules
    for module in (ec2, nat, endpoints, nacl, flow, rds, s3, quotas, access, iam, logs, pricing, kms, sns, backup)
)
_TABLE: dict[tuple[str, str], tuple[tuple[Before, ...], tuple[After, ...]]] = {
    (book.service, action): book.of(action) for book in BOOKS for action in book.actions
}
_NONE: tuple[tuple[Before, ...], tuple[After, ...]] = ((), ())
_SINGLE: dict[str, Callable[..., Any]] = {
    "ec2": EC2Response.dispatch,
    "rds": RDSResponse.dispatch,
    "sts": TokenResponse.dispatch,
    "kms": KmsResponse.dispatch,
    "sns": SNSResponse.dispatch,
    "iam": IamResponse.dispatch,
    "logs": LogsResponse.dispatch,
    "secretsmanager": SecretsManagerResponse.dispatch,
}
"""What answers a service whose operations all have the same URL."""
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
_log = logging.getLogger(__name__)

# The default images cost a tenth of a second in every region, and nothing here runs an instance.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# moto lists the methods of a response class by introspection on every request, at a third of the request's time.
moto.core.responses.method_names_from_class = cache(method_names_from_class)  # type: ignore[attr-defined]
# Every KMS key gets a private key, a symmetric one too, which takes a twentieth of a second to find and signs nothing.
moto.kms.models.generate_private_key = cache(generate_private_key)  # type: ignore[attr-defined]


class Cloud:
    """Answer requests as AWS would.

    moto keeps its resources per process: all clouds of one process show the same ones, and ``reset`` empties them for
    all. Requests are taken one at a time, because moto is not thread-safe. ``clock`` gives seconds since the epoch.
    ``time_scale`` is how long things take in terms of what they take at AWS: 1 as long, 0 no time at all.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, time_scale: float = 0.0, faults: Faults = PRESETS["none"]
    ) -> None:
        self._clock = clock
        self.time_scale = time_scale
        self._lock = Lock()
        self._memory: dict[Any, Any] = {}
        self._changes = 0
        self.switch(faults)
        self._moto = DomainDispatcherApplication(_application)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        reply = self.answer(environ)
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", list(reply.headers.items()))
        return [reply.body]

    def answer(self, environ: Environ) -> Reply:
        """Answer one request, given as a WSGI environment. Raises Cut where the client shall get no answer."""
        ask = self._read(environ)
        if not ask.service and (administer := _ADMINISTERING.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))):
            return administer(self, ask)
        try:
            with self._lock, self._fate.over(ask), self._past.behind(ask) as seen:
                self._changes += not ask.reads
                return self._decide(seen)
        except Cut:
            raise
        except Refusal as refusal:
            return refused(ask, refusal)
        except NotImplementedError as error:
            return refused(ask, _unknown(ask, str(error)))
        except Exception as error:
            _log.exception("moto failed in %s %s", ask.service, ask.action)
            return refused(ask, Refusal("InternalFailure", f"{_operation(ask)} failed in moto: {error!r}", 500))

    @property
    def faults(self) -> Faults:
        """What goes wrong; see ``switch``."""
        return self._fate.faults

    def switch(self, faults: Faults) -> None:
        """Let these things go wrong from now on, counted anew; reads that lag see what was there at this moment."""
        with self._lock:
            self._forget(faults)

    def reset(self) -> None:
        """Forget everything: resources, tokens, what went wrong. The faults stay switched on, counted anew."""
        with self._lock:
            self._memory.clear()
            moto_api_backend.reset()
            self._changes += 1
            self._forget(self.faults)

    def saved(self, since: int = -1) -> tuple[int, bytes] | None:
        """Give what the cloud holds, and the number of changes that led there; ``None`` if that is still ``since``."""
        with self._lock:
            return None if self._changes == since else (self._changes, contents.packed(self._memory))

    def restore(self, saved: bytes) -> None:
        """Put what was saved in the place of what is there. Raises what contents.unpacked does, and changes nothing."""
        with self._lock:
            held = contents.unpacked(saved)
            contents.show(held)
            self._memory = held.memory

    def suffered(self) -> dict[str, Any]:
        """Tell the faults that are switched on, and what they did since then, for JSON."""
        with self._lock:
            return self._fate.told()

    def allow(self, **limits: int) -> None:
        """Set limits of quotas.json until the next reset (``vpcs=10``). Raises ValueError for no such quota."""
        with self._lock:
            self._changes += 1
            quotas.allow(self._memory, limits)

    def doom(self, **outcomes: str) -> None:
        """Let the next cluster, instance or NAT gateway end in a status, or stay as it is (``nat="never"``).

        Raises ValueError for another kind.
        """
        with self._lock:
            self._changes += 1
            lifecycle.doom(self._memory, outcomes)

    def deny(self, actions: Sequence[str]) -> None:
        """Deny these actions to everybody until the next reset (``["ec2:CreateVpc"]``); no others are denied then.

        Raises ValueError for what is no action.
        """
        with self._lock:
            self._changes += 1
            access.deny(self._memory, actions)

    def permit(self, policy: Mapping[str, Any] | None, key: str = access.OURS) -> None:
        """Allow an access key exactly what this policy allows, until the next reset; ``None`` allows everything again.

        Raises ValueError for what is no policy, or is not understood whole.
        """
        with self._lock:
            self._changes += 1
            access.permit(self._memory, policy, key)

    def occupy(self, buckets: Sequence[str]) -> None:
        """Let buckets of these names belong to other accounts until the next reset."""
        with self._lock:
            self._changes += 1
            s3.occupy(self._memory, buckets)

    def _forget(self, faults: Faults) -> None:
        self._fate, self._past = Fate(faults, self._clock()), Past(faults.lag)

    def _read(self, environ: Environ) -> Ask:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION") or f"Credential={query.get('X-Amz-Credential', '')}")
        region, service = scope.groups() if scope else ("us-east-1", "")
        is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        form = dict(parse_qsl(body.decode(), keep_blank_values=True)) if is_form and service != "s3" else {}
        action = form.get("Action") or environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        ask = Ask(
            service,
            action,
            region,
            ACCOUNT,
            environ,
            body,
            form,
            query,
            "",
            self._clock(),
            self._memory,
            self.time_scale,
        )
        if service == "s3":
            ask.bucket, ask.action = s3.addressed(environ, query)
        elif service == "backup":
            ask.action = backup.addressed(environ)
        return ask

    def _decide(self, ask: Ask) -> Reply:
        access.check(ask)
        before, after = _TABLE.get((ask.service, ask.action)) or _TABLE.get((ask.service, EVERY)) or _NONE
        asked = dict(ask.form) if before else ask.form
        for rule in before:
            if (answer := rule(ask)) is not None:
                return answer
        if ask.form != asked:
            ask.body = urlencode(ask.form).encode()
            ask.environ["CONTENT_LENGTH"] = str(len(ask.body))
        reply = self._ask_moto(ask)
        if reply.status < 300:
            for amend in after:
                reply = amend(ask, reply) or reply
        return reply

    def _ask_moto(self, ask: Ask) -> Reply:
        """Ask moto, past its routing of URLs where the service has a single one: that routing costs as much again."""
        ask.environ["wsgi.input"] = io.BytesIO(ask.body)
        at_root = ask.environ["REQUEST_METHOD"] == "POST" and ask.environ["PATH_INFO"] == "/"
        reply = _direct(ask) if at_root and ask.service in _SINGLE else self._routed(ask)
        if reply.status >= 500 and reply.body[:9].lower() == b"<!doctype":
            raise NotImplementedError
        return reply

    def _routed(self, ask: Ask) -> Reply:
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], error: object = None) -> None:
            head[:] = status, headers

        body = b"".join(self._moto(ask.environ, start_response))
        status, headers = head
        return Reply(int(status.split()[0]), dict(headers), body)


def _reset(cloud: Cloud, ask: Ask) -> Reply:
    cloud.reset()
    return _json({"status": "ok"})


def _tell_faults(cloud: Cloud, ask: Ask) -> Reply:
    return _json(cloud.suffered())


def _switch_faults(cloud: Cloud, ask: Ask) -> Reply:
    try:
        cloud.switch(Faults.read(json.loads(ask.body)))
    except ValueError as error:
        return _json({"error": str(error)}, 400)
    return _json(cloud.suffered())


def _allow(cloud: Cloud, ask: Ask) -> Reply:
    return _ordered(ask, cloud.allow)


def _doom(cloud: Cloud, ask: Ask) -> Reply:
    return _ordered(ask, cloud.doom)


def _deny(cloud: Cloud, ask: Ask) -> Reply:
    return _ordered(ask, cloud.deny)


def _permit(cloud: Cloud, ask: Ask) -> Reply:
    return _ordered(ask, cloud.permit)


def _occupy(cloud: Cloud, ask: Ask) -> Reply:
    return _ordered(ask, cloud.occupy)


def _ordered(ask: Ask, order: Callable[..., None]) -> Reply:
    try:
        order(**json.loads(ask.body))
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)
    return _json({"status": "ok"})


def _json(told: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(told).encode())


_ADMINISTERING: dict[tuple[str, str], Callable[[Cloud, Ask], Reply]] = {
    ("POST", "/moto-api/reset"): _reset,
    ("GET", FAULTS): _tell_faults,
    ("POST", FAULTS): _switch_faults,
    ("POST", QUOTAS): _allow,
    ("POST", WRECKS): _doom,
    ("POST", DENIALS): _deny,
    ("POST", STRANGERS): _occupy,
    ("POST", POLICY): _permit,
}
"""What is asked of the cloud itself and not of AWS; these requests are not signed."""


def _application(service: Any) -> Any:
    """Make the part of moto that answers a service; ``None`` is one that moto has never heard of."""
    if service is None:
        raise NotImplementedError
    return create_backend_app(service)


def _direct(ask: Ask) -> Reply:
    request = Request(ask.environ)
    recorder._record_request(request)
    url = f"https://{ask.service}.{ask.region}.amazonaws.com/"
    try:
        status, headers, body = _SINGLE[ask.service](request, url, dict(request.headers))
    except HTTPException as error:
        status, headers, body = error.code, dict(error.get_headers()), error.get_body()
    return Reply(int(status), headers, body if isinstance(body, bytes) else body.encode())


def _operation(ask: Ask) -> str:
    return f"{ask.service or 'the service'} {ask.action or ask.environ['PATH_INFO']}"


def _unknown(ask: Ask, why: str) -> Refusal:
    detail = f" ({why})" if why else ""
    return Refusal("NotImplemented", f"The embedded cloud does not implement {_operation(ask)}{detail}")
