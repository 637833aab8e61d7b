"""The page as Streamlit runs it, without a browser: on bad days, and with forecasts of a test's own."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st
from cassandra.cluster import Session
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from common.cassandra import connect
from common.settings import ROOT, CassandraSettings
from common.symbols import SYMBOLS_BUCKET
from stack import Stack, free_ports

APP = ROOT / "streamlit" / "src" / "streamlit_pages" / "app.py"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Forget sessions and rows of earlier tests."""
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def session(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Return a login that may write, and point the page to the stack."""
    for name, value in stack.settings.items():
        monkeypatch.setenv(name, value)
    settings = CassandraSettings(cassandra_port=int(stack.settings["CASSANDRA_PORT"]))
    session = connect(settings, "admin", SecretStr(stack.secrets()["CASSANDRA_ADMIN_PASSWORD"]))
    yield session
    session.cluster.shutdown()


@pytest.fixture
def symbol(session: Session) -> Iterator[str]:
    """Return a crypto pair with 20 minutes of bars up to now, and remove it at the end."""
    name, now = f"TEST:{uuid.uuid4().hex}", datetime.now(UTC).replace(microsecond=0)
    end = now - timedelta(seconds=now.second % 5)
    insert = session.prepare(
        "INSERT INTO bars_5s (symbol, day, window_start, open, high, low, close, volume, vwap, trade_count, "
        "value_sum, value_volume) VALUES (?, ?, ?, ?, ?, ?, ?, 2, 100, 1, 200, 2)"
    )
    for number in range(240):
        start = end - timedelta(seconds=5 * (240 - number))
        session.execute(insert, (name, start.date(), start, 100.0, 101.0, 99.0, 100.0 + number % 2))
    session.execute(
        "INSERT INTO symbols (bucket, symbol, asset_class, source, calendar, first_seen, last_seen) "
        "VALUES (%s, %s, 'crypto', 'demo', '24/7', %s, %s)",
        (SYMBOLS_BUCKET, name, end - timedelta(minutes=20), end),
    )
    yield name
    session.execute("DELETE FROM symbols WHERE bucket = %s AND symbol = %s", (SYMBOLS_BUCKET, name))


def page(symbol: str | None = None) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    if symbol is not None:
        app.query_params["symbol"] = symbol
    return app.run()


def texts(app: AppTest) -> str:
    assert not app.exception
    elements = (app.info, app.warning, app.caption, app.markdown, app.title)
    return "\n".join(str(element.value) for kind in elements for element in kind)


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_page_says_that_cassandra_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSANDRA_PORT", str(free_ports(1)[0]))
    monkeypatch.setenv("CASSANDRA_STREAMLIT_PASSWORD", "none")
    monkeypatch.setenv("KAFKA_STREAMLIT_PASSWORD", "none")
    assert "Cassandra does not answer. This page tries again every 3 seconds" in texts(page())


def test_page_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MARKET_SECRETS", str(tmp_path / "none.env"))
    monkeypatch.delenv("CASSANDRA_STREAMLIT_PASSWORD", raising=False)
    assert "The setting CASSANDRA_STREAMLIT_PASSWORD was wrong" in texts(page())


def test_page_without_a_forecast_shows_candles_and_how_to_get_one(symbol: str) -> None:
    app = page(symbol)
    shown = texts(app)
    assert f"There is no forecast of {symbol} yet" in shown
    assert f"./market forecast --symbol {symbol}" in shown
    assert "Not investment advice" in shown
    assert "DEMO DATA" in shown
    (candles,) = charts(app)
    assert "Price" in {trace["name"] for trace in candles["data"]}
    assert {metric.label: metric.value for metric in app.metric}["VWAP"] == "100.00"


def test_page_says_why_the_newest_run_made_no_forecast(session: Session, symbol: str) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    session.execute(
        "INSERT INTO gbm_parameters (symbol, day, forecast_time, status, reason) VALUES (%s, %s, %s, %s, %s)",
        (symbol, at.date(), at, "stale", "The last price was of yesterday."),
    )
    assert "stale. The last price was of yesterday." in texts(page(symbol))


def test_page_marks_a_gap_of_the_feed(session: Session, symbol: str) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    key = (at.date(), at, uuid.uuid4().hex)
    session.execute(
        "INSERT INTO feed_events (day, at, session, kind, detail, gap_seconds) "
        "VALUES (%s, %s, %s, 'gap', 'a test', 90)",
        key,
    )
    (candles,) = charts(page(symbol))
    session.execute("DELETE FROM feed_events WHERE day = %s AND at = %s AND session = %s", key)
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in (at - timedelta(seconds=90), at))
    spans = [(shape["x0"][:19], shape["x1"][:19]) for shape in candles["layout"]["shapes"]]
    assert (start, end) in spans


def test_unknown_symbol_in_the_address_shows_the_first_one(symbol: str) -> None:
    app = page("NO:SUCH")
    assert not app.exception
    assert app.selectbox(key="symbol").value == app.selectbox(key="symbol").options[0]
