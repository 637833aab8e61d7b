"""One run: look back at earlier forecasts, then make the new ones."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyspark import SparkContext

from common.gbm.simulation import Forecast, summarise
from gbm_analysis.backtest_run import LEARNING_SPAN
from gbm_analysis.errors import RUN_ERRORS, explain
from gbm_analysis.judgement import judge_outcomes
from gbm_analysis.learning import Knowledge
from gbm_analysis.lock import RunLock
from gbm_analysis.outcome import RunOutcome
from gbm_analysis.past_forecasts import score_past_forecasts
from gbm_analysis.planning import MIN_SAMPLE, Plan, Refusal, market_closed, plan_forecast
from gbm_analysis.records import Symbol
from gbm_analysis.sessions import close_after, sample_spans
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import run_tasks
from gbm_analysis.store import Store
from gbm_analysis.tasks import SimulationError, tasks_of

ACTIVE = timedelta(days=7)
HOUR = timedelta(hours=1)
# The simulations of so many symbols are in memory at once, some 2 MB each.
BATCH_SYMBOLS = 16

log = logging.getLogger("gbm_analysis")

Report = Callable[[str], None]


class UnknownSymbolError(Exception):
    """Say in one sentence which symbol was never received."""


def choose_symbols(known: Sequence[Symbol], names: Sequence[str], now: datetime) -> list[Symbol]:
    """Return the symbols named, or all that were received in the last seven days."""
    if not names:
        return [symbol for symbol in known if now - symbol.last_seen <= ACTIVE]
    by_name = {symbol.name: symbol for symbol in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        received = f"received were {', '.join(by_name)}" if by_name else "nothing was received yet"
        raise UnknownSymbolError(f"The symbol {unknown[0]} was never received; {received}.")
    return [by_name[name] for name in dict.fromkeys(names)]


class Run:
    """One run, under its lock; it reports a line for each symbol, and an error costs only its symbol."""

    def __init__(
        self,
        store: Store,
        settings: GbmSettings,
        lock: RunLock,
        spark: Callable[[], SparkContext],
        report: Report,
    ) -> None:
        self._store = store
        self._settings = settings
        self._lock = lock
        self._report = report
        self._spark = spark
        self._results: Counter[str] = Counter()
        self._newest: datetime | None = None
        self._scheduled = False
        self._knowledge = Knowledge(store, settings, spark, [], {})

    def run(self, *, names: Sequence[str], scheduled: bool, now: datetime) -> RunOutcome:
        """Forecast as of now; or `scheduled`, as of the full hour, where nothing is written twice.

        A scheduled run catches up the hour before where no run was then: with the bars up to that hour, and
        marked. Raises UnknownSymbolError before anything is written.
        """
        began = time.monotonic()
        self._scheduled = scheduled
        at = now.replace(minute=0, second=0, microsecond=0) if scheduled else now.replace(microsecond=0)
        known = self._store.symbols()
        symbols = choose_symbols(known, names, now)
        if not symbols:
            self._report("No symbols were received yet: there was nothing to forecast.")
        if scheduled:
            symbols = [symbol for symbol in symbols if not self._is_there(symbol, at)]
        for symbol in symbols:
            self._score_past_forecasts(symbol, now)
        if symbols:
            self._learn([*dict.fromkeys((*choose_symbols(known, [], now), *symbols))], now)
        if scheduled:
            missed = [symbol for symbol in symbols if self._missed(symbol, at - HOUR)]
            self._forecast(missed, at - HOUR, caught_up=True)
        self._forecast(symbols, at)
        return RunOutcome(
            ended=datetime.now(UTC).timestamp(),
            duration=time.monotonic() - began,
            forecast=self._results["forecast"],
            refused=self._results["refused"],
            failed=self._results["failed"],
            newest_forecast=None if self._newest is None else self._newest.timestamp(),
        )

    def _score_past_forecasts(self, symbol: Symbol, now: datetime) -> None:
        try:
            horizon = timedelta(seconds=self._settings.gbm_horizon_seconds)
            score_past_forecasts(self._store, symbol.name, now, horizon)
        except RUN_ERRORS:
            raise
        except Exception as error:
            self._report(f"{symbol.name}: its earlier forecasts were not scored: {explain(error)}.")

    def _learn(self, symbols: Sequence[Symbol], now: datetime) -> None:
        """Read the outcomes of these symbols' forecasts: to judge them, and to learn from them."""
        outcomes = self._store.outcomes([symbol.name for symbol in symbols], now - LEARNING_SPAN, now)
        self._knowledge = Knowledge(self._store, self._settings, self._spark, symbols, outcomes)
        self._lock.require()
        self._store.write_judgements(judge_outcomes(outcomes))

    def _missed(self, symbol: Symbol, at: datetime) -> bool:
        """Return whether a symbol had bars enough at `at`, but no run looked at them then."""
        had_bars = symbol.first_seen is not None and symbol.first_seen + MIN_SAMPLE <= at
        return had_bars and self._store.status(symbol.name, at) is None

    def _is_there(self, symbol: Symbol, at: datetime) -> bool:
        status = self._store.status(symbol.name, at)
        if status is None or status[0] != "ok":
            return False
        self._report(f"{symbol.name}: the forecast of {at:%Y-%m-%d %H:%M} UTC was there already")
        self._count("forecast", at)
        return True

    def _forecast(self, symbols: Sequence[Symbol], at: datetime, *, caught_up: bool = False) -> None:
        for first in range(0, len(symbols), BATCH_SYMBOLS):
            batch = symbols[first : first + BATCH_SYMBOLS]
            plans = {symbol.name: self._plan(symbol, at) for symbol in batch}
            forecasts = self._simulate({name: plan for name, plan in plans.items() if isinstance(plan, Plan)})
            self._lock.require()
            for name, plan in plans.items():
                line = self._record(name, at, plan, forecasts.get(name), caught_up)
                self._report(f"{name}: {f'caught up {at:%H:%M} UTC, ' if caught_up else ''}{line}")

    def _record(
        self,
        name: str,
        at: datetime,
        plan: Plan | Refusal,
        forecast: Forecast | Refusal | None,
        caught_up: bool,
    ) -> str:
        """Write what there is for a symbol; return it in a line."""
        try:
            if isinstance(plan, Plan) and isinstance(forecast, Forecast):
                self._store.write_forecast(name, at, plan, forecast, caught_up=caught_up)
                self._count("forecast", at)
                return _summary(plan, forecast)
            refusal = plan if isinstance(plan, Refusal) else forecast
            if not isinstance(refusal, Refusal):
                raise TypeError("the simulation gave no result")
        except RUN_ERRORS:
            raise
        except Exception as error:
            refusal = self._failure(error)
        if self._store.status(name, at) != (refusal.status, refusal.reason):
            self._store.write_refusal(name, at, refusal, caught_up=caught_up)
        self._count("failed" if refusal.status == "failed" else "refused", at)
        return f"{refusal.status}. {refusal.reason}"

    def _plan(self, symbol: Symbol, at: datetime) -> Plan | Refusal:
        try:
            close = close_after(symbol.calendar, at)
            if close is None:
                return market_closed(symbol.calendar, at)
            spans = sample_spans(symbol.calendar, at, timedelta(hours=self._settings.gbm_sample_hours))
            plan = plan_forecast(
                self._settings,
                symbol=symbol.name,
                calendar=symbol.calendar,
                at=at,
                close=close,
                sample=[self._store.bars(symbol.name, span.start, span.end) for span in spans],
                profile=self._knowledge.profile(symbol, at),
            )
            # Only a plan is worth what the mixture may cost.
            if isinstance(plan, Plan):
                mixture = self._knowledge.mixture(symbol, at)
                plan = replace(plan, model=replace(plan.model, mixture=mixture))
            return plan
        except RUN_ERRORS:
            raise
        except Exception as error:
            return self._failure(error)

    def _simulate(self, plans: dict[str, Plan]) -> dict[str, Forecast | Refusal]:
        if not plans:
            return {}
        paths = self._settings.gbm_paths
        tasks = [
            task
            for name, plan in plans.items()
            for task in tasks_of(name, plan.model, plan.seconds, plan.seed, paths)
        ]
        tallies = run_tasks(self._spark(), tasks)
        results: dict[str, Forecast | Refusal] = {}
        for name, plan in plans.items():
            tally = tallies[name]
            try:
                if isinstance(tally, SimulationError):
                    raise tally
                results[name] = summarise(plan.model, plan.seconds, tally)
            except Exception as error:
                results[name] = self._failure(error)
        return results

    def _count(self, result: str, at: datetime) -> None:
        self._results[result] += 1
        if result == "forecast" and (self._newest is None or at > self._newest):
            self._newest = at

    def _failure(self, error: Exception) -> Refusal:
        if self._scheduled:
            log.error("A forecast failed.", exc_info=error)
        reason = str(error) if isinstance(error, SimulationError) else explain(error)
        return Refusal("failed", f"The forecast failed: {reason}.")


def _summary(plan: Plan, forecast: Forecast) -> str:
    low, median, high = (forecast.quantiles[-1][index] for index in (0, 2, 4))
    return (
        f"ok. {plan.model.spot:.6g} now; in {forecast.seconds[-1] / 60:.0f} minutes {median:.6g}, "
        f"with 90 % between {low:.6g} and {high:.6g}; {plan.model.name}, volatility "
        f"{plan.model.volatility:.0%} a year +- {plan.calibration.volatility_stderr:.0%}"
    )
