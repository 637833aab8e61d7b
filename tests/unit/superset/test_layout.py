"""The dashboard's layout follows from the positions of its charts and notes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from superset_dashboards.layout import dashboard_layout

TABS = {"stock": "Stocks", "feed": "Feed"}
positions = st.fixed_dictionaries(
    {
        "tab": st.sampled_from([*TABS, None]),
        "row": st.integers(1, 4),
        "column": st.integers(1, 4),
        "width": st.integers(1, 12),
        "height": st.integers(8, 60),
    }
)


def chart(position: dict[str, Any], name: str = "Trades") -> dict[str, Any]:
    return {"uuid": f"uuid of {name}", "slice_name": f"Stocks: {name}", "position": position}


def path(layout: dict[str, Any], name: str) -> list[str]:
    """Return the parts from the root to a part, by walking down."""
    for part in layout.values():
        if isinstance(part, dict) and name in part.get("children", []):
            return [*path(layout, part["id"]), part["id"]]
    return []


@given(st.dictionaries(st.sampled_from("abcdefgh"), positions))
def test_every_chart_is_shown_once_in_its_tab_and_row(placed: dict[str, dict[str, Any]]) -> None:
    layout = dashboard_layout("Market", TABS, {name: chart(at, name) for name, at in placed.items()}, {})
    parts = [part for part in layout.values() if isinstance(part, dict)]
    assert all(layout[part["id"]] is part for part in parts)
    shown = [child for part in parts for child in part.get("children", []) if child.startswith("CHART-")]
    assert sorted(shown) == sorted(f"CHART-{name}" for name in placed)
    for part in parts:
        assert part.get("parents", path(layout, part["id"])) == path(layout, part["id"])
        children = [layout[child] for child in part.get("children", [])]
        if part["type"] == "ROW":
            where = [placed[child["id"].removeprefix("CHART-")] for child in children]
            assert len({(at["tab"], at["row"]) for at in where}) == 1
            assert [at["column"] for at in where] == sorted(at["column"] for at in where)
        else:
            rows = [int(child["id"].rpartition("-")[2]) for child in children if child["type"] == "ROW"]
            assert rows == sorted(rows)
    for name, at in placed.items():
        expected = f"TAB-{at['tab']}" if at["tab"] else "GRID_ID"
        assert path(layout, f"CHART-{name}")[-2] == expected


def test_a_new_chart_needs_no_other_change() -> None:
    at = {"tab": "feed", "row": 1, "column": 1, "width": 8, "height": 60}
    before = dashboard_layout("Market", TABS, {"a": chart(at)}, {})
    below = {"b": chart(at | {"row": 2}, "new")}
    after = dashboard_layout("Market", TABS, {"a": chart(at)} | below, {})
    assert after.keys() - before.keys() == {"CHART-b", "ROW-feed-2"}
    assert after["TAB-feed"]["children"] == ["ROW-feed-1", "ROW-feed-2"]


def test_parts_say_what_is_shown() -> None:
    at = {"tab": "stock", "title": "Trades", "row": 1, "column": 1, "width": 3, "height": 20}
    note = {"position": at | {"column": 2, "width": 4}, "text": "**A note**"}
    other = chart({"row": 1, "column": 1, "width": 12, "height": 8}, "source")
    layout = dashboard_layout("Market", TABS, {"trades": chart(at), "source": other}, {"method": note})
    assert layout["DASHBOARD_VERSION_KEY"] == "v2"
    assert layout["HEADER_ID"] == {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": "Market"}}
    assert layout["GRID_ID"]["children"] == ["ROW-1", "TABS-market"]
    assert layout["TABS-market"]["children"] == ["TAB-stock", "TAB-feed"]
    assert layout["TAB-feed"]["meta"]["text"] == "Feed"
    assert layout["CHART-trades"]["meta"] == {
        "uuid": "uuid of Trades",
        "sliceName": "Stocks: Trades",
        "sliceNameOverride": "Trades",
        "chartId": 0,
        "width": 3,
        "height": 20,
    }
    assert "sliceNameOverride" not in layout["CHART-source"]["meta"]
    assert layout["MARKDOWN-method"]["meta"] == {"code": "**A note**", "width": 4, "height": 20}
    assert layout["MARKDOWN-method"]["type"] == "MARKDOWN"
