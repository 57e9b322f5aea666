"""Measure speed and size of the provisioner as ratios taken in one run, and print them beside their limits.

``--strict`` makes a limit passed an error.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib import import_module

from benchmarks.figures import HEAD, Failed
from provisioner.local.process import CloudError

ROOMS = ("commands", "pace", "throughput")
"""What is measured, each loaded when it is its turn: a child is never smaller than the process it was forked from."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and size.")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default 5)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a limit is passed")
    parser.add_argument("--only", choices=ROOMS, help="measure only that")
    arguments = parser.parse_args()
    rounds, over = max(1, arguments.rounds), False
    print(f"{_machine()}, medians of {rounds}\n\n{HEAD}")
    try:
        for room in [arguments.only] if arguments.only else ROOMS:
            for figure in import_module(f"benchmarks.{room}").measure(rounds):
                over = over or figure.over
                print(figure, flush=True)
    except (Failed, CloudError) as error:
        sys.exit(f"cannot measure: {error}")
    sys.exit(1 if arguments.strict and over else 0)


def _machine() -> str:
    release = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {release}"


if __name__ == "__main__":
    main()
