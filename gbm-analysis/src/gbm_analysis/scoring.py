"""Whether a forecast was right: what came of each target time, and how good the distribution was."""

from typing import NamedTuple

import numpy as np

from common.gbm import QUANTILES, Floats
from common.gbm.calibration import Segment
from common.gbm.model import Model

MAX_AGE_SECONDS = 60.0


class Score(NamedTuple):
    """How a forecast's last target fared; `crps` and the errors are in the price's unit.

    `standardised` is the outcome in deviations of the plain model, from its mean; what begins with `plain_`
    is how the plain model would have fared.
    """

    crps: float
    pit: float
    inside_50: bool
    inside_90: bool
    absolute_error: float
    naive_absolute_error: float
    log_score: float
    standardised: float
    plain_crps: float
    plain_pit: float
    plain_inside_50: bool
    plain_inside_90: bool
    plain_log_score: float


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
    plain = model.plain
    plain_pit = plain.pit(actual, seconds)
    return Score(
        crps=model.crps(actual, seconds),
        pit=model.pit(actual, seconds),
        inside_50=quantiles.p25 <= actual <= quantiles.p75,
        inside_90=quantiles.p05 <= actual <= quantiles.p95,
        absolute_error=abs(actual - quantiles.p50),
        naive_absolute_error=abs(actual - model.spot),
        log_score=model.log_score(actual, seconds),
        standardised=model.standardised(actual, seconds),
        plain_crps=plain.crps(actual, seconds),
        plain_pit=plain_pit,
        plain_inside_50=_inside(plain_pit, 0.5),
        plain_inside_90=_inside(plain_pit, 0.9),
        plain_log_score=plain.log_score(actual, seconds),
    )


def closed_form_quantiles(model: Model, seconds: float) -> Quantiles:
    """Return the quantiles of the price, `seconds` ahead, without a simulation."""
    return Quantiles(*(model.quantile(share, seconds) for share in QUANTILES))


def _inside(pit: float, share: float) -> bool:
    """Return whether an outcome was in the central band that holds `share`."""
    return abs(pit - 0.5) <= share / 2
