"""Whether a forecast was right: what came of each target time, and how good the distribution was."""

from typing import NamedTuple

import numpy as np

from common.gbm import Floats
from common.gbm.calibration import Segment
from common.gbm.model import Model

MAX_AGE_SECONDS = 60.0


class Score(NamedTuple):
    """How a forecast's last target fared; `crps` and the errors are in the price's unit."""

    crps: float
    pit: float
    inside_50: bool
    inside_90: bool
    absolute_error: float
    naive_absolute_error: float


class Quantiles(NamedTuple):
    """A stored forecast of one target time."""

    p05: float
    p25: float
    p50: float
    p75: float
    p95: float


def actual_prices(bars: Segment, targets: Floats) -> Floats:
    """Return the close of the last bar that starts at or before each target; NaN where over 60 s old."""
    if len(bars.times) == 0:
        return np.full(len(targets), np.nan)
    last = np.searchsorted(bars.times, targets, side="right") - 1
    known = (last >= 0) & (targets - bars.times[last] <= MAX_AGE_SECONDS)
    return np.where(known, bars.prices[last], np.nan)


def score(model: Model, seconds: float, quantiles: Quantiles, actual: float) -> Score:
    """Compare a forecast, `seconds` ahead, with the price that came; the naive forecast is the spot."""
    return Score(
        crps=model.crps(actual, seconds),
        pit=model.pit(actual, seconds),
        inside_50=quantiles.p25 <= actual <= quantiles.p75,
        inside_90=quantiles.p05 <= actual <= quantiles.p95,
        absolute_error=abs(actual - quantiles.p50),
        naive_absolute_error=abs(actual - model.spot),
    )
