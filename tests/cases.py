"""A step as a table: what it wants, what AWS tells of it, and which calls follow; pure, no AWS, no engine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.kit import Ambiguous, Call, Live, Stack, Step, tags_of, walk
from steps.tags import pairs
from tests.model import validate

STACK = Stack(project="shop", environment="dev", account="123456789012", region="eu-west-1")


@dataclass(frozen=True)
class Told:
    """Answer reads from tables: listings by their operation, any other question by the whole of it."""

    listings: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    questions: Mapping[Call, Any] = field(default_factory=dict)

    def ask(self, operation: str, /, **params: Any) -> Mapping[str, Any] | None:
        answer: Mapping[str, Any] | None = self._answer(Call(operation, **params), None)
        return answer

    def items(self, operation: str, /, **params: Any) -> Sequence[Mapping[str, Any]]:
        answer: Sequence[Mapping[str, Any]] = self._answer(Call(operation, **params), ())
        return answer

    def ours(self, operation: str, stack: Stack) -> Sequence[Mapping[str, Any]]:
        return [item for item in self.listings.get(operation, ()) if stack.owns(tags_of(item))]

    def mine(
        self, operation: str, step: Step, dead: Mapping[str, Collection[str]] | None = None
    ) -> Mapping[str, Any] | None:
        final = (dead or {}).items()
        alive = [item for item in self.ours(operation, step.stack) if not any(item[k] in v for k, v in final)]
        found = [item for item in alive if step.claims(tags_of(item))]
        if len(found) > 1:
            raise Ambiguous(step.name, [str(item) for item in found])
        return found[0] if found else None

    def _answer(self, question: Call, nothing: Any) -> Any:
        validate(question)
        return self.questions.get(question, nothing)


@dataclass(frozen=True)
class Case:
    """One kind of step: a specification, AWS's answers where all is as wanted, and what is said."""

    step: Step
    aws: Told
    absent: str
    teardown: str
    off: Mapping[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict)
    """What else is found, and the calls that put it right."""

    def found(self) -> Live:
        live = self.step.observe(self.aws)
        assert live is not None
        return live


def tagged(step: Step, **item: Any) -> dict[str, Any]:
    return {**item, "Tags": pairs(step)}


def described(step: Step, **item: Any) -> Told:
    return Told({step.listing: [tagged(step, **item)]})


def question(operation: str, **filters: list[str]) -> Call:
    named = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    return Call(operation, Filters=named)


def printed(calls: Iterable[Call | tuple[Call, ...]]) -> str:
    """Write one call a line, those that may run at once behind ``&``, and a line for each rule it is about.

    The tags of newborns, the same for all kinds, are left out.
    """
    lines = []
    for each in calls:
        assert each, "nothing to call is said by no call, not by an empty tuple"
        for call in each if isinstance(each, tuple) else (each,):
            validate(call)
            shown = {k: v for k, v in call.params.items() if k not in ("TagSpecifications", "IpPermissions")}
            lines.append(f"{'& ' if isinstance(each, tuple) else ''}{Call(call.operation, **shown)!r}")
            lines += [f"- {' '.join(map(str, walk(entry)))}" for entry in call.params.get("IpPermissions", ())]
    return "\n".join(lines)


def golden(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def flat(calls: Iterable[Call | tuple[Call, ...]]) -> Iterator[Call]:
    for each in calls:
        yield from each if isinstance(each, tuple) else (each,)


def said(calls: Iterator[Call | tuple[Call, ...]]) -> list[str]:
    """Write the calls of a batch a line."""
    lines = []
    for batch in calls:
        together = batch if isinstance(batch, tuple) else (batch,)
        for call in together:
            validate(call)
        lines.append(" | ".join(map(repr, together)))
    return lines
