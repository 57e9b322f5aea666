"""The engine parameters of a cluster; knows nothing of the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from provisioner.kit import Call, Live, Reader, Stack, Step
from steps import rds
from steps.tags import pairs

LOOK = ("rds.describe_db_cluster_parameter_groups", "DBClusterParameterGroup")


@dataclass(frozen=True, kw_only=True)
class DbParameters(Step):
    """Set the parameters of a DB cluster; what others set beside them is none of ours.

    A family serves one major version: the step's name carries it, so a major upgrade makes a group of its own.
    """

    family: str
    """``aurora-postgresql16`` and the like."""
    parameters: Mapping[str, str] = field(default_factory=lambda: {"rds.force_ssl": "1"})
    """Dynamic ones only: they take effect at once, while AWS refuses that for static ones. In a cluster's group
    rds.force_ssl is dynamic (Aurora User Guide, "Security with Amazon Aurora PostgreSQL")."""

    fixed = frozenset({"family"})

    def observe(self, aws: Reader) -> Live | None:
        return rds.group(aws, self, *LOOK, partial(self._facts, aws))

    def _facts(self, aws: Reader, found: Mapping[str, Any]) -> dict[str, Any]:
        # Whoever set them: one that is set to what the engine's default is counts as the engine's.
        named = [{"Name": "parameter-name", "Values": sorted(self.parameters)}]
        told = aws.items("rds.describe_db_cluster_parameters", DBClusterParameterGroupName=self.label, Filters=named)
        values = {each["ParameterName"]: each.get("ParameterValue", "") for each in told if self._counts(each)}
        return {"family": found["DBParameterGroupFamily"], "parameters": values}

    def _counts(self, told: Mapping[str, Any]) -> bool:
        """Tell whether it is set, or as it has to be set: the engine's own value is nobody's deed."""
        wanted = self.parameters.get(told["ParameterName"])
        return wanted is not None and (told.get("Source") == "user" or told.get("ParameterValue") == wanted)

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call(
                "rds.create_db_cluster_parameter_group",
                DBClusterParameterGroupName=self.label,
                DBParameterGroupFamily=self.family,
                Description=rds.description(self),
                Tags=pairs(self),
            )
            live = Live(self.label, facts={"parameters": {}})
        yield from rds.retag(self, live)
        if "parameters" in self.differences(live):
            missing = self.parameters.items() - live.facts["parameters"].items()
            yield Call(
                "rds.modify_db_cluster_parameter_group",
                DBClusterParameterGroupName=live.id,
                Parameters=[_parameter(name, value) for name, value in sorted(missing)],
            )

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("rds.delete_db_cluster_parameter_group", DBClusterParameterGroupName=live.id)

    @classmethod
    def survivors(cls, aws: Reader, stack: Stack) -> Iterator[str]:
        yield from rds.leftovers(aws, stack, cls.__name__, *LOOK)


def _parameter(name: str, value: str) -> dict[str, Any]:
    return {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"}
