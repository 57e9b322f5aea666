"""What the documents name exists: tests, files and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def defined() -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    return set(re.findall(r"^\s*def (test_\w+)\(", text, re.MULTILINE))


def test_every_test_that_a_document_names_is_there() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"`(test_\w+)`", path.read_text())}
    assert len(named) > 50
    assert named - defined() == set()


def rows() -> list[int]:
    """Read the numbers of the first column of the table of complaints; ``8-10`` are three."""
    _, _, table = (ROOT / "docs" / "promises.md").read_text().partition("| row |")
    listed: list[int] = []
    for line in table.splitlines()[2:]:
        for each in line.split("|")[1].split(","):
            first, _, last = each.strip().partition("-")
            listed += range(int(first), int(last or first) + 1)
    return listed


def test_every_complaint_is_answered_once() -> None:
    assert sorted(rows()) == [*range(1, 67), 72]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []
