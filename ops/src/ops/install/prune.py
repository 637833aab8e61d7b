"""Removal of installed environments and jars that no clone uses any more.

What is installed is named by the content of the locks, so that every update adds another. Each clone notes at
its starts what it uses.
"""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from common.files import replace_text
from common.settings import ROOT
from ops.install.bootstrap import UV_VERSION
from ops.install.dependencies import digest, jar_folders, joint_folder, superset_environment
from ops.lifecycle.preflight import folder_bytes
from ops.report import Report

INSTALLED = ("env-*", "superset-env-*", "jars/*", "bin/uv-*")
BESIDE = (".lock", ".txt", ".log", ".tmp")  # what an installation leaves beside its folder


def used(cache: Path) -> set[str]:
    """Return the names of what this clone uses of a cache."""
    return {
        f"env-{digest(ROOT / 'uv.lock')}",
        Path(sys.prefix).name,
        superset_environment(cache).name,
        joint_folder(cache).name,
        *(folder.name for folder in jar_folders(cache).values()),
        f"uv-{UV_VERSION}",
    }


def note(cache: Path) -> None:
    """Keep what this clone uses of a cache from being pruned by others.

    A unit of systemd may not write there; the start by hand, which installs everything, could.
    """
    file = cache / "clones" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, "\n".join([str(ROOT), *sorted(used(cache))]))


def used_by_others(cache: Path) -> set[str]:
    """Return the names of what all clones use that are still there; forget those that are gone."""
    names: set[str] = set()
    for file in cache.glob("clones/*"):
        root, *theirs = file.read_text().splitlines() or [""]
        if (Path(root) / "market").exists():
            names.update(theirs)
        else:
            file.unlink()
    return names


def commands() -> Iterator[str]:
    """Yield the command line of every process that may be seen."""
    for process in psutil.process_iter():
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue


def prune(cache: Path, report: Report) -> None:
    """Remove what no clone uses and no process runs from."""
    keep = used(cache) | used_by_others(cache)
    running = "\n".join(commands())
    freed = 0
    for path in sorted(path for pattern in INSTALLED for path in cache.glob(pattern)):
        name = path.name.removesuffix(path.suffix) if path.suffix in BESIDE else path.name
        if name in keep or str(path.with_name(name)) in running:
            continue
        if path.is_dir():
            freed += folder_bytes(path)
            shutil.rmtree(path)
            report(f"Removed {path}.")
        else:
            freed += path.stat().st_size
            path.unlink()
    report(f"{freed / 1024**2:,.0f} MB were freed in {cache}.")
