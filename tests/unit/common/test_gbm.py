"""The model against closed forms, dense linear algebra, numeric integrals and its own laws."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.gbm import (
    CHUNK_PATHS,
    QUANTILES,
    CalibrationError,
    Floats,
    Model,
    Segment,
    calibrate,
    chunk_sizes,
    shrink_drift,
    simulate,
    simulate_chunk,
    simulate_paths,
    summarise,
    times_ahead,
)

YEAR = 31_557_600.0
HOUR = times_ahead(3600, 60)
MODEL = Model(spot=250.0, drift=3.0, volatility=0.8, seconds_per_year=YEAR)
PATHS = 50_000
NORMAL = NormalDist()


def sample(
    seed: int, bars: int, *, volatility: float, noise: float, drift: float = 0.0, kept: float = 0.8
) -> Segment:
    """Return noisy closes of a geometric Brownian motion every 5 s, of which a share is missing."""
    random = np.random.default_rng(seed)
    times = np.arange(bars) * 5.0
    steps = (drift - volatility**2 / 2) * 5 / YEAR + volatility * math.sqrt(
        5 / YEAR
    ) * random.standard_normal(bars)
    prices = 100 * np.exp(np.cumsum(steps) + noise * random.standard_normal(bars))
    there = random.random(bars) < kept
    return Segment(times[there], prices[there])


# -- simulation


def test_quantiles_agree_with_the_log_normal_closed_form() -> None:
    forecast = summarise(MODEL, HOUR, simulate(HOUR, seed=11, paths=PATHS))
    for row, seconds in zip(forecast.quantiles, HOUR, strict=True):
        years = seconds / YEAR
        deviation = 0.8 * math.sqrt(years)
        centre = math.log(250) + (3.0 - 0.8**2 / 2) * years
        for value, probability in zip(row, QUANTILES, strict=True):
            place = NORMAL.inv_cdf(probability)
            stderr = math.sqrt(probability * (1 - probability) / PATHS) / NORMAL.pdf(place)
            assert abs((math.log(value) - centre) / deviation - place) < 4.5 * stderr


def test_mean_agrees_with_the_closed_form() -> None:
    forecast = summarise(MODEL, HOUR, simulate(HOUR, seed=12, paths=PATHS))
    expected = 250 * np.exp(3.0 * HOUR / YEAR)
    stderr = expected * np.sqrt(np.expm1(0.8**2 * HOUR / YEAR) / PATHS)
    assert np.all(np.abs(forecast.mean - expected) < 4.5 * stderr)


def test_log_returns_of_all_steps_are_independent_normals() -> None:
    times = np.array([1.0, 61.0, 62.0, 3600.0])
    paths = simulate_paths(MODEL, times, seed=13, paths=PATHS)
    returns = np.diff(np.log(paths), axis=1, prepend=math.log(250))
    spacings = np.diff(times, prepend=0.0) / YEAR
    standard = (returns - (3.0 - 0.32) * spacings) / (0.8 * np.sqrt(spacings))
    correlation = np.corrcoef(standard.T) - np.eye(len(times))
    assert np.max(np.abs(correlation)) < 4.5 / math.sqrt(PATHS)
    for column in np.sort(standard, axis=0).T:
        distribution = np.array([NORMAL.cdf(float(value)) for value in column])
        distance = np.max(np.abs(distribution - (np.arange(PATHS) + 0.5) / PATHS)) + 0.5 / PATHS
        assert distance * math.sqrt(PATHS) < 1.95, "Kolmogorov-Smirnov at 0.1 %"


def test_summary_agrees_with_the_very_paths() -> None:
    forecast = summarise(MODEL, HOUR, simulate(HOUR, seed=14, paths=PATHS))
    paths = simulate_paths(MODEL, HOUR, seed=14, paths=PATHS)
    bin_width = 0.8 * math.sqrt(3600 / YEAR) / 256 * 250
    assert np.allclose(forecast.quantiles, np.quantile(paths, QUANTILES, axis=0).T, atol=bin_width, rtol=0)
    assert np.allclose(forecast.mean, paths.mean(axis=0), rtol=1e-6)
    losses = np.sort(1 - paths[:, -1] / 250)[::-1]
    assert forecast.prob_up == pytest.approx(np.mean(paths[:, -1] > 250), abs=0.002)
    for share, risk, shortfall in (
        (0.05, forecast.var_95, forecast.es_95),
        (0.01, forecast.var_99, forecast.es_99),
    ):
        worst = losses[: round(share * PATHS)]
        assert risk == pytest.approx(worst[-1], abs=bin_width / 250)
        assert shortfall == pytest.approx(worst.mean(), abs=bin_width / 250)
        assert shortfall > risk
    assert forecast.var_95 == pytest.approx(1 - forecast.quantiles[-1][0] / 250, rel=1e-12)


def test_histogram_holds_every_path_and_follows_the_density() -> None:
    forecast = summarise(MODEL, HOUR, simulate(HOUR, seed=15, paths=PATHS))
    assert forecast.count.sum() == PATHS
    assert np.array_equal(forecast.low[1:], forecast.high[:-1])
    assert np.sum(forecast.density * (forecast.high - forecast.low)) == pytest.approx(1)
    expected = PATHS * np.array(
        [
            MODEL.pit(float(high), 3600) - MODEL.pit(float(low), 3600)
            for low, high in zip(forecast.low, forecast.high, strict=True)
        ]
    )
    inner = slice(1, -1)
    distance = (forecast.count[inner] - expected[inner]) ** 2 / expected[inner]
    assert distance.sum() < 62 + 4 * math.sqrt(2 * 62), "chi-squared with 62 degrees of freedom"


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_tally_is_the_same_in_any_order_and_grouping(partitions: int) -> None:
    paths = 4 * CHUNK_PATHS + 100
    whole = simulate(HOUR, seed=16, paths=paths)
    chunks = list(enumerate(chunk_sizes(paths)))
    np.random.default_rng(partitions).shuffle(chunks)
    parts = [
        sum(simulate_chunk(HOUR, 16, int(chunk), int(size)) for chunk, size in group)
        for group in (chunks[start::partitions] for start in range(partitions))
    ]
    assert np.array_equal(sum(parts), whole)


def test_another_seed_or_chunk_draws_other_paths() -> None:
    first = simulate_chunk(HOUR, 17, 0, 1000)
    assert np.array_equal(first, simulate_chunk(HOUR, 17, 0, 1000))
    assert not np.array_equal(first, simulate_chunk(HOUR, 18, 0, 1000))
    assert not np.array_equal(first, simulate_chunk(HOUR, 17, 1, 1000))


@given(st.integers(1, 50_000))
def test_chunks_hold_all_paths(paths: int) -> None:
    sizes = chunk_sizes(paths)
    assert sum(sizes) == paths
    assert all(size == CHUNK_PATHS for size in sizes[:-1])
    assert 0 < sizes[-1] <= CHUNK_PATHS


@given(st.floats(1e-6, 1e6), st.floats(-50, 50), st.floats(0.01, 5))
def test_prices_scale_the_forecast(spot: float, drift: float, volatility: float) -> None:
    one = summarise(Model(1.0, drift, volatility, YEAR), HOUR, TALLY)
    other = summarise(Model(spot, drift, volatility, YEAR), HOUR, TALLY)
    assert np.allclose(other.quantiles, spot * one.quantiles, rtol=1e-9)
    assert np.allclose(other.mean, spot * one.mean, rtol=1e-9)
    assert np.allclose(other.density, one.density / spot, rtol=1e-6)
    assert other.var_99 == pytest.approx(one.var_99, abs=1e-9)
    assert other.es_99 == pytest.approx(one.es_99, abs=1e-9)
    assert np.all(np.diff(other.quantiles, axis=1) > 0)


TALLY = simulate(HOUR, seed=19, paths=2000)


@given(st.floats(1, 1e6), st.floats(1, 1e5))
def test_times_end_with_the_horizon(horizon: float, step: float) -> None:
    if horizon / step > 10_000:
        return
    times = times_ahead(horizon, step)
    assert times[-1] == horizon
    assert np.all(np.diff(times, prepend=0.0) > 0)
    assert np.all(np.diff(times, prepend=0.0) <= step * (1 + 1e-6))


def test_times_of_an_hour() -> None:
    assert times_ahead(3600, 60).tolist() == [60.0 * minute for minute in range(1, 61)]
    assert times_ahead(150, 60).tolist() == [60.0, 120.0, 150.0]


# -- closed form


@pytest.mark.parametrize("outcome", [200.0, 248.0, 250.0, 251.5, 300.0])
def test_crps_agrees_with_its_integral(outcome: float) -> None:
    mean, deviation = MODEL.log_moments(86_400)
    grid = np.unique(
        np.append(np.exp(np.linspace(mean - 12 * deviation, mean + 12 * deviation, 400_001)), outcome)
    )
    grid = np.unique(
        np.concatenate([grid, np.linspace(min(grid[0], outcome), max(grid[-1], outcome), 200_001)])
    )
    middle = (grid[1:] + grid[:-1]) / 2
    below = np.array([0.5 * math.erfc((mean - x) / deviation / math.sqrt(2)) for x in np.log(middle)])
    integral = np.sum((below - (middle >= outcome)) ** 2 * np.diff(grid))
    assert MODEL.crps(outcome, 86_400) == pytest.approx(integral, rel=1e-4)


def test_pit_is_the_integral_of_the_density() -> None:
    grid = np.linspace(150, 260, 200_001)
    density = MODEL.density(grid, 86_400)
    integral = float(np.sum((density[1:] + density[:-1]) / 2 * np.diff(grid)))
    assert MODEL.pit(260.0, 86_400) == pytest.approx(integral, abs=1e-8)


def test_pit_of_true_outcomes_is_uniform() -> None:
    outcomes = simulate_paths(MODEL, np.array([3600.0]), seed=20, paths=5000)[:, 0]
    pits = np.sort([MODEL.pit(float(outcome), 3600) for outcome in outcomes])
    distance = np.max(np.abs(pits - (np.arange(5000) + 0.5) / 5000)) + 0.5 / 5000
    assert distance * math.sqrt(5000) < 1.95


@given(st.floats(0.001, 0.999), st.floats(1, 1e7))
def test_quantile_and_pit_are_inverses(probability: float, seconds: float) -> None:
    assert MODEL.pit(MODEL.quantile(probability, seconds), seconds) == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(
    "spot, volatility", [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, 0.0), (1.0, math.inf)]
)
def test_a_model_that_cannot_be_is_refused(spot: float, volatility: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Model(spot, 0.0, volatility, YEAR)


# -- calibration


def dense_likelihood(segment: Segment, variance: float, noise_variance: float) -> tuple[float, float, float]:
    """Return the restricted log likelihood, the log drift and its precision, by full matrices."""
    returns, spacings = np.diff(np.log(segment.prices)), np.diff(segment.times)
    count = len(returns)
    bounce = 2 * np.eye(count) - np.eye(count, k=1) - np.eye(count, k=-1)
    covariance = variance * np.diag(spacings) + noise_variance * bounce
    inverse = np.linalg.inv(covariance)
    precision = spacings @ inverse @ spacings
    slope = spacings @ inverse @ returns / precision
    rest = returns - slope * spacings
    # The slope is given a flat prior, scaled so that the estimate of variance divides by n - 1.
    logarithm = np.linalg.slogdet(covariance)[1] - math.log(variance)
    return -0.5 * float(logarithm + rest @ inverse @ rest), float(slope), float(precision)


@pytest.mark.parametrize("noise", [1e-4, 4e-4])
def test_calibration_is_at_the_top_of_the_dense_likelihood(noise: float) -> None:
    segment = sample(1, 250, volatility=0.6, noise=noise, drift=50.0)
    found = calibrate([segment], YEAR)
    variance, noise_variance = found.volatility**2 / YEAR, found.noise**2
    top, slope, precision = dense_likelihood(segment, variance, noise_variance)
    for more in (0.9, 1.1):
        assert dense_likelihood(segment, variance * more, noise_variance)[0] < top
        assert dense_likelihood(segment, variance, noise_variance * more)[0] < top
        assert dense_likelihood(segment, variance * more, noise_variance / more)[0] < top
    assert found.drift_estimate == pytest.approx(slope * YEAR + found.volatility**2 / 2, rel=1e-6)
    bend = numeric_information(segment, variance, noise_variance)
    assert found.volatility_stderr == pytest.approx(found.volatility / 2 / math.sqrt(bend), rel=0.05)
    expected = math.hypot(YEAR / math.sqrt(precision), found.volatility * found.volatility_stderr)
    assert found.drift_stderr == pytest.approx(expected, rel=1e-6)


def numeric_information(segment: Segment, variance: float, noise_variance: float) -> float:
    """Return the information on log variance, noise unknown, by differences of the dense likelihood."""
    step = 0.05

    def at(first: float, second: float) -> float:
        return dense_likelihood(segment, variance * math.exp(first), noise_variance * math.exp(second))[0]

    ss = (at(step, 0) - 2 * at(0, 0) + at(-step, 0)) / step**2
    nn = (at(0, step) - 2 * at(0, 0) + at(0, -step)) / step**2
    sn = (at(step, step) - at(step, -step) - at(-step, step) + at(-step, -step)) / (4 * step**2)
    return -(ss - sn**2 / nn)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 5e-4])
def test_standard_errors_cover_the_truth(noise: float) -> None:
    found = [
        calibrate([sample(seed, 360, volatility=0.6, noise=noise, drift=40.0)], YEAR) for seed in range(150)
    ]
    hits = np.mean([abs(one.volatility - 0.6) < 1.96 * one.volatility_stderr for one in found])
    assert 0.89 < hits <= 1
    drifts = np.mean([abs(one.drift_estimate - 40.0) < 1.96 * one.drift_stderr for one in found])
    assert 0.89 < drifts <= 1
    assert np.mean([one.volatility for one in found]) == pytest.approx(0.6, abs=0.03)


def test_bounce_does_not_count_as_volatility() -> None:
    segment = sample(2, 2000, volatility=0.6, noise=5e-4)
    found = calibrate([segment], YEAR)
    returns, spacings = np.diff(np.log(segment.prices)), np.diff(segment.times)
    naive = math.sqrt(np.mean(returns**2 / spacings) * YEAR)
    assert naive > 1.5
    assert abs(found.volatility - 0.6) < 3 * found.volatility_stderr
    assert found.noise == pytest.approx(5e-4, rel=0.1)


def test_a_jump_between_segments_does_not_count() -> None:
    whole = sample(4, 1000, volatility=0.5, noise=1e-4, kept=1.0)
    morning = Segment(whole.times[:500], whole.prices[:500])
    later = Segment(whole.times[500:] + 64_800, whole.prices[500:] * 1.2)
    found = calibrate([morning, later], YEAR)
    assert found.observations == 998
    assert abs(found.volatility - 0.5) < 3 * found.volatility_stderr


def test_spacing_is_respected() -> None:
    dense = sample(5, 4000, volatility=0.6, noise=0.0, kept=1.0)
    sparse = Segment(dense.times[::24], dense.prices[::24])
    found = calibrate([sparse], YEAR)
    assert abs(found.volatility - 0.6) < 3 * found.volatility_stderr


def test_prices_that_are_not_above_zero_are_ignored() -> None:
    segment = sample(6, 300, volatility=0.6, noise=1e-4)
    spoilt = Segment(
        np.append(segment.times, segment.times[-1] + np.array([5.0, 10.0, 15.0])),
        np.append(segment.prices, [0.0, -4.0, math.nan]),
    )
    assert calibrate([spoilt], YEAR) == calibrate([segment], YEAR)


@pytest.mark.parametrize("prices", [[], [1.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
def test_too_few_prices_are_refused(prices: list[float]) -> None:
    with pytest.raises(CalibrationError, match="at least 3"):
        calibrate([Segment(np.arange(len(prices)) * 5.0, np.array(prices))], YEAR)


def test_a_price_that_never_moves_is_refused() -> None:
    with pytest.raises(CalibrationError, match="did not change"):
        calibrate([Segment(np.arange(50) * 5.0, np.full(50, 3.0))], YEAR)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 5))
def test_the_unit_of_price_does_not_matter(unit: float, seed: int) -> None:
    segment = sample(seed, 200, volatility=0.6, noise=2e-4)
    one = calibrate([segment], YEAR)
    other = calibrate([Segment(segment.times, segment.prices * unit)], YEAR)
    assert other.volatility == pytest.approx(one.volatility, rel=1e-6)
    assert other.drift_estimate == pytest.approx(one.drift_estimate, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([99.99, 100.0, 100.01]), min_size=5, max_size=60), st.integers(0, 1000))
def test_any_prices_give_finite_figures_or_a_reason(prices: list[float], seed: int) -> None:
    times: Floats = np.cumsum(5.0 * np.random.default_rng(seed).integers(1, 20, len(prices)))
    try:
        found = calibrate([Segment(times, np.array(prices))], YEAR)
    except CalibrationError:
        return
    assert found.volatility > 0
    assert all(math.isfinite(value) for value in vars(found).values())


# -- drift


@given(st.floats(-1000, 1000), st.floats(1e-3, 1000), st.floats(0.01, 5))
def test_shrunk_drift_lies_between_none_and_the_estimate(
    estimate: float, stderr: float, volatility: float
) -> None:
    shrunk = shrink_drift(estimate, stderr, volatility)
    assert abs(shrunk) <= abs(estimate)
    assert shrunk * estimate >= 0
    assert abs(shrink_drift(estimate, 2 * stderr, volatility)) <= abs(shrunk)


def test_a_years_estimate_is_halved_and_an_hours_is_next_to_nothing() -> None:
    assert shrink_drift(1.0, 0.6, 0.6) == pytest.approx(0.5)
    hours = 0.6 / math.sqrt(6 * 3600 / YEAR)
    assert shrink_drift(20.0, hours, 0.6) == pytest.approx(20 * 6 * 3600 / (YEAR + 6 * 3600))
