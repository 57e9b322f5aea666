"""Measure the commands against a bare script: each in a process of its own, from start to exit.

Runs of both sides alternate, so that whatever else the machine does slows both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from urllib.request import Request, urlopen

from benchmarks.figures import Failed, Figure
from provisioner.local import process

ROOT = Path(__file__).parents[1]
BARE, FRESH, AGAIN, HELP, CLICK = "bare script", "provision", "provision again", "--help", "import click"
KIB = 1024 if sys.platform != "darwin" else 1
"""What ``ru_maxrss`` counts in."""


@dataclass(frozen=True)
class Run:
    """What one process took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system, all threads."""
    memory: float
    """MB at the peak."""
    output: str = ""


@dataclass(frozen=True)
class Bench:
    """A cloud and a folder to measure in."""

    folder: Path
    endpoint: str

    def rounds(self, number: int) -> Iterator[dict[str, Run]]:
        """Run everything once a round. The first round, which warms caches, is checked and not given."""
        self._bare()
        self._check()
        for each in range(number + 1):
            taken = {BARE: self._bare(), FRESH: self._fresh(), AGAIN: self._provision()}
            taken |= {HELP: self._run("-m", "provisioner", "--help"), CLICK: self._run("-c", "import click")}
            if each:
                yield taken

    def _bare(self) -> Run:
        self._empty()
        return self._run(str(ROOT / "benchmarks" / "bare.py"), "--endpoint", self.endpoint)

    def _fresh(self) -> Run:
        self._empty()
        return self._provision()

    def _provision(self) -> Run:
        return self._run("-m", "provisioner", "provision", "dev", "--state-dir", str(self.folder), "--json")

    def _check(self) -> None:
        """Make sure that both sides build the same: where the script was, nothing remains to be called."""
        plan = self._run("-m", "provisioner", "plan", "dev", "--state-dir", str(self.folder), "--json").output
        if calls := [call["operation"] for step in json.loads(plan)["steps"] for call in step["calls"]]:
            raise Failed(f"bare.py does not build what provision builds; what remains: {', '.join(calls)}")

    def _empty(self) -> None:
        with urlopen(Request(f"{self.endpoint}/moto-api/reset", method="POST")):
            shutil.rmtree(self.folder / "local", ignore_errors=True)

    def _run(self, *arguments: str) -> Run:
        return run(environment(self.folder), *arguments)


def measure(number: int) -> list[Figure]:
    """Measure everything ``number`` times and give the medians."""
    with TemporaryDirectory(prefix="provisioner-bench-") as name:
        folder = Path(name)
        try:
            return _figures(list(Bench(folder, process.up(folder).endpoint).rounds(number)))
        finally:
            process.down(folder)


def _figures(rounds: Sequence[dict[str, Run]]) -> list[Figure]:
    def middle(what: str, of: str) -> float:
        return median(float(getattr(each[what], of)) for each in rounds)

    def calls(what: str, *kinds: str) -> float:
        return max(float(sum(json.loads(each[what].output)["calls"][kind] for kind in kinds)) for each in rounds)

    def ratio(what: str, of: str, limit: float, against: str = BARE, unit: str = "s") -> Figure:
        return Figure(f"{what}: {of}", middle(what, of), limit, against, middle(against, of), unit)

    return [
        ratio(FRESH, "wall", 2),
        ratio(FRESH, "cpu", 2),
        ratio(FRESH, "memory", 1.3, unit="MB"),
        Figure(f"{FRESH}: calls", calls(FRESH, "mutating", "reads"), 112),
        ratio(AGAIN, "wall", 1),
        Figure(f"{AGAIN}: reads", calls(AGAIN, "reads"), 41),
        Figure(f"{AGAIN}: mutating", calls(AGAIN, "mutating"), 0),
        ratio(HELP, "cpu", 3, against=CLICK),
    ]


def run(environment: dict[str, str], *arguments: str) -> Run:
    """Run Python with these arguments and wait; raises Failed if it does not exit with 0."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as log:
        begun = time.monotonic()
        child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=output, stderr=log, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in (output, log):
            stream.seek(0)
        if child.returncode:
            raise Failed(f"{' '.join(arguments)} exited with {child.returncode}:\n{output.read()}{log.read()}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIB / 1e6, output.read())


def environment(folder: Path) -> dict[str, str]:
    """Give both sides the same: no settings of the shell's, and byte code, as every second run of a command has it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PROVISIONER_", "PYTHON"))}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "NO_PROXY": "*"}
    return {**kept, **nowhere, "no_proxy": "*", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
