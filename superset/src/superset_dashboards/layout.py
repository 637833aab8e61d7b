"""The dashboard's layout, which follows from the position of each chart."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Part = dict[str, Any]
ABOVE_TABS = ("ROOT_ID", "GRID_ID")
TABS = "TABS-market"


class Tile(NamedTuple):
    """A chart or a note: its place (tab or None above the tabs, row and column from 1) and its part."""

    tab: str | None
    row: int
    column: int
    part: Part


def dashboard_layout(
    title: str, tabs: Mapping[str, str], charts: Mapping[str, Part], notes: Mapping[str, Part]
) -> Part:
    """Return the `position` of a dashboard: charts and notes at their positions, under the titles of `tabs`.

    A position has row and column (from 1), width (of 12) and height, and `tab` unless it is above the tabs.
    """
    tiles = [
        *(_tile("CHART", name, chart["position"], _chart_meta(chart)) for name, chart in charts.items()),
        *(_tile("MARKDOWN", name, note["position"], {"code": note["text"]}) for name, note in notes.items()),
    ]
    parts: list[Part] = [
        {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": title}},
    ]
    above = _rows("ROW", ABOVE_TABS, [tile for tile in tiles if tile.tab is None])
    tab_ids = {tab: f"TAB-{tab}" for tab in tabs}
    grid = [part["id"] for part in above if part["type"] == "ROW"]
    parts += [
        {"id": "GRID_ID", "type": "GRID", "children": [*grid, TABS], "parents": ["ROOT_ID"]},
        *above,
        _part(TABS, "TABS", tab_ids.values(), ABOVE_TABS, {}),
    ]
    for tab, tab_title in tabs.items():
        inside = (*ABOVE_TABS, TABS, tab_ids[tab])
        rows = _rows(f"ROW-{tab}", inside, [tile for tile in tiles if tile.tab == tab])
        row_ids = [part["id"] for part in rows if part["type"] == "ROW"]
        meta = {"text": tab_title, "defaultText": "Tab title", "placeholder": "Tab title"}
        parts += [_part(tab_ids[tab], "TAB", row_ids, inside[:-1], meta), *rows]
    return {"DASHBOARD_VERSION_KEY": "v2", **{part["id"]: part for part in parts}}


def _tile(kind: str, name: str, position: Part, meta: Part) -> Tile:
    size = {"width": position["width"], "height": position["height"]}
    part = _part(f"{kind}-{name}", kind, (), (), meta | size)
    return Tile(position.get("tab"), position["row"], position["column"], part)


def _chart_meta(chart: Part) -> Part:
    meta = {"uuid": chart["uuid"], "sliceName": chart["slice_name"], "chartId": 0}
    if "title" in chart["position"]:
        meta["sliceNameOverride"] = chart["position"]["title"]
    return meta


def _rows(prefix: str, parents: tuple[str, ...], tiles: list[Tile]) -> list[Part]:
    """Return the rows that hold `tiles`, each before its tiles."""
    parts = []
    for number in sorted({tile.row for tile in tiles}):
        row = f"{prefix}-{number}"
        members = sorted((tile for tile in tiles if tile.row == number), key=lambda tile: tile.column)
        background = {"background": "BACKGROUND_TRANSPARENT"}
        parts.append(_part(row, "ROW", (tile.part["id"] for tile in members), parents, background))
        parts += [tile.part | {"parents": [*parents, row]} for tile in members]
    return parts


def _part(name: str, kind: str, children: Iterable[str], parents: Iterable[str], meta: Part) -> Part:
    return {"id": name, "type": kind, "children": list(children), "parents": list(parents), "meta": meta}
