"""New York's sessions around weekends, holidays, early closes and the change of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest

from gbm_analysis.sessions import (
    Span,
    close_after,
    open_after,
    sample_spans,
    seconds_per_year,
    session_of,
    sessions_before,
)

STOCKS = "XNYS"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "at, close",
    [
        ("2026-11-24 14:29:59", None),
        ("2026-11-24 14:30:00", "2026-11-24 21:00"),
        ("2026-11-24 20:59:59", "2026-11-24 21:00"),
        ("2026-11-24 21:00:00", None),
        ("2026-11-26 16:00:00", None),  # Thanksgiving
        ("2026-11-27 17:59:00", "2026-11-27 18:00"),  # closes early, 13:00 in New York
        ("2026-11-27 18:00:00", None),
        ("2026-11-28 16:00:00", None),  # Saturday
        ("2026-07-06 13:30:00", "2026-07-06 20:00"),  # summer time
        ("2026-07-03 16:00:00", None),  # Independence Day observed
    ],
)
def test_close_of_the_session(at: str, close: str | None) -> None:
    assert close_after(STOCKS, utc(at)) == (close and utc(close))


def test_next_opening_skips_holiday_and_weekend() -> None:
    assert open_after(STOCKS, utc("2026-11-25 21:30")) == utc("2026-11-27 14:30")
    assert open_after(STOCKS, utc("2026-11-27 14:30")) == utc("2026-11-30 14:30"), "after, not at"
    assert open_after(STOCKS, utc("2026-11-27 18:00")) == utc("2026-11-30 14:30")
    assert open_after(STOCKS, utc("2026-03-06 21:00")) == utc("2026-03-09 13:30"), "the clocks changed"


def test_sample_of_a_session_is_filled_up_from_the_ones_before() -> None:
    found = sample_spans(STOCKS, utc("2026-11-30 15:30"), timedelta(hours=6))
    assert found == [
        Span(utc("2026-11-25 19:30"), utc("2026-11-25 21:00")),
        Span(utc("2026-11-27 14:30"), utc("2026-11-27 18:00")),
        Span(utc("2026-11-30 14:30"), utc("2026-11-30 15:30")),
    ]


def test_around_the_clock_there_is_one_span_and_no_close_in_sight() -> None:
    at = utc("2026-11-28 03:00")
    assert sample_spans("24/7", at, timedelta(hours=6)) == [Span(utc("2026-11-27 21:00"), at)]
    close = close_after("24/7", at)
    assert close is not None
    assert close - at > timedelta(days=7), "the longest horizon that can be set"


def test_years() -> None:
    assert seconds_per_year("24/7") == 365.25 * 86_400
    assert seconds_per_year(STOCKS) == 252 * 6.5 * 3600


def test_sessions_before_are_those_of_ten_days_that_have_ended() -> None:
    found = sessions_before(STOCKS, utc("2026-11-27 18:00"))
    assert [f"{span.start:%m-%d %H:%M}" for span in found[-2:]] == ["11-25 14:30", "11-27 14:30"]
    assert found[-1].end == utc("2026-11-27 18:00")
    assert found[0].start == utc("2026-11-17 14:30")
    assert sessions_before(STOCKS, utc("2026-11-27 17:59:59"))[-1].start == utc("2026-11-25 14:30")
    assert sessions_before("24/7", utc("2026-11-27 18:00")) == []


def test_the_session_that_goes_on() -> None:
    session = Span(utc("2026-11-24 14:30"), utc("2026-11-24 21:00"))
    assert session_of(STOCKS, utc("2026-11-24 14:30")) == session
    assert session_of(STOCKS, utc("2026-11-24 20:59")) == session
    assert session_of(STOCKS, utc("2026-11-24 21:00")) is None
    assert session_of(STOCKS, utc("2026-11-24 14:29")) is None
    assert session_of("24/7", utc("2026-11-24 15:00")) is None
