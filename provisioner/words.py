"""How numbers, lists and text from outside are put into lines for a person; knows nothing of what they tell.

Every line goes through ``clean``, so nothing that AWS or a file says can steer a terminal or pretend to be a line of
ours.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import Any


def clean(text: str) -> str:
    """Make text from outside harmless: line breaks and tabs become spaces, other control characters visible."""
    if text.isprintable():
        return text
    return "".join(" " if char in "\t\n\r" else char if char.isprintable() else _visible(char) for char in text)


def joined(lines: Iterable[str]) -> str:
    """Make one harmless text of lines."""
    return "\n".join(map(clean, lines))


def count(number: int, noun: str) -> str:
    """Say ``1 call`` or ``2 calls``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tally(words: Iterable[str]) -> str:
    """Say how often each word comes, the most frequent first."""
    return ", ".join(f"{number} {word}" for word, number in Counter(words).most_common()) or "none"


def cut(text: str, width: int) -> str:
    """Shorten a text to so many columns."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def folded(text: str, width: int, margin: str) -> list[str]:
    """Break a text into lines between its words only, so that what is in it can still be copied."""
    return textwrap.wrap(
        text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def hanging(text: str, width: int) -> list[str]:
    """Break a text into lines, of which those after the first stand in."""
    first, *rest = folded(text, width - 2, "")
    return [first, *(f"  {line}" for line in rest)]


def shown(value: Any) -> str:
    """Show a value the way an environment file writes it, if it is short."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "so large a number"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def either(words: Iterable[str]) -> str:
    """Say ``1, 2 or 3``."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def duration(seconds: float) -> str:
    """Say a time that was measured."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def about(seconds: float) -> str:
    """Say a time that is expected, no more exactly than it can be known."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {minutes // 60} h {minutes % 60} min"


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
