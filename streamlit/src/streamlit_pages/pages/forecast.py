"""The page of one symbol: its candles, its forecast and the accuracy of past forecasts."""

import streamlit as st

from streamlit_pages.sections.forecast import forecast_section
from streamlit_pages.sections.header import header, wait_for_symbols
from streamlit_pages.sections.live import INTERVALS, live_section
from streamlit_pages.sections.track_record import track_record_section

TITLE = "Forecast"
ICON = "📈"
POSITION = 1

DEFAULT_INTERVAL = "1 min"


def draw() -> None:
    """Draw the page."""
    symbols = header(TITLE)
    if not symbols:
        wait_for_symbols()
        return
    picker, intervals = st.columns([2, 3], vertical_alignment="bottom")
    with picker:
        names = [symbol.symbol for symbol in symbols]
        name = st.selectbox("Symbol", names, key="symbol", bind="query-params") or names[0]
    with intervals:
        interval = st.segmented_control(
            "Candles",
            list(INTERVALS),
            default=DEFAULT_INTERVAL,
            key="interval",
            bind="query-params",
            required=True,
        )
    live_section(name, INTERVALS[interval or DEFAULT_INTERVAL])
    forecast_section(name)
    track_record_section(name)
