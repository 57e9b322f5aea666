"""Texts that are agreed on, checked in beside this page; ``GOLDEN=write`` puts down what is said now, for review."""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(name: str, text: str) -> None:
    """Fail unless the text is the one in the file of that name."""
    file = Path(__file__).parent / name
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()
