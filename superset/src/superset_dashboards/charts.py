"""What follows from a chart's file: the chart of each asset class, and the query that its own API sends."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

Asset = dict[str, Any]
# Lines that can be told apart by their colors, and price charts that fit under each other.
CHARTED_TICKERS = 8
CHARTS_A_ROW = 4
PLACES = range(1, CHARTED_TICKERS + 1)
SHORTHANDS = ("sections", "most_traded", "each_ticker")


def place_in_sections(name: str, chart: Asset, tabs: Mapping[str, str]) -> dict[str, Asset]:
    """Return the charts that a file describes, by name: one, or one for each asset class of its `sections`.

    A section's chart shows its asset class only. Its entry in the file overrides the file's other keys. Its
    name begins with the title of its tab, from `tabs`, since names are unique in Superset.

    Of a file with `most_traded` the charts show the tickers with the greatest turnover only. A file with
    `each_ticker` is a chart for each of the first tickers of the filter, in rows under each other.
    """
    if chart.get("most_traded"):
        chart = _filtered(chart, "turnover_rank", "<=", CHARTED_TICKERS)
    if "sections" not in chart:
        return {name: _plain(chart)}
    shared = _plain(chart)
    charts: dict[str, Asset] = {}
    for section, overrides in chart["sections"].items():
        variant = _merge(shared, overrides)
        title = variant["slice_name"]
        variant["slice_name"] = f"{tabs[section]}: {title[0].lower()}{title[1:]}"
        variant["position"] = {"tab": section, "title": title, **variant["position"]}
        variant = _filtered(variant, "asset_class", "==", section)
        if chart.get("each_ticker"):
            charts |= {f"{section}_{name}_{place}": _at_place(variant, place) for place in PLACES}
        else:
            charts[f"{section}_{name}"] = variant
    return charts


def query_context(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query that Superset's browser code would send for a chart's `params`.

    Superset's own API asks for it when no browser does: a chart's data, a report, a thumbnail.
    """
    query: dict[str, Any] = {
        "filters": [
            {"col": condition["subject"], "op": condition["operator"], "val": condition["comparator"]}
            for condition in params["adhoc_filters"]
        ],
        "extras": {"having": "", "where": ""},
        "columns": _columns(params),
        "group_others_when_limit_reached": False,
        "order_desc": True,
    }
    for condition in query["filters"]:
        if condition["op"] == "TEMPORAL_RANGE":
            query["time_range"] = condition["val"]
    if not _is_raw(params):
        query["metrics"] = params["metrics"] if "metrics" in params else [params["metric"]]
    if "row_limit" in params:
        query["row_limit"] = params["row_limit"]
    if order := _order(params, query.get("metrics", [])):
        query["orderby"] = order
    if _is_time_series(params):
        query["series_columns"] = params["groupby"]
    post_processing = _post_processing(params, query.get("metrics", []))
    if post_processing is not None:
        query["post_processing"] = post_processing
    return {
        "datasource": {"id": 0, "type": "table"},  # the import enters the dataset's number
        "force": False,
        "result_format": "json",
        "result_type": "full",
        "queries": [query],
    }


def _is_raw(params: Mapping[str, Any]) -> bool:
    return params.get("query_mode") == "raw"


def _is_time_series(params: Mapping[str, Any]) -> bool:
    return str(params["viz_type"]).startswith("echarts_timeseries")


def _is_heatmap(params: Mapping[str, Any]) -> bool:
    return str(params["viz_type"]).startswith("heatmap")


def _columns(params: Mapping[str, Any]) -> list[Any]:
    if _is_raw(params):
        return list(params["all_columns"])
    grouped = params.get("groupby", [])
    columns: list[Any] = [grouped] if isinstance(grouped, str) else list(grouped)
    if x_axis := params.get("x_axis"):
        columns.insert(0, _time_column(x_axis))
    return columns


def _time_column(name: str) -> dict[str, Any]:
    return {
        "columnType": "BASE_AXIS",
        "sqlExpression": name,
        "label": name,
        "expressionType": "SQL",
        "isColumnReference": True,
    }


def _order(params: Mapping[str, Any], metrics: list[str]) -> list[Any]:
    if _is_raw(params):
        return [json.loads(column) for column in params["order_by_cols"]]
    if _is_heatmap(params):
        return [[_time_column(params["x_axis"]), True], [params["groupby"], False]]
    is_ordered = params["viz_type"] == "table" or _is_time_series(params)
    return [[params.get("timeseries_limit_metric", metrics[0]), False]] if is_ordered else []


def _post_processing(params: Mapping[str, Any], metrics: list[str]) -> list[Any] | None:
    """Return the steps from rows to one column per line; None for charts that have no such step."""
    if params["viz_type"] == "table":
        return []
    if _is_heatmap(params):
        return [{"operation": "rank", "options": {"metric": metrics[0]}}]
    if "x_axis" not in params:
        return None
    pivot = {
        "index": [params["x_axis"]],
        "columns": params.get("groupby", []),
        "aggregates": {metric: {"operator": "mean"} for metric in metrics},
        "drop_missing_columns": not params.get("show_empty_columns", False),
    }
    steps: list[Any] = [{"operation": "pivot", "options": pivot}]
    if _is_time_series(params) and len(metrics) == 1:
        # With one metric a line is named by its ticker only.
        rename = {"columns": {metrics[0]: None}, "level": 0, "inplace": True}
        steps.append({"operation": "rename", "options": rename})
    return [*steps, {"operation": "flatten"}]


def _plain(chart: Asset) -> Asset:
    return {key: value for key, value in chart.items() if key not in SHORTHANDS}


def _at_place(chart: Asset, place: int) -> Asset:
    row, column = divmod(place - 1, CHARTS_A_ROW)
    position, title = chart["position"], f"{chart['position']['title']} {place}"
    placed = {
        "slice_name": f"{chart['slice_name']} {place}",
        "uuid": str(uuid.uuid5(uuid.UUID(chart["uuid"]), str(place))),
        "position": position | {"row": position["row"] + row, "column": column + 1, "title": title},
    }
    return _filtered(chart | placed, "place", "==", place)


def _filtered(chart: Asset, column: str, operator: str, value: str | int) -> Asset:
    condition = {
        "clause": "WHERE",
        "subject": column,
        "operator": operator,
        "comparator": value,
        "expressionType": "SIMPLE",
    }
    filters = [*chart["params"].get("adhoc_filters", []), condition]
    return chart | {"params": chart["params"] | {"adhoc_filters": filters}}


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
