"""What the pages read from Cassandra; every query names its partitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from cassandra.cluster import Session
from cassandra.query import PreparedStatement

from common.cassandra import ERRORS, explain_error
from common.symbols import SYMBOLS_BUCKET
from streamlit_pages.candles import Bars, Counts, Floats, Times

TIMEOUT_SECONDS = 10.0
SCOPES = ("overall", "class", "symbol")

_BARS = "window_start, open, high, low, close, volume, value_sum, value_volume, trade_count"
_FORECAST = "target_time, spot, paths, p05, p25, p50, p75, p95, mean, actual, volatility_seconds"
_SPAN = ("first_forecast_time", "last_forecast_time")
_OF_BOTH_MODELS = {"forecasts", "naive_crps"}  # do not depend on the model, and are stored once
_OF_FORECAST = "symbol = ? AND day = ? AND forecast_time = ?"


class StoreUnavailableError(Exception):
    """Cassandra cannot be read now; the message is one sentence."""


class Symbol(NamedTuple):
    """A symbol and the span of its stored trades."""

    symbol: str
    asset_class: str
    source: str
    first_seen: datetime
    last_seen: datetime


class Parameters(NamedTuple):
    """The parameters and risks of a forecast; unless status is `ok`, only the first three are set."""

    forecast_time: datetime
    status: str
    reason: str | None
    drift: float
    drift_estimate: float
    drift_stderr: float
    volatility: float
    volatility_stderr: float
    seconds_per_year: float
    sample_start: datetime
    sample_end: datetime
    observations: int
    seed: int
    prob_up: float
    var_95: float
    es_95: float
    var_99: float
    es_99: float
    model: str | None
    degrees_of_freedom: float | None
    scale: float | None
    outcomes: int | None
    touch_down_100bp: float | None
    touch_up_100bp: float | None
    drawdown_mean: float | None
    drawdown_95: float | None


class Score(NamedTuple):
    """The scores of a past forecast; those of an early version have the first seven columns only."""

    forecast_time: datetime
    crps: float
    pit: float
    inside_50: bool
    inside_90: bool
    absolute_error: float
    naive_absolute_error: float
    spot: float | None = None
    actual: float | None = None
    standardised: float | None = None
    plain_crps: float | None = None


class Figures(NamedTuple):
    """How forecasts fared together: shares inside the bands, p-values of Kupiec's tests of them, mean scores.

    CRPS are in basis points of the spot; `pit_histogram` counts outcomes in equal bins from 0 to 1.
    """

    forecasts: int
    inside_50: float
    inside_90: float
    kupiec_50: float
    kupiec_90: float
    crps: float
    naive_crps: float
    log_score: float
    pit_histogram: tuple[int, ...]


class Judgement(NamedTuple):
    """How the forecasts of a group fared, and how the same without their mixture would have.

    `scope` is `overall`, `class` or `symbol`; `name` says which. The times are None where they are not known.
    """

    scope: str
    name: str
    first: datetime | None
    last: datetime | None
    forecast: Figures
    plain: Figures


class Event(NamedTuple):
    """What happened to the connection with the feed; `gap_seconds` is for how long nothing was received."""

    at: datetime
    session: str
    kind: str
    detail: str | None
    gap_seconds: float | None


class Gap(NamedTuple):
    """A stretch of time without the feed."""

    start: datetime
    end: datetime
    detail: str


@dataclass(frozen=True)
class Forecast:
    """A forecast's quantiles (targets, 5), means and outcomes (NaN while unknown) at each `target_time`.

    `seconds` are the times ahead of the forecast, `volatility_seconds` (NaN where unknown) those times by the
    pace of the volatility.
    """

    forecast_time: datetime
    spot: float
    paths: int
    target_time: Times
    seconds: Floats
    quantiles: Floats
    mean: Floats
    actual: Floats
    volatility_seconds: Floats

    @property
    def horizon(self) -> float:
        """Return how far the forecast reaches, in seconds."""
        return float(self.seconds[-1])


@dataclass(frozen=True)
class Distribution:
    """The histogram of a terminal price."""

    low: Floats
    high: Floats
    count: Counts
    density: Floats


class Store:
    """Reads over one session; each raises StoreUnavailableError when Cassandra does not answer."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prepared: dict[str, PreparedStatement] = {}

    def symbols(self) -> tuple[Symbol, ...]:
        """Return every symbol that was ever traded, stocks first."""
        rows = self._read(_names(Symbol), "symbols", "bucket = ?", SYMBOLS_BUCKET)
        symbols = (Symbol(*map(_utc, row)) for row in rows)
        return tuple(sorted(symbols, key=lambda symbol: (symbol.asset_class != "stock", symbol.symbol)))

    def bars(self, symbol: str, start: datetime, end: datetime) -> Bars:
        """Return the five-second bars that start in [start, end)."""
        where = "symbol = ? AND day = ? AND window_start >= ? AND window_start < ?"
        rows = [
            row
            for day in _days(start, end)
            for row in self._read(_BARS, "bars_5s", where, symbol, day, start, end)
        ]
        starts = np.array([row[0] for row in rows], dtype="datetime64[ms]")
        prices = np.array([row[1:-1] for row in rows], dtype=np.float64).reshape(len(rows), 7)
        counts = np.array([row[-1] for row in rows], dtype=np.int64)
        columns: list[Any] = [starts, *prices.T, counts]
        return Bars(*columns)

    def parameters(self, symbol: str, start: datetime, end: datetime) -> tuple[Parameters, ...]:
        """Return the parameters of each forecast made in [start, end), newest first."""
        where, days = "symbol = ? AND day IN ?", list(_days(start, end))
        rows = self._read(_names(Parameters), "gbm_parameters", where, symbol, days)
        all_rows = (Parameters(*map(_utc, row)) for row in rows)
        return tuple(sorted((row for row in all_rows if start <= row.forecast_time < end), reverse=True))

    def forecast(self, symbol: str, forecast_time: datetime) -> Forecast | None:
        """Return a forecast's prices, or None when there are none."""
        key = (symbol, forecast_time.date(), forecast_time)
        rows = list(self._read(_FORECAST, "gbm_forecasts", _OF_FORECAST, *key))
        if not rows:
            return None
        targets = np.array([row[0] for row in rows], dtype="datetime64[ms]")
        prices = np.array([row[3:] for row in rows], dtype=np.float64)
        return Forecast(
            forecast_time=forecast_time,
            spot=rows[0][1],
            paths=rows[0][2],
            target_time=targets,
            seconds=(targets - to_datetime64(forecast_time)) / np.timedelta64(1, "s"),
            quantiles=prices[:, :5],
            mean=prices[:, 5],
            actual=prices[:, 6],
            volatility_seconds=prices[:, 7],
        )

    def distribution(self, symbol: str, forecast_time: datetime) -> Distribution:
        """Return the histogram of a forecast's terminal price; empty when there is none."""
        key = (symbol, forecast_time.date(), forecast_time)
        rows = list(self._read("low, high, density, count", "gbm_distributions", _OF_FORECAST, *key))
        low, high, density = np.array([row[:3] for row in rows], dtype=np.float64).reshape(len(rows), 3).T
        return Distribution(low, high, np.array([row[3] for row in rows], dtype=np.int64), density)

    def scores(self, symbol: str, start: datetime, end: datetime) -> tuple[Score, ...]:
        """Return the scores of the forecasts made in [start, end), oldest first."""
        where, days = "symbol = ? AND day IN ?", list(_days(start, end))
        rows = self._read(_names(Score), "gbm_scores", where, symbol, days)
        all_rows = (Score(*map(_utc, row)) for row in rows)
        return tuple(sorted(row for row in all_rows if start <= row.forecast_time < end))

    def judgements(self) -> tuple[Judgement, ...]:
        """Return how all forecasts fared, those of each asset class and those of each symbol."""
        plain = (f"plain_{name}" for name in Figures._fields if name not in _OF_BOTH_MODELS)
        columns = ("scope", "name", *_SPAN, *Figures._fields, *plain)
        rows = self._read(", ".join(columns), "gbm_judgements", "scope IN ?", list(SCOPES))
        judgements = (_judgement(dict(zip(columns, map(_utc, row), strict=True))) for row in rows)
        return tuple(sorted(judgements, key=lambda one: (SCOPES.index(one.scope), one.name)))

    def events(self, start: datetime, end: datetime) -> tuple[Event, ...]:
        """Return the feed's events in [start, end), oldest first."""
        where, days = "day IN ? AND at >= ? AND at < ?", list(_days(start, end))
        rows = self._read(_names(Event), "feed_events", where, days, start, end)
        return tuple(sorted((Event(*map(_utc, row)) for row in rows), key=lambda event: event[:3]))

    def gaps(self, start: datetime, end: datetime) -> tuple[Gap, ...]:
        """Return the feed's gaps that ended in [start, end), oldest first."""
        return tuple(
            sorted(
                Gap(event.at - timedelta(seconds=event.gap_seconds), event.at, event.detail or "")
                for event in self.events(start, end)
                if event.kind == "gap" and event.gap_seconds is not None
            )
        )

    def _read(self, columns: str, table: str, where: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM {table} WHERE {where}"  # noqa: S608
        try:
            if query not in self._prepared:
                self._prepared[query] = self._session.prepare(query)
            yield from self._session.execute(self._prepared[query], values, timeout=TIMEOUT_SECONDS)
        except ERRORS as error:
            raise StoreUnavailableError(explain_error(error)) from error


def _judgement(row: dict[str, Any]) -> Judgement:
    def of(prefix: str) -> Figures:
        names = {name: name if name in _OF_BOTH_MODELS else prefix + name for name in Figures._fields}
        values = {field: row[column] for field, column in names.items()}
        return Figures(**{**values, "pit_histogram": tuple(values["pit_histogram"])})

    first, last = (row[name] for name in _SPAN)
    return Judgement(row["scope"], row["name"], first, last, of(""), of("plain_"))


def to_datetime64(moment: datetime) -> np.datetime64:
    """Return a UTC time as arrays and charts hold it."""
    return np.datetime64(moment.replace(tzinfo=None), "ms")


def _names(row: type[NamedTuple]) -> str:
    return ", ".join(row._fields)


def _utc(value: Any) -> Any:
    """Let a time that the driver returned know that it is UTC."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _days(start: datetime, end: datetime) -> Iterator[date]:
    for number in range((end.date() - start.date()).days + 1):
        yield start.date() + timedelta(days=number)
