"""The page's forecast: against what came, beside the closed form, and simulated again."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from common.gbm import QUANTILES, Model
from common.gbm import Forecast as SimulatedForecast
from streamlit_pages import formats, reads
from streamlit_pages.candles import Floats, Times, aggregate, broken, closes, longest_silence
from streamlit_pages.figures import distribution_figure, fan_figure
from streamlit_pages.playground import play, target_price
from streamlit_pages.simulation import Simulation, share_below, standard_errors, stored_model, to_csv
from streamlit_pages.store import Distribution, Forecast, Parameters, StoreAwayError, plain

REFRESH_SECONDS = 15
LATEST = "latest"
SHOWN_CLOSES = 360
CHART = {"displayModeBar": False}


@st.fragment(run_every=REFRESH_SECONDS)
def forecast_section(symbol: str) -> None:
    """Show a symbol's forecasts; the newest is followed unless an earlier one is picked."""
    st.subheader("Forecast against actual", anchor=False, divider="gray")
    try:
        rows = reads.parameters(symbol)
        _explain(symbol, rows)
        parameters = _pick(symbol, [row for row in rows if row.status == "ok"])
        if parameters is None:
            return
        forecast = reads.forecast(symbol, parameters.forecast_time)
        if forecast is not None:
            _show(symbol, parameters, forecast)
    except StoreAwayError:
        st.caption("The forecast comes back with Cassandra.")


def _explain(symbol: str, rows: tuple[Parameters, ...]) -> None:
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


def _pick(symbol: str, good: list[Parameters]) -> Parameters | None:
    if not good:
        return None
    times = {row.forecast_time.isoformat(): row for row in good}
    labels = {key: formats.moment(row.forecast_time) for key, row in times.items()}
    labels[LATEST] = f"Latest, made {formats.moment(good[0].forecast_time)}"
    picked = st.selectbox(
        "Forecast",
        [LATEST, *times],
        format_func=labels.__getitem__,
        key=f"forecast {symbol}",
        label_visibility="collapsed",
    )
    return times.get(picked or LATEST, good[0])


def _show(symbol: str, parameters: Parameters, forecast: Forecast) -> None:
    view = f"{symbol} {forecast.forecast_time.isoformat()}"
    model = stored_model(parameters, forecast)
    histogram = reads.distribution(symbol, forecast.forecast_time)
    controls, chart = st.columns([1, 3], gap="medium")
    with controls:
        played = play(view, parameters, forecast)
    with chart:
        st.plotly_chart(
            fan_figure(forecast, *_actual(symbol, forecast), played, view),
            key="fan",
            config=CHART,
            alt=f"The forecast's fan for {symbol}, and the price that came.",
        )
    left, middle, right = st.columns([5, 4, 3], gap="medium")
    with left:
        end = forecast.forecast_time + timedelta(seconds=forecast.horizon)
        st.markdown(f"**Price at {end:%H:%M:%S} UTC**")
        st.plotly_chart(
            distribution_figure(histogram, model, forecast, played, view),
            key="distribution",
            config=CHART,
            alt=f"Histogram and closed-form density of the price of {symbol} at the forecast's horizon.",
        )
    with middle:
        st.markdown("**Quantiles**")
        _quantiles(model, forecast, played)
        st.download_button(
            "Download as CSV",
            to_csv(forecast, played),
            file_name=f"{symbol.replace(':', '-')}-{forecast.forecast_time:%Y%m%dT%H%M%SZ}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    with right:
        st.markdown("**Chances and risks**")
        _chances(parameters, histogram, played, target_price(view, model, forecast.horizon))
    _parameters(parameters, forecast)


def _actual(symbol: str, forecast: Forecast) -> tuple[Times, Floats]:
    """Return the closes from a while before a forecast until its end, at their times."""
    start = forecast.forecast_time - timedelta(seconds=forecast.horizon / 4)
    end = forecast.forecast_time + timedelta(seconds=forecast.horizon)
    bars = reads.bars(symbol, start, min(end, datetime.now(UTC)))
    seconds = 5 * max(1, round(forecast.horizon / SHOWN_CLOSES / 5))
    shown = aggregate(bars.select((bars.start >= plain(start)) & (bars.start < plain(end))), seconds)
    return broken(*closes(shown, seconds), longest_silence(seconds))


def _quantiles(model: Model, forecast: Forecast, played: Simulation | None) -> None:
    simulated = [*forecast.quantiles[-1].tolist(), float(forecast.mean[-1])]
    exact = [*(model.quantile(share, forecast.horizon) for share in QUANTILES), model.mean(forecast.horizon)]
    errors = standard_errors(model, forecast.horizon, forecast.paths)
    table = {
        "": ["5 %", "25 %", "median", "75 %", "95 %", "mean"],
        "Simulated": list(map(formats.price, simulated)),
        "Closed form": list(map(formats.price, exact)),
        "Apart": [
            f"{(price - other) / error:+.1f} SE"
            for price, other, error in zip(simulated, exact, errors, strict=True)
        ],
    }
    if played is not None:
        yours = [*played.forecast.quantiles[-1].tolist(), float(played.forecast.mean[-1])]
        table["Yours"] = list(map(formats.price, yours))
    _table("quantiles", table)
    st.caption(f"SE: standard error of {forecast.paths:,} simulated paths; nearly all lie within 3.")


def _chances(
    parameters: Parameters, histogram: Distribution, played: Simulation | None, target: float
) -> None:
    table = {
        "": ["above spot", "above target", "below target", "VaR 95 %", "ES 95 %", "VaR 99 %", "ES 99 %"],
        "Forecast": _risks(parameters, share_below(histogram, target)),
    }
    if played is not None:
        table["Yours"] = _risks(played.forecast, share_below(played.distribution, target))
    _table("chances", table)
    st.caption("VaR, ES: value at risk and expected shortfall, as losses from the spot.")


def _risks(risks: Parameters | SimulatedForecast, below: float) -> list[str]:
    shares = (risks.prob_up, 1 - below, below, risks.var_95, risks.es_95, risks.var_99, risks.es_99)
    return list(map(formats.percent, shares))


def _parameters(parameters: Parameters, forecast: Forecast) -> None:
    with st.expander("Parameters of this forecast", icon=":material/tune:", key="parameters"):
        left, right = st.columns(2, gap="medium")
        with left:
            _table(
                "model",
                {
                    "Model": [
                        "spot",
                        "drift used, a year",
                        "drift estimate ± standard error",
                        "volatility ± standard error",
                        "seconds a year",
                    ],
                    "Value": [
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
            "Hours of trades cannot know a drift, so the estimate is shrunk towards none by its uncertainty. "
            "The volatility is that of the price without the bounce between bid and ask."
        )


def _table(key: str, columns: dict[str, list[str]]) -> None:
    with st.container(key=key):
        st.table(columns, hide_index=True, border="horizontal")
