"""The closed form: an average of log-normals, one for each factor of the variance."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np

from common.gbm import Floats
from common.gbm.mixture import PLAIN, Mixture

_NORMAL = NormalDist()
_BISECTIONS = 60  # halves a bracket of some deviations down to the precision of a float


@dataclass(frozen=True)
class Clock:
    """How fast volatility passes: after each of `seconds`, as many seconds of average volatility.

    Between them it is interpolated. An empty clock runs with the time.
    """

    seconds: tuple[float, ...] = ()
    passed: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.seconds) != len(self.passed):
            raise ValueError("a clock needs as many `passed` as `seconds`")
        if np.any(np.diff(self.seconds, prepend=0.0) <= 0) or np.any(np.diff(self.passed, prepend=0.0) <= 0):
            raise ValueError("the times of a clock must be above 0 and ascend")

    def at(self, seconds: float) -> float:
        """Return how many seconds of average volatility have passed; at the last pace beyond the end."""
        if not self.seconds:
            return seconds
        if seconds > self.seconds[-1]:
            return seconds * self.passed[-1] / self.seconds[-1]
        return float(np.interp(seconds, (0.0, *self.seconds), (0.0, *self.passed)))


STEADY = Clock()


@dataclass(frozen=True)
class Model:
    """A geometric Brownian motion that starts at `spot`; drift and variance follow the `clock`."""

    spot: float
    drift: float
    volatility: float
    seconds_per_year: float
    mixture: Mixture = PLAIN
    clock: Clock = STEADY

    def __post_init__(self) -> None:
        for name in ("spot", "volatility", "seconds_per_year"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} was {value}, but must be above 0")
        if not math.isfinite(self.drift):
            raise ValueError(f"drift was {self.drift}, but must be finite")

    @property
    def name(self) -> Literal["gbm", "gbm-mixture"]:
        """Return what the model is called where it is stored."""
        return "gbm" if self.mixture.is_plain else "gbm-mixture"

    @property
    def plain(self) -> "Model":
        """Return the model with the calibrated variance in every path."""
        return replace(self, mixture=PLAIN)

    @cached_property
    def variances(self) -> Floats:
        """Return the equally likely variances of a path, per year."""
        variances: Floats = self.volatility**2 * self.mixture.multipliers
        return variances

    def years(self, seconds: float) -> float:
        """Return the model's time at so many seconds ahead."""
        return self.clock.at(seconds) / self.seconds_per_year

    def log_moments(self, seconds: float) -> tuple[float, float]:
        """Return mean and standard deviation of the log price, for a path of the average variance."""
        years, variance = self.years(seconds), float(self.variances.mean())
        mean = math.log(self.spot) + (self.drift - variance / 2) * years
        return mean, math.sqrt(variance * years)

    def quantile(self, probability: float, seconds: float) -> float:
        """Return the price that the model stays below with `probability`."""
        means, deviations = self._moments(seconds)
        ends = means + deviations * _NORMAL.inv_cdf(probability)
        low, high = float(ends.min()), float(ends.max())
        for _ in range(_BISECTIONS if high > low else 0):
            middle = (low + high) / 2
            if self._below(middle, means, deviations) < probability:
                low = middle
            else:
                high = middle
        return math.exp((low + high) / 2)

    def mean(self, seconds: float) -> float:
        """Return the expected price."""
        return self.spot * math.exp(self.drift * self.years(seconds))

    def density(self, prices: Floats, seconds: float) -> Floats:
        """Return the probability density at each (positive) price."""
        means, deviations = self._moments(seconds)
        standard = (np.log(prices)[..., None] - means) / deviations
        densities: Floats = (np.exp(-(standard**2) / 2) / deviations).mean(axis=-1)
        return densities / (prices * math.sqrt(2 * math.pi))

    def pit(self, price: float, seconds: float) -> float:
        """Return the probability of a price below this one (probability integral transform)."""
        return self._below(math.log(price), *self._moments(seconds))

    def crps(self, price: float, seconds: float) -> float:
        """Return the continuous ranked probability score of an outcome, in the price's unit; 0 is perfect.

        E|X - price| - E|X - X'| / 2 (Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102, 359-378), where
        each pair of log-normals of the same mean is Margrabe's (1978) exchange option.
        """
        means, deviations = self._moments(seconds)
        places = (math.log(price) - means) / deviations
        expected = self.mean(seconds)
        distance = price * (2 * _cdf(places) - 1) + expected * (1 - 2 * _cdf(places - deviations))
        pairs = np.sqrt(deviations[:, None] ** 2 + deviations**2)
        return float(distance.mean() - expected * (2 * _cdf(pairs / 2) - 1).mean())

    def log_score(self, price: float, seconds: float) -> float:
        """Return the log density of an outcome as a multiple of the spot; the higher, the better."""
        means, deviations = self._moments(seconds)
        logarithm = math.log(price)
        exponents = -(((logarithm - means) / deviations) ** 2) / 2 - np.log(deviations)
        top = float(exponents.max())
        average = math.log(float(np.exp(exponents - top).mean()))
        return top + average - math.log(2 * math.pi) / 2 - logarithm + math.log(self.spot)

    def touch(self, price: float, seconds: float) -> float:
        """Return the probability that a path reaches `price` at any time up to `seconds`.

        The reflection principle with drift (Harrison 1985, Brownian Motion and Stochastic Flow Systems, 1.8).
        """
        years = self.years(seconds)
        side = 1 if price >= self.spot else -1
        distance = side * math.log(price / self.spot)
        slopes = side * (self.drift - self.variances / 2)
        deviations = np.sqrt(self.variances * years)
        direct = _cdf((slopes * years - distance) / deviations)
        # Where exp overflows its factor is 0: such a path goes there anyhow.
        exponents = np.minimum(2 * slopes * distance / self.variances, 700.0)
        reflected = np.exp(exponents) * _cdf((-distance - slopes * years) / deviations)
        return min(1.0, float((direct + reflected).mean()))

    def standardised(self, price: float, seconds: float) -> float:
        """Return how many deviations of the plain model an outcome lies from its mean."""
        years = self.years(seconds)
        trend = (self.drift - self.volatility**2 / 2) * years
        return (math.log(price / self.spot) - trend) / (self.volatility * math.sqrt(years))

    def _moments(self, seconds: float) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the log price for each variance."""
        years = self.years(seconds)
        means: Floats = math.log(self.spot) + (self.drift - self.variances / 2) * years
        return means, np.sqrt(self.variances * years)

    @staticmethod
    def _below(logarithm: float, means: Floats, deviations: Floats) -> float:
        return float(_cdf((logarithm - means) / deviations).mean())


def _cdf(places: Floats) -> Floats:
    return np.array([math.erfc(-place / math.sqrt(2)) / 2 for place in places.ravel()]).reshape(places.shape)
