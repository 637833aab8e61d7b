"""Lines have the colors of their tickers."""

import json
from datetime import datetime

from common.colors import GAP, symbol_color
from superset_dashboards.colors import label_colors, with_colors
from superset_dashboards.partitions import Symbol


def known() -> list[Symbol]:
    return [Symbol("NEW", "stock", datetime(2026, 3, 4))]


def test_a_line_has_the_color_of_its_ticker_and_gaps_have_one() -> None:
    assert label_colors(["MSFT"]) == {
        "MSFT": symbol_color("MSFT"),
        "Close, MSFT": symbol_color("MSFT"),
        "Feed gap, MSFT": GAP,
    }


def test_a_dashboard_is_told_with_the_colors_of_later_tickers() -> None:
    metadata = json.dumps({"label_colors": {"MSFT": "#123456"}, "refresh_frequency": 10})
    answer = with_colors({"result": {"id": 1, "json_metadata": metadata}}, known)
    assert answer["result"]["id"] == 1
    assert json.loads(answer["result"]["json_metadata"]) == {
        "label_colors": {"MSFT": "#123456"} | label_colors(["NEW"]),
        "refresh_frequency": 10,
    }


def test_other_answers_stay_as_they_are() -> None:
    for answer in (None, [1], {"result": [{"json_metadata": "{}"}]}, {"result": {"json_metadata": None}}):
        assert with_colors(answer, known) == answer
