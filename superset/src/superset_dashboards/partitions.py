"""Jinja functions of the datasets' SQL, most of which pin a partition key to a list of literals.

Presto reads a whole Cassandra table unless `=` or `IN` names every column of its partition key, and it cannot
take these values from a subquery. Each function sees the filters and the time range of the chart it is called
for, and returns SQL text. All times are UTC.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from jinja2 import TemplateError, pass_context
from jinja2.runtime import Context

from common.bars import BAR_SECONDS
from common.symbols import EXCHANGE_SEPARATOR

DEFAULT_SPAN = timedelta(minutes=15)
MAX_DAYS = 7  # a chart of more days would read millions of rows
HELD_SECONDS = 600  # a price without a newer one; the line of a closed market has a gap
MAX_POINTS = 360  # more points than that are closer than the pixels of a chart
STEPS = tuple(BAR_SECONDS * bars for bars in (1, 2, 3, 6, 12, 24, 60, 120, 360, 720))


class Symbol(NamedTuple):
    """A row of the table `symbols`, as far as the dashboards need it; `last_seen` is naive UTC."""

    name: str
    asset_class: str
    last_seen: datetime


class Span(NamedTuple):
    """The time from `since` up to, but without, `until`; both naive UTC."""

    since: datetime
    until: datetime


def functions(
    known_symbols: Callable[[], list[Symbol]], now: Callable[[], datetime] | None = None
) -> dict[str, Callable[..., Any]]:
    """Return the functions by their names in the SQL; `known_symbols` reads the table `symbols`."""
    clock = now or (lambda: datetime.now(UTC).replace(tzinfo=None))

    def selected(context: Context) -> list[Symbol]:
        names, classes = _allowed(context, "symbol"), _allowed(context, "asset_class")
        return sorted(
            symbol
            for symbol in known_symbols()
            if (names is None or symbol.name in names) and (classes is None or symbol.asset_class in classes)
        )

    def span(context: Context, latest: int | None = None) -> Span:
        whole = _time_range(context, clock())
        if latest is None:
            return whole
        length = timedelta(seconds=latest)
        newest = max((symbol.last_seen for symbol in selected(context)), default=whole.until)
        # The list of symbols is some seconds old: a symbol that trades now has newer trades than it says.
        until = whole.until if whole.until - newest < length else newest + timedelta(milliseconds=1)
        return Span(max(whole.since, until - length), until)

    @pass_context
    def symbols(context: Context) -> str:
        """Return the filtered symbols, or all of the chart's asset class."""
        return _listed(_quoted(symbol.name) for symbol in selected(context))

    @pass_context
    def place(context: Context) -> str:
        """Return which of the filtered symbols the chart is for, counted from 1; the first unless it says."""
        return min(_allowed(context, "place") or {"1"})

    @pass_context
    def symbol_at_place(context: Context) -> str:
        """Return the one symbol at the chart's place; none when there are fewer."""
        index = int(place(context)) - 1
        return _listed(_quoted(symbol.name) for symbol in selected(context)[index : index + 1])

    @pass_context
    def days(context: Context) -> str:
        """Return the days of the time range; refuse more than a week."""
        dates = list(_days(span(context)))
        if len(dates) > MAX_DAYS + 1:
            raise TemplateError(
                f"The time range was {len(dates)} days long, and at most {MAX_DAYS} are shown: choose fewer."
            )
        return _listed(f"DATE '{day}'" for day in dates)

    @pass_context
    def hours(context: Context, latest: int) -> str:
        """Return the hours of the `latest` seconds that hold trades within the time range."""
        since, until = span(context, latest)
        start = since.replace(minute=0, second=0, microsecond=0)
        count = max(0, -(-(until - start) // timedelta(hours=1)))
        return _listed(_timestamp(start + timedelta(hours=hour)) for hour in range(count))

    @pass_context
    def since(context: Context, latest: int | None = None) -> str:
        """Return the beginning of the time range, or of the `latest` seconds that hold trades within it."""
        return _timestamp(span(context, latest).since)

    @pass_context
    def until(context: Context, latest: int | None = None, whole: bool = False) -> str:
        """Return the end of what `since` begins, or of its last complete step when `whole`."""
        end = span(context, latest).until
        if whole:
            end -= (end - datetime.min) % timedelta(seconds=_step(span(context)))
        return _timestamp(end)

    @pass_context
    def step(context: Context) -> int:
        """Return how many seconds one point stands for, so that a line has at most MAX_POINTS of them."""
        return _step(span(context))

    @pass_context
    def held_until(context: Context) -> str:
        """Return the expression of the time, in seconds, until which a bar's price holds: the next bar's."""
        return (
            f"least(to_unixtime(lead(window_start, 1, {until(context, whole=True)}) "
            "OVER (PARTITION BY symbol ORDER BY window_start)), "
            f"to_unixtime(window_start) + greatest({step(context)}, {HELD_SECONDS}))"
        )

    def recent_days(count: int) -> str:
        """Return today and the days before it, `count` in all, whatever the time range is."""
        today = clock().date()
        return _listed(f"DATE '{today - timedelta(days=back)}'" for back in reversed(range(count)))

    def ago(seconds: int) -> str:
        """Return the time that was so many seconds ago, whatever the time range is."""
        return _timestamp(clock() - timedelta(seconds=seconds))

    def asset_class() -> str:
        """Return the expression of a row's asset class; `common.symbols.asset_class` is its definition."""
        return f"IF(strpos(symbol, '{EXCHANGE_SEPARATOR}') > 0, 'crypto', 'stock')"

    ranges = (days, hours, since, until, step, held_until, recent_days, ago)
    all_functions = (symbols, symbol_at_place, place, asset_class, *ranges)
    return {function.__name__: function for function in all_functions}


def _time_range(context: Context, now: datetime) -> Span:
    begin, end = context.get("from_dttm"), context.get("to_dttm")
    until = min(datetime.fromisoformat(end), now) if end else now
    since = datetime.fromisoformat(begin) if begin else until - DEFAULT_SPAN
    return Span(min(since, until), until)


def _step(span: Span) -> int:
    seconds = (span.until - span.since).total_seconds()
    return next((step for step in STEPS if seconds / step <= MAX_POINTS), STEPS[-1])


def _allowed(context: Context, column: str) -> set[str] | None:
    """Return the values that the chart's filters allow for `column`; None when they allow any."""
    allowed: set[str] | None = None
    for condition in context.get("filter") or []:
        if condition.get("col") == column and condition.get("op") in ("==", "IN"):
            value = condition.get("val")
            values = set(map(str, value if isinstance(value, list | tuple) else [value]))
            allowed = values if allowed is None else allowed & values
    return allowed


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _days(span: Span) -> Iterator[date]:
    last = max(span.since, span.until - timedelta(microseconds=1)).date()
    return (span.since.date() + timedelta(days=day) for day in range((last - span.since.date()).days + 1))


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}'"


def _listed(literals: Iterator[str]) -> str:
    # An IN list cannot be empty; no column equals null, so nothing is read.
    return f"({', '.join(literals) or 'NULL'})"
