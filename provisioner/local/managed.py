"""The policies of AWS's own that can be attached to a role: moto has none unless it loads all of them, for seconds."""

from __future__ import annotations

from typing import Any

import moto.backends
from moto.iam.models import AWSManagedPolicy

from provisioner.local.access import rules
from provisioner.local.rules import Ask

__all__ = ["rules"]
_POLICIES = (
    "service-role/AmazonRDSEnhancedMonitoringRole",
    "service-role/AWSBackupServiceRolePolicyForBackup",
)


@rules.before("AttachRolePolicy")
def a_policy_of_aws_is_there(ask: Ask) -> None:
    """It has the account ``aws``. AWS Managed Policy Reference Guide."""
    path, _, name = ask.get("PolicyArn").partition("arn:aws:iam::aws:policy/")[2].rpartition("/")
    if f"{path}/{name}" not in _POLICIES:
        return
    backends: Any = moto.backends.get_backend("iam")
    backend = backends[ask.account]["aws"]
    if ask.get("PolicyArn") not in backend.managed_policies:
        document = {"Version": "2012-10-17", "Statement": []}
        data = {"Arn": ask.get("PolicyArn"), "Path": f"/{path}/", "DefaultVersionId": "v1", "Document": document}
        data |= {"CreateDate": "2015-11-11T19:58:29+00:00", "UpdateDate": "2015-11-11T19:58:29+00:00"}
        policy = AWSManagedPolicy.from_data(name, ask.account, "us-east-1", data)
        backend.managed_policies[policy.arn] = policy
