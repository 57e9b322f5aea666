"""What docs/security.md says of every public check is what an audit finds in an environment that stands."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.audit import ROWS, Account
from tests.world import World, standing

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
LISTED = frozenset(
    [
        "CKV_AWS_143",
        "CKV_AWS_144",
        "CKV_AWS_146",
        "CKV_AWS_326",
        "EC2.10",
        "RDS.1",
        "RDS.4",
        "RDS.14",
        "RDS.21",
        "RDS.22",
        "S3.1",
        "S3.20",
        "rds_instance_certificate_expiration",
        "rds_snapshots_encrypted",
        "rds_snapshots_public_access",
        "rds_instance_event_subscription_parameter_groups",
        "rds_instance_event_subscription_security_groups",
        "s3_account_level_public_access_blocks",
        "s3_bucket_cross_region_replication",
        "s3_bucket_no_mfa_delete",
        "s3_bucket_object_lock",
        "vpc_different_regions",
        "vpc_endpoint_for_ec2_enabled",
    ]
)
"""The checks on these resources that no row of the audit answers."""


@cache
def audited(environment: str) -> dict[str, str]:
    """Say of each requirement whether it holds in an environment as its example has it."""
    with TemporaryDirectory() as folder:
        return found(standing(Path(folder), environment))


def found(world: World) -> dict[str, str]:
    account = Account(world.client, world.stack.name)
    return {row.name: "yes" if row.holds(account) else "no" for row in ROWS}


def test_the_page_on_security_says_what_an_audit_finds() -> None:
    _, _, table = PAGE.partition("| requirement |")
    told = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.partition("\n\n")[0].splitlines()[2:]
    ]
    assert told == [
        [
            row.name,
            ", ".join(f"`{check}`" for check in row.checks.split()),
            *(audited(each)[row.name] for each in ("dev", "staging", "prod")),
        ]
        for row in ROWS
    ]


def test_prod_passes_every_check_that_is_not_excepted() -> None:
    assert {name for name, holds in audited("prod").items() if holds == "no"} == set()


def test_any_environment_passes_what_prod_passes_once_it_is_hardened(tmp_path: Path) -> None:
    world = World(tmp_path, "dev")
    world.change(hardened=True, database={"instances": 2, "backup_days": 14, "deletion_protection": True})
    outcome = world.provision()
    assert not outcome.failures, outcome.failures
    assert found(world) == audited("prod")


@pytest.mark.parametrize("check", sorted(LISTED))
def test_every_other_check_is_named_with_the_reason(check: str) -> None:
    (line,) = (line for line in PAGE.splitlines() if re.search(rf"`{re.escape(check)}`", line))
    assert len(line.strip("| ").split("|")[-1].split()) > 5
