"""Which tests a run takes."""

import pytest

from common.settings import ROOT
from ops.errors import MarketError
from ops.testing.runner import PARALLEL, kinds, pytest_commands, run


def test_the_kinds_are_the_folders_of_tests_the_cheap_ones_first() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py"))}
    assert set(kinds()) == folders
    assert kinds()[:4] == ("unit", "integration", "e2e", "faults")


def test_unit_tests_run_in_parallel_and_containers_start_when_the_other_tests_have_ended() -> None:
    commands = pytest_commands(["unit", "integration", "compose", "e2e"], ["-k", "x"])
    assert [command[4:] for command in commands] == [
        [*PARALLEL, "tests/unit", "-k", "x"],
        ["tests/integration", "tests/e2e", "-k", "x"],
        ["tests/compose", "-k", "x"],
    ]


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(MarketError, match="'nothing'"):
        run(["nothing"], [])
