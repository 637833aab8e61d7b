"""The closed form against numeric integrals, sampled prices and its own laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoringrules import crps_ensemble, crps_lognormal

from common.gbm import Floats
from common.gbm.mixture import Mixture
from common.gbm.model import STEADY, Clock, Model

YEAR = 31_557_600.0
PLAIN = Model(spot=250.0, drift=3.0, volatility=0.8, seconds_per_year=YEAR)
TAILED = Model(250.0, 3.0, 0.8, YEAR, Mixture(3.0, 0.85, 100))
SCALED = Model(250.0, 3.0, 0.8, YEAR, Mixture(math.inf, 0.5, 100))
CLOCKED = Model(
    250.0, 3.0, 0.8, YEAR, Mixture(3.0, 0.85, 100), Clock((43_200.0, 86_400.0), (60_000.0, 70_000.0))
)
MODELS = pytest.mark.parametrize("model", [PLAIN, TAILED, SCALED, CLOCKED])
DAY = 86_400.0


def outcomes(model: Model, seconds: float, count: int, seed: int) -> Floats:
    """Draw prices as the model is defined: first a variance, then a log-normal price."""
    random = np.random.default_rng(seed)
    years = model.clock.at(seconds) / YEAR
    variances = model.volatility**2 * random.choice(model.mixture.multipliers, count)
    steps = (model.drift - variances / 2) * years + np.sqrt(variances * years) * random.standard_normal(count)
    prices: Floats = model.spot * np.exp(steps)
    return prices


@MODELS
@pytest.mark.parametrize("outcome", [200.0, 248.0, 250.0, 251.5, 300.0])
def test_crps_agrees_with_its_integral(model: Model, outcome: float) -> None:
    grid = np.unique(
        np.concatenate([np.geomspace(100, 600, 20_001), np.linspace(240, 310, 20_001), [outcome]])
    )
    middle = (grid[1:] + grid[:-1]) / 2
    below = np.array([model.pit(float(price), DAY) for price in middle[::20]])
    below = np.interp(middle, middle[::20], below)
    integral = np.sum((below - (middle >= outcome)) ** 2 * np.diff(grid))
    assert model.crps(outcome, DAY) == pytest.approx(integral, rel=2e-3)


@MODELS
def test_crps_agrees_with_its_definition_on_drawn_prices(model: Model) -> None:
    prices, others = outcomes(model, DAY, 400_000, 1), outcomes(model, DAY, 400_000, 2)
    for outcome in (240.0, 252.0, 280.0):
        terms = np.abs(prices - outcome) - np.abs(prices - others) / 2
        assert abs(model.crps(outcome, DAY) - terms.mean()) < 4.5 * terms.std() / math.sqrt(400_000)


@pytest.mark.parametrize("model", [PLAIN, SCALED])
@pytest.mark.parametrize("seconds", [60.0, 3600.0, DAY, 1e7])
def test_crps_of_one_log_normal_agrees_with_scoringrules(model: Model, seconds: float) -> None:
    mean, deviation = model.log_moments(seconds)
    for place in (-9.0, -1.0, 0.0, 0.3, 2.0, 9.0):
        outcome = math.exp(mean + deviation * place)
        assert model.crps(outcome, seconds) == pytest.approx(
            crps_lognormal(outcome, mean, deviation), rel=1e-9
        )


@MODELS
def test_crps_agrees_with_that_of_ensembles_of_drawn_prices_by_scoringrules(model: Model) -> None:
    # The estimator by probability weighted moments is unbiased.
    ensembles = outcomes(model, DAY, 800_000, 4).reshape(40, -1)
    for outcome in (235.0, 252.0, 275.0):
        found = crps_ensemble(np.full(40, outcome), ensembles, estimator="pwm")
        error = found.std(ddof=1) / math.sqrt(40)
        assert error < 0.003 * found.mean()
        assert abs(model.crps(outcome, DAY) - found.mean()) < 4.5 * error


@MODELS
def test_pit_is_the_integral_of_the_density(model: Model) -> None:
    grid = np.geomspace(50, 260, 100_001)
    density = model.density(grid, DAY)
    integral = float(np.sum((density[1:] + density[:-1]) / 2 * np.diff(grid)))
    assert model.pit(260.0, DAY) - model.pit(50.0, DAY) == pytest.approx(integral, abs=1e-7)


@MODELS
def test_log_score_is_the_log_density_of_the_price_over_the_spot(model: Model) -> None:
    for price in (200.0, 249.0, 260.0):
        density = float(model.density(np.array([price]), DAY)[0])
        assert model.log_score(price, DAY) == pytest.approx(math.log(density * 250), rel=1e-9)


def test_a_far_outcome_has_a_finite_log_score() -> None:
    deviation = 0.8 * math.sqrt(60 / YEAR)
    place = (math.log(10) - 2.68 * 60 / YEAR) / deviation
    expected = -(place**2) / 2 - math.log(deviation * math.sqrt(2 * math.pi)) - math.log(10)
    assert PLAIN.log_score(2500.0, 60.0) == pytest.approx(expected, rel=1e-12)
    assert -math.inf < PLAIN.log_score(2500.0, 60.0) < TAILED.log_score(2500.0, 60.0)


@MODELS
def test_pit_and_mean_agree_with_drawn_prices(model: Model) -> None:
    prices = outcomes(model, DAY, 400_000, 3)
    for price in (230.0, 250.0, 265.0):
        share = model.pit(price, DAY)
        error = math.sqrt(share * (1 - share) / 400_000)
        assert abs(np.mean(prices < price) - share) < 4.5 * error
    assert abs(prices.mean() - model.mean(DAY)) < 4.5 * prices.std() / math.sqrt(400_000)


@pytest.mark.parametrize("model", [PLAIN, TAILED])
@given(probability=st.floats(0.001, 0.999), seconds=st.floats(1, 1e7))
def test_quantile_and_pit_are_inverses(model: Model, probability: float, seconds: float) -> None:
    assert model.pit(model.quantile(probability, seconds), seconds) == pytest.approx(probability, abs=1e-6)


def test_the_plain_quantile_is_the_log_normal_one() -> None:
    deviation = 0.8 * math.sqrt(3600 / YEAR)
    centre = math.log(250) + (3.0 - 0.32) * 3600 / YEAR
    assert PLAIN.quantile(0.05, 3600) == pytest.approx(
        math.exp(centre - 1.6448536269514722 * deviation), rel=1e-13
    )
    assert PLAIN.quantile(0.5, 3600) == pytest.approx(math.exp(centre), rel=1e-13)


def test_a_mixture_with_one_factor_is_a_model_of_another_volatility() -> None:
    other = Model(250.0, 3.0, 0.4, YEAR)
    for price in (240.0, 251.0, 270.0):
        assert SCALED.pit(price, DAY) == pytest.approx(other.pit(price, DAY), rel=1e-12)
        assert SCALED.crps(price, DAY) == pytest.approx(other.crps(price, DAY), rel=1e-12)
        assert SCALED.touch(price, DAY) == pytest.approx(other.touch(price, DAY), rel=1e-12)


def test_log_moments_are_those_of_the_average_variance() -> None:
    mean, deviation = PLAIN.log_moments(3600)
    assert mean == pytest.approx(math.log(250) + (3.0 - 0.32) * 3600 / YEAR, rel=1e-14)
    assert deviation == pytest.approx(0.8 * math.sqrt(3600 / YEAR), rel=1e-14)
    variance = 0.64 * float(TAILED.mixture.multipliers.mean())
    mean, deviation = TAILED.log_moments(3600)
    assert mean == pytest.approx(math.log(250) + (3.0 - variance / 2) * 3600 / YEAR, rel=1e-14)
    assert deviation == pytest.approx(math.sqrt(variance * 3600 / YEAR), rel=1e-14)


def test_standardised_outcomes_are_those_of_the_plain_model() -> None:
    deviation = 0.8 * math.sqrt(3600 / YEAR)
    price = 250 * math.exp((3.0 - 0.32) * 3600 / YEAR + 1.5 * deviation)
    for model in (PLAIN, TAILED, SCALED):
        assert model.standardised(price, 3600) == pytest.approx(1.5, rel=1e-12)
    assert CLOCKED.standardised(250.0, 43_200) == pytest.approx(
        -2.68 * math.sqrt(60_000 / YEAR) / 0.8, rel=1e-12
    )


# -- touching a level


@MODELS
@pytest.mark.parametrize("price", [230.0, 249.0, 251.0, 275.0])
def test_touch_agrees_with_fine_paths(model: Model, price: float) -> None:
    random = np.random.default_rng(5)
    paths, steps, years = 20_000, 400, model.clock.at(DAY) / YEAR
    variances = model.volatility**2 * random.choice(model.mixture.multipliers, paths)
    place, survival = np.zeros(paths), np.ones(paths)
    level = math.log(price / 250)
    for _ in range(steps):
        move = (3.0 - variances / 2) * years / steps + np.sqrt(
            variances * years / steps
        ) * random.standard_normal(paths)
        distances = np.maximum((level - place) * np.sign(level), 0) * np.maximum(
            (level - place - move) * np.sign(level), 0
        )
        survival *= -np.expm1(-2 * distances / (variances * years / steps))
        place += move
    share = model.touch(price, DAY)
    assert abs(float(np.mean(1 - survival)) - share) < 4.5 * math.sqrt(share * (1 - share) / paths)


def test_without_drift_of_the_logarithm_a_level_is_touched_twice_as_often_as_passed() -> None:
    model = Model(100.0, 0.32, 0.8, YEAR)
    for price in (97.0, 99.0, 101.0, 104.0):
        beyond = model.pit(price, DAY) if price < 100 else 1 - model.pit(price, DAY)
        assert model.touch(price, DAY) == pytest.approx(2 * beyond, rel=1e-9)


@MODELS
def test_the_spot_is_touched_for_certain(model: Model) -> None:
    assert model.touch(250.0, 60.0) == pytest.approx(1.0)


def test_a_strong_drift_touches_for_certain() -> None:
    assert Model(100.0, 1e6, 0.1, YEAR).touch(101.0, 3600) == 1.0
    assert Model(100.0, -1e6, 0.1, YEAR).touch(101.0, 3600) == 0.0


# -- what a model is


@pytest.mark.parametrize(
    "spot, volatility, year, name",
    [
        (0.0, 1.0, 1.0, "spot"),
        (-1.0, 1.0, 1.0, "spot"),
        (math.nan, 1.0, 1.0, "spot"),
        (1.0, 0.0, 1.0, "volatility"),
        (1.0, math.inf, 1.0, "volatility"),
        (1.0, 1.0, 0.0, "seconds_per_year"),
    ],
)
def test_a_model_that_cannot_be_is_refused(spot: float, volatility: float, year: float, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} was .* but must be above 0$"):
        Model(spot, 0.0, volatility, year)


@pytest.mark.parametrize("drift", [math.nan, math.inf])
def test_a_drift_that_is_not_finite_is_refused(drift: float) -> None:
    with pytest.raises(ValueError, match=r"^drift was .*, but must be finite$"):
        Model(1.0, drift, 1.0, YEAR)


def test_a_model_knows_its_name_and_its_plain_self() -> None:
    assert PLAIN.name == "gbm"
    assert TAILED.name == SCALED.name == "gbm-mixture"
    assert TAILED.plain == SCALED.plain == PLAIN
    assert CLOCKED.plain.clock == CLOCKED.clock


# -- the clock


def test_a_steady_clock_runs_with_the_time() -> None:
    assert STEADY.at(1234.5) == 1234.5


def test_a_clock_is_interpolated_from_nothing_and_goes_on_at_its_average_pace() -> None:
    clock = Clock((100.0, 200.0), (50.0, 250.0))
    assert [clock.at(seconds) for seconds in (50.0, 100.0, 150.0, 200.0, 400.0)] == [
        25.0,
        50.0,
        150.0,
        250.0,
        500.0,
    ]


def test_a_clock_of_three_times_goes_on_from_its_end() -> None:
    clock = Clock((0.2, 0.4, 0.8), (0.5, 0.6, 1.2))
    assert [clock.at(seconds) for seconds in (0.1, 0.3, 0.6, 0.8, 1.6)] == pytest.approx(
        [0.25, 0.55, 0.9, 1.2, 2.4]
    )


@pytest.mark.parametrize(
    "seconds, passed",
    [
        ((1.0,), ()),
        ((0.0, 1.0), (0.5, 1.0)),
        ((2.0, 1.0), (1.0, 2.0)),
        ((1.0, 2.0), (1.0, 1.0)),
        ((1.0,), (0.0,)),
    ],
)
def test_a_clock_that_does_not_run_is_refused(seconds: tuple[float, ...], passed: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="clock"):
        Clock(seconds, passed)


def test_only_the_time_on_the_clock_matters() -> None:
    steady = Model(250.0, 3.0, 0.8, YEAR, CLOCKED.mixture)
    assert CLOCKED.quantile(0.1, 43_200) == pytest.approx(steady.quantile(0.1, 60_000), rel=1e-12)
    assert CLOCKED.mean(DAY) == pytest.approx(steady.mean(70_000), rel=1e-12)
    assert CLOCKED.crps(255.0, DAY) == pytest.approx(steady.crps(255.0, 70_000), rel=1e-12)
    assert CLOCKED.touch(255.0, DAY) == pytest.approx(steady.touch(255.0, 70_000), rel=1e-12)
