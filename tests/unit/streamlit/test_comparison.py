"""Symbols side by side, against polars and figures by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from forecast_example import STORED
from streamlit_pages.candles import Bars
from streamlit_pages.comparison import MIN_RETURNS, changes, correlations, widths

MINUTE = np.timedelta64(60_000, "ms")
START = np.datetime64("2026-03-04T15:00", "ms")


def candles(closes: list[float], minutes: list[int] | None = None) -> Bars:
    count = len(closes)
    starts = START + np.array(minutes if minutes is not None else range(count)) * MINUTE
    price, ones = np.array(closes), np.ones(count)
    return Bars(starts, price, price, price, price, ones, price, ones, np.ones(count, dtype=np.int64))


def walk(seed: int, count: int = 60) -> list[float]:
    return (100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))).tolist()


def test_changes_are_from_the_first_price() -> None:
    times, values = changes(candles([float("nan"), 100.0, 110.0, float("nan"), 95.0]))
    assert values.tolist() == pytest.approx([0.0, 0.1, -0.05])
    assert times.tolist() == (START + np.array([1, 2, 4]) * MINUTE).tolist()
    assert len(changes(candles([float("nan")]))[1]) == 0


def test_correlations_are_those_of_the_returns_that_both_have() -> None:
    first, second = walk(1), walk(2)
    minutes = [minute for minute in range(60) if minute not in (10, 11, 30)]
    matrix = correlations(
        {"A": candles(first), "B": candles([second[minute] for minute in minutes], minutes)}
    )
    frame = pl.DataFrame({"minute": range(60), "a": first, "b": second}).with_columns(
        pl.when(pl.col("minute").is_in([10, 11, 30])).then(None).otherwise(pl.col("b")).alias("b")
    )
    returns = frame.select(pl.col("a").log().diff(), pl.col("b").log().diff()).drop_nulls()
    expected = returns.select(pl.corr("a", "b")).item()
    assert [matrix[0, 1], matrix[1, 0]] == pytest.approx([expected, expected])
    assert np.diag(matrix) == pytest.approx([1.0, 1.0])


def test_a_price_against_its_inverse_is_minus_one() -> None:
    prices = walk(3)
    matrix = correlations({"A": candles(prices), "B": candles([1 / price for price in prices])})
    assert matrix[0, 1] == pytest.approx(-1.0)


@pytest.mark.filterwarnings("error")  # numpy would write them into the log at each redraw
def test_what_cannot_be_correlated_is_left_empty() -> None:
    few = walk(4, MIN_RETURNS)  # one return fewer than prices
    matrix = correlations(
        {"A": candles(few), "B": candles([5.0] * 60), "C": candles([]), "D": candles(walk(5))}
    )
    assert np.isnan(matrix[:3]).all()
    assert matrix[3, 3] == pytest.approx(1.0)
    enough = correlations({"A": candles(walk(4, MIN_RETURNS + 1))})
    assert enough[0, 0] == pytest.approx(1.0)


def test_widths_are_shares_of_the_spot() -> None:
    quantiles = np.array([[90.0, 95.0, 100.0, 106.0, 112.0]])
    forecasts = [
        replace(STORED, spot=spot, quantiles=np.vstack([quantiles / 3, quantiles / 2, quantiles]))
        for spot in (100.0, 200.0)
    ]
    narrow, wide = widths(forecasts)
    assert narrow.tolist() == pytest.approx([0.11, 0.055])
    assert wide.tolist() == pytest.approx([0.22, 0.11])
