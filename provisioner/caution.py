"""What the file alone tells to be dangerous or sure to be regretted: networks that overlap, production unprotected.

Asks nobody. Knows the settings and no kind of resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path

from provisioner.config import load, names
from provisioner.page import ConfigError
from provisioner.settings import HARDENED, Settings
from provisioner.terms import Check, Objection
from provisioner.words import shown

BACKUPS = 7
"""Days of backups below which production is warned."""
SWITCHED: Mapping[str, tuple[str, ...]] = {
    "database": ("backup_plan", "enhanced_monitoring", "performance_insights", "alerts"),
    "bucket": ("access_logs", "bucket_events"),
}
"""Of which table the switches of the table security are about."""
POSTGRES = 5432
"""PostgreSQL's usual port."""


def checks(settings: Settings, cidr: str, config_dir: Path) -> Iterator[Check]:
    """Give the checks of one environment, whose network has this range."""
    yield _apart_from_peers(settings, cidr)
    yield _apart_from_others(settings, cidr, config_dir)
    if settings.production:
        yield _keeps_its_data(settings)
    if settings.hardened:
        yield _is_hard(settings)
    yield _has_effect(settings)


def _apart_from_peers(settings: Settings, cidr: str) -> Check:
    for peer in settings.network.peers:
        if IPv4Network(cidr).overlaps(IPv4Network(peer)):
            what = f"the network {cidr} overlaps {peer}, and such networks cannot be joined"
            yield Objection("network.peers", what, _free(cidr, settings.network.peers))


def _apart_from_others(settings: Settings, cidr: str, config_dir: Path) -> Check:
    """Compare with the other files of the project; stacks of this one with a suffix of their own are none of them."""
    there = {name: other for name, other in _others(settings, config_dir).items() if _overlaps(cidr, other)}
    for name, other in there.items():
        what = f"the network {cidr} overlaps that of {name}, {other}, so the two can never be joined"
        yield Objection("network.cidr", what, _free(cidr, _others(settings, config_dir).values()), "warning")


def _overlaps(one: str, other: str) -> bool:
    return IPv4Network(one).overlaps(IPv4Network(other))


def _others(settings: Settings, config_dir: Path) -> Mapping[str, str]:
    """Give the ranges of the project's other environments; a file with mistakes has none until they are mended."""
    found = {}
    for name in names(config_dir):
        if name != settings.environment:
            try:
                other = load(config_dir, name)
            except ConfigError:
                continue
            if other.project == settings.project:
                found[name] = other.network.cidr
    return found


def _free(cidr: str, taken: Iterable[str]) -> str:
    """Name the first range of the same size beside all those, as what to write."""
    ranges = [IPv4Network(each) for each in taken]
    for candidate in IPv4Network("10.0.0.0/8").subnets(new_prefix=IPv4Network(cidr).prefixlen):
        if not any(candidate.overlaps(each) for each in ranges) and str(candidate) != cidr:
            return f'write cidr = "{candidate}" or another range that is free'
    return "write another range"


def _is_hard(settings: Settings) -> Check:
    """Object to what the file says against its own ``hardened = true``."""
    database = settings.database
    if database is None:
        return
    for key, least in HARDENED.items():
        value = getattr(database, key)
        if value < least:
            what = f"a hardened database has {shown(least)} and the file says {shown(value)}"
            yield Objection(f"database.{key}", what, f"write {shown(least)}, or hardened = false")
    if not settings.implied("database", "port") and database.port == POSTGRES:
        what = f"{POSTGRES} is where everybody looks for a hardened database first"
        yield Objection("database.port", what, "leave it out, or write another, before it is built", "warning")


def _has_effect(settings: Settings) -> Check:
    """Object to switches that are written for what the file has not; those that ``hardened`` turns are passed over."""
    for table, switches in SWITCHED.items():
        for switch in switches if getattr(settings, table) is None else ():
            if getattr(settings.security, switch):
                yield Objection(f"security.{switch}", f"without effect: there is no [{table}]", "leave it out")


def _keeps_its_data(settings: Settings) -> Check:
    bucket, database = settings.bucket, settings.database
    if database is not None and not database.deletion_protection:
        yield Objection("database.deletion_protection", "production without deletion protection", "write true")
    if database is not None and not database.final_snapshot:
        what = "production that takes no last snapshot when it is torn down"
        yield Objection("database.final_snapshot", what, "write true", "warning")
    if database is not None and database.backup_days < BACKUPS:
        what = f"production that can be restored for {database.backup_days} days only"
        yield Objection("database.backup_days", what, f"write {BACKUPS} or more", "warning")
    if database is not None and database.instances < 2:
        what = "production with one instance is down for minutes when its zone fails"
        yield Objection("database.instances", what, "write 2 or more", "warning")
    if bucket is not None and not bucket.keep_data:
        yield Objection("bucket.keep_data", "production whose teardown deletes all objects unasked", "write true")
