"""The simulation: paths by exact steps, drawn in chunks and tallied, and what the tally means.

Between its steps a path is a Brownian bridge, whose extremes are drawn from their exact distribution, so
that what happens in between counts: Beaglehole, Dybvig and Zhou (1997), Financ. Anal. J. 53 (1), 62-68.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.gbm import QUANTILES, Counts, Floats
from common.gbm.model import Model

CHUNK_PATHS = 4096
DISTRIBUTION_BINS = 64
# Changes from the spot that a path may touch, or end beyond.
LEVELS = (-0.05, -0.02, -0.01, -0.005, 0.005, 0.01, 0.02, 0.05)

# Places are tallied in standard deviations: 128 bins to each, out to 16 on both sides; drawdowns likewise.
_BINS_PER_DEVIATION = 128
_DEVIATIONS = 16
_BINS = 2 * _DEVIATIONS * _BINS_PER_DEVIATION
_EDGES = np.arange(_BINS + 1) / _BINS_PER_DEVIATION - _DEVIATIONS
_CENTRES = (_EDGES[:-1] + _EDGES[1:]) / 2
_DRAWDOWN_EDGES = _EDGES[_BINS // 2 :]
_DRAWDOWN_CENTRES = _CENTRES[_BINS // 2 :]
_DISTRIBUTION_DEVIATIONS = 4
_LOG_LEVELS = np.log1p(LEVELS)


@dataclass
class Tally:
    """What became of paths, as integers, whose sum is the same in any order and grouping.

    `counts` (steps, bins) of the log price at each step, `touched` and `ended` (levels,) of the paths that
    reached each of `LEVELS` and ended beyond it, `drawdowns` (bins,) of the largest fall from a peak.
    """

    counts: Counts
    touched: Counts
    ended: Counts
    drawdowns: Counts
    paths: int

    def __iadd__(self, other: "Tally") -> "Tally":
        self.counts += other.counts
        self.touched += other.touched
        self.ended += other.ended
        self.drawdowns += other.drawdowns
        self.paths += other.paths
        return self


@dataclass(frozen=True)
class Forecast:
    """A simulation's summary: (steps,) of times, quantiles (steps, 5 `QUANTILES`) and means.

    `low`, `high`, `count` and `density` are the histogram of the terminal price; VaR and expected shortfall
    are losses at the last time as a fraction of the spot (positive is a loss). `touch` and `beyond` are the
    probabilities to reach each of `LEVELS` and to end beyond it; the maximum drawdown is a fraction of the
    peak before it.
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
    touch: Floats
    beyond: Floats
    drawdown_mean: float
    drawdown_95: float


class _Step(NamedTuple):
    """One step of a chunk's paths, as log multiples of the spot: its end, and its extremes."""

    end: Floats
    high: Floats
    low: Floats


def times_ahead(horizon: float, step: float) -> Floats:
    """Return the times of a forecast: each `step` seconds, and the horizon itself."""
    steps = math.ceil(round(horizon / step, 9))
    times: Floats = np.minimum(np.arange(1, steps + 1) * step, horizon)
    times[-1] = horizon
    return times


def chunk_sizes(paths: int) -> list[int]:
    """Return how many paths each chunk of a simulation holds."""
    whole, rest = divmod(paths, CHUNK_PATHS)
    return [CHUNK_PATHS] * whole + [rest] * (rest > 0)


def simulate_chunk(model: Model, seconds: Floats, seed: int, chunk: int, size: int) -> Tally:
    """Simulate one chunk's paths and tally them; the draws depend on seed and chunk alone."""
    counts = np.empty((len(seconds), _BINS), dtype=np.int64)
    peak, bottom, drawdown = np.zeros(size), np.zeros(size), np.zeros(size)
    places = np.empty(size)
    start = math.log(model.spot)
    moments = [model.log_moments(float(time)) for time in seconds]
    steps = _steps(model, seconds, seed, chunk, size)
    for row, (mean, deviation), (end, high, low) in zip(counts, moments, steps, strict=True):
        np.subtract(end, mean - start, out=places)
        places *= _BINS_PER_DEVIATION / deviation
        places += _BINS / 2
        row[:] = _bin(places, _BINS)
        np.minimum(bottom, low, out=bottom)
        # The step's low follows a peak of the steps before; its own high is followed by its end.
        np.maximum(drawdown, np.subtract(peak, low, out=places), out=drawdown)
        np.maximum(peak, high, out=peak)
        np.maximum(drawdown, np.subtract(peak, end, out=places), out=drawdown)
    drawdown *= _BINS_PER_DEVIATION / moments[-1][1]
    return Tally(
        counts=counts,
        touched=_beyond(peak, bottom),
        ended=_beyond(end, end),
        drawdowns=_bin(drawdown, _BINS // 2),
        paths=size,
    )


def simulate(model: Model, seconds: Floats, seed: int, paths: int) -> Tally:
    """Simulate all chunks in this process and return their tally."""
    sizes = chunk_sizes(paths)
    tally = simulate_chunk(model, seconds, seed, 0, sizes[0])
    for chunk, size in enumerate(sizes[1:], start=1):
        tally += simulate_chunk(model, seconds, seed, chunk, size)
    return tally


def simulate_paths(model: Model, seconds: Floats, seed: int, paths: int) -> Floats:
    """Return prices (paths, steps): the very paths that `simulate` tallies for the same seed and number."""
    prices = np.empty((paths, len(seconds)))
    start = 0
    for chunk, size in enumerate(chunk_sizes(paths)):
        for number, step in enumerate(_steps(model, seconds, seed, chunk, size)):
            prices[start : start + size, number] = model.spot * np.exp(step.end)
        start += size
    return prices


def summarise(model: Model, seconds: Floats, tally: Tally) -> Forecast:
    """Turn a simulation's tally into prices and risks.

    A quantile is interpolated inside its bin, 1/128 of a standard deviation wide.
    """
    moments = [model.log_moments(float(time)) for time in seconds]
    means = np.array([mean for mean, _ in moments])
    deviations = np.array([deviation for _, deviation in moments])
    standard = np.array([[_quantile(row, share) for share in QUANTILES] for row in tally.counts])
    centres = np.exp(means[:, None] + deviations[:, None] * _CENTRES)
    terminal, (mean, deviation), paths = tally.counts[-1], moments[-1], tally.paths
    places = np.linspace(-_DISTRIBUTION_DEVIATIONS, _DISTRIBUTION_DEVIATIONS, DISTRIBUTION_BINS + 1)
    edges = np.exp(mean + deviation * places)
    histogram = _histogram(terminal)
    var_95, es_95 = _loss(model, terminal, mean, deviation, 0.05)
    var_99, es_99 = _loss(model, terminal, mean, deviation, 0.01)
    falls = -np.expm1(-deviation * _DRAWDOWN_CENTRES)
    return Forecast(
        seconds=seconds,
        quantiles=np.exp(means[:, None] + deviations[:, None] * standard),
        mean=(tally.counts * centres).sum(axis=1) / paths,
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
        touch=tally.touched / paths,
        beyond=tally.ended / paths,
        drawdown_mean=float(tally.drawdowns @ falls / paths),
        drawdown_95=-math.expm1(-deviation * _quantile(tally.drawdowns, 0.95, _DRAWDOWN_EDGES)),
    )


def _steps(model: Model, seconds: Floats, seed: int, chunk: int, size: int) -> Iterator[_Step]:
    """Yield each step of a chunk's paths, in arrays (paths,) that are used again.

    Each path has a mirrored one, with the same variance and the opposite draws (antithetic variates). A
    variance's share of the paths is exact to a path.
    """
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(chunk,))))
    drawn = (size + 1) // 2
    mirrored = slice(drawn, size)
    nodes = np.arange(drawn) * len(model.variances) // drawn
    variances = model.variances[np.concatenate([nodes, nodes[: size - drawn]])]
    deviations = np.sqrt(variances)
    normal, exponential = np.empty(drawn), np.empty(drawn)
    start, end, move, reach, low = (np.zeros(size) for _ in range(5))
    times = np.array([model.years(float(time)) for time in seconds])
    for years in np.diff(times, prepend=0.0):
        generator.standard_normal(out=normal)
        move[:drawn] = normal
        np.negative(normal[: size - drawn], out=move[mirrored])
        move *= math.sqrt(years)
        move *= deviations
        np.multiply(variances, -years / 2, out=end)
        end += model.drift * years
        move += end
        np.add(start, move, out=end)
        # A bridge's range: the extremes lie as far apart as sqrt(move^2 + 2 variance E), E exponential.
        generator.standard_exponential(out=exponential)
        reach[:drawn] = exponential
        reach[mirrored] = exponential[: size - drawn]
        reach *= variances
        reach *= 2 * years
        move *= move
        reach += move
        np.sqrt(reach, out=reach)
        start += end
        np.subtract(start, reach, out=low)
        low /= 2
        reach += start
        reach /= 2
        yield _Step(end, high=reach, low=low)
        start, end = end, start


def _bin(places: Floats, bins: int) -> Counts:
    """Return how many places fall into each bin; what lies beyond goes to the outermost."""
    np.clip(places, 0, bins - 1, out=places)
    return np.bincount(places.astype(np.intp), minlength=bins)


def _beyond(highest: Floats, lowest: Floats) -> Counts:
    """Return for each level how many paths got that far."""
    return np.array(
        [
            np.count_nonzero(highest >= level) if level > 0 else np.count_nonzero(lowest <= level)
            for level in _LOG_LEVELS
        ],
        dtype=np.int64,
    )


def _quantile(counts: Counts, share: float, edges: Floats = _EDGES) -> float:
    """Return the place, in standard deviations, that a share of the paths stays below."""
    below = np.cumsum(counts)
    rank = share * below[-1]
    index = int(np.searchsorted(below, rank))
    return float(edges[index + 1] - (below[index] - rank) / counts[index] / _BINS_PER_DEVIATION)


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


def _loss(model: Model, counts: Counts, mean: float, deviation: float, share: float) -> tuple[float, float]:
    """Return value at risk and expected shortfall of the worst share, as fractions of the spot."""
    place = _quantile(counts, share)
    index = int(np.searchsorted(_EDGES, place)) - 1
    tail = share * counts.sum()
    whole = counts[:index] @ np.exp(mean + deviation * _CENTRES[:index])
    part = (tail - counts[:index].sum()) * math.exp(mean + deviation * (_EDGES[index] + place) / 2)
    return 1 - math.exp(mean + deviation * place) / model.spot, 1 - float(whole + part) / tail / model.spot
