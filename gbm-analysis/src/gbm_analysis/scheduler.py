"""The hourly service: a light process that starts the job each hour, so that no JVM waits in between."""

import logging
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.heartbeat import write_heartbeat
from common.metrics import MetricsServer
from gbm_analysis.metrics import Metrics
from gbm_analysis.settings import GbmSettings

SERVICE = "gbm-analysis"
HEARTBEAT_SECONDS = 5.0
TIME_LIMIT_SECONDS = 600.0
# At the start, the rest of the stack goes first; at the full hour, its last bar is stored by then.
START_DELAY = timedelta(seconds=60)
HOUR_DELAY = timedelta(seconds=20)
RETRY_DELAY = timedelta(minutes=2)

log = logging.getLogger("gbm_analysis")


def next_run(now: datetime, succeeded: bool) -> datetime:
    """Return when to run after a run that ended `now`: past the next full hour, sooner when it failed."""
    due = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) + HOUR_DELAY
    return due if succeeded else min(due, now + RETRY_DELAY)


def run_every_hour(settings: GbmSettings) -> None:
    """Run the scheduled job now and then every hour, and serve metrics, until SIGTERM or SIGINT.

    The first run makes up for the last full hour, where its forecast is missing. Raises MetricsError when the
    port of the metrics is taken.
    """
    home = settings.market_home
    metrics = Metrics(home)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    runs = failures = 0
    due = datetime.now(UTC) + START_DELAY
    with MetricsServer(
        metrics.registry,
        metrics.health,
        host=settings.metrics_listen,
        port=settings.gbm_analysis_metrics_port,
        setting="GBM_ANALYSIS_METRICS_PORT",
    ):
        while True:
            write_heartbeat(home, SERVICE, ready=True, runs=runs, failures=failures, next_run=due.timestamp())
            if stopped.wait(HEARTBEAT_SECONDS):
                return
            if datetime.now(UTC) < due:
                continue
            succeeded = _run_job(home, stopped, runs, failures)
            runs, failures = runs + 1, failures + (not succeeded)
            metrics.count_run(succeeded)
            due = next_run(datetime.now(UTC), succeeded)


def _run_job(home: Path, stopped: threading.Event, runs: int, failures: int) -> bool:
    job = subprocess.Popen([sys.executable, "-m", "gbm_analysis", "--scheduled"])
    end = time.monotonic() + TIME_LIMIT_SECONDS
    while not stopped.is_set() and time.monotonic() < end:
        write_heartbeat(home, SERVICE, ready=True, runs=runs, failures=failures, running=job.pid)
        try:
            return job.wait(HEARTBEAT_SECONDS) == 0
        except subprocess.TimeoutExpired:
            continue
    job.kill()
    job.wait()
    if not stopped.is_set():
        log.error("The forecast took over %.0f s and was stopped.", TIME_LIMIT_SECONDS)
    return False
