"""Figures over many scored forecasts: whether the bands hold, and how sharp the forecasts are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gbm_analysis.scoring import Score

PIT_BINS = 10


class Verdict(NamedTuple):
    """One forecast's score, relative to its spot."""

    inside_50: bool
    inside_90: bool
    crps: float
    naive_crps: float
    log_score: float
    pit: float


@dataclass(frozen=True)
class Figures:
    """What forecasts were worth; CRPS in basis points of the spot, tests as p-values.

    `skill` is 1 - crps / naive_crps, where naive is "the price stays"; None where the price always stayed.
    """

    forecasts: int
    inside_50: float
    inside_90: float
    kupiec_50: float
    kupiec_90: float
    christoffersen_50: float
    christoffersen_90: float
    crps: float
    naive_crps: float
    skill: float | None
    log_score: float
    pit_histogram: tuple[int, ...]


def verdict(score: Score, spot: float) -> Verdict:
    """Return how a forecast fared."""
    return Verdict(
        score.inside_50,
        score.inside_90,
        score.crps / spot,
        score.naive_absolute_error / spot,
        score.log_score,
        score.pit,
    )


def plain_verdict(score: Score, spot: float) -> Verdict:
    """Return how the plain model would have fared."""
    return Verdict(
        score.plain_inside_50,
        score.plain_inside_90,
        score.plain_crps / spot,
        score.naive_absolute_error / spot,
        score.plain_log_score,
        score.plain_pit,
    )


def figures(series: Sequence[Sequence[Verdict]]) -> Figures | None:
    """Summarise forecasts, each symbol's in the order of time; None where there are none."""
    verdicts = [verdict for symbol in series for verdict in symbol]
    count = len(verdicts)
    if count == 0:
        return None
    inside_50 = [[verdict.inside_50 for verdict in symbol] for symbol in series]
    inside_90 = [[verdict.inside_90 for verdict in symbol] for symbol in series]
    hits_50, hits_90 = sum(map(sum, inside_50)), sum(map(sum, inside_90))
    crps = float(np.mean([verdict.crps for verdict in verdicts]))
    naive = float(np.mean([verdict.naive_crps for verdict in verdicts]))
    histogram, _ = np.histogram([verdict.pit for verdict in verdicts], bins=PIT_BINS, range=(0, 1))
    return Figures(
        forecasts=count,
        inside_50=hits_50 / count,
        inside_90=hits_90 / count,
        kupiec_50=kupiec(hits_50, count, 0.5),
        kupiec_90=kupiec(hits_90, count, 0.9),
        christoffersen_50=christoffersen(inside_50, 0.5),
        christoffersen_90=christoffersen(inside_90, 0.9),
        crps=crps * 1e4,
        naive_crps=naive * 1e4,
        skill=1 - crps / naive if naive > 0 else None,
        log_score=float(np.mean([verdict.log_score for verdict in verdicts])),
        pit_histogram=tuple(histogram.tolist()),
    )


def kupiec(hits: int, forecasts: int, share: float) -> float:
    """Return the p-value of so many hits, were `share` of all forecasts hits: Kupiec (1995), J. Deriv. 3."""
    return _chi_squared_1(_coverage_ratio(hits, forecasts, share))


def christoffersen(series: Sequence[Sequence[bool]], share: float) -> float:
    """Return the p-value of the hits, were they independent and `share` of all forecasts.

    The test of conditional coverage, Christoffersen (1998), Int. Econ. Rev. 39, 841-862; the transitions are
    those within each series. Its statistic is chi-squared with two degrees of freedom.
    """
    hits, count = sum(map(sum, series)), sum(map(len, series))
    if count == 0:
        return 1.0
    after_hit = [after for one in series for before, after in pairwise(one) if before]
    after_miss = [after for one in series for before, after in pairwise(one) if not before]
    both = [*after_hit, *after_miss]
    apart = _log_likelihood(after_hit) + _log_likelihood(after_miss)
    independence = 2 * (apart - _log_likelihood(both))
    return math.exp(-max(0.0, _coverage_ratio(hits, count, share) + independence) / 2)


def _coverage_ratio(hits: int, count: int, share: float) -> float:
    """Return twice the log likelihood ratio of the observed share against `share`."""
    if count == 0:
        return 0.0
    expected = _weigh(hits, share) + _weigh(count - hits, 1 - share)
    return 2 * (_weigh(hits, hits / count) + _weigh(count - hits, 1 - hits / count) - expected)


def _log_likelihood(outcomes: Sequence[bool]) -> float:
    hits, count = sum(outcomes), len(outcomes)
    return _weigh(hits, hits / count) + _weigh(count - hits, 1 - hits / count) if count else 0.0


def _weigh(count: int, probability: float) -> float:
    return count * math.log(probability) if count else 0.0


def _chi_squared_1(statistic: float) -> float:
    return math.erfc(math.sqrt(max(statistic, 0.0) / 2))
