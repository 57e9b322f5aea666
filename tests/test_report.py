"""What is said at the end, as golden text and exact JSON; hand-made looks and outcomes, no AWS and no engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from provisioner import graph, plan, report
from provisioner.blueprint import blueprint
from provisioner.config import load
from provisioner.engine import Failure, Outcome, Seen, Sight
from provisioner.kit import Call, Live, Objection, Stack, Step, bind
from provisioner.survey import Choices
from steps.security_group import SecurityGroup
from steps.subnet import Subnet
from steps.vpc import Vpc
from tests.model import validate

STACK = Stack(project="acme", environment="dev", account="123456789012", region="us-east-1")
WHERE = {"stack": "acme-dev", "target": "local", "region": "us-east-1"}
HOSTILE = "\x1b[2Jgone\r\nacme-dev: done\x9b\u202e"
VPC = Vpc(name="vpc", stack=STACK, cidr="10.10.0.0/16")
SUBNET = Subnet(name="private-1", stack=STACK, vpc=VPC, cidr="10.10.0.0/19", zone="us-east-1a", public=False)
APP = SecurityGroup(name="app", stack=STACK, vpc=VPC, description="The application", output="app_security_group_id")
ENVIRONMENTS = Path(__file__).parent.parent / "environments"


def found(step: Step, id: str, /, **other: Any) -> Live:
    """Make what stands exactly as a step wants it, but for ``other``."""
    wanted = {field.name: getattr(step, field.name) for field in fields(step)} | {"tags": step.labels}
    return Live(id, wanted | other)


def sight(lives: Mapping[Step, Live | None], leftovers: frozenset[str] = frozenset()) -> Sight:
    ids = {step.name: str(live.id) for step, live in lives.items() if live is not None}
    wishes = {step.name: step for step in lives}
    seen = {
        step.name: Seen(step=bind(step, ids), live=live, leftover=step.name in leftovers)
        for step, live in lives.items()
    }
    return Sight(wishes=wishes, seen=seen, needs=graph.edges(wishes.values()))


class Lives(dict[str, Live | None]):
    """What is there by step name, for steps that are dictionary keys by identity nowhere."""


def look(*pairs: tuple[Step, Live | None], leftovers: frozenset[str] = frozenset()) -> Sight:
    ids = {step.name: str(live.id) for step, live in pairs if live is not None}
    wishes = {step.name: step for step, _ in pairs}
    seen = {
        step.name: Seen(step=bind(step, ids), live=live, leftover=step.name in leftovers) for step, live in pairs
    }
    return Sight(wishes=wishes, seen=seen, needs=graph.edges(wishes.values()))
