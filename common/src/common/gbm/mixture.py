"""How uncertain the volatility is: a distribution of the variance, learnt from past outcomes.

A forecast's standardised outcome z is its log return over the standard deviation that the plain model gave
it. Were the volatility known, z would be standard normal. Real z have fat tails, since the volatility of the
next hour is not that of the last hours. So the variance gets a random factor, drawn once a path:
scale^2 * degrees_of_freedom / chi^2(degrees_of_freedom), an inverse-gamma distribution, which makes z a
Student t times `scale`: Praetz (1972), J. Business 45, 49-55; Blattberg and Gonedes (1974), J. Business 47,
244-280. It is cut into equally likely values, so that moments stay finite and the closed form is an average
of log-normals.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from common.gbm import Floats

NODES = 32
# The prior: the logarithm of the scale is normal around 0 with this deviation (a volatility is wrong by a
# quarter), which outweighs eight outcomes; 1 / degrees of freedom is exponential, with mean 1 / 5.
SCALE_DEVIATION = 0.25
TAIL_RATE = 5.0

_GRID_STEP = 0.02
_TAILS = np.arange(26) * _GRID_STEP  # 1 / degrees of freedom: none, up to 1 / 2
_LOG_SCALES = np.arange(-50, 51) * _GRID_STEP
_LOG_REACH = 8.0  # a |z| below e^-8 is as good as 0; none above e^8 happens


@dataclass(frozen=True)
class Mixture:
    """The distribution of the variance's factor, and the number of outcomes that it was learnt from."""

    degrees_of_freedom: float = math.inf
    scale: float = 1.0
    outcomes: int = 0

    def __post_init__(self) -> None:
        if not self.degrees_of_freedom >= 2:
            raise ValueError(f"degrees_of_freedom was {self.degrees_of_freedom}, but must be at least 2")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale was {self.scale}, but must be above 0")

    @property
    def multipliers(self) -> Floats:
        """Return the equally likely factors of the variance, ascending; a single one without tails."""
        factors: Floats = self.scale**2 * _factors(self.degrees_of_freedom)
        return factors

    @property
    def is_plain(self) -> bool:
        """Return whether the variance is exactly the calibrated one."""
        return math.isinf(self.degrees_of_freedom) and self.scale == 1


PLAIN = Mixture()


class Evidence:
    """Past outcomes of one asset class, as the log likelihood of each tail weight and scale."""

    def __init__(self) -> None:
        self._log_likelihood = np.zeros((len(_TAILS), len(_LOG_SCALES)))
        self._outcomes = 0

    def add(self, standardised: float, weight: float = 1.0) -> None:
        """Count one outcome; a `weight` below 1 is for one that shares its time with others."""
        if not math.isfinite(standardised):
            raise ValueError(f"a standardised outcome was {standardised}, but must be finite")
        logarithm = math.log(max(abs(standardised), math.exp(-_LOG_REACH)))
        places = (np.clip(logarithm - _LOG_SCALES, -_LOG_REACH, _LOG_REACH) + _LOG_REACH) / _GRID_STEP
        left = np.minimum(places.astype(np.intp), _log_densities().shape[1] - 2)
        part = places - left
        densities = _log_densities()
        self._log_likelihood += weight * (
            densities[:, left] * (1 - part) + densities[:, left + 1] * part - _LOG_SCALES
        )
        self._outcomes += 1

    def mixture(self) -> Mixture:
        """Return the mode of the posterior; without outcomes it is the plain model."""
        if self._outcomes == 0:
            return PLAIN
        prior = -TAIL_RATE * _TAILS[:, None] - _LOG_SCALES**2 / (2 * SCALE_DEVIATION**2)
        tail, scale = np.unravel_index(np.argmax(self._log_likelihood + prior), prior.shape)
        weight = float(_TAILS[tail])
        return Mixture(
            degrees_of_freedom=1 / weight if weight else math.inf,
            scale=math.exp(float(_LOG_SCALES[scale])),
            outcomes=self._outcomes,
        )


def learn(standardised: Iterable[float], weights: Iterable[float] | None = None) -> Mixture:
    """Return the mixture that past outcomes of one asset class tell; the plain model where there are none."""
    evidence = Evidence()
    if weights is None:
        for outcome in standardised:
            evidence.add(outcome)
    else:
        for outcome, weight in zip(standardised, weights, strict=True):
            evidence.add(outcome, weight)
    return evidence.mixture()


@cache
def _factors(degrees_of_freedom: float) -> Floats:
    """Return the medians of `NODES` equally likely parts of the inverse-gamma distribution.

    The density of the logarithm u of the factor is proportional to exp(-(u + exp(-u)) * degrees / 2).
    """
    if math.isinf(degrees_of_freedom):
        return np.ones(1)
    deviation = math.sqrt(2 / degrees_of_freedom)
    logarithms = np.linspace(-8 * deviation, 25 * deviation, 20_001)
    density = np.exp(-degrees_of_freedom / 2 * (logarithms + np.exp(-logarithms) - 1))
    below = np.cumsum(density) - density / 2
    shares = (np.arange(NODES) + 0.5) / NODES
    factors: Floats = np.exp(np.interp(shares, below / density.sum(), logarithms))
    return factors


@cache
def _log_densities() -> Floats:
    """Return the log density of z (tails, places) at scale 1 but for a constant, for log |z| on the grid."""
    squares = np.exp(2 * np.linspace(-_LOG_REACH, _LOG_REACH, round(2 * _LOG_REACH / _GRID_STEP) + 1))
    rows = []
    for tail in _TAILS:
        factors = _factors(float(1 / tail) if tail else math.inf)[:, None]
        exponents = -squares / (2 * factors) - np.log(factors) / 2
        top = exponents.max(axis=0)
        rows.append(top + np.log(np.exp(exponents - top).mean(axis=0)))
    return np.stack(rows)
