"""The region's choices, made once before the blueprint: zones, network range, engine version, account.

What already stands in AWS decides first, then what is remembered, then the region; so nothing that was built moves
because AWS's answer changed. What the region cannot give is chosen all the same, as far as it can be named:
it is objected to later, with everything else. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Reader, Stack, tags_of
from provisioner.settings import Settings
from provisioner.terms import Objection
from steps.offers import offers
from steps.rds import ENGINE, SERVERLESS, numbers

Recall = Callable[[str], Mapping[str, Any]]
"""Gives the specification a step was last settled with, empty if none is remembered."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who we are in AWS."""

    account: str
    partition: str
    arn: str = ""
    """As what AWS knows us: a user, a role with its session, the root of the account."""


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
    objections: tuple[Objection, ...] = ()
    """What could not be chosen at all: without it there is nothing to ask AWS for."""


def identify(aws: Reader) -> Identity:
    """Ask AWS who we are."""
    answer = aws.ask("sts.get_caller_identity") or {}
    partition = answer["Arn"].split(":", 2)[1:2] or ["aws"]
    return Identity(account=answer["Account"], partition=partition[0], arn=answer["Arn"])


def choose(settings: Settings, stack: Stack, aws: Reader, recall: Recall, workers: Executor) -> Choices:
    """Make the choices, all questions at once."""
    zones = workers.submit(_offered, aws)
    taken = workers.submit(_taken, settings.network.zones, stack, aws, recall)
    cidr = workers.submit(_cidr, settings, stack, aws, recall)
    version, port, fitting = "", 0, None
    if settings.database is not None:
        cluster = workers.submit(_cluster, stack, aws, recall)
        wanted = settings.database.engine_version
        newborn = not recall("cluster")
        newest = workers.submit(_newest, wanted, aws) if newborn else None
        places = workers.submit(_orderable, aws) if newborn else None
        running = cluster.result()
        version = _version(wanted, running.get("version"), newest.result if newest else lambda: _newest(wanted, aws))
        fitting = places.result().get(version) if places else None
        kept = running.get("port") if settings.implied("database", "port") else None
        port = kept or settings.port
    chosen = _zones(taken.result(), zones.result(), fitting)
    short = () if len(chosen) == settings.network.zones else (_too_few(stack.region, len(zones.result())),)
    return Choices(zones=chosen, cidr=cidr.result(), version=version, port=port, objections=short)


def _offered(aws: Reader) -> list[str]:
    """List the region's zones. Local and Wavelength zones do not count: Aurora and NAT do not run there."""
    usual = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
    return sorted(zone["ZoneName"] for zone in aws.items("ec2.describe_availability_zones", Filters=usual))


def _taken(wanted: int, stack: Stack, aws: Reader, recall: Recall) -> list[str | None]:
    """Tell which slot has its zone already."""
    subnets = aws.ours("ec2.describe_subnets", stack)
    taken = {_step(subnet).rpartition("-")[2]: subnet["AvailabilityZone"] for subnet in subnets}
    slots = map(str, range(1, wanted + 1))
    return [taken.get(slot) or recall(f"private-{slot}").get("zone") for slot in slots]


def _zones(taken: list[str | None], offered: list[str], fitting: set[str] | None) -> tuple[str, ...]:
    """Give every slot its zone, first of all one in which the database can run."""
    best = sorted(offered, key=lambda zone: (fitting is not None and zone not in fitting, zone))
    free = iter(zone for zone in best if zone not in taken)
    zones = [zone or next(free, None) for zone in taken]
    return tuple(zone for zone in zones if zone)


def _too_few(region: str, offered: int) -> Objection:
    remedy = "write 2, or another region" if offered >= 2 else "write another region"
    return Objection("network.zones", f"{region} offers {offered} availability zones", remedy)


def _orderable(aws: Reader) -> dict[str, set[str]]:
    """Tell in which zones a serverless instance is to be had, by version."""
    found: dict[str, set[str]] = {}
    for row in aws.items("rds.describe_orderable_db_instance_options", Engine=ENGINE, DBInstanceClass=SERVERLESS):
        found.setdefault(row["EngineVersion"], set()).update(zone["Name"] for zone in row["AvailabilityZones"])
    return found


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


def _version(wanted: str | None, running: str | None, newest: Callable[[], str]) -> str:
    """Choose the exact version: what runs if it is enough, else the very one the file names; never an older one."""
    if running and (wanted is None or numbers(running) >= numbers(wanted)):
        return running
    return wanted if wanted is not None and "." in wanted else newest()


def _newest(wanted: str | None, aws: Reader) -> str:
    """Ask for the region's default, or for the newest of a major version; one it does not have stays as it is named."""
    if wanted is None:
        default = aws.items("rds.describe_db_engine_versions", Engine=ENGINE, DefaultOnly=True)
        return str(default[0]["EngineVersion"])
    if "." in wanted:
        return wanted
    usable = [offer.version for offer in offers(aws).values() if offer.usable]
    return next((version for version in reversed(usable) if numbers(version)[0] == int(wanted)), wanted)


def _step(item: Mapping[str, Any]) -> str:
    return tags_of(item).get("provisioner:step", "")
