"""What became of earlier forecasts: actual prices, and the scores of those whose last target has passed."""

from datetime import datetime, timedelta

import numpy as np

from common.bars import BAR_SECONDS, CORRECTION_WINDOW
from gbm_analysis.records import Outcome, PastForecast
from gbm_analysis.scoring import actual_prices, score
from gbm_analysis.store import Store, model_of

RESCORED_SPAN = timedelta(days=1)


def score_past_forecasts(store: Store, symbol: str, now: datetime, horizon: timedelta) -> None:
    """Fill in the actual prices of a day's forecasts, and score those whose last target has passed.

    A settled forecast is looked at again only when the bar that its score came from has changed.
    """
    pasts = store.past_forecasts(symbol, now - horizon - RESCORED_SPAN, now)
    settled = [
        past for past in pasts if past.outcome and past.forecast_time < now - horizon - CORRECTION_WINDOW
    ]
    unchanged = store.unchanged(symbol, [past.outcome for past in settled if past.outcome])
    for past in pasts:
        if past.forecast_time not in unchanged:
            _compare(store, symbol, past, now)


def _compare(store: Store, symbol: str, past: PastForecast, now: datetime) -> None:
    targets = store.targets(symbol, past.forecast_time)
    passed = [target for target in targets if target.time <= now]
    if not passed:
        return
    first, last = past.forecast_time - timedelta(minutes=1), passed[-1].time + timedelta(seconds=BAR_SECONDS)
    times = np.array([target.time.timestamp() for target in passed])
    prices = actual_prices(store.bars(symbol, first, last), times)
    filled = [
        target._replace(actual=None if np.isnan(price) else float(price))
        for target, price in zip(passed, prices, strict=True)
    ]
    changed = [new for new, old in zip(filled, passed, strict=True) if new.actual not in (None, old.actual)]
    store.write_targets(symbol, past.forecast_time, changed)
    end = filled[-1]
    if len(passed) == len(targets) and end.actual is not None:
        model = model_of(past, targets)
        outcome = Outcome(
            past.forecast_time,
            end.time,
            end.spot,
            end.actual,
            score(model, end.seconds, end.quantiles, end.actual),
        )
        if outcome != past.outcome:
            store.write_outcome(symbol, outcome)
