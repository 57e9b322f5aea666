"""How closely a database can be watched: exported logs, metrics of its operating system, performance insights.

RDS API reference, EnableCloudwatchLogsExports, MonitoringInterval, PerformanceInsightsKMSKeyId.
"""

from __future__ import annotations

from provisioner.local import iam
from provisioner.local.offerings import ENGINE
from provisioner.local.rds.book import cluster_of, combination, is_aurora, rules, usable_key, wrong_value
from provisioner.local.rules import Ask, Reply

_LOGS = frozenset({"iam-db-auth-error", "instance", "postgresql"})
_CONFIGURATION = "CloudwatchLogsExportConfiguration"
_INTERVALS = frozenset({0, 1, 5, 10, 15, 30, 60})
_KEPT = frozenset({7, 731, *(31 * months for months in range(1, 24))})
"""Days for which performance insights can be kept."""
_BEGUN = "insights_key"
"""Where an instance keeps the key its insights were begun with."""


@rules.before("CreateDBCluster")
def a_managed_password_has_a_key_that_can_be_used(ask: Ask) -> None:
    """KMSKeyNotAccessibleFault; only a managed password has one. RDS API reference, MasterUserSecretKmsKeyId."""
    if key := ask.get("MasterUserSecretKmsKeyId"):
        if not ask.flag("ManageMasterUserPassword"):
            raise combination("You can't specify MasterUserSecretKmsKeyId without ManageMasterUserPassword.")
        usable_key(ask, key)


@rules.before("ModifyDBCluster")
def a_managed_password_keeps_its_key(ask: Ask) -> None:
    """InvalidParameterCombination. RDS API reference, ModifyDBCluster, MasterUserSecretKmsKeyId."""
    if ask.get("MasterUserSecretKmsKeyId"):
        raise combination("You can't change the KMS key of a master password that RDS manages already.")


@rules.before("CreateDBCluster", "ModifyDBCluster")
def only_logs_there_are_can_be_exported(ask: Ask) -> None:
    """InvalidParameterCombination for a type of logs that the engine has not."""
    said = ("EnableCloudwatchLogsExports", *(f"{_CONFIGURATION}.{verb}LogTypes" for verb in ("Enable", "Disable")))
    types = [each for name in said for each in ask.many(f"{name}.member")]
    aurora = is_aurora(ask) if ask.action == "CreateDBCluster" else cluster_of(ask).engine == ENGINE
    if unknown := [each for each in types if aurora and each not in _LOGS]:
        text = f"You cannot use the log types '{', '.join(unknown)}' with engine version {ENGINE}."
        raise combination(f"{text} For supported log types, see the documentation.")


@rules.before("ModifyDBCluster")
def exports_are_switched(ask: Ask) -> None:
    """What is not named is kept; moto looks for it under another name."""
    cluster = cluster_of(ask)
    moves = {verb: ask.many(f"{_CONFIGURATION}.{verb}LogTypes.member") for verb in ("Enable", "Disable")}
    had = [each for each in cluster.enabled_cloudwatch_logs_exports if each not in moves["Disable"]]
    cluster.enabled_cloudwatch_logs_exports = had + [each for each in moves["Enable"] if each not in had]
    for name in [each for each in ask.form if each.startswith(f"{_CONFIGURATION}.")]:
        del ask.form[name]


@rules.after("CreateDBCluster", "ModifyDBCluster", "CreateDBInstance")
def exported_logs_find_a_group_or_make_one(ask: Ask, reply: Reply) -> None:
    """RDS makes the log group that it does not find, without tags and without an end, and leaves it behind. Aurora
    User Guide, "Publishing Aurora PostgreSQL logs to Amazon CloudWatch Logs"."""
    cluster = ask.rds.clusters.get(ask.get("DBClusterIdentifier"))
    groups = ask.moto("logs").groups if cluster is not None else {}
    for each in cluster.enabled_cloudwatch_logs_exports or () if cluster is not None else ():
        name = f"/aws/rds/cluster/{cluster.db_cluster_identifier}/{each}"
        if name not in groups:
            ask.moto("logs").create_log_group(name, {})


@rules.before("CreateDBInstance", "ModifyDBInstance")
def metrics_have_an_interval_and_a_role(ask: Ask) -> None:
    """One of some intervals, and a role if and only if it is not 0, which the service can assume."""
    if "MonitoringInterval" not in ask.form and "MonitoringRoleArn" not in ask.form:
        return
    interval, role = int(ask.get("MonitoringInterval") or 0), ask.get("MonitoringRoleArn")
    if interval not in _INTERVALS:
        raise wrong_value(f"The specified value {interval} for MonitoringInterval is not valid.")
    if role and not interval:
        text = "You must specify a MonitoringInterval value other than 0 when you specify a MonitoringRoleARN value."
        raise combination(text)
    if interval and not role:
        text = "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0."
        raise combination(text)
    if role and not iam.assumable(ask, role, "monitoring.rds.amazonaws.com"):
        text = "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING"
        raise wrong_value(text)


@rules.after("ModifyDBInstance")
def no_interval_has_no_role(ask: Ask, reply: Reply) -> None:
    """moto keeps the role."""
    database = ask.rds.databases.get(ask.get("NewDBInstanceIdentifier").lower() or ask.get("DBInstanceIdentifier"))
    if database is not None and ask.get("MonitoringInterval") == "0":
        database.monitoring_role_arn = None


@rules.before("CreateDBInstance", "ModifyDBInstance")
def insights_are_kept_for_some_days_under_one_key(ask: Ask) -> None:
    """InvalidParameterValue for other days, InvalidParameterCombination for what is about insights that are off or for
    another key than they were begun with, KMSKeyNotAccessibleFault."""
    about = [name for name in ("KMSKeyId", "RetentionPeriod") if f"PerformanceInsights{name}" in ask.form]
    database = None if ask.action == "CreateDBInstance" else ask.rds.databases.get(ask.get("DBInstanceIdentifier"))
    begun = bool(getattr(database, "performance_insights_enabled", False))
    if about and not ask.flag("EnablePerformanceInsights") and not begun:
        raise combination("To enable Performance Insights, EnablePerformanceInsights must be set to 'true'")
    days = ask.get("PerformanceInsightsRetentionPeriod")
    if days and int(days) not in _KEPT:
        raise wrong_value(f"Invalid Performance Insights retention period. {days}")
    had, key = getattr(database, _BEGUN, None), ask.get("PerformanceInsightsKMSKeyId")
    if had and not begun and ask.flag("EnablePerformanceInsights"):
        key = key or "alias/aws/rds"
    if key and usable_key(ask, key) != (had or usable_key(ask, key)):
        raise combination("You can't change your Performance Insights KMS key.")


@rules.after("CreateDBInstance", "ModifyDBInstance")
def insights_are_told(ask: Ask, reply: Reply) -> None:
    """They are off unless said, kept for 7 days and under AWS's own key unless said, and their key is told, and theirs,
    when they are off too (github.com/hashicorp/terraform-provider-aws/issues/6453); moto knows none of it."""
    database = ask.rds.databases.get(ask.get("NewDBInstanceIdentifier").lower() or ask.get("DBInstanceIdentifier"))
    if database is None:
        return
    if "EnablePerformanceInsights" in ask.form or ask.action == "CreateDBInstance":
        database.performance_insights_enabled = ask.flag("EnablePerformanceInsights")
    if database.performance_insights_enabled:
        had = getattr(database, _BEGUN, None)
        setattr(database, _BEGUN, had or usable_key(ask, ask.get("PerformanceInsightsKMSKeyId") or "alias/aws/rds"))
        database.performance_insights_retention_period = int(ask.get("PerformanceInsightsRetentionPeriod") or 7)
    database.performance_insights_kms_key_id = getattr(database, _BEGUN, None)
