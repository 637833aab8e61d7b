"""The schema's tables against the contract that others rely on, and against their documentation."""

import re

import pytest

from common.bars import BAR_SECONDS, RUNNING_AVERAGE_SECONDS
from common.settings import ROOT
from cql import Table, read_tables

TABLES = read_tables()
# What tools outside of the project rely on: more columns may come, these stay.
CONTRACT = {
    "symbols": Table(
        "((bucket), symbol)",
        {
            "bucket": "text",
            "symbol": "text",
            "asset_class": "text",
            "source": "text",
            "calendar": "text",
            "first_seen": "timestamp",
            "last_seen": "timestamp",
        },
    ),
    "trades": Table(
        "((symbol, hour), trade_timestamp, trade_id)",
        {
            "symbol": "text",
            "hour": "timestamp",
            "trade_timestamp": "timestamp",
            "trade_id": "text",
            "price": "double",
            "volume": "double",
            "trade_conditions": "frozen<list<text>>",
            "ingest_timestamp": "timestamp",
            "type": "text",
        },
    ),
    "bars_5s": Table(
        "((symbol, day), window_start)",
        {
            "symbol": "text",
            "day": "date",
            "window_start": "timestamp",
            **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), "double"),
            "trade_count": "bigint",
        },
    ),
    "running_averages_15s": Table(
        "((symbol, day), window_start)",
        {
            "symbol": "text",
            "day": "date",
            "window_start": "timestamp",
            **dict.fromkeys(("average_price", "vwap", "price_volume"), "double"),
            "trade_count": "bigint",
        },
    ),
    "gbm_forecasts": Table(
        "((symbol, day), forecast_time, target_time)",
        {
            "symbol": "text",
            "day": "date",
            "forecast_time": "timestamp",
            "target_time": "timestamp",
            **dict.fromkeys(("spot", "p05", "p25", "p50", "p75", "p95", "mean", "actual"), "double"),
            "paths": "bigint",
            "horizon_seconds": "double",
        },
    ),
    "gbm_parameters": Table(
        "((symbol, day), forecast_time)",
        {
            "symbol": "text",
            "day": "date",
            "forecast_time": "timestamp",
            "status": "text",
            "reason": "text",
            **dict.fromkeys(("drift", "drift_estimate", "drift_stderr"), "double"),
            **dict.fromkeys(("volatility", "volatility_stderr", "seconds_per_year"), "double"),
            "sample_start": "timestamp",
            "sample_end": "timestamp",
            "observations": "bigint",
            "seed": "bigint",
            **dict.fromkeys(("prob_up", "var_95", "es_95", "var_99", "es_99"), "double"),
            "model": "text",
            "degrees_of_freedom": "double",
            "scale": "double",
            "outcomes": "bigint",
        },
    ),
    "gbm_distributions": Table(
        "((symbol, day), forecast_time, bin)",
        {
            "symbol": "text",
            "day": "date",
            "forecast_time": "timestamp",
            "bin": "int",
            "low": "double",
            "high": "double",
            "count": "bigint",
            "density": "double",
        },
    ),
    "gbm_scores": Table(
        "((symbol, day), forecast_time)",
        {
            "symbol": "text",
            "day": "date",
            "forecast_time": "timestamp",
            "crps": "double",
            "pit": "double",
            "inside_50": "boolean",
            "inside_90": "boolean",
            "absolute_error": "double",
            "naive_absolute_error": "double",
        },
    ),
    "feed_events": Table(
        "((day), at, session)",
        {
            "day": "date",
            "at": "timestamp",
            "session": "text",
            "kind": "text",
            "detail": "text",
            "gap_seconds": "double",
        },
    ),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_table_has_the_columns_of_the_contract(name: str) -> None:
    assert TABLES[name].key == CONTRACT[name].key
    assert TABLES[name].columns.items() >= CONTRACT[name].columns.items()


def test_the_names_of_tables_say_the_length_of_their_windows() -> None:
    assert {f"bars_{BAR_SECONDS}s", f"running_averages_{RUNNING_AVERAGE_SECONDS}s"} <= TABLES.keys()


def documented() -> dict[str, Table]:
    """Return the tables that docs/tables.md describes; fail at a row without a unit or a meaning."""
    tables = {}
    for section in (ROOT / "docs" / "tables.md").read_text().split("\n## ")[1:]:
        [key] = re.findall(r"^Primary key: `(.*)`$", section, re.MULTILINE)
        columns = re.findall(r"^\| `(\w+)` \| `([\w<>]+)` \| \S.* \| \S.* \|$", section, re.MULTILINE)
        assert len(columns) == section.count("\n| `"), f"a row of {section.partition(chr(10))[0]}"
        tables[section.partition("\n")[0]] = Table(key, dict(columns))
    return tables


def test_every_column_is_documented_with_its_type() -> None:
    found = documented()
    assert found == TABLES
    assert {name: list(table.columns) for name, table in found.items()} == {
        name: list(TABLES[name].columns) for name in found
    }
