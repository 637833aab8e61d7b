"""The layout of the repository."""

import importlib.util
import os
import subprocess
import sys

from common.settings import ROOT


def test_no_folder_at_the_top_is_a_package() -> None:
    """Such a file would shadow a library of the same name, as `cassandra`, `kafka` and `superset` have."""
    assert [path.parent.name for path in ROOT.glob("*/__init__.py")] == []


def test_the_libraries_are_found_from_the_root() -> None:
    script = "import cassandra, streamlit; print(cassandra.__file__, streamlit.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert str(ROOT) not in done.stdout.replace(sys.prefix, "")
    assert importlib.util.find_spec("cassandra") is not None
