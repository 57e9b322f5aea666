"""The command line in a process that kills itself, as ``kill -9`` would, in a place that is told exactly.

    python -m tests.mortal before|after|rename NUMBER provision dev ...

dies before the mutating call of that number leaves, after it came back and before anything was made of its answer, or
when the state was written that often and is not in its place yet. Nothing of the product is replaced: it is given a
connection, as every test may, and Python tells of its renames.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import Any

from provisioner.aws import Aws, Told, connect_local
from provisioner.cli import provisioner
from provisioner.clock import Clock
from provisioner.kit import Call
from provisioner.local import process
from provisioner.session import Request

when, number, *arguments = sys.argv[1:]
calls, renames = count(1), count(1)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Aws):
    """A connection that is the death of its process at one call."""

    def perform(self, call: Call, token: str = "") -> Any:
        last = next(calls) == int(number)
        if last and when == "before":
            die()
        response = super().perform(call, token)
        if last and when == "after":
            die()
        return response


def connect(request: Request, region: str, clock: Clock, told: Told) -> Aws:
    """Reach the embedded cloud as the command does."""
    endpoint = process.up(request.state_dir).endpoint
    return Mortal(connect_local(endpoint, region, request.parallelism, clock, told).client, clock, told)


def renamed(event: str, about: tuple[Any, ...]) -> None:
    """Hear of a rename before it is done."""
    of_the_state = event == "os.rename" and str(about[0]).endswith(".json.new")
    if of_the_state and next(renames) == int(number) and when == "rename":
        die()


if __name__ == "__main__":
    sys.addaudithook(renamed)
    provisioner(arguments, obj=connect)
