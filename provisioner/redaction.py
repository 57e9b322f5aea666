"""What is dropped from a text because it is a secret, or looks like one; knows no AWS and not where the text goes.

Secrets are told by what stands before them, by the look of AWS's keys and tokens, and by their value where this
process was given it in its environment. A quotation mark is never dropped: a command stays quoted as it was.
"""

from __future__ import annotations

import os
import re

DROPPED = "***"
LONGEST = 2000
"""Characters of a text from outside that are told."""
_PART = 16
"""Characters that the beginning of a secret needs to be worth anything."""
_SHORTEST = 10
"""Characters from which on a value of the environment is looked for: a shorter one may be any word."""

_WORDS = "password|secret|token|access[_-]?key|authorization"
_NAME = re.compile(rf"[\w-]*(?:{_WORDS})[\w-]*", re.IGNORECASE)
_PLACES = ("arn", "file", "kmskeyid", "kms_key_id")
"""How names end that say where a secret is, or with what it is encrypted, and not what it is."""
_HEADER = re.compile(r"(?P<name>\bauthorization)(?P<sign>[\"']?\s*[:=]\s*[\"']?).+", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(
    rf"(?P<name>(?:{_WORDS})[\w-]*)"
    # Words stay readable: "ExpiredToken: The token ...", an ARN's "secret:name" and "database.password: leave it out".
    r"(?P<sign>\s*=\s*|[\"']\s*[:=]\s*|(?<=\bpassword)(?<!\.password):\s+|(?<=\bsecret):\s+|(?<=\btoken):\s+)"
    r"(?!(?:true|false|null|none)\b)(?:(?P<mark>[\"'])[^\"']*|[^\s,;&}\"']+)",
    re.IGNORECASE,
)
_KEY_ID = re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")
_BASE64 = "[A-Za-z0-9/+]"
_KEY = re.compile(
    rf"(?<!{_BASE64})(?={_BASE64}*[a-z])(?={_BASE64}*[A-Z])(?={_BASE64}*\d)"
    rf"(?:{_BASE64}{{40}}|{_BASE64}{{100,}}={{0,2}})(?![A-Za-z0-9/+=])"
)
"""A secret access key (40 characters of base64, unlike any id of AWS) or a session token."""
_LOGIN = re.compile(r"(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)")
"""The user and password of a URL, such as that of a proxy."""
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")


def redacted(text: str) -> str:
    """Drop from a text whatever is a secret or looks like one; takes time in proportion to its length."""
    for value in _given():
        text = text.replace(value, DROPPED)
    text = _LOGIN.sub(DROPPED, _PAIR.sub(_pair, _HEADER.sub(_pair, text)))
    return _KEY.sub(DROPPED, _KEY_ID.sub(DROPPED, text))


def brief(text: str, longest: int = LONGEST) -> str:
    """Make one line of a text, without secrets and of no more than so many characters.

    Where it is cut through something that could be a secret, nothing of that is left.
    """
    line = _BREAKS.sub(" ", text[: longest + 1])
    if len(line) <= longest and len(text) <= longest:
        return redacted(line)
    head = line[:longest]
    whole = re.split(r"[\w/+=.-]*\Z", head, maxsplit=1)[0] if head[-_PART:].isascii() else head
    return f"{redacted(whole if len(head) - len(whole) >= _PART else head)}... ({len(text)} characters)"


def named_secret(name: str) -> bool:
    """Tell whether a value with this name must not be seen; where a secret is may be."""
    return _NAME.fullmatch(name) is not None and not name.lower().endswith(_PLACES)


def is_credential(text: str) -> bool:
    """Tell whether a text holds what looks like a key or a token of AWS."""
    return bool(_KEY_ID.search(text) or _KEY.search(text))


def _pair(found: re.Match[str]) -> str:
    mark = found.groupdict().get("mark") or ""
    return f"{found['name']}{found['sign']}{mark}{DROPPED}" if named_secret(found["name"]) else found[0]


def _given() -> list[str]:
    """List the secrets that the environment holds, the longest first."""
    values = {value for name, value in os.environ.items() if named_secret(name)}
    # What is made of small letters only is a word that may stand anywhere.
    return sorted((each for each in values if len(each) >= _SHORTEST and not each.islower()), key=len, reverse=True)
