"""Services that are stopped (SIGSTOP) while trades come, on a running stack that heals quickly."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil

from collector.journal import journal_ids
from ops.inspection.status import ServiceStatus, services_status
from ops.lifecycle.healing import Healer, read_watches, watch_file
from ops.lifecycle.services import SERVICES, STOP_SECONDS
from ops.lifecycle.supervision import HEALING, Supervisor
from ops.settings import OpsSettings
from stack import ROOT, Stack, wait_until
from topics import journaled, stored

DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"
LOOK_SECONDS = 1.0
# A tenth of the limits of the table of services: the probes' own limits have to fit in.
QUICK = 0.1
LIMIT_SECONDS = 300


@contextmanager
def healing(settings: OpsSettings) -> Iterator[None]:
    """Look after the services of a running stack in place of its own program, which is more patient."""
    supervisor = Supervisor(settings.market_home)
    supervisor.stop(HEALING, STOP_SECONDS)
    ended = threading.Event()
    healer = Healer(settings, SERVICES)

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            healer.look()

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            ended.set()
            looking.result()
            supervisor.start(HEALING)


def stop_during_a_replay(stack: Stack, names: Sequence[str], factor: float = QUICK) -> dict[str, float]:
    """Stop services while trades come; return how many seconds each took until it was ready again.

    Every other service stays as it is, and every trade that was received gets into the table exactly once.
    """
    settings = OpsSettings.load().model_copy(update={"market_healing": factor})
    known = set(journal_ids(stack.home / "journal"))
    with healing(settings), ThreadPoolExecutor(1) as pool:
        before = wait_until(lambda: all_ready(settings), "a stack that is ready", LIMIT_SECONDS)
        watches = read_watches(watch_file(stack.home))
        received = stack.received()
        replaying = pool.submit(stack.market, "replay", str(DEMO), "--speed", "4", check=False)
        wait_until(lambda: stack.received() > received + 200, "some trades", 60)
        pids = {name: int(before[name]["pid"] or 0) for name in names}
        stopped = time.monotonic()
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
        seconds: dict[str, float] = {}

        def are_healed() -> bool:
            for name, status in services_status(settings).items():
                if name in names and name not in seconds and status["ready"] and status["pid"] != pids[name]:
                    seconds[name] = time.monotonic() - stopped
            return seconds.keys() >= set(names)

        wait_until(are_healed, f"{', '.join(names)} to heal", LIMIT_SECONDS + 400 * factor)
        replaying.result(timeout=LIMIT_SECONDS)
        wait_until(
            lambda: all(
                watch.restarts > watches[name].restarts
                for name, watch in read_watches(watch_file(stack.home)).items()
                if name in names
            ),
            "a look at what runs now",
        )
        after = wait_until(lambda: all_ready(settings), "a stack that is ready", LIMIT_SECONDS)
    assert not any(map(psutil.pid_exists, pids.values()))
    for name, status in after.items():
        if name in names:
            assert status["restarts"] > watches[name].restarts, name
            assert f"process {pids[name]}" in str(status["restart_reason"]), name
        elif name != "stream-processor":  # it ends by itself when Kafka or Cassandra goes
            assert status["pid"] == before[name]["pid"], name
    for journal in set(journal_ids(stack.home / "journal")) - known:
        trades = journaled(stack.home / "journal", journal).total()
        wait_until(
            lambda journal=journal, trades=trades: stored(stack, journal) >= trades,  # type: ignore[misc]
            f"the trades of {journal} in Cassandra",
            LIMIT_SECONDS,
        )
        assert stored(stack, journal) == trades
    return seconds


def all_ready(settings: OpsSettings) -> dict[str, ServiceStatus] | None:
    """Return the state of every service once all are ready."""
    statuses = services_status(settings)
    return statuses if all(status["ready"] for status in statuses.values()) else None
