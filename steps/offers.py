"""What RDS offers of the engine in a region, as it tells it: versions, capacity, support, zones; knows no step.

No version, limit or date is written here: all of it is asked. Sources: RDS API reference, DescribeDBEngineVersions,
DescribeDBMajorEngineVersions, DescribeOrderableDBInstanceOptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from provisioner.kit import Reader
from provisioner.terms import Check, Objection
from steps.rds import ENGINE, numbers

SOON = 90
"""Days before the end of standard support from which on it is said."""
_PLAIN = re.compile(r"\d+\.\d+")
"""A version as clusters have it; others, as those for Limitless, are no choice of ours."""


@dataclass(frozen=True)
class Offer:
    """One version, as the region offers it, or no longer does."""

    version: str
    deprecated: bool
    long_term: bool
    """Whether AWS supports it for long (LTS)."""
    capacity: tuple[float, float] | None
    """The least and the most ACU, ``None`` where it cannot be serverless."""
    targets: tuple[str, ...]
    """What it can be upgraded to."""

    @property
    def usable(self) -> bool:
        return not self.deprecated and self.capacity is not None


def offers(aws: Reader, default: bool = False) -> dict[str, Offer]:
    """Give every version the region offers or has withdrawn, oldest first; or its default alone, known already."""
    which = {"DefaultOnly": True} if default else {"IncludeAll": True}
    rows = aws.items("rds.describe_db_engine_versions", Engine=ENGINE, **which)
    read = [_offer(row) for row in rows if _PLAIN.fullmatch(row["EngineVersion"])]
    return {offer.version: offer for offer in sorted(read, key=lambda offer: numbers(offer.version))}


def _offer(row: Mapping[str, Any]) -> Offer:
    scaling = row.get("ServerlessV2FeaturesSupport") or {}
    return Offer(
        row["EngineVersion"],
        deprecated=row.get("Status") == "deprecated",
        long_term="(LTS)" in row.get("DBEngineVersionDescription", ""),
        capacity=(scaling["MinCapacity"], scaling["MaxCapacity"]) if scaling else None,
        targets=tuple(each["EngineVersion"] for each in row.get("ValidUpgradeTarget", ())),
    )


def zones(aws: Reader, instance_class: str, version: str) -> set[str]:
    """Give the zones in which an instance class is to be had for a version, asked once for all versions."""
    rows = aws.items("rds.describe_orderable_db_instance_options", Engine=ENGINE, DBInstanceClass=instance_class)
    return {zone["Name"] for row in rows if row["EngineVersion"] == version for zone in row["AvailabilityZones"]}


def version_is_offered(aws: Reader, region: str, version: str) -> Check:
    """Object to a version the region does not offer, and name the nearest it does."""
    known = offers(aws)
    offer, told = known.get(version), f"Aurora PostgreSQL {version}"
    usable = [each for each in known.values() if each.usable]
    if offer is None:
        yield Objection("database.engine_version", f"{told} is not offered in {region}", _nearest(version, usable))
    elif offer.deprecated:
        what = f"{told} is not offered in {region} any more: AWS has deprecated it"
        yield Objection("database.engine_version", what, _nearest(version, usable))
    elif offer.capacity is None:
        what = f"{told} cannot be serverless in {region}"
        yield Objection("database.engine_version", what, _nearest(version, usable))


def upgrade_is_possible(aws: Reader, running: str, wanted: str) -> Check:
    """Object to a way from version to version that AWS does not go."""
    known = offers(aws)
    if running not in known or wanted not in known or known[wanted].deprecated or wanted in known[running].targets:
        return
    targets = sorted(known[running].targets, key=numbers)
    same = [target for target in targets if numbers(target)[0] == numbers(wanted)[0]] or targets
    remedy = f"write one of {', '.join(same)}" if same else "leave the version as it is"
    what = f"AWS upgrades Aurora PostgreSQL {running} to other versions, not to {wanted}"
    yield Objection("database.engine_version", what, remedy)


def capacity_is_supported(aws: Reader, version: str, least: float, most: float, default: bool) -> Check:
    """Object to a range of ACUs the version does not have, and name one that has it."""
    offer, told = offers(aws, default).get(version), f"Aurora PostgreSQL {version}"
    if offer is None or offer.deprecated or offer.capacity is None:
        return  # another version has to be written anyway
    low, high = offer.capacity
    if low <= least and most <= high:
        return
    alike = [each for each in offers(aws).values() if each.usable and numbers(each.version)[0] == numbers(version)[0]]
    if least < low:
        what = f"{told} cannot pause" if least == 0 else f"{told} does not go below {low:g} ACU"
        better = (each.version for each in alike if each.capacity and each.capacity[0] <= least)
        yield Objection("database.min_acu", what, f"write {low:g}{_or_version(better)}")
    if most > high:
        better = (each.version for each in alike if each.capacity and each.capacity[1] >= most)
        what = f"{told} does not go above {high:g} ACU"
        yield Objection("database.max_acu", what, f"write {high:g} or less{_or_version(better)}")


def support_lasts(aws: Reader, version: str, born: bool, extended: bool, now: float) -> Check:
    """Say when a major version's standard support ends soon; object to a newborn that cannot be had without it."""
    ends = {}
    for each in aws.items("rds.describe_db_major_engine_versions", Engine=ENGINE):
        for span in each.get("SupportedEngineLifecycles", ()):
            if span["LifecycleSupportName"] == "open-source-rds-standard-support":
                ends[each["MajorEngineVersion"]] = span["LifecycleSupportEndDate"].date()
    major, today = version.split(".")[0], datetime.fromtimestamp(now, UTC).date()
    if major not in ends or (left := (ends[major] - today).days) > SOON:
        return
    when = f"standard support of Aurora PostgreSQL {major} {'ended' if left < 0 else 'ends'} on {ends[major]}"
    if left >= 0:
        yield Objection("database.engine_version", when, f"plan the way to {_later(ends, today)}", "warning")
    elif born and not extended:
        what = f"{when}, and AWS creates none without extended support, which is paid for"
        yield Objection("database.engine_version", what, f"write {_later(ends, today)}")
    else:
        yield Objection("database.engine_version", when, f"upgrade: write {_later(ends, today)}", "warning")


def _later(ends: Mapping[str, date], today: date) -> str:
    good = [major for major in sorted(ends, key=numbers) if (ends[major] - today).days > SOON]
    return " or ".join(f'"{major}"' for major in good[-2:]) or "a newer major version"


def _nearest(version: str, usable: list[Offer]) -> str:
    """Say what to write: the nearest later version, else the newest, else the majors there are."""
    major = [each for each in usable if numbers(each.version)[0] == numbers(version)[0]]
    if not major:
        majors = dict.fromkeys(each.version.split(".")[0] for each in usable)
        return f"write one of {', '.join(majors)}, or leave the key out for AWS's default"
    later = [each for each in major if numbers(each.version) >= numbers(version)]
    best = later[0] if later else major[-1]
    why = f"the {'nearest later' if later else 'newest'} {numbers(version)[0]} that is offered"
    long = next((each.version for each in major if each.long_term), "")
    if best.long_term:
        why = f"{why}, and one with long-term support"
    elif long:
        why = f'{why}, or "{long}", which has long-term support'
    return f'write "{best.version}", {why}'


def _or_version(better: Any) -> str:
    version = next(better, "")
    return f', or engine_version = "{version}"' if version else ""
