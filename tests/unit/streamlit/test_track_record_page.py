"""The Track record page as Streamlit draws it, from a store in memory."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from forecast_example import MADE, figures, judgement
from page_example import NAME, ExampleStore, metrics, page, texts, traces
from streamlit_pages.pages import track_record
from streamlit_pages.store import Score, StoreUnavailableError


@pytest.fixture
def record(store: ExampleStore) -> ExampleStore:
    """Return a store with a record of one symbol and one miss."""
    store.judgement_rows = (
        judgement(figures()),
        judgement(figures(), "class", "crypto"),
        judgement(figures(forecasts=7, inside_50=0.3), "symbol", NAME),
    )
    store.score_rows = (
        Score(MADE - timedelta(hours=2), 2.0, 0.5, True, True, 3.0, 4.0, 100.0, 101.0, 0.5, 4.0),
        Score(MADE - timedelta(hours=1), 3.0, 1.0, False, False, 3.0, 4.0, 100.0, 92.0, -4.5, 4.0),
    )
    return store


@pytest.mark.usefixtures("record")
def test_the_page_tells_verdicts_skills_and_the_worst_misses() -> None:
    app = page("track_record")
    shown = texts(app)
    assert "Of 161 scored forecasts, 87.6 % ended inside their 90 % band" in shown
    assert "Forecasts from 2026-02-27 15:00:00 UTC to 2026-03-04 15:00:00 UTC." in shown
    assert metrics(app)["Inside the 90 % band"] == "87.6 %"
    assert metrics(app)["Skill against “no change”"] == "+0.36 %"
    assert metrics(app)["Skill against plain GBM"] == "+1.61 %"
    pit, coverage, skill = traces(app)
    assert pit == {"forecast", "plain GBM"}
    assert coverage == {"inside the 90% band", "inside the 50% band"}
    assert skill == {"against “no change”", "against plain GBM"}
    misses, by_symbol = (table.value for table in app.dataframe)
    assert misses["standard deviations"].tolist() == ["-4.50", "+0.50"]
    address = urlsplit(misses["look"][0])
    assert parse_qs(address.query) == {
        "symbol": [NAME],
        "forecast": [(MADE - timedelta(hours=1)).isoformat()],
    }
    assert by_symbol["ticker"].tolist() == [NAME]
    assert by_symbol["50 % band"].tolist() == ["too few to tell (p 0.68)"]


@pytest.mark.usefixtures("record")
def test_one_symbol_can_be_selected_and_named_in_the_address() -> None:
    app = page("track_record")
    assert app.selectbox(key="forecasts").options == ["all symbols", "all of class crypto", NAME]
    app = app.selectbox(key="forecasts").select(NAME).run()
    assert metrics(app)["Inside the 50 % band"] == "30.0 %"
    assert "too short to tell a good forecast from luck" in texts(app)
    assert metrics(page("track_record", forecasts=NAME))["Inside the 50 % band"] == "30.0 %"


@pytest.mark.usefixtures("store")
def test_before_the_first_score_the_page_says_when_it_comes() -> None:
    assert "No forecast has reached its horizon yet." in texts(page("track_record"))


def test_scores_of_an_early_version_make_no_misses(record: ExampleStore) -> None:
    record.score_rows = (Score(MADE, 2.0, 0.5, True, True, 3.0, 4.0),)
    app = page("track_record")
    assert "Worst misses" not in texts(app)
    assert len(app.dataframe) == 1


def test_a_backtest_is_shown_the_same_way(record: ExampleStore) -> None:
    entry = {**figures(forecasts=400)._asdict(), "plain": figures(crps=60.0)._asdict()}
    result = json.dumps({"overall": entry, "symbols": {"AAPL": entry}})
    app = page("track_record")
    app.file_uploader(key="backtest").upload("backtest.json", result.encode(), "application/json")
    app.run()
    assert not app.exception
    assert "Of 400 scored forecasts" in texts(app)
    assert app.dataframe[-1].value["ticker"].tolist() == ["AAPL"]


@pytest.mark.usefixtures("record")
def test_another_file_is_refused_in_a_sentence() -> None:
    app = page("track_record")
    app.file_uploader(key="backtest").upload("other.json", b"\xff{}", "application/json")
    app.run()
    assert [error.value for error in app.error] == [
        "This file is not the result of a backtest; `./market backtest --json > backtest.json` makes one."
    ]


@pytest.mark.parametrize("query", ["judgements", "scores"])
def test_an_unavailable_store_is_a_sentence(
    record: ExampleStore, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    def unavailable(*_: Any) -> None:
        raise StoreUnavailableError("Cassandra does not answer.")

    monkeypatch.setattr(record, query, unavailable)
    assert "The track record is shown again when Cassandra answers." in texts(page("track_record"))


def test_before_the_first_trade_the_page_waits(store: ExampleStore) -> None:
    store.names = ()
    assert "No trades are stored yet." in texts(page("track_record"))


def test_the_page_refreshes_by_itself() -> None:
    assert track_record.REFRESH_SECONDS <= 60
