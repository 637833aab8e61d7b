"""The documents name only files that exist, and list all that they promise to list."""

import re
from pathlib import Path

import pytest

from common.settings import ROOT

LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
CODE = re.compile(r"`([^`\s]+)`")
FILE = re.compile(r"[\w.-]+(/[\w.-]+)+\.(py|cql|csv|avsc|yml|yaml|toml|properties|sh|md)")
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)


def names(document: Path) -> set[str]:
    """Return the files that a document names in code, by their path from the root."""
    return {word for word in CODE.findall(document.read_text()) if FILE.fullmatch(word)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = {target for target, _ in LINK.findall(document.read_text()) if ":" not in target}
    assert {target for target in links if not (document.parent / target).exists()} == set()


@pytest.mark.parametrize("name", ["architecture.md", "how-to.md"])
def test_every_file_that_a_guide_names_exists(name: str) -> None:
    named = names(ROOT / "docs" / name)
    assert len(named) >= 5
    assert {file for file in named if not (ROOT / file).exists()} == set()


def test_the_index_of_the_decisions_lists_each_with_its_title() -> None:
    index = (DECISIONS / "README.md").read_text()
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    assert records
    rows = [
        f"| {path.name[:4]} | [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name}) |"
        for path in records
    ]
    assert [row for row in rows if row not in index.splitlines()] == []


def test_every_component_has_a_readme() -> None:
    components = [path.parent for path in ROOT.glob("*/src")]
    assert [path.name for path in components if not (path / "README.md").exists()] == []


def test_the_folders_that_the_readme_names_are_there() -> None:
    """A new component need not be in it: what a component is stands in its own README."""
    table = (ROOT / "README.md").read_text().partition("| folder |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in CODE.findall("|".join(row.split("|")[:2]))}
    assert {"collector", "stream-processor", "gbm-analysis"} <= named
    assert {name for name in named if not (ROOT / name).is_dir()} == set()
