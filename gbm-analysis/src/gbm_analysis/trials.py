"""What Spark's workers do in a backtest: plan forecasts of the past, each from the bars before it."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from common.gbm.profile import Profile
from gbm_analysis.backtest import History, Trial, try_forecast
from gbm_analysis.settings import GbmSettings

log = logging.getLogger("gbm_analysis")


class TrialTask(NamedTuple):
    """Forecasts of one symbol: when, with the profile known at each time, and the bars they need."""

    settings: GbmSettings
    history: History
    times: tuple[datetime, ...]
    profiles: tuple[Profile | None, ...]


def run_trials(tasks: Iterable[TrialTask]) -> Iterator[Trial]:
    """Return the forecasts that could be made and have an outcome."""
    for task in tasks:
        for at, profile in zip(task.times, task.profiles, strict=True):
            try:
                trial = try_forecast(task.settings, task.history, at, profile)
            except Exception as error:
                log.warning("The forecast of %s at %s failed: %s.", task.history.symbol, at, error)
                continue
            if isinstance(trial, Trial):
                yield trial
