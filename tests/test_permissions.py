"""Who may do only what iam-policy prints gets through everything, needs all of it, and touches nothing of others."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.exceptions import ClientError

from provisioner import iam_policy, permissions
from provisioner.config import load
from provisioner.iam_policy import PURPOSES, Document
from provisioner.kit import Stack
from provisioner.local import ACCOUNT
from provisioner.session import drafted
from steps import KINDS
from tests.hands import ENVIRONMENTS
from tests.runs import BARE, ROOM, Asked, Purpose, Run, heard, runs
from tests.world import ENVIRONMENTS as FILES
from tests.world import Moment, World

RECORD = Path(iam_policy.__file__).parent / "operations.json"
WRITING = os.environ.get("GOLDEN") == "write"
HERE = {"account": ACCOUNT, "region": "us-east-1"}


def printed(world: World, purpose: Purpose, as_it_was: bool = False) -> Document:
    """Give the policy that iam-policy prints for the file as it is, or for the one that comes with provisioner."""
    settings = load(FILES, world.request.environment) if as_it_was else world.settings
    stack = Stack(project=settings.project, environment=settings.environment, suffix=settings.suffix, **HERE)
    return iam_policy.document(drafted(settings, stack), stack, (purpose,))


@cache
def through(environment: str) -> tuple[dict[Run, set[Asked]], dict[Run, list[str]]]:
    """Go through everything with exactly what is printed, and tell what was asked and called, and the complaints."""
    seen, complaints = {}, {}
    for run in runs(environment):
        with TemporaryDirectory() as folder:
            world = run.begin(Path(folder))
            if not WRITING:
                world.cloud.permit(printed(world, run.purpose, run.as_it_was))
            seen[run], told = heard(world, run)
            if told:
                complaints[run] = told
    return seen, complaints


def actions_of(policy: Document) -> set[str]:
    found = [each["Action"] for each in policy["Statement"]]
    return {action for each in found for action in ([each] if isinstance(each, str) else each)}


def without(policy: Document, action: str) -> Document:
    """Leave an action out of a policy."""
    kept = []
    for statement in policy["Statement"]:
        listed = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        if remaining := [each for each in listed if each != action]:
            kept.append({**statement, "Action": remaining})
    return {**policy, "Statement": kept}


def users(seen: Mapping[Run, Iterable[Asked]], purpose: Purpose) -> dict[str, list[Run]]:
    """Name for each action the runs in which something takes it."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run, said in seen.items():
        taken = {
            grant.action
            for each in (said if run.purpose == purpose else ())
            for grant in permissions.grants(each.operation, each.parameters)
        }
        for action in taken:
            found[action].append(run)
    return found


def breaks(world: World, moment: Moment, run: Run, policy: Document) -> bool:
    """Do a run with another policy from the moment before it, and see whether it comes to anything else."""
    world.back_to(moment)
    world.cloud.permit(policy)
    return bool(heard(world, run)[1])


HEAVY = [pytest.param("dev"), *(pytest.param(each, marks=pytest.mark.crash) for each in ("staging", "prod"))]


@pytest.mark.parametrize("environment", HEAVY)
def test_who_may_do_no_more_than_is_printed_gets_through_everything(environment: str) -> None:
    seen, complaints = through(environment)
    assert complaints == {}
    assert {"plan", "provision", "teardown"} == {run.purpose for run in seen}


@pytest.mark.parametrize(
    ("environment", "purpose"),
    [
        pytest.param(environment, purpose, marks=() if light else pytest.mark.crash)
        for environment in ENVIRONMENTS
        for purpose in PURPOSES
        for light in [environment == "dev" and purpose != "provision"]
    ],
)
def test_every_action_that_is_printed_is_needed(tmp_path: Path, environment: str, purpose: Purpose) -> None:
    using = users(through(environment)[0], purpose)
    suspects = actions_of(printed(World(tmp_path, environment), purpose))
    assert suspects <= using.keys()
    for number, run in enumerate(through(environment)[0]):
        if concerned := {action for action in suspects if run in using[action]}:
            world = run.begin(tmp_path / str(number))
            moment, policy = world.moment(), printed(world, purpose, run.as_it_was)
            suspects -= {action for action in concerned if breaks(world, moment, run, without(policy, action))}
    assert suspects == set()


def taken(seen: Mapping[Run, Iterable[Asked]]) -> dict[str, Any]:
    """Sort what was asked and called as operations.json has it.

    What no step asks is asked in every stack, but for what is asked because there is a database: that is its own.
    """
    bare = {(run.purpose, each.operation) for run, said in seen.items() if run.name == BARE for each in said}
    rooms: dict[str, set[str]] = {purpose: set() for purpose in PURPOSES}
    kinds: dict[str, dict[str, set[str]]] = {
        kind: {key: set() for key in ("sought", *PURPOSES)} for kind in sorted(KINDS)
    }
    for run, said in seen.items():
        for each in said:
            if each.kind == ROOM and (run.purpose, each.operation) in bare:
                rooms[run.purpose].add(each.operation)
            else:
                assert each.kind or each.operation.startswith("rds."), f"for whom is {each.operation} asked?"
                kinds[each.kind or "Cluster"]["sought" if each.sought else run.purpose].add(each.operation)
    return {
        "rooms": {purpose: sorted(found) for purpose, found in rooms.items()},
        "kinds": {kind: {key: sorted(found) for key, found in said.items()} for kind, said in kinds.items()},
    }


@pytest.mark.crash
def test_what_is_recorded_is_what_all_environments_take() -> None:
    seen = {run: each for environment in ENVIRONMENTS for run, each in through(environment)[0].items()}
    found = taken(seen)
    if WRITING:
        RECORD.write_text(written(found))
    assert json.loads(RECORD.read_text()) == found


def written(found: Mapping[str, Any]) -> str:
    """Write a list a line."""

    def lines(said: Mapping[str, Any], depth: int) -> str:
        indent = "  " * depth
        inner = (
            f"{indent}  {json.dumps(key)}: {lines(each, depth + 1) if isinstance(each, Mapping) else json.dumps(each)}"
            for key, each in said.items()
        )
        return "{\n" + ",\n".join(inner) + f"\n{indent}}}"

    return lines(found, 0) + "\n"


EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
SERVICES = f"arn:aws:iam::{ACCOUNT}:policy/services"


def test_whoever_provisions_can_make_no_role_that_may_do_more_than_the_file_says(tmp_path: Path) -> None:
    world = World(tmp_path)
    bounded = {"flow_logs": True, "role_boundary": SERVICES}
    world.client("iam").create_policy(PolicyName="services", PolicyDocument=json.dumps(EVERYTHING))
    world.change(security=bounded)
    world.cloud.permit(printed(world, "provision"))
    assert world.provision().failures == ()
    session = world.session()
    assert world.provision(session).failures == ()
    ours = session.aws.client("iam")
    named = {"RoleName": f"{world.stack.name}-us-east-1-flow-log"}
    (role,) = (each for each in ours.list_roles(PathPrefix=f"/provisioner/{world.stack.name}/")["Roles"])
    assert role["RoleName"] == named["RoleName"]
    trust, more = json.dumps(role["AssumeRolePolicyDocument"]), json.dumps(EVERYTHING)
    made = {"Path": role["Path"], "AssumeRolePolicyDocument": trust, "Tags": ours.get_role(**named)["Role"]["Tags"]}
    assert denied(lambda: ours.create_role(RoleName="unbounded", **made))
    assert denied(lambda: ours.create_role(RoleName="otherwise", PermissionsBoundary=ADMINISTRATOR, **made))
    assert denied(lambda: ours.delete_role_permissions_boundary(**named))
    assert denied(lambda: ours.put_role_permissions_boundary(**named, PermissionsBoundary=ADMINISTRATOR))
    world.client("iam").delete_role_permissions_boundary(**named)
    assert denied(lambda: ours.put_role_policy(**named, PolicyName="more", PolicyDocument=more))
    assert world.provision().failures == ()
    assert ours.get_role(**named)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == SERVICES


def test_subnets_move_to_an_acl_of_the_stack_and_back_to_the_network_s_own_with_what_is_printed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change(database=None, bucket=None, security={"network_acls": True})
    world.cloud.permit(printed(world, "provision"))
    assert world.provision().failures == ()
    acls = world.client("ec2").describe_network_acls
    (vpc,) = {each["VpcId"] for each in acls()["NetworkAcls"] if each["Associations"] and not each["IsDefault"]}
    world.cloud.permit(printed(world, "teardown"))
    assert world.teardown().failures == ()
    assert vpc not in {each["VpcId"] for each in acls()["NetworkAcls"]}


def denied(call: Callable[[], object]) -> bool:
    """Tell whether a call is refused because it is not allowed; raises whatever else comes of it."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return True
    return False
