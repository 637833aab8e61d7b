"""When New York's stock exchange was open, against its published hours."""

from datetime import UTC, datetime

import pytest

from collector.market_hours import MarketHours

HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def hours() -> MarketHours:
    return MarketHours()


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2024-07-03T13:29:59", None),
        ("2024-07-03T13:30:00", "2024-07-03T13:30:00"),
        ("2024-07-03T16:59:59", "2024-07-03T13:30:00"),
        ("2024-07-03T17:00:00", None),  # an early close before the holiday
        ("2024-07-04T15:00:00", None),  # Independence Day
        ("2024-07-06T15:00:00", None),  # a Saturday
        ("2024-01-08T14:30:00", "2024-01-08T14:30:00"),  # winter time
        ("2024-01-08T20:59:59", "2024-01-08T14:30:00"),
    ],
)
def test_sessions_and_holidays(hours: MarketHours, moment: str, opened: str | None) -> None:
    assert hours.opened_at("XNYS", at(moment)) == (at(opened) if opened else None)


@pytest.mark.parametrize(
    ("start", "end", "open_hours"),
    [
        ("2024-07-05T20:00:00", "2024-07-08T13:30:00", 0),  # a weekend
        ("2024-07-05T19:00:00", "2024-07-08T14:00:00", 1.5),
        ("2024-07-03T00:00:00", "2024-07-06T00:00:00", 3.5 + 6.5),
        ("2024-07-08T14:00:00", "2024-07-08T15:00:00", 1),
    ],
)
def test_only_open_hours_count(hours: MarketHours, start: str, end: str, open_hours: float) -> None:
    assert hours.open_seconds(["XNYS"], at(start), at(end)) == open_hours * HOUR


def test_what_trades_around_the_clock_is_never_closed(hours: MarketHours) -> None:
    start, end = at("2024-07-06T00:00:00"), at("2024-07-07T00:00:00")
    assert hours.open_seconds(["XNYS", "24/7"], start, end) == 24 * HOUR
    assert hours.open_seconds(["24/7"], start, end) == 24 * HOUR
    assert hours.opened_at("24/7", start) == float("-inf")


def test_no_market_at_all_is_closed(hours: MarketHours) -> None:
    assert hours.open_seconds([], 0.0, 100.0) == 0.0


def test_a_gap_of_years_is_cut_and_any_clock_has_an_answer(hours: MarketHours) -> None:
    end = at("2024-07-08T00:00:00")
    assert hours.open_seconds(["24/7"], 0.0, end) == 400 * 24 * HOUR
    monday = at("1970-01-05T00:00:00")
    assert hours.open_seconds(["XNYS"], monday, monday + 24 * HOUR) == 6.5 * HOUR
    far = at("2100-01-04T00:00:00")
    assert hours.open_seconds(["XNYS"], far, far + 24 * HOUR) == 6.5 * HOUR
