"""Servers and services that run while something is measured, and their CPU time."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.stack import BenchmarkError

POLL_SECONDS = 0.05
# Cassandra writes its memory to disk first.
STOP_SECONDS = 60.0


@contextmanager
def running_process(
    name: str,
    command: Sequence[str | Path],
    environ: Mapping[str, str],
    problem: Callable[[int], str | None] = lambda pid: None,
    start_seconds: float = 0.0,
) -> Iterator[psutil.Process]:
    """Run a command from its being ready on, and stop it at the end; its output goes into its home.

    `problem` returns why the process (by its pid) is not ready, if it is not.
    """
    log_file = Path(environ["MARKET_HOME"]) / f"{name.lower().replace(' ', '-')}.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + start_seconds
            while (reason := problem(process.pid)) is not None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"{name} did not start: {reason}.")
                time.sleep(POLL_SECONDS)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and those it started."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
