"""Forecasts of the past on Spark, from stored bars: to test them, and to learn while there are no scores."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pydantic import SecretStr
from pyspark import SparkContext

from common.gbm.calibration import Segment
from common.symbols import asset_class
from gbm_analysis.backtest import History, Judged, Trial, judge, profiles, walk_times
from gbm_analysis.evaluation import Verdict, figures, plain_verdict, verdict
from gbm_analysis.planning import MAX_SPOT_AGE, MIN_SAMPLE
from gbm_analysis.records import Symbol
from gbm_analysis.scoring import MAX_AGE_SECONDS, Score, actual_prices
from gbm_analysis.sessions import AROUND_THE_CLOCK, sample_spans
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import run_on_spark
from gbm_analysis.store import Store
from gbm_analysis.trials import TrialTask, run_trials

# The sessions before a walk, of which the profile of its first days is made.
PROFILE_SPAN = timedelta(days=10)
# How long before a walk's start the outcomes lie that its first forecasts learn from.
LEARNING_SPAN = timedelta(days=30)
# Some seconds of work, so that progress shows.
TASK_TRIALS = 8

Report = Callable[[str], None]


class NothingToTestError(Exception):
    """Say in one sentence why no forecast could be tried."""


def backtest(
    store: Store,
    settings: GbmSettings,
    spark: Callable[[], SparkContext],
    *,
    symbols: Sequence[Symbol],
    start: datetime | None,
    end: datetime,
    every: timedelta,
    report: Report,
) -> dict[str, Any]:
    """Walk over the stored bars from `start` (their first, unless told) to `end`; return the figures.

    What is learnt, is learnt from the outcomes known at each forecast's time, those before `start` too.
    Raises NothingToTestError where there is no forecast with an outcome.
    """
    report("Reading the bars ...")
    first = None if start is None else start - LEARNING_SPAN
    histories = [one for symbol in symbols if (one := _read(store, settings, symbol, first, end))]
    if not histories:
        raise NothingToTestError(f"No bars of {_names(symbols)} were stored {_span(start, end)}.")
    horizon = timedelta(seconds=settings.gbm_horizon_seconds)
    walks = [
        (history, walk_times(history.calendar, _begin(history, first), end, every, horizon))
        for history in histories
    ]
    trials = try_forecasts(settings, spark, walks, report)
    judged = judge(trials, plain=settings.gbm_model == "plain")
    result = summarise([one for one in judged if start is None or one.trial.at >= start])
    if not result["symbols"]:
        raise NothingToTestError(
            f"No forecast of {_names(symbols)} could be tried {_span(start, end)}: each needs "
            f"{MIN_SAMPLE // timedelta(minutes=1)} minutes of bars before it, and a price "
            f"{settings.gbm_horizon_seconds} s after it."
        )
    return result


def summarise(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the figures overall and by symbol; `plain` in each are those of the plain model."""
    by_symbol: dict[str, list[Judged]] = {}
    for one in judged:
        by_symbol.setdefault(one.trial.symbol, []).append(one)
    return {
        "overall": _figures(list(by_symbol.values())),
        "symbols": {symbol: _figures([series]) for symbol, series in sorted(by_symbol.items())},
    }


def try_forecasts(
    settings: GbmSettings,
    spark: Callable[[], SparkContext],
    walks: Sequence[tuple[History, Sequence[datetime]]],
    report: Report | None = None,
) -> list[Trial]:
    """Return the forecasts at these times that could be made and have an outcome, oldest first."""
    profile_of = profiles([history for history, _ in walks])
    # Workers log in nowhere.
    settings = settings.model_copy(update={"cassandra_gbm_analysis_password": SecretStr("")})
    tasks = []
    for history, times in walks:
        possible = _possible(settings, history, times)
        for first in range(0, len(possible), TASK_TRIALS):
            chunk = tuple(possible[first : first + TASK_TRIALS])
            known = tuple(profile_of(history.calendar, at) for at in chunk)
            tasks.append(TrialTask(settings, _cut(settings, history, chunk), chunk, known))
    if not tasks:
        return []
    trials: list[Trial] = run_on_spark(spark(), tasks, run_trials, len(tasks), report)
    return sorted(trials, key=lambda trial: (trial.at, trial.symbol))


def _figures(group: Sequence[Sequence[Judged]]) -> dict[str, Any] | None:
    def of(make: Callable[[Score, float], Verdict]) -> dict[str, Any] | None:
        found = figures([[make(one.score, one.trial.model.spot) for one in series] for series in group])
        return None if found is None else asdict(found)

    forecast = of(verdict)
    return None if forecast is None else {**forecast, "plain": of(plain_verdict)}


def _read(
    store: Store, settings: GbmSettings, symbol: Symbol, start: datetime | None, end: datetime
) -> History | None:
    first = start or symbol.first_seen or end
    if symbol.calendar == AROUND_THE_CLOCK:
        first -= timedelta(hours=settings.gbm_sample_hours)
    else:
        first -= PROFILE_SPAN
    bars = store.bars(symbol.name, first, end)
    if len(bars.times) == 0:
        return None
    return History(symbol.name, asset_class(symbol.name), symbol.calendar, bars)


def _possible(settings: GbmSettings, history: History, times: Sequence[datetime]) -> list[datetime]:
    """Return the times with a price shortly before them and an outcome; the others cost no task."""
    starts = history.bars.times
    if len(starts) == 0:
        return []
    moments = np.array([at.timestamp() for at in times])
    last = np.searchsorted(starts, moments, side="left") - 1
    fresh = (last >= 0) & (moments - starts[last] <= MAX_SPOT_AGE.total_seconds() + MAX_AGE_SECONDS)
    outcome = ~np.isnan(actual_prices(history.bars, moments + settings.gbm_horizon_seconds))
    return [at for at, possible in zip(times, fresh & outcome, strict=True) if possible]


def _cut(settings: GbmSettings, history: History, times: Sequence[datetime]) -> History:
    """Return a history without the bars that no forecast at these times needs."""
    spans = sample_spans(history.calendar, times[0], timedelta(hours=settings.gbm_sample_hours))
    begin = spans[0].start if spans else times[0]
    end = times[-1].timestamp() + settings.gbm_horizon_seconds + MAX_AGE_SECONDS
    starts, prices = history.bars
    part = slice(*np.searchsorted(starts, [begin.timestamp(), end]))
    return history._replace(bars=Segment(starts[part], prices[part]))


def _begin(history: History, first: datetime | None) -> datetime:
    """Return when a walk begins: not before there are bars."""
    bars = datetime.fromtimestamp(float(history.bars.times[0]), UTC)
    return bars if first is None else max(bars, first)


def _names(symbols: Sequence[Symbol]) -> str:
    return ", ".join(symbol.name for symbol in symbols) or "any symbol"


def _span(start: datetime | None, end: datetime) -> str:
    until = f"until {end:%Y-%m-%d %H:%M} UTC"
    return until if start is None else f"from {start:%Y-%m-%d %H:%M} {until}"
