"""What the forecasts read from Cassandra and write there; every statement names its whole partition key."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import UNSET_VALUE, PreparedStatement

from common.bars import BAR_SECONDS
from common.gbm.calibration import Segment
from common.gbm.mixture import PLAIN, Mixture
from common.gbm.model import STEADY, Clock, Model
from common.gbm.simulation import LEVELS, Forecast
from common.symbols import SYMBOLS_BUCKET
from gbm_analysis.planning import Plan, Refusal
from gbm_analysis.records import Judgement, Outcome, PastForecast, Symbol, Target
from gbm_analysis.scoring import MAX_AGE_SECONDS, Quantiles, Score

CONCURRENT_READS = CONCURRENT_WRITES = 32


def _level(change: float) -> str:
    return f"{'up' if change > 0 else 'down'}_{abs(change) * 1e4:.0f}bp"


TOUCH_COLUMNS = tuple(f"touch_{_level(change)}" for change in LEVELS)
END_COLUMNS = tuple(f"end_{_level(change)}" for change in LEVELS)

_PARAMETERS = (
    "symbol, day, forecast_time, status, reason, drift, drift_estimate, drift_stderr, volatility, "
    "volatility_stderr, seconds_per_year, sample_start, sample_end, observations, seed, "
    "prob_up, var_95, es_95, var_99, es_99, caught_up, model, degrees_of_freedom, scale, outcomes, "
    f"drawdown_mean, drawdown_95, {', '.join((*TOUCH_COLUMNS, *END_COLUMNS))}"
)
_REFUSAL = "symbol, day, forecast_time, status, reason, caught_up"
_FORECAST = (
    "symbol, day, forecast_time, target_time, spot, p05, p25, p50, p75, p95, mean, "
    "actual, paths, horizon_seconds, volatility_seconds"
)
_DISTRIBUTION = "symbol, day, forecast_time, bin, low, high, count, density"
_OUTCOME = ", ".join(("symbol, day, forecast_time, target_time, spot, actual", *Score._fields))


class Store:
    """Reads and writes over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._select_bars = session.prepare(
            "SELECT window_start, close FROM bars_5s "
            "WHERE symbol = ? AND day = ? AND window_start >= ? AND window_start <= ?"
        )
        self._select_status = session.prepare(
            "SELECT status, reason FROM gbm_parameters WHERE symbol = ? AND day = ? AND forecast_time = ?"
        )
        self._select_past = session.prepare(
            "SELECT forecast_time, status, drift, volatility, seconds_per_year, degrees_of_freedom, scale, "
            "outcomes FROM gbm_parameters "
            "WHERE symbol = ? AND day = ? AND forecast_time >= ? AND forecast_time < ?"
        )
        self._select_end = session.prepare(
            "SELECT window_start, close FROM bars_5s "
            "WHERE symbol = ? AND day IN ? AND window_start >= ? AND window_start <= ?"
        )
        self._select_outcomes = session.prepare(
            f"SELECT {_OUTCOME} FROM gbm_scores "  # noqa: S608
            "WHERE symbol = ? AND day = ? AND forecast_time >= ? AND forecast_time < ?"
        )
        self._select_targets = session.prepare(
            f"SELECT {_FORECAST} FROM gbm_forecasts WHERE symbol = ? AND day = ? AND forecast_time = ?"  # noqa: S608
        )
        judgement = ", ".join(Judgement.columns())
        self._select_judgements = session.prepare(f"SELECT {judgement} FROM gbm_judgements WHERE scope = ?")  # noqa: S608
        self._insert_judgement = session.prepare(_insert("gbm_judgements", judgement))
        self._insert_parameters = session.prepare(_insert("gbm_parameters", _PARAMETERS))
        self._insert_refusal = session.prepare(_insert("gbm_parameters", _REFUSAL))
        self._insert_forecast = session.prepare(_insert("gbm_forecasts", _FORECAST))
        self._insert_distribution = session.prepare(_insert("gbm_distributions", _DISTRIBUTION))
        self._insert_outcome = session.prepare(_insert("gbm_scores", _OUTCOME))

    def symbols(self) -> list[Symbol]:
        """Return every symbol that was ever received, by name."""
        rows = self._session.execute(
            "SELECT symbol, calendar, first_seen, last_seen FROM symbols WHERE bucket = %s", [SYMBOLS_BUCKET]
        )
        return [
            Symbol(
                row.symbol,
                row.calendar,
                None if row.first_seen is None else row.first_seen.replace(tzinfo=UTC),
                row.last_seen.replace(tzinfo=UTC),
            )
            for row in rows
        ]

    def bars(self, symbol: str, start: datetime, end: datetime) -> Segment:
        """Return the priced bars that lie between `start` and `end`: starts in epoch seconds, and closes."""
        last = end - timedelta(seconds=BAR_SECONDS)
        rows = [
            (row.window_start, row.close)
            for day in _days(start, last)
            for row in self._session.execute(self._select_bars, (symbol, day, start, last))
            if row.close is not None and row.close > 0
        ]
        starts = np.array([start for start, _ in rows], dtype="datetime64[ms]")
        return Segment(
            starts.astype(np.int64) / 1000, np.array([close for _, close in rows], dtype=np.float64)
        )

    def status(self, symbol: str, at: datetime) -> tuple[str, str | None] | None:
        """Return status and reason of the forecast made at this time, None where there is none."""
        row = self._session.execute(self._select_status, (symbol, at.date(), at)).one()
        return None if row is None else (row.status, row.reason)

    def past_forecasts(self, symbol: str, start: datetime, end: datetime) -> list[PastForecast]:
        """Return the forecasts made from `start` until just before `end`."""
        forecasts = []
        for day in _days(start, end):
            key = (symbol, day, start, end)
            rows = self._session.execute(self._select_outcomes, key)
            outcomes = {row.forecast_time: _outcome(row) for row in rows}
            forecasts += [
                PastForecast(
                    row.forecast_time.replace(tzinfo=UTC),
                    row.drift,
                    row.volatility,
                    row.seconds_per_year,
                    PLAIN
                    if row.scale is None
                    else Mixture(row.degrees_of_freedom or math.inf, row.scale, row.outcomes),
                    outcomes.get(row.forecast_time),
                )
                for row in self._session.execute(self._select_past, key)
                if row.status == "ok"
            ]
        return forecasts

    def outcomes(self, symbols: Sequence[str], start: datetime, end: datetime) -> dict[str, list[Outcome]]:
        """Return each symbol's outcomes of forecasts made from `start` until just before `end`, ascending."""
        keys = [(symbol, day, start, end) for symbol in symbols for day in _days(start, end)]
        results = execute_concurrent_with_args(
            self._session,
            self._select_outcomes,
            keys,
            concurrency=CONCURRENT_READS,
            raise_on_first_error=True,
        )
        by_symbol: dict[str, list[Outcome]] = {symbol: [] for symbol in symbols}
        for (symbol, *_), (_, rows) in zip(keys, results, strict=True):
            by_symbol[symbol] += [outcome for row in rows if (outcome := _outcome(row)) is not None]
        return by_symbol

    def unchanged(self, symbol: str, outcomes: Sequence[Outcome]) -> set[datetime]:
        """Return the forecast times of the outcomes whose actual price is still that of the stored bars."""
        age = timedelta(seconds=MAX_AGE_SECONDS)
        spans = [(outcome.target_time - age, outcome.target_time) for outcome in outcomes]
        results = execute_concurrent_with_args(
            self._session,
            self._select_end,
            [(symbol, _days(start, end), start, end) for start, end in spans],
            concurrency=CONCURRENT_READS,
            raise_on_first_error=True,
        )
        unchanged = set()
        for outcome, (_, rows) in zip(outcomes, results, strict=True):
            priced = [
                (row.window_start, row.close) for row in rows if row.close is not None and row.close > 0
            ]
            if not priced or max(priced)[1] == outcome.actual:
                unchanged.add(outcome.forecast_time)
        return unchanged

    def targets(self, symbol: str, at: datetime) -> list[Target]:
        """Return the target times of the forecast made at `at`, ascending."""
        return [
            Target(
                row.target_time.replace(tzinfo=UTC),
                row.spot,
                Quantiles(row.p05, row.p25, row.p50, row.p75, row.p95),
                row.mean,
                row.actual,
                row.paths,
                row.horizon_seconds,
                row.volatility_seconds,
            )
            for row in self._session.execute(self._select_targets, (symbol, at.date(), at))
        ]

    def write_forecast(
        self, symbol: str, at: datetime, plan: Plan, forecast: Forecast, *, caught_up: bool = False
    ) -> None:
        """Write a forecast; its parameters come last, so that their row says that all is there."""
        self.write_targets(
            symbol,
            at,
            [
                Target(
                    at + timedelta(seconds=float(seconds)),
                    plan.model.spot,
                    Quantiles(*map(float, quantiles)),
                    float(mean),
                    None,
                    forecast.paths,
                    float(seconds),
                    None if plan.model.clock == STEADY else plan.model.clock.at(float(seconds)),
                )
                for seconds, quantiles, mean in zip(
                    forecast.seconds, forecast.quantiles, forecast.mean, strict=True
                )
            ],
        )
        columns = (forecast.low, forecast.high, forecast.count, forecast.density)
        bins = enumerate(zip(*(column.tolist() for column in columns), strict=True))
        self._write(self._insert_distribution, symbol, at, ((index, *values) for index, values in bins))
        calibration, mixture = plan.calibration, plan.model.mixture
        parameters = (
            "ok",
            None,
            calibration.drift,
            calibration.drift_estimate,
            calibration.drift_stderr,
            calibration.volatility,
            calibration.volatility_stderr,
            plan.model.seconds_per_year,
            plan.sample_start,
            plan.sample_end,
            calibration.observations,
            plan.seed,
            forecast.prob_up,
            forecast.var_95,
            forecast.es_95,
            forecast.var_99,
            forecast.es_99,
            caught_up,
            plan.model.name,
            mixture.degrees_of_freedom if math.isfinite(mixture.degrees_of_freedom) else None,
            mixture.scale,
            mixture.outcomes,
            forecast.drawdown_mean,
            forecast.drawdown_95,
            *forecast.touch.tolist(),
            *forecast.beyond.tolist(),
        )
        self._write(self._insert_parameters, symbol, at, [parameters])

    def write_refusal(self, symbol: str, at: datetime, refusal: Refusal, *, caught_up: bool = False) -> None:
        """Write why there is no forecast."""
        self._write(self._insert_refusal, symbol, at, [(refusal.status, refusal.reason, caught_up)])

    def write_targets(self, symbol: str, at: datetime, targets: Iterable[Target]) -> None:
        """Write whole rows, so that none outlives its neighbours when the retention ends."""
        self._write(
            self._insert_forecast,
            symbol,
            at,
            (
                (
                    target.time,
                    target.spot,
                    *target.quantiles,
                    target.mean,
                    UNSET_VALUE if target.actual is None else target.actual,
                    target.paths,
                    target.seconds,
                    target.volatility_seconds,
                )
                for target in targets
            ),
        )

    def write_outcome(self, symbol: str, outcome: Outcome) -> None:
        """Write what came of a forecast."""
        row = (outcome.target_time, outcome.spot, outcome.actual, *outcome.score)
        self._write(self._insert_outcome, symbol, outcome.forecast_time, [row])

    def write_judgements(self, judgements: Iterable[Judgement]) -> None:
        """Write the running figures that have changed."""
        rows = {(one.scope, one.name): one.row() for one in judgements}
        stored = {
            (row.scope, row.name): tuple(_utc(value) for value in row)
            for scope in {scope for scope, _ in rows}
            for row in self._session.execute(self._select_judgements, (scope,))
        }
        changed = [row for key, row in rows.items() if stored.get(key) != row]
        execute_concurrent_with_args(
            self._session,
            self._insert_judgement,
            changed,
            concurrency=CONCURRENT_WRITES,
            raise_on_first_error=True,
        )

    def _write(
        self, statement: PreparedStatement, symbol: str, at: datetime, rows: Iterable[tuple[Any, ...]]
    ) -> None:
        execute_concurrent_with_args(
            self._session,
            statement,
            [(symbol, at.date(), at, *row) for row in rows],
            concurrency=CONCURRENT_WRITES,
            raise_on_first_error=True,
        )


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _outcome(row: Any) -> Outcome | None:
    """Return a row's outcome; None where an older version wrote it, with fewer columns."""
    if row.log_score is None:
        return None
    return Outcome(
        row.forecast_time.replace(tzinfo=UTC),
        row.target_time.replace(tzinfo=UTC),
        row.spot,
        row.actual,
        Score(*(getattr(row, name) for name in Score._fields)),
    )


def model_of(past: PastForecast, targets: Sequence[Target]) -> Model:
    """Return the model that an earlier forecast of these targets was made with."""
    steady = any(target.volatility_seconds is None for target in targets)
    clock = (
        STEADY
        if steady
        else Clock(
            tuple(target.seconds for target in targets),
            tuple(target.volatility_seconds or 0.0 for target in targets),
        )
    )
    return Model(targets[0].spot, past.drift, past.volatility, past.seconds_per_year, past.mixture, clock)


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(", "))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608


def _days(start: datetime, end: datetime) -> list[Any]:
    return [start.date() + timedelta(days=number) for number in range((end.date() - start.date()).days + 1)]
