"""The stream processor's metrics; counters run since the process started."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "market_stream_processor"
BATCH_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
LATENCY_SECONDS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

Lag = Callable[[], Mapping[int, int]]
"""Return for each partition how many messages are not processed yet; raise KafkaException."""


class Metrics:
    """What the queries count, in threads of their own; `problem` says why the process is not healthy."""

    def __init__(self) -> None:
        self.problem: str | None = "it was not ready yet"
        self.registry = CollectorRegistry()
        self.trades_stored = self._counter("trades_stored", "Trades written to the table of trades")
        self.bars_written = self._counter("bars_written", "Bars written, again ones too")
        self.late = self._counter(
            "late", "Trades whose window had a bar already and ended more than a minute before"
        )
        self.dead_lettered = self._counter("dead_lettered", "Trades, messages and feed events refused")
        self.latency = Latency()
        self.registry.register(self.latency)
        self._batches = Histogram(
            f"{PREFIX}_batch_seconds",
            "How long the work for a batch took",
            ["query"],
            buckets=BATCH_SECONDS,
            registry=self.registry,
        )
        self._last_batch = Gauge(
            f"{PREFIX}_last_batch_timestamp_seconds",
            "When a query's last batch ended",
            ["query"],
            registry=self.registry,
        )

    def add_batch(self, query: str, seconds: float) -> None:
        """Note a batch that ended now."""
        self._batches.labels(query).observe(seconds)
        self._last_batch.labels(query).set_to_current_time()

    def watch_lag(self, lags: Mapping[str, Lag]) -> None:
        """Ask for the lag of each query whenever the metrics are read."""
        self.registry.register(_Lags(lags))

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, registry=self.registry)


class Latency(Collector):
    """From a trade's receipt by the collector until its row was stored, as a histogram over trades."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trades = [0.0] * (len(LATENCY_SECONDS) + 1)
        self._seconds = 0.0

    def add(self, trades: int, latencies: Sequence[float]) -> None:
        """Count trades over latencies (s), each of which is that of an equal part of them."""
        share = trades / max(len(latencies), 1)
        with self._lock:
            for seconds in latencies:
                self._trades[bisect_left(LATENCY_SECONDS, seconds)] += share
                self._seconds += share * max(seconds, 0.0)

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram."""
        with self._lock:
            trades, seconds = list(self._trades), self._seconds
        bounds = (*map(str, LATENCY_SECONDS), "+Inf")
        buckets = list(zip(bounds, accumulate(trades), strict=True))
        yield HistogramMetricFamily(
            f"{PREFIX}_receipt_to_stored_seconds",
            "From the collector's receipt of a trade until it was stored",
            buckets=buckets,
            sum_value=seconds,
        )


class _Lags(Collector):
    def __init__(self, lags: Mapping[str, Lag]) -> None:
        self._lags = lags

    def collect(self) -> Iterator[Metric]:
        """Yield the lag of every partition; nothing while Kafka does not answer."""
        family = GaugeMetricFamily(
            f"{PREFIX}_lag_messages", "Messages not processed yet", labels=["query", "partition"]
        )
        try:
            for query, lag in self._lags.items():
                for partition, messages in lag().items():
                    family.add_metric([query, str(partition)], messages)
        except KafkaException:
            return
        yield family
