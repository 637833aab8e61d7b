"""Geometric Brownian motion: S(t) = S0 exp((drift - volatility^2 / 2) t + volatility W(t)).

Pure functions of numpy arrays: calibration from irregularly spaced noisy prices, simulation by exact steps,
and the log-normal closed form. Rates are per year of a model's `seconds_per_year`; every `seconds` is an
array of times ahead of the forecast, ascending and positive.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PRIOR_SHARPE = 1.0
CHUNK_PATHS = 4096
DISTRIBUTION_BINS = 64

_NORMAL = NormalDist()
# A simulation is tallied in standard deviations: 256 bins to each, out to 8 on both sides.
_BINS_PER_DEVIATION = 256
_DEVIATIONS = 8
_BINS = 2 * _DEVIATIONS * _BINS_PER_DEVIATION
_EDGES = np.arange(_BINS + 1) / _BINS_PER_DEVIATION - _DEVIATIONS
_CENTRES = (_EDGES[:-1] + _EDGES[1:]) / 2
_DISTRIBUTION_DEVIATIONS = 4


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


@dataclass(frozen=True)
class Model:
    """A geometric Brownian motion that starts at `spot`."""

    spot: float
    drift: float
    volatility: float
    seconds_per_year: float

    def __post_init__(self) -> None:
        for name in ("spot", "volatility", "seconds_per_year"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} was {value}, but must be above 0")
        if not math.isfinite(self.drift):
            raise ValueError(f"drift was {self.drift}, but must be finite")

    def log_moments(self, seconds: float) -> tuple[float, float]:
        """Return mean and standard deviation of the log price, `seconds` ahead."""
        years = seconds / self.seconds_per_year
        mean = math.log(self.spot) + (self.drift - self.volatility**2 / 2) * years
        return mean, self.volatility * math.sqrt(years)

    def quantile(self, probability: float, seconds: float) -> float:
        """Return the price that the model stays below with `probability`."""
        mean, deviation = self.log_moments(seconds)
        return math.exp(mean + deviation * _NORMAL.inv_cdf(probability))

    def mean(self, seconds: float) -> float:
        """Return the expected price."""
        return self.spot * math.exp(self.drift * seconds / self.seconds_per_year)

    def density(self, prices: Floats, seconds: float) -> Floats:
        """Return the probability density at each (positive) price."""
        mean, deviation = self.log_moments(seconds)
        standard = (np.log(prices) - mean) / deviation
        density: Floats = np.exp(-(standard**2) / 2) / (prices * deviation * math.sqrt(2 * math.pi))
        return density

    def pit(self, price: float, seconds: float) -> float:
        """Return the probability of a price below this one (probability integral transform)."""
        mean, deviation = self.log_moments(seconds)
        return _NORMAL.cdf((math.log(price) - mean) / deviation)

    def crps(self, price: float, seconds: float) -> float:
        """Return the continuous ranked probability score of an outcome, in the price's unit; 0 is perfect.

        The log-normal closed form of Baran and Lerch (2015), Q. J. R. Meteorol. Soc. 141, 2289-2299.
        """
        mean, deviation = self.log_moments(seconds)
        place = (math.log(price) - mean) / deviation
        spread = _NORMAL.cdf(place - deviation) + _NORMAL.cdf(deviation / math.sqrt(2)) - 1
        return price * (2 * _NORMAL.cdf(place) - 1) - 2 * self.mean(seconds) * spread


@dataclass(frozen=True)
class Forecast:
    """A simulation's summary: (steps,) of times, quantiles (steps, 5 `QUANTILES`) and means.

    `low`, `high`, `count` and `density` are the histogram of the terminal price; VaR and expected shortfall
    are losses at the last time as a fraction of the spot (positive is a loss).
    """

    seconds: Floats
    quantiles: Floats
    mean: Floats
    low: Floats
    high: Floats
    count: Counts
    density: Floats
    paths: int
    prob_up: float
    var_95: float
    es_95: float
    var_99: float
    es_99: float


def calibrate(segments: Sequence[Segment], seconds_per_year: float) -> Calibration:
    """Estimate drift and volatility from prices that bounce around the true one.

    Maximum likelihood for a Brownian log price seen with independent noise (bid-ask bounce, rounding), for
    any spacing: the returns' covariance is then tridiagonal,
    volatility^2 * (diag(dt) + ratio * tridiag(-1, 2, -1)). Every price is used, and the noise does not count
    as volatility: Ait-Sahalia, Mykland and Zhang (2005), Rev. Financ. Stud. 18, 351-416; robust to other
    noise and to changing volatility: Xiu (2010), J. Econometrics 159, 235-250. Drift by generalised least
    squares; volatility with n - 1; standard errors from the observed information. Segments share nothing but
    the parameters. Prices that are not above 0 are ignored. Raises CalibrationError when fewer than three
    returns are left or the price never moved.
    """
    returns, spacings, first = _returns(segments)
    if len(returns) < 3:
        raise CalibrationError(f"{len(returns)} price changes were found, but at least 3 are needed")
    if not np.any(returns):
        raise CalibrationError(f"the price did not change in {len(returns) + 1} bars")
    unit = float(np.median(spacings))
    grid = unit * np.concatenate([[0.0], np.logspace(-3, 3, 49)])
    best = int(np.argmin(_profile(returns, spacings, first, grid).cost))
    if best == 0:
        ratio, information = 0.0, (len(returns) - 1) / 2
    else:
        fine = np.geomspace(grid[max(best - 1, 1)], grid[min(best + 1, len(grid) - 1)], 33)
        ratio = float(fine[np.argmin(_profile(returns, spacings, first, fine).cost)])
        information = _information(_profile(returns, spacings, first, ratio * np.exp([-0.1, 0.0, 0.1])), 0.1)
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


def times_ahead(horizon: float, step: float) -> Floats:
    """Return the times of a forecast: each `step` seconds, and the horizon itself."""
    steps = math.ceil(round(horizon / step, 9))
    times: Floats = np.minimum(np.arange(1, steps + 1) * step, horizon)
    return times


def chunk_sizes(paths: int) -> list[int]:
    """Return how many paths each chunk of a simulation holds."""
    whole, rest = divmod(paths, CHUNK_PATHS)
    return [CHUNK_PATHS] * whole + [rest] * (rest > 0)


def simulate_chunk(seconds: Floats, seed: int, chunk: int, size: int) -> Counts:
    """Simulate one chunk's paths and return the tally (steps, bins) of their places.

    The draws depend on seed and chunk alone. The walk is tallied in standard deviations, so that drift and
    volatility enter afterwards, exactly; and as integers, whose sum is the same in any order and grouping.
    """
    counts = np.empty((len(seconds), _BINS), dtype=np.int64)
    places = np.empty(size)
    for step, (walk, time) in enumerate(zip(_walks(seconds, seed, chunk, size), seconds, strict=True)):
        np.multiply(walk, _BINS_PER_DEVIATION / math.sqrt(time), out=places)
        places += _BINS / 2
        np.clip(places, 0, _BINS - 1, out=places)
        counts[step] = np.bincount(places.astype(np.intp), minlength=_BINS)
    return counts


def simulate(seconds: Floats, seed: int, paths: int) -> Counts:
    """Simulate all chunks in this process and return their tally."""
    counts = np.zeros((len(seconds), _BINS), dtype=np.int64)
    for chunk, size in enumerate(chunk_sizes(paths)):
        counts += simulate_chunk(seconds, seed, chunk, size)
    return counts


def simulate_paths(model: Model, seconds: Floats, seed: int, paths: int) -> Floats:
    """Return prices (paths, steps): the very paths that `simulate` tallies for the same seed and number."""
    years = seconds / model.seconds_per_year
    trend = (model.drift - model.volatility**2 / 2) * years
    scale = model.volatility / math.sqrt(model.seconds_per_year)
    prices = np.empty((paths, len(seconds)))
    start = 0
    for chunk, size in enumerate(chunk_sizes(paths)):
        for step, walk in enumerate(_walks(seconds, seed, chunk, size)):
            prices[start : start + size, step] = model.spot * np.exp(trend[step] + scale * walk)
        start += size
    return prices


def summarise(model: Model, seconds: Floats, counts: Counts) -> Forecast:
    """Turn a simulation's tally into prices and risks.

    A quantile is interpolated inside its bin, 1/256 of a standard deviation wide.
    """
    moments = [model.log_moments(float(time)) for time in seconds]
    means = np.array([mean for mean, _ in moments])
    deviations = np.array([deviation for _, deviation in moments])
    paths = int(counts[0].sum())
    standard = np.array([[_quantile(row, probability) for probability in QUANTILES] for row in counts])
    centres = np.exp(means[:, None] + deviations[:, None] * _CENTRES)
    terminal, mean, deviation = counts[-1], *moments[-1]
    places = np.linspace(-_DISTRIBUTION_DEVIATIONS, _DISTRIBUTION_DEVIATIONS, DISTRIBUTION_BINS + 1)
    edges = np.exp(mean + deviation * places)
    histogram = _histogram(terminal)
    var_95, es_95 = _loss(model, mean, deviation, terminal, 0.05)
    var_99, es_99 = _loss(model, mean, deviation, terminal, 0.01)
    return Forecast(
        seconds=seconds,
        quantiles=np.exp(means[:, None] + deviations[:, None] * standard),
        mean=(counts * centres).sum(axis=1) / paths,
        low=edges[:-1],
        high=edges[1:],
        count=histogram,
        density=histogram / (paths * np.diff(edges)),
        paths=paths,
        prob_up=1 - _share_below(terminal, (math.log(model.spot) - mean) / deviation),
        var_95=var_95,
        es_95=es_95,
        var_99=var_99,
        es_99=es_99,
    )


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
    returns, spacings, first = [], [], []
    for times, prices in segments:
        priced = np.isfinite(prices) & (prices > 0)
        changes = np.diff(np.log(prices[priced]))
        returns.append(changes)
        spacings.append(np.diff(times[priced]))
        first.append(np.arange(len(changes)) == 0)
    if not returns:
        return np.empty(0), np.empty(0), np.empty(0, dtype=bool)
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


def _information(profile: _Profile, step: float) -> float:
    """Return the information on log variance when the log noise ratio is estimated too.

    `profile` holds the likelihood at the optimum and one `step` of the log ratio on either side.
    """
    scaled = profile.residual / profile.variance[1]
    alone = float(scaled[1]) / 2
    mixed = float(scaled[2] - scaled[0]) / (2 * step) / 2
    bend = float(np.diff(profile.log_determinant + scaled, n=2)[0]) / step**2 / 2
    information = alone - mixed**2 / bend if bend > 0 else 0.0
    # A likelihood too flat to bend tells no more than one return does.
    return max(information, 0.5)


def _walks(seconds: Floats, seed: int, chunk: int, size: int) -> Iterator[Floats]:
    """Yield a chunk's Brownian motions W (paths,), in root seconds, at each time; the array is used again."""
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(chunk,))))
    walk, draw = np.zeros(size), np.empty(size)
    for spacing in np.diff(seconds, prepend=0.0):
        generator.standard_normal(out=draw)
        draw *= math.sqrt(spacing)
        walk += draw
        yield walk


def _quantile(counts: Counts, probability: float) -> float:
    """Return the place, in standard deviations, that a share of the paths stays below."""
    below = np.cumsum(counts)
    rank = probability * below[-1]
    index = int(np.searchsorted(below, rank))
    return float(_EDGES[index + 1] - (below[index] - rank) / counts[index] / _BINS_PER_DEVIATION)


def _share_below(counts: Counts, place: float) -> float:
    """Return the share of the paths below a place in standard deviations."""
    below = np.concatenate([[0], np.cumsum(counts)])
    return float(np.interp(place, _EDGES, below) / below[-1])


def _histogram(counts: Counts) -> Counts:
    """Fold the fine bins into those of the stored distribution; what lies beyond goes to the outermost."""
    margin = (_DEVIATIONS - _DISTRIBUTION_DEVIATIONS) * _BINS_PER_DEVIATION
    inner = counts[margin:-margin].copy()
    inner[0] += counts[:margin].sum()
    inner[-1] += counts[-margin:].sum()
    folded: Counts = inner.reshape(DISTRIBUTION_BINS, -1).sum(axis=1)
    return folded


def _loss(model: Model, mean: float, deviation: float, counts: Counts, share: float) -> tuple[float, float]:
    """Return value at risk and expected shortfall of the worst share, as fractions of the spot."""
    place = _quantile(counts, share)
    index = int(np.searchsorted(_EDGES, place)) - 1
    tail = share * counts.sum()
    whole = counts[:index] @ np.exp(mean + deviation * _CENTRES[:index])
    part = (tail - counts[:index].sum()) * math.exp(mean + deviation * (_EDGES[index] + place) / 2)
    return 1 - math.exp(mean + deviation * place) / model.spot, 1 - float(whole + part) / tail / model.spot
