"""Candles from bars, against polars."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streamlit_pages.candles import (
    Bars,
    aggregate,
    break_at_gaps,
    closes,
    join,
    max_gap_seconds,
    rolling_vwap,
    vwap,
)

START = 1_700_000_000_000 - 1_700_000_000_000 % 5000

Window = tuple[int, float | None, float, int]

prices = st.one_of(st.none(), st.floats(0.5, 1000))
windows = st.lists(
    st.tuples(st.integers(0, 2000), prices, st.floats(0, 1e6), st.integers(1, 50)),
    max_size=60,
    unique_by=lambda window: window[0],
)


def bars_of(rows: list[Window]) -> Bars:
    """Make bars from (number of the window, close or None, volume, trades), each moving a little."""
    rows = sorted(rows)
    number, price, volume, trades = (
        np.array(column, dtype=kind)
        for column, kind in zip(
            zip(*rows, strict=True) if rows else [()] * 4, ("i8", "f8", "f8", "i8"), strict=True
        )
    )
    return Bars(
        start=(START + number * 5000).astype("datetime64[ms]"),
        open=price * 0.99,
        high=price * 1.02,
        low=price * 0.97,
        close=price,
        volume=volume,
        value_sum=np.nan_to_num(price) * volume,
        value_volume=np.where(np.isnan(price), 0, volume),
        trade_count=trades,
    )


def frame_of(bars: Bars) -> pl.DataFrame:
    names = ("open", "high", "low", "close", "volume", "value_sum", "value_volume", "trade_count")
    columns = {name: getattr(bars, name) for name in names}
    return pl.DataFrame({"start": bars.start.astype(np.int64), **columns}).with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )


@given(windows, st.sampled_from([5, 15, 60, 300, 900]))
def test_aggregate_agrees_with_polars(rows: list[Window], seconds: int) -> None:
    bars = bars_of(rows)
    width = seconds * 1000
    expected = (
        frame_of(bars)
        .group_by((pl.col("start") // width * width).alias("start"))
        .agg(
            pl.col("open").drop_nulls().first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").drop_nulls().last(),
            pl.col("volume", "value_sum", "value_volume", "trade_count").sum(),
        )
        .sort("start")
    )
    assert_frame_equal(frame_of(aggregate(bars, seconds)), expected)


@given(windows, st.integers(1, 25))
def test_rolling_vwap_agrees_with_polars(rows: list[Window], window: int) -> None:
    candles = bars_of(rows)
    sums = frame_of(candles).select(pl.col("value_sum", "value_volume").rolling_sum(window, min_samples=1))
    value, volume = sums["value_sum"].to_numpy(), sums["value_volume"].to_numpy()
    counts = rolling_vwap(candles, window)
    known = volume > 1e-3
    np.testing.assert_allclose(counts[known], value[known] / volume[known], rtol=1e-6)


def test_vwap_of_no_volume_is_not_a_number() -> None:
    assert np.isnan(vwap(bars_of([(0, None, 5.0, 1)])))
    assert np.isnan(rolling_vwap(bars_of([(0, None, 5.0, 1)]), 20)).all()


def test_vwap_weighs_prices_by_volume() -> None:
    bars = bars_of([(0, 10.0, 0.25, 1), (1, 20.0, 0.5, 1), (2, None, 7.0, 1)])
    assert vwap(bars) == pytest.approx((10 * 0.25 + 20 * 0.5) / 0.75)


@pytest.mark.parametrize(("seconds", "gap"), [(5, 60), (20, 60), (21, 63), (300, 900)])
def test_a_line_ends_after_three_candles_or_a_minute(seconds: int, gap: int) -> None:
    assert max_gap_seconds(seconds) == gap


def test_joined_stretches_aggregate_like_the_whole() -> None:
    rows = [(number, 100.0 + number, 1.0, 1) for number in range(40)]
    whole = aggregate(bars_of(rows), 60)
    parts = aggregate(join([bars_of(rows[:17]), bars_of([]), bars_of(rows[17:])]), 60)
    assert_frame_equal(frame_of(parts), frame_of(whole))


def test_selected_bars_are_those_of_the_mask() -> None:
    bars = bars_of([(number, 100.0 + number, 1.0, 1) for number in range(10)])
    assert bars.select(bars.close > 107).close.tolist() == [108.0, 109.0]


def test_line_of_closes_breaks_where_prices_are_missing() -> None:
    bars = bars_of([(0, 1.0, 1, 1), (1, 2.0, 1, 1), (2, None, 1, 1), (13, 3.0, 1, 1), (26, 4.0, 1, 1)])
    times, prices = break_at_gaps(*closes(bars, 5), 60)
    assert prices.tolist() == pytest.approx([1.0, 2.0, 3.0, float("nan"), 4.0], nan_ok=True)
    assert (times.astype(np.int64) - START).tolist() == [5000, 10_000, 70_000, 70_000, 135_000]
