"""The metrics of the hourly service; the runs are other processes, so their figures come from a file."""

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gbm_analysis.outcome import RunOutcome


class Metrics:
    """Counters of the service's own runs, and gauges of the last run whoever started it."""

    def __init__(self, home: Path) -> None:
        self.registry = CollectorRegistry()
        self._runs = Counter(
            "market_gbm_runs", "Runs that the service started", ["result"], registry=self.registry
        )
        for result in ("succeeded", "failed"):
            self._runs.labels(result)
        self.registry.register(_LastRun(home))
        self._succeeded = True

    def count_run(self, succeeded: bool) -> None:
        """Count a run that has ended."""
        self._runs.labels("succeeded" if succeeded else "failed").inc()
        self._succeeded = succeeded

    def health(self) -> str | None:
        """Return why the service is not healthy."""
        return None if self._succeeded else "The last run failed; the log says why."


class _LastRun(Collector):
    def __init__(self, home: Path) -> None:
        self._home = home

    def collect(self) -> Iterator[GaugeMetricFamily]:
        outcome = RunOutcome.read(self._home)
        if outcome is None:
            return
        yield GaugeMetricFamily(
            "market_gbm_last_run_timestamp_seconds", "When the last run ended", outcome.ended
        )
        yield GaugeMetricFamily(
            "market_gbm_last_run_duration_seconds", "How long the last run took", outcome.duration
        )
        symbols = GaugeMetricFamily(
            "market_gbm_last_run_symbols", "Symbols of the last run by result", labels=["result"]
        )
        for result in ("forecast", "refused", "failed"):
            symbols.add_metric([result], getattr(outcome, result))
        yield symbols
        if outcome.newest_forecast is not None:
            yield GaugeMetricFamily(
                "market_gbm_newest_forecast_age_seconds",
                "Age of the newest forecast",
                max(0.0, time.time() - outcome.newest_forecast),
            )
