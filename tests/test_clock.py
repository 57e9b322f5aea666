"""The clock on the wall, and one that runs faster."""

from __future__ import annotations

import queue
import time
from typing import Any

import pytest

from provisioner.clock import RealClock


def test_a_clock_that_runs_faster_begins_with_the_one_on_the_wall() -> None:
    since = time.time() - 60.0
    clock = RealClock(10.0, since)
    assert clock.now() == pytest.approx(since + 600.0, abs=100.0)
    assert RealClock().now() == pytest.approx(time.time(), abs=10.0)


def test_what_is_waited_for_on_a_fast_clock_is_as_long_by_that_clock() -> None:
    clock, inbox = RealClock(1e6, time.time()), queue.SimpleQueue[Any]()
    before = clock.now()
    assert clock.take(inbox, 1000.0) is None
    assert clock.now() >= before + 1000.0
    inbox.put("news")
    assert clock.take(inbox, None) == "news"
