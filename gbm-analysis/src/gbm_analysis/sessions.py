"""When a symbol trades: always (calendar `24/7`), or in the stock exchange's sessions."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

AROUND_THE_CLOCK = "24/7"

# 252 sessions of 6.5 hours.
SESSION_SECONDS_PER_YEAR = 5_896_800.0
CALENDAR_SECONDS_PER_YEAR = 31_557_600.0

_LOOK_AROUND = timedelta(days=10)


class Span(NamedTuple):
    """A stretch of trading, from `start` up to `end` (aware, UTC)."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Return how long it lasts."""
        return self.end - self.start


def seconds_per_year(calendar: str) -> float:
    """Return how many seconds a year trades."""
    return CALENDAR_SECONDS_PER_YEAR if calendar == AROUND_THE_CLOCK else SESSION_SECONDS_PER_YEAR


def sample_spans(calendar: str, at: datetime, length: timedelta) -> list[Span]:
    """Return the last `length` of trading before `at`, ascending; less where ten days hold less."""
    spans: list[Span] = []
    for session in reversed(_sessions(calendar, at)):
        end = min(session.end, at)
        start = max(session.start, end - length)
        if start < end:
            spans.append(Span(start, end))
            length -= end - start
    return spans[::-1]


def sessions_before(calendar: str, at: datetime) -> list[Span]:
    """Return the sessions of the last ten days that have ended by `at`, ascending; none around the clock."""
    if calendar == AROUND_THE_CLOCK:
        return []
    return [session for session in _sessions(calendar, at) if session.end <= at]


def session_of(calendar: str, at: datetime) -> Span | None:
    """Return the session that goes on at `at`; None where there are none or the market is closed."""
    if calendar == AROUND_THE_CLOCK:
        return None
    return next((session for session in _sessions(calendar, at) if session.start <= at < session.end), None)


def close_after(calendar: str, at: datetime) -> datetime | None:
    """Return when the trading that goes on at `at` ends, None when there is none."""
    return next((end for start, end in _sessions(calendar, at) if start <= at < end), None)


def open_after(calendar: str, at: datetime) -> datetime:
    """Return the next opening after `at`."""
    return next(start for start, _ in _sessions(calendar, at) if start > at)


def _sessions(calendar: str, at: datetime) -> list[Span]:
    if calendar == AROUND_THE_CLOCK:
        return [Span(at - _LOOK_AROUND, at + _LOOK_AROUND)]
    return _schedule(calendar, at.date())


@lru_cache(maxsize=64)
def _schedule(calendar: str, day: date) -> list[Span]:
    # Costs a second to import, and crypto alone never needs it.
    import exchange_calendars

    start, end = (day - _LOOK_AROUND).isoformat(), (day + _LOOK_AROUND).isoformat()
    schedule = exchange_calendars.get_calendar(calendar, start=start, end=end).schedule
    return [
        Span(opening.to_pydatetime().astimezone(UTC), close.to_pydatetime().astimezone(UTC))
        for opening, close in zip(schedule["open"], schedule["close"], strict=True)
    ]
