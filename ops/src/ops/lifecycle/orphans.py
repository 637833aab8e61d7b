"""Processes that outlived their supervisor: found by the home in their environment, and ended."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from ops.errors import MarketError
from ops.lifecycle.services import FLUSH_SECONDS

MARK = "MARKET_SUPERVISED"
# As long as the supervisor gives the slowest service, which flushes what it holds in memory.
END_SECONDS = float(FLUSH_SECONDS)
# A killed process ends as soon as the disk lets go of it.
KILL_SECONDS = 10.0
# Not felt in an end that takes seconds.
POLL_SECONDS = 0.1


def belongs(environ: Mapping[str, str], home: Path) -> bool:
    """Return whether a process with this environment was started by the supervisor of a home."""
    return environ.get(MARK) == str(home)


def find_orphans(home: Path) -> list[psutil.Process]:
    """Return the supervised processes of a home, without this one and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    orphans = []
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        try:
            if not has_ended(process) and belongs(process.environ(), home):
                orphans.append(process)
        except (psutil.Error, OSError):
            continue
    return orphans


def describe(processes: list[psutil.Process]) -> str:
    """Name processes for the user."""
    names = []
    for process in processes:
        try:
            names.append(f"{process.name()} (pid {process.pid})")
        except psutil.Error:
            continue
    return ", ".join(names)


def end(processes: list[psutil.Process], end_seconds: float = END_SECONDS) -> None:
    """End processes, gently first; raise MarketError when one stays."""
    for process in processes:
        _signal(process, "terminate")
        _signal(process, "resume")
    alive = wait(processes, end_seconds)
    for process in alive:
        _signal(process, "kill")
    alive = wait(alive, KILL_SECONDS)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise MarketError(
            f"The processes {pids} of an earlier run could not be ended; end them and try again."
        )


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of processes; return those that have not ended in time."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if not has_ended(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(POLL_SECONDS)
    return alive


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie has, and may stay where nobody reaps it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, action: str) -> None:
    try:
        getattr(process, action)()
    except psutil.NoSuchProcess:
        return
