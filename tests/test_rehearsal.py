"""Rehearsals: what they find where all is well and where it is not, and what they say and leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from provisioner import verdict
from provisioner.checks import Check, gone, standing
from provisioner.exits import Stop
from provisioner.foreign import CHANGES, Change, concerns, interfere, make, put_right
from provisioner.inventory import Found, inventory
from provisioner.local import wire
from provisioner.local.cloud import Cloud
from provisioner.local.faults import Faults
from provisioner.rehearsal import STAGES, Rehearsal, Run, Stage, rehearse
from provisioner.session import Request
from provisioner.wiring import Failure
from state.record import Record
from state.store import read
from tests.golden import assert_golden
from tests.world import ENVIRONMENTS
from tests.world import standing as stack_that_stands

ROOT = Path(__file__).parents[1]
PATIENCE = 240.0
"""Seconds after which a rehearsal that should have ended is killed, which fails its test."""


class Ground:
    """A cloud in this process, as a rehearsal takes it."""

    cloud = Cloud()

    def __init__(self, folder: Path, meanwhile: Callable[[Ground, int], object] = lambda ground, stage: None) -> None:
        """Begin empty; ``meanwhile`` happens at the end of every stage, by number."""
        self.folder, self._meanwhile, self._stage = folder, meanwhile, 0
        self.cloud.switch(Faults())
        self.cloud.reset()

    def client(self, service: str, region: str = "us-east-1", config: Any = None) -> Any:
        return _client(service, region)

    def switch(self, preset: str, seed: int) -> Mapping[str, Any]:
        self.cloud.switch(Faults.read({"preset": preset, "seed": seed}))
        return dict(self.cloud.suffered()["faults"])

    def suffered(self) -> Mapping[str, int]:
        self._stage += 1
        self._meanwhile(self, self._stage)
        return dict(self.cloud.suffered()["suffered"])


@cache
def _client(service: str, region: str) -> Any:
    return wire.plug(wire.isolated_session(region).client(service, **wire.client_options()), Ground.cloud)


def played(ground: Ground, environment: str = "dev", folder: Path = ENVIRONMENTS, **request: Any) -> Rehearsal:
    asked = Request(environment=environment, config_dir=folder, **request)
    return rehearse(asked, ground, faults="none", seed=1)


def failed(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    return [(stage, check.what) for stage, check in rehearsal.checks if not check.passed]


# What is found


FILES = {
    "neither bucket nor database": 'project = "shop"\nregion = "eu-west-1"\n[network]\ncidr = "10.1.0.0/20"\n',
    "gateways in three zones": (
        'project = "shop"\nregion = "us-east-1"\n[network]\nzones = 3\nnat = "per-zone"\n[bucket]\nkeep_data = true\n'
    ),
    "a network with borders and a log": (
        'project = "shop"\nregion = "us-east-1"\n[network]\n[security]\nnetwork_acls = true\nflow_logs = true\n'
    ),
    "hardened, of which nothing stays but the key in its window": (
        'project = "shop"\nregion = "us-east-1"\nhardened = true\n[network]\n[bucket]\n'
        "[database]\nmin_acu = 0.5\nmax_acu = 4\nfinal_snapshot = false\n"
    ),
    "hardened, with a snapshot that needs the key": (
        'project = "shop"\nregion = "us-east-1"\nhardened = true\n[network]\n'
        "[database]\nmin_acu = 0.5\nmax_acu = 4\nfinal_snapshot = true\n"
    ),
    "a key of one's own": (
        'project = "shop"\nregion = "us-east-1"\n[network]\n[database]\nmin_acu = 0.5\nmax_acu = 4\ninstances = 3\n'
        'kms_key = "alias/shop"\ndeletion_protection = true\nfinal_snapshot = true\n'
    ),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_whatever_the_file_says_a_rehearsal_goes_through_all_stages(tmp_path: Path, file: str) -> None:
    (tmp_path / "mine.toml").write_text(file)
    came_to = played(Ground(tmp_path / "state"), "mine", tmp_path, suffix="pr-42")
    assert failed(came_to) == []
    assert [stage.name for stage in came_to.stages] == list(STAGES)
    assert came_to.stack == "shop-mine-pr-42"
    repair, teardown = came_to.stages[2:]
    assert repair.changes
    left = {"snapshot"} if "final_snapshot = true" in file else set()
    left |= {"key"} if "hardened = true" in file else set()
    assert len(teardown.remains) == len(left)
    assert inventory_kinds(came_to, tmp_path) == left


def inventory_kinds(came_to: Rehearsal, folder: Path) -> set[str]:
    region = "eu-west-1" if "eu-west-1" in (folder / "mine.toml").read_text() else "us-east-1"
    return {each.kind for each in inventory(lambda service: _client(service, region))}


def duplicate(ground: Ground, stage: int) -> None:
    """Do to the first stage what a run that does not look would have done."""
    if stage == 1:
        ec2 = ground.client("ec2")
        (ours,) = (vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"])
        tags = [{"ResourceType": "vpc", "Tags": ours["Tags"]}]
        ec2.create_vpc(CidrBlock="10.10.0.0/16", TagSpecifications=tags)


def orphan(ground: Ground, stage: int) -> None:
    if stage == 2:
        ground.client("ec2").allocate_address(Domain="vpc")


def loss(ground: Ground, stage: int) -> None:
    if stage == 1:
        ground.client("s3").delete_bucket(Bucket="acme-dev-123456789012-us-east-1")


def remnant(ground: Ground, stage: int) -> None:
    if stage == len(STAGES):
        ground.client("s3").create_bucket(Bucket="forgotten")


@pytest.mark.parametrize(
    ("meanwhile", "stage", "found"),
    [
        (duplicate, "provision", {"no duplicate", "no orphan", "empty plan"}),
        (orphan, "provision again", {"no orphan"}),
        (loss, "provision", {"no phantom", "empty plan"}),
        (remnant, "teardown", {"nothing left"}),
    ],
)
def test_what_is_not_as_it_has_to_be_fails_the_rehearsal_at_that_stage(
    tmp_path: Path, meanwhile: Any, stage: str, found: set[str]
) -> None:
    came_to = played(Ground(tmp_path, meanwhile))
    assert not came_to.passed
    assert failed(came_to) == [(stage, what) for _, what in failed(came_to)]
    assert {what for _, what in failed(came_to)} == found
    assert came_to.stages[-1].name == stage


def test_a_stage_that_fails_is_run_again_as_often_as_a_user_would(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.client("s3").create_bucket(Bucket="acme-dev-123456789012-us-east-1")
    came_to = played(ground)
    (stage,) = came_to.stages
    assert [{failure.code for failure in run.failures} for run in stage.runs] == [{"Refused"}] * 5
    assert ("provision", "done") in failed(came_to)


def test_a_key_that_no_other_cloud_can_have_is_refused(tmp_path: Path) -> None:
    id = "12345678-1234-1234-1234-123456789012"
    (tmp_path / "mine.toml").write_text(FILES["a key of one's own"].replace("alias/shop", id))
    with pytest.raises(Stop, match=f"kms_key is {id}") as caught:
        played(Ground(tmp_path), "mine", tmp_path)
    assert "by its alias" in caught.value.remedy


VPC, TWIN = Found("VPC", "vpc-1", "vpc"), Found("VPC", "vpc-2", "vpc")
RECORD = Record("Vpc", "vpc-1", "settled")


@pytest.mark.parametrize(
    ("found", "remembered", "ahead", "odd"),
    [
        ([VPC], {"vpc": RECORD}, [], {}),
        ([VPC, Found("secret", "s", by_aws=True)], {"vpc": RECORD}, [], {}),
        ([VPC, TWIN], {"vpc": RECORD}, [], {"no duplicate": "VPC vpc: vpc-1, vpc-2", "no orphan": "VPC vpc-2"}),
        ([], {"vpc": RECORD}, [], {"no phantom": "vpc vpc-1"}),
        ([VPC], {"vpc": replace(RECORD, status="pending")}, [], {"as declared": "vpc is pending"}),
        ([VPC], {"vpc": RECORD}, ["vpc differs"], {"empty plan": "vpc differs"}),
        ([], {}, [], {"as declared": "vpc is missing"}),
        ([VPC], {"vpc": RECORD, "old": RECORD}, [], {"as declared": "old is not declared"}),
    ],
)
def test_every_check_of_what_stands_finds_its_own(
    found: list[Found], remembered: dict[str, Record], ahead: list[str], odd: dict[str, str]
) -> None:
    made = standing(found, remembered, ["vpc"], ahead)
    assert {check.what: check.found for check in made if not check.passed} == odd


LAST = "final snapshot db-final-1 (paid for by the GB until you delete it)"
KEY, KNOWN = Found("key", "key-1", "key"), {"key": Record("Key", "key-1", "settled")}
KEPT = "key key-1 with alias/key (1 dollar a month), for snapshot db-final-1"
FREE = "key key-1 (free; gone for good on 2026-12-24, until then a provision takes it back)"


@pytest.mark.parametrize(
    ("found", "remembered", "remains", "odd"),
    [
        ([], {}, [], {}),
        ([Found("snapshot", "db-final-1")], {}, [LAST], {}),
        ([Found("snapshot", "db-final-1")], {}, [], {"nothing left": "snapshot db-final-1"}),
        ([Found("snapshot", "db-final")], {}, [LAST], {"nothing left", "what was named is there"}),
        ([VPC], {"vpc": RECORD}, [], {"nothing left": "VPC vpc-1", "empty state": "vpc"}),
        ([Found("snapshot", "db-final-1"), KEY], KNOWN, [LAST, KEPT], {}),
        ([replace(KEY, leaving=True)], {}, [FREE], {}),
        ([replace(KEY, leaving=True)], {}, [], {}),
        ([KEY], KNOWN, [], {"nothing left": "key key-1", "empty state": "key"}),
        ([], {}, [FREE], {"what was named is there": FREE}),
        ([Found("snapshot", "db-final-1")], {}, [LAST, KEPT], {"what was named is there": KEPT}),
    ],
)
def test_every_check_of_what_is_gone_finds_its_own(
    found: list[Found], remembered: dict[str, Record], remains: list[str], odd: Any
) -> None:
    told = {check.what: check.found for check in gone(found, remembered, remains) if not check.passed}
    assert told == odd if isinstance(odd, dict) else told.keys() == odd


def test_an_inventory_finds_everything_that_the_state_names_and_nothing_else(tmp_path: Path) -> None:
    prod = stack_that_stands(tmp_path, "prod")
    state, found = read(prod.state), inventory(prod.client)
    assert state is not None
    assert {each.id for each in found if not each.by_aws} == {record.id for record in state.steps.values()}
    assert {each.kind for each in found if each.by_aws} == {"route table", "network interface", "secret"}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.kind} {change.what}")
def test_what_a_foreign_hand_changes_is_seen_and_seen_to_be_put_right(tmp_path: Path, change: Change) -> None:
    prod = stack_that_stands(tmp_path, "prod")
    made = make(prod.client, change, next(each.id for each in inventory(prod.client) if concerns(change, each)))
    assert put_right(prod.client, [made]) == [(made, False)]
    assert not prod.provision().failures
    assert put_right(prod.client, [made]) == [(made, True)]


def test_a_seed_decides_what_a_foreign_hand_does_to_each_subject(tmp_path: Path) -> None:
    drawn = []
    for seed in (1, 1, 2, 3):
        prod = stack_that_stands(tmp_path, "prod")
        drawn.append(
            [(each.change.kind, each.change.what) for each in interfere(prod.client, inventory(prod.client), seed)]
        )
    assert drawn[0] == drawn[1]
    assert len({tuple(each) for each in drawn}) == 3
    subjects = {change.subject or change.kind for change in CHANGES}
    assert all(len(each) == len(subjects) for each in drawn)


# What is said


FAILURE = Failure(
    step="cluster",
    operation="rds.create_db_cluster",
    code="ServiceUnavailable",
    message="The request has failed due to a temporary failure of the server.",
    remedy="correct what AWS objects to, then run the same command again: it goes on where it stopped",
)
FIRST = Run(calls=45, reads=154, retries=80, unanswered=8, seconds=109.94, failures=(FAILURE,))
SECOND = Run(calls=2, reads=31, retries=1, unanswered=0, seconds=4.3)
RIGHT = Check(what="no duplicate", expected="one of each", found="one of each", passed=True)
PASSED = Rehearsal(
    stack="acme-prod",
    faults="brutal",
    seed=7,
    time_scale=0.0,
    seconds=35.3,
    stages=(
        Stage(
            name="provision",
            runs=(FIRST, SECOND),
            injected={"throttled": 40, "cut after": 20, "unresolved": 1},
            checks=(replace(RIGHT, what="done"), RIGHT),
        ),
        Stage(
            name="repair",
            runs=(SECOND,),
            injected={},
            checks=(replace(RIGHT, what="put right"),),
            changes=(("VPC vpc-1: its name tag taken", True),),
        ),
        Stage(
            name="teardown",
            runs=(replace(SECOND, remains=(LAST,)),),
            injected={},
            checks=(replace(RIGHT, what="nothing left"),),
        ),
    ),
)
WRONG = replace(
    PASSED,
    stages=(
        replace(
            PASSED.stages[1],
            changes=(("VPC vpc-1: its name tag taken", False),),
            checks=(
                Check(what="put right", expected="VPC vpc-1: its name tag taken", found="still so", passed=False),
                replace(RIGHT, found="VPC vpc: vpc-1, vpc-2", passed=False),
            ),
        ),
    ),
)


@pytest.mark.parametrize(("name", "came_to"), [("passed", PASSED), ("failed", WRONG)])
def test_what_a_person_and_a_script_read_of_a_rehearsal(name: str, came_to: Rehearsal) -> None:
    text = verdict.rehearsal_text(came_to, "provisioner rehearse prod --faults brutal --seed 7")
    assert max(len(line) for line in text.splitlines() if not line.startswith("To see it again: ")) <= 80
    assert_golden(f"rehearsal-{name}.txt", text)
    assert_golden(f"json/rehearse-{name}.json", json.dumps(verdict.rehearsal_json(came_to), indent=2) + "\n")


# The command


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Rehearse in an empty folder, with a folder of its own for what is temporary."""
    (folder / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "provisioner", "rehearse", *arguments, "--config-dir", str(ENVIRONMENTS)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def servers(folder: Path) -> int:
    listed = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)
    return sum(f"--announce {folder}" in line for line in listed.stdout.splitlines())


def left(folder: Path) -> list[str]:
    """List what a rehearsal has left of itself: files, of the user's too, and servers."""
    return [str(path) for path in folder.rglob("*") if path.name != "temporary"] + ["a server"] * servers(folder)


@pytest.mark.process
@pytest.mark.parametrize(("environment", "seed"), [("dev", 4), pytest.param("prod", 9, marks=pytest.mark.crash)])
def test_under_brutal_faults_there_is_exactly_what_is_declared_after_every_stage(
    tmp_path: Path, environment: str, seed: int
) -> None:
    with command(tmp_path, environment, "--faults", "brutal", "--seed", str(seed), "--json") as running:
        stdout, stderr = running.communicate(timeout=PATIENCE)
    document = json.loads(stdout)
    assert [each for each in document["checks"] if not each["passed"]] == []
    assert (running.returncode, document["verdict"], stderr) == (0, "passed", "")
    assert document["injected"]["throttled"] > 20
    assert document["injected"]["cut after"] > 5
    assert left(tmp_path) == []


@pytest.mark.process
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_it_leaves_no_server(tmp_path: Path, which: signal.Signals) -> None:
    with command(tmp_path, "dev", "--faults", "brutal") as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "1/4 provision\n"
        assert servers(tmp_path) == 1
        running.send_signal(which)
        _, stderr = running.communicate(timeout=PATIENCE)
    if which == signal.SIGKILL:
        deadline = time.monotonic() + PATIENCE
        while servers(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    else:
        assert running.returncode == 130
        assert stderr.splitlines()[-1] == "nothing of it is left; run the same command again to begin anew"
        assert left(tmp_path) == []


@pytest.mark.process
def test_a_rehearsal_of_nothing_is_wrong_usage(tmp_path: Path) -> None:
    with command(tmp_path, "nowhere", "--json") as running:
        stdout, _ = running.communicate(timeout=PATIENCE)
    assert (running.returncode, json.loads(stdout)["error"]["code"]) == (2, "config")
    assert left(tmp_path) == []
