"""The record of who talked to whom in a network; knows nothing of what is done with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.kit import Call, Live, Reader, Ref, Step
from steps.log_group import LogGroup
from steps.role import Role
from steps.tags import born, found_tags, retag
from steps.vpc import Vpc

UNCHANGEABLE = frozenset({"vpc", "group", "role", "traffic", "seconds"})


@dataclass(frozen=True, kw_only=True)
class FlowLog(Step):
    """A flow log of all interfaces of a network, those to come included, written to a log group.

    AWS changes nothing of one but its tags (VPC User Guide, "Flow log limitations"), and there is nothing in it that
    would be lost: one that is not as it is wanted is deleted, and another takes its place.
    """

    vpc: Ref[Vpc]
    group: Ref[LogGroup]
    role: Ref[Role]
    traffic: str = "ALL"
    seconds: int = 600
    """Over which packets of one connection are put together in one line: 60 or 600; 60 makes many times the lines."""
    listing = "ec2.describe_flow_logs"

    def observe(self, aws: Reader) -> Live | None:
        log = aws.mine(self.listing, self)
        if log is None:
            return None
        facts = {
            "vpc": log["ResourceId"],
            "group": log.get("LogGroupName", ""),
            "role": log.get("DeliverLogsPermissionArn", ""),
            "traffic": log["TrafficType"],
            "seconds": log["MaxAggregationInterval"],
            "tags": found_tags(self, log),
        }
        why = log.get("DeliverLogsErrorMessage") or log.get("DeliverLogsStatus", "")
        # Where the log group takes no more for the moment, that is all that is wrong.
        failed = log.get("DeliverLogsStatus") == "FAILED" and why != "Rate limited"
        return Live(log["FlowLogId"], facts, broken=f"it delivers nothing: {why}" if failed else "")

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is not None and self.differences(live) & UNCHANGEABLE:
            yield from self.teardown(live)  # first: two that write to one group are refused
            live = None
        if live is None:
            yield Call(
                "ec2.create_flow_logs",
                ResourceType="VPC",
                ResourceIds=[self.vpc],
                TrafficType=self.traffic,
                LogDestinationType="cloud-watch-logs",
                LogGroupName=self.group,
                DeliverLogsPermissionArn=self.role,
                MaxAggregationInterval=self.seconds,
                TagSpecifications=born("vpc-flow-log", self),
            )
            return
        yield from retag(self, live)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("ec2.delete_flow_logs", FlowLogIds=[live.id])
