"""The region's choices, made once before the blueprint: zones, network range, engine version, account.

What already stands in AWS decides first, then what is remembered, then the region; so nothing that was built moves
because AWS's answer changed. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from provisioner.config import Settings
from provisioner.kit import Objection, Reader, Stack, tags_of
from steps.rds import ENGINE, numbers

Recall = Callable[[str], Mapping[str, Any]]
"""Gives the specification a step was last settled with, empty if none is remembered."""


class Refused(Exception):
    """The region cannot give what the environment file asks for; nothing has been changed."""

    def __init__(self, objections: list[Objection]) -> None:
        super().__init__("; ".join(map(str, objections)))
        self.objections = objections


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who we are in AWS."""

    account: str
    partition: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the environment file leaves to the region."""

    zones: tuple[str, ...]
    """By slot: a slot keeps its zone for the life of the stack."""
    cidr: str
    version: str
    """Exact engine version of the cluster, "" without a database."""
    port: int
    """Where the database listens; 0 without one."""


def identify(aws: Reader) -> Identity:
    """Ask AWS who we are."""
    answer = aws.ask("sts.get_caller_identity") or {}
    return Identity(account=answer["Account"], partition=answer["Arn"].split(":")[1])


def choose(
    settings: Settings, stack: Stack, aws: Reader, recall: Recall, workers: Executor, strict: bool = True
) -> Choices:
    """Make the choices; raises Refused where the region has none to offer.

    Unless ``strict``: what stands can be looked at and torn down whatever the region offers now.
    """
    zones = workers.submit(_zones, settings.network.zones, stack, aws, recall, strict)
    cidr = workers.submit(_cidr, settings, stack, aws, recall)
    cluster = workers.submit(_cluster, stack, aws, recall)
    version, port = "", 0
    if settings.database is not None:
        running = cluster.result()
        version = _version(settings.database.engine_version, running.get("version"), stack.region, aws, strict)
        kept = running.get("port") if settings.implied("database", "port") else None
        port = kept or settings.database.port
    return Choices(zones=zones.result(), cidr=cidr.result(), version=version, port=port)


def _zones(wanted: int, stack: Stack, aws: Reader, recall: Recall, strict: bool) -> tuple[str, ...]:
    """Give every slot its zone. Local and Wavelength zones do not count: Aurora and NAT do not run there."""
    subnets = aws.ours("ec2.describe_subnets", stack)
    taken = {_step(subnet).rpartition("-")[2]: subnet["AvailabilityZone"] for subnet in subnets}
    slots = map(str, range(1, wanted + 1))
    chosen = [taken.get(slot) or recall(f"private-{slot}").get("zone") for slot in slots]
    usual = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
    offered = sorted(zone["ZoneName"] for zone in aws.items("ec2.describe_availability_zones", Filters=usual))
    free = iter(zone for zone in offered if zone not in chosen)
    zones = [zone or next(free, None) for zone in chosen]
    if None in zones and strict:
        what = f"{stack.region} offers {len(offered)} availability zones"
        remedy = "write 2, or another region" if len(offered) >= 2 else "write another region"
        raise Refused([Objection("network.zones", what, remedy)])
    return tuple(zone for zone in zones if zone)


def _cidr(settings: Settings, stack: Stack, aws: Reader, recall: Recall) -> str:
    """Keep the range that was built where the file names none."""
    if not settings.implied("network", "cidr"):
        return settings.network.cidr
    standing = next((vpc["CidrBlock"] for vpc in aws.ours("ec2.describe_vpcs", stack)), None)
    return str(standing or recall("vpc").get("cidr") or settings.network.cidr)


def _cluster(stack: Stack, aws: Reader, recall: Recall) -> dict[str, Any]:
    """Tell version and port of the cluster that stands, or that is remembered."""
    for cluster in aws.ours("rds.describe_db_clusters", stack):
        return {"version": cluster["EngineVersion"], "port": cluster["Port"]}
    remembered = recall("cluster")
    return {key: remembered[key] for key in ("version", "port") if key in remembered}


def _version(wanted: str | None, running: str | None, region: str, aws: Reader, strict: bool) -> str:
    """Choose the exact version: what runs if it is enough, else the nearest offered; never an older one."""
    if running and (wanted is None or numbers(running) >= numbers(wanted)):
        return running
    if wanted is None:
        default = aws.items("rds.describe_db_engine_versions", Engine=ENGINE, DefaultOnly=True)
        return str(default[0]["EngineVersion"])
    rows = aws.items("rds.describe_db_engine_versions", Engine=ENGINE)
    offered = sorted({row["EngineVersion"] for row in rows}, key=numbers)
    major = [version for version in offered if numbers(version)[0] == numbers(wanted)[0]]
    enough = [version for version in major if numbers(version) >= numbers(wanted)]
    if not (enough or strict):
        return running or wanted
    if not enough:
        what = f"Aurora PostgreSQL {wanted} is not offered in {region}"
        choice = ", ".join(major or sorted({version.split(".")[0] for version in offered}, key=int))
        raise Refused([Objection("database.engine_version", what, f"write one of {choice}, or leave the key out")])
    return str(enough[0] if "." in wanted else enough[-1])


def _step(item: Mapping[str, Any]) -> str:
    return tags_of(item).get("provisioner:step", "")
