"""One Serverless v2 instance of a cluster; knows nothing of storage, which is the cluster's."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Step, tags_of
from provisioner.terms import MONTH, Check, Objection, Quantity, Quota
from steps import offers, rds
from steps.cluster import Cluster
from steps.key import Key
from steps.role import Role
from steps.tags import pairs

NAMES = {
    "cluster": "DBClusterIdentifier",
    "instance_class": "DBInstanceClass",
    "publicly_accessible": "PubliclyAccessible",
    "auto_minor_version_upgrade": "AutoMinorVersionUpgrade",
    "promotion_tier": "PromotionTier",
}
"""What AWS calls the fields it can be asked for."""
WATCHED = ("monitoring_role", "monitoring_seconds", "performance_insights")
FREE_DAYS = 7
"""How long performance insights are kept for nothing (RDS API reference, PerformanceInsightsRetentionPeriod)."""
SERVERLESS = "db.serverless"
"""The class whose capacity, and so whose price, follows its load within the cluster's range."""


@dataclass(frozen=True, kw_only=True)
class DbInstance(Step):
    """A writer or a reader: which one is Aurora's choice, and changes with a failover."""

    cluster: Ref[Cluster]
    zone: str
    """Where it is created; not compared, for nothing moves an instance."""
    instance_class: str = rds.SERVERLESS
    publicly_accessible: bool = False
    auto_minor_version_upgrade: bool = True
    promotion_tier: int = 1
    monitoring_role: Ref[Role] | None = None
    """Who writes the metrics of its operating system, where there are to be any."""
    monitoring_seconds: int = 0
    """How often they are taken, 0 for never."""
    performance_insights: bool = False
    insights_key: Ref[Key] | None = None
    """The key under which performance insights are begun, which AWS cannot change from then on, not by switching them
    off and on either; not compared."""

    fixed = frozenset({"cluster"})
    patience = 7200.0
    listing = "rds.describe_db_instances"
    quota = Quota(
        service="rds", code="L-7B6409FD", what="DB instances", where="database.instances", listings=(listing,)
    )

    def observe(self, aws: Reader) -> Live | None:
        live = rds.look(aws, self, "DBInstance", "DBInstanceStatus", self._facts)
        if live is None or live.foreign:
            return live
        # A cluster whose instances are all in deletion can be deleted: nobody needs to wait for them to be gone.
        leaving, cure = live.facts["status"] == "deleting", self._cure(aws, live) if live.broken else ""
        return replace(live, leaving=leaving, cure=cure)

    def _cure(self, aws: Reader, live: Live) -> str:
        """Say what to do by hand unless another one in its place helps and somebody serves meanwhile."""
        if not rds.replaceable(live.facts["status"]):
            return "put that right"
        others = [
            item
            for item in aws.items(self.listing)
            if item.get("DBClusterIdentifier") == live.facts["cluster"]
            and item["DBInstanceIdentifier"] != live.id
            and item["DBInstanceStatus"] == "available"
            and self.stack.owns(tags_of(item))
        ]
        reboot = f"aws rds reboot-db-instance --db-instance-identifier {shlex.quote(str(live.id))}"
        return "" if others else f"no other instance serves its cluster, so it is not replaced: try {reboot}"

    def _facts(self, found: Mapping[str, Any]) -> dict[str, Any]:
        facts = {field: found[told] for field, told in NAMES.items() if told in found}
        if self.monitoring_role is not None:
            facts["monitoring_role"] = found.get("MonitoringRoleArn")
        return facts | {
            "monitoring_seconds": found.get("MonitoringInterval", 0),
            "performance_insights": bool(found.get("PerformanceInsightsEnabled")),
            "insights_encrypted_by": found.get("PerformanceInsightsKMSKeyId"),
        }

    def _watched(self, names: Collection[str], begun_under: str | None = None) -> dict[str, Any]:
        """Say how closely it is watched, in the parameters of create and modify."""
        said: dict[str, Any] = {}
        if not {"monitoring_role", "monitoring_seconds"}.isdisjoint(names):
            role = {"MonitoringRoleArn": self.monitoring_role} if self.monitoring_seconds else {}
            said |= {"MonitoringInterval": self.monitoring_seconds, **role}
        if "performance_insights" in names:
            said["EnablePerformanceInsights"] = self.performance_insights
            if self.performance_insights:
                said["PerformanceInsightsRetentionPeriod"] = FREE_DAYS
                key = begun_under or self.insights_key
                said |= {"PerformanceInsightsKMSKeyId": key} if key is not None else {}
        return said

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            wished = {field for field in WATCHED if getattr(self, field)}
            yield Call(
                "rds.create_db_instance",
                DBInstanceIdentifier=self.label,
                Engine=rds.ENGINE,
                AvailabilityZone=self.zone,
                **{told: getattr(self, field) for field, told in NAMES.items()},
                **self._watched(wished),
                Tags=pairs(self),
            )
            return
        yield from rds.retag(self, live)
        different = self.differences(live) - self.fixed
        changes = {told: getattr(self, field) for field, told in NAMES.items() if field in different}
        if changes := changes | self._watched(different, live.facts.get("insights_encrypted_by")):
            yield Call("rds.modify_db_instance", DBInstanceIdentifier=live.id, ApplyImmediately=True, **changes)

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        if live is None and isinstance(self.cluster, Cluster):
            yield self._is_to_be_had(aws, self.cluster.version, "version" in self.cluster.implied)
        yield self._is_private(live)

    def _is_to_be_had(self, aws: Reader, version: str, default: bool) -> Check:
        offer, places = offers.offers(aws, default).get(version), offers.zones(aws, self.instance_class, version)
        if offer is None or not offer.usable or self.zone in places:
            return
        what = f"{self.instance_class} of Aurora PostgreSQL {version} is not to be had in {self.zone}"
        if places:
            fitting = ", ".join(sorted(places))
            remedy = f"write zones = {max(2, len(places))}, or no more instances than {fitting} can take"
            yield Objection("network.zones", what, remedy)
        else:
            yield Objection("database.engine_version", what, "write another version, or another region")

    def _is_private(self, live: Live | None) -> Check:
        if self.publicly_accessible:
            yield Objection("database", f"{self.name} would be reachable from the internet", "keep it private")
        elif live is not None and live.facts.get("publicly_accessible"):
            what = f"somebody made {live.id} reachable from the internet"
            yield Objection(self.name, what, "this run takes that back; see who needs it", "warning")

    def teardown(self, live: Live) -> Iterator[Call]:
        if live.facts.get("status") == "stopped":  # a stopped cluster gives up no instance
            yield Call("rds.start_db_cluster", DBClusterIdentifier=live.facts["cluster"])
            return
        yield Call("rds.delete_db_instance", DBInstanceIdentifier=live.id, SkipFinalSnapshot=True)

    def costs(self) -> Iterator[Quantity]:
        if not isinstance(self.cluster, Cluster) or not self.cluster.running:
            return  # while a cluster is stopped its instances cost nothing
        if self.instance_class != SERVERLESS:
            yield Quantity(self.instance_class, MONTH)
        elif self.cluster.max_acu:
            yield Quantity("acu-hour", self.cluster.min_acu * MONTH, self.cluster.max_acu * MONTH)
