"""The live view of a run on a terminal: one line per step at work; the only user of rich, knows nothing of AWS.

Steps that are done, or have not begun, are a number in the head line, so that any stack fits on any screen. Everything
is drawn anew from the console's present size a few times a second: times tick and a resize is followed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, get_args

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from provisioner.estimate import Forecast
from provisioner.events import Event
from provisioner.words import about, clean

WIDEST = 100
"""Columns a line takes at most: a doing far from its name is hard to follow."""
PER_SECOND = 4
LASTING = 10.0
"""Seconds that a step has to be expected to take for that to be said beside it."""

Stage = Literal["done", "failed", "blocked", "at work", "to come"]
_ORDER: tuple[Stage, ...] = get_args(Stage)
_MARKS: dict[Stage, tuple[str, str, str]] = {
    "failed": ("✗", "x", "red"),
    "at work": ("•", "*", "cyan"),
    "blocked": ("-", "-", "yellow"),
}
"""What has a line of its own, what matters most first: its mark, the same in ASCII, and its style."""


@dataclass(frozen=True)
class _Course:
    """Where one step is, in words, and since when."""

    stage: Stage = "to come"
    doing: str = ""
    since: float = 0.0


class LiveView:
    """Show a run while it goes on: hears its events, and is gone from the screen when the run is over."""

    def __init__(
        self,
        names: Sequence[str],
        verb: str,
        clock: Callable[[], float],
        console: Console | None = None,
        forecast: Forecast | None = None,
    ) -> None:
        """Begin with steps of these names to come; ``clock`` is the run's: its seconds are those of the events.

        With a forecast the head line says how long it will still take, and a line how long the step does.
        """
        self._verb, self._clock, self._begun = verb, clock, clock()
        self._courses = {name: _Course() for name in names}
        self._forecast = forecast
        self._started: dict[str, float] = {}
        self._note, self._until = "", 0.0
        self._stopping = False
        self._lock = threading.Lock()
        self._live = Live(
            self,
            console=console if console is not None else Console(stderr=True),
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event; the next refresh shows it. Safe in any thread."""
        with self._lock:
            if event.what == "stopping":
                self._stopping = True
            elif event.what == "retrying":
                self._note = f"{event.operation} goes out again: {event.code or event.why}"
                self._until = event.at + event.seconds
            else:
                self._started.setdefault(event.step, event.at)
                self._courses[event.step] = _after(self._courses.get(event.step, _Course()), event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            lines = list(self._lines(min(options.max_width, WIDEST), options.ascii_only))
        # The cursor rests on the last row: a view of full height would scroll at every refresh.
        room = max(1, console.height - 1)
        if len(lines) > room:
            hidden = len(lines) - room + 1
            lines = [*lines[: room - 1], Text(f"  and {hidden} more", "dim")] if room > 1 else lines[:1]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line

    def _lines(self, width: int, ascii_only: bool) -> Iterator[Text]:
        now = self._clock()
        yield self._head(now, width)
        if now < self._until:
            yield _fitted(f"! {clean(self._note)}", width, "yellow")
        shown = max((len(name) for name, each in self._courses.items() if each.stage in _MARKS), default=0)
        for stage, (mark, plain, style) in _MARKS.items():
            for name, each in self._courses.items():
                if each.stage == stage:
                    start = f"{plain if ascii_only else mark} {clean(name).ljust(shown)}  "
                    yield _line(start, each, now, width, style, self._expected(name, now))

    def _head(self, now: float, width: int) -> Text:
        stages = Counter(each.stage for each in self._courses.values())
        told = ", ".join(f"{stages[stage]} {stage}" for stage in _ORDER if stages[stage])
        stopping = ", stopping; Ctrl-C again: at once" if self._stopping else ""
        return _fitted(
            f"{self._verb} {_elapsed(now - self._begun)}  {told}{stopping or self._left(now)}", width, "bold"
        )

    def _left(self, now: float) -> str:
        """Say how long it will still take, as long as the run keeps to what was expected."""
        over = {name for name, each in self._courses.items() if each.stage not in ("at work", "to come")}
        spent = {name: now - at for name, at in self._started.items()}
        left = self._forecast.left(spent, over) if self._forecast else 0.0
        return f", {about(left)} left" if left >= 1 else ""

    def _expected(self, name: str, now: float) -> str:
        """Say how long a step takes in all, while it has not taken longer."""
        seconds = self._forecast.seconds.get(name, 0.0) if self._forecast else 0.0
        spent = now - self._started.get(name, now)
        return f", takes {about(seconds)}" if seconds >= max(LASTING, spent) else ""


def _after(course: _Course, event: Event) -> _Course:
    """Say where a step is after an event; a wait that goes on keeps its beginning."""
    method = event.operation.partition(".")[2]
    match event.what:
        case "waiting":
            now = _Course("at work", f"waiting: {event.why}", event.at)
        case "calling":
            now = _Course("at work", method, event.at)
        case "called":
            now = _Course("at work", f"{method}: {event.code}" if event.code else "looking", event.at)
        case "failed":
            now = _Course("failed", ": ".join(filter(None, (event.code, event.why))), event.at)
        case "blocked":
            now = _Course("blocked", f"blocked by {event.why}", event.at)
        case _:
            now = _Course("done", "", event.at)
    return replace(now, since=course.since) if now == replace(course, since=now.since) else now


def _line(start: str, course: _Course, now: float, width: int, style: str, expected: str = "") -> Text:
    """Put mark and name, what the step does, and (at work) for how long, into one line."""
    age = f"  {_elapsed(now - course.since)}{expected}" if course.stage == "at work" else ""
    line = _fitted(start + clean(course.doing), width - len(age))
    line.append(age, "dim")
    line.stylize(style, 0, 1)
    line.truncate(width)
    return line


def _fitted(text: str, width: int, style: str = "") -> Text:
    line = Text(text, style)
    line.truncate(max(1, width), overflow="ellipsis")
    return line


def _elapsed(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02}"
