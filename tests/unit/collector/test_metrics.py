"""What a monitoring system reads of a collector."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from collector.activity import Activity
from collector.clock import Clock
from collector.market_hours import MarketHours
from collector.metrics import CollectorMetrics, registry
from collector.router import Counters
from collector.settings import CollectorSettings


@dataclass
class Endpoint:
    name: str


@dataclass
class Receiver:
    """What the metrics read of a receiver."""

    endpoint: Endpoint
    counters: Counters
    activity: Activity = field(default_factory=lambda: Activity(MarketHours()))
    connections: int = 0
    connected: bool = False
    gap_seconds: float = 0.0


@dataclass
class Publisher:
    """What the metrics read of a publisher."""

    trades_published: int = 7
    dead_lettered: int = 2

    def lag_bytes(self) -> int:
        return 123

    def lag_seconds(self) -> float:
        return 4.5


def test_every_figure_has_a_name_and_a_value() -> None:
    finnhub = Receiver(Endpoint("finnhub"), Counters(5, 12, 1, 3, 4, 90.0, 80.0))
    finnhub.connections, finnhub.connected, finnhub.gap_seconds = 3, True, 61.5
    finnhub.activity.subscribe("AAPL", "24/7", 0.0)
    finnhub.activity.subscribe("MSFT", "24/7", 0.0)
    finnhub.activity.record("AAPL", 6, 70.0)
    feed = Receiver(Endpoint("feed"), Counters())
    metrics = CollectorMetrics(
        [finnhub, feed],  # type: ignore[list-item]
        Publisher(),  # type: ignore[arg-type]
        CollectorSettings(market_feed="live", market_home=Path("/home/x")),
        Clock(steady=lambda: 100.0),
    )
    value = registry(metrics).get_sample_value
    assert value("market_collector_info", {"feed": "live", "home": "/home/x", "pid": str(os.getpid())}) == 1
    by_feed = {
        "frames_total": (5, 0),
        "trades_received_total": (12, 0),
        "repeated_frames_total": (1, 0),
        "pings_total": (3, 0),
        "oversized_frames_total": (4, 0),
        "reconnects_total": (2, 0),
        "gap_seconds_total": (61.5, 0),
        "connected": (1, 0),
        "missing_trades_seconds": (30, None),
        "last_frame_age_seconds": (10, None),
        "last_trade_age_seconds": (20, None),
    }
    for name, values in by_feed.items():
        found = tuple(value(f"market_collector_{name}", {"feed": feed}) for feed in ("finnhub", "feed"))
        assert found == values, name

    def of_symbol(name: str, symbol: str) -> float | None:
        return value(f"market_collector_symbol_{name}", {"feed": "finnhub", "symbol": symbol})

    assert [of_symbol("trades_total", symbol) for symbol in ("AAPL", "MSFT")] == [6, 0]
    assert [of_symbol("last_trade_age_seconds", symbol) for symbol in ("AAPL", "MSFT")] == [30, None]
    assert value("market_collector_trades_published_total") == 7
    assert value("market_collector_trades_dead_lettered_total") == 2
