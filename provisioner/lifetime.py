"""How this process begins and ends: small and quick for a short life, and not held up by anybody at its end.

Knows no command.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from provisioner.clock import WORKERS

_M_TRIM_THRESHOLD, _KEPT = -1, 100_000
"""A parameter of mallopt(3), and how many free bytes at the end of the heap are kept."""


def begin() -> None:
    """Tune what looks after memory to a process that loads much and ends soon."""
    # Modules and service models live as long as the process: to look for garbage among them costs a third of its time.
    gc.set_threshold(500_000)
    # The text of a service's model is larger than most of what is made of it, and would stay resident once it is freed.
    # Elsewhere than on glibc there is no such setting.
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT)


def end(code: int) -> NoReturn:
    """End the process, without waiting for workers that wait for answers nobody wants any more."""
    if any(each.name.startswith(f"{WORKERS}_") for each in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    gc.freeze()
    sys.exit(code)
