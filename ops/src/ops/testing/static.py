"""The static checks: ruff, mypy, and who may import whom, over every component found in the tree."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from common.settings import ROOT

SHARED = "common"
# These start, inspect or measure every component, and no component imports them.
OUTSIDE = {"ops", "benchmarks"}
CONTRACTS = """[importlinter]
root_packages = {all_packages}

[importlinter:contract:components]
name = Components do not import each other
type = independence
modules = {components}

[importlinter:contract:shared]
name = {shared} imports no component
type = forbidden
source_modules = {shared}
forbidden_modules = {others}
"""


def source_folders() -> list[Path]:
    """Return the source folder of every component."""
    return sorted(ROOT.glob("*/src"))


def packages() -> list[str]:
    """Return the name of every package of the project."""
    return sorted(path.parent.name for folder in source_folders() for path in folder.glob("*/__init__.py"))


def import_contracts(names: Iterable[str]) -> str:
    """Return import-linter's configuration for packages of these names."""
    names = list(names)

    def listed(excluded: set[str]) -> str:
        return "".join(f"\n    {name}" for name in names if name not in excluded)

    return CONTRACTS.format(
        shared=SHARED,
        all_packages=listed(set()),
        components=listed({SHARED} | OUTSIDE),
        others=listed({SHARED}),
    )


def run_static_checks() -> int:
    """Run every check; return the exit status of the first that fails."""
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(str(folder) for folder in source_folders())}
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as contracts:
        contracts.write(import_contracts(packages()))
        contracts.flush()
        for command in (
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy", *(part for name in packages() for part in ("--package", name))),
            ("lint-imports", "--config", contracts.name),
        ):
            print("$", " ".join(command), flush=True)
            binary = f"{sys.prefix}/bin/{command[0]}"
            status = subprocess.run([binary, *command[1:]], cwd=ROOT, env=environment, check=False).returncode
            if status != 0:
                return status
    return 0
