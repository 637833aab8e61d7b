"""The first forecast of a demo store, so that its pages have one at once."""

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cassandra.cluster import Session

from ops.clients import cassandra_session
from ops.errors import MarketError
from ops.report import Report
from ops.settings import OpsSettings

# A forecast needs 15 minutes of bars; the last of them is complete a little later.
MIN_HISTORY = timedelta(minutes=16)
# A newest trade that is younger is no longer a back-dated one.
MAX_AGE = timedelta(seconds=30)
# Two hours of back-dated trades are stored in a fraction of this on an idle machine.
HISTORY_SECONDS = 180.0
# The job mostly starts Spark, which takes a fraction of this on an idle machine.
RUN_SECONDS = 180.0
POLL_SECONDS = 0.5


class Span(NamedTuple):
    """When a symbol's first and last trade happened (UTC)."""

    first_seen: datetime
    last_seen: datetime


def is_caught_up(spans: Iterable[Span], now: datetime) -> bool:
    """Return whether every symbol's back-dated trades were stored up to the present."""
    spans = list(spans)
    return bool(spans) and all(
        span.first_seen <= now - MIN_HISTORY and span.last_seen >= now - MAX_AGE for span in spans
    )


def read_spans(session: Session) -> list[Span]:
    """Return the spans of the stored symbols."""
    rows = session.execute("SELECT first_seen, last_seen FROM symbols")
    return [Span(row.first_seen.replace(tzinfo=UTC), row.last_seen.replace(tzinfo=UTC)) for row in rows]


def ensure_forecast(settings: OpsSettings, environ: Mapping[str, str], report: Report) -> None:
    """Make a forecast where there is none yet; what prevents it is reported, and is no error."""
    started = time.monotonic()
    try:
        if has_forecast(settings):
            return
        wait_for_history(settings)
        run_forecast(environ)
    except MarketError as error:
        report(f"There is no forecast yet: {error} ./market forecast makes one.")
        return
    report(f"✔ first forecast   {time.monotonic() - started:5.1f} s")


def has_forecast(settings: OpsSettings) -> bool:
    """Return whether the store holds a forecast."""
    with cassandra_session(settings) as session:
        return session.execute("SELECT symbol FROM gbm_forecasts LIMIT 1").one() is not None


def wait_for_history(settings: OpsSettings) -> None:
    """Wait until the back-dated trades are stored; raise MarketError when that takes too long."""
    deadline = time.monotonic() + HISTORY_SECONDS
    with cassandra_session(settings) as session:
        while not is_caught_up(read_spans(session), datetime.now(UTC)):
            if time.monotonic() > deadline:
                raise MarketError(f"the history was not stored within {HISTORY_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)


def run_forecast(environ: Mapping[str, str]) -> None:
    """Run the job once; raise MarketError when it fails."""
    command = [sys.executable, "-m", "gbm_analysis"]
    try:
        result = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise MarketError(f"the job took more than {RUN_SECONDS:.0f} s.") from None
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise MarketError(lines[-1] if lines else "the job failed without saying why.")
