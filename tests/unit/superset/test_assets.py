"""The dashboards' files agree with each other and with the tables."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from common.settings import ROOT
from common.symbols import SYMBOLS_BUCKET

ASSETS = ROOT / "superset" / "assets"
IEX = "IEX only"


def files(kind: str) -> dict[str, dict[str, Any]]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ASSETS / kind).glob("*.yaml"))}


CHARTS, DATASETS, DASHBOARDS, DATABASES = map(files, ("charts", "datasets", "dashboards", "databases"))
DATASET_OF = {dataset["uuid"]: dataset for dataset in DATASETS.values()}


def partition_keys() -> dict[str, list[str]]:
    schema = "".join(path.read_text() for path in sorted((ROOT / "cassandra" / "schema").glob("*.cql")))
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) \(.*?PRIMARY KEY \(\((.*?)\)", schema, re.DOTALL)
    return {table: key.split(", ") for table, key in tables}


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
    found = [asset["uuid"] for kind in (CHARTS, DATASETS, DASHBOARDS, DATABASES) for asset in kind.values()]
    assert [str(uuid.UUID(one)) for one in found] == found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", DATASETS)
def test_every_read_pins_the_whole_partition_key(name: str) -> None:
    tables = list(reads(DATASETS[name]["sql"]))
    assert tables
    for table, conditions in tables:
        pinned = set(re.findall(r"(?:WHERE|AND) (\w+) (?:IN \{\{|= ')", conditions))
        assert set(partition_keys()[table]) <= pinned, f"{table} in {name}"


def test_the_symbols_are_read_from_the_bucket_that_holds_them() -> None:
    client = ROOT / "superset" / "src" / "superset_dashboards" / "presto.py"
    texts = [client.read_text(), *(dataset["sql"] for dataset in DATASETS.values())]
    buckets = [bucket for text in texts for bucket in re.findall(r"bucket = '(\w*)'", text)]
    assert set(buckets) == {SYMBOLS_BUCKET}


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
def test_query_contexts_agree_with_the_parameters(name: str) -> None:
    parameters, asked = CHARTS[name]["params"], query(CHARTS[name])
    assert parameters["viz_type"] == CHARTS[name]["viz_type"]
    raw = parameters.get("query_mode") == "raw"
    metrics = parameters["metrics"] if "metrics" in parameters else [parameters["metric"]]
    assert (asked.get("metrics") or []) == ([] if raw else metrics)
    dimensions = [*filter(None, [parameters.get("x_axis")]), *parameters.get("groupby", [])]
    assert list(map(label, asked["columns"])) == (parameters["all_columns"] if raw else dimensions)
    assert [(one["col"], one["op"], one["val"]) for one in asked["filters"]] == [
        (one["subject"], one["operator"], one["comparator"]) for one in parameters["adhoc_filters"]
    ]
    if "row_limit" in parameters:
        assert asked["row_limit"] == parameters["row_limit"]


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
    for section in ("stock", "crypto"):
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
