"""The Compare page as Streamlit draws it, from a store in memory."""

import json
from typing import Any

import pytest

from forecast_example import STORED
from page_example import NAME, ExampleStore, numbers, page, texts, traces
from streamlit_pages.store import StoreUnavailableError

OTHER = "BINANCE:ETHUSDT"


@pytest.fixture
def two(store: ExampleStore) -> ExampleStore:
    """Return a store with two symbols."""
    store.names = (NAME, OTHER)
    return store


@pytest.mark.usefixtures("two")
def test_changes_correlations_and_widths_are_side_by_side() -> None:
    app = page("compare")
    changes, _, widths = traces(app)
    assert changes == {NAME, OTHER}
    assert widths == {"50 % band", "90 % band"}
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    (heat_map,) = charts[1]["data"]
    assert heat_map["x"] == heat_map["y"] == [NAME, OTHER]
    low, high = STORED.quantiles[-1, 0], STORED.quantiles[-1, 4]
    wide = next(bar for bar in charts[2]["data"] if bar["name"] == "90 % band")
    assert numbers(wide["x"]) == pytest.approx([(high - low) / STORED.spot] * 2)


@pytest.mark.usefixtures("two")
def test_the_address_names_symbols_range_and_view() -> None:
    app = page("compare", symbols=OTHER, range="1 h", view="Candles")
    assert app.multiselect(key="symbols").value == [OTHER]
    assert traces(app)[0] == {OTHER}
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    assert [trace["type"] for trace in charts[0]["data"]] == ["candlestick"]


@pytest.mark.usefixtures("two")
def test_without_a_symbol_the_page_asks_for_one() -> None:
    app = page("compare")
    app = app.multiselect(key="symbols").set_value([]).run()
    assert not app.exception
    assert "Select the symbols to compare." in texts(app)


def test_a_symbol_without_trades_in_the_range_is_named(
    two: ExampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = two.bars

    def silent(symbol: str, *span: Any) -> Any:
        found = bars(symbol, *span)
        return found.select(found.close < 0) if symbol == OTHER else found

    monkeypatch.setattr(two, "bars", silent)
    app = page("compare")
    assert f"Without a trade in this range: {OTHER}." in texts(app)
    assert traces(app)[0] == {NAME}


def test_without_forecasts_the_widths_say_so(two: ExampleStore) -> None:
    two.parameters_rows = ()
    assert "There is no forecast of these symbols yet" in texts(page("compare"))


def test_an_unavailable_store_is_a_sentence(two: ExampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any) -> None:
        raise StoreUnavailableError("Cassandra does not answer.")

    monkeypatch.setattr(two, "bars", unavailable)
    assert "Cassandra does not answer. This page tries again every 15 seconds." in texts(page("compare"))


def test_before_the_first_trade_the_page_waits(store: ExampleStore) -> None:
    store.names = ()
    assert "No trades are stored yet." in texts(page("compare"))
