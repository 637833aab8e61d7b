"""The collector's metrics, read from its own counters when a monitoring system asks."""

import os
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.clock import Clock
from collector.publisher import Publisher
from collector.receiver import Receiver
from collector.settings import CollectorSettings

PREFIX = "market_collector"


class CollectorMetrics(Collector):
    """Figures of all receivers and the publisher; counters run since the process started."""

    def __init__(
        self, receivers: Sequence[Receiver], publisher: Publisher, settings: CollectorSettings, clock: Clock
    ) -> None:
        self._receivers = receivers
        self._publisher = publisher
        self._who = [settings.feed, str(settings.market_home.resolve()), str(os.getpid())]
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        info = GaugeMetricFamily(
            f"{PREFIX}_info", "What feeds the stack, its home, the process", labels=["feed", "home", "pid"]
        )
        info.add_metric(self._who, 1)
        yield info
        yield from self._by_feed()
        yield from self._by_symbol()
        yield from self._published()

    def _by_feed(self) -> Iterator[Metric]:
        now = self._clock.steady()
        frames = CounterMetricFamily(f"{PREFIX}_frames", "Frames written to a journal", labels=["feed"])
        trades = CounterMetricFamily(f"{PREFIX}_trades_received", "Trades received", labels=["feed"])
        repeated = CounterMetricFamily(
            f"{PREFIX}_repeated_frames", "Frames whose text came before within a minute", labels=["feed"]
        )
        pings = CounterMetricFamily(f"{PREFIX}_pings", "Pings of the feed's protocol", labels=["feed"])
        oversized = CounterMetricFamily(
            f"{PREFIX}_oversized_frames", "Frames dropped for their size", labels=["feed"]
        )
        reconnects = CounterMetricFamily(
            f"{PREFIX}_reconnects", "Connections made after the first", labels=["feed"]
        )
        connected = GaugeMetricFamily(f"{PREFIX}_connected", "1 while connected", labels=["feed"])
        last_frame = GaugeMetricFamily(
            f"{PREFIX}_last_frame_age_seconds",
            "Seconds since the last frame, pings included",
            labels=["feed"],
        )
        last_trade = GaugeMetricFamily(
            f"{PREFIX}_last_trade_age_seconds", "Seconds since the last trade", labels=["feed"]
        )
        missing = GaugeMetricFamily(
            f"{PREFIX}_missing_trades_seconds",
            "Seconds for which no subscribed symbol has traded in an open market",
            labels=["feed"],
        )
        gaps = CounterMetricFamily(
            f"{PREFIX}_gap_seconds", "Seconds that a feed was gone while a market was open", labels=["feed"]
        )
        for receiver in self._receivers:
            labels, counters = [receiver.endpoint.name], receiver.counters
            frames.add_metric(labels, counters.frames)
            trades.add_metric(labels, counters.trades)
            repeated.add_metric(labels, counters.repeated)
            pings.add_metric(labels, counters.pings)
            oversized.add_metric(labels, counters.oversized)
            reconnects.add_metric(labels, max(receiver.connections - 1, 0))
            connected.add_metric(labels, int(receiver.connected))
            if counters.last_frame is not None:
                last_frame.add_metric(labels, now - counters.last_frame)
            if counters.last_trade is not None:
                last_trade.add_metric(labels, now - counters.last_trade)
            missing_seconds = receiver.activity.missing_seconds(now, self._clock.wall())
            if missing_seconds is not None:
                missing.add_metric(labels, missing_seconds)
            gaps.add_metric(labels, receiver.gap_seconds)
        yield from (frames, trades, repeated, pings, oversized, reconnects, gaps)
        yield from (connected, last_frame, last_trade, missing)

    def _by_symbol(self) -> Iterator[Metric]:
        now = self._clock.steady()
        trades = CounterMetricFamily(
            f"{PREFIX}_symbol_trades", "Trades of a subscribed symbol", labels=["feed", "symbol"]
        )
        last_trade = GaugeMetricFamily(
            f"{PREFIX}_symbol_last_trade_age_seconds",
            "Seconds since a subscribed symbol traded",
            labels=["feed", "symbol"],
        )
        for receiver in self._receivers:
            for symbol, activity in list(receiver.activity.symbols.items()):
                labels = [receiver.endpoint.name, symbol]
                trades.add_metric(labels, activity.trades)
                if activity.last_trade is not None:
                    last_trade.add_metric(labels, now - activity.last_trade)
        yield from (trades, last_trade)

    def _published(self) -> Iterator[Metric]:
        publisher = self._publisher
        yield CounterMetricFamily(
            f"{PREFIX}_trades_published", "Trades that Kafka acknowledged", value=publisher.trades_published
        )
        yield CounterMetricFamily(
            f"{PREFIX}_trades_dead_lettered", "Trades sent to the dead letters", value=publisher.dead_lettered
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_journal_lag_bytes",
            "Journaled, and not known to be in Kafka",
            value=publisher.lag_bytes(),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_journal_lag_seconds",
            "Age of the oldest frame that is not known to be in Kafka",
            value=publisher.lag_seconds(),
        )


def registry(metrics: CollectorMetrics) -> CollectorRegistry:
    """Return the registry that a metrics server serves."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry
