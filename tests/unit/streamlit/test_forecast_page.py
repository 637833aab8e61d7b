"""The Forecast page as Streamlit draws it, from a store in memory."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from forecast_example import MADE, MODEL, PARAMETERS, STORED
from page_example import NAME, ExampleStore, metrics, page, texts, traces
from streamlit_pages import cached_queries
from streamlit_pages.sections import forecast, header, live, scenario, track_record
from streamlit_pages.store import Gap, Score, StoreUnavailableError, to_datetime64


@pytest.mark.usefixtures("store")
def test_the_page_shows_price_forecast_and_where_data_is_from() -> None:
    app = page()
    shown = texts(app)
    for text in ("DEMO DATA", "All times UTC", "Not investment advice", "Forecast and actual price"):
        assert text in shown
    assert metrics(app)["Last price"] == "64,000.00"
    assert metrics(app)["VWAP"] == "64,000.00"
    candles, fan, distribution, effects = traces(app)
    assert {"Price", "VWAP", "Volume", "median"} <= candles
    assert fan == {"5 % to 95 %", "25 % to 75 %", "median", "actual"}
    assert distribution == {"simulated", "closed form"}
    assert effects == {"-20%", "as it is", "+20%"}


@pytest.mark.usefixtures("store")
def test_a_preset_adds_a_scenario() -> None:
    app = page()
    calm = next(button for button in app.button if button.label == "Calm")
    app = calm.click().run()
    assert {"median, scenario", "5 % to 95 %, scenario"} <= traces(app)[1]
    assert {"simulated, scenario", "closed form, scenario"} <= traces(app)[2]


@pytest.mark.usefixtures("store")
def test_sample_paths_are_shown_on_request_of_the_forecast_and_of_a_scenario() -> None:
    app = page()
    assert "24 paths" not in traces(app)[1]
    app = app.toggle[0].set_value(True).run()
    assert traces(app)[1] == {"5 % to 95 %", "25 % to 75 %", "median", "actual", "24 paths"}
    app = next(button for button in app.button if button.label == "Crash").click().run()
    assert {"median, scenario", "24 paths"} <= traces(app)[1]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", ["drift", "volatility", "horizon", "paths", "seed"])
def test_each_parameter_makes_a_scenario(name: str) -> None:
    app = page()
    key = f"{name} {NAME} {MADE.isoformat()}"
    if name == "seed":
        app.number_input(key=key).set_value(8)
    elif name in ("horizon", "paths"):
        control = app.select_slider(key=key)
        control.set_value({"horizon": 900.0, "paths": 1_000}[name])
    else:
        control = app.slider(key=key)
        control.set_value(control.value + control.step)
    assert "median, scenario" in traces(app.run())[1]
    as_forecast = next(button for button in app.button if button.label == "As forecast")
    assert "median, scenario" not in traces(as_forecast.click().run())[1]


@pytest.mark.usefixtures("store")
def test_a_target_price_divides_the_probability() -> None:
    app = page()
    target = app.number_input(key=f"target {NAME} {MADE.isoformat()}")
    app = target.set_value(MODEL.quantile(0.25, STORED.horizon)).run()
    risks = next(table.value for table in app.table if "above target" in table.value.to_string())
    below = next(row for row in risks.to_string().splitlines() if "below target" in row)
    assert float(below.split()[-2]) == pytest.approx(25, abs=1.5)


@pytest.mark.usefixtures("store")
def test_the_forecast_can_be_downloaded_and_candles_have_the_length_that_is_asked_for() -> None:
    app = page(interval="5 min")
    [download] = app.get("download_button")
    assert download.proto.label == "Download as CSV"
    assert len(_candles(app)) == len(_candles(page(interval="1 min"))) / 5


def _candles(app: AppTest) -> list[str]:
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    return next(trace["x"] for trace in chart["data"] if trace["type"] == "candlestick")


def test_without_a_price_in_the_window_the_page_says_so(
    store: ExampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = store.bars(NAME, MADE, MADE)
    monkeypatch.setattr(store, "bars", lambda *_: nothing)
    assert f"{NAME} had no trade with a price in the last 3 h." in texts(page())


def test_an_earlier_forecast_can_be_selected(store: ExampleStore) -> None:
    earlier = MADE - timedelta(hours=1)
    store.parameters_rows = (PARAMETERS, PARAMETERS._replace(forecast_time=earlier))
    app = page()
    picker = app.selectbox(key=f"forecast {NAME}")
    assert picker.options == [
        "Latest, made 2026-03-04 15:00:00 UTC",
        "2026-03-04 15:00:00 UTC",
        "2026-03-04 14:00:00 UTC",
    ]
    app = picker.select_index(2).run()
    assert not app.exception
    assert "**Price at 15:00:00 UTC**" in texts(app)


def test_the_address_names_the_shown_forecast(store: ExampleStore) -> None:
    earlier = MADE - timedelta(hours=1)
    store.parameters_rows = (PARAMETERS, PARAMETERS._replace(forecast_time=earlier))
    app = page(forecast=earlier.isoformat())
    assert "**Price at 15:00:00 UTC**" in texts(app)
    app = app.selectbox(key=f"forecast {NAME}").select_index(1).run()
    assert app.query_params["forecast"] == MADE.isoformat()
    app = app.selectbox(key=f"forecast {NAME}").select_index(0).run()
    assert "forecast" not in app.query_params
    assert "**Price at 16:00:00 UTC**" in texts(page(forecast="no time"))


def test_without_forecasts_the_page_says_how_to_make_one(store: ExampleStore) -> None:
    store.parameters_rows = ()
    assert f"`./market forecast --symbol {NAME}` makes one now" in texts(page())


def test_replay_gaps_a_refusal_and_the_track_record_are_told(store: ExampleStore) -> None:
    refused = PARAMETERS._replace(
        forecast_time=MADE + timedelta(minutes=20), status="stale", reason="Old prices."
    )
    store.source, store.parameters_rows = "replay", (refused, PARAMETERS)
    store.gap_rows = (Gap(MADE, MADE + timedelta(minutes=2), "reconnected"),)
    store.score_rows = (
        Score(MADE, 2.0, 0.3, True, True, 4.0, 4.0),
        Score(MADE, 2.0, 0.7, False, True, 2.0, 4.0),
    )
    app = page()
    shown, figures = texts(app), metrics(app)
    assert "REPLAYED DATA" in shown
    assert "DEMO DATA" not in shown
    assert "Feed gaps: 1; trades during a gap are missing." in shown
    assert f"made no forecast of {NAME}: stale. Old prices." in shown
    assert "2 forecasts of the last 7 days; mean CRPS 2. Too few for a conclusion." in shown
    assert len(traces(app)) == 5  # the candles, the last good forecast's three charts, the PIT histogram
    assert figures["Inside the 50 % band"] == "50.0 %"
    assert figures["Inside the 90 % band"] == "100.0 %"
    assert figures["CRPS / naive"] == "0.50"
    assert figures["Median error / naive"] == "0.75"


def test_what_many_visitors_ask_is_queried_once(store: ExampleStore) -> None:
    assert cached_queries.symbols() == cached_queries.symbols()
    assert store.queries == ["symbols"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("symbols", "Cassandra does not answer. This page tries again every 3 seconds"),
        ("bars", "Cassandra does not answer. This page tries again every 5 seconds"),
        ("parameters", "The forecast is shown again when Cassandra answers."),
        ("scores", "The track record is shown again when Cassandra answers."),
    ],
)
def test_an_unavailable_store_is_a_sentence(
    store: ExampleStore, monkeypatch: pytest.MonkeyPatch, query: str, sentence: str
) -> None:
    def unavailable(*_: Any) -> None:
        raise StoreUnavailableError("Cassandra does not answer.")

    monkeypatch.setattr(store, query, unavailable)
    assert sentence in texts(page())


def test_before_the_first_trade_the_page_waits(store: ExampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "symbols", lambda: ())
    assert "No trades are stored yet." in texts(page())


def test_bars_come_in_two_parts_that_join(store: ExampleStore) -> None:
    start, last = MADE - timedelta(minutes=20), MADE + timedelta(minutes=10)
    bars = cached_queries.bars(NAME, start, last)
    whole = store.bars(NAME, MADE - timedelta(hours=1), MADE + timedelta(hours=2))
    assert bars.start.tolist() == whole.start.tolist()
    recent = cached_queries.bars(NAME, last, last)
    assert recent.start[0] == to_datetime64(MADE)


def test_a_missing_password_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MARKET_SECRETS", str(tmp_path / "none.env"))
    monkeypatch.delenv("CASSANDRA_STREAMLIT_PASSWORD", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()
    with pytest.raises(StoreUnavailableError, match="CASSANDRA_STREAMLIT_PASSWORD"):
        cached_queries.symbols()


def test_sections_refresh_by_themselves() -> None:
    assert live.REFRESH_SECONDS <= forecast.REFRESH_SECONDS <= track_record.REFRESH_SECONDS
    assert header.RETRY_SECONDS < live.REFRESH_SECONDS
    assert max(scenario.PATHS) == 100_000


def test_the_last_days_end_after_now() -> None:
    start, end = cached_queries._last_days()
    assert end > datetime.now(UTC)
    assert end - start == timedelta(days=cached_queries.FORECAST_DAYS, hours=1)
