"""The figures against hand calculations, enumerated distributions and simulated coin tosses."""

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2

from gbm_analysis.evaluation import Verdict, christoffersen, figures, kupiec, plain_verdict, verdict
from gbm_analysis.scoring import Score

SCORE = Score(
    crps=2.0,
    pit=0.3,
    inside_50=True,
    inside_90=True,
    absolute_error=3.0,
    naive_absolute_error=4.0,
    log_score=3.5,
    standardised=-0.5,
    plain_crps=2.5,
    plain_pit=0.2,
    plain_inside_50=False,
    plain_inside_90=True,
    plain_log_score=3.25,
)


def test_a_verdict_is_relative_to_the_spot() -> None:
    assert verdict(SCORE, 200.0) == Verdict(True, True, 0.01, 0.02, 3.5, 0.3)
    assert plain_verdict(SCORE, 200.0) == Verdict(False, True, 0.0125, 0.02, 3.25, 0.2)


def test_figures_are_means_and_counts() -> None:
    one = Verdict(True, True, 0.001, 0.002, 4.0, 0.05)
    two = Verdict(False, True, 0.003, 0.004, 2.0, 0.95)
    three = Verdict(False, False, 0.002, 0.002, 3.0, 1.0)
    found = figures([[one, two], [three]])
    assert found is not None
    assert found.forecasts == 3
    assert (found.inside_50, found.inside_90) == (1 / 3, 2 / 3)
    assert found.crps == pytest.approx(20.0)
    assert found.naive_crps == pytest.approx(80 / 3)
    assert found.skill == pytest.approx(0.25)
    assert found.log_score == pytest.approx(3.0)
    assert found.pit_histogram == (1, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    assert found.kupiec_50 == kupiec(1, 3, 0.5)
    assert found.kupiec_90 == kupiec(2, 3, 0.9)
    assert found.christoffersen_50 == christoffersen([[True, False], [False]], 0.5)
    assert found.christoffersen_90 == christoffersen([[True, True], [False]], 0.9)


def test_nothing_has_no_figures_and_a_price_that_stays_has_no_skill() -> None:
    assert figures([]) is None
    assert figures([[], []]) is None
    still = figures([[Verdict(True, True, 0.001, 0.0, 4.0, 0.5)]])
    assert still is not None
    assert still.skill is None


@pytest.mark.parametrize(
    "hits, count, share, expected",
    [
        (90, 100, 0.9, 1.0),
        (50, 100, 0.5, 1.0),
        # 2 (60 ln 1.2 + 40 ln 0.8) = 4.0271; the p-value of chi-squared with one degree of freedom.
        (60, 100, 0.5, 0.044775),
        (40, 100, 0.5, 0.044775),
        # 2 (-24 ln 0.9) = 5.0573
        (24, 24, 0.9, 0.024522),
        # 2 (-10 ln 0.1) = 46.05
        (0, 10, 0.9, 1.15e-11),
        (0, 0, 0.9, 1.0),
    ],
)
def test_kupiec_agrees_with_a_calculation_by_hand(
    hits: int, count: int, share: float, expected: float
) -> None:
    assert kupiec(hits, count, share) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("count", [1, 24, 161, 400])
def test_kupiec_agrees_with_its_definition_for_every_number_of_hits(count: int, share: float) -> None:
    """-2 log of the likelihood ratio of two binomials, which is chi-squared with one degree of freedom."""
    hits = np.arange(count + 1)
    statistics = -2 * (binom.logpmf(hits, count, share) - binom.logpmf(hits, count, hits / count))
    expected = chi2.sf(np.maximum(statistics, 0.0), 1)
    found = np.array([kupiec(number, count, share) for number in hits.tolist()])
    # Near 1 the p-value errs by the root of the statistic's rounding; below 1e-300 floats lose digits.
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_christoffersen_agrees_with_a_calculation_by_hand() -> None:
    # After a hit: 3 hits, 1 miss; after a miss: 1 hit, 2 misses. Of 9: 5 hits, against a half.
    hits = [True, True, True, True, False, False, False, True]
    after_hit = 3 * math.log(3 / 4) + math.log(1 / 4)
    after_miss = math.log(1 / 3) + 2 * math.log(2 / 3)
    together = 4 * math.log(4 / 7) + 3 * math.log(3 / 7)
    coverage = 5 * math.log(5 / 8) + 3 * math.log(3 / 8) - 8 * math.log(1 / 2)
    statistic = 2 * (coverage + after_hit + after_miss - together)
    assert christoffersen([hits], 0.5) == pytest.approx(math.exp(-statistic / 2), rel=1e-12)


def test_christoffersen_does_not_see_a_transition_from_one_symbol_to_the_next() -> None:
    one, other = [True] * 6 + [False] * 2, [False, True, True, True]
    assert christoffersen([one, other], 0.8) != christoffersen([one + other], 0.8)
    assert christoffersen([one, []], 0.8) == christoffersen([one], 0.8)


def test_christoffersen_of_nothing_or_one_forecast() -> None:
    assert christoffersen([], 0.9) == 1.0
    assert christoffersen([[True]], 0.5) == pytest.approx(0.5)


def test_hits_as_expected_that_follow_hits_and_misses_alike_have_the_p_value_1() -> None:
    assert christoffersen([[True, True, False, False, True]], 0.6) == pytest.approx(1.0)


def test_christoffersen_sees_clusters_that_kupiec_does_not() -> None:
    clustered = ([True] * 45 + [False] * 5) * 4
    assert kupiec(sum(clustered), 200, 0.9) == 1.0
    assert christoffersen([clustered], 0.9) < 1e-6


def test_p_values_of_true_bands_are_uniform() -> None:
    random = np.random.default_rng(1)
    tosses = random.random((600, 400)) < 0.9
    kupiecs = [kupiec(int(row.sum()), 400, 0.9) for row in tosses]
    jointly = [christoffersen([row.tolist()], 0.9) for row in tosses]
    for values in (kupiecs, jointly):
        rejected = float(np.mean(np.array(values) < 0.05))
        assert 0.05 - 4 * math.sqrt(0.05 * 0.95 / 600) < rejected < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 600)
