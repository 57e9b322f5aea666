"""When the database is copied into a vault, and for how long; knows nothing of what becomes of the copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Ambiguous, Call, Live, Reader, Ref, Stack, Step, Unknown
from provisioner.terms import Check, Objection, Quantity
from steps import backup
from steps.backup_vault import BackupVault
from steps.cluster import Cluster
from steps.role import Role

LISTING = "backup.list_backup_plans"


@dataclass(frozen=True, kw_only=True)
class BackupPlan(Step):
    """A plan and what it copies: one cluster, every day. AWS lets several plans have one name, so its id is AWS's.

    What is copied is a selection, which cannot be changed: another one takes its place.
    """

    vault: Ref[BackupVault]
    role: Ref[Role]
    cluster: Ref[Cluster]
    days: int = 35
    """How long a copy is kept."""
    schedule: str = "cron(0 5 ? * * *)"
    """When a copy is begun, in UTC; AWS's own default."""

    derived = ("document", "selection")

    @property
    def document(self) -> dict[str, Any]:
        """The plan wanted, as far as we say it."""
        rule = {
            "RuleName": "daily",
            "TargetBackupVaultName": self.vault,
            "ScheduleExpression": self.schedule,
            "Lifecycle": {"DeleteAfterDays": self.days},
        }
        return {"BackupPlanName": self.label, "Rules": [rule]}

    @property
    def selection(self) -> dict[str, Any]:
        """The selection wanted."""
        stack, cluster = self.stack, self.cluster
        # Of one that is not there yet the name is known beforehand, and with it the ARN.
        name = f"{stack.name}-{cluster.name}" if isinstance(cluster, Unknown) else cluster
        arn = f"arn:{stack.partition}:rds:{stack.region}:{stack.account}:cluster:{name}"
        return {"SelectionName": self.label, "IamRoleArn": self.role, "Resources": [arn]}

    def observe(self, aws: Reader) -> Live | None:
        named = [each for each in aws.items(LISTING) if each.get("BackupPlanName") == self.label]
        tagged = {each["BackupPlanId"]: (each, backup.tags_of(aws, each["BackupPlanArn"])) for each in named}
        mine = {id: item for id, (item, tags) in tagged.items() if tags is not None and self.claims(tags)}
        if len(mine) > 1:
            raise Ambiguous(self.name, mine)
        for id, (item, tags) in tagged.items():
            if tags is not None and (id in mine or not mine):
                return self._live(aws, item, tags)
        return None

    def _live(self, aws: Reader, item: Mapping[str, Any], tags: Mapping[str, str]) -> Live | None:
        id, arn = item["BackupPlanId"], item["BackupPlanArn"]
        if not self.claims(tags):
            return Live(id, foreign=backup.adoption(arn, self))
        plan = aws.ask("backup.get_backup_plan", BackupPlanId=id)
        if plan is None:
            return None
        selections = list(self._selections(aws, id))
        facts = {
            "arn": arn,
            "tags": backup.found_tags(self, tags),
            "document": _as_said(plan["BackupPlan"], self.document),
            "selection": selections[0][1] if len(selections) == 1 else None,
            "selections": [selection for selection, _ in selections],
        }
        return Live(id, facts)

    def _selections(self, aws: Reader, plan: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for each in aws.items("backup.list_backup_selections", BackupPlanId=plan):
            named = {"BackupPlanId": plan, "SelectionId": each["SelectionId"]}
            if found := aws.ask("backup.get_backup_selection", **named):
                told = found["BackupSelection"]
                # Conditions that are empty lists are AWS's way to say there are none.
                yield each["SelectionId"], {key: value for key, value in told.items() if _says(value)}

    def provision(self, live: Live | None) -> Iterator[Call | tuple[Call, ...]]:
        if live is None:
            tags = dict(sorted(self.labels.items()))
            yield Call("backup.create_backup_plan", BackupPlan=self.document, BackupPlanTags=tags)
            live = Live(Unknown(self.name), {"selection": None, "selections": []})
        different = self.differences(live)
        yield from backup.retag(self, live)
        if "document" in different:
            yield Call("backup.update_backup_plan", BackupPlanId=live.id, BackupPlan=self.document)
        if "selection" in different:
            yield from self._unselected(live)
            yield Call("backup.create_backup_selection", BackupPlanId=live.id, BackupSelection=self.selection)

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        yield from self._unselected(live)
        yield Call("backup.delete_backup_plan", BackupPlanId=live.id)

    def _unselected(self, live: Live) -> Iterator[tuple[Call, ...]]:
        plan = {"BackupPlanId": live.id}
        if selections := live.facts["selections"]:
            yield tuple(Call("backup.delete_backup_selection", **plan, SelectionId=each) for each in selections)

    def surplus(self, twin: Mapping[str, Any]) -> Iterator[Call]:
        yield Call("backup.delete_backup_plan", BackupPlanId=twin["BackupPlanId"])

    def objections(self, aws: Reader, live: Live | None, now: float) -> Iterable[Check]:
        yield self._aurora_is_backed_up(aws)

    def _aurora_is_backed_up(self, aws: Reader) -> Check:
        """A region in which AWS Backup is told to leave Aurora alone makes no copy and says nothing (AWS Backup
        Developer Guide, "Service opt-in")."""
        told = aws.ask("backup.describe_region_settings") or {}
        if told.get("ResourceTypeOptInPreference", {}).get("Aurora") is False:
            what = f"AWS Backup is told to leave Aurora alone in {self.stack.region}, so no copy would be made"
            remedy = "aws backup update-region-settings --resource-type-opt-in-preference Aurora=true"
            yield Objection("security.backup_plan", what, remedy, "warning")

    def costs(self) -> Iterator[Quantity]:
        yield Quantity("aurora-backup-gb")

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        yield from backup.survivors(aws, stack, cls.__name__, iter(aws.items(LISTING)), "BackupPlan")


def _says(value: Any) -> bool:
    """Tell whether a part of a selection says anything; its conditions say nothing where all of them are empty."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _as_said(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Tell of a plan what we say in ours: AWS adds ids, windows and a time zone to every rule. What stands in a rule
    besides, or a rule besides ours, is a difference."""
    rules = list(found.get("Rules", ()))
    if len(rules) == len(wanted["Rules"]):
        rules = [
            {
                key: _within(value, wished[key]) if key in wished else value
                for key, value in rule.items()
                if key in wished or key not in _ADDED
            }
            for rule, wished in zip(rules, wanted["Rules"], strict=True)
        ]
    return {"BackupPlanName": found.get("BackupPlanName"), "Rules": rules}


def _within(found: Any, wished: Any) -> Any:
    """Tell of a part what we say in ours, where AWS adds what is off (``OptInToArchiveForSupportedResources``)."""
    if not (isinstance(found, Mapping) and isinstance(wished, Mapping)):
        return found
    return {key: value for key, value in found.items() if key in wished or value}


_ADDED = frozenset(
    {
        *("RuleId", "StartWindowMinutes", "CompletionWindowMinutes", "ScheduleExpressionTimezone"),
        *("EnableContinuousBackup", "RecoveryPointTags", "CopyActions", "IndexActions", "ScanActions"),
    }
)
"""What AWS writes into a rule that does not say it."""
