"""The page that compares symbols: their changes or candles, how they move together, their forecasts."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import streamlit as st

from streamlit_pages import cached_queries, formats
from streamlit_pages.candles import Bars, aggregate
from streamlit_pages.charts import changes_chart, correlation_chart, small_candles_chart, widths_chart
from streamlit_pages.comparison import correlations, widths
from streamlit_pages.sections.header import header, wait_for_symbols
from streamlit_pages.store import Forecast, StoreUnavailableError, Symbol, to_datetime64

TITLE = "Compare"
ICON = "⚖️"
POSITION = 3

REFRESH_SECONDS = 15
DEFAULT_SYMBOLS = 4
MOST_SYMBOLS = 12
CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


class Range(NamedTuple):
    """How far back the page looks, and the seconds of its candles."""

    window: timedelta
    seconds: int


RANGES = {
    "1 h": Range(timedelta(hours=1), 60),
    "6 h": Range(timedelta(hours=6), 300),
    "1 d": Range(timedelta(days=1), 900),
}
DEFAULT_RANGE = "6 h"
CHANGES, CANDLES = "Changes", "Candles"


def draw() -> None:
    """Draw the page."""
    symbols = header(TITLE)
    if not symbols:
        wait_for_symbols()
        return
    names = [symbol.symbol for symbol in symbols]
    picker, ranges, views = st.columns([4, 2, 2], vertical_alignment="bottom")
    with picker:
        chosen = st.multiselect(
            "Symbols",
            names,
            default=names[:DEFAULT_SYMBOLS],
            max_selections=MOST_SYMBOLS,
            key="symbols",
            bind="query-params",
        )
    with ranges:
        reach = st.segmented_control(
            "Range", list(RANGES), default=DEFAULT_RANGE, key="range", bind="query-params", required=True
        )
    with views:
        view = st.segmented_control(
            "View", [CHANGES, CANDLES], default=CHANGES, key="view", bind="query-params", required=True
        )
    if not chosen:
        st.info("Select the symbols to compare.", icon=":material/info:")
        return
    _comparison(
        [symbol for symbol in symbols if symbol.symbol in chosen], reach or DEFAULT_RANGE, view or CHANGES
    )


@st.fragment(run_every=REFRESH_SECONDS)
def _comparison(symbols: list[Symbol], reach: str, view: str) -> None:
    window, seconds = RANGES[reach]
    end = max(symbol.last_seen for symbol in symbols)
    try:
        candles = {symbol.symbol: _candles(symbol, end - window, end, seconds) for symbol in symbols}
        forecasts = {
            symbol.symbol: forecast
            for symbol in symbols
            if (forecast := cached_queries.newest_forecast(symbol.symbol)) is not None
        }
    except StoreUnavailableError as error:
        st.warning(
            f"{error} This page tries again every {REFRESH_SECONDS} seconds.", icon=":material/cloud_off:"
        )
        return
    traded = {name: bars for name, bars in candles.items() if len(bars)}
    silent = sorted(candles.keys() - traded.keys())
    if silent:
        st.caption(f"Without a trade in this range: {', '.join(silent)}.")
    if not traded:
        return
    if view == CANDLES:
        st.plotly_chart(
            small_candles_chart(traded, reach),
            key="small-candles",
            config=CHART,
            alt=f"Candles of {', '.join(traded)}.",
        )
    else:
        st.plotly_chart(
            changes_chart(traded, reach),
            key="changes",
            config=CHART,
            alt=f"Changes of {', '.join(traded)} since the start of the range.",
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Correlation of returns over {formats.duration(seconds)}**")
        st.plotly_chart(
            correlation_chart(list(traded), correlations(traded)),
            key="correlations",
            config={"displayModeBar": False},
            alt="Correlations of the returns of the selected symbols.",
        )
    with right:
        st.markdown("**Width of the newest forecast's bands at its horizon**")
        _show_widths(forecasts)


def _show_widths(forecasts: dict[str, Forecast]) -> None:
    if not forecasts:
        st.caption("There is no forecast of these symbols yet; one is made every full hour.")
        return
    st.plotly_chart(
        widths_chart(list(forecasts), *widths(list(forecasts.values()))),
        key="widths",
        config={"displayModeBar": False},
        alt="Widths of the 50 % and 90 % bands of the newest forecasts.",
    )
    horizons = {formats.duration(forecast.horizon) for forecast in forecasts.values()}
    oldest = min(forecast.forecast_time for forecast in forecasts.values())
    st.caption(
        f"As a share of the spot, after {' or '.join(sorted(horizons))}; the oldest of these was made "
        f"{formats.ago(oldest, datetime.now(UTC))}."
    )


def _candles(symbol: Symbol, start: datetime, end: datetime, seconds: int) -> Bars:
    bars = cached_queries.bars(symbol.symbol, start, end)
    return aggregate(bars.select(bars.start >= to_datetime64(start)), seconds)
