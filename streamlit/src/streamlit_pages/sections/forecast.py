"""The section of a forecast: beside the actual price, the closed form and a scenario."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from common.bars import BAR_SECONDS
from common.gbm import QUANTILES
from common.gbm.model import Model
from common.gbm.simulation import Forecast as SimulatedForecast
from streamlit_pages import cached_queries, formats
from streamlit_pages.candles import Floats, Times, aggregate, break_at_gaps, closes, max_gap_seconds
from streamlit_pages.charts import distribution_chart, effects_chart, fan_chart
from streamlit_pages.sections.scenario import choose_scenario, target_price
from streamlit_pages.simulation import Simulation, effects, share_below, standard_errors, stored_model, to_csv
from streamlit_pages.store import Distribution, Forecast, Parameters, StoreUnavailableError, to_datetime64

REFRESH_SECONDS = 15
LATEST = "latest"
ADDRESS_KEY = "forecast"  # in the query of the page's address
SHOWN_CLOSES = 360
CHART = {"displaylogo": False, "modeBarButtons": [["toImage"]]}


@st.fragment(run_every=REFRESH_SECONDS)
def forecast_section(symbol: str) -> None:
    """Show a symbol's forecasts; the newest is followed unless an earlier one is selected."""
    st.subheader("Forecast and actual price", anchor=False, divider="gray")
    try:
        rows = cached_queries.parameters(symbol)
        _explain_missing(symbol, rows)
        parameters = _select_forecast(symbol, [row for row in rows if row.status == "ok"])
        if parameters is None:
            return
        forecast = cached_queries.forecast(symbol, parameters.forecast_time)
        if forecast is not None:
            _show(symbol, parameters, forecast)
    except StoreUnavailableError:
        st.caption("The forecast is shown again when Cassandra answers.")


def _explain_missing(symbol: str, rows: tuple[Parameters, ...]) -> None:
    """Say why there is no forecast, or none from the newest run."""
    if not rows:
        st.info(
            f"There is no forecast of {symbol} yet. One is made every full hour, from 15 minutes of bars; "
            f"`./market forecast --symbol {symbol}` makes one now.",
            icon=":material/hourglass_empty:",
        )
    elif rows[0].status != "ok":
        st.info(
            f"The newest run, of {formats.moment(rows[0].forecast_time)}, made no forecast of {symbol}: "
            f"{rows[0].status}. {rows[0].reason or ''}",
            icon=":material/info:",
        )


def _select_forecast(symbol: str, usable: list[Parameters]) -> Parameters | None:
    if not usable:
        return None
    times = {row.forecast_time.isoformat(): row for row in usable}
    labels = {key: formats.moment(row.forecast_time) for key, row in times.items()}
    labels[LATEST] = f"Latest, made {formats.moment(usable[0].forecast_time)}"
    key = f"forecast {symbol}"
    if (named := st.query_params.get(ADDRESS_KEY)) in times:
        st.session_state.setdefault(key, named)

    def name_in_address() -> None:
        if st.session_state[key] in times:
            st.query_params[ADDRESS_KEY] = st.session_state[key]
        else:
            st.query_params.pop(ADDRESS_KEY, None)

    selected = st.selectbox(
        "Forecast",
        [LATEST, *times],
        format_func=labels.__getitem__,
        key=key,
        on_change=name_in_address,
        label_visibility="collapsed",
    )
    return times.get(selected or LATEST, usable[0])


def _show(symbol: str, parameters: Parameters, forecast: Forecast) -> None:
    view = f"{symbol} {forecast.forecast_time.isoformat()}"
    model = stored_model(parameters, forecast)
    histogram = cached_queries.distribution(symbol, forecast.forecast_time)
    controls, chart = st.columns([1, 3], gap="medium")
    with controls:
        choice = choose_scenario(view, parameters, forecast)
    simulated = choice.simulated
    with chart:
        st.plotly_chart(
            fan_chart(forecast, *_actual(symbol, forecast), simulated, view, paths=choice.paths),
            key="fan",
            config=CHART,
            alt=f"The forecast of {symbol} as a fan chart, and the actual price.",
        )
    left, middle, right = st.columns([5, 4, 3], gap="medium")
    with left:
        end = forecast.forecast_time + timedelta(seconds=forecast.horizon)
        st.markdown(f"**Price at {end:%H:%M:%S} UTC**")
        st.plotly_chart(
            distribution_chart(histogram, model, forecast, simulated, view),
            key="distribution",
            config=CHART,
            alt=f"Histogram and closed-form density of the price of {symbol} at the forecast's horizon.",
        )
    with middle:
        st.markdown("**Quantiles**")
        _quantile_table(model, forecast, simulated)
        st.download_button(
            "Download as CSV",
            to_csv(forecast, simulated),
            file_name=f"{symbol.replace(':', '-')}-{forecast.forecast_time:%Y%m%dT%H%M%SZ}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    with right:
        st.markdown("**Probabilities and risk**")
        _risk_table(parameters, histogram, simulated, target_price(view, model, forecast.horizon))
    with st.expander("Effect of each parameter", icon=":material/ssid_chart:", key="effects-section"):
        st.plotly_chart(
            effects_chart(effects(choice.model, choice.scenario), view),
            key="effects",
            config=CHART,
            alt="Closed-form density of the price with 20 % less and more drift, volatility and horizon.",
        )
    _parameter_tables(parameters, forecast)


def _actual(symbol: str, forecast: Forecast) -> tuple[Times, Floats]:
    """Return the closes from a while before a forecast until its end, at their times."""
    start = forecast.forecast_time - timedelta(seconds=forecast.horizon / 4)
    end = forecast.forecast_time + timedelta(seconds=forecast.horizon)
    bars = cached_queries.bars(symbol, start, min(end, datetime.now(UTC)))
    seconds = BAR_SECONDS * max(1, round(forecast.horizon / SHOWN_CLOSES / BAR_SECONDS))
    shown = aggregate(
        bars.select((bars.start >= to_datetime64(start)) & (bars.start < to_datetime64(end))), seconds
    )
    return break_at_gaps(*closes(shown, seconds), max_gap_seconds(seconds))


def _quantile_table(model: Model, forecast: Forecast, simulated: Simulation | None) -> None:
    stored = [*forecast.quantiles[-1].tolist(), float(forecast.mean[-1])]
    exact = [*(model.quantile(share, forecast.horizon) for share in QUANTILES), model.mean(forecast.horizon)]
    errors = standard_errors(model, forecast.horizon, forecast.paths)
    table = {
        "": ["5 %", "25 %", "median", "75 %", "95 %", "mean"],
        "Simulated": list(map(formats.price, stored)),
        "Closed form": list(map(formats.price, exact)),
        "Difference": [
            f"{(price - other) / error:+.1f} SE"
            for price, other, error in zip(stored, exact, errors, strict=True)
        ],
    }
    if simulated is not None:
        values = [*simulated.forecast.quantiles[-1].tolist(), float(simulated.forecast.mean[-1])]
        table["Scenario"] = list(map(formats.price, values))
    _table("quantiles", table)
    st.caption(
        f"SE: standard error of {forecast.paths:,} independent paths; antithetic ones have smaller errors."
    )


def _risk_table(
    parameters: Parameters, histogram: Distribution, simulated: Simulation | None, target: float
) -> None:
    table = {
        "": ["above spot", "above target", "below target", "VaR 95 %", "ES 95 %", "VaR 99 %", "ES 99 %"],
        "Forecast": _risks(parameters, share_below(histogram, target)),
    }
    if simulated is not None:
        table["Scenario"] = _risks(simulated.forecast, share_below(simulated.distribution, target))
    _table("risks", table)
    st.caption("VaR, ES: value at risk and expected shortfall, as losses from the spot.")
    if parameters.drawdown_mean is not None:
        _table(
            "path",
            {
                "": ["touches -1 %", "touches +1 %", "max. drawdown, mean", "max. drawdown, 95 %"],
                "Forecast": [
                    formats.percent(share or 0.0)
                    for share in (
                        parameters.touch_down_100bp,
                        parameters.touch_up_100bp,
                        parameters.drawdown_mean,
                        parameters.drawdown_95,
                    )
                ],
            },
        )


def _risks(risks: Parameters | SimulatedForecast, below: float) -> list[str]:
    shares = (risks.prob_up, 1 - below, below, risks.var_95, risks.es_95, risks.var_99, risks.es_99)
    return list(map(formats.percent, shares))


def _model_name(parameters: Parameters) -> str:
    """Return the model with what it learnt from past forecasts."""
    name = parameters.model or "gbm"
    if parameters.degrees_of_freedom is None:
        return name
    return (
        f"{name}: {parameters.degrees_of_freedom:.1f} degrees of freedom, scale {parameters.scale:.2f}, "
        f"from {parameters.outcomes:,} outcomes"
    )


def _parameter_tables(parameters: Parameters, forecast: Forecast) -> None:
    with st.expander("Parameters of this forecast", icon=":material/tune:", key="parameters"):
        left, right = st.columns(2, gap="medium")
        with left:
            _table(
                "model",
                {
                    "Model": [
                        "model",
                        "spot",
                        "drift used, per year",
                        "drift estimate ± standard error",
                        "volatility ± standard error",
                        "seconds per year",
                    ],
                    "Value": [
                        _model_name(parameters),
                        formats.price(forecast.spot),
                        f"{parameters.drift:+.4f}",
                        f"{parameters.drift_estimate:+.2f} ± {parameters.drift_stderr:.2f}",
                        f"{parameters.volatility:.4f} ± {parameters.volatility_stderr:.4f}",
                        f"{parameters.seconds_per_year:,.0f}",
                    ],
                },
            )
        with right:
            _table(
                "sample",
                {
                    "Sample and simulation": ["from", "to", "price changes observed", "paths", "seed"],
                    "Value": [
                        formats.moment(parameters.sample_start),
                        formats.moment(parameters.sample_end),
                        f"{parameters.observations:,}",
                        f"{forecast.paths:,}",
                        str(parameters.seed),
                    ],
                },
            )
        st.caption(
            "A drift cannot be estimated from hours of trades, so the estimate is shrunk towards zero by its "
            "standard error. The volatility is that of the price without the bid-ask bounce."
        )


def _table(key: str, columns: dict[str, list[str]]) -> None:
    with st.container(key=key):
        st.table(columns, hide_index=True, border="horizontal")
