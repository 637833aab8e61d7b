"""The pages' charts show what they are given."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from forecast_example import HISTOGRAM, MADE, MODEL, PARAMETERS, STORED, simulated
from streamlit_pages.candles import Bars, rolling_vwap
from streamlit_pages.charts import candles_chart, distribution_chart, fan_chart, pit_chart
from streamlit_pages.simulation import sample_paths, stored_scenario
from streamlit_pages.store import Gap


def candles(count: int = 30) -> Bars:
    close = 64_000 + np.arange(count, dtype=np.float64)
    volume = np.ones(count)
    start = np.datetime64("2026-03-04T14:45", "ms") + np.arange(count) * np.timedelta64(60_000, "ms")
    return Bars(
        start, close - 1, close + 2, close - 2, close, volume, close, volume, np.ones(count, dtype=np.int64)
    )


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_candles_come_with_the_fan_from_the_spot_and_the_gaps() -> None:
    shown = candles()
    gap = Gap(MADE - timedelta(minutes=3), MADE - timedelta(minutes=1), "reconnected")
    figure = candles_chart(
        shown, rolling_vwap(shown, 20), seconds=60, forecast=STORED, gaps=[gap], view="one"
    )
    found = traces(figure)
    assert found["Price"].close.tolist() == shown.close.tolist()
    assert found["median"].y[0] == STORED.spot
    assert found["median"].x[-1] <= figure.layout.xaxis.range[1]
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"] == [
        (np.datetime64("2026-03-04T14:57"), np.datetime64("2026-03-04T14:59"))
    ]


def test_the_time_of_a_forecast_is_in_the_zone_of_the_candles() -> None:
    shown = candles()
    of_candles = candles_chart(
        shown, rolling_vwap(shown, 20), seconds=60, forecast=STORED, gaps=[], view="one"
    )
    of_fan = fan_chart(STORED, shown.start, shown.close, None, "one")
    for figure in (of_candles, of_fan):
        [line], [label] = figure.layout.shapes, figure.layout.annotations
        assert line.x0 == line.x1 == label.x == np.datetime64(MADE.replace(tzinfo=None), "ms")
        assert label.text == "forecast"


def test_wide_fan_leaves_candles_their_shape() -> None:
    shown = candles()
    wide = replace(STORED, quantiles=STORED.spot + (STORED.quantiles - STORED.spot) * 50)
    figure = candles_chart(shown, rolling_vwap(shown, 20), seconds=60, forecast=wide, gaps=[], view="one")
    low, high = figure.layout.yaxis.range
    assert low < shown.low.min() < shown.high.max() < high
    assert (shown.high.max() - shown.low.min()) / (high - low) > 0.3


def test_candles_need_no_forecast() -> None:
    shown = candles()
    figure = candles_chart(shown, rolling_vwap(shown, 20), seconds=60, forecast=None, gaps=[], view="one")
    assert {trace.name for trace in figure.data} == {"Price", "VWAP", "Volume"}


def test_fan_is_shown_beside_what_came_and_the_scenario() -> None:
    shown = candles()
    figure = fan_chart(STORED, shown.start, shown.close, simulated(volatility=1.0), "one")
    found = traces(figure)
    assert found["actual"].y.tolist() == shown.close.tolist()
    assert len(found["median, scenario"].x) == len(found["median"].x) == 61
    assert {
        trace.name for trace in fan_chart(STORED, shown.start[:0], shown.close[:0], None, "one").data
    } == {
        "5 % to 95 %",
        "25 % to 75 %",
        "median",
    }


def test_paths_are_one_line_with_a_break_after_each() -> None:
    scenario = stored_scenario(PARAMETERS, STORED)
    paths = sample_paths(STORED, MODEL, scenario)
    shown = candles()
    figure = fan_chart(STORED, shown.start, shown.close, None, "one", paths=paths)
    line = traces(figure)["24 paths"]
    assert len(line.x) == len(line.y) == 24 * 61
    assert np.flatnonzero(np.isnan(line.y)).tolist() == list(range(60, 24 * 61, 61))
    assert line.y[:60].tolist() == paths.prices[0].tolist()


def test_distribution_shows_closed_form_over_histogram_and_the_outcome() -> None:
    ended = replace(STORED, actual=np.append(STORED.actual[:-1], 64_100.0))
    figure = distribution_chart(HISTOGRAM, MODEL, ended, None, "one")
    found = traces(figure)
    bars = found["simulated"]
    assert float((bars.y * bars.width).sum()) == pytest.approx(1.0)
    np.testing.assert_allclose(found["closed form"].y, MODEL.density(found["closed form"].x, 3600))
    assert [shape.x0 for shape in figure.layout.shapes] == [MODEL.spot, 64_100.0]


def test_pit_histogram_shows_every_forecast() -> None:
    assert sum(pit_chart(np.array([1, 2, 3, 4])).data[0].y) == 10
