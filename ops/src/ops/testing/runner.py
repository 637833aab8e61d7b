"""Runs the tests by kind, the cheap ones first."""

import os
import subprocess
import sys
from collections.abc import Sequence

from common.settings import ROOT
from ops.errors import MarketError
from ops.install.dependencies import ensure_chromium, ensure_java
from ops.testing.static import run_static_checks

UNIT = "unit"
# Unit tests share nothing. Two cores are what the smallest host has; a third process works while others wait.
PARALLEL = ("-n", "3", "--dist", "worksteal")
# Threads of numpy would wait for cores that the other processes have, by turning round.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
SEPARATE = ("compose", "compose-faults")  # containers start when the processes of the other tests have ended
MUTATION = "mutation"  # measures the unit tests; the names after it are modules
BY_NAME = frozenset({"compose-faults", "soak"})  # take long, and run only when they are named


def kinds() -> tuple[str, ...]:
    """Return the folders of tests, the cheap ones first."""
    present = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    first = tuple(kind for kind in (UNIT, "integration", "e2e", "faults", *SEPARATE) if kind in present)
    return (*first, *sorted(present.difference(first)))


def pytest_commands(selected: Sequence[str], extra: Sequence[str]) -> list[list[str]]:
    """Return the runs of pytest for some kinds of tests."""
    together = [kind for kind in selected if kind not in (UNIT, *SEPARATE)]
    groups = (
        [UNIT] if UNIT in selected else [],
        together,
        *([kind] for kind in SEPARATE if kind in selected),
    )
    pytest = [sys.executable, "-P", "-m", "pytest"]
    return [
        [*pytest, *(PARALLEL if group == [UNIT] else ()), *(f"tests/{kind}" for kind in group), *extra]
        for group in groups
        if group
    ]


def run(wanted: Sequence[str], extra: Sequence[str]) -> int:
    """Run the tests of some kinds, or the usual ones; return the exit status of the first run that fails.

    The unit tests include the static checks.
    """
    if wanted and wanted[0] == MUTATION:
        from ops.testing import mutation

        return mutation.run(wanted[1:])
    known = kinds()
    unknown = [kind for kind in wanted if kind not in (*known, "all")]
    if unknown:
        raise MarketError(
            f"There were no tests called {unknown[0]!r}; there are {', '.join(known)}, all and {MUTATION}."
        )
    usual = [kind for kind in known if kind not in BY_NAME]
    selected = usual if not wanted or "all" in wanted else wanted
    if set(selected) - {UNIT}:
        os.environ["JAVA_HOME"] = str(ensure_java(print))
    if {"e2e", *SEPARATE}.intersection(selected):
        ensure_chromium(print)
    if UNIT in selected:
        status = run_static_checks()
        if status != 0:
            return status
    for command in pytest_commands(selected, extra):
        print("$", " ".join([command[0].rpartition("/")[2], *command[1:]]), flush=True)
        environ = os.environ | (ONE_THREAD if "tests/unit" in command else {})
        status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
        if status != 0:
            return status
    return 0
