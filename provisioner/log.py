"""The log: one line per event, for a person or as JSON; the only user of structlog, knows nothing of steps.

Secrets are dropped by one processor, whatever is logged; control characters never reach the terminal. structlog is
loaded with the first line: a run that finds nothing to do has none to write.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TextIO

from provisioner.events import Event, Listener, What
from provisioner.redaction import DROPPED, brief, named_secret
from provisioner.words import clean
from state.record import iso

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger


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

Format = Literal["console", "json"]


def listener(form: Format = "console", verbose: int = 0, stream: TextIO | None = None) -> Listener:
    """Make a listener that logs each event, to stderr unless told otherwise.

    What nothing had to be called for, and a step that goes on waiting for the same, are matters for ``verbose``.
    """
    threshold = logging.DEBUG if verbose else logging.INFO
    logger: list[FilteringBoundLogger] = []
    touched: set[str] = set()
    waits: dict[str, str] = {}

    def hear(event: Event) -> None:
        level = _level(event, touched, waits)
        if level < threshold:
            return
        if not logger:
            logger.append(_logger(form, stream or sys.stderr))
        # Nobody may be reading any longer (a closed pipe): that is no reason to stop a run half way.
        with contextlib.suppress(OSError):
            logger[0].log(level, event.what, timestamp=iso(event.at), **_details(event))

    return hear


def _level(event: Event, touched: set[str], waits: dict[str, str]) -> int:
    """Say how much an event matters, and remember what that of later ones depends on."""
    if event.what == "waiting":
        goes_on = waits.get(event.step) == event.why
        waits[event.step] = event.why
        return logging.DEBUG if goes_on else LEVELS["waiting"]
    if event.what == "called":
        touched.add(event.step)
        waits.pop(event.step, None)
    unchanged = event.what in ("settled", "gone") and event.step not in touched | waits.keys()
    return logging.DEBUG if unchanged else LEVELS[event.what]


def _logger(form: Format, stream: TextIO) -> FilteringBoundLogger:
    import structlog

    last: Processor = structlog.processors.JSONRenderer()
    if form == "console":
        last = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False, pad_event_to=9)
    made: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.add_log_level, without_secrets, _harmless, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    return made


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


def _dropped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: DROPPED if named_secret(str(key)) else _dropped(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_dropped(each) for each in value]
    if isinstance(value, str):
        return brief(value)
    return value


def _harmless(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}
