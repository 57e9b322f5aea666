"""The shared matrix as runs, each from a moment of its own: what identities with little permission have to get through.

Also sees who asks and calls what in them. Knows no permission and no policy.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from provisioner import plan, preflight, prices
from provisioner.aws import Forbidden
from provisioner.engine import Seen
from provisioner.errors import AwsError
from provisioner.kit import Call, Step
from provisioner.local.faults import Faults
from provisioner.session import Session
from provisioner.wiring import Outcome
from tests.hands import CHANGES, Change, cluster
from tests.test_twins import LAG, TWICE, beginning, killed
from tests.world import Watched, World, standing

Purpose = Literal["plan", "provision", "teardown"]
Tables = dict[str, Any]
ROOM = ""
"""Stands for the kind of whoever asks and is no step."""


class Broken(BaseException):
    """The run ends here."""


@dataclass(frozen=True)
class Asked:
    """One question or call: whose, and with which parameters."""

    kind: str
    sought: bool
    """Whether it was asked to find what no file declares."""
    operation: str
    parameters: frozenset[str]


class Overheard(Watched):
    """AWS, with everything that was asked and called of it."""

    heard: set[Asked]
    kinds: Mapping[str, str]
    """Of the steps, by name."""
    calling: str = ""
    """The step whose call leaves."""

    def answer(self, operation: str, params: Mapping[str, Any], since: int, paged: bool) -> Any:
        kind, sought = _asker()
        self.heard.add(Asked(kind, sought, operation, frozenset(params)))
        return super().answer(operation, params, since, paged)

    def perform(self, call: Call, token: str = "") -> Any:
        self.heard.add(Asked(self.kinds[self.calling], False, call.operation, frozenset(call.params)))
        try:
            return super().perform(call, token)
        except Forbidden as error:
            # Nothing makes good for a call that was denied: what would follow is not worth waiting for.
            raise Broken(str(error)) from error


def _asker() -> tuple[str, bool]:
    """Tell which kind of step asks, and whether only in search of what is left: the outermost of those at work."""
    found, frame = (ROOM, False), sys._getframe()
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        names = frame.f_locals
        if isinstance(names.get("self"), Step):
            found = names["self"].kind, False
        elif isinstance(names.get("cls"), type) and issubclass(names["cls"], Step):
            found = names["cls"].__name__, True
    return found


Complaints = Iterator[object]


@dataclass(frozen=True)
class Run:
    """What is done to a world by foreign hands, and then by us for one purpose."""

    name: str
    purpose: Purpose
    go: Callable[[World, Session], Complaints]
    """Do it, and give every complaint: whatever is not as it is for who may do everything."""
    begin: Callable[[Path], World]
    """Bring about what it starts from."""
    as_it_was: bool = False
    """Whether it takes the permissions of the file before its change: a kind of resource leaves."""


def heard(world: World, run: Run) -> tuple[set[Asked], list[str]]:
    """Do a run, and give what was asked and called in it, and the complaints."""
    found: set[Asked] = set()

    def listening(*given: Any) -> Overheard:
        aws = Overheard(*given)
        aws.heard = found
        return aws

    world.connection = listening
    try:
        session = world.session()
        session.listeners.append(lambda event: setattr(session.aws, "calling", event.step))
        complaints = [str(each) for each in run.go(world, session)]
    except (AwsError, Broken) as error:
        complaints = [str(error)]
    world.connection = Watched
    return found, complaints


def looked(session: Session, tearing: bool = False, flags: frozenset[str] = frozenset()) -> Any:
    sight = session.look(flags, tearing)
    assert isinstance(session.aws, Overheard)
    session.aws.kinds = {name: seen.step.kind for name, seen in sight.seen.items()}
    return sight


def planned(world: World, session: Session) -> Complaints:
    """Make a plan as the command does: with prices, and with all that is checked beforehand."""
    yield from _checked(world, session, looked(session), ours=False)


def provisioned(world: World, session: Session, flags: frozenset[str] = frozenset()) -> Complaints:
    """Provision as the command does."""
    sight = looked(session, flags=flags)
    yield from _checked(world, session, sight)
    if not sight.failures:
        yield from _ended(session.engine.provision(sight))


def torn_down(world: World, session: Session, flags: frozenset[str] = frozenset()) -> Complaints:
    sight = looked(session, True, flags)
    yield from (*sight.failures, *plan.refusals(sight, flags, tearing=True))
    if not sight.failures:
        yield from _ended(session.engine.teardown(sight))


def _checked(world: World, session: Session, sight: Any, ours: bool = True) -> Complaints:
    yield from (*sight.failures, *plan.refusals(sight, frozenset(), tearing=False))
    cache = world.request.state_dir / prices.CACHE
    cache.unlink(missing_ok=True)
    asked = prices.asked(
        session.aws.view(), world.settings.region, prices.usual(), world.request.state_dir, world.clock
    )
    if (found := asked()).source != "api":
        yield found
    if not sight.failures:
        told = preflight.findings(session.flight(sight, plan.provision(sight), whole=not ours, ours=ours))
        yield from (*told.refusals, *told.skipped)


def _ended(outcome: Outcome) -> Complaints:
    yield from outcome.failures


# What there is to go through.

EVERY_FLAG = frozenset(plan.FLAGS)
KEPT = EVERY_FLAG - {"skip_final_snapshot"}
FILES: Sequence[tuple[Tables, ...]] = (
    ({"network": {"zones": 3}},),
    ({"network": {"zones": 3}}, {"network": {"zones": 2}}),
    ({"database": {"instances": 3}},),
    ({"database": {"instances": 3}}, {"database": {"instances": 2}}),
    ({"database": {"engine_version": "17"}},),
    ({"database": {"max_acu": 4.5}},),
    ({"bucket": {"noncurrent_days": 3}},),
    ({"tags": {"owner": "alice"}},),
)
"""Changes of the file one after the other, of which the last is ours to carry out."""

LEAVING: Mapping[str, Sequence[tuple[Tables, ...]]] = {
    "staging": [({"network": {"nat": "none"}},)],
    "prod": [({"network": {"nat": "none"}},), ({"security": {"own_key": False, "alerts": False}},)],
}
"""Changes by which something leaves the file: they take the permissions of the file before."""

PROTECTED = Change("Cluster", "protection on", cluster(DeletionProtection=True))
MOVED = next(change for change in CHANGES if change.what == "subnets moved to the default one")
BARE = "a network and nothing else"


def runs(environment: str) -> Iterator[Run]:
    """Give every run of an environment: built, left alone, changed, put right and taken down."""
    yield Run("nothing stands", "plan", planned, partial(World, environment=environment))
    yield Run("it stands", "plan", planned, partial(standing, environment=environment))
    yield Run("nothing stands", "provision", provisioned, partial(World, environment=environment))
    yield Run("it stands", "provision", provisioned, partial(standing, environment=environment))
    for changes in rounds(environment):
        told = ", ".join(f"{change.kind}: {change.what}" for change in changes)
        yield Run(told, "provision", provisioned, partial(_spoilt, environment, changes))
    if environment in MOVED.environments:
        yield Run(MOVED.what, "plan", planned, partial(_spoilt, environment, [MOVED]))
    for path in FILES:
        yield Run(f"the file: {path}", "provision", provisioned, partial(_edited, environment, path))
    for path in LEAVING.get(environment, ()):
        begin, losing = partial(_edited, environment, path), partial(provisioned, flags=EVERY_FLAG)
        yield Run(f"the file: {path}", "provision", losing, begin, as_it_was=True)
    if environment == "dev":
        yield Run(BARE, "plan", planned, _bare)
        yield Run(BARE, "provision", provisioned, _bare)
        yield Run(BARE, "teardown", torn_down, _bare)
        yield Run("a key of its own", "plan", planned, _keyed)
        yield Run("a key of its own", "provision", provisioned, _keyed)
        yield Run("roles bounded, and one unbound by others", "plan", planned, _unbound)
        yield Run("roles bounded, and one unbound by others", "provision", provisioned, _unbound)
    if environment != "prod":
        beside = partial(_namesakes, environment)
        yield Run("namesakes of others", "plan", planned, beside)
        yield Run("namesakes of others", "provision", provisioned, beside)
        yield Run("namesakes of others", "teardown", partial(torn_down, flags=EVERY_FLAG), beside)
    for operation in TWICE:
        if environment != "dev" or operation != "ec2.allocate_address":
            yield Run(f"{operation}, done twice", "provision", provisioned, partial(_twice, environment, operation))
    for flags in (KEPT, EVERY_FLAG):
        down = partial(torn_down, flags=flags)
        yield Run(f"full, with {len(flags)} flags", "teardown", down, partial(_full, environment))
    protected = partial(_spoilt, environment, [PROTECTED])
    yield Run("protected by somebody", "teardown", partial(torn_down, flags=EVERY_FLAG), protected)
    yield Run("nothing stands", "teardown", torn_down, partial(World, environment=environment))


def rounds(environment: str) -> Iterator[list[Change]]:
    """Give all that foreign hands change: at once one thing of every kind, and alone what leaves less than it found."""
    alone = re.compile("deleted|released|stopped|detached|disassociated|hung|revoked")
    possible = [change for change in CHANGES if environment in change.environments]
    kinds = defaultdict(list)
    for change in possible:
        if change.kind in ("FlowLog", "Key") or alone.search(change.what):
            yield [change]
        else:
            kinds[change.kind].append(change)
    for changes in zip_longest(*kinds.values()):
        yield [change for change in changes if change]


@cache
def _stood(environment: str) -> Mapping[str, Seen]:
    with TemporaryDirectory() as folder:
        return standing(Path(folder), environment).look().seen


def _spoilt(environment: str, changes: Sequence[Change], folder: Path) -> World:
    seen = _stood(environment)
    world = standing(folder, environment)
    for change in changes:
        for name, each in seen.items():
            if each.step.kind == change.kind and name.startswith(change.only):
                change.do(world.client, each)
    return world


def _edited(environment: str, path: Sequence[Tables], folder: Path) -> World:
    world = standing(folder, environment)
    *earlier, last = path
    for tables in earlier:
        world.change(**tables)
        assert not world.provision().failures
    world.change(**last)
    return world


def _bare(folder: Path) -> World:
    world = World(folder)
    world.change(bucket=None, database=None)
    return world


def _keyed(folder: Path) -> World:
    world = World(folder)
    key = world.client("kms").create_key()["KeyMetadata"]["KeyId"]
    world.client("kms").create_alias(AliasName="alias/shop", TargetKeyId=key)
    world.change(database={"kms_key": "alias/shop"})
    return world


def _unbound(folder: Path) -> World:
    world = World(folder)
    may = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    bound = world.client("iam").create_policy(PolicyName="services", PolicyDocument=policy)["Policy"]["Arn"]
    world.change(security={"flow_logs": True, "role_boundary": bound})
    assert not world.provision().failures
    world.client("iam").delete_role_permissions_boundary(RoleName=f"{world.stack.name}-us-east-1-flow-log")
    return world


def _twice(environment: str, operation: str, folder: Path) -> World:
    world = beginning(folder, environment)
    killed(world, operation)
    world.lose_state()
    killed(world, operation)
    world.clock.time += 2 * LAG
    world.cloud.switch(Faults())
    return world


def _namesakes(environment: str, folder: Path) -> World:
    """Have others called what is theirs as a hardened stack of this name would call its own."""
    world = standing(folder, environment)
    name, client = world.stack.name, world.client
    client("sns").create_topic(Name=f"{name}-alerts")
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName=f"alias/{name}-key", TargetKeyId=key)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = {"Path": f"/provisioner/{name}/", "RoleName": f"{name}-us-east-1-backup"}
    client("iam").create_role(**role, AssumeRolePolicyDocument=trust)
    client("backup").create_backup_vault(BackupVaultName=f"{name}-vault")
    client("logs").create_log_group(logGroupName=f"/aws/vpc/{name}/flow")
    return world


def _full(environment: str, folder: Path) -> World:
    world = standing(folder, environment)
    for bucket in world.client("s3").list_buckets()["Buckets"]:
        world.client("s3").put_object(Bucket=bucket["Name"], Key="a", Body=b"a")
        world.client("s3").create_multipart_upload(Bucket=bucket["Name"], Key="b")
    (cluster,) = world.client("rds").describe_db_clusters()["DBClusters"]
    for vault in world.client("backup").list_backup_vaults()["BackupVaultList"]:
        (role,) = (each for each in world.client("iam").list_roles()["Roles"] if each["RoleName"].endswith("-backup"))
        copied = {"BackupVaultName": vault["BackupVaultName"], "ResourceArn": cluster["DBClusterArn"]}
        world.client("backup").start_backup_job(**copied, IamRoleArn=role["Arn"])
    return world
