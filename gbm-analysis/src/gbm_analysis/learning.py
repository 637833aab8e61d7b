"""What past forecasts teach the next: the mixture of each asset class, and the time of day of sessions."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from pyspark import SparkContext

from common.gbm.mixture import PLAIN, Mixture, learn
from common.gbm.profile import Profile, learn_profile
from common.symbols import asset_class
from gbm_analysis.backtest import History, outcome_weight, walk_times, whole_session
from gbm_analysis.backtest_run import PROFILE_SPAN, try_forecasts
from gbm_analysis.errors import RUN_ERRORS, explain
from gbm_analysis.records import Outcome, Symbol
from gbm_analysis.sessions import AROUND_THE_CLOCK, sessions_before
from gbm_analysis.settings import GbmSettings
from gbm_analysis.store import Store

# With fewer scored forecasts of a class, forecasts of the past are tried instead: at most so many.
MIN_OUTCOMES = 24
MAX_TRIALS = 48
# A profile is an average; more symbols' sessions would only cost time.
PROFILE_SYMBOLS = 20
HOUR = timedelta(hours=1)

log = logging.getLogger("gbm_analysis")


class Knowledge:
    """What was known at a time; it learns from nothing that came later."""

    def __init__(
        self,
        store: Store,
        settings: GbmSettings,
        spark: Callable[[], SparkContext],
        symbols: Sequence[Symbol],
        outcomes: Mapping[str, Sequence[Outcome]],
    ) -> None:
        self._store = store
        self._settings = settings
        self._spark = spark
        self._symbols = symbols
        self._outcomes = outcomes
        self._mixtures: dict[tuple[str, datetime], Mixture] = {}
        self._profiles: dict[tuple[str, datetime], Profile | None] = {}

    def mixture(self, symbol: Symbol, at: datetime) -> Mixture:
        """Return the mixture of a symbol's asset class."""
        if self._settings.gbm_model == "plain":
            return PLAIN
        kind = asset_class(symbol.name)
        if (kind, at) not in self._mixtures:
            self._mixtures[kind, at] = self._from_scores(kind, at) or self._from_trials(kind, at)
        return self._mixtures[kind, at]

    def profile(self, symbol: Symbol, at: datetime) -> Profile | None:
        """Return the volatility's time of day, of the sessions before; None around the clock."""
        if symbol.calendar == AROUND_THE_CLOCK:
            return None
        if (symbol.calendar, at) not in self._profiles:
            sessions = sessions_before(symbol.calendar, at)
            same = [one.name for one in self._symbols if one.calendar == symbol.calendar]
            bars = [
                whole_session(self._store.bars(name, *session), session)
                for name in same[:PROFILE_SYMBOLS]
                for session in sessions
            ]
            self._profiles[symbol.calendar, at] = learn_profile([one for one in bars if one is not None])
        return self._profiles[symbol.calendar, at]

    def _from_scores(self, kind: str, at: datetime) -> Mixture | None:
        standardised, weights = [], []
        for symbol, outcomes in self._outcomes.items():
            before: datetime | None = None
            for outcome in outcomes if asset_class(symbol) == kind else ():
                if outcome.target_time > at or outcome.score.standardised is None:
                    continue
                horizon = (outcome.target_time - outcome.forecast_time).total_seconds()
                gap = horizon if before is None else (outcome.forecast_time - before).total_seconds()
                standardised.append(outcome.score.standardised)
                weights.append(outcome_weight(gap, horizon))
                before = outcome.forecast_time
        return learn(standardised, weights) if sum(weights) >= MIN_OUTCOMES else None

    def _from_trials(self, kind: str, at: datetime) -> Mixture:
        symbols = [symbol for symbol in self._symbols if asset_class(symbol.name) == kind][:MAX_TRIALS]
        horizon = timedelta(seconds=self._settings.gbm_horizon_seconds)
        every = max(HOUR, horizon)
        start = at - every * max(1, MAX_TRIALS // len(symbols)) - horizon
        sample = timedelta(hours=self._settings.gbm_sample_hours)
        walks = []
        for symbol in symbols:
            around_the_clock = symbol.calendar == AROUND_THE_CLOCK
            begin = start - (sample if around_the_clock else PROFILE_SPAN)
            try:
                times = walk_times(symbol.calendar, start, at, every, horizon)
                walks.append((self._history(symbol, begin, at), times))
            except RUN_ERRORS:
                raise
            except Exception as error:
                log.warning("Nothing was learnt from %s: %s.", symbol.name, explain(error))
        trials = try_forecasts(self._settings, self._spark, walks)
        return learn(trial.model.standardised(trial.actual, trial.seconds) for trial in trials)

    def _history(self, symbol: Symbol, start: datetime, end: datetime) -> History:
        bars = self._store.bars(symbol.name, start, end)
        return History(symbol.name, asset_class(symbol.name), symbol.calendar, bars)
