"""Mutation testing: how many small defects of the pure modules the unit tests notice.

Every mutant runs in a fork of this process, which has imported all libraries already, and runs only the tests
that reach its line. No file is changed: an import hook hands out the changed source.
"""

import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from common.settings import ROOT
from ops.errors import MarketError
from ops.testing.mutants import Mutant, mutants
from ops.testing.static import packages, source_folders

# The modules without servers in them. A package's name stands for its modules.
PURE = (
    "collector.activity",
    "collector.backoff",
    "collector.complaints",
    "collector.connection",
    "collector.duplicates",
    "collector.encoding",
    "collector.event_log",
    "collector.finnhub",
    "collector.journal",
    "collector.last_seen",
    "collector.line_file",
    "collector.market_hours",
    "collector.message",
    "collector.producer",
    "collector.publisher",
    "collector.receiver",
    "collector.retention",
    "collector.router",
    "collector.tickers",
    "collector.websocket_frames",
    "common.frames",
    "common.gbm",
    "common.identity",
    "common.recording",
    "common.settings",
    "gbm_analysis.evaluation",
    "gbm_analysis.judgement",
    "gbm_analysis.metrics",
    "gbm_analysis.outcome",
    "gbm_analysis.planning",
    "gbm_analysis.records",
    "gbm_analysis.scoring",
    "gbm_analysis.sessions",
    "gbm_analysis.settings",
    "gbm_analysis.tasks",
    "ops.data.archive",
    "ops.data.backup",
    "ops.data.replay",
    "ops.data.stall_detector",
    "ops.lifecycle.supervision",
    "ops.settings",
    "stream_processor.offsets",
    "stream_processor.windows",
    "streamlit_pages.candles",
    "streamlit_pages.comparison",
    "streamlit_pages.record",
    "streamlit_pages.scorecard",
    "streamlit_pages.simulation",
    "superset_dashboards.charts",
    "superset_dashboards.layout",
    "superset_dashboards.partitions",
)
REQUIRED_SHARE = 0.85
# Tests that find modules of a name in every component, instead of importing them.
FINDERS = {"settings": "test_env_example"}
PROCESSES = 2
# A mutant may be slow without being endless: a busy machine runs the same tests several times slower.
TIMEOUT_FACTOR = 5.0
TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.01
# A test that a mutant keeps from being found by its name decides nothing: its file is run whole.
USAGE_ERROR = 4
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation")


class Module(NamedTuple):
    """A module of the project: its dotted name and its file."""

    name: str
    path: Path


@dataclass
class Baseline:
    """What the tests of a module do without a mutant."""

    tests: dict[str, float] = field(default_factory=dict)  # seconds by node id
    reached: dict[int, list[str]] = field(default_factory=dict)  # node ids by line; "" is the import
    libraries: list[str] = field(default_factory=list)  # modules of others that the tests import

    def reaching(self, lines: range) -> list[str]:
        """Return the tests that run any of some lines, the fastest first."""
        names = {name for line in lines for name in self.reached.get(line, ())}
        return sorted(self.tests if "" in names else names, key=lambda name: self.tests.get(name, 0.0))


class Attempt(NamedTuple):
    """A mutant that runs, until when it may, and whether it runs against every test of its module."""

    mutant: Mutant
    deadline: float
    is_last: bool


class Result(NamedTuple):
    """How many mutants of a module were killed, and which were not."""

    module: Module
    killed: int
    survivors: list[Mutant]
    seconds: float

    @property
    def mutants(self) -> int:
        """Return the number of mutants."""
        return self.killed + len(self.survivors)


def run(names: Sequence[str]) -> int:
    """Test the named modules, or all pure ones; print the share killed; return 1 when it is too low."""
    modules = [module for name in names or PURE for module in find_modules(name)]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for module in dict.fromkeys(modules):
            result = run_module(module, Path(folder))
            results.append(result)
            print(report(result), flush=True)
    killed, total = sum(result.killed for result in results), sum(result.mutants for result in results)
    share = killed / total if total else 1.0
    print(f"{killed} of {total} mutants were killed: {share:.1%} (required: {REQUIRED_SHARE:.0%})")
    return int(share < REQUIRED_SHARE)


def find_modules(name: str) -> list[Module]:
    """Return the modules that a dotted name, its end (`frames`) or a package's name means."""
    wanted = f".{name}."
    found = []
    for folder in source_folders():
        for path in sorted(folder.rglob("*.py")):
            dotted = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            if wanted in f".{dotted}." and "." in dotted:
                found.append(Module(dotted, path))
    if not found:
        raise MarketError(f"There is no module called {name!r}; without a name, all pure modules are tested.")
    return found


def select_tests(module: Module) -> list[Path]:
    """Return the unit tests that import or find a module, the one of its own name first."""
    parent, _, last = module.name.rpartition(".")
    imports = (f"import {module.name}\n", f"import {module.name} ", f"from {module.name} import")
    files = [
        path
        for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
        if path.stem == FINDERS.get(last)
        or any(statement in path.read_text() for statement in imports)
        or f"from {parent} import {last}" in path.read_text()
    ]
    return sorted(files, key=lambda path: path.stem != f"test_{last}")


def run_module(module: Module, folder: Path) -> Result:
    """Run every mutant of one module.

    A mutant that survives the tests that reach its line runs against all of them: what an earlier test has
    cached is reached by that test only.
    """
    started = time.monotonic()
    source = module.path.read_text(encoding="utf-8")
    tests = select_tests(module)
    baseline = measure(module, tests, folder) if tests else Baseline()
    for name in baseline.libraries:
        with contextlib.suppress(Exception):  # what does not load outside of its test is loaded in each fork
            importlib.import_module(name)
    everything = [str(path) for path in tests]
    running: dict[int, Attempt] = {}
    killed, survivors = 0, []

    def start(mutant: Mutant, names: Sequence[str], is_last: bool) -> None:
        expected = sum(baseline.tests.values() if is_last else (baseline.tests[name] for name in names))
        child = fork(lambda home: _run_mutant(module, mutant, names, home), folder)
        deadline = time.monotonic() + TIMEOUT_SECONDS + TIMEOUT_FACTOR * expected
        running[child] = Attempt(mutant, deadline, is_last)

    pending = mutants(source)
    retries: list[Mutant] = []
    exhausted = False
    while running or retries or not exhausted:
        if len(running) < PROCESSES and retries:
            start(retries.pop(), everything, is_last=True)
        elif len(running) < PROCESSES and not exhausted:
            mutant = next(pending, None)
            if mutant is None:
                exhausted = True
            elif reaching := baseline.reaching(mutant.lines):
                is_last = len(reaching) == len(baseline.tests)
                start(mutant, everything if is_last else reaching, is_last)
            else:
                survivors.append(mutant)
        else:
            time.sleep(POLL_SECONDS)
        for child, code in list(_ended(running)):
            attempt = running.pop(child)
            if code not in (0, USAGE_ERROR):
                killed += 1
            elif attempt.is_last:
                survivors.append(attempt.mutant)
            else:
                retries.append(attempt.mutant)
    survivors.sort(key=lambda mutant: mutant.lines[0])
    return Result(module, killed, survivors, time.monotonic() - started)


def report(result: Result) -> str:
    """Return the share killed and the survivors with their places."""
    path = result.module.path.relative_to(ROOT)
    source = result.module.path.read_text(encoding="utf-8")
    share = result.killed / result.mutants if result.mutants else 1.0
    head = (
        f"{result.module.name}: {result.killed} of {result.mutants} killed, {share:.0%}, "
        f"{result.seconds:.0f} s"
    )
    return "\n".join((head, *(_describe(path, survivor, source) for survivor in result.survivors)))


def _describe(path: Path, mutant: Mutant, source: str) -> str:
    line, before, after = mutant.changed(source)
    operator = mutant.operator.rpartition("/")[2]
    return f"  survived {path}:{line}: {operator}\n    - {before}\n    + {after}"


def fork(work: Callable[[Path], int], folder: Path) -> int:
    """Run `work` in a process group of its own, silently, with a home of its own; return its id."""
    home = Path(tempfile.mkdtemp(dir=folder))
    child = os.fork()
    if child:
        return child
    status = 1
    gc.freeze()  # keeps memory shared, and frees nothing of the parent: librdkafka's objects would crash
    try:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        status = work(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os._exit(status)


def measure(module: Module, tests: Sequence[Path], folder: Path) -> Baseline:
    """Run the tests without a mutant; raise MarketError when they fail."""
    answer = folder / "baseline.json"
    answer.unlink(missing_ok=True)
    child = fork(lambda home: _run_baseline(module, tests, home, answer), folder)
    _, status = os.waitpid(child, 0)
    if status != 0:
        names = " ".join(str(path.relative_to(ROOT)) for path in tests)
        raise MarketError(f"The tests of {module.name} fail without a mutation: run pytest {names}.")
    read = json.loads(answer.read_text())
    reached = {int(line): names for line, names in read["reached"].items()}
    return Baseline(read["tests"], reached, read["libraries"])


def _ended(running: Mapping[int, Attempt]) -> Iterator[tuple[int, int]]:
    """Yield the processes that have ended with their exit code; end those that take too long."""
    for child, attempt in running.items():
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        is_late = not ended and time.monotonic() > attempt.deadline
        if ended or is_late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # also what its tests have started
        if is_late:
            os.waitpid(child, 0)
            code = -signal.SIGKILL
        if ended or is_late:
            yield child, code


def _prepare() -> None:
    """Forget the project's modules, and make runs repeatable."""
    import hypothesis

    project = set(packages())
    for name in list(sys.modules):
        if name.partition(".")[0] in project:
            del sys.modules[name]
    hypothesis.settings.register_profile(
        "mutation",
        database=None,
        deadline=None,
        derandomize=True,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),  # no time for smaller examples
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    os.chdir(ROOT)


def _run_mutant(module: Module, mutant: Mutant, tests: Sequence[str], home: Path) -> int:
    import pytest

    _prepare()
    sys.meta_path.insert(0, _Finder(module, mutant.source))
    return int(pytest.main([*PYTEST, f"--basetemp={home}", *tests]))


def _run_baseline(module: Module, tests: Sequence[Path], home: Path, answer: Path) -> int:
    import coverage
    import pytest

    _prepare()
    measured = coverage.Coverage(data_file=None, config_file=False, include=[str(module.path)])
    recorder = _Recorder(measured)
    measured.start()
    status = int(pytest.main([*PYTEST, f"--basetemp={home}", *map(str, tests)], plugins=[recorder]))
    measured.stop()
    libraries = [
        name for name, loaded in list(sys.modules.items()) if Path(sys.prefix) in _file(loaded).parents
    ]
    found = {
        "tests": recorder.seconds,
        "reached": measured.get_data().contexts_by_lineno(str(module.path)),
        "libraries": libraries,
    }
    answer.write_text(json.dumps(found))
    return status


def _file(module: ModuleType) -> Path:
    return Path(getattr(module, "__file__", None) or "/")


class _Recorder:
    """A pytest plugin that notes the seconds of each test and tells coverage which one runs."""

    def __init__(self, measured: Any) -> None:
        self._measured = measured
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._measured.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration


class _Loader(SourceFileLoader):
    """Loads a module from another source than its file has."""

    def __init__(self, module: Module, source: str) -> None:
        super().__init__(module.name, str(module.path))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds the mutant in place of its module."""

    def __init__(self, module: Module, source: str) -> None:
        self._module = module
        self._source = source

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._module.name:
            return None
        package = [str(self._module.path.parent)] if self._module.path.stem == "__init__" else None
        return spec_from_file_location(
            fullname,
            self._module.path,
            loader=_Loader(self._module, self._source),
            submodule_search_locations=package,
        )
