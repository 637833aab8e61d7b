"""Symbols that fall silent, trade again, or never trade."""

from datetime import UTC, datetime

import pytest

from collector.activity import Activity, Change
from collector.market_hours import MarketHours

WALL = datetime(2024, 7, 8, 13, 0, tzinfo=UTC).timestamp()  # half an hour before New York opens


def activity(*symbols: str, calendar: str = "24/7") -> Activity:
    watched = Activity(MarketHours())
    for symbol in symbols:
        watched.subscribe(symbol, calendar, 0.0)
    return watched


def changes(watched: Activity, now: float) -> list[Change]:
    return watched.changes(now, WALL + now)


def test_a_symbol_is_stale_after_five_minutes_when_it_traded_every_second() -> None:
    watched = activity("A")
    for second in range(600):
        watched.record("A", 2, float(second))
    assert changes(watched, 898.9) == []
    assert changes(watched, 899.0) == [Change("stale", "A", 300.0)]
    assert changes(watched, 2000.0) == []
    watched.record("A", 1, 2099.0)
    assert changes(watched, 2100.0) == [Change("resumed", "A", 1500.0)]
    assert changes(watched, 2101.0) == []


def test_a_slow_symbol_is_given_ten_of_its_mean_intervals() -> None:
    watched = activity("A")
    for trade in range(61):
        watched.record("A", 1, trade * 60.0)
    limit = 10 * 3600 / 61
    assert changes(watched, 3600 + limit - 0.1) == []
    assert changes(watched, 3600 + limit + 0.1) == [Change("stale", "A", pytest.approx(limit + 0.1))]


def test_the_pace_is_that_of_the_last_hour() -> None:
    watched = activity("A")
    for second in range(3600):
        watched.record("A", 10, float(second))
    for trade in range(70):
        watched.record("A", 1, 3600 + trade * 60.0)
    last = 3600 + 69 * 60.0
    assert changes(watched, last + 500) == []
    assert [change.kind for change in changes(watched, last + 601)] == ["stale"]


@pytest.mark.parametrize("trades", [0, 1])
def test_without_a_pace_an_hour_of_silence_is_told(trades: int) -> None:
    watched = activity("A")
    for _ in range(trades):
        watched.record("A", 1, 0.0)
    assert changes(watched, 3599.9) == []
    assert changes(watched, 3600.0) == [Change("stale", "A", 3600.0)]


def test_a_closed_market_is_not_silent_and_its_opening_begins_the_silence() -> None:
    watched = activity("A", calendar="XNYS")
    for second in range(600):
        watched.record("A", 1, second - 86_400.0)
    assert changes(watched, 1799.0) == []
    assert changes(watched, 1800 + 299.9) == []
    assert changes(watched, 1800 + 300.0) == [Change("stale", "A", 300.0)]


def test_a_new_connection_begins_the_silence_anew_and_keeps_the_pace() -> None:
    watched = activity("A")
    for second in range(600):
        watched.record("A", 1, float(second))
    watched.subscribe("A", "24/7", 800.0)
    assert changes(watched, 1099.0) == []
    assert changes(watched, 1100.0) == [Change("stale", "A", 300.0)]


def test_after_a_refusal_the_symbols_that_never_traded_are_named_once() -> None:
    watched = activity("A", "B", "C")
    watched.record("A", 1, 1.0)
    watched.note_refusal(2.0)
    watched.note_refusal(200.0)
    watched.record("C", 1, 250.0)
    assert changes(watched, 301.9) == []
    assert changes(watched, 302.0) == [Change("muted", "B", 302.0)]
    watched.record("A", 1, 303.0)
    watched.record("C", 1, 303.0)
    assert changes(watched, 602.9) == []


def test_a_refused_stock_is_named_once_its_market_has_been_open() -> None:
    watched = activity("A", calendar="XNYS")
    watched.note_refusal(0.0)
    assert changes(watched, 1799.0) == []
    assert changes(watched, 1800 + 299.9) == []
    assert changes(watched, 2100.0) == [Change("muted", "A", 300.0)]


def test_a_new_connection_forgets_the_refusals() -> None:
    watched = activity("A")
    watched.note_refusal(0.0)
    watched.forget_refusals()
    assert changes(watched, 400.0) == []


def test_trades_before_the_last_subscription_do_not_prove_it() -> None:
    watched = activity("A")
    watched.record("A", 1, 1.0)
    watched.subscribe("A", "24/7", 10.0)
    watched.note_refusal(11.0)
    assert changes(watched, 311.0) == [Change("muted", "A", 301.0)]


def test_what_is_not_subscribed_is_not_watched() -> None:
    watched = activity("A")
    watched.record("B", 1, 1.0)
    watched.unsubscribe("A")
    watched.unsubscribe("A")
    assert watched.symbols == {}
    assert changes(watched, 9000.0) == []


def test_trades_are_counted_and_old_buckets_dropped() -> None:
    watched = activity("A")
    for minute in range(200):
        watched.record("A", 3, minute * 60.0)
    assert watched.symbols["A"].trades == 600
    assert len(watched.symbols["A"]._buckets) <= 61


def test_trades_are_missing_since_the_last_one_of_any_symbol() -> None:
    watched = activity()
    assert watched.missing_seconds(5.0, WALL) is None
    watched = activity("A", "B")
    assert watched.missing_seconds(40.0, WALL) == 40.0
    watched.record("A", 1, 50.0)
    watched.record("B", 1, 70.0)
    assert watched.missing_seconds(100.0, WALL) == 30.0


def test_no_trade_is_missing_while_all_markets_are_closed_nor_before_they_open() -> None:
    watched = activity("AAPL", calendar="XNYS")
    watched.record("AAPL", 1, 10.0)
    half_an_hour = 1800.0
    assert watched.missing_seconds(half_an_hour - 1, WALL + half_an_hour - 1) == 0.0
    assert watched.missing_seconds(half_an_hour + 60, WALL + half_an_hour + 60) == 60.0
    watched.subscribe("BINANCE:BTCUSDT", "24/7", 0.0)
    assert watched.missing_seconds(half_an_hour - 1, WALL + half_an_hour - 1) == half_an_hour - 11


def test_a_new_connection_does_not_end_the_time_without_trades() -> None:
    watched = activity("A")
    watched.subscribe("A", "24/7", 90.0)
    assert watched.missing_seconds(100.0, WALL) == 100.0
