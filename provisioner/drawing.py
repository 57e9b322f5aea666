"""Who waits for whom, drawn: as a tree of text, for Mermaid and for Graphviz; knows no AWS and prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner import graph
from provisioner.kit import Step
from provisioner.words import clean, joined


def tree(steps: Sequence[Step]) -> str:
    """Draw who waits for whom: a tree with every step once, under the need that is settled last."""
    needs = graph.edges(steps)
    levels: dict[str, int] = {}
    for name in graph.ordered(needs):
        levels[name] = max((levels[need] + 1 for need in needs[name]), default=0)
    place = {step.name: (levels[step.name], at) for at, step in enumerate(steps)}
    parents = {name: max(needs[name], key=place.__getitem__, default=None) for name in place}
    above: dict[str, set[str]] = {}
    for name in sorted(place, key=place.__getitem__):
        parent = parents[name]
        above[name] = {parent, *above[parent]} if parent is not None else set()

    def titled(step: Step) -> str:
        beside = sorted(needs[step.name] - above[step.name], key=place.__getitem__)
        return f"{step.name} ({step.kind})" + (f", also needs {', '.join(beside)}" if beside else "")

    def branch(parent: str | None, margin: str) -> Iterator[str]:
        twigs = [step for step in steps if parents[step.name] == parent]
        for step in twigs:
            last = step is twigs[-1]
            fork, below = ("", "") if parent is None else ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield f"{margin}{fork}{titled(step)}"
            yield from branch(step.name, margin + below)

    head = "Each step starts when the one above it is settled, and whatever it also needs."
    return joined([head, "", *branch(None, "")])


def mermaid(steps: Sequence[Step]) -> str:
    """Draw a flowchart for Mermaid, which Markdown of many sites shows: an arrow leads to what starts afterwards."""
    number = {step.name: f"s{at}" for at, step in enumerate(steps)}
    boxes = [f'  {number[step.name]}["{_entities(step.name)}<br>{_entities(step.kind)}"]' for step in steps]
    arrows = [f"  {number[need]} --> {number[name]}" for need, name in _arrows(steps)]
    return joined(["flowchart TD", *boxes, *arrows])


def dot(steps: Sequence[Step]) -> str:
    """Draw a graph for Graphviz: an arrow leads to what starts afterwards."""
    boxes = [f"  {_quoted(step.name)} [label={_quoted(step.name, step.kind)}];" for step in steps]
    arrows = [f"  {_quoted(need)} -> {_quoted(name)};" for need, name in _arrows(steps)]
    return joined(["digraph stack {", "  node [shape=box];", *boxes, *arrows, "}"])


def _arrows(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    needs = graph.edges(steps)
    order = {step.name: at for at, step in enumerate(steps)}
    yield from ((need, step.name) for step in steps for need in sorted(needs[step.name], key=order.__getitem__))


def _entities(text: str) -> str:
    """Write everything that could mean something to Mermaid or HTML as the entity code Mermaid knows."""
    return "".join(char if char.isalnum() or char in " -_." else f"#{ord(char)};" for char in clean(text))


def _quoted(*lines: str) -> str:
    """Write a text as Graphviz reads it between quotes, where a backslash escapes; lines are broken by one."""
    escaped = (clean(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
