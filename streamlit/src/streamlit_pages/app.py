"""The first page, as `streamlit run` runs it."""

import streamlit as st

from streamlit_pages import reads
from streamlit_pages.forecast import forecast_section
from streamlit_pages.live import INTERVALS, live_section
from streamlit_pages.record import record_section
from streamlit_pages.store import StoreAwayError, Symbol

RETRY_SECONDS = 3
DEFAULT_INTERVAL = "1 min"


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="Forecast", page_icon="📈", layout="wide")
    try:
        symbols = reads.symbols()
    except StoreAwayError:
        symbols = ()
    _header(symbols)
    if not symbols:
        _wait_for_symbols()
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
    record_section(name)


def _header(symbols: tuple[Symbol, ...]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.title("Forecast", anchor=False, width="content")
        sources = {symbol.source for symbol in symbols}
        if "demo" in sources:
            st.badge("DEMO DATA", icon=":material/science:", color="orange")
        if "replay" in sources:
            st.badge("REPLAYED DATA", icon=":material/history:", color="violet")
        st.badge("Not investment advice", color="gray")
        st.badge("All times UTC", color="gray")


@st.fragment(run_every=RETRY_SECONDS)
def _wait_for_symbols() -> None:
    try:
        if reads.symbols():
            st.rerun()
    except StoreAwayError as error:
        st.warning(
            f"{error} This page tries again every {RETRY_SECONDS} seconds; `./market status` tells more.",
            icon=":material/cloud_off:",
        )
        return
    st.info(
        "No trades are stored yet. They appear here by themselves as soon as the first ones come in. "
        "`./market status` shows whether the collector receives any; `./market up --feed demo` needs no key.",
        icon=":material/hourglass_empty:",
    )


main()
