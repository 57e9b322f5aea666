"""The rulebook of RDS, what is so of all its operations, and the words in which the rules of the others are written.

Each rule says what AWS does, and from where we know it (docs/embedded-cloud.md has them all in one table). Codes are
those of the RDS service model, with its irregularities; texts are AWS's own where a public thread quotes them.
"""

from __future__ import annotations

from typing import Any

from provisioner.local import kms
from provisioner.local.lifecycle import catch_up
from provisioner.local.offerings import ENGINE
from provisioner.local.rules import EVERY, Ask, Refusal, Rulebook

rules = Rulebook("rds")

_NAMES = (
    "DBClusterIdentifier",
    "DBInstanceIdentifier",
    "DBSubnetGroupName",
    "DBClusterParameterGroupName",
    "DBClusterSnapshotIdentifier",
    "FinalDBSnapshotIdentifier",
    "SubscriptionName",
)
_NOT_FOUND = {
    "cluster": "DBClusterNotFoundFault",
    "db": "DBInstanceNotFound",
    "subgrp": "DBSubnetGroupNotFoundFault",
    "cluster-pg": "DBParameterGroupNotFound",
    "es": "SubscriptionNotFound",
}
"""By the type in an ARN, the code that says there is no such thing."""


@rules.before(EVERY)
def what_is_due_has_happened(ask: Ask) -> None:
    """The statuses told are those of now. docs/embedded-cloud.md, "Time"."""
    catch_up(ask)


@rules.before(EVERY)
def identifiers_are_lower_case(ask: Ask) -> None:
    """Identifiers are stored in lower case and found in any. RDS API reference, CreateDBCluster."""
    for name in _NAMES:
        if name in ask.form:
            ask.form[name] = ask.form[name].lower()


@rules.before("ListTagsForResource", "AddTagsToResource", "RemoveTagsFromResource")
def what_is_not_there_has_no_tags(ask: Ask) -> None:
    """A resource that is gone is not found: no tags at all would make what was ours nobody's."""
    arn = ask.get("ResourceName")
    kind, _, name = arn.partition(":rds:")[2].partition(":")[2].partition(":")[2].partition(":")
    if kind in _NOT_FOUND and not name.startswith("default") and not ask.rds._get_resource_for_tagging(arn):
        raise Refusal(_NOT_FOUND[kind], f"{arn} not found.", 404)


def combination(text: str) -> Refusal:
    return Refusal("InvalidParameterCombination", text)


def wrong_value(text: str) -> Refusal:
    return Refusal("InvalidParameterValue", text)


def is_aurora(ask: Ask) -> bool:
    return ask.get("Engine") == ENGINE


def cluster_of(ask: Ask) -> Any:
    name = ask.get("DBClusterIdentifier")
    if name not in ask.rds.clusters:
        raise Refusal("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)
    return ask.rds.clusters[name]


def usable_key(ask: Ask, name: str) -> str:
    """Give the ARN of a key by any of its names, or refuse: KMSKeyNotAccessibleFault."""
    if arn := kms.usable(ask, name):
        return arn
    text = f"The specified KMS key [{name}] does not exist, is not enabled or you do not have permissions to access it."
    raise Refusal("KMSKeyNotAccessibleFault", text)
