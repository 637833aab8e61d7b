"""The colors of the lines: those of their tickers, also of tickers that came after the import."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from common.colors import GAP, symbol_color
from superset_dashboards.partitions import Symbol

PRICE, FEED_GAP = "Close", "Feed gap"
DASHBOARDS = "/api/v1/dashboard/"


def label_colors(symbols: Iterable[str]) -> dict[str, str]:
    """Return the colors by the names of lines: of the ticker, or of a metric and the ticker."""
    return {
        label: color
        for symbol in symbols
        for label, color in (
            (symbol, symbol_color(symbol)),
            (f"{PRICE}, {symbol}", symbol_color(symbol)),
            (f"{FEED_GAP}, {symbol}", GAP),
        )
    }


def with_colors(answer: Any, known_symbols: Callable[[], list[Symbol]]) -> Any:
    """Return what Superset's API says of a dashboard with the colors of all known symbols."""
    dashboard = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(dashboard, dict) or not dashboard.get("json_metadata"):
        return answer
    metadata = json.loads(dashboard["json_metadata"])
    metadata["label_colors"] = metadata.get("label_colors", {}) | label_colors(
        symbol.name for symbol in known_symbols()
    )
    return {**answer, "result": {**dashboard, "json_metadata": json.dumps(metadata)}}
