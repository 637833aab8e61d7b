"""The simulation against the closed form, exact laws of Brownian motion, and its own paths."""

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.gbm import QUANTILES
from common.gbm.mixture import Mixture
from common.gbm.model import Clock, Model
from common.gbm.simulation import (
    CHUNK_PATHS,
    LEVELS,
    Forecast,
    Tally,
    chunk_sizes,
    simulate,
    simulate_chunk,
    simulate_paths,
    summarise,
    times_ahead,
)

YEAR = 31_557_600.0
HOUR = times_ahead(3600, 60)
PLAIN = Model(spot=250.0, drift=3.0, volatility=0.8, seconds_per_year=YEAR)
TAILED = Model(250.0, 3.0, 0.8, YEAR, Mixture(3.0, 0.85, 100))
CLOCKED = Model(250.0, 3.0, 0.8, YEAR, Mixture(4.0, 1.1, 100), Clock((1800.0, 3600.0), (2700.0, 3300.0)))
PATHS = 100_000
MADE: dict[Model, Forecast] = {}
MODELS = pytest.mark.parametrize("model", [PLAIN, TAILED, CLOCKED], ids=["plain", "tailed", "clocked"])


def made(model: Model) -> Forecast:
    """Return the model's forecast of an hour, simulated once."""
    if model not in MADE:
        MADE[model] = summarise(model, HOUR, simulate(model, HOUR, 11, PATHS))
    return MADE[model]


def same(one: Tally, other: Tally) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


# -- against the closed form


@MODELS
def test_quantiles_agree_with_the_closed_form(model: Model) -> None:
    for row, seconds in zip(made(model).quantiles, HOUR, strict=True):
        for value, probability in zip(row, QUANTILES, strict=True):
            # A mirrored pair errs less than two independent paths, and the tally's bins are 1/128 wide.
            error = math.sqrt(probability * (1 - probability) / PATHS)
            assert abs(model.pit(float(value), float(seconds)) - probability) < 4.5 * error


@MODELS
def test_mean_agrees_with_the_closed_form(model: Model) -> None:
    expected = np.array([model.mean(float(seconds)) for seconds in HOUR])
    deviations = np.array([model.log_moments(float(seconds))[1] for seconds in HOUR])
    assert np.all(np.abs(made(model).mean / expected - 1) < 4.5 * deviations / math.sqrt(PATHS))


@MODELS
def test_touching_agrees_with_the_reflection_principle(model: Model) -> None:
    for level, found in zip(LEVELS, made(model).touch, strict=True):
        share = model.touch(250 * (1 + level), 3600)
        assert abs(found - share) < 4.5 * math.sqrt(share * (1 - share) / PATHS) + 1e-9


@MODELS
def test_ending_beyond_a_level_agrees_with_the_closed_form(model: Model) -> None:
    for level, found in zip(LEVELS, made(model).beyond, strict=True):
        below = model.pit(250 * (1 + level), 3600)
        share = below if level < 0 else 1 - below
        assert abs(found - share) < 4.5 * math.sqrt(share * (1 - share) / PATHS) + 1e-9


@MODELS
def test_risks_agree_with_the_closed_form(model: Model) -> None:
    forecast = made(model)
    grid = np.linspace(0, 1, 20_001)
    for tail, risk, shortfall in (
        (0.05, forecast.var_95, forecast.es_95),
        (0.01, forecast.var_99, forecast.es_99),
    ):
        place = model.quantile(tail, 3600)
        assert risk == pytest.approx(1 - place / 250, rel=0.02)
        # E[S | S < q] from the distribution function: q - integral of P(S < x) / tail, x from 0 to q.
        prices = place * (1 - 0.2 * (1 - grid) ** 2)
        below = np.array([model.pit(float(price), 3600) for price in prices[::40]])
        integral = np.trapezoid(below, prices[::40])
        assert shortfall == pytest.approx(1 - (place - integral / tail) / 250, rel=0.02)


def test_the_share_of_paths_that_rise_agrees_with_the_closed_form() -> None:
    for model in (PLAIN, TAILED, Model(250.0, 800.0, 0.8, YEAR)):
        found = summarise(model, HOUR, simulate(model, HOUR, 12, PATHS)).prob_up
        assert found == pytest.approx(1 - model.pit(250.0, 3600), abs=0.005)


def test_a_path_of_one_step_touches_as_often_as_one_of_many() -> None:
    end = np.array([3600.0])
    found = summarise(TAILED, end, simulate(TAILED, end, 13, PATHS))
    for level, share in zip(LEVELS, found.touch, strict=True):
        expected = TAILED.touch(250 * (1 + level), 3600)
        assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / PATHS)


def test_drawdown_agrees_with_the_law_of_reflected_brownian_motion() -> None:
    """Peak minus place is a reflected Brownian motion (Levy); its maximum has a known distribution."""
    volatility = 0.5
    model = Model(1.0, volatility**2 / 2, volatility, YEAR)
    deviation = volatility * math.sqrt(3600 / YEAR)
    found = summarise(model, HOUR, simulate(model, HOUR, 14, PATHS))
    # The mean is sqrt(pi / 2) deviations, the variance 2 Catalan - pi / 2 of them.
    error = math.sqrt(2 * 0.915965594 - math.pi / 2) / math.sqrt(PATHS)
    assert found.drawdown_mean / deviation == pytest.approx(
        math.sqrt(math.pi / 2) - 0.916 * deviation, abs=4.5 * error
    )
    assert -math.log1p(-found.drawdown_95) / deviation == pytest.approx(2.2414027, rel=0.006)


# -- paths


def test_log_returns_of_all_steps_are_independent_normals() -> None:
    times = np.array([1.0, 61.0, 62.0, 3600.0])
    paths = simulate_paths(PLAIN, times, seed=13, paths=PATHS)
    returns = np.diff(np.log(paths), axis=1, prepend=math.log(250))
    spacings = np.diff(times, prepend=0.0) / YEAR
    standard = (returns - (3.0 - 0.32) * spacings) / (0.8 * np.sqrt(spacings))
    correlation = np.corrcoef(standard.T) - np.eye(len(times))
    assert np.max(np.abs(correlation)) < 4.5 / math.sqrt(PATHS / 2)
    cdf = np.vectorize(lambda place: math.erfc(-place / math.sqrt(2)) / 2)
    for column in np.sort(standard, axis=0).T[:, ::10]:
        count = len(column)
        distance = np.max(np.abs(cdf(column) - (np.arange(count) + 0.5) / count)) + 0.5 / count
        assert distance * math.sqrt(count) < 1.95, "Kolmogorov-Smirnov at 0.1 %"


@pytest.mark.parametrize("size", [1, 2, 9, 1000])
def test_each_path_has_a_mirrored_one(size: int) -> None:
    logarithms = np.log(simulate_paths(PLAIN, HOUR, 3, size) / 250) - (3.0 - 0.32) * HOUR / YEAR
    half = (size + 1) // 2
    assert np.allclose(logarithms[: size - half], -logarithms[half:], atol=1e-12)
    assert len(np.unique(logarithms[:, -1].round(12))) == size


def test_a_path_keeps_its_variance_and_every_variance_has_its_share() -> None:
    times = times_ahead(3600, 6)
    paths = simulate_paths(TAILED, times, 4, 640)
    returns = np.diff(np.log(paths), axis=1, prepend=math.log(250))
    found = np.sqrt((returns**2).sum(axis=1) / 3600 * YEAR)
    expected = np.tile(np.repeat(0.8 * np.sqrt(TAILED.mixture.multipliers), 10), 2)
    assert np.all(np.abs(found / expected - 1) < 4.5 / math.sqrt(2 * len(times)))


@MODELS
def test_summary_agrees_with_the_very_paths(model: Model) -> None:
    paths = simulate_paths(model, HOUR, seed=11, paths=PATHS)
    forecast = made(model)
    widths = np.array([model.log_moments(float(time))[1] for time in HOUR]) / 128 * 250
    expected = np.quantile(paths, QUANTILES, axis=0).T
    assert np.all(np.abs(forecast.quantiles - expected) < 1.2 * widths[:, None])
    assert np.allclose(forecast.mean, paths.mean(axis=0), rtol=2e-6)
    ends = paths[:, -1] / 250 - 1
    for level, beyond in zip(LEVELS, forecast.beyond, strict=True):
        assert beyond == np.mean(ends <= level if level < 0 else ends >= level)
    discrete = np.maximum.accumulate(np.column_stack([np.full(PATHS, 250.0), paths]), axis=1)[:, 1:]
    drawdown = (1 - paths / discrete).max(axis=1)
    # The bridge sees more of a fall than the steps do: about 0.58 of a step's deviation at either end.
    step = model.log_moments(3600)[1] / math.sqrt(60)
    assert 0.3 * step < forecast.drawdown_mean - drawdown.mean() < 1.3 * step
    losses = np.sort(-ends)[::-1]
    assert forecast.prob_up == pytest.approx(np.mean(ends > 0), abs=0.003)
    for share, risk, shortfall in (
        (0.05, forecast.var_95, forecast.es_95),
        (0.01, forecast.var_99, forecast.es_99),
    ):
        worst = losses[: round(share * PATHS)]
        assert risk == pytest.approx(worst[-1], abs=1.2 * widths[-1] / 250)
        assert shortfall == pytest.approx(worst.mean(), abs=widths[-1] / 250)
        assert shortfall > risk
    assert forecast.var_95 == pytest.approx(1 - forecast.quantiles[-1][0] / 250, rel=1e-12)
    assert forecast.paths == PATHS


@MODELS
def test_histogram_holds_every_path_and_follows_the_density(model: Model) -> None:
    forecast = made(model)
    assert forecast.count.sum() == PATHS
    assert len(forecast.count) == 64
    assert np.array_equal(forecast.low[1:], forecast.high[:-1])
    assert np.sum(forecast.density * (forecast.high - forecast.low)) == pytest.approx(1)
    mean, deviation = model.log_moments(3600)
    assert forecast.low[0] == pytest.approx(math.exp(mean - 4 * deviation))
    assert forecast.high[-1] == pytest.approx(math.exp(mean + 4 * deviation))
    edges = np.append(forecast.low, forecast.high[-1])
    expected = PATHS * np.diff([model.pit(float(edge), 3600) for edge in edges])
    inner = slice(1, -1)
    distance = (forecast.count[inner] - expected[inner]) ** 2 / expected[inner]
    # A mirrored pair fills two bins, so that the statistic is up to twice chi-squared.
    assert distance.sum() < 2 * (62 + 4 * math.sqrt(2 * 62)), "chi-squared with 62 degrees of freedom"


# -- the tally


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_tally_is_the_same_in_any_order_and_grouping(partitions: int) -> None:
    paths = 4 * CHUNK_PATHS + 101
    whole = simulate(TAILED, HOUR, 16, paths)
    chunks = list(enumerate(chunk_sizes(paths)))
    np.random.default_rng(partitions).shuffle(chunks)
    total: Tally | None = None
    for group in (chunks[start::partitions] for start in range(partitions)):
        part: Tally | None = None
        for chunk, size in group:
            tally = simulate_chunk(TAILED, HOUR, 16, int(chunk), int(size))
            part = tally if part is None else part.__iadd__(tally)
        assert part is not None
        total = part if total is None else total.__iadd__(part)
    assert total is not None
    assert same(total, whole)
    assert whole.paths == paths
    assert np.all(whole.counts.sum(axis=1) == paths)
    assert whole.drawdowns.sum() == paths


def tally_of(places: dict[int, int]) -> Tally:
    """Return a tally of one step, of paths by bin: 4096 bins of 1/128 of a deviation around the mean."""
    counts = np.zeros((1, 4096), dtype=np.int64)
    for place, paths in places.items():
        counts[0, place] = paths
    nothing = np.zeros(len(LEVELS), dtype=np.int64)
    drawdowns = np.zeros(2048, dtype=np.int64)
    drawdowns[128] = counts.sum()
    return Tally(counts, nothing, nothing, drawdowns, int(counts.sum()))


def test_summary_of_paths_whose_places_are_known() -> None:
    """Of 100 paths three end at -1 deviations, 95 at -0.5, and two at the outermost places."""
    mean, deviation = PLAIN.log_moments(3600)
    found = summarise(PLAIN, np.array([3600.0]), tally_of({0: 1, 1920: 3, 1984: 95, 4095: 1}))
    half = 1 / 256

    def price(place: float) -> float:
        return math.exp(mean + deviation * place)

    centres = [(1, -16 + half), (3, -1 + half), (95, -0.5 + half), (1, 16 - half)]
    assert found.mean == pytest.approx([sum(count * price(place) for count, place in centres) / 100])
    quantile = -0.5 + 1 / 95 / 128  # the first of the 95 paths makes up the worst 5 %
    assert found.quantiles[0][0] == pytest.approx(price(quantile), rel=1e-12)
    assert found.var_95 == pytest.approx(1 - price(quantile) / 250, rel=1e-9)
    worst = price(-16 + half) + 3 * price(-1 + half) + price((-0.5 + quantile) / 2)
    assert found.es_95 == pytest.approx(1 - worst / 5 / 250, rel=1e-9)
    assert (found.count[0], found.count[-1], found.count.sum()) == (1, 1, 100)
    assert found.prob_up == pytest.approx(0.01)
    # Each path fell by 1 deviation, up to the width of a bin.
    assert found.drawdown_mean == pytest.approx(1 - math.exp(-deviation * (1 + half)))
    assert found.drawdown_95 == pytest.approx(1 - math.exp(-deviation * (1 + 0.95 / 128)))


def test_another_seed_or_chunk_draws_other_paths() -> None:
    first = simulate_chunk(PLAIN, HOUR, 17, 0, 1000)
    assert same(first, simulate_chunk(PLAIN, HOUR, 17, 0, 1000))
    assert not same(first, simulate_chunk(PLAIN, HOUR, 18, 0, 1000))
    assert not same(first, simulate_chunk(PLAIN, HOUR, 17, 1, 1000))


@given(st.integers(1, 50_000))
@example(CHUNK_PATHS)
def test_chunks_hold_all_paths(paths: int) -> None:
    sizes = chunk_sizes(paths)
    assert sum(sizes) == paths
    assert all(size == CHUNK_PATHS for size in sizes[:-1])
    assert 0 < sizes[-1] <= CHUNK_PATHS


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-50, 50), st.floats(0.01, 5))
def test_prices_scale_the_forecast(spot: float, drift: float, volatility: float) -> None:
    steps = HOUR[::20]
    one, other = (
        summarise(model, steps, simulate(model, steps, 19, 500))
        for model in (Model(1.0, drift, volatility, YEAR), Model(spot, drift, volatility, YEAR))
    )
    assert np.allclose(other.quantiles, spot * one.quantiles, rtol=1e-7)
    assert np.allclose(other.mean, spot * one.mean, rtol=1e-7)
    assert other.drawdown_95 == pytest.approx(one.drawdown_95, abs=1e-7)
    assert np.array_equal(other.touch, one.touch)
    assert np.all(np.diff(other.quantiles, axis=1) > 0)


def test_levels_are_symmetrical_percents() -> None:
    assert LEVELS == (-0.05, -0.02, -0.01, -0.005, 0.005, 0.01, 0.02, 0.05)


# -- times


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
