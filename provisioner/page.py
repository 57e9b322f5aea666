"""An environment file as it is written: where its keys stand, and all that is wrong with it; knows no key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from provisioner.terms import Objection
from provisioner.words import joined


@dataclass(frozen=True)
class Page:
    """An environment file as it is written: on which line each key stands, as far as that is known."""

    path: Path
    lines: Mapping[str, int] = field(default_factory=dict)

    def line(self, where: str) -> int:
        """Give the line of a key, else that of its table, else 0."""
        while where and where not in self.lines:
            where = where.rpartition(".")[0]
        return self.lines.get(where, 0)

    def at(self, where: str, otherwise: object = "") -> str:
        """Give the place as ``file:line``, or what else is said where the file has none."""
        return f"{self.path}:{line}" if (line := self.line(where)) else str(otherwise)


class ConfigError(Exception):
    """Everything that is wrong with one environment file."""

    def __init__(
        self,
        path: Path,
        objections: Iterable[Objection],
        lines: Mapping[str, int] = MappingProxyType({}),
        readable: Any = None,
    ) -> None:
        self.path = path
        self.page = Page(path, lines)
        self.objections = tuple(sorted(objections, key=lambda objection: self.page.line(objection.where)))
        self.readable = readable
        """The rest of the file, where that makes sense without what is wrong: enough to ask the region about it."""
        super().__init__(path, self.objections, lines)

    def __str__(self) -> str:
        return joined(f"{self.page.at(each.where, self.path)}: {each}" for each in self.objections)

    def with_others(self, others: Iterable[Objection]) -> ConfigError:
        """Give the same with what else is wrong about the keys that are written and are not complained of already."""
        known = {each.where for each in self.objections}
        fresh = (each for each in others if each.where in self.page.lines and each.where not in known)
        return ConfigError(self.path, [*self.objections, *dict.fromkeys(fresh)], self.page.lines)


def lines_of(text: str) -> dict[str, int]:
    """Find the line of every key, as far as a look at each line alone can tell."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]", line):
            table = f"{header[1]}."
            found.setdefault(header[1], number)
        elif key := re.match(r"""\s*(["']?)([^"'=#]+?)\1\s*=""", line):
            found.setdefault(table + key[2], number)
    return found
