"""The page's record: how past forecasts did."""

import streamlit as st

from streamlit_pages import formats, reads
from streamlit_pages.figures import pit_figure
from streamlit_pages.scorecard import scorecard
from streamlit_pages.store import StoreAwayError

REFRESH_SECONDS = 60
FEW = 20


@st.fragment(run_every=REFRESH_SECONDS)
def record_section(symbol: str) -> None:
    """Show whether a symbol's past forecasts were right."""
    st.subheader("Were past forecasts right?", anchor=False, divider="gray")
    try:
        scores = reads.scores(symbol)
    except StoreAwayError:
        st.caption("The record comes back with Cassandra.")
        return
    if not scores:
        st.info(
            f"No forecast of {symbol} has reached its horizon yet; the run after that starts the record.",
            icon=":material/hourglass_empty:",
        )
        return
    card = scorecard(scores)
    figures, chart = st.columns([2, 3], gap="medium")
    with figures:
        first, second = st.columns(2), st.columns(2)
        first[0].metric(
            "Inside the 50 % band", formats.percent(card.inside_50), help="25 % to 75 %; half should be."
        )
        first[1].metric(
            "Inside the 90 % band",
            formats.percent(card.inside_90),
            help="5 % to 95 %; nine in ten should be.",
        )
        second[0].metric(
            "CRPS beside naive",
            f"{card.crps_ratio:.2f}",
            help="Continuous ranked probability score over the error of “the price stays”. "
            "Below 1: the forecast tells more than that.",
        )
        second[1].metric(
            "Median's error beside naive",
            f"{card.error_ratio:.2f}",
            help="Near 1 is honest: nobody knows the direction of the next hour.",
        )
        st.caption(
            f"{card.forecasts} forecasts of the last {reads.FORECAST_DAYS} days; mean CRPS {card.crps:.4g}."
            + (" So few tell little." if card.forecasts < FEW else "")
        )
    with chart:
        st.plotly_chart(
            pit_figure(card.pit_counts),
            key="pit",
            config={"displayModeBar": False},
            alt=f"Histogram of where the outcomes of {card.forecasts} forecasts fell in their distributions.",
        )
