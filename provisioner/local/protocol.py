"""Replies and errors in the wire format of each AWS protocol; knows no rule and no resource."""

from __future__ import annotations

import json
import uuid
from typing import Any
from xml.sax.saxutils import escape

from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model

from provisioner.local.rules import Ask, Refusal, Reply

_XML = {"Content-Type": "text/xml"}


def reply(ask: Ask, result: Any) -> Reply:
    """Answer an operation with a result in the shape of AWS's model of it."""
    model = get_service_model(ask.service)
    serializer = get_serializer_class(ask.service, str(model.protocol))
    picked: Any = serializer(operation_model=model.operation_model(ask.action), value_picker=XFormedAttributePicker())
    done = picked.serialize(result)
    body = done["body"]
    return Reply(done["status_code"], done["headers"], body if isinstance(body, bytes) else body.encode())


def told(result: Any) -> Reply:
    """Answer an operation of a service that speaks JSON."""
    return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result).encode())


def refused(ask: Ask, refusal: Refusal) -> Reply:
    """Say no as the service of the request does."""
    headers = {"x-amzn-requestid": str(uuid.uuid4())}
    if ask.environ["REQUEST_METHOD"] == "HEAD":
        return Reply(refusal.status, headers, b"")
    code, message, request = escape(refusal.code), escape(refusal.message), headers["x-amzn-requestid"]
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    if ask.service == "ec2":
        text = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request}</RequestID></Response>"
    elif ask.service == "s3":
        text = f"<Error>{error}<BucketName>{escape(ask.bucket)}</BucketName><RequestId>{request}</RequestId></Error>"
    elif ask.form:
        kind = "Sender" if refusal.status < 500 else "Receiver"
        text = f"<Error><Type>{kind}</Type>{error}</Error><RequestId>{request}</RequestId>"
        text = f"<ErrorResponse>{text}</ErrorResponse>"
    else:
        text = json.dumps({"__type": refusal.code, "message": refusal.message})
        kind = ask.environ.get("CONTENT_TYPE") or "application/json"
        return Reply(refusal.status, {**headers, "Content-Type": kind, "x-amzn-errortype": code}, text.encode())
    return Reply(refusal.status, {**headers, **_XML}, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode())
