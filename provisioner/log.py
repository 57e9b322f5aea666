"""The log: one line per event, for a person or as JSON; the only user of structlog, knows nothing of steps.

Secrets are dropped by one processor, whatever is logged; control characters never reach the terminal.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TextIO

from provisioner.events import Event, Listener, What
from provisioner.report import clean
from state.record import iso

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


@contextlib.contextmanager
def _withheld(name: str) -> Iterator[None]:
    """Let others do without a module that is not loaded yet."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


# Where there is rich, structlog loads it for tracebacks in colour, at twice its own cost; no traceback is logged here.
with _withheld("rich"):
    import structlog

LEVELS: Mapping[What, int] = {
    "waiting": logging.INFO,
    "calling": logging.DEBUG,
    "called": logging.INFO,
    "retrying": logging.WARNING,
    "settled": logging.INFO,
    "gone": logging.INFO,
    "failed": logging.ERROR,
    "blocked": logging.WARNING,
    "stopping": logging.WARNING,
}
DROPPED = "***"

_WORDS = "password|secret|token|access[_-]?key|authorization"
_NAME = re.compile(rf"[\w-]*(?:{_WORDS})[\w-]*", re.IGNORECASE)
_HEADER = re.compile(r"(?P<name>\bauthorization)(?P<sign>[\"']?\s*[:=]\s*).+", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(
    rf"(?P<name>[\w-]*(?:{_WORDS})[\w-]*)"
    # AWS's own words stay readable: "ExpiredToken: The token ..." and an ARN's "secret:name" are no such pair.
    r"(?P<sign>\s*=\s*|[\"']\s*[:=]\s*|(?<=\bpassword):\s+|(?<=\bsecret):\s+|(?<=\btoken):\s+)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&}]+)",
    re.IGNORECASE,
)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_BASE64 = "[A-Za-z0-9/+]"
_KEY = re.compile(
    rf"(?<![A-Za-z0-9/+=])(?={_BASE64}*[a-z])(?={_BASE64}*[A-Z])(?={_BASE64}*\d)"
    rf"(?:{_BASE64}{{40}}|{_BASE64}{{100,}}={{0,2}})(?![A-Za-z0-9/+=])"
)
"""A secret access key (40 characters of base64, unlike any id of AWS) or a session token."""


def configure(format: Literal["console", "json"], verbose: int, stream: TextIO | None = None) -> None:
    """Set structlog up for this process; ``stream`` is stderr unless given."""
    last: Processor = structlog.processors.JSONRenderer()
    if format == "console":
        last = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False, pad_event_to=9)
    structlog.configure(
        processors=[structlog.processors.add_log_level, without_secrets, _harmless, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream if stream is not None else sys.stderr),
        cache_logger_on_first_use=False,
    )


def listener() -> Listener:
    """Make a listener that logs each event; a step that goes on waiting for the same is a matter for ``-v``."""
    logger = structlog.get_logger()
    waits: dict[str, str] = {}

    def hear(event: Event) -> None:
        level = LEVELS[event.what]
        if event.what == "waiting":
            level = logging.DEBUG if waits.get(event.step) == event.why else level
            waits[event.step] = event.why
        elif event.what == "called":
            waits.pop(event.step, None)
        # Nobody may be reading any longer (a closed pipe): that is no reason to stop a run half way.
        with contextlib.suppress(OSError):
            logger.log(level, event.what, timestamp=iso(event.at), **_details(event))

    return hear


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drop whatever is named like a secret or looks like an AWS credential, at any depth."""
    dropped: EventDict = _dropped(event)
    return dropped


def _details(event: Event) -> dict[str, Any]:
    """Give what an event has to tell beside what happened; times are seconds."""
    told: dict[str, Any] = {
        "step": event.step,
        "operation": event.operation,
        "id": event.id,
        "code": event.code,
        "why": event.why,
        "remedy": event.remedy,
        "seconds": round(event.seconds, 3),
    }
    return {key: value for key, value in told.items() if value}


def _named_secret(name: str) -> bool:
    """Tell whether a value with this name must not be seen; an ARN tells where a secret is, not what it is."""
    return _NAME.fullmatch(name) is not None and not name.lower().endswith("arn")


def _dropped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: DROPPED if _named_secret(str(key)) else _dropped(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_dropped(each) for each in value]
    if isinstance(value, str):
        return _KEY.sub(DROPPED, _KEY_ID.sub(DROPPED, _PAIR.sub(_pair, _HEADER.sub(_pair, value))))
    return value


def _pair(found: re.Match[str]) -> str:
    return f"{found['name']}{found['sign']}{DROPPED}" if _named_secret(found["name"]) else found[0]


def _harmless(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}
