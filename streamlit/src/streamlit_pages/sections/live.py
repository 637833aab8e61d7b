"""The live section: the newest metrics and the candles."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import streamlit as st

from streamlit_pages import cached_queries, formats
from streamlit_pages.candles import Bars, aggregate, rolling_vwap, vwap
from streamlit_pages.charts import candles_chart
from streamlit_pages.store import StoreUnavailableError, Symbol, to_datetime64

REFRESH_SECONDS = 5
VWAP_CANDLES = 20
CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


class Interval(NamedTuple):
    """A candle's width and how far back the chart reaches."""

    seconds: int
    window: timedelta


INTERVALS = {
    "5 s": Interval(5, timedelta(minutes=15)),
    "15 s": Interval(15, timedelta(minutes=45)),
    "1 min": Interval(60, timedelta(hours=3)),
    "5 min": Interval(300, timedelta(hours=12)),
    "15 min": Interval(900, timedelta(days=2)),
}


@st.fragment(run_every=REFRESH_SECONDS)
def live_section(name: str, interval: Interval) -> None:
    """Show the newest metrics and candles of a symbol, refreshed every REFRESH_SECONDS."""
    try:
        symbol = next((symbol for symbol in cached_queries.symbols() if symbol.symbol == name), None)
        if symbol is None:
            st.rerun()
        start = symbol.last_seen - interval.window
        bars = cached_queries.bars(name, start, symbol.last_seen)
        forecast = cached_queries.newest_forecast(name)
        gaps = cached_queries.gaps(_minute(start), _minute(symbol.last_seen) + timedelta(hours=1))
    except StoreUnavailableError as error:
        st.warning(
            f"{error} This page tries again every {REFRESH_SECONDS} seconds.", icon=":material/cloud_off:"
        )
        return
    candles = aggregate(bars, interval.seconds)
    average = rolling_vwap(candles, VWAP_CANDLES)
    shown = candles.start >= to_datetime64(start)
    candles, average = candles.select(shown), average[shown]
    window = formats.duration(interval.window.total_seconds())
    if not np.isfinite(candles.close).any():
        st.info(f"{name} had no trade with a price in the last {window}.", icon=":material/info:")
        return
    _metrics(symbol, candles)
    st.plotly_chart(
        candles_chart(
            candles,
            average,
            seconds=interval.seconds,
            forecast=forecast,
            gaps=gaps,
            view=f"{name} {interval.seconds}",
        ),
        key="candles",
        config=CHART,
        alt=f"Candles of {name} with volume, VWAP and the latest forecast.",
    )
    notes = [f"Metrics: the {window} up to the newest trade. VWAP line: over {VWAP_CANDLES} candles."]
    if symbol.asset_class == "stock":
        notes.append(
            "Free stock data is IEX only, about 2.5 % of US volume: volume and VWAP are of that part only."
        )
    if gaps:
        notes.append(f"Feed gaps: {len(gaps)}; trades during a gap are missing.")
    st.caption(" ".join(notes))


def _metrics(symbol: Symbol, candles: Bars) -> None:
    first = float(candles.open[np.isfinite(candles.open)][0])
    last = float(candles.close[np.isfinite(candles.close)][-1])
    columns = st.columns(5)
    columns[0].metric("Last price", formats.price(last), formats.percent(last / first - 1, signed=True))
    columns[1].metric("VWAP", formats.price(vwap(candles)))
    columns[2].metric("Volume", formats.amount(float(candles.volume.sum())))
    columns[3].metric("Trades", formats.amount(float(candles.trade_count.sum())))
    columns[4].metric(
        "Newest trade",
        formats.ago(symbol.last_seen, datetime.now(UTC)),
        help=formats.moment(symbol.last_seen),
    )


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
