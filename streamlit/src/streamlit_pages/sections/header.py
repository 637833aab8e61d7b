"""The header of every page, and what a page shows before anything is stored."""

import streamlit as st

from streamlit_pages import cached_queries
from streamlit_pages.store import StoreUnavailableError, Symbol

RETRY_SECONDS = 3


def header(title: str) -> tuple[Symbol, ...]:
    """Show a page's title and where its data is from; return the symbols, none while they cannot be read."""
    try:
        symbols = cached_queries.symbols()
    except StoreUnavailableError:
        symbols = ()
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.title(title, anchor=False, width="content")
        sources = {symbol.source for symbol in symbols}
        if "demo" in sources:
            st.badge("DEMO DATA", icon=":material/science:", color="orange")
        if "replay" in sources:
            st.badge("REPLAYED DATA", icon=":material/history:", color="violet")
        st.badge("Not investment advice", color="gray")
        st.badge("All times UTC", color="gray")
    return symbols


@st.fragment(run_every=RETRY_SECONDS)
def wait_for_symbols() -> None:
    """Say why nothing can be shown, and draw the page again once a symbol is stored."""
    try:
        if cached_queries.symbols():
            st.rerun()
    except StoreUnavailableError as error:
        st.warning(
            f"{error} This page tries again every {RETRY_SECONDS} seconds; `./market status` has details.",
            icon=":material/cloud_off:",
        )
        return
    st.info(
        "No trades are stored yet. The page shows them as soon as the first ones arrive. "
        "`./market status` shows whether the collector receives any; `./market up --feed demo` needs no key.",
        icon=":material/hourglass_empty:",
    )
