"""What EC2 does with flow logs and moto does not: whether the role can be assumed, and by when."""

from __future__ import annotations

from provisioner.local.ec2 import rules
from provisioner.local.iam import assumable
from provisioner.local.rules import Ask, Refusal

__all__ = ["rules"]

SERVICE = "vpc-flow-logs.amazonaws.com"


@rules.before("CreateFlowLogs")
def flow_logs_need_a_role(ask: Ask) -> None:
    """InvalidParameter while the service cannot assume the role: there is none, it trusts somebody else, or it was
    made just now. VPC guide, "IAM role for publishing flow logs to CloudWatch Logs"; the words as Terraform's provider
    knows them."""
    arn = ask.get("DeliverLogsPermissionArn")
    if arn and not assumable(ask, arn, SERVICE):
        raise Refusal("InvalidParameter", "Unable to assume given IAM role")


@rules.before("DeleteFlowLogs")
def an_unknown_flow_log_is_said_so(ask: Ask) -> None:
    """InvalidFlowLogId.NotFound, and none of the others is deleted (AWS deletes them and lists it as unsuccessful)."""
    for name in ask.many("FlowLogId"):
        if name not in ask.ec2.flow_logs:
            raise Refusal("InvalidFlowLogId.NotFound", f"The flow log ID '{name}' does not exist")
