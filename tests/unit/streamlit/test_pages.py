"""The pages' pure parts: simulation, scores, formats and charts."""

import csv
import io
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from common.gbm import QUANTILES
from common.gbm.model import Model
from common.gbm.simulation import simulate, summarise, times_ahead
from streamlit_pages import formats
from streamlit_pages.candles import Bars, rolling_vwap
from streamlit_pages.charts import candles_chart, distribution_chart, fan_chart, pit_chart
from streamlit_pages.scorecard import scorecard
from streamlit_pages.simulation import (
    Simulation,
    presets,
    scenario_model,
    share_below,
    simulate_tally,
    simulation,
    standard_errors,
    stored_model,
    stored_scenario,
    to_csv,
)
from streamlit_pages.store import Distribution, Forecast, Gap, Parameters, Score

YEAR = 31_557_600.0
MADE = datetime(2026, 3, 4, 15, tzinfo=UTC)
MODEL = Model(spot=64_000.0, drift=0.4, volatility=0.6, seconds_per_year=YEAR)
SECONDS = times_ahead(3600, 60)
PATHS, SEED = 20_000, 7
MADE_FORECAST = summarise(MODEL, SECONDS, simulate(MODEL, SECONDS, SEED, PATHS))

PARAMETERS = Parameters(
    forecast_time=MADE,
    status="ok",
    reason=None,
    drift=MODEL.drift,
    drift_estimate=3.0,
    drift_stderr=20.0,
    volatility=MODEL.volatility,
    volatility_stderr=0.01,
    seconds_per_year=YEAR,
    sample_start=MADE - timedelta(hours=6),
    sample_end=MADE,
    observations=4000,
    seed=SEED,
    prob_up=MADE_FORECAST.prob_up,
    var_95=MADE_FORECAST.var_95,
    es_95=MADE_FORECAST.es_95,
    var_99=MADE_FORECAST.var_99,
    es_99=MADE_FORECAST.es_99,
    model="gbm",
    degrees_of_freedom=None,
    scale=1.0,
    outcomes=0,
    touch_down_100bp=MADE_FORECAST.touch[2],
    touch_up_100bp=MADE_FORECAST.touch[5],
    drawdown_mean=MADE_FORECAST.drawdown_mean,
    drawdown_95=MADE_FORECAST.drawdown_95,
)
STORED = Forecast(
    forecast_time=MADE,
    spot=MODEL.spot,
    paths=PATHS,
    target_time=np.datetime64("2026-03-04T15:00", "ms") + (SECONDS * 1000).astype("timedelta64[ms]"),
    seconds=SECONDS,
    quantiles=MADE_FORECAST.quantiles,
    mean=MADE_FORECAST.mean,
    actual=np.full(len(SECONDS), np.nan),
    volatility_seconds=np.full(len(SECONDS), np.nan),
)
HISTOGRAM = Distribution(MADE_FORECAST.low, MADE_FORECAST.high, MADE_FORECAST.count, MADE_FORECAST.density)


def simulated(**changes: Any) -> Simulation:
    scenario = replace(stored_scenario(PARAMETERS, STORED), **changes)
    model = scenario_model(STORED.spot, scenario, YEAR)
    return simulation(STORED, model, scenario, simulate_tally(model, scenario, len(SECONDS)))


def candles(count: int = 30) -> Bars:
    close = 64_000 + np.arange(count, dtype=np.float64)
    volume = np.ones(count)
    start = np.datetime64("2026-03-04T14:45", "ms") + np.arange(count) * np.timedelta64(60_000, "ms")
    return Bars(
        start, close - 1, close + 2, close - 2, close, volume, close, volume, np.ones(count, dtype=np.int64)
    )


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_unchanged_parameters_simulate_the_stored_forecast_again() -> None:
    again = simulated()
    np.testing.assert_array_equal(again.forecast.quantiles, STORED.quantiles)
    np.testing.assert_array_equal(again.target_time, STORED.target_time)
    assert again.distribution.count.tolist() == HISTOGRAM.count.tolist()
    assert stored_model(PARAMETERS, STORED) == MODEL


@pytest.mark.parametrize(
    ("change", "width"),
    [({"volatility": 0.3}, 0.5), ({"horizon": 4 * 3600.0}, 2.0), ({"drift": -50.0}, 1.0), ({"seed": 8}, 1.0)],
)
def test_scenario_fan_is_as_wide_as_volatility_and_horizon_say(
    change: dict[str, float], width: float
) -> None:
    logs = np.log(simulated(**change).forecast.quantiles[-1])
    stored = np.log(STORED.quantiles[-1])
    assert (logs[4] - logs[0]) / (stored[4] - stored[0]) == pytest.approx(width, rel=0.05)


def test_scenario_drift_moves_the_median() -> None:
    years = 3600 / YEAR
    moved = np.log(simulated(drift=-50.0).forecast.quantiles[-1, 2] / STORED.quantiles[-1, 2])
    assert moved == pytest.approx((-50.0 - MODEL.drift) * years, rel=1e-9)


def test_rally_and_crash_move_the_mean_by_three_deviations() -> None:
    scenarios = presets(stored_scenario(PARAMETERS, STORED), YEAR)
    deviations = MODEL.volatility * math.sqrt(3600 / YEAR)
    assert scenarios["Rally"].drift * 3600 / YEAR == pytest.approx(3 * deviations)
    assert scenarios["Crash"].drift == -scenarios["Rally"].drift
    assert scenarios["As forecast"] == stored_scenario(PARAMETERS, STORED)


@pytest.mark.parametrize("price", [60_000.0, 63_700.0, 64_000.0, 64_321.0, 64_900.0, 70_000.0])
def test_share_below_agrees_with_the_closed_form(price: float) -> None:
    error = math.sqrt(0.25 / PATHS)
    assert share_below(HISTOGRAM, price) == pytest.approx(MODEL.pit(price, 3600), abs=4 * error)


def test_standard_errors_agree_with_independent_paths() -> None:
    paths, deviation = 2_000, MODEL.volatility * math.sqrt(3600 / YEAR)
    normal = np.random.default_rng(1).standard_normal((300, paths))
    prices = np.exp(math.log(MODEL.spot) + MODEL.drift * 3600 / YEAR - deviation**2 / 2 + deviation * normal)
    spread = np.std(np.vstack([np.quantile(prices, QUANTILES, axis=1), prices.mean(axis=1)]), axis=1)
    errors = standard_errors(MODEL, 3600, paths)
    np.testing.assert_allclose(errors, spread, rtol=0.2)
    runs = [summarise(MODEL, SECONDS, simulate(MODEL, SECONDS, seed, paths)) for seed in range(30)]
    mirrored = np.std([[*run.quantiles[-1], run.mean[-1]] for run in runs], axis=0)
    assert np.all(mirrored < errors)


def test_csv_holds_the_stored_forecast_and_the_scenario() -> None:
    outcome = replace(STORED, actual=np.linspace(1.0, 2.0, len(SECONDS)))
    rows = list(csv.DictReader(io.StringIO(to_csv(outcome, simulated(volatility=0.3)))))
    assert [row["forecast"] for row in rows] == ["stored"] * 60 + ["scenario"] * 60
    assert rows[59]["target_time"] == "2026-03-04T16:00:00.000Z"
    assert [float(rows[59][name]) for name in ("p05", "p25", "p50", "p75", "p95", "mean", "actual")] == [
        *STORED.quantiles[-1],
        STORED.mean[-1],
        2.0,
    ]
    assert rows[60]["actual"] == ""


def test_scorecard_counts_and_compares() -> None:
    scores = [
        Score(MADE, 2.0, 0.55, True, True, 3.0, 4.0),
        Score(MADE, 1.0, 0.97, False, False, 5.0, 4.0),
        Score(MADE, 3.0, 1.0, False, True, 4.0, 2.0),
    ]
    card = scorecard(scores)
    assert card.forecasts == 3
    assert card.inside_50 == pytest.approx(1 / 3)
    assert card.inside_90 == pytest.approx(2 / 3)
    assert card.crps_ratio == pytest.approx(6 / 10)
    assert card.error_ratio == pytest.approx(12 / 10)
    assert card.pit_counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 2]


def test_scorecard_without_naive_error_has_no_ratio() -> None:
    assert math.isnan(scorecard([Score(MADE, 2.0, 0.5, True, True, 3.0, 0.0)]).crps_ratio)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.price(67_123.456), "67,123.46"),
        (formats.price(0.171234567), "0.171235"),
        (formats.price(3.14159265), "3.1416"),
        (formats.price(float("nan")), "–"),
        (formats.percent(0.4567), "45.7 %"),
        (formats.percent(-0.0123, signed=True), "-1.23 %"),
        (formats.percent(0.000012, signed=True), "+0.0012 %"),
        (formats.percent(0.0), "0.00 %"),
        (formats.amount(8_140), "8,140"),
        (formats.amount(118_400), "118.4 k"),
        (formats.amount(2_300_000), "2.3 M"),
        (formats.amount(0.25), "0.25"),
        (formats.duration(59), "59 s"),
        (formats.duration(3600), "60 min"),
        (formats.duration(86_400), "24 h"),
        (formats.duration(-3), "0 s"),
        (formats.ago(MADE, MADE + timedelta(seconds=90)), "90 s ago"),
        (formats.ago(MADE, MADE + timedelta(days=400)), "2026-03-04"),
        (formats.moment(MADE), "2026-03-04 15:00:00 UTC"),
    ],
)
def test_numbers_and_times_read_well(text: str, expected: str) -> None:
    assert text == expected


def test_candles_come_with_the_fan_from_the_spot_and_the_gaps() -> None:
    shown = candles()
    gap = Gap(MADE - timedelta(minutes=3), MADE - timedelta(minutes=1), "reconnected")
    figure = candles_chart(
        shown, rolling_vwap(shown, 20), seconds=60, forecast=STORED, gaps=[gap], view="one"
    )
    found = traces(figure)
    assert found["Price"].close.tolist() == shown.close.tolist()
    assert found["median"].y[0] == STORED.spot
    assert found["median"].x[-1] <= figure.layout.xaxis.range[1]
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"] == [
        (np.datetime64("2026-03-04T14:57"), np.datetime64("2026-03-04T14:59"))
    ]


def test_wide_fan_leaves_candles_their_shape() -> None:
    shown = candles()
    wide = replace(STORED, quantiles=STORED.spot + (STORED.quantiles - STORED.spot) * 50)
    figure = candles_chart(shown, rolling_vwap(shown, 20), seconds=60, forecast=wide, gaps=[], view="one")
    low, high = figure.layout.yaxis.range
    assert low < shown.low.min() < shown.high.max() < high
    assert (shown.high.max() - shown.low.min()) / (high - low) > 0.3


def test_candles_need_no_forecast() -> None:
    shown = candles()
    figure = candles_chart(shown, rolling_vwap(shown, 20), seconds=60, forecast=None, gaps=[], view="one")
    assert {trace.name for trace in figure.data} == {"Price", "VWAP", "Volume"}


def test_fan_is_shown_beside_what_came_and_the_scenario() -> None:
    shown = candles()
    figure = fan_chart(STORED, shown.start, shown.close, simulated(volatility=1.0), "one")
    found = traces(figure)
    assert found["actual"].y.tolist() == shown.close.tolist()
    assert len(found["median, scenario"].x) == len(found["median"].x) == 61
    assert {
        trace.name for trace in fan_chart(STORED, shown.start[:0], shown.close[:0], None, "one").data
    } == {
        "5 % to 95 %",
        "25 % to 75 %",
        "median",
    }


def test_distribution_shows_closed_form_over_histogram_and_the_outcome() -> None:
    ended = replace(STORED, actual=np.append(STORED.actual[:-1], 64_100.0))
    figure = distribution_chart(HISTOGRAM, MODEL, ended, None, "one")
    found = traces(figure)
    bars = found["simulated"]
    assert float((bars.y * bars.width).sum()) == pytest.approx(1.0)
    np.testing.assert_allclose(found["closed form"].y, MODEL.density(found["closed form"].x, 3600))
    assert [shape.x0 for shape in figure.layout.shapes] == [MODEL.spot, 64_100.0]


def test_pit_histogram_shows_every_forecast() -> None:
    assert sum(pit_chart(np.array([1, 2, 3, 4])).data[0].y) == 10
