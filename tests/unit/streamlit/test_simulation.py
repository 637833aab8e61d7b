"""Scenarios of a stored forecast, against the closed form and the stored rows."""

import csv
import io
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import lognorm

from common.gbm import QUANTILES
from common.gbm.mixture import Mixture
from common.gbm.model import Clock, Model
from common.gbm.simulation import simulate, simulate_paths, summarise
from forecast_example import (
    HISTOGRAM,
    MADE,
    MODEL,
    PARAMETERS,
    PATHS,
    SECONDS,
    SEED,
    STORED,
    YEAR,
    simulated,
)
from streamlit_pages.simulation import (
    SHOWN_PATHS,
    Scenario,
    effects,
    presets,
    sample_paths,
    scenario_model,
    share_below,
    standard_errors,
    stored_model,
    stored_scenario,
    to_csv,
)
from streamlit_pages.store import Distribution


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


def test_the_csv_of_a_scenario_is_its_own() -> None:
    scenario = simulated(volatility=0.3, horizon=7200.0)
    text = to_csv(STORED, scenario)
    header, *lines = text.splitlines()
    assert header == "forecast,target_time,p05,p25,p50,p75,p95,mean,actual"
    assert text.count("\r") == 0
    assert len(lines) == 120
    rows = list(csv.DictReader(io.StringIO(text)))[60:]
    assert rows[0]["target_time"] == "2026-03-04T15:02:00.000Z"
    assert rows[-1]["target_time"] == "2026-03-04T17:00:00.000Z"
    for row, quantiles, mean in zip(rows, scenario.forecast.quantiles, scenario.forecast.mean, strict=True):
        assert [float(row[name]) for name in ("p05", "p25", "p50", "p75", "p95")] == quantiles.tolist()
        assert float(row["mean"]) == mean


def test_the_csv_of_a_forecast_alone_leaves_unknown_outcomes_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(STORED, None))))
    assert {row["forecast"] for row in rows} == {"stored"}
    assert [row["actual"] for row in rows] == [""] * len(SECONDS)


def test_presets_change_drift_and_volatility_only() -> None:
    scenario = Scenario(drift=0.4, volatility=0.6, horizon=3600.0, paths=PATHS, seed=SEED)
    values = presets(scenario, YEAR)
    assert list(values) == ["As forecast", "Calm", "Rally", "Crash"]
    assert (values["Calm"].drift, values["Calm"].volatility) == (0.0, 0.3)
    assert values["Rally"].volatility == pytest.approx(0.9)
    assert values["Crash"].volatility == pytest.approx(1.8)
    for preset in values.values():
        assert (preset.horizon, preset.paths, preset.seed) == (3600.0, PATHS, SEED)


def test_a_scenario_has_its_own_rates_and_the_tails_and_time_of_day_of_the_forecast() -> None:
    mixture, clock = Mixture(5.0, 1.3, 200), Clock((3600.0,), (7200.0,))
    scenario = Scenario(drift=-2.0, volatility=0.3, horizon=3600.0, paths=100, seed=1)
    model = scenario_model(replace(MODEL, mixture=mixture, clock=clock), scenario)
    assert model == Model(MODEL.spot, -2.0, 0.3, YEAR, mixture, clock)


def test_a_simulation_knows_its_horizon() -> None:
    scenario = simulated(horizon=7200.0, paths=1000)
    assert scenario.horizon == 7200.0
    assert scenario.target_time[-1] == np.datetime64("2026-03-04T17:00", "ms")
    assert np.diff(scenario.target_time).tolist() == [timedelta(minutes=2)] * (len(SECONDS) - 1)
    assert int(scenario.distribution.count.sum()) == 1000
    assert (scenario.distribution.low < scenario.distribution.high).all()


def test_sample_paths_are_the_first_of_the_simulation() -> None:
    scenario = replace(stored_scenario(PARAMETERS, STORED), horizon=7200.0)
    shown = sample_paths(STORED, MODEL, scenario)
    assert shown.prices.shape == (SHOWN_PATHS, len(SECONDS))
    assert shown.target_time[-1] == np.datetime64("2026-03-04T17:00", "ms")
    seconds = SECONDS * 2
    assert shown.prices.tolist() == simulate_paths(MODEL, seconds, SEED, SHOWN_PATHS).tolist()


def test_effects_are_log_normal_densities_of_the_changed_parameter() -> None:
    scenario = stored_scenario(PARAMETERS, STORED)
    shown = effects(MODEL, scenario)
    assert list(shown) == ["drift", "volatility", "horizon"]
    for name, lines in shown.items():
        assert [line.factor for line in lines] == [0.8, 1.0, 1.2]
        for line in lines:
            changed = replace(scenario, **{name: getattr(scenario, name) * line.factor})
            years = changed.horizon / YEAR
            deviation = changed.volatility * math.sqrt(years)
            center = MODEL.spot * math.exp((changed.drift - changed.volatility**2 / 2) * years)
            exact = lognorm.pdf(line.prices, deviation, scale=center)
            assert line.densities == pytest.approx(exact, rel=1e-9)
            assert np.trapezoid(line.densities, line.prices) == pytest.approx(1, abs=0.03)


def test_the_stored_model_has_what_it_learnt() -> None:
    learnt = PARAMETERS._replace(degrees_of_freedom=5.0, scale=1.3, outcomes=200)
    mixture = stored_model(learnt, STORED).mixture
    assert (mixture.degrees_of_freedom, mixture.scale, mixture.outcomes) == (5.0, 1.3, 200)
    unlimited = stored_model(PARAMETERS._replace(scale=1.2, outcomes=None), STORED).mixture
    assert (unlimited.degrees_of_freedom, unlimited.scale, unlimited.outcomes) == (math.inf, 1.2, 0)
    assert stored_model(PARAMETERS._replace(scale=None), STORED) == MODEL


def test_the_stored_model_follows_the_time_of_day() -> None:
    busy = replace(STORED, volatility_seconds=STORED.seconds * 2.0)
    clock = stored_model(PARAMETERS, busy).clock
    assert clock.seconds == tuple(STORED.seconds)
    assert clock.passed == tuple(STORED.seconds * 2.0)


def test_the_stored_scenario_is_the_forecast() -> None:
    assert stored_scenario(PARAMETERS, STORED) == Scenario(0.4, 0.6, 3600.0, PATHS, SEED)
    assert STORED.forecast_time == MADE


def test_share_below_interpolates_inside_a_bin_and_ends_with_the_histogram() -> None:
    histogram = Distribution(
        np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]), np.array([1, 2, 1]), np.array([0.25, 0.5, 0.25])
    )
    prices = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 9.0)
    expected = [0.0, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert [share_below(histogram, price) for price in prices] == pytest.approx(expected)
