"""Where what we say leaves us: every text for a person and every document for a script goes through here, last of all.

Nothing that AWS, a file or a command line holds steers a terminal, shows a secret or runs on without end. Knows not
what is said, nor to whom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from provisioner.redaction import brief, redacted
from provisioner.words import clean

WIDEST = 4000
"""Characters of a line for a person."""
LONGEST = 65_536
"""Characters of a text in a document: more than AWS takes in any policy."""


def screened(text: str) -> str:
    """Make a text fit to be shown: only its line breaks are obeyed, its lines are bounded, secrets are dropped."""
    return "\n".join(clean(brief(line, WIDEST)) for line in text.split("\n"))


def document(value: Any) -> str:
    """Write plain values as JSON in ASCII, without secrets, each text in it bounded."""
    # Of all that could steer a terminal JSON leaves DEL alone as it is.
    return json.dumps(_bounded(value), indent=2).replace("\x7f", "\\u007f")


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return _told(value)
    if isinstance(value, Mapping):
        return {_told(key) if isinstance(key, str) else key: _bounded(each) for key, each in value.items()}
    return [_bounded(each) for each in value] if isinstance(value, (list, tuple)) else value


def _told(text: str) -> str:
    return redacted(text) if len(text) <= LONGEST else brief(text, LONGEST)
