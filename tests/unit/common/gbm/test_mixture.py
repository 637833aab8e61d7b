"""The mixture against the Student t, and what it learns from outcomes of a known kind."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, t

from common.gbm.mixture import NODES, PLAIN, Evidence, Mixture, learn


def test_factors_of_two_degrees_of_freedom_are_those_of_an_exponential() -> None:
    # Chi-squared with 2 degrees of freedom is exponential: its quantile is -2 log(1 - p).
    shares = (np.arange(NODES) + 0.5) / NODES
    assert Mixture(2.0).multipliers == pytest.approx(-1 / np.log(shares), rel=2e-3)


@pytest.mark.parametrize("degrees", [2.5, 3.0, 4.0, 8.0, 50.0])
def test_factors_are_medians_of_equally_likely_parts(degrees: float) -> None:
    drawn = degrees / np.random.default_rng(1).chisquare(degrees, 400_000)
    factors = Mixture(degrees).multipliers
    assert len(factors) == NODES == 32
    below = np.array([np.mean(drawn < factor) for factor in factors])
    shares = (np.arange(NODES) + 0.5) / NODES
    assert np.all(np.abs(below - shares) < 4.5 * np.sqrt(shares * (1 - shares) / 400_000))


@pytest.mark.parametrize("degrees", [2.0, 3.0, 20.0, 1e4])
def test_factors_agree_with_the_quantiles_of_scipy(degrees: float) -> None:
    shares = (np.arange(NODES) + 0.5) / NODES
    assert Mixture(degrees).multipliers == pytest.approx(degrees / chi2.isf(shares, degrees), rel=2e-5)


def test_scale_multiplies_the_deviation() -> None:
    assert Mixture(3.0, 0.5).multipliers == pytest.approx(0.25 * Mixture(3.0).multipliers, rel=1e-14)
    assert Mixture(math.inf, 1.5).multipliers.tolist() == [2.25]


def test_without_outcomes_the_mixture_is_exactly_plain() -> None:
    assert learn([]) == PLAIN == Mixture(math.inf, 1.0, 0)
    assert PLAIN.multipliers.tolist() == [1.0]
    assert PLAIN.is_plain
    assert not Mixture(3.0).is_plain
    assert not Mixture(math.inf, 0.9).is_plain


@pytest.mark.parametrize(
    "degrees, scale", [(1.9, 1.0), (math.nan, 1.0), (3.0, 0.0), (3.0, math.inf), (3.0, -1.0)]
)
def test_a_mixture_that_cannot_be_is_refused(degrees: float, scale: float) -> None:
    with pytest.raises(ValueError, match="but must be"):
        Mixture(degrees, scale)


# -- learning


@pytest.mark.parametrize("degrees, scale", [(3.0, 0.85), (5.0, 1.2), (10.0, 0.6)])
def test_many_outcomes_of_a_mixture_are_recognised(degrees: float, scale: float) -> None:
    random = np.random.default_rng(2)
    factors = Mixture(degrees, scale).multipliers
    found = learn(random.standard_normal(4000) * np.sqrt(random.choice(factors, 4000)))
    assert 1 / found.degrees_of_freedom == pytest.approx(1 / degrees, abs=0.05)
    assert found.scale == pytest.approx(scale, rel=0.05)
    assert found.outcomes == 4000


def test_outcomes_of_a_known_volatility_stay_nearly_plain() -> None:
    grid = np.linspace(-8, 8, 4001)
    normal = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    divergences = []
    for seed in range(10):
        factors = learn(np.random.default_rng(seed).standard_normal(300)).multipliers[:, None]
        density = np.mean(np.exp(-(grid**2) / 2 / factors) / np.sqrt(2 * math.pi * factors), axis=0)
        divergence = float(np.sum(normal * np.log(normal / density)) * (grid[1] - grid[0]))
        divergences.append(divergence)
    assert min(divergences) >= -1e-9
    assert max(divergences) < 0.02
    assert np.mean(divergences) < 0.005


def test_the_cost_of_learning_where_there_is_nothing_to_learn_is_small() -> None:
    """Each outcome is scored by what those before it taught; the plain model is true."""
    costs = []
    for seed in range(4):
        evidence = Evidence()
        for outcome in np.random.default_rng(100 + seed).standard_normal(400).tolist():
            factors = evidence.mixture().multipliers
            density = float(np.mean(np.exp(-(outcome**2) / 2 / factors) / np.sqrt(factors)))
            costs.append(-(outcome**2) / 2 - math.log(density))
            evidence.add(outcome)
    assert -0.002 < float(np.mean(costs)) < 0.01


def test_the_scale_is_shrunk_by_eight_outcomes() -> None:
    """Of n outcomes of size r the posterior's log scale x solves n (r^2 exp(-2 x) - 1) = x / 0.25^2."""
    for count, size in ((4, 0.5), (16, 0.5), (100, 0.5), (4, 1.2)):
        found = math.log(learn([size, -size] * (count // 2)).scale)
        slopes = [
            count * (size**2 * math.exp(-2 * x) - 1) - x / 0.0625 for x in (found - 0.011, found + 0.011)
        ]
        assert slopes[0] > 0 > slopes[1]


@pytest.mark.parametrize("outcomes", [(0.2, -0.4, 1.9, 0.1), (0.3, 0.3, -0.2, 0.1, 2.5, -0.4, 0.2, 2.2)])
def test_the_mode_is_that_of_the_student_t_and_the_prior(outcomes: tuple[float, ...]) -> None:
    """1 / degrees of freedom is exponential with mean 1 / 5, the log scale normal with deviation 1 / 4."""
    tails, logs = np.meshgrid(np.arange(0.002, 0.5, 0.002), np.arange(-1, 1, 0.005), indexing="ij")
    posterior = -5 * tails - logs**2 / 2 * 16
    for outcome in outcomes:
        posterior += t.logpdf(outcome, 1 / tails, scale=np.exp(logs))
    best = np.unravel_index(np.argmax(posterior), posterior.shape)
    found = learn(outcomes)
    assert 1 / found.degrees_of_freedom == pytest.approx(tails[best], abs=0.021)
    assert math.log(found.scale) == pytest.approx(logs[best], abs=0.021)


def test_few_outcomes_say_less_than_many() -> None:
    scales = [learn([0.6] * count).scale for count in (0, 1, 5, 20, 100)]
    assert scales == sorted(scales, reverse=True)
    assert scales[0] == 1


def test_one_far_outcome_fattens_the_tails() -> None:
    ordinary = np.random.default_rng(3).standard_normal(40).tolist()
    assert learn(ordinary).degrees_of_freedom > learn([*ordinary, 8.0]).degrees_of_freedom
    assert learn([*ordinary, 8.0, -9.0]).degrees_of_freedom < 5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e5, 1e5), max_size=20))
def test_any_outcomes_give_a_mixture_and_their_order_and_sign_do_not_matter(outcomes: list[float]) -> None:
    found = learn(outcomes)
    assert found.degrees_of_freedom >= 2
    assert math.exp(-1) - 1e-9 <= found.scale <= math.exp(1) + 1e-9
    mirrored = learn([-outcome for outcome in outcomes])
    assert mirrored == found
    assert learn(outcomes[::-1]).scale == pytest.approx(found.scale, rel=0.021)


def test_an_outcome_of_weight_half_counts_half() -> None:
    outcomes = np.random.default_rng(4).standard_t(3, 60).tolist()
    twice = learn([outcome for outcome in outcomes for _ in range(2)], [0.5] * 120)
    once = learn(outcomes)
    assert (twice.degrees_of_freedom, twice.scale) == (once.degrees_of_freedom, once.scale)
    assert (twice.outcomes, once.outcomes) == (120, 60)


def test_weights_are_one_for_each_outcome() -> None:
    with pytest.raises(ValueError, match="zip"):
        learn([1.0, 2.0], [1.0])


@pytest.mark.parametrize("outcome", [math.nan, math.inf])
def test_an_outcome_that_is_not_finite_is_refused(outcome: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        learn([outcome])
