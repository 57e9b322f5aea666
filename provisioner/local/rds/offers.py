"""What RDS offers and moto does not know: versions, their lifecycles, classes by zone.

RDS API reference, DescribeDBEngineVersions, DescribeOrderableDBInstanceOptions.
"""

from __future__ import annotations

from typing import Any

from provisioner.local import offerings
from provisioner.local.offerings import ENGINE, Version
from provisioner.local.protocol import reply as answer
from provisioner.local.rds.book import is_aurora, rules
from provisioner.local.rules import Ask, Reply

_STANDARD = "open-source-rds-standard-support"
_EXTENDED = "open-source-rds-extended-support"


@rules.before("DescribeDBEngineVersions")
def engine_versions_are_told(ask: Ask) -> Reply | None:
    """Every offered version, deprecated ones with IncludeAll; moto has no such operation."""
    wanted, family = ask.get("EngineVersion"), ask.get("DBParameterGroupFamily")
    listed = []
    for version in offerings.versions(ask.region).values() if ask.get("Engine") in ("", ENGINE) else ():
        fits = wanted in ("", version.name, version.major) and family in ("", version.family)
        if fits and (version.offered or ask.flag("IncludeAll")) and _is_asked_default(ask, version):
            listed.append(_told(ask, version))
    return answer(ask, {"DBEngineVersions": listed})


def _is_asked_default(ask: Ask, version: Version) -> bool:
    """DefaultOnly: the default of the engine, or of the engine and major version asked for."""
    if not ask.flag("DefaultOnly"):
        return True
    return version.default if ask.get("EngineVersion") == version.major else version == offerings.find(ask.region, "")


def _told(ask: Ask, version: Version) -> dict[str, Any]:
    long_term = " (LTS)" if version.name in offerings.recorded()["long_term_support"] else ""
    return {
        "Engine": ENGINE,
        "EngineVersion": version.name,
        "MajorEngineVersion": version.major,
        "DBParameterGroupFamily": version.family,
        "DBEngineDescription": "Aurora PostgreSQL",
        "DBEngineVersionDescription": f"Aurora PostgreSQL (Compatible with PostgreSQL {version.name}){long_term}",
        "Status": "available" if version.offered else "deprecated",
        "SupportedEngineModes": ["provisioned"],
        "SupportedFeatureNames": ["Bedrock", "Lambda", "s3Export", "s3Import"],
        "ExportableLogTypes": ["postgresql"],
        "SupportsLogExportsToCloudwatchLogs": True,
        "SupportsReadReplica": False,
        "SupportsGlobalDatabases": True,
        "ValidUpgradeTarget": [_target(version, each) for each in offerings.upgrades(ask.region, version)],
        "ServerlessV2FeaturesSupport": {"MinCapacity": version.min_acu, "MaxCapacity": version.max_acu},
    }


def _target(version: Version, target: Version) -> dict[str, Any]:
    return {
        "Engine": ENGINE,
        "EngineVersion": target.name,
        "Description": f"Aurora PostgreSQL (Compatible with PostgreSQL {target.name})",
        "AutoUpgrade": False,
        "IsMajorVersionUpgrade": target.major != version.major,
        "SupportedEngineModes": ["provisioned"],
    }


@rules.before("DescribeDBMajorEngineVersions")
def lifecycles_are_told(ask: Ask) -> Reply | None:
    """When standard and extended support of each major version end; moto has no such operation."""
    listed = []
    for major, each in offerings.recorded()["majors"].items():
        if ask.get("Engine") in ("", ENGINE) and ask.get("MajorEngineVersion") in ("", major):
            spans = {_STANDARD: (each["start"], each["standard"]), _EXTENDED: (each["standard"], each["extended"])}
            lifecycles = [
                {"LifecycleSupportName": name, "LifecycleSupportStartDate": start, "LifecycleSupportEndDate": end}
                for name, (start, end) in spans.items()
            ]
            listed.append({"Engine": ENGINE, "MajorEngineVersion": major, "SupportedEngineLifecycles": lifecycles})
    return answer(ask, {"DBMajorEngineVersions": listed})


@rules.before("DescribeOrderableDBInstanceOptions")
def orderable_classes_are_told(ask: Ask) -> Reply | None:
    """One row per version and class with its zones; moto answers with versions and classes of long ago."""
    if not is_aurora(ask):
        return None
    zones = [zone.name for zone in ask.ec2.describe_availability_zones()]
    wanted, chosen = ask.get("EngineVersion"), ask.get("DBInstanceClass")
    options = [
        {
            "Engine": ENGINE,
            "EngineVersion": version.name,
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": [{"Name": zone} for zone in zones if offerings.is_to_be_had(ask.region, name, zone)],
            "Vpc": True,
            "SupportsClusters": True,
            "SupportsStorageEncryption": True,
            "SupportsIAMDatabaseAuthentication": True,
            "SupportsPerformanceInsights": True,
            "SupportsHttpEndpoint": True,
            "StorageType": "aurora",
            "SupportedEngineModes": ["provisioned"],
            "SupportedNetworkTypes": ["IPV4", "DUAL"],
        }
        for version in offerings.versions(ask.region).values()
        for name in offerings.recorded()["classes"]
        if version.offered and wanted in ("", version.name) and chosen in ("", name)
    ]
    return answer(ask, {"OrderableDBInstanceOptions": options})
