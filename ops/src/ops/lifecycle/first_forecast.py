"""The first forecast of a demo store, so that its pages have one at once."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cassandra.cluster import Session

from common.cassandra import connect
from ops.settings import OpsSettings

# A forecast needs 15 minutes of bars; the last of them is complete a little later.
LEAST_HISTORY = timedelta(minutes=16)
# A newest trade that is younger is no longer a back-dated one.
LARGEST_AGE = timedelta(seconds=30)
# Two hours of back-dated trades are stored in a fraction of this on an idle machine.
WAIT_SECONDS = 180.0
# The job mostly starts Spark, which takes a fraction of this on an idle machine.
RUN_SECONDS = 180.0
POLL_SECONDS = 0.5


class Span(NamedTuple):
    """When a symbol's first and last trade happened (UTC)."""

    first_seen: datetime
    last_seen: datetime


def is_caught_up(spans: Iterable[Span], now: datetime) -> bool:
    """Tell whether every symbol's back-dated trades were stored up to the present."""
    spans = list(spans)
    return bool(spans) and all(
        span.first_seen <= now - LEAST_HISTORY and span.last_seen >= now - LARGEST_AGE for span in spans
    )


def read_spans(session: Session) -> list[Span]:
    """Return the spans of the stored symbols."""
    rows = session.execute("SELECT first_seen, last_seen FROM symbols")
    return [Span(row.first_seen.replace(tzinfo=UTC), row.last_seen.replace(tzinfo=UTC)) for row in rows]


def ensure_forecast(settings: OpsSettings, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Make a forecast where there is none yet; what keeps it from being made is reported, and is no error."""
    session = connect(settings, "ops", settings.cassandra_ops_password)
    try:
        if session.execute("SELECT symbol FROM gbm_forecasts LIMIT 1").one() is not None:
            return
        began = time.monotonic()
        while not is_caught_up(read_spans(session), datetime.now(UTC)):
            if time.monotonic() - began > WAIT_SECONDS:
                report("There is no forecast yet: the history had not arrived; ./market forecast makes one.")
                return
            time.sleep(POLL_SECONDS)
    finally:
        session.cluster.shutdown()
    command = [sys.executable, "-m", "gbm_analysis"]
    try:
        result = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        report(f"There is no forecast yet: it took over {RUN_SECONDS:.0f} s; ./market forecast makes one.")
        return
    if result.returncode != 0:
        said = [line for line in result.stderr.splitlines() if line.strip()]
        report(f"There is no forecast yet: {said[-1] if said else 'the job failed'}")
        return
    report(f"✔ first forecast   {time.monotonic() - began:5.1f} s")
