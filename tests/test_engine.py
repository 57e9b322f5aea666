"""The engine's promises, with steps that are nothing but a name and a cloud that does as it is told."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provisioner.aws import Aws
from provisioner.decide import TRIES
from provisioner.engine import Engine
from provisioner.errors import AwsError, classify, remedy
from provisioner.events import Event
from provisioner.kit import Call, Live, Reader, Stack, Step, Unknown
from provisioner.loop import UNSENT
from provisioner.terms import Burdens, Objection
from provisioner.wiring import Failure, Outcome
from state.record import State
from state.store import Journal, Rename, StateError
from tests.world import Inline, Killed, VirtualClock

STACK = Stack(project="shop", environment="dev", account="1", region="r")
HERE = State(project="shop", environment="dev", suffix="", target="local", account="1", region="r")
WINDOW, LINGERING = 60.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Thing(Step):
    """Something that is created with size 1, is resized, and is deleted."""

    size: int = 1
    needs: tuple[Any, ...] = ()
    patience = 900.0

    def observe(self, aws: Reader) -> Live | None:
        found = aws.ask("fake.describe_thing", Name=self.name)
        return None if found is None else Live(**found)

    def provision(self, live: Live | None) -> Iterator[Call]:
        if live is None:
            yield Call("fake.create_thing", Name=self.name)
            live = Live(Unknown(self.name), {"size": 1})
        if "size" in self.differences(live):
            yield Call("fake.resize_thing", Id=live.id, Size=self.size)

    def teardown(self, live: Live) -> Iterator[Call]:
        yield Call("fake.delete_thing", Id=live.id)


@dataclass(frozen=True, kw_only=True)
class Treasure(Thing):
    """A thing whose loss would lose data."""

    holds_data = True


@dataclass
class Being:
    """What there is of a thing."""

    id: str
    size: int = 1
    shown_from: float = 0.0
    ready_at: float = 0.0
    broken: str = ""
    foreign: str = ""


def refusal(code: str) -> AwsError:
    return AwsError("fake.call", code, f"told by {code}", classify(code))


@dataclass
class Script:
    """What happens to the calls of one operation, one after another; those that follow simply work."""

    codes: list[str] = field(default_factory=list)
    done: bool = False
    """Whether the call is carried out before it fails."""


class Fake(Aws):
    """A cloud of things that shows them late, makes them slowly and fails as scripted."""

    asked = math.inf
    """It answers at once."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(lambda service: None, clock)
        self.clock = clock
        self.beings: dict[str, Being] = {}
        self.performed: list[str] = []
        self.scripts: dict[str, Script] = {}
        self.lag = 0.0
        self.slow: dict[str, float] = {}
        """Per name, how long it takes to become ready."""
        self.deaf = False
        """Whether things can be resized."""
        self.anonymous = False
        """Whether a create tells no id."""
        self.before: Callable[[Call], None] = lambda call: None
        self.after: Callable[[Call], None] = lambda call: None
        self.looks = 0
        self.made = 0
        self.tokens: list[str] = []
        """Of every create, in order."""
        self.remembers = False
        """Whether a create with a token that was seen before makes nothing, as EC2 remembers what it has deleted."""

    def view(self, since: int = 0) -> Any:
        return self

    def ask(self, operation: str, /, **params: Any) -> dict[str, Any] | None:
        self.looks += 1
        being, now = self.beings.get(params["Name"]), self.clock.now()
        if being is None or being.shown_from > now:
            return None
        busy = "creating" if being.ready_at > now else ""
        facts = {"size": being.size}
        return {"id": being.id, "facts": facts, "busy": busy, "broken": being.broken, "foreign": being.foreign}

    def perform(self, call: Call, token: str = "") -> Any:
        named = {being.id: name for name, being in self.beings.items()}
        subject = call.params.get("Name") or named.get(call.params["Id"])
        if subject is None:
            raise refusal("InvalidVpcID.NotFound")
        self.before(call)
        self.performed.append(f"{call.method.partition('_')[0]} {subject}")
        if call.creates:
            self.tokens.append(token)
        script = self.scripts.get(self.performed[-1]) or self.scripts.get(call.method.partition("_")[0])
        code = script.codes.pop(0) if script and script.codes else ""
        response = self._do(call, subject, token) if not code or (script and script.done) else {}
        self.after(call)
        self.tick()
        if code:
            raise refusal(code)
        return response

    def _do(self, call: Call, name: str, token: str) -> dict[str, str]:
        if call.method == "create_thing":
            if self.remembers and token in self.tokens[:-1]:
                return {"ThingId": f"thing-{self.made}"}
            self.made += 1
            now = self.clock.now()
            id = f"thing-{self.made}"
            self.beings[name] = Being(id, shown_from=now + self.lag, ready_at=now + self.slow.get(name, 0.0))
            return {} if self.anonymous else {"ThingId": id}
        if call.method == "delete_thing":
            del self.beings[name]
        elif not self.deaf:
            self.beings[name].size = call.params["Size"]
        return {}


class Bench:
    """An engine on a fake cloud, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.json"
        self.clock = VirtualClock()
        self.cloud = Fake(self.clock)
        self.events: list[Event] = []
        self.start = self.clock.now()

    def engine(self, rename: Rename = os.replace, window: float = WINDOW) -> Engine:
        """Start a new process."""
        self.clock.stopped.clear()
        return Engine(
            aws=self.cloud,
            journal=Journal.open(self.path, HERE, rename),
            clock=self.clock,
            workers=Inline(),
            kinds={kind.__name__: kind for kind in (Thing, Treasure, Chest, Keepsake)},
            stack=STACK,
            tell=self.events.append,
            window=window,
            lingering=LINGERING,
        )

    def provision(self, *steps: Step, engine: Engine | None = None) -> Outcome:
        engine = engine or self.engine()
        return engine.provision(engine.look(steps))

    def teardown(self, *steps: Step) -> Outcome:
        engine = self.engine()
        return engine.teardown(engine.look(steps, tearing=True))

    @property
    def passed(self) -> float:
        return self.clock.now() - self.start

    @property
    def written(self) -> dict[str, Any]:
        """What the state file says of the steps."""
        steps: dict[str, Any] = json.loads(self.path.read_text())["steps"]
        return steps

    def told(self, what: str) -> list[str]:
        return [event.step for event in self.events if event.what == what]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def thing(name: str, *needs: Step, **fields: Any) -> Thing:
    return Thing(name=name, stack=STACK, needs=needs, **fields)


def codes(outcome: Outcome) -> dict[str, str]:
    return {failure.step: failure.code for failure in outcome.failures}


# What is on disk, and when.


def test_the_intent_is_on_disk_before_the_call_leaves_and_the_outcome_after_it(bench: Bench) -> None:
    seen: list[Any] = []
    bench.cloud.before = lambda call: seen.append(bench.written["a"]["calls"])
    bench.provision(thing("a", size=2))
    create, resize = seen
    assert [(sent["operation"], sent["done"]) for sent in create] == [("fake.create_thing", None)]
    assert [(sent["operation"], sent["done"]) for sent in resize] == [("fake.resize_thing", None)]
    (last,) = bench.written["a"]["calls"]
    assert last["done"] is not None
    assert (bench.written["a"]["id"], bench.written["a"]["status"]) == ("thing-1", "settled")


def test_a_refusal_is_on_disk_with_its_code(bench: Bench) -> None:
    bench.cloud.scripts["create"] = Script(["AccessDenied"])
    bench.provision(thing("a"))
    assert bench.written["a"]["status"] == "failed"
    assert bench.written["a"]["calls"][0]["code"] == "AccessDenied"


def test_a_teardown_forgets_the_step_and_keeps_the_id_it_had(bench: Bench) -> None:
    bench.provision(thing("a"))
    assert bench.teardown(thing("a")).results == {"a": "gone"}
    assert bench.written == {}
    assert json.loads(bench.path.read_text())["past"] == {"a": ["thing-1"]}


def unwritable(number: int) -> Rename:
    """Give a rename that fails from its n-th use on."""
    used = 0

    def rename(new: Path, path: Path) -> None:
        nonlocal used
        used += 1
        if used >= number:
            raise PermissionError(13, "Permission denied")
        os.replace(new, path)

    return rename


def test_no_call_leaves_while_the_state_cannot_be_written(bench: Bench) -> None:
    with pytest.raises(StateError, match="cannot write"):
        bench.provision(thing("a"), thing("b"), engine=bench.engine(unwritable(1)))
    assert bench.cloud.performed == []


def test_a_state_that_becomes_unwritable_stops_the_run_before_the_next_call(bench: Bench) -> None:
    with pytest.raises(StateError, match="cannot write"):
        bench.provision(thing("a"), thing("b", thing("a")), engine=bench.engine(unwritable(2)))
    assert bench.cloud.performed == ["create a"]
    assert bench.provision(thing("a"), thing("b", thing("a"))).results == {"a": "settled", "b": "settled"}
    assert bench.cloud.performed == ["create a", "create b"]


# Who waits for whom.


def test_a_failed_step_blocks_its_dependents_and_nothing_else(bench: Bench) -> None:
    bench.cloud.scripts["create a"] = Script(["AccessDenied"])
    a = thing("a")
    b = thing("b", a)
    outcome = bench.provision(a, b, thing("c", b), thing("d"))
    assert outcome.results == {"a": "failed", "b": "blocked", "c": "blocked", "d": "settled"}
    (failure,) = outcome.failures
    assert failure == Failure(
        step="a",
        operation="fake.call",
        code="AccessDenied",
        message="told by AccessDenied",
        remedy=remedy("AccessDenied"),
    )
    assert [(event.step, event.why) for event in bench.events if event.what == "blocked"] == [("b", "a"), ("c", "b")]


def test_a_step_starts_the_moment_its_own_needs_are_settled(bench: Bench) -> None:
    bench.cloud.slow = {"slow": 500.0}
    quick = thing("quick")
    bench.provision(thing("slow"), quick, thing("after", quick))
    assert bench.told("settled") == ["quick", "after", "slow"]


def test_a_teardown_goes_the_other_way_round(bench: Bench) -> None:
    a = thing("a")
    b = thing("b", a)
    bench.provision(a, b, thing("c", b))
    bench.cloud.performed.clear()
    bench.teardown(a, b, thing("c", b))
    assert bench.cloud.performed == ["delete c", "delete b", "delete a"]


def test_steps_that_need_each_other_are_named(bench: Bench) -> None:
    with pytest.raises(ValueError, match="circle"):
        bench.provision(thing("a", thing("b")), thing("b", thing("a")))


# Waiting.


def test_twenty_busy_steps_sleep_without_a_thread(bench: Bench) -> None:
    names = [f"busy-{number}" for number in range(20)]
    bench.cloud.slow = dict.fromkeys(names, 400.0)
    outcome = bench.provision(*map(thing, names))
    assert set(outcome.results.values()) == {"settled"}
    assert 400 <= bench.passed <= 415


def test_a_sleeper_is_looked_at_ever_more_rarely(bench: Bench) -> None:
    bench.cloud.slow = {"a": 600.0}
    bench.provision(thing("a"))
    assert bench.cloud.looks < 100
    waits = [event.seconds for event in bench.events if event.what == "waiting"]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, 15.0)


def test_a_step_that_stays_busy_is_given_up_after_its_patience(bench: Bench) -> None:
    bench.cloud.slow = {"a": 1e9}
    outcome = bench.provision(thing("a"))
    assert codes(outcome) == {"a": "Timeout"}
    assert "still creating after 15 minutes" in outcome.failures[0].message
    assert Thing.patience <= bench.passed <= Thing.patience + 15


def test_what_is_busy_is_waited_for_before_it_is_torn_down(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.beings["a"].ready_at = bench.clock.now() + 100
    assert bench.teardown(thing("a")).results == {"a": "gone"}
    assert bench.passed >= 100


# What does not show at once.


@pytest.mark.parametrize("code", ["", "Unreachable"])
def test_what_was_created_is_not_disbelieved_within_the_window(bench: Bench, code: str) -> None:
    bench.cloud.lag = WINDOW - 1
    bench.cloud.scripts["create"] = Script([code] if code else [], done=True)
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a"]


def test_a_create_that_left_no_trace_goes_out_again_after_the_window(bench: Bench) -> None:
    bench.cloud.scripts["create"] = Script(["Unreachable"])
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a"] * 2
    assert bench.passed >= WINDOW


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_new_process_does_not_disbelieve_what_a_dead_one_created(bench: Bench, when: str) -> None:
    def die(call: Call) -> None:
        raise Killed

    bench.cloud.lag = WINDOW - 1
    setattr(bench.cloud, when, die)
    with pytest.raises(Killed):
        bench.provision(thing("a"))
    setattr(bench.cloud, when, lambda call: None)
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a"]
    assert bench.passed >= WINDOW - 1


def test_a_change_that_shows_late_is_made_once(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.deaf = True
    shows_at = bench.clock.now() + WINDOW / 2

    def show(event: Event) -> None:
        if bench.clock.now() >= shows_at:
            bench.cloud.beings["a"].size = 2

    engine = bench.engine()
    engine.tell = show
    assert bench.provision(thing("a", size=2), engine=engine).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a", "resize a"]


def test_a_call_made_three_times_without_effect_is_an_error_that_shows_wanted_and_found(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.deaf = True
    began = bench.clock.now()
    outcome = bench.provision(thing("a", size=2))
    assert codes(outcome) == {"a": "NoEffect"}
    assert "size 1 -> 2" in outcome.failures[0].message
    assert outcome.failures[0].operation == "fake.resize_thing"
    assert bench.cloud.performed == ["create a", *["resize a"] * TRIES]
    assert bench.clock.now() - began >= TRIES * WINDOW


def test_a_create_that_tells_no_id_is_looked_at_for_it(bench: Bench) -> None:
    bench.cloud.anonymous = True
    assert bench.provision(thing("a", size=2)).ids == {"a": "thing-1"}
    assert bench.cloud.performed == ["create a", "resize a"]


# What AWS answers.


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "VpcLimitExceeded", "NeverHeardOf", "Throttling"])
def test_what_will_be_refused_again_fails_at_once(bench: Bench, code: str) -> None:
    bench.cloud.scripts["create"] = Script([code])
    assert codes(bench.provision(thing("a"))) == {"a": code}
    assert bench.passed == 0
    assert bench.provision(thing("a")).results == {"a": "settled"}


def test_gone_is_success_in_a_teardown(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.scripts["delete"] = Script(["InvalidVpcID.NotFound"], done=True)
    outcome = bench.teardown(thing("a"))
    assert (outcome.results, outcome.failures) == ({"a": "gone"}, ())


def test_gone_in_a_provision_is_believed_only_after_the_window(bench: Bench) -> None:
    bench.cloud.scripts["resize"] = Script(["InvalidVpcID.NotFound"] * 3)
    assert bench.provision(thing("a", size=2)).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a", *["resize a"] * 4]


def test_gone_in_a_provision_is_an_error_in_the_end(bench: Bench) -> None:
    bench.cloud.scripts["resize"] = Script(["InvalidVpcID.NotFound"] * 999)
    assert codes(bench.provision(thing("a", size=2))) == {"a": "InvalidVpcID.NotFound"}
    assert WINDOW <= bench.passed <= 2 * WINDOW


def test_what_exists_already_is_adopted_if_it_is_ours(bench: Bench) -> None:
    bench.cloud.scripts["create"] = Script(["DBClusterAlreadyExistsFault"], done=True)
    assert bench.provision(thing("a", size=2)).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a", "resize a"]


def test_what_exists_already_and_is_not_ours_is_refused(bench: Bench) -> None:
    def estrange(call: Call) -> None:
        bench.cloud.beings["a"].foreign = "aws tag it"

    bench.cloud.scripts["create"] = Script(["DBClusterAlreadyExistsFault"], done=True)
    bench.cloud.after = estrange
    outcome = bench.provision(thing("a", size=2))
    assert codes(outcome) == {"a": "Foreign"}
    assert "aws tag it" in outcome.failures[0].remedy
    assert bench.cloud.performed == ["create a"]


def test_what_is_in_the_way_is_waited_for(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.clock.sleep(WINDOW)
    bench.cloud.scripts["delete"] = Script(["DependencyViolation"] * 5)
    assert bench.teardown(thing("a")).results == {"a": "gone"}
    assert 5 <= bench.passed - WINDOW < 30
    assert "DependencyViolation: told by DependencyViolation" in {event.why for event in bench.events}


def test_what_stays_in_the_way_is_an_error_with_a_remedy(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.scripts["delete"] = Script(["DependencyViolation"] * 999)
    outcome = bench.teardown(thing("a"))
    assert codes(outcome) == {"a": "DependencyViolation"}
    assert "find what still uses it" in outcome.failures[0].remedy
    assert LINGERING <= bench.passed <= LINGERING + 20


def test_a_lost_reply_leads_to_a_look_and_not_to_a_second_call(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.scripts["resize"] = Script(["Unreachable"], done=True)
    bench.cloud.scripts["delete"] = Script(["InternalError"], done=True)
    assert bench.provision(thing("a", size=2)).results == {"a": "settled"}
    assert bench.teardown(thing("a", size=2)).results == {"a": "gone"}
    assert bench.cloud.performed == ["create a", "resize a", "delete a"]


# What broke.


def test_what_broke_is_replaced_by_the_next_run_and_not_by_this_one(bench: Bench) -> None:
    def break_it(call: Call) -> None:
        bench.cloud.beings["a"].broken = "Network vpc-1 has no Internet gateway attached"

    bench.cloud.after = break_it
    outcome = bench.provision(thing("a", size=2))
    assert codes(outcome) == {"a": "Broken"}
    assert "no Internet gateway" in outcome.failures[0].message
    assert bench.cloud.performed.count("create a") == 1
    bench.cloud.after = lambda call: None
    bench.cloud.performed.clear()
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.cloud.performed == ["delete a", "create a"]


def test_what_broke_and_holds_data_is_never_replaced(bench: Bench) -> None:
    treasure = Treasure(name="a", stack=STACK)
    bench.provision(treasure)
    bench.cloud.beings["a"].broken = "storage-full"
    outcome = bench.provision(treasure)
    assert codes(outcome) == {"a": "Broken"}
    assert "save what it holds" in outcome.failures[0].remedy
    assert bench.cloud.performed == ["create a"]
    assert bench.teardown(treasure).results == {"a": "gone"}


# Being stopped.


def test_a_stopped_run_lets_nothing_leave_and_records_what_was_under_way(bench: Bench) -> None:
    engine = bench.engine()
    bench.cloud.after = lambda call: engine.stop()
    a, b = thing("a"), thing("b")
    outcome = bench.provision(a, b, thing("c", a), engine=engine)
    assert outcome.interrupted
    assert set(outcome.results.values()) <= {"interrupted", "settled"}
    assert bench.cloud.performed == ["create a"]
    assert bench.written["a"]["id"] == "thing-1"
    assert bench.written["a"]["calls"][0]["done"] is not None
    assert bench.written["b"]["calls"][0]["code"] == UNSENT
    assert bench.told("stopping") == [""]


def test_a_run_goes_on_where_a_stopped_one_was(bench: Bench) -> None:
    engine = bench.engine()
    bench.cloud.after = lambda call: engine.stop()
    a, b = thing("a"), thing("b")
    bench.provision(a, b, engine=engine)
    bench.cloud.after = lambda call: None
    assert bench.provision(a, b).results == {"a": "settled", "b": "settled"}
    assert bench.cloud.performed == ["create a", "create b"]
    assert bench.passed == 0


def test_a_stopped_run_waits_for_nobody(bench: Bench) -> None:
    bench.cloud.slow = {"a": 1e9}
    engine = bench.engine()

    def stop(event: Event) -> None:
        if event.what == "waiting":
            engine.stop()

    engine.tell = stop
    assert bench.provision(thing("a"), engine=engine).interrupted
    assert bench.passed < 2


def test_a_run_told_twice_to_stop_waits_for_no_answer_and_the_next_one_looks_what_came_of_it(bench: Bench) -> None:
    engine, held = bench.engine(), []
    a, b = thing("a"), thing("b", size=2)

    class Holding(Inline):
        """Let the calls of one step hang, as a call does whose connection is silent."""

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if args and args[0] == "b":
                held.append(args)
                engine.stop()
                engine.abandon()
                return None
            return super().submit(fn, *args, **kwargs)

    engine.workers = Holding()
    assert bench.provision(a, b, engine=engine).interrupted
    assert len(held) == 1
    assert bench.written["b"]["calls"][0]["done"] is None
    bench.cloud.beings["b"] = Being("thing-b")
    assert bench.provision(a, b).results == {"a": "settled", "b": "settled"}
    assert "create b" not in bench.cloud.performed


# What a run remembers, and what it does not.


@dataclass(frozen=True, kw_only=True)
class Chest(Thing):
    """A thing with something inside, which may be protected, and which leaves a receipt."""

    guards: list[str] = field(default_factory=list)

    def teardown(self, live: Live) -> Iterator[Call]:
        inside = list(live.contents)
        yield Call("fake.delete_thing", Id=live.id, **({"Inside": inside} if inside else {}))

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        guards = [Objection(self.name, f"{live.id} is guarded", flag) for flag in self.guards]
        return Burdens(contents=["diary"], protections=guards)

    def remains(self, live: Live) -> str:
        return f"a receipt of {live.id}"


@dataclass(frozen=True, kw_only=True)
class Keepsake(Thing):
    """A thing that AWS would delete from under whatever uses it, and that somebody may need longer than the stack."""

    needed: list[str] = field(default_factory=list)
    guarded = False

    def burdens(self, aws: Reader, live: Live) -> Burdens:
        return Burdens(needed_by=tuple(self.needed))

    def remains(self, live: Live) -> str:
        return f"{live.id}, for {' and '.join(live.needed_by)}" if live.needed_by else ""


def test_what_outlives_a_teardown_keeps_what_it_needs_and_that_is_told(bench: Bench) -> None:
    key = Keepsake(name="key", stack=STACK, needed=["a copy"])
    door = thing("door", key)
    bench.provision(key, door)
    outcome = bench.teardown(key, door)
    assert outcome.results == {"door": "gone", "key": "kept"}
    assert outcome.remains == ("thing-1, for a copy",)
    assert bench.written["key"]["status"] == "settled"
    key.needed.clear()
    assert bench.teardown(key).results == {"key": "gone"}
    assert bench.cloud.performed[-1] == "delete key"


def test_what_stays_keeps_what_it_refers_to(bench: Bench) -> None:
    key = Keepsake(name="key", stack=STACK)
    vault = Keepsake(name="vault", stack=STACK, needs=(key,), needed=["two copies"])
    bench.provision(key, vault)
    outcome = bench.teardown(key, vault)
    assert outcome.results == {"vault": "kept", "key": "kept"}
    assert outcome.remains == ("thing-2, for two copies", "thing-1, for vault")
    assert "delete" not in " ".join(bench.cloud.performed)


def test_what_left_the_file_and_is_still_used_stays_where_aws_would_not_refuse(bench: Bench) -> None:
    key = Keepsake(name="key", stack=STACK)
    bench.provision(key, thing("door", key))
    assert bench.provision(thing("door", key)).results == {"door": "settled", "key": "kept"}
    assert bench.provision().results["key"] == "gone"


def test_a_create_repeated_by_the_same_run_carries_the_same_token(bench: Bench) -> None:
    bench.cloud.scripts["create"] = Script(["Unreachable"] * 2)
    bench.provision(thing("a"))
    assert len(bench.cloud.tokens) == 3
    assert len(set(bench.cloud.tokens)) == 1


def test_a_create_after_a_deletion_by_others_carries_another_token(bench: Bench) -> None:
    bench.provision(thing("a"))
    del bench.cloud.beings["a"]
    bench.provision(thing("a"))
    assert len(set(bench.cloud.tokens)) == 2


def test_a_newborn_seen_and_deleted_before_it_was_settled_does_not_block_its_step_for_ever(bench: Bench) -> None:
    def die(call: Call) -> None:
        if call.method == "resize_thing":
            raise Killed

    bench.cloud.before = die
    with pytest.raises(Killed):
        bench.provision(thing("a", size=2))
    bench.cloud.before = lambda call: None
    del bench.cloud.beings["a"]
    bench.cloud.remembers = True
    assert bench.provision(thing("a", size=2)).results == {"a": "settled"}
    assert len(set(bench.cloud.tokens)) == 2


def test_a_newborn_deleted_before_it_was_seen_does_not_block_its_step_for_ever(bench: Bench) -> None:
    def spoil(call: Call) -> None:
        if len(bench.cloud.performed) == 1:
            del bench.cloud.beings["a"]

    bench.cloud.after, bench.cloud.remembers = spoil, True
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.cloud.performed == ["create a"] * 3
    assert [bench.cloud.tokens.count(each) for each in dict.fromkeys(bench.cloud.tokens)] == [2, 1]


def test_what_is_left_behind_is_told_only_of_what_is_gone(bench: Bench) -> None:
    chest = Chest(name="a", stack=STACK)
    bench.provision(chest)
    bench.cloud.scripts["delete"] = Script(["AccessDenied"])
    assert bench.teardown(chest).remains == ()
    assert bench.teardown(chest).remains == ("a receipt of thing-1",)


def test_a_protection_that_comes_after_the_first_look_stops_the_step_and_names_its_flag(bench: Bench) -> None:
    chest = Chest(name="a", stack=STACK)
    bench.provision(chest)
    engine = bench.engine()
    sight = engine.look([chest], tearing=True)
    chest.guards.append("--no-guard")
    outcome = engine.teardown(sight)
    assert (codes(outcome), outcome.failures[0].remedy) == ({"a": "Protected"}, "--no-guard")
    assert bench.cloud.performed == ["create a"]


def test_of_what_is_inside_the_journal_keeps_no_word(bench: Bench) -> None:
    chest = Chest(name="a", stack=STACK)
    bench.provision(chest)
    bench.cloud.scripts["delete"] = Script(["AccessDenied"])
    bench.teardown(chest)
    assert bench.written["a"]["calls"][0]["operation"] == "fake.delete_thing"
    assert "diary" not in bench.path.read_text()


def test_a_step_that_is_built_again_after_half_a_teardown_is_not_called_leaving(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.cloud.scripts["delete"] = Script(["AccessDenied"])
    bench.teardown(thing("a"))
    bench.cloud.scripts["resize"] = Script(["AccessDenied"])
    bench.provision(thing("a", size=2))
    assert bench.written["a"]["status"] == "failed"
    bench.cloud.before = lambda call: statuses.append(bench.written["a"]["status"])
    statuses: list[str] = []
    bench.provision(thing("a", size=2))
    assert statuses == ["pending"]


def test_waits_for_one_thing_do_not_shorten_the_patience_for_another(bench: Bench) -> None:
    bench.cloud.slow["a"] = LINGERING * 2
    bench.cloud.scripts["resize"] = Script(["InvalidDBClusterStateFault"])
    assert bench.provision(thing("a", size=2)).results == {"a": "settled"}


def test_gone_in_a_teardown_is_waited_out_while_reads_lag(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.clock.sleep(WINDOW)
    bench.cloud.scripts["delete"] = Script(["InvalidVpcID.NotFound"] * 99)
    until = bench.clock.now() + WINDOW / 2

    def vanish(event: Event) -> None:
        if bench.clock.now() >= until:
            bench.cloud.beings.pop("a", None)

    engine = bench.engine()
    engine.tell = vanish
    assert engine.teardown(engine.look([thing("a")], tearing=True)).results == {"a": "gone"}
    assert bench.cloud.performed.count("delete a") == 1


def test_a_clock_put_back_makes_nothing_lie_ahead(bench: Bench) -> None:
    bench.provision(thing("a"))
    del bench.cloud.beings["a"]
    bench.clock.time -= 3600
    begun = bench.clock.now()
    assert bench.provision(thing("a")).results == {"a": "settled"}
    assert bench.clock.now() - begun <= WINDOW


def test_a_record_of_an_unknown_kind_is_told_and_kept(bench: Bench) -> None:
    bench.provision(thing("a"))
    bench.path.write_text(bench.path.read_text().replace('"Thing"', '"Newfangled"'))
    failures = bench.engine().look([]).failures
    assert [(each.step, each.code) for each in failures] == [("a", "UnknownKind")]


def test_a_signal_within_a_signal_is_harmless(bench: Bench) -> None:
    engine = bench.engine()
    nested = bench.clock.stopped.set
    bench.clock.stopped.set = lambda: (engine.stop(), nested())[1]  # type: ignore[method-assign]
    engine.stop()
    assert bench.clock.stopped.is_set()
