"""The tests and the static checks."""

import os
import subprocess
import sys
from collections.abc import Sequence

from common.settings import ROOT
from ops.errors import MarketError
from ops.installation import bring_chromium, bring_java

STATIC = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)

APART = ("compose", "compose-faults")  # containers begin when the processes of the other tests have ended
BY_NAME = frozenset({"compose-faults"})  # takes long, and is run when it is asked for


def kinds() -> tuple[str, ...]:
    """Return the folders of tests, the cheap ones first."""
    found = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    first = tuple(kind for kind in ("unit", "integration", "e2e", "faults", *APART) if kind in found)
    return (*first, *sorted(found.difference(first)))


def commands(chosen: Sequence[str], extra: Sequence[str]) -> list[list[str]]:
    """Return what is run for some kinds of tests; the unit tests bring the static checks with them."""
    binaries = f"{sys.prefix}/bin"
    static = [[f"{binaries}/{name}", *arguments] for name, *arguments in STATIC] if "unit" in chosen else []
    groups = ([kind for kind in chosen if kind not in APART], *([kind] for kind in APART if kind in chosen))
    pytest = [sys.executable, "-P", "-m", "pytest"]
    return [*static, *([*pytest, *(f"tests/{kind}" for kind in group), *extra] for group in groups if group)]


def run(wanted: Sequence[str], extra: Sequence[str]) -> int:
    """Run the tests of some kinds, or the usual ones; return the exit status of the first that fails."""
    known = kinds()
    unknown = [kind for kind in wanted if kind not in (*known, "all")]
    if unknown:
        raise MarketError(f"There were no tests called {unknown[0]!r}; there are {', '.join(known)} and all.")
    usual = [kind for kind in known if kind not in BY_NAME]
    chosen = usual if not wanted or "all" in wanted else wanted
    if set(chosen) - {"unit"}:
        os.environ["JAVA_HOME"] = str(bring_java(print))
    if {"e2e", *APART}.intersection(chosen):
        bring_chromium(print)
    for command in commands(chosen, extra):
        print("$", " ".join([command[0].rpartition("/")[2], *command[1:]]), flush=True)
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status != 0:
            return status
    return 0
