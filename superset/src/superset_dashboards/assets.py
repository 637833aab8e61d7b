"""The files in `assets/` as Superset imports them: what follows from something else is filled in here."""

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from common.instruments import instruments
from superset_dashboards.charts import Asset, place_in_sections, query_context
from superset_dashboards.colors import label_colors
from superset_dashboards.layout import dashboard_layout

ASSETS = Path(__file__).resolve().parents[2] / "assets"
VERSION = "1.0.0"  # of Superset's format
CHART = {"description": None, "cache_timeout": None, "version": VERSION}
DATASET = {
    "catalog": "cassandra",
    "schema": "market",
    "cache_timeout": None,
    "filter_select_enabled": True,
    "normalize_columns": False,
    "always_filter_main_dttm": False,
    "version": VERSION,
}
COLUMN = {"filterable": True, "is_active": True}
METRIC = {"description": None}
# Columns by which rows are grouped; those of other types are measured.
GROUPED_TYPES = ("VARCHAR", "BOOLEAN")


class _PlainDumper(yaml.SafeDumper):
    """Writes shared objects out: Superset's import changes the parts of one filter in place."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write an alias."""
        return True


def asset_files(variables: Mapping[str, str]) -> dict[str, str]:
    """Return Superset's import files, YAML by relative path; the database's address is from `variables`."""
    return {
        path: yaml.dump(asset, Dumper=_PlainDumper, allow_unicode=True, sort_keys=False)
        for path, asset in assets(variables).items()
    }


def assets(variables: Mapping[str, str]) -> dict[str, Asset]:
    """Return every asset of Superset by the relative path of its import file."""
    (dashboard_name, dashboard), *_ = _read("dashboards").items()
    (database_name, database), *_ = _read("databases").items()
    database["sqlalchemy_uri"] = Template(database["sqlalchemy_uri"]).substitute(variables)
    shared_params = yaml.safe_load((ASSETS / "chart_params.yaml").read_text())
    charts: dict[str, Asset] = {}
    for name, chart in _read("charts").items():
        chart["params"] = shared_params.get(chart["viz_type"], {}) | chart["params"]
        charts |= place_in_sections(name, chart, dashboard["tabs"])
    folders = {
        "charts": {name: _complete_chart(chart) for name, chart in charts.items()},
        "dashboards": {dashboard_name: _complete_dashboard(dashboard, charts)},
        "databases": {database_name: database},
        "datasets": {
            name: _complete_dataset(dataset, database["uuid"]) for name, dataset in _read("datasets").items()
        },
    }
    return {
        "metadata.yaml": yaml.safe_load((ASSETS / "metadata.yaml").read_text()),
        **{f"{kind}/{name}.yaml": asset for kind, files in folders.items() for name, asset in files.items()},
    }


def _read(kind: str) -> dict[str, Asset]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ASSETS / kind).glob("*.yaml"))}


def _complete_chart(chart: Asset) -> Asset:
    kept = {key: value for key, value in chart.items() if key != "position"}
    params = {"viz_type": chart["viz_type"], **chart["params"]}
    return CHART | kept | {"params": params, "query_context": json.dumps(query_context(params))}


def _complete_dashboard(dashboard: Asset, charts: Mapping[str, Asset]) -> Asset:
    kept = {key: value for key, value in dashboard.items() if key not in ("tabs", "notes")}
    position = dashboard_layout(dashboard["dashboard_title"], dashboard["tabs"], charts, dashboard["notes"])
    metadata = {**dashboard["metadata"], "label_colors": label_colors(instruments())}
    return {"description": None, "version": VERSION, **kept, "metadata": metadata, "position": position}


def _complete_dataset(dataset: Asset, database_uuid: str) -> Asset:
    columns = [
        COLUMN
        | {"is_dttm": column["type"] == "TIMESTAMP", "groupby": column["type"] in GROUPED_TYPES}
        | column
        for column in dataset["columns"]
    ]
    metrics: list[dict[str, Any]] = [METRIC | metric for metric in dataset["metrics"]]
    return DATASET | dataset | {"database_uuid": database_uuid, "columns": columns, "metrics": metrics}
