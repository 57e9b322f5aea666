"""The subnets a database may live in; knows nothing of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.kit import Call, Live, Reader, Ref, Stack, Step
from provisioner.terms import Quota
from steps import rds
from steps.order import as_wanted
from steps.subnet import Subnet
from steps.tags import pairs

LOOK = ("rds.describe_db_subnet_groups", "DBSubnetGroup")


@dataclass(frozen=True, kw_only=True)
class DbSubnetGroup(Step):
    """Name the private subnets of the database, in two zones at least (DBSubnetGroupDoesNotCoverEnoughAZs)."""

    subnets: tuple[Ref[Subnet], ...]
    quota = Quota(service="rds", code="L-48C6BF61", what="DB subnet groups", where="database", listings=LOOK[:1])

    def observe(self, aws: Reader) -> Live | None:
        return rds.group(aws, self, *LOOK, self._facts)

    def _facts(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {"subnets": as_wanted(self.subnets, [each["SubnetIdentifier"] for each in found["Subnets"]])}

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "rds.create_db_subnet_group",
                DBSubnetGroupName=self.label,
                DBSubnetGroupDescription=rds.description(self),
                SubnetIds=list(self.subnets),
                Tags=pairs(self),
            )
            return
        yield from rds.retag(self, live)
        if "subnets" in self.differences(live):
            yield Call("rds.modify_db_subnet_group", DBSubnetGroupName=live.id, SubnetIds=list(self.subnets))

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("rds.delete_db_subnet_group", DBSubnetGroupName=live.id)

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        yield from rds.leftovers(aws, stack, cls.__name__, *LOOK)
