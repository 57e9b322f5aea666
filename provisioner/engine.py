"""A whole stack looked at, brought to its blueprint or to nothing: which steps run, and in which direction.

Knows no resource, prints nothing, and leaves the running to the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner import decide, graph
from provisioner.changes import Recorded
from provisioner.kit import Live, Stack, Step, bind
from provisioner.loop import Run, only_look
from provisioner.terms import Objection
from provisioner.wiring import Failure, Outcome, Wiring


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the first look at a step found."""

    step: Step
    """With the ids of its needs in place."""
    live: Live | None = None
    leftover: bool = False
    """Whether it is ours and no longer in the blueprint."""
    protections: tuple[Objection, ...] = ()
    """What forbids its teardown, where that is what lies ahead."""
    strangers: tuple[Objection, ...] = ()
    """What others have put in or on it, which keeps it alone from going."""
    recorded: Recorded | None = None
    """What the last run left on record of it, if it was of this kind."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The first look at a whole stack."""

    wishes: Mapping[str, Step]
    """As declared, leftovers included, unbound."""
    seen: Mapping[str, Seen]
    needs: graph.Edges
    failures: tuple[Failure, ...] = ()
    """What could not be looked at, or is of no step that can be told."""
    since: int = 0
    """The tick no answer of it is older than."""

    @property
    def leftovers(self) -> frozenset[str]:
        return frozenset(name for name, seen in self.seen.items() if seen.leftover)

    @property
    def _foreign(self) -> frozenset[str]:
        return frozenset(name for name, seen in self.seen.items() if seen.live is not None and seen.live.foreign)

    def used(self, going: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Say of what is to go which steps that stay refer to it, as far as AWS would let it go all the same."""
        staying = sorted(self.needs.keys() - set(going))
        users = {name: tuple(each for each in staying if name in self.needs[each]) for name in going}
        return {name: names for name, names in users.items() if names and not self.wishes[name].guarded}

    def kept(self, going: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Say of what is to go, dependents first, what it stays for, if so: what it stays for keeps what that needs."""
        found = self.used(going)
        for name in reversed(graph.ordered(self.needs)):
            live = self.seen[name].live if name in going else None
            if live is None or live.foreign or live.leaving:
                continue
            strangers = () if self.wishes[name].guarded else self._foreign
            dependents = sorted(each for each in {*found, *strangers} if name in self.needs[each])
            if reasons := (*live.needed_by, *found.get(name, ()), *dependents):
                found[name] = reasons
        return found


@dataclass(kw_only=True)
class Engine(Wiring):
    """Runs over one stack."""

    stopping: bool = False
    kinds: Mapping[str, type[Step]]
    """Every kind of resource that may be ours, by name."""

    def stop(self) -> None:
        """End the run in good order: no new call is started, those under way are recorded.

        Safe in a signal handler, and in one that interrupts another: an Event's lock is not taken twice.
        """
        if not self.stopping:
            self.stopping = True
            self.clock.stopped.set()
            self.inbox.put(None)

    def abandon(self) -> None:
        """End the run at once: what is under way stays without an answer, and the next run looks what came of it."""
        self.stop()
        self.abandoned = True
        self.inbox.put(None)

    def look(
        self,
        steps: Iterable[Step],
        tearing: bool = False,
        lift: Callable[[Step], Step] = lambda step: step,
        fresh: bool = False,
    ) -> Sight:
        """Look at every step, and at what is ours and in no step, in the order of their needs; changes nothing.

        With ``tearing`` all of them are to go, else what is in no step. What hangs on those is looked at too, after
        ``lift`` has put the user's flags into them. With ``fresh`` what was answered before does not count.
        """
        since = self.aws.tick() if fresh else 0
        wishes = {step.name: step for step in steps}
        leftovers, unclear = self._leftovers(wishes, since)
        wishes |= leftovers
        leaving = set(wishes if tearing else leftovers)
        wishes |= {name: lift(wishes[name]) for name in leaving}
        run = Run(self, wishes, graph.edges(wishes.values()), only_look, leaving, since=since)
        run.go()
        seen = {
            name: Seen(
                step=bind(wish, run.ids),
                live=run.courses[name].live,
                leftover=name in leftovers,
                protections=tuple(run.courses[name].burdens.protections),
                strangers=tuple(run.courses[name].burdens.strangers),
                recorded=self._recorded(name, wish.kind),
            )
            for name, wish in wishes.items()
            if name not in leftovers or run.courses[name].live is not None or self.journal.record(name)
        }
        wishes = {name: wishes[name] for name in seen}
        needs = graph.found_edges(wishes.values(), {name: each.live for name, each in seen.items()})
        return Sight(wishes=wishes, seen=seen, needs=needs, failures=(*unclear, *run.failures), since=since)

    def provision(self, sight: Sight) -> Outcome:
        """Bring every step of the blueprint to what is wanted, then tear down what left it."""
        wanted = {name: wish for name, wish in sight.wishes.items() if name not in sight.leftovers}
        run = Run(self, wanted, graph.edges(wanted.values()), decide.toward_wish, since=sight.since)
        outcome = run.go()
        if outcome.failures or outcome.interrupted or not sight.leftovers:
            return outcome
        return outcome + self._tear(sight, sight.leftovers, self.aws.tick())

    def teardown(self, sight: Sight) -> Outcome:
        """Bring everything that is ours to nothing, dependents first."""
        return self._tear(sight, frozenset(sight.wishes), sight.since)

    def _tear(self, sight: Sight, names: frozenset[str], since: int) -> Outcome:
        leaving = {name: sight.wishes[name] for name in reversed(graph.ordered(sight.needs)) if name in names}
        needs = {name: sight.needs[name] & names for name in leaving}
        ids = {name: str(seen.live.id) for name, seen in sight.seen.items() if seen.live is not None}
        run = Run(self, leaving, graph.reversed_edges(needs), decide.toward_nothing, set(leaving), ids=ids, since=since)
        run.used = sight.used(names)
        return run.go()

    def _leftovers(self, wishes: Mapping[str, Step], since: int) -> tuple[dict[str, Step], list[Failure]]:
        """Restore the steps that AWS or the journal know of and the blueprint does not; tell what no step can be."""
        view = self.aws.view(since)
        asked = [(kind, self.workers.submit(_named, kind, view, self.stack)) for kind in self.kinds.values()]
        found = {name: kind for kind, names in asked for name in names.result()}
        unclear = [_unnamed(found.pop(""), self.stack)] if "" in found else []
        for name in self.journal.names():
            record = self.journal.record(name)
            if record is not None and record.kind in self.kinds:
                found.setdefault(name, self.kinds[record.kind])
            elif record is not None:
                unclear.append(_unknown(name, record.kind))
        left = {
            name: kind.restored(name, self.stack, self._saved(name, kind))
            for name, kind in sorted(found.items())
            if name not in wishes
        }
        return left, unclear

    def _recorded(self, name: str, kind: str) -> Recorded | None:
        record = self.journal.record(name)
        if record is None or record.kind != kind:
            return None
        return Recorded(id=record.id, fields=record.fields, finished=record.status == "settled")

    def _saved(self, name: str, kind: type[Step]) -> Mapping[str, Any] | None:
        record = self.journal.record(name)
        return record.fields if record is not None and record.kind == kind.__name__ else None


def _unnamed(kind: type[Step], stack: Stack) -> Failure:
    return Failure(
        step=kind.__name__,
        operation=kind.listing,
        code="Unnamed",
        message=f"a {kind.__name__} has the tags of {stack.name} and not provisioner:step and provisioner:kind",
        remedy="give it back the tags it lost, or take provisioner:stack from it as well",
    )


def _unknown(name: str, kind: str) -> Failure:
    return Failure(
        step=name,
        operation="",
        code="UnknownKind",
        message=f"the state holds {name} of a kind unknown here: {kind}",
        remedy="upgrade provisioner to the version that wrote it, or a later one",
    )


def _named(kind: type[Step], view: Any, stack: Stack) -> list[str]:
    return list(kind.survivors(view, stack))
