"""The controls of a scenario: a visitor's parameters, simulated by the forecast's own model."""

from dataclasses import replace
from typing import NamedTuple

import streamlit as st

from common.gbm.model import Model
from common.gbm.simulation import Tally
from streamlit_pages import formats
from streamlit_pages.simulation import (
    Paths,
    Scenario,
    Simulation,
    presets,
    sample_paths,
    scenario_model,
    simulate_tally,
    simulation,
    stored_model,
    stored_scenario,
)
from streamlit_pages.store import Forecast, Parameters

PATHS = (1_000, 10_000, 50_000, 100_000)
HORIZONS = tuple(60.0 * minutes for minutes in (15, 30, 60, 120, 240, 480, 1440))
LARGEST_SEED = 2**53 - 1  # the largest whole number that a browser keeps exactly


class Choice(NamedTuple):
    """What the controls say: the scenario, its model, its simulation (None for the forecast's own), paths."""

    scenario: Scenario
    model: Model
    simulated: Simulation | None
    paths: Paths | None


def choose_scenario(view: str, parameters: Parameters, forecast: Forecast) -> Choice:
    """Show the controls and simulate what they say."""
    stored = stored_scenario(parameters, forecast)
    stored = replace(stored, paths=min(stored.paths, PATHS[-1]))
    scenario = _controls(view, stored, parameters.seconds_per_year)
    model = scenario_model(stored_model(parameters, forecast), scenario)
    _, deviation = model.log_moments(scenario.horizon)
    st.caption(
        f"In {formats.duration(scenario.horizon)}: "
        f"mean {formats.percent(model.mean(scenario.horizon) / model.spot - 1, signed=True)}, "
        f"standard deviation {formats.percent(deviation)}"
    )
    shows_paths = st.toggle("Sample paths", key=f"paths shown {view}")
    paths = sample_paths(forecast, model, scenario) if shows_paths else None
    if scenario == stored:
        return Choice(scenario, model, None, paths)
    tally = _simulated_tally(model, scenario, len(forecast.seconds))
    return Choice(scenario, model, simulation(forecast, model, scenario, tally), paths)


def target_price(view: str, model: Model, horizon: float) -> float:
    """Return the target price that the visitor enters; it starts one standard deviation above the spot."""
    key = f"target {view}"
    st.session_state.setdefault(key, float(f"{model.quantile(0.84, horizon):.6g}"))
    return float(
        st.number_input(
            "Target price",
            min_value=model.spot / 100,
            max_value=model.spot * 100,
            step=model.spot / 1000,
            format="%.6g",
            key=key,
        )
    )


def _controls(view: str, stored: Scenario, seconds_per_year: float) -> Scenario:
    values = presets(stored, seconds_per_year)
    keys = {name: f"{name} {view}" for name in ("drift", "volatility", "horizon", "paths", "seed")}

    def apply_preset(preset: str) -> None:
        for name, key in keys.items():
            st.session_state[key] = getattr(values[preset], name)

    for name, key in keys.items():
        st.session_state.setdefault(key, getattr(stored, name))
    st.markdown("**Scenario**")
    with st.container(horizontal=True, gap="xsmall", key="presets"):
        for name in values:
            st.button(name, on_click=apply_preset, args=(name,), key=f"preset {name}")
    largest_drift = values["Rally"].drift * 1.5
    drift = st.slider(
        "Drift, per year",
        -largest_drift,
        largest_drift,
        step=largest_drift / 300,
        format="%+.2f",
        key=keys["drift"],
    )
    volatility = st.slider(
        "Volatility, per year",
        stored.volatility / 10,
        stored.volatility * 5,
        step=stored.volatility / 100,
        format="percent",
        key=keys["volatility"],
    )
    # The forecast's own horizon replaces a listed one that is displayed alike.
    horizons = {formats.duration(horizon): horizon for horizon in (*HORIZONS, stored.horizon)}
    horizon = st.select_slider(
        "Horizon", sorted(horizons.values()), format_func=formats.duration, key=keys["horizon"]
    )
    paths = st.select_slider(
        "Paths", sorted({*PATHS, stored.paths}), format_func="{:,}".format, key=keys["paths"]
    )
    seed = st.number_input("Seed", min_value=0, max_value=LARGEST_SEED, step=1, key=keys["seed"])
    return Scenario(drift, volatility, horizon, paths, int(seed))


@st.cache_resource(max_entries=4, show_spinner=False)
def _simulated_tally(model: Model, scenario: Scenario, steps: int) -> Tally:
    return simulate_tally(model, scenario, steps)
