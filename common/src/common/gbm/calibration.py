"""Calibration: drift and volatility from irregularly spaced noisy prices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.gbm import Floats

PRIOR_SHARPE = 1.0
# The noise of successive trades is not independent, as the likelihood takes it to be; over a minute it has
# faded. A short sample is looked at more closely, since few prices tell less than noisy ones.
CLOSE_SECONDS = 60.0
MIN_CLOSES = 180
# A price is a spike when it lies this far from both of its sides: half a percent, or many times the usual.
SPIKE = 0.005
SPIKE_DEVIATIONS = 15.0
# Less is the rounding of a log price, some 1e-15, and no move.
LEAST_MOVE = 1e-12
_SIDE = 5
# The noise ratios that are tried first, in units of the usual spacing.
_RATIOS = np.append(0.0, np.logspace(-3, 3, 49))  # pragma: no mutate: how fine the search is


class CalibrationError(Exception):
    """Say in one sentence why prices do not determine a model."""


class Segment(NamedTuple):
    """Prices of one uninterrupted stretch of trading; `times` in seconds, ascending."""

    times: Floats
    prices: Floats


@dataclass(frozen=True)
class Calibration:
    """What a sample of prices tells; rates per year, `noise` is the standard deviation of one log price."""

    drift: float
    drift_estimate: float
    drift_stderr: float
    volatility: float
    volatility_stderr: float
    noise: float
    observations: int


def closes(segment: Segment, interval: float = CLOSE_SECONDS) -> Segment:
    """Return the last price of each interval (seconds), spikes aside."""
    times, prices = without_spikes(segment)
    numbers = np.floor(times / interval)
    last = np.append(numbers[1:] != numbers[:-1], True)[: len(numbers)]
    return Segment(times[last], prices[last])


def close_interval(length: float) -> float:
    """Return the interval between closes, in seconds, for a sample that is `length` seconds long."""
    return min(CLOSE_SECONDS, length / MIN_CLOSES)


def without_spikes(segment: Segment) -> Segment:
    """Return the prices that are above 0 and within reach of those before or after them.

    A wrong price is far from both of its sides, a jump only from one. A side is the median of up to five
    prices, so that two wrong prices in a row go too; an end has one side. In the manner of Brownlees and
    Gallo (2006), Comput. Stat. Data Anal. 51, 2232-2245.
    """
    priced = np.isfinite(segment.prices) & (segment.prices > 0)
    times, prices = segment.times[priced], segment.prices[priced]
    if len(prices) == 0:
        return Segment(times, prices)
    logarithms = np.log(prices)
    padding = np.full(_SIDE, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([padding, logarithms, padding]), 2 * _SIDE + 1
    )
    before = np.abs(logarithms[1:] - np.nanmedian(windows[1:, :_SIDE], axis=1))
    after = np.abs(logarithms[:-1] - np.nanmedian(windows[:-1, -_SIDE:], axis=1))
    distance = np.minimum(np.append(np.inf, before), np.append(after, np.inf))
    usual = float(np.median(distance))
    kept = distance <= max(SPIKE, SPIKE_DEVIATIONS * usual)
    return Segment(times[kept], prices[kept])


def calibrate(segments: Sequence[Segment], seconds_per_year: float) -> Calibration:
    """Estimate drift and volatility from prices that bounce around the true one.

    Maximum likelihood for a Brownian log price seen with independent noise (bid-ask bounce, rounding), for
    any spacing: the returns' covariance is then tridiagonal,
    volatility^2 * (diag(dt) + ratio * tridiag(-1, 2, -1)). Every price is used, and the noise does not count
    as volatility: Ait-Sahalia, Mykland and Zhang (2005), Rev. Financ. Stud. 18, 351-416; robust to other
    noise and to changing volatility: Xiu (2010), J. Econometrics 159, 235-250. Drift by generalised least
    squares; volatility with n - 1; standard errors from the observed information. Segments share nothing but
    the parameters. Prices that are not above 0, and spikes, are ignored. Raises CalibrationError when fewer
    than three returns are left, the price never moved, moved at one pace only, or took all moves back.
    """
    returns, spacings, first = _returns(segments)
    if len(returns) < 3:
        raise CalibrationError(f"{len(returns)} price changes were found, but at least 3 are needed")
    if not np.any(returns):
        raise CalibrationError(f"the price did not change in {len(returns) + 1} bars")
    pace = returns.sum() / spacings.sum()
    if np.max(np.abs(returns - pace * spacings)) < LEAST_MOVE:
        raise CalibrationError(f"{len(returns) + 1} prices lay on a line")
    grid = float(np.median(spacings)) * _RATIOS
    best = int(np.argmin(_profile(returns, spacings, first, grid).cost))
    if best == len(grid) - 1:
        raise CalibrationError(f"{len(returns) + 1} prices bounced, but did not move")
    if best == 0:
        ratio, information = 0.0, (len(returns) - 1) / 2
    else:
        fine = np.geomspace(
            grid[max(best - 1, 1)], grid[best + 1], 33
        )  # pragma: no mutate: how fine the search is
        ratio = float(fine[np.argmin(_profile(returns, spacings, first, fine).cost)])
        information = _information(_profile(returns, spacings, first, ratio * np.exp([-0.1, 0.0, 0.1])))
    fit = _profile(returns, spacings, first, np.array([ratio]))
    variance, slope, precision = float(fit.variance[0]), float(fit.slope[0]), float(fit.precision[0])
    volatility = math.sqrt(variance * seconds_per_year)
    volatility_stderr = volatility / 2 / math.sqrt(information)
    slope_stderr = math.sqrt(variance / precision) * seconds_per_year
    estimate = slope * seconds_per_year + volatility**2 / 2
    stderr = math.hypot(slope_stderr, volatility * volatility_stderr)
    return Calibration(
        drift=shrink_drift(estimate, stderr, volatility),
        drift_estimate=estimate,
        drift_stderr=stderr,
        volatility=volatility,
        volatility_stderr=volatility_stderr,
        noise=math.sqrt(variance * ratio),
        observations=len(returns),
    )


def shrink_drift(estimate: float, stderr: float, volatility: float) -> float:
    """Return the posterior mean of the drift under a prior N(0, (PRIOR_SHARPE * volatility)^2).

    The accuracy of a drift depends on the length of the sample alone, not on how often it is sampled: Merton
    (1980), J. Financ. Econ. 8, 323-361; hours cannot know it. So it is shrunk towards none, in the manner of
    Jorion (1986), J. Financ. Quant. Anal. 21, 279-292, by a prior as wide as the volatility.
    """
    prior = (PRIOR_SHARPE * volatility) ** 2
    return estimate * prior / (prior + stderr**2)


class _Profile(NamedTuple):
    """The likelihood at each noise ratio, all (ratios,); `cost` is -2 log of it, best variance and slope."""

    cost: Floats
    log_determinant: Floats
    residual: Floats
    variance: Floats
    slope: Floats
    precision: Floats


def _returns(segments: Sequence[Segment]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return log returns, their spacings in seconds, and which are the first of a segment."""
    returns, spacings, first = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=bool)]
    for times, prices in map(without_spikes, segments):
        changes = np.diff(np.log(prices))
        returns.append(changes)
        spacings.append(np.diff(times))
        first.append(np.arange(len(changes)) == 0)
    joined = np.concatenate(spacings)
    if np.any(joined <= 0):
        raise ValueError("the times of the prices did not ascend")
    return np.concatenate(returns), joined, np.concatenate(first)


def _profile(returns: Floats, spacings: Floats, first: NDArray[np.bool_], ratios: Floats) -> _Profile:
    """Factor the tridiagonal covariance (L D L') and whiten returns and spacings, for all ratios at once."""
    count = len(returns)
    pivots = np.empty((count, len(ratios)))
    white = np.empty((count, 2, len(ratios)))
    observed = np.stack([returns, spacings], axis=1)[:, :, None]
    diagonal = spacings[:, None] + 2 * ratios
    for index in range(count):
        if first[index]:
            pivots[index] = diagonal[index]
            white[index] = observed[index]
        else:
            factor = ratios / pivots[index - 1]
            pivots[index] = diagonal[index] - ratios * factor
            white[index] = observed[index] + factor * white[index - 1]
    changes, spans = white[:, 0], white[:, 1]
    precision = (spans * spans / pivots).sum(axis=0)
    slope = (changes * spans / pivots).sum(axis=0) / precision
    residual = ((changes - slope * spans) ** 2 / pivots).sum(axis=0)
    variance = residual / (count - 1)
    log_determinant = np.log(pivots).sum(axis=0)
    cost = (count - 1) * np.log(variance) + log_determinant
    return _Profile(cost, log_determinant, residual, variance, slope, precision)


def _information(profile: _Profile) -> float:
    """Return the information on log variance when the log noise ratio is estimated too.

    `profile` holds the likelihood at the optimum and at a step of the log ratio on either side, whose length
    cancels out.
    """
    scaled = profile.residual / profile.variance[1]
    alone = float(scaled[1]) / 2
    mixed = float(scaled[2] - scaled[0]) / 4
    bend = float(np.diff(profile.log_determinant + scaled, n=2)[0]) / 2
    # A likelihood too flat to bend tells no more than one return does.
    return max(alone - mixed**2 / bend, 0.5) if bend > 0 else 0.5
