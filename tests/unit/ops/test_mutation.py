"""Which modules and tests a mutation run takes, and that it tells a killed mutant from a survivor."""

import gc
import os
from pathlib import Path

import pytest

from common.settings import ROOT
from ops.errors import MarketError
from ops.testing import mutation
from ops.testing.mutation import PURE, Baseline, find_modules, select_tests


@pytest.mark.parametrize("name", PURE)
def test_every_pure_module_is_there_and_has_unit_tests(name: str) -> None:
    assert any(select_tests(module) for module in find_modules(name))


def test_a_module_is_found_by_the_end_of_its_name() -> None:
    assert [module.name for module in find_modules("identity")] == ["common.identity"]


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(MarketError, match="'nothing'"):
        find_modules("nothing")


def test_the_test_of_a_modules_own_name_runs_first() -> None:
    module = find_modules("common.identity")[0]
    assert select_tests(module)[0] == ROOT / Path("tests/unit/common/test_identity.py")


def test_settings_run_the_test_that_finds_them_in_every_component() -> None:
    [module] = find_modules("gbm_analysis.settings")
    found = {path.relative_to(ROOT / "tests" / "unit").as_posix() for path in select_tests(module)}
    assert {"gbm-analysis/test_settings.py", "repository/test_env_example.py"} <= found
    assert "common/test_settings.py" not in found


def test_a_line_runs_the_tests_that_reach_it_the_fastest_first() -> None:
    baseline = Baseline({"slow": 2.0, "fast": 1.0, "other": 0.5}, {1: [""], 5: ["slow", "fast"]})
    assert baseline.reaching(range(5, 6)) == ["fast", "slow"]
    assert baseline.reaching(range(1, 2)) == ["other", "fast", "slow"]  # the import concerns every test
    assert baseline.reaching(range(7, 8)) == []


def test_a_fork_frees_nothing_of_its_parent(tmp_path: Path) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            (tmp_path / f"freed by {os.getpid()}").touch()

    def collect(_: Path) -> int:
        gc.collect()
        return 0

    Cycle()
    child = mutation.fork(collect, tmp_path)
    assert os.waitpid(child, 0) == (child, 0)
    assert not (tmp_path / f"freed by {child}").exists()


def test_a_run_tells_killed_mutants_from_survivors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "demo" / "src"
    tests = tmp_path / "tests" / "unit" / "demo"
    for folder in (sources / "demo_calendar", tests):
        folder.mkdir(parents=True)
    (sources / "demo_calendar" / "__init__.py").touch()
    code = sources / "demo_calendar" / "weeks.py"
    code.write_text(
        "def is_long(days):\n    return days > 7\n\n\ndef unused(days):\n    return days + days\n"
    )
    (tests / "test_weeks.py").write_text(
        "from demo_calendar.weeks import is_long\n\n\n"
        "def test_longer_than_a_week():\n    assert is_long(9) and not is_long(1)\n"
    )
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    monkeypatch.setattr(mutation, "source_folders", lambda: [sources])
    monkeypatch.setattr(mutation, "packages", lambda: ["demo_calendar"])
    monkeypatch.syspath_prepend(str(sources))

    [module] = find_modules("weeks")
    result = mutation.run_module(module, tmp_path)
    assert (result.killed, result.mutants) == (1, 4)
    assert [survivor.changed(code.read_text())[2] for survivor in result.survivors] == [
        "return days >= 7",
        "return days > 8",
        "return days - days",
    ]
