"""When markets are open, in seconds since the epoch."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

AROUND_THE_CLOCK = "24/7"
MARGIN = timedelta(days=7)  # at least one session on either side, whatever the holidays
LONGEST = timedelta(days=400)  # a gap longer than this is only told as that long


class Session(NamedTuple):
    """From the opening up to the close."""

    start: float
    end: float


ALWAYS = [Session(-math.inf, math.inf)]


class MarketHours:
    """Knows the sessions of each calendar; `24/7` never closes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float, list[Session]]] = {}

    def load(self, calendars: Iterable[str], at: float) -> None:
        """Load the sessions around a moment, so that no later question about them takes a second."""
        for calendar in calendars:
            self._sessions(calendar, at, at)

    def opened_at(self, calendar: str, at: float) -> float | None:
        """Return when the session that `at` falls into began; None while the market is closed."""
        for session in self._sessions(calendar, at, at):
            if session.start <= at < session.end:
                return session.start
        return None

    def open_seconds(self, calendars: Iterable[str], start: float, end: float) -> float:
        """Return for how much of [start, end] at least one of the markets was open."""
        start = max(start, end - LONGEST.total_seconds())
        cut = sorted(
            (max(session.start, start), min(session.end, end))
            for calendar in set(calendars)
            for session in self._sessions(calendar, start, end)
            if session.end > start and session.start < end
        )
        total, covered = 0.0, start
        for opening, close in cut:
            total += max(close - max(opening, covered), 0.0)
            covered = max(covered, close)
        return total

    def _sessions(self, calendar: str, start: float, end: float) -> list[Session]:
        if calendar == AROUND_THE_CLOCK:
            return ALWAYS
        known = self._known.get(calendar)
        if known is None or start < known[0] or end > known[1]:
            first = datetime.fromtimestamp(start, UTC) - MARGIN
            last = datetime.fromtimestamp(end, UTC) + MARGIN
            # One day less than what is asked for: the sessions of the outermost days may be cut.
            inside = (first + timedelta(days=1)).timestamp(), (last - timedelta(days=1)).timestamp()
            known = self._known[calendar] = (*inside, _schedule(calendar, first, last))
        return known[2]


def _schedule(calendar: str, first: datetime, last: datetime) -> list[Session]:
    # Costs a second and 100 MB to import; crypto and demo data never need it.
    import exchange_calendars

    schedule = exchange_calendars.get_calendar(
        calendar, start=first.date().isoformat(), end=last.date().isoformat()
    ).schedule
    return [
        Session(opening.timestamp(), close.timestamp())
        for opening, close in zip(schedule["open"], schedule["close"], strict=True)
    ]
