"""All that the cloud holds, as bytes and back: moto's resources, their names and what the rules remember.

Backends are written down by name and found again, so what speaks of one speaks of the living one afterwards. Knows no
file and no service.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import moto.backends
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from moto.core.base_backend import BackendDict

Key = tuple[str, str, str]
"""A backend of moto's: service, account, region."""

_PLAIN = frozenset({"bytearray", "complex", "dict", "frozenset", "getattr", "list", "object", "range", "set"})
_KNOWN = frozenset(
    {"collections", "copyreg", "datetime", "decimal", "enum", "ipaddress", "moto", "provisioner", "re", "uuid"}
)
"""The packages whose objects are read; what is none of these is no contents of ours."""
_HEADERS = "requests.structures"
"""Where that is from in which moto keeps the headers of an unfinished upload."""


@dataclass(frozen=True)
class Contents:
    """What the cloud holds at one time."""

    backends: Mapping[Key, dict[str, Any]]
    owners: dict[str, Any]
    """Whose the name of each bucket is, which moto keeps beside its backends."""
    memory: dict[Any, Any]


def living() -> dict[Key, Any]:
    """Give moto's backends that are in use."""
    return {
        (backends.service_name, account, region): backend
        for backends in BackendDict._instances  # type: ignore[misc]
        for account, region, backend in backends.iter_backends()
    }


def present(memory: dict[Any, Any]) -> Contents:
    """Give what is there now; nothing of it is copied."""
    return Contents({key: backend.__dict__ for key, backend in living().items()}, dict(owners()), memory)


def owners() -> dict[str, Any]:
    """Give moto's own list of who owns each bucket's name."""
    listed: dict[str, Any] = _backends("s3").bucket_accounts
    return listed


def show(contents: Contents) -> None:
    """Put contents in the place of what is there now, but for what the rules remember; nothing is copied."""
    for (service, account, region), held in contents.backends.items():
        _backends(service)[account][region].__dict__ = held
    owners().clear()
    owners().update(contents.owners)


def packed(memory: dict[Any, Any]) -> bytes:
    """Write down what is there now."""
    there = present(memory)
    written = io.BytesIO()
    _Writer(written).dump((there.backends, there.owners, there.memory))
    return written.getvalue()


def unpacked(written: bytes) -> Contents:
    """Read what was written down; it speaks of the backends there are now, and is good until they are reset.

    Raises pickle.UnpicklingError for what is no contents, or whatever else the reading of nonsense leads to.
    """
    return Contents(*_Reader(io.BytesIO(written)).load())


def touch(service: str, account: str, region: str) -> None:
    """Let a backend come into being, if it is not there yet, with what an account has from the beginning."""
    _backends(service)[account][region]


def _backends(service: str) -> Any:
    found: Any = moto.backends.get_backend(service)  # type: ignore[call-overload]
    return found


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = {id(backend): key for key, backend in living().items()}

    def persistent_id(self, obj: Any) -> Key | None:
        return self._names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        return (_private_key, (_der(obj),)) if isinstance(obj, RSAPrivateKey) else NotImplemented


class _Reader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        service, account, region = pid
        return _backends(service)[account][region]

    def find_class(self, module: str, name: str) -> Any:
        known = module == _HEADERS or module.partition(".")[0] in _KNOWN
        if name not in _PLAIN if module == "builtins" else not known:
            raise pickle.UnpicklingError(f"{module}.{name} is none of the cloud's")
        return super().find_class(module, name)


def _der(key: RSAPrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)


def _private_key(der: bytes) -> Any:
    return serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
