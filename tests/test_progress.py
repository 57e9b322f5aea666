"""What the live view shows, drawn on consoles of every size in memory; no terminal, and time stands where it is put."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.cells import cell_len
from rich.console import Console

from provisioner.estimate import Forecast
from provisioner.events import Event, What
from provisioner.progress import LiveView


@dataclass
class Hands:
    """A clock whose hands are moved by the test."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at


def screen(width: int = 80, height: int = 24, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, width=width, height=height, force_terminal=True, color_system=None, _environ={})


def drawn(view: LiveView, console: Console | None = None) -> list[str]:
    console = console or screen()
    with console.capture() as capture:
        console.print(view)
    return capture.get().rstrip("\n").split("\n")


@dataclass
class Run:
    """A run that is watched."""

    view: LiveView
    clock: Hands

    def tell(self, what: What, step: str = "", **details: str) -> None:
        self.view(Event(what=what, at=self.clock.at, step=step, **details))  # type: ignore[arg-type]


def watched(*names: str) -> Run:
    clock = Hands()
    return Run(LiveView(names, "provision", clock.now, screen()), clock)


def test_a_step_at_work_has_a_line_that_says_what_and_for_how_long() -> None:
    run = watched("vpc", "cluster", "bucket")
    run.tell("calling", "vpc", operation="ec2.create_vpc")
    run.tell("waiting", "cluster", why="creating")
    run.clock.at += 75.5
    assert drawn(run.view) == [
        "provision 1:15  2 at work, 1 to come",
        "• vpc      create_vpc  1:15",
        "• cluster  waiting: creating  1:15",
    ]


def test_a_wait_for_the_same_goes_on_ticking_and_another_begins_anew() -> None:
    run = watched("cluster")
    run.tell("waiting", "cluster", why="creating")
    run.clock.at += 10
    run.tell("waiting", "cluster", why="creating")
    run.clock.at += 5
    assert drawn(run.view)[1] == "• cluster  waiting: creating  0:15"
    run.tell("waiting", "cluster", why="backing-up")
    assert drawn(run.view)[1] == "• cluster  waiting: backing-up  0:00"


def test_finished_steps_are_a_number_and_the_failed_come_first() -> None:
    run = watched("a", "b", "c", "d", "e")
    run.tell("settled", "a", id="vpc-1")
    run.tell("gone", "b")
    run.tell("blocked", "c", why="e")
    run.tell("called", "d", operation="ec2.create_vpc")
    run.tell("failed", "e", code="Denied", why="you may not")
    run.clock.at += 3
    assert drawn(run.view) == [
        "provision 0:03  2 done, 1 failed, 1 blocked, 1 at work",
        "✗ e  Denied: you may not",
        "• d  looking  0:03",
        "- c  blocked by e",
    ]


def test_a_call_that_aws_refused_shows_its_code() -> None:
    run = watched("vpc")
    run.tell("called", "vpc", operation="ec2.delete_vpc", code="DependencyViolation")
    assert drawn(run.view)[1] == "• vpc  delete_vpc: DependencyViolation  0:00"


def test_a_retry_is_shown_until_the_request_goes_out_again() -> None:
    run = watched("vpc")
    run.view(Event(what="retrying", at=1000.0, operation="ec2.describe_vpcs", code="Throttling", seconds=2.0))
    assert drawn(run.view)[1] == "! ec2.describe_vpcs goes out again: Throttling"
    run.clock.at += 2
    assert drawn(run.view) == ["provision 0:02  1 to come"]


def test_an_interrupted_run_says_that_it_is_stopping() -> None:
    run = watched("vpc")
    run.tell("stopping")
    assert drawn(run.view) == ["provision 0:00  1 to come, stopping; Ctrl-C again: at once"]


def test_thirty_busy_steps_fit_in_any_height() -> None:
    names = [f"step-{number}" for number in range(30)]
    run = watched(*names)
    for name in names:
        run.tell("waiting", name, why="creating")
    lines = drawn(run.view, screen(height=24))
    assert len(lines) == 23
    assert lines[-1] == "  and 9 more"
    assert len(drawn(run.view, screen(height=40))) == 31
    assert drawn(run.view, screen(height=1)) == ["provision 0:00  30 at work"]


@pytest.mark.parametrize("width", [1, 10, 20, 40, 80, 200])
def test_no_line_wraps_whatever_the_width_and_whatever_is_said(width: int) -> None:
    run = watched("a-step-with-a-rather-long-name", "東京" * 10, "c")
    run.tell("waiting", "a-step-with-a-rather-long-name", why="word " * 60)
    run.tell("failed", "東京" * 10, code="Denied", why="東京 " * 60)
    run.tell("blocked", "c", why="x" * 300)
    lines = drawn(run.view, screen(width=width))
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= width


def test_the_time_stays_in_sight_where_the_text_is_cut() -> None:
    run = watched("cluster")
    run.tell("waiting", "cluster", why="word " * 60)
    (line,) = drawn(run.view)[1:]
    assert line.endswith("…  0:00")
    assert len(line) == 80


def test_a_resize_is_followed_at_the_next_refresh() -> None:
    run = watched("cluster")
    run.tell("waiting", "cluster", why="word " * 60)
    assert [len(drawn(run.view, screen(width=width))[1]) for width in (80, 30, 60)] == [80, 30, 60]


def test_control_characters_and_markup_in_what_is_said_do_nothing() -> None:
    run = watched("vpc")
    run.tell("failed", "vpc", code="[red]X[/red]", why="\x1b[2Jone\r\ntwo")
    assert drawn(run.view)[1] == "✗ vpc  [red]X[/red]: \\x1b[2Jone  two"


def test_a_terminal_that_knows_ascii_only_gets_ascii() -> None:
    run = watched("vpc", "app")
    run.tell("failed", "vpc", code="Denied")
    run.tell("waiting", "app", why="pending")
    assert drawn(run.view, screen(encoding="ascii"))[1:] == ["x vpc  Denied", "* app  waiting: pending  0:00"]


def test_colour_is_used_only_where_it_is_wanted() -> None:
    run = watched("vpc")
    run.tell("failed", "vpc", code="Denied")
    wanted = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard", _environ={})
    unwanted = Console(
        file=io.StringIO(), width=80, force_terminal=True, color_system="standard", _environ={"NO_COLOR": "1"}
    )
    assert "\x1b[31m✗" in drawn(run.view, wanted)[1]
    assert "\x1b[31m" not in drawn(run.view, unwanted)[1]


def test_the_view_is_drawn_while_the_run_goes_on_and_gone_afterwards() -> None:
    console, clock = screen(), Hands()
    with LiveView(["vpc"], "teardown", clock.now, console) as view:
        view(Event(what="calling", at=clock.at, step="vpc", operation="ec2.delete_vpc"))
        view(Event(what="waiting", at=clock.at, step="unheard-of", why="to disappear"))
        assert len(drawn(view)) == 3
    console.file.flush()
    written = console.file.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "teardown 0:00  1 to come" in written
    assert written.endswith("\x1b[2K")
    assert "\x1b[?25h" in written


def test_the_time_that_is_left_and_that_of_each_step_is_told_as_long_as_it_holds() -> None:
    clock = Hands()
    needs = {"vpc": frozenset[str](), "cluster": frozenset({"vpc"}), "bucket": frozenset[str]()}
    forecast = Forecast(seconds={"vpc": 5.0, "cluster": 180.0}, waits=needs, source="history")
    run = Run(LiveView(list(needs), "provision", clock.now, screen(), forecast), clock)
    assert drawn(run.view) == ["provision 0:00  3 to come, about 3 min left"]
    run.tell("calling", "vpc", operation="ec2.create_vpc")
    clock.at += 5
    run.tell("settled", "vpc")
    run.tell("calling", "cluster", operation="rds.create_db_cluster")
    clock.at += 120
    assert drawn(run.view) == [
        "provision 2:05  1 done, 1 at work, 1 to come, about 60 s left",
        "• cluster  create_db_cluster  2:00, takes about 3 min",
    ]
    clock.at += 90
    assert drawn(run.view) == ["provision 3:35  1 done, 1 at work, 1 to come", "• cluster  create_db_cluster  3:30"]
    run.tell("stopping")
    assert drawn(run.view)[0].endswith("1 to come, stopping; Ctrl-C again: at once")
