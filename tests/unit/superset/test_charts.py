"""What follows from a chart's file, against the queries that Superset's browser code sends."""

from typing import Any

import pytest

from superset_dashboards.charts import CHARTED_TICKERS, place_in_sections, query_context

LAST_HOUR = {"subject": "window_start", "operator": "TEMPORAL_RANGE", "comparator": "Last hour"}
STOCK = {"subject": "asset_class", "operator": "==", "comparator": "stock"}
TIME_COLUMN = {
    "columnType": "BASE_AXIS",
    "sqlExpression": "window_start",
    "label": "window_start",
    "expressionType": "SQL",
    "isColumnReference": True,
}
EVERY_QUERY = {
    "extras": {"having": "", "where": ""},
    "group_others_when_limit_reached": False,
    "order_desc": True,
}
LINES = {
    "viz_type": "echarts_timeseries_line",
    "adhoc_filters": [LAST_HOUR, STOCK],
    "x_axis": "window_start",
    "groupby": ["symbol"],
    "metrics": ["Close", "VWAP"],
    "row_limit": 10_000,
    "show_empty_columns": True,
}
TABLE = {"viz_type": "table", "adhoc_filters": [], "all_columns": [], "groupby": [], "row_limit": 100}


def query(params: dict[str, Any]) -> dict[str, Any]:
    context = query_context(params)
    assert context["datasource"] == {"id": 0, "type": "table"}
    assert (context["force"], context["result_format"], context["result_type"]) == (False, "json", "full")
    (only,) = context["queries"]
    assert {key: only.pop(key) for key in EVERY_QUERY} == EVERY_QUERY
    return only


def pivot(columns: list[str], *metrics: str, drop_missing: bool = False) -> dict[str, Any]:
    options = {
        "index": ["window_start"],
        "columns": columns,
        "aggregates": {metric: {"operator": "mean"} for metric in metrics},
        "drop_missing_columns": drop_missing,
    }
    return {"operation": "pivot", "options": options}


def test_lines_are_pivoted_to_a_column_for_each_metric_and_ticker() -> None:
    assert query(LINES) == {
        "time_range": "Last hour",
        "filters": [
            {"col": "window_start", "op": "TEMPORAL_RANGE", "val": "Last hour"},
            {"col": "asset_class", "op": "==", "val": "stock"},
        ],
        "columns": [TIME_COLUMN, "symbol"],
        "metrics": ["Close", "VWAP"],
        "orderby": [["Close", False]],
        "row_limit": 10_000,
        "series_columns": ["symbol"],
        "post_processing": [pivot(["symbol"], "Close", "VWAP"), {"operation": "flatten"}],
    }


def test_lines_of_one_metric_are_named_by_the_ticker() -> None:
    assert query(LINES | {"metrics": ["Volume"]})["post_processing"] == [
        pivot(["symbol"], "Volume"),
        {"operation": "rename", "options": {"columns": {"Volume": None}, "level": 0, "inplace": True}},
        {"operation": "flatten"},
    ]


def test_a_big_number_with_its_trend_sums_over_all_tickers() -> None:
    params = {"viz_type": "big_number", "adhoc_filters": [LAST_HOUR], "x_axis": "window_start"}
    assert query(params | {"metric": "Trades"}) == {
        "time_range": "Last hour",
        "filters": [{"col": "window_start", "op": "TEMPORAL_RANGE", "val": "Last hour"}],
        "columns": [TIME_COLUMN],
        "metrics": ["Trades"],
        "post_processing": [pivot([], "Trades", drop_missing=True), {"operation": "flatten"}],
    }


def test_a_big_number_without_a_trend_is_one_metric() -> None:
    params = {"viz_type": "big_number_total", "adhoc_filters": [STOCK], "metric": "Tickers"}
    assert query(params) == {
        "filters": [{"col": "asset_class", "op": "==", "val": "stock"}],
        "columns": [],
        "metrics": ["Tickers"],
    }


def test_a_table_of_rows_is_ordered_by_its_columns() -> None:
    order = ['["at", false]', '["session", true]']
    params = TABLE | {
        "query_mode": "raw",
        "all_columns": ["at", "kind"],
        "order_by_cols": order,
        "metrics": [],
    }
    assert query(params) == {
        "filters": [],
        "columns": ["at", "kind"],
        "orderby": [["at", False], ["session", True]],
        "row_limit": 100,
        "post_processing": [],
    }


def test_a_table_of_groups_is_ordered_by_its_first_metric() -> None:
    params = TABLE | {"query_mode": "aggregate", "groupby": ["symbol"], "metrics": ["Change", "High"]}
    assert query(params) == {
        "filters": [],
        "columns": ["symbol"],
        "metrics": ["Change", "High"],
        "orderby": [["Change", False]],
        "row_limit": 100,
        "post_processing": [],
    }


def test_a_template_has_rows_without_an_order() -> None:
    params = {"viz_type": "handlebars", "adhoc_filters": [], "query_mode": "raw", "all_columns": ["demo"]}
    assert query(params | {"order_by_cols": [], "groupby": [], "metrics": [], "row_limit": 1}) == {
        "filters": [],
        "columns": ["demo"],
        "row_limit": 1,
    }


CHART = {
    "slice_name": "VWAP of all",
    "description": "Shared",
    "position": {"row": 1, "column": 2, "width": 3, "height": 20},
    "params": {"adhoc_filters": [LAST_HOUR], "subtitle": "shared", "metric": "VWAP"},
    "sections": {
        "stock": {"uuid": "1"},
        "crypto": {
            "uuid": "2",
            "description": None,
            "position": {"column": 4},
            "params": {"subtitle": "own"},
        },
    },
}


def test_a_chart_without_sections_stays_as_it_is() -> None:
    chart = {"slice_name": "Feed events", "params": {"adhoc_filters": []}}
    assert place_in_sections("feed_events", chart, {}) == {"feed_events": chart}


def test_a_chart_of_two_sections_is_two_charts() -> None:
    charts = place_in_sections("vwap", CHART, {"stock": "Stocks", "crypto": "Crypto"})
    assert list(charts) == ["stock_vwap", "crypto_vwap"]
    stock, crypto = charts.values()
    assert (stock["slice_name"], crypto["slice_name"]) == ("Stocks: vWAP of all", "Crypto: vWAP of all")
    assert (stock["uuid"], crypto["uuid"]) == ("1", "2")
    assert (stock["description"], crypto["description"]) == ("Shared", None)
    for section, chart in zip(("stock", "crypto"), (stock, crypto), strict=True):
        own = {"clause": "WHERE", "expressionType": "SIMPLE", "subject": "asset_class", "operator": "=="}
        assert chart["params"]["adhoc_filters"] == [LAST_HOUR, own | {"comparator": section}]
        assert (chart["position"]["tab"], chart["position"]["title"]) == (section, "VWAP of all")
        assert "sections" not in chart
    assert (stock["position"]["column"], crypto["position"]["column"]) == (2, 4)
    assert stock["position"]["height"] == crypto["position"]["height"] == 20
    assert (stock["params"]["subtitle"], crypto["params"]["subtitle"]) == ("shared", "own")
    assert stock["params"]["metric"] == crypto["params"]["metric"] == "VWAP"


def test_a_file_is_not_changed_by_its_sections() -> None:
    before = repr(CHART)
    place_in_sections("vwap", CHART, {"stock": "Stocks", "crypto": "Crypto"})
    assert repr(CHART) == before


def test_a_section_needs_a_tab() -> None:
    with pytest.raises(KeyError):
        place_in_sections("vwap", CHART, {"stock": "Stocks"})


def test_a_chart_of_the_most_traded_asks_for_them_only() -> None:
    charts = place_in_sections("vwap", CHART | {"most_traded": True}, {"stock": "Stocks", "crypto": "Crypto"})
    ranked = {"col": "turnover_rank", "op": "<=", "val": CHARTED_TICKERS}
    for chart in charts.values():
        params = chart["params"] | {"viz_type": "big_number_total"}
        assert ranked in query(params)["filters"]
        assert "most_traded" not in chart


def test_a_chart_for_each_ticker_is_one_for_each_place_in_the_filter() -> None:
    sections = {"stock": {"uuid": "29af923c-0065-51fb-ad14-19dc33c49d8a"}}
    charts = place_in_sections(
        "price", CHART | {"each_ticker": True, "sections": sections}, {"stock": "Stocks"}
    )
    assert list(charts) == [f"stock_price_{place}" for place in range(1, 9)]
    assert len({chart["uuid"] for chart in charts.values()}) == len(charts)
    places = [(chart["position"]["row"], chart["position"]["column"]) for chart in charts.values()]
    assert places == [(row, column) for row in (1, 2) for column in (1, 2, 3, 4)]
    for place, chart in enumerate(charts.values(), start=1):
        assert chart["slice_name"] == f"Stocks: vWAP of all {place}"
        params = chart["params"] | {"viz_type": "big_number_total"}
        assert {"col": "place", "op": "==", "val": place} in query(params)["filters"]


def test_a_heat_map_has_a_row_for_each_ticker_and_ranks_its_cells() -> None:
    params = {"viz_type": "heatmap_v2", "adhoc_filters": [], "x_axis": "window_start", "groupby": "symbol"}
    assert query(params | {"metric": "Change", "row_limit": 50_000}) == {
        "filters": [],
        "columns": [TIME_COLUMN, "symbol"],
        "metrics": ["Change"],
        "orderby": [[TIME_COLUMN, True], ["symbol", False]],
        "row_limit": 50_000,
        "post_processing": [{"operation": "rank", "options": {"metric": "Change"}}],
    }


def test_a_table_may_be_ordered_by_another_metric() -> None:
    params = TABLE | {"groupby": ["symbol"], "metrics": ["Change"], "timeseries_limit_metric": "Trades"}
    assert query(params)["orderby"] == [["Trades", False]]
