"""The windows that a batch of trades touches, and what follows from them; pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from common.bars import BAR_SECONDS, RUNNING_AVERAGE_SECONDS
from common.identity import Source, journal_source

BAR = timedelta(seconds=BAR_SECONDS)
HOUR = timedelta(hours=1)
BARS_PER_AVERAGE = RUNNING_AVERAGE_SECONDS // BAR_SECONDS
LATE_AFTER = timedelta(minutes=1)


class Window(NamedTuple):
    """One bar's place: its symbol and its start (aware, UTC)."""

    symbol: str
    start: datetime


class WindowTrades(NamedTuple):
    """A batch's trades in one window: how many, the first and last time, and the newest trade id."""

    trades: int
    first: datetime
    last: datetime
    newest: str


class Range(NamedTuple):
    """A symbol's windows from `start` on and before `end`, all of one hour."""

    symbol: str
    start: datetime
    end: datetime


class Selection(NamedTuple):
    """Some symbols, or all, and their windows that start in [start, end); None is no limit."""

    symbols: frozenset[str]
    start: datetime | None
    end: datetime | None

    def ranges(self, partitions: Iterable[tuple[str, datetime]]) -> list[Range]:
        """Return what of each partition, a symbol and the start of an hour, is selected, in order."""
        found = []
        for symbol, hour in sorted(partitions):
            start, end = hour, hour + HOUR
            if self.start is not None:
                start = max(start, hour + -((hour - self.start) // BAR) * BAR)
            if self.end is not None:
                end = min(end, hour + -((hour - self.end) // BAR) * BAR)
            if start < end and (not self.symbols or symbol in self.symbols):
                found.append(Range(symbol, start, end))
        return found


class SymbolActivity(NamedTuple):
    """A symbol's first and last trade's time, and the source of its last receipt."""

    symbol: str
    first: datetime
    last: datetime
    source: Source

    def extended(self, known: Self) -> Self:
        """Return the activity over the span of time of both, with this one's source."""
        return self._replace(first=min(self.first, known.first), last=max(self.last, known.last))


def neighbourhood(touched: Iterable[Window]) -> set[Window]:
    """Return the windows whose bars the running averages over touched windows need."""
    reach = range(1 - BARS_PER_AVERAGE, BARS_PER_AVERAGE)
    return {Window(symbol, start + BAR * offset) for symbol, start in touched for offset in reach}


def hour_of(moment: datetime) -> datetime:
    """Return the start of the hour, by which trades are stored."""
    return moment.replace(minute=0, second=0, microsecond=0)


def ranges(windows: Iterable[Window]) -> list[Range]:
    """Return the windows as few ranges: neighbours of one hour are in one."""
    found: list[Range] = []
    for symbol, start in sorted(windows):
        last = found[-1] if found else None
        if last is not None and (last.symbol, last.end) == (symbol, start) and start != hour_of(start):
            found[-1] = last._replace(end=start + BAR)
        else:
            found.append(Range(symbol, start, start + BAR))
    return found


def count_late(touched: Mapping[Window, WindowTrades], known: Iterable[Window], now: datetime) -> int:
    """Return the number of trades in windows that had a bar already and ended more than a minute ago."""
    return sum(touched[window].trades for window in known if window.start + BAR < now - LATE_AFTER)


def symbol_activity(touched: Mapping[Window, WindowTrades]) -> list[SymbolActivity]:
    """Return the activity of each symbol of a batch."""
    symbols: dict[str, list[WindowTrades]] = defaultdict(list)
    for window, trades in touched.items():
        symbols[window.symbol].append(trades)
    return [
        SymbolActivity(
            symbol,
            min(trades.first for trades in group),
            max(trades.last for trades in group),
            journal_source(max(trades.newest for trades in group).partition(":")[0]),
        )
        for symbol, group in symbols.items()
    ]


def utc(milliseconds: int) -> datetime:
    """Return the time of so many milliseconds since the epoch."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
