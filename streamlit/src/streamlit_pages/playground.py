"""The parameters to play with: a visitor's choice, simulated by the forecast's own model."""

from dataclasses import replace

import numpy as np
import streamlit as st

from common.gbm import Counts, Model
from streamlit_pages import formats
from streamlit_pages.simulation import Choice, Simulation, presets, simulation, stored_choice, tally
from streamlit_pages.store import Forecast, Parameters

PATHS = (1_000, 10_000, 50_000, 100_000)
HORIZONS = tuple(60.0 * minutes for minutes in (15, 30, 60, 120, 240, 480, 1440))
LARGEST_SEED = 2**53 - 1  # the largest whole number that a browser keeps exactly


def play(view: str, parameters: Parameters, forecast: Forecast) -> Simulation | None:
    """Show the controls, and simulate unless they stand as the forecast has them."""
    stored = stored_choice(parameters, forecast)
    stored = replace(stored, paths=min(stored.paths, PATHS[-1]))
    choice = _controls(view, stored, parameters.seconds_per_year)
    if choice == stored:
        return None
    counts = _tally(choice.horizon, choice.paths, choice.seed, len(forecast.seconds))
    return simulation(forecast, parameters.seconds_per_year, choice, counts)


def target_price(view: str, model: Model, horizon: float) -> float:
    """Let the visitor name a price; it starts one standard deviation up."""
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


def _controls(view: str, stored: Choice, seconds_per_year: float) -> Choice:
    starts = presets(stored, seconds_per_year)
    keys = {name: f"{name} {view}" for name in ("drift", "volatility", "horizon", "paths", "seed")}

    def start_from(preset: str) -> None:
        for name, key in keys.items():
            st.session_state[key] = getattr(starts[preset], name)

    for name, key in keys.items():
        st.session_state.setdefault(key, getattr(stored, name))
    st.markdown("**Play with the parameters**")
    with st.container(horizontal=True, gap="xsmall", key="presets"):
        for name in starts:
            st.button(name, on_click=start_from, args=(name,), key=f"preset {name}")
    reach = starts["Rally"].drift * 1.5
    drift = st.slider("Drift, a year", -reach, reach, step=reach / 300, format="%+.2f", key=keys["drift"])
    volatility = st.slider(
        "Volatility, a year",
        stored.volatility / 10,
        stored.volatility * 5,
        step=stored.volatility / 100,
        format="percent",
        key=keys["volatility"],
    )
    # The forecast's own horizon takes the place of one that reads the same.
    horizons = {formats.duration(horizon): horizon for horizon in (*HORIZONS, stored.horizon)}
    horizon = st.select_slider(
        "Horizon", sorted(horizons.values()), format_func=formats.duration, key=keys["horizon"]
    )
    paths = st.select_slider(
        "Paths", sorted({*PATHS, stored.paths}), format_func="{:,}".format, key=keys["paths"]
    )
    seed = st.number_input("Seed", min_value=0, max_value=LARGEST_SEED, step=1, key=keys["seed"])
    years = horizon / seconds_per_year
    trend, spread = float(np.expm1(drift * years)), volatility * years**0.5
    st.caption(
        f"In {formats.duration(horizon)}: mean {formats.percent(trend, signed=True)}, "
        f"standard deviation {formats.percent(spread)}"
    )
    return Choice(drift, volatility, horizon, paths, int(seed))


@st.cache_resource(max_entries=4, show_spinner=False)
def _tally(horizon: float, paths: int, seed: int, steps: int) -> Counts:
    return tally(horizon, paths, seed, steps)
