"""Check calls against botocore's service models, offline; knows nothing of what the calls are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from provisioner.kit import Call, Unknown


def validate(call: Call) -> None:
    """Fail unless AWS has the operation, takes the parameters and deprecates none of them."""
    complaints = list(_complaints(call))
    assert not complaints, f"{call}: {'; '.join(complaints)}"


def _complaints(call: Call) -> Iterator[str]:
    operations = _operations(call.service)
    if call.method not in operations:
        yield "no such operation"
        return
    name = operations[call.method]
    operation = _service(call.service).operation_model(name)
    if _raw(call.service)["operations"][name].get("deprecated"):
        yield "the operation is deprecated"
    params = _named(call.params)
    if report := ParamValidator().validate(params, operation.input_shape).generate_report():
        yield report
        return
    if operation.input_shape is not None:
        yield from _stale(_raw(call.service)["shapes"], operation.input_shape.name, params, call.method)


def _stale(shapes: Mapping[str, Any], name: str, value: Any, path: str) -> Iterator[str]:
    """Walk what is sent: botocore's validator looks neither at the ``deprecated`` trait nor at enumerations."""
    shape = shapes[name]
    if shape.get("deprecated"):
        yield f"{path} is of the deprecated shape {name}"
    if "enum" in shape and value not in shape["enum"]:
        yield f"{path} is {value}, not one of {', '.join(shape['enum'])}"
    if shape["type"] == "structure":
        for key, each in value.items():
            if shape["members"][key].get("deprecated"):
                yield f"{path}.{key} is deprecated"
            yield from _stale(shapes, shape["members"][key]["shape"], each, f"{path}.{key}")
    elif shape["type"] == "list":
        for each in value:
            yield from _stale(shapes, shape["member"]["shape"], each, f"{path}[]")
    elif shape["type"] == "map":
        for key, each in value.items():
            yield from _stale(shapes, shape["value"]["shape"], each, f"{path}[{key}]")


def _named(value: Any) -> Any:
    """Put a name in the place of every id that is not known yet."""
    if isinstance(value, Unknown):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _named(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(each) for each in value]
    return value


@cache
def _raw(service: str) -> dict[str, Any]:
    model: dict[str, Any] = Loader().load_service_model(service, "service-2")
    return model


@cache
def _service(service: str) -> ServiceModel:
    return ServiceModel(_raw(service), service)


@cache
def _operations(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in _service(service).operation_names}
