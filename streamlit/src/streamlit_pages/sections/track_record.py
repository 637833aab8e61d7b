"""The track record: how accurate past forecasts were."""

import streamlit as st

from streamlit_pages import cached_queries, formats
from streamlit_pages.charts import pit_chart
from streamlit_pages.record import FEW_FORECASTS
from streamlit_pages.scorecard import scorecard
from streamlit_pages.store import StoreUnavailableError

REFRESH_SECONDS = 60


def coverage_metrics(inside_50: float, inside_90: float) -> None:
    """Show which share of the outcomes was inside each band."""
    columns = st.columns(2)
    columns[0].metric(
        "Inside the 50 % band",
        formats.percent(inside_50),
        help="Outcomes between the 25 % and 75 % quantiles; 50 % is ideal.",
    )
    columns[1].metric(
        "Inside the 90 % band",
        formats.percent(inside_90),
        help="Outcomes between the 5 % and 95 % quantiles; 90 % is ideal.",
    )


@st.fragment(run_every=REFRESH_SECONDS)
def track_record_section(symbol: str) -> None:
    """Show how accurate a symbol's past forecasts were."""
    st.subheader("Accuracy of past forecasts", anchor=False, divider="gray")
    try:
        scores = cached_queries.scores(symbol)
    except StoreUnavailableError:
        st.caption("The track record is shown again when Cassandra answers.")
        return
    if not scores:
        st.info(
            f"No forecast of {symbol} has reached its horizon yet; the run after that scores the first one.",
            icon=":material/hourglass_empty:",
        )
        return
    card = scorecard(scores)
    metrics, chart = st.columns([2, 3], gap="medium")
    with metrics:
        coverage_metrics(card.inside_50, card.inside_90)
        columns = st.columns(2)
        columns[0].metric(
            "CRPS / naive",
            f"{card.crps_ratio:.2f}",
            help="Continuous ranked probability score divided by that of “no change”. "
            "Below 1: the forecast is better than that.",
        )
        columns[1].metric(
            "Median error / naive",
            f"{card.error_ratio:.2f}",
            help="Absolute error of the median divided by that of “no change”. About 1 is expected: the "
            "direction of the next hour cannot be forecast.",
        )
        st.caption(
            f"{card.forecasts} forecasts of the last {cached_queries.FORECAST_DAYS} days; "
            f"mean CRPS {card.crps:.4g}."
            + (" Too few for a conclusion." if card.forecasts < FEW_FORECASTS else "")
        )
    with chart:
        st.plotly_chart(
            pit_chart(card.pit_counts.tolist()),
            key="pit",
            config={"displayModeBar": False},
            alt=f"Histogram of the probability integral transform of {card.forecasts} outcomes.",
        )
