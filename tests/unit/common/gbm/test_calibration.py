"""Calibration against dense linear algebra, known parameters and prices that are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.gbm import Floats
from common.gbm.calibration import (
    CalibrationError,
    Segment,
    calibrate,
    close_interval,
    closes,
    shrink_drift,
    without_spikes,
)

YEAR = 31_557_600.0


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
    assert found.volatility_stderr == pytest.approx(found.volatility / 2 / math.sqrt(bend), rel=0.01)
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


def test_no_prices_at_all_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"^0 price changes were found, but at least 3 are needed$"):
        calibrate([], YEAR)


def test_three_price_changes_are_enough() -> None:
    found = calibrate([Segment(np.arange(4) * 5.0, np.array([1.0, 1.001, 1.0005, 1.002]))], YEAR)
    assert found.observations == 3
    assert found.volatility > 0


def test_without_bounce_volatility_and_its_error_are_the_textbook_ones() -> None:
    """Where successive returns move alike there is no bounce; then variance is that of n - 1 returns."""
    spacings = np.resize([5.0, 10.0, 20.0], 41)
    returns = 1e-4 * np.sqrt(spacings) * np.sin(np.arange(41) / 4) + 1e-6 * spacings
    times = np.append(0.0, np.cumsum(spacings))
    found = calibrate([Segment(times, 80 * np.exp(np.append(0.0, np.cumsum(returns))))], YEAR)
    pace = returns.sum() / spacings.sum()
    variance = np.sum((returns - pace * spacings) ** 2 / spacings) / 40
    assert found.noise == 0
    assert found.volatility == pytest.approx(math.sqrt(variance * YEAR), rel=1e-9)
    assert found.volatility_stderr == pytest.approx(found.volatility / math.sqrt(2 * 40), rel=1e-9)
    assert found.drift_estimate == pytest.approx(pace * YEAR + found.volatility**2 / 2, rel=1e-9)


def test_the_unit_of_time_does_not_matter() -> None:
    segment = sample(3, 300, volatility=0.6, noise=2e-4)
    seconds = calibrate([segment], YEAR)
    minutes = calibrate([Segment(segment.times / 60, segment.prices)], YEAR / 60)
    assert minutes.volatility == pytest.approx(seconds.volatility, rel=1e-9)
    assert minutes.drift_estimate == pytest.approx(seconds.drift_estimate, rel=1e-9)


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


# -- wrong prices, and prices that tell nothing


@pytest.mark.parametrize("wrong", [1.01, 0.99, 1.05, 0.7, 3.0])
@pytest.mark.parametrize("noise", [0.0, 2e-4])
def test_wrong_prices_hardly_move_the_volatility(wrong: float, noise: float) -> None:
    segment = sample(7, 2000, volatility=0.6, noise=noise)
    spoilt = Segment(segment.times, segment.prices.copy())
    spoilt.prices[[100, 101, 700, 1200, len(spoilt.prices) - 1]] *= wrong
    right, found = calibrate([segment], YEAR), calibrate([spoilt], YEAR)
    assert found.volatility == pytest.approx(right.volatility, rel=0.01)
    assert found.observations == right.observations - 5


def test_a_spike_is_left_out_and_a_jump_is_kept() -> None:
    times = np.arange(40) * 5.0
    prices = np.where(times < 100, 100.0, 103.0)
    prices[10], prices[30], prices[31] = 98.0, 104.5, 104.5
    kept = without_spikes(Segment(times, prices))
    assert [index for index in range(40) if times[index] not in kept.times] == [10, 30, 31]
    assert np.array_equal(kept.prices, np.delete(prices, [10, 30, 31]))


@pytest.mark.parametrize("wrong, kept", [(2, False), (3, False), (6, True)])
@pytest.mark.parametrize("change", [0.992, 1.012])
def test_up_to_three_prices_in_a_row_are_spikes_and_six_are_a_level(
    wrong: int, kept: bool, change: float
) -> None:
    prices = np.full(30, 80.0)
    prices[12 : 12 + wrong] *= change
    found = without_spikes(Segment(np.arange(30) * 5.0, prices))
    assert len(found.times) == (30 if kept else 30 - wrong)


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan, math.inf])
def test_prices_amid_many_that_are_none_are_kept(nothing: float) -> None:
    prices = np.resize([9.0, *[nothing] * 12], 79)
    found = without_spikes(Segment(np.arange(79) * 5.0, prices))
    assert found.prices.tolist() == [9.0] * 7


@pytest.mark.parametrize("deviations, left", [(14.9, 40), (15.1, 39)])
def test_a_price_that_moves_a_lot_may_move_fifteen_times_as_far(deviations: float, left: int) -> None:
    """Each price of 0, a, 0, a, ... lies `a` from the median of the five on either side."""
    logarithms = 0.01 * (np.arange(40) % 2)
    logarithms[20] = 0.01 + deviations * 0.01
    assert len(without_spikes(Segment(np.arange(40) * 5.0, np.exp(logarithms))).times) == left


def test_what_half_a_percent_away_is_no_spike_and_what_is_more_is_one() -> None:
    times = np.arange(20) * 5.0
    for change, left in ((1.0049, 20), (1.0051, 19), (1 / 1.0049, 20), (1 / 1.0052, 19)):
        prices = np.full(20, 50.0)
        prices[8] *= change
        assert len(without_spikes(Segment(times, prices)).times) == left


def test_large_moves_of_a_restless_price_are_no_spikes() -> None:
    times = np.arange(60) * 60.0
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.004, 60)))
    prices[30] *= 1.02
    assert len(without_spikes(Segment(times, prices)).times) == 60
    prices[30] *= 1.2
    assert len(without_spikes(Segment(times, prices)).times) == 59


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_price_has_no_spike(count: int) -> None:
    kept = without_spikes(Segment(np.arange(count) * 1.0, np.full(count, 4.0)))
    assert len(kept.prices) == count


def test_the_last_price_of_each_minute_is_its_close() -> None:
    times = np.array([0.0, 5.0, 55.0, 60.0, 180.0, 235.0, 240.0])
    found = closes(Segment(times, np.array([1.0, 1.001, 1.002, 1.003, 1.002, 1.001, 1.0])))
    assert found.times.tolist() == [55.0, 60.0, 235.0, 240.0]
    assert found.prices.tolist() == [1.002, 1.003, 1.001, 1.0]
    assert closes(Segment(times, np.ones(7)), 120.0).times.tolist() == [60.0, 235.0, 240.0]
    assert len(closes(Segment(times, np.ones(7)), 5.0).times) == 7


def test_a_short_sample_is_looked_at_more_closely() -> None:
    assert [close_interval(hours * 3600) for hours in (0.25, 0.5, 1, 3, 6)] == [5.0, 10.0, 20.0, 60.0, 60.0]


def test_no_bars_have_no_closes() -> None:
    assert len(closes(Segment(np.empty(0), np.empty(0))).times) == 0


def test_minute_closes_recover_the_volatility_through_noise_that_lasts() -> None:
    random = np.random.default_rng(9)
    true = np.cumsum(random.normal(0, 0.6 * math.sqrt(5 / YEAR), 17_280))
    bounce = np.repeat(random.choice([-3e-4, 3e-4], 17_280 // 3), 3)
    segment = Segment(np.arange(17_280) * 5.0, 100 * np.exp(true + bounce))
    found = calibrate([closes(segment)], YEAR)
    assert abs(found.volatility - 0.6) < 3 * found.volatility_stderr
    assert calibrate([segment], YEAR).volatility - 0.6 > 10 * found.volatility_stderr


@pytest.mark.parametrize("bars", [300, 301])
def test_a_price_that_only_bounces_is_refused(bars: int) -> None:
    prices = np.where(np.arange(bars) % 2, 100.01, 100.0)
    with pytest.raises(CalibrationError, match=f"^{bars} prices bounced, but did not move$"):
        calibrate([Segment(np.arange(bars) * 5.0, prices)], YEAR)


@pytest.mark.parametrize("bars", [50, 51])
def test_a_short_bounce_is_hardly_any_volatility(bars: int) -> None:
    prices = np.where(np.arange(bars) % 2, 100.01, 100.0)
    found = calibrate([Segment(np.arange(bars) * 5.0, prices)], YEAR)
    assert 1e-4 * math.sqrt(YEAR / 5) > 20 * found.volatility > 0
    assert found.noise == pytest.approx(0.5e-4, rel=0.03)
    # Such a likelihood is flat: it tells as much as one return, whose variance has an error of sqrt(2).
    assert found.volatility_stderr == pytest.approx(found.volatility / math.sqrt(2), rel=1e-12)


def test_a_gap_of_hours_counts_as_the_time_that_it_is() -> None:
    whole = sample(8, 3000, volatility=0.6, noise=1e-4, kept=1.0)
    kept = (whole.times < 3600) | (whole.times > 12_000)
    found = calibrate([Segment(whole.times[kept], whole.prices[kept])], YEAR)
    assert found.observations == kept.sum() - 1
    assert abs(found.volatility - 0.6) < 3 * found.volatility_stderr


@pytest.mark.parametrize("rate", [1e-6, 1e-4, -1e-3, math.log(2) / 64])
def test_prices_on_a_line_of_logarithms_are_refused(rate: float) -> None:
    """What is left beside the line is rounding, and no volatility."""
    times = np.delete(np.arange(200) * 5.0, [7, 8, 9, 100])
    with pytest.raises(CalibrationError, match=r"^196 prices lay on a line$"):
        calibrate([Segment(times, 250 * np.exp(rate * times / 5))], YEAR)


def test_a_line_with_one_small_step_is_no_line() -> None:
    times = np.arange(200) * 5.0
    prices = 250 * np.exp(1e-4 * times / 5 + 1e-8 * (times > 250))
    found = calibrate([Segment(times, prices)], YEAR)
    assert found.volatility == pytest.approx(1e-8 * math.sqrt(YEAR / 5 / 199), rel=0.01)
    assert all(math.isfinite(value) for value in vars(found).values())


def test_times_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="did not ascend"):
        calibrate([Segment(np.array([0.0, 5.0, 5.0, 10.0]), np.array([1.0, 1.001, 1.002, 1.003]))], YEAR)
