"""Colour for a plan on a terminal; the text without it is what tests and scripts know, and says as much.

Knows a line by how it begins, and nothing of what it tells. NO_COLOR, TERM and FORCE_COLOR are heeded by rich.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

STYLES: Mapping[str, str] = {"+ ": "green", "~ ": "yellow", "- ": "red", "! ": "bold red"}
"""The style of a line by its mark: comes, changes, goes, stands in the way."""


def painted(text: str, console: Console | None = None) -> str:
    """Give the text as the terminal (stdout, unless told another) is to show it, unchanged where it shows no colour."""
    console = console or Console()
    if console.color_system is None or console.no_color:
        return text
    with console.capture() as shown:
        for line in text.split("\n"):
            console.print(Text(line, STYLES.get(line[:2], "")), soft_wrap=True)
    return shown.get().removesuffix("\n")
