"""A scenario: the forecast's model with a visitor's parameters."""

import csv
import io
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from common.gbm import QUANTILES
from common.gbm.mixture import PLAIN, Mixture
from common.gbm.model import STEADY, Clock, Model
from common.gbm.simulation import Forecast, Tally, simulate, simulate_paths, summarise, times_ahead
from streamlit_pages.candles import Floats, Times
from streamlit_pages.store import Distribution, Parameters, to_datetime64
from streamlit_pages.store import Forecast as StoredForecast

SHOWN_PATHS = 24
CHANGE = 0.2
EFFECT_POINTS = 121


@dataclass(frozen=True)
class Scenario:
    """The parameters of a simulation; drift and volatility per year, horizon in seconds."""

    drift: float
    volatility: float
    horizon: float
    paths: int
    seed: int


@dataclass(frozen=True)
class Simulation:
    """A simulation's summary and its times."""

    model: Model
    forecast: Forecast
    target_time: Times

    @property
    def horizon(self) -> float:
        """Return how far the simulation reaches, in seconds."""
        return float(self.forecast.seconds[-1])

    @property
    def distribution(self) -> Distribution:
        """Return the histogram of the terminal price."""
        forecast = self.forecast
        return Distribution(forecast.low, forecast.high, forecast.count, forecast.density)


class Paths(NamedTuple):
    """Some simulated paths (paths, targets) and their times (targets,)."""

    target_time: Times
    prices: Floats


class Effect(NamedTuple):
    """The densities (points,) at some prices when a parameter is multiplied by `factor`."""

    factor: float
    prices: Floats
    densities: Floats


def stored_model(parameters: Parameters, forecast: StoredForecast) -> Model:
    """Return the model that a stored forecast was made with."""
    mixture, clock = PLAIN, STEADY
    if parameters.scale is not None:
        mixture = Mixture(
            parameters.degrees_of_freedom or math.inf, parameters.scale, parameters.outcomes or 0
        )
    if np.all(np.isfinite(forecast.volatility_seconds)):
        clock = Clock(tuple(forecast.seconds.tolist()), tuple(forecast.volatility_seconds.tolist()))
    return Model(
        forecast.spot,
        parameters.drift,
        parameters.volatility,
        parameters.seconds_per_year,
        mixture,
        clock,
    )


def stored_scenario(parameters: Parameters, forecast: StoredForecast) -> Scenario:
    """Return the scenario that simulates a stored forecast again."""
    return Scenario(
        parameters.drift, parameters.volatility, forecast.horizon, forecast.paths, parameters.seed
    )


def presets(scenario: Scenario, seconds_per_year: float) -> dict[str, Scenario]:
    """Return the presets: the forecast's own scenario, a calm market, a rally and a crash.

    Rally and crash move the price by three of the forecast's standard deviations over its horizon.
    """
    jump = 3 * scenario.volatility / math.sqrt(scenario.horizon / seconds_per_year)
    return {
        "As forecast": scenario,
        "Calm": replace(scenario, drift=0.0, volatility=scenario.volatility / 2),
        "Rally": replace(scenario, drift=jump, volatility=scenario.volatility * 1.5),
        "Crash": replace(scenario, drift=-jump, volatility=scenario.volatility * 3),
    }


def scenario_model(model: Model, scenario: Scenario) -> Model:
    """Return the forecast's model with the scenario's drift and volatility; all else stays."""
    return replace(model, drift=scenario.drift, volatility=scenario.volatility)


def simulate_tally(model: Model, scenario: Scenario, steps: int) -> Tally:
    """Simulate the scenario's paths at equal steps."""
    seconds = times_ahead(scenario.horizon, scenario.horizon / steps)
    return simulate(model, seconds, scenario.seed, scenario.paths)


def simulation(stored: StoredForecast, model: Model, scenario: Scenario, tally: Tally) -> Simulation:
    """Return the simulation of `scenario` from its tally and a forecast's time."""
    seconds = times_ahead(scenario.horizon, scenario.horizon / len(tally.counts))
    return Simulation(
        model=model,
        forecast=summarise(model, seconds, tally),
        target_time=_target_times(stored, seconds),
    )


def sample_paths(stored: StoredForecast, model: Model, scenario: Scenario) -> Paths:
    """Return some of the paths of a scenario, at the times of as many equal steps as the forecast has."""
    seconds = times_ahead(scenario.horizon, scenario.horizon / len(stored.seconds))
    return Paths(_target_times(stored, seconds), simulate_paths(model, seconds, scenario.seed, SHOWN_PATHS))


def effects(model: Model, scenario: Scenario) -> dict[str, list[Effect]]:
    """Return, for each parameter, the closed form's densities with less, the same and more of it.

    All are over the same prices, which hold 99 % of the scenario's with the most volatility.
    """
    widest = replace(model, volatility=model.volatility * (1 + CHANGE))
    longest = scenario.horizon * (1 + CHANGE)
    prices = np.linspace(widest.quantile(0.005, longest), widest.quantile(0.995, longest), EFFECT_POINTS)
    changed: dict[str, list[Effect]] = {}
    for name in ("drift", "volatility", "horizon"):
        changed[name] = []
        for factor in (1 - CHANGE, 1.0, 1 + CHANGE):
            other = replace(scenario, **{name: getattr(scenario, name) * factor})
            densities = scenario_model(model, other).density(prices, other.horizon)
            changed[name].append(Effect(factor, prices, densities))
    return changed


def share_below(histogram: Distribution, price: float) -> float:
    """Return the share of simulated paths that end below a price, interpolated inside its bin."""
    edges = np.append(histogram.low, histogram.high[-1])
    below = np.concatenate([[0], np.cumsum(histogram.count)])
    return float(np.interp(price, edges, below / below[-1]))


def standard_errors(model: Model, seconds: float, paths: int) -> list[float]:
    """Return the standard errors of five quantiles and the mean of independent paths.

    Those of the simulation are smaller, since its paths come in mirrored pairs.
    """
    prices = np.array([model.quantile(probability, seconds) for probability in QUANTILES])
    shares = np.array(QUANTILES)
    quantiles: Floats = np.sqrt(shares * (1 - shares) / paths) / model.density(prices, seconds)
    _, deviation = model.log_moments(seconds)
    return [*quantiles.tolist(), model.mean(seconds) * math.sqrt(math.expm1(deviation**2) / paths)]


def to_csv(stored: StoredForecast, simulated: Simulation | None) -> str:
    """Return a forecast, and another simulation below it, as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("forecast", "target_time", "p05", "p25", "p50", "p75", "p95", "mean", "actual"))
    writer.writerows(
        ("stored", f"{time}Z", *prices, mean, "" if math.isnan(actual) else actual)
        for time, prices, mean, actual in zip(
            stored.target_time, stored.quantiles.tolist(), stored.mean, stored.actual, strict=True
        )
    )
    if simulated is not None:
        writer.writerows(
            ("scenario", f"{time}Z", *prices, mean, "")
            for time, prices, mean in zip(
                simulated.target_time,
                simulated.forecast.quantiles.tolist(),
                simulated.forecast.mean,
                strict=True,
            )
        )
    return text.getvalue()


def _target_times(stored: StoredForecast, seconds: Floats) -> Times:
    return to_datetime64(stored.forecast_time) + (seconds * 1000).astype("timedelta64[ms]")
