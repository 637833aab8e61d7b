"""A stored forecast of one hour, made by the model itself, and its scenarios."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from common.gbm.model import Model
from common.gbm.simulation import simulate, summarise, times_ahead
from streamlit_pages.simulation import (
    Simulation,
    scenario_model,
    simulate_tally,
    simulation,
    stored_scenario,
)
from streamlit_pages.store import Distribution, Figures, Forecast, Judgement, Parameters

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
    model = scenario_model(MODEL, scenario)
    return simulation(STORED, model, scenario, simulate_tally(model, scenario, len(SECONDS)))


def figures(**changes: Any) -> Figures:
    """Return the figures of 161 forecasts that fared well."""
    bins = (16, 16, 16, 16, 17, 16, 16, 16, 16, 16)
    return Figures(161, 0.516, 0.876, 0.68, 0.32, 55.1, 55.3, 3.1, bins)._replace(**changes)


def judgement(forecast: Figures, scope: str = "overall", name: str = "all") -> Judgement:
    plain = figures(crps=56.0, log_score=2.8)
    return Judgement(scope, name, MADE - timedelta(days=5), MADE, forecast, plain)
