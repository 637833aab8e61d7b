"""The forecast's model with parameters of the visitor's choice."""

import csv
import io
import math
from dataclasses import dataclass, replace

import numpy as np

from common.gbm import QUANTILES, Counts, Forecast, Model, simulate, simulate_paths, summarise, times_ahead
from streamlit_pages.candles import Floats, Times
from streamlit_pages.store import Distribution, Parameters, plain
from streamlit_pages.store import Forecast as StoredForecast

SHOWN_PATHS = 24


@dataclass(frozen=True)
class Choice:
    """What to simulate; rates per year, horizon in seconds."""

    drift: float
    volatility: float
    horizon: float
    paths: int
    seed: int


@dataclass(frozen=True)
class Simulation:
    """A simulation's summary, its times, and some paths (paths, targets)."""

    model: Model
    forecast: Forecast
    target_time: Times
    paths: Floats

    @property
    def horizon(self) -> float:
        """Return how far the simulation reaches, in seconds."""
        return float(self.forecast.seconds[-1])

    @property
    def distribution(self) -> Distribution:
        """Return the histogram of the terminal price."""
        forecast = self.forecast
        return Distribution(forecast.low, forecast.high, forecast.count, forecast.density)


def stored_model(parameters: Parameters, forecast: StoredForecast) -> Model:
    """Return the model that a stored forecast was made with."""
    return Model(forecast.spot, parameters.drift, parameters.volatility, parameters.seconds_per_year)


def stored_choice(parameters: Parameters, forecast: StoredForecast) -> Choice:
    """Return the choice that simulates a stored forecast again."""
    return Choice(parameters.drift, parameters.volatility, forecast.horizon, forecast.paths, parameters.seed)


def presets(choice: Choice, seconds_per_year: float) -> dict[str, Choice]:
    """Return what to start playing from: the forecast's own choice, a calm market, a rally and a crash.

    Rally and crash move the price by three of the forecast's standard deviations over its horizon.
    """
    jump = 3 * choice.volatility / math.sqrt(choice.horizon / seconds_per_year)
    return {
        "As forecast": choice,
        "Calm": replace(choice, drift=0.0, volatility=choice.volatility / 2),
        "Rally": replace(choice, drift=jump, volatility=choice.volatility * 1.5),
        "Crash": replace(choice, drift=-jump, volatility=choice.volatility * 3),
    }


def tally(horizon: float, paths: int, seed: int, steps: int) -> Counts:
    """Simulate at equal steps; drift and volatility enter a tally only afterwards."""
    return simulate(times_ahead(horizon, horizon / steps), seed, paths)


def simulation(stored: StoredForecast, seconds_per_year: float, choice: Choice, counts: Counts) -> Simulation:
    """Return what a tally (steps, bins) means for `choice`, from a stored forecast's time and spot."""
    model = Model(stored.spot, choice.drift, choice.volatility, seconds_per_year)
    seconds = times_ahead(choice.horizon, choice.horizon / len(counts))
    return Simulation(
        model=model,
        forecast=summarise(model, seconds, counts),
        target_time=plain(stored.forecast_time) + (seconds * 1000).astype("timedelta64[ms]"),
        paths=simulate_paths(model, seconds, choice.seed, SHOWN_PATHS),
    )


def share_below(histogram: Distribution, price: float) -> float:
    """Return the share of simulated paths that end below a price, interpolated inside its bin."""
    edges = np.append(histogram.low, histogram.high[-1])
    below = np.concatenate([[0], np.cumsum(histogram.count)])
    return float(np.interp(price, edges, below / below[-1]))


def standard_errors(model: Model, seconds: float, paths: int) -> list[float]:
    """Return the standard errors of a simulation's five quantiles and of its mean."""
    prices = np.array([model.quantile(probability, seconds) for probability in QUANTILES])
    shares = np.array(QUANTILES)
    quantiles: Floats = np.sqrt(shares * (1 - shares) / paths) / model.density(prices, seconds)
    _, deviation = model.log_moments(seconds)
    return [*quantiles.tolist(), model.mean(seconds) * math.sqrt(math.expm1(deviation**2) / paths)]


def to_csv(stored: StoredForecast, played: Simulation | None) -> str:
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
    if played is not None:
        writer.writerows(
            ("yours", f"{time}Z", *prices, mean, "")
            for time, prices, mean in zip(
                played.target_time, played.forecast.quantiles.tolist(), played.forecast.mean, strict=True
            )
        )
    return text.getvalue()
