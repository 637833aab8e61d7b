"""Superset's import files agree with each other, with the tables and with the definitions in `common`."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from common.bars import BAR_SECONDS, RUNNING_AVERAGE_SECONDS
from common.identity import Source
from common.symbols import SYMBOLS_BUCKET, AssetClass
from cql import read_tables
from superset_dashboards.assets import asset_files
from superset_dashboards.partitions import functions

IEX = "IEX only"
TABLES = read_tables()
FILES = asset_files({"PRESTO_HOST": "presto.test", "PRESTO_PORT": "18080"})


def files(kind: str) -> dict[str, dict[str, Any]]:
    return {
        path.removeprefix(f"{kind}/").removesuffix(".yaml"): yaml.safe_load(text)
        for path, text in FILES.items()
        if path.startswith(f"{kind}/")
    }


CHARTS, DATASETS, DASHBOARDS, DATABASES = map(files, ("charts", "datasets", "dashboards", "databases"))
DATASET_OF = {dataset["uuid"]: dataset for dataset in DATASETS.values()}


def partition_keys() -> dict[str, list[str]]:
    keys = {name: re.match(r"\(\((.*?)\)|\((\w+)", table.key) for name, table in TABLES.items()}
    return {name: (key[1] or key[2]).split(", ") for name, key in keys.items() if key}


def columns_of_tables() -> set[str]:
    return {column for table in TABLES.values() for column in table.columns}


def reads(sql: str) -> Iterator[tuple[str, str]]:
    """Yield each Cassandra table that the SQL reads, with the conditions of that read."""
    for found in re.finditer(
        r"\b(?:FROM|JOIN)\s+(\w+)(.*?)(?=\n *(?:GROUP|ORDER|HAVING|UNION|\))|\Z)", sql, re.DOTALL
    ):
        if found[1] in partition_keys():
            yield found[1], found[2]


def query(chart: dict[str, Any]) -> dict[str, Any]:
    (only,) = json.loads(chart["query_context"])["queries"]
    return only


def label(column: str | dict[str, Any]) -> str:
    return column if isinstance(column, str) else column["label"]


def test_every_kind_of_file_was_found() -> None:
    assert all((CHARTS, DATASETS, DASHBOARDS, DATABASES))


def test_uuids_are_valid_and_unique() -> None:
    uuids = [asset["uuid"] for kind in (CHARTS, DATASETS, DASHBOARDS, DATABASES) for asset in kind.values()]
    assert [str(uuid.UUID(text)) for text in uuids] == uuids
    assert len(set(uuids)) == len(uuids)


@pytest.mark.parametrize("name", DATASETS)
def test_every_read_pins_the_whole_partition_key(name: str) -> None:
    tables = list(reads(DATASETS[name]["sql"]))
    assert tables
    for table, conditions in tables:
        pinned = set(re.findall(r"(?:WHERE|AND) (\w+) (?:IN \{\{|= ')", conditions))
        assert set(partition_keys()[table]) <= pinned, f"{table} in {name}"


def test_the_symbols_are_read_from_the_bucket_that_holds_them() -> None:
    texts = [dataset["sql"] for dataset in DATASETS.values()]
    buckets = [bucket for text in texts for bucket in re.findall(r"bucket = '(\w*)'", text)]
    assert set(buckets) == {SYMBOLS_BUCKET}


@pytest.mark.parametrize("name", DATASETS)
def test_the_sql_asks_only_for_functions_that_there_are(name: str) -> None:
    environment = Environment(undefined=StrictUndefined)
    environment.globals |= functions(lambda: [])
    assert "{{" not in environment.from_string(DATASETS[name]["sql"]).render()


@pytest.mark.parametrize("name", DATASETS)
def test_the_sql_names_only_columns_that_tables_have(name: str) -> None:
    sql = re.sub(r"\{\{.*?\}\}|'[^']*'", " ", DATASETS[name]["sql"], flags=re.DOTALL)
    words = set(re.findall(r"\b[a-z]\w*\b(?!\()", sql))
    defined = set(re.findall(r"\bAS ([a-z]\w*)|\b([a-z]\w*) AS \(", sql))
    aliases = {word for pair in defined for word in pair}
    read = words - aliases - partition_keys().keys() - {"double", "integer", "array", "varchar", "timestamp"}
    assert read, name
    assert read <= columns_of_tables(), name


@pytest.mark.parametrize("name", DATASETS)
def test_the_sql_selects_the_columns_of_the_dataset(name: str) -> None:
    words = set(re.findall(r"\b[a-z]\w*\b", DATASETS[name]["sql"]))
    assert {column["column_name"] for column in DATASETS[name]["columns"]} <= words


def test_the_asset_class_is_computed_by_its_one_definition() -> None:
    expression = "{{ asset_class() }} AS asset_class"
    computed = [name for name, dataset in DATASETS.items() if expression in dataset["sql"]]
    assert set(computed) == {
        "bars",
        "forecast_parameters",
        "forecast_scores",
        "prices",
        "receipt_delays",
        "running_averages",
        "trades",
    }
    for name, dataset in DATASETS.items():
        literals = set(re.findall(r"'(\w+)'", dataset["sql"]))
        assert not literals & set(get_args(AssetClass)), name


def test_the_provenance_knows_every_source() -> None:
    assert set(re.findall(r"source = '(\w+)'", DATASETS["provenance"]["sql"])) == set(get_args(Source))


def test_the_tables_of_bars_and_averages_have_the_lengths_of_their_names() -> None:
    sql = " ".join(dataset["sql"] for dataset in DATASETS.values())
    assert set(re.findall(r"\bbars_\w+", sql)) == {f"bars_{BAR_SECONDS}s"}
    assert set(re.findall(r"\brunning_averages_\w+", sql)) == {f"running_averages_{RUNNING_AVERAGE_SECONDS}s"}


def test_the_database_is_the_presto_of_the_settings() -> None:
    (database,) = DATABASES.values()
    assert database["sqlalchemy_uri"] == "presto://superset@presto.test:18080/cassandra/market"


def test_import_files_hold_no_aliases() -> None:
    assert [path for path, text in FILES.items() if re.search(r"[:-] [&*]\w", text)] == []


def test_charts_that_share_a_file_differ_in_uuid_and_asset_class_only() -> None:
    stock, crypto = CHARTS["stock_trades"], CHARTS["crypto_trades"]
    own = ("uuid", "slice_name", "query_context")
    assert {key: value for key, value in stock.items() if key not in (*own, "params")} == {
        key: value for key, value in crypto.items() if key not in (*own, "params")
    }
    assert stock["params"].keys() == crypto["params"].keys()
    assert stock["query_context"].replace('"stock"', '"crypto"') == crypto["query_context"]


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_belong_to_the_database(name: str) -> None:
    (database,) = DATABASES.values()
    assert DATASETS[name]["database_uuid"] == database["uuid"]
    columns = {column["column_name"] for column in DATASETS[name]["columns"]}
    assert DATASETS[name]["main_dttm_col"] in columns | {None}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_ask_for_what_their_dataset_has(name: str) -> None:
    dataset = DATASET_OF[CHARTS[name]["dataset_uuid"]]
    columns = {column["column_name"] for column in dataset["columns"]}
    metrics = {metric["metric_name"] for metric in dataset["metrics"]}
    asked = query(CHARTS[name])
    assert set(map(label, asked["columns"])) <= columns
    assert set(asked.get("metrics") or []) <= metrics
    assert {condition["col"] for condition in asked["filters"]} <= columns


@pytest.mark.parametrize("name", CHARTS)
def test_charts_have_what_the_import_demands(name: str) -> None:
    chart = CHARTS[name]
    assert chart["params"]["viz_type"] == chart["viz_type"]
    assert chart["version"] == "1.0.0"
    assert "position" not in chart
    assert "sections" not in chart


def test_columns_of_times_can_be_ranges_and_columns_of_text_can_be_groups() -> None:
    columns = {column["column_name"]: column for column in DATASETS["trades"]["columns"]}
    assert columns["trade_timestamp"]["is_dttm"]
    assert not columns["trade_timestamp"]["groupby"]
    assert columns["symbol"]["groupby"]
    assert not columns["symbol"]["is_dttm"]
    assert not columns["price"]["groupby"]
    assert all(column["filterable"] and column["is_active"] for column in columns.values())
    explicit = {column["column_name"]: column for column in DATASETS["provenance"]["columns"]}
    assert explicit["gaps"]["groupby"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_reference_of_a_dashboard_resolves(name: str) -> None:
    position, metadata = DASHBOARDS[name]["position"], DASHBOARDS[name]["metadata"]
    parts = {key: part for key, part in position.items() if isinstance(part, dict)}
    assert all(child in parts for part in parts.values() for child in part.get("children", []))
    shown = {
        part["meta"]["uuid"]: part["meta"]["sliceName"] for part in parts.values() if part["type"] == "CHART"
    }
    assert shown == {chart["uuid"]: chart["slice_name"] for chart in CHARTS.values()}
    for chosen in metadata["native_filter_configuration"]:
        assert set(chosen["scope"]["rootPath"]) <= parts.keys()
        for target in filter(None, chosen["targets"]):
            columns = {column["column_name"] for column in DATASET_OF[target["datasetUuid"]]["columns"]}
            assert target["column"]["name"] in columns


def test_stocks_and_crypto_have_sections_with_filters_of_their_own() -> None:
    (dashboard,) = DASHBOARDS.values()
    filters = dashboard["metadata"]["native_filter_configuration"]
    scopes = {tuple(one["scope"]["rootPath"]) for one in filters if one["filterType"] == "filter_select"}
    assert {("TAB-stock",), ("TAB-crypto",)} <= scopes
    for section in get_args(AssetClass):
        placed = {
            part["meta"]["uuid"]
            for part in dashboard["position"].values()
            if isinstance(part, dict) and part["type"] == "CHART" and f"TAB-{section}" in part["parents"]
        }
        charts = [chart for chart in CHARTS.values() if chart["uuid"] in placed]
        assert len(charts) >= 8
        for chart in charts:
            assert {"col": "asset_class", "op": "==", "val": section} in query(chart)["filters"]


def test_volume_and_vwap_of_stocks_say_that_they_are_of_one_exchange() -> None:
    partial = {"Volume", "VWAP", "Traded value"}
    for name, chart in CHARTS.items():
        if name.startswith("stock_") and partial & set(query(chart).get("metrics") or []):
            assert IEX in chart["description"], name


def test_the_page_refreshes_by_itself() -> None:
    (dashboard,) = DASHBOARDS.values()
    assert 5 <= dashboard["metadata"]["refresh_frequency"] <= 10
