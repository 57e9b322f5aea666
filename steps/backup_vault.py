"""Where copies of the database are kept that outlive it; knows nothing of when they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step
from provisioner.terms import Burdens
from steps import backup
from steps.key import Key
from steps.role import Role

LISTING = "backup.list_backup_vaults"
"""DescribeBackupVault says AccessDeniedException of a vault that is not there, which is no answer to tell from a real
one (github.com/hashicorp/terraform-provider-aws, internal/service/backup)."""
POINTS = "backup.list_recovery_points_by_backup_vault"
BATCH = 100
"""How many recovery points are deleted between two looks."""


@dataclass(frozen=True, kw_only=True)
class BackupVault(Step):
    """A vault, which stays as long as there is a copy in it that nobody said is to be lost."""

    key: Ref[Key] | None = None
    """Encrypts what AWS Backup encrypts itself, while a copy of Aurora has the key of its cluster; ``None`` is AWS's
    own. A vault keeps the one it was made with."""
    role: Ref[Role] | None = None
    """Who ends the copies when their time is over: without it they stay for ever (AWS Backup Developer Guide, "Deleting
    backups"), so it stays with the vault."""
    delete_data: bool = False
    """Set for a teardown by the flag of this name."""

    fixed = frozenset({"key"})
    holds_data = True

    def observe(self, aws: Reader) -> Live | None:
        vault = next((each for each in aws.items(LISTING) if each.get("BackupVaultName") == self.label), None)
        tags = backup.tags_of(aws, vault["BackupVaultArn"]) if vault else None
        if vault is None or tags is None:
            return None
        if not self.claims(tags):
            return Live(self.label, foreign=backup.adoption(vault["BackupVaultArn"], self))
        key = vault.get("EncryptionKeyArn")
        facts = {"arn": vault["BackupVaultArn"], "encrypted_by": key, "tags": backup.found_tags(self, tags)}
        return Live(self.label, facts | ({"key": key} if self.key is not None else {}))

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            key = {"EncryptionKeyArn": self.key} if self.key is not None else {}
            tags = dict(sorted(self.labels.items()))
            yield Call("backup.create_backup_vault", BackupVaultName=self.label, **key, BackupVaultTags=tags)
            return
        yield from backup.retag(self, live)

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        points = aws.items(POINTS, BackupVaultName=live.id)
        if points and not self.delete_data:
            number = "a copy" if len(points) == 1 else f"{len(points)} copies"
            return Burdens(needed_by=[f"{number} of the database in it"])
        # Those in deletion are handed over as well: as long as there are any, the vault cannot go.
        return Burdens(contents=[(each["RecoveryPointArn"], each["Status"]) for each in points[:BATCH]])

    def teardown(self, live: Live) -> Iterator[Call | tuple[Call, ...]]:
        if not live.contents:
            yield Call("backup.delete_backup_vault", BackupVaultName=live.id)
            return
        named = {"BackupVaultName": live.id}
        if going := [arn for arn, status in live.contents if status != "DELETING"]:
            yield tuple(Call("backup.delete_recovery_point", **named, RecoveryPointArn=arn) for arn in going)

    def remains(self, live: Live) -> str:
        if not live.needed_by:
            return ""
        lost = "paid for by the GB until they expire; --delete-data deletes them"
        return f"backup vault {live.id}, for {' and '.join(live.needed_by)} ({lost})"

    def outputs(self, live: Live) -> dict[str, Any]:
        return {"backup_vault": live.id}

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        yield from backup.survivors(aws, stack, cls.__name__, iter(aws.items(LISTING)), "BackupVault")
