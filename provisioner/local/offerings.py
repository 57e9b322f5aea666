"""What RDS offers of Aurora PostgreSQL, from recorded data with its date and source (offerings.json); knows no moto.

A region without an entry offers everything; ``since`` gives the first minor of each major that a region offers,
``zones_without`` the zones in which a class is not to be had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

ENGINE = "aurora-postgresql"


@dataclass(frozen=True)
class Version:
    """One engine version as one region offers it, or offered it."""

    name: str
    """``16.8``"""
    offered: bool
    default: bool
    """Whether it is what its major version stands for."""
    min_acu: float
    max_acu: float

    @property
    def major(self) -> str:
        return self.name.partition(".")[0]

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(map(int, self.name.split(".")))

    @property
    def released(self) -> int:
        """When it came out, counted in PostgreSQL's releases, which all majors have on the same days; 17.0 is 0."""
        return self.order[1] - int(recorded()["majors"][self.major]["head_start"])

    @property
    def family(self) -> str:
        """The family of parameter groups that fit it."""
        return f"{ENGINE}{self.major}"

    @property
    def pauses(self) -> bool:
        return self.min_acu == 0


@cache
def recorded() -> dict[str, Any]:
    """Give the recorded data as it is."""
    text = (files(__package__) / "offerings.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


@cache
def versions(region: str) -> Mapping[str, Version]:
    """Give every version the region offers or offered, by name, oldest first."""
    return {version.name: version for version in sorted(_versions(region), key=lambda version: version.order)}


def find(region: str, name: str) -> Version | None:
    """Give the offered version of that name; a major stands for its default, no name for the engine's default."""
    offered = [version for version in versions(region).values() if version.offered]
    name = name or recorded()["default"]
    exact = (version for version in offered if version.name == name)
    return next(exact, None) or next((each for each in offered if each.default and each.major == name), None)


def is_to_be_had(region: str, name: str, zone: str) -> bool:
    """Tell whether an instance class is to be had in a zone."""
    return zone not in recorded()["regions"].get(region, {}).get("zones_without", {}).get(name, ())


def lifecycle(major: str) -> Mapping[str, str]:
    """Give the days on which a major version's support ends, ``standard`` and ``extended``, as ISO dates."""
    each = recorded()["majors"][major]
    return {kind: each[kind] for kind in ("standard", "extended")}


def upgrades(region: str, version: Version) -> list[Version]:
    """Give the offered versions it can be upgraded to: later minors, and of later majors those not older than it."""
    later = (each for each in versions(region).values() if each.order > version.order)
    return [each for each in later if each.offered and each.released >= version.released]


def _versions(region: str) -> Iterator[Version]:
    limits = recorded()["regions"].get(region, {}).get("since")
    for major, each in recorded()["majors"].items():
        for name in (*each["deprecated"], *each["offered"]):
            minor = int(name.partition(".")[2])
            if limits is None or minor >= limits.get(major, minor + 1):
                least, most = _capacity(major, minor)
                yield Version(name, name in each["offered"], name == each["default"], least, most)


def _capacity(major: str, minor: int) -> tuple[float, float]:
    fits = (each for each in recorded()["capacity"] if minor >= each["since"].get(major, minor + 1))
    found = next(fits)
    return found["min"], found["max"]
