"""Sessions and clients that reach the embedded cloud and nothing else, whatever the environment says.

Knows nothing of what the cloud answers.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from provisioner.local.cut import Cut, Unresolved

if TYPE_CHECKING:
    from provisioner.local.cloud import Cloud

ENDPOINT = "http://127.0.0.1:1"
"""The discard port of this machine: what is plugged in and fails to be answered cannot get out."""


def isolated_session(region: str, key: str = "embedded") -> boto3.Session:
    """Give a session with a dummy access key that reads no environment variable, profile or configuration file.

    Every setting botocore could look up outside is a constant: its default, and no file.
    """
    constants = {name: entry[2] for name, entry in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    nowhere = {"config_file": os.devnull, "credentials_file": os.devnull, "ignore_configured_endpoint_urls": True}
    constants |= nowhere | {"region": region, "s3": None, "proxies_config": None}
    session = botocore.session.Session()
    store = ConfigValueStore({name: ConstantProvider(value) for name, value in constants.items()})
    session.register_component("config_store", store)
    return boto3.Session(key, "embedded", region_name=region, botocore_session=session)


def client_options(endpoint: str = ENDPOINT) -> dict[str, Any]:
    """Give the arguments every client of the cloud is made with: no proxy, no retry, no bucket in the host name."""
    config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return {"endpoint_url": endpoint, "config": config}


def plug(client: Any, cloud: Cloud) -> Any:
    """Make a client speak to the cloud in this process, without sockets; gives the client back."""

    def answered(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        try:
            reply = cloud.answer(environ(request))
        except Unresolved as cut:
            raise EndpointConnectionError(endpoint_url=request.url, error=cut) from cut
        except Cut as cut:
            raise ConnectionClosedError(endpoint_url=request.url, error=cut) from cut
        headers: Any = dict(reply.headers)
        return AWSResponse(request.url, reply.status, headers, Raw(reply.body))

    client.meta.events.register("before-send", answered)
    return client


class Raw(io.BytesIO):
    """The body of a response as botocore reads it."""

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        while chunk := self.read(amt):
            yield chunk


def environ(request: AWSPreparedRequest) -> dict[str, Any]:
    """Turn a prepared request into a WSGI environment."""
    url = urlsplit(request.url)
    body: Any = request.body
    if hasattr(body, "read"):
        body = body.read()
    content = body.encode() if isinstance(body, str) else bytes(body or b"")
    made: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1") or "/",
        "QUERY_STRING": url.query,
        "RAW_URI": url.path + (f"?{url.query}" if url.query else ""),
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(content),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else str(value)
        made[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    made.pop("HTTP_TRANSFER_ENCODING", None)
    made["CONTENT_LENGTH"] = str(len(content))
    return made
