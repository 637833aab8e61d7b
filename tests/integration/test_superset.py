"""Superset's API on a running stack: who may do what, and what a chart's query reads."""

import itertools
import json
import re
import statistics
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import requests

from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import connect
from common.colors import symbol_color
from stack import Stack, wait_until
from superset_api import SECONDS, SupersetApi
from superset_dashboards.assets import assets

CHARTS = {
    path.removeprefix("charts/").removesuffix(".yaml"): asset
    for path, asset in assets({"PRESTO_HOST": "", "PRESTO_PORT": ""}).items()
    if path.startswith("charts/")
}
SYMBOLS = tuple(f"TEST:{letter}" for letter in "ABCDEFGHI")  # each is traded more than the one before
DAYS = (date(2001, 2, 3), date(2001, 2, 4), date(2001, 2, 5))
ROWS = 7  # in each partition, five seconds apart
PRICE = 12.5
GAPS_A_DAY = 1  # of 12.5 s, which ended 23 s after the first trade
DELAYS = (0.1, 0.2, 0.3, 0.4, 0.5, 15.5, 20.5)  # of each trade, in seconds

pytestmark = pytest.mark.timeout(900)


class Superset(SupersetApi):
    """A user of a stack's Superset, who also looks at Presto."""

    def __init__(self, stack: Stack, user: str | None) -> None:
        password = stack.secrets()[f"SUPERSET_{user.upper()}_PASSWORD"] if user else ""
        super().__init__(stack.settings["SUPERSET_PORT"], user or "", password)
        self.presto = f"http://127.0.0.1:{stack.settings['PRESTO_PORT']}"

    def charts(self) -> dict[str, int]:
        """Return the charts' numbers by their names."""
        found = self.ask("GET", "/api/v1/chart/?q=(page_size:100)").json()["result"]
        return {chart["slice_name"]: chart["id"] for chart in found}

    def data(self, chart: dict[str, Any], *filters: dict[str, Any], time_range: str) -> tuple[Any, int]:
        """Return what a chart gets for a time range with more filters, and how many rows Presto read."""
        found = self.ask("GET", f"/api/v1/chart/{self.charts()[chart['slice_name']]}").json()["result"]
        context = json.loads(found["query_context"])
        for query in context["queries"]:
            query["filters"] = [one for one in query["filters"] if one["op"] != "TEMPORAL_RANGE"]
            query["filters"] += [*filters, {"col": chart["time"], "op": "TEMPORAL_RANGE", "val": time_range}]
            query["time_range"] = time_range
        before = self.queries()
        answer = self.ask("POST", "/api/v1/chart/data", json=context | {"force": True})
        assert answer.status_code == 200, answer.text
        made = self.queries() - before
        assert len(made) == 1
        query = requests.get(f"{self.presto}/v1/query/{made.pop()}", timeout=SECONDS).json()
        return answer.json()["result"][0]["data"], query["queryStats"]["rawInputPositions"]

    def queries(self) -> set[str]:
        """Return Presto's numbers of the queries for the old days, which nobody else asks for."""
        made = requests.get(f"{self.presto}/v1/query", timeout=SECONDS).json()
        return {query["queryId"] for query in made if f"{DAYS[0]:%Y-%m}" in query["query"]}


def chart(name: str, time_column: str) -> dict[str, Any]:
    return CHARTS[name] | {"time": time_column}


def only(*symbols: str) -> dict[str, Any]:
    return {"col": "symbol", "op": "IN", "val": list(symbols)}


@pytest.fixture
def viewer(stack: Stack) -> Superset:
    return Superset(stack, "viewer")


@pytest.fixture
def history(stack: Stack) -> Iterator[None]:
    """Store bars, running averages and trades of old days; remove them in the end."""
    settings = CassandraSchemaSettings.load()
    session = connect(settings, "stream_processor", settings.cassandra_stream_processor_password)
    add_symbol = session.prepare(
        "INSERT INTO symbols (bucket, symbol, asset_class, source, first_seen, last_seen) "
        "VALUES ('all', ?, 'crypto', 'replay', ?, ?)"
    )
    add_bar = session.prepare(
        "INSERT INTO bars_5s (symbol, day, window_start, open, high, low, close, volume, trade_count, "
        "value_sum, value_volume) VALUES (?, ?, ?, 12.5, 12.5, 12.5, 12.5, 2, 3, ?, ?)"
    )
    add_average = session.prepare(
        "INSERT INTO running_averages_15s (symbol, day, window_start, average_price, price_volume) "
        "VALUES (?, ?, ?, 12.5, ?)"
    )
    add_trade = session.prepare(
        "INSERT INTO trades (symbol, hour, trade_timestamp, trade_id, price, volume, ingest_timestamp) "
        "VALUES (?, ?, ?, ?, 12.5, 2, ?)"
    )
    for symbol in SYMBOLS:
        session.execute(add_symbol, (symbol, at(DAYS[0], 0), at(DAYS[-1], 5 * ROWS)))
    for day in DAYS:
        session.execute(
            "INSERT INTO feed_events (day, at, session, kind, gap_seconds) VALUES (%s, %s, 's', 'gap', 12.5)",
            (day, at(day, 23)),
        )
    for symbol, day, row in itertools.product(SYMBOLS, DAYS, range(ROWS)):
        start = at(day, 5 * row)
        volume = 1 + SYMBOLS.index(symbol)
        session.execute(add_bar, (symbol, day, start, PRICE * volume, volume))
        session.execute(add_average, (symbol, day, start, PRICE * volume))
        received = start + timedelta(seconds=DELAYS[row])
        session.execute(add_trade, (symbol, at(day, 0), start, f"l{row}", received))
    yield
    for symbol in SYMBOLS:
        session.execute("DELETE FROM symbols WHERE bucket = 'all' AND symbol = %s", (symbol,))
        for day in DAYS:
            session.execute("DELETE FROM bars_5s WHERE symbol = %s AND day = %s", (symbol, day))
            session.execute("DELETE FROM running_averages_15s WHERE symbol = %s AND day = %s", (symbol, day))
            session.execute("DELETE FROM trades WHERE symbol = %s AND hour = %s", (symbol, at(day, 0)))
    for day in DAYS:
        session.execute("DELETE FROM feed_events WHERE day = %s", (day,))
    session.cluster.shutdown()


def at(day: date, seconds: int) -> datetime:
    return datetime.combine(day, time(4), UTC) + timedelta(seconds=seconds)


def span(begin: datetime, end: datetime) -> str:
    return f"{begin:%Y-%m-%dT%H:%M:%S} : {end:%Y-%m-%dT%H:%M:%S}"


def wait_for_symbols(viewer: Superset) -> None:
    """Wait until Superset, which keeps the list of symbols for some seconds, knows the new ones."""
    trades = chart("crypto_trades", "window_start")
    whole_day = span(at(DAYS[0], 0), at(DAYS[0], 3600))
    wait_until(lambda: viewer.data(trades, only(*SYMBOLS), time_range=whole_day)[1] > 0, "the new symbols")


@pytest.mark.usefixtures("history")
def test_charts_read_only_the_partitions_and_times_they_show(viewer: Superset) -> None:
    wait_for_symbols(viewer)
    trades = chart("crypto_trades", "window_start")
    two_days = span(at(DAYS[0], 0), at(DAYS[1], 3600))
    rows, read = viewer.data(trades, only("TEST:A"), time_range=two_days)
    assert (sum(row["Trades"] for row in rows), read) == (2 * ROWS * 3, 2 * ROWS)
    rows, read = viewer.data(trades, only("TEST:A", "TEST:B"), time_range=two_days)
    assert (sum(row["Trades"] for row in rows), read) == (4 * ROWS * 3, 4 * ROWS)
    three_bars = span(at(DAYS[1], 10), at(DAYS[1], 25))
    rows, read = viewer.data(trades, only("TEST:B"), time_range=three_bars)
    assert (sum(row["Trades"] for row in rows), read) == (3 * 3, 3)

    price = chart("crypto_price", "window_start")
    rows, read = viewer.data(price, only("TEST:C", "TEST:B"), time_range=three_bars)
    assert [row["Close, TEST:B"] for row in rows] == [PRICE] * 3
    assert read == 2 * 3 + GAPS_A_DAY  # bars and running averages of the first ticker

    latest = chart("crypto_latest", "trade_timestamp")
    rows, read = viewer.data(latest, only("TEST:A"), time_range=span(at(DAYS[2], 0), at(DAYS[2], 15)))
    assert [row["price"] for row in rows] == [PRICE] * 3
    assert read == 3


@pytest.mark.usefixtures("history")
def test_lines_are_of_the_eight_most_traded_tickers_and_the_heat_map_of_all(viewer: Superset) -> None:
    wait_for_symbols(viewer)
    whole = span(at(DAYS[1], 0), at(DAYS[1], 5 * ROWS))
    for name in ("crypto_change", "crypto_turnover", "crypto_running"):
        rows, read = viewer.data(chart(name, "window_start"), only(*SYMBOLS), time_range=whole)
        assert (len(rows), read) == (ROWS, len(SYMBOLS) * ROWS), name
        assert {key for row in rows for key in row} == {"window_start", *SYMBOLS[1:]}, name
    rows, _ = viewer.data(chart("crypto_change_of_all", "window_start"), only(*SYMBOLS), time_range=whole)
    assert sorted((row["symbol"], row["Change"]) for row in rows) == [
        (symbol, 0) for symbol in SYMBOLS for _ in range(ROWS)
    ]


@pytest.mark.usefixtures("history")
def test_each_ticker_has_a_price_chart_by_its_place_in_the_filter(viewer: Superset) -> None:
    wait_for_symbols(viewer)
    whole = span(at(DAYS[1], 0), at(DAYS[1], 5 * ROWS))
    for place, symbol in enumerate(("TEST:B", "TEST:C"), start=1):
        prices = chart(f"crypto_ticker_price_{place}", "window_start")
        rows, read = viewer.data(prices, only("TEST:C", "TEST:B"), time_range=whole)
        assert [row[f"Close, {symbol}"] for row in rows] == [PRICE] * ROWS
        assert read == 2 * ROWS + GAPS_A_DAY  # bars, running averages and the feed's gaps
        steps = [row["window_start"] for row in rows if row[f"Feed gap, {symbol}"] == PRICE]
        first, last = (at(DAYS[1], seconds) for seconds in (10, 25))
        assert [datetime.fromtimestamp(step / 1000, UTC) for step in steps] == [
            first + timedelta(seconds=seconds) for seconds in range(0, 16, 5)
        ]
        assert datetime.fromtimestamp(steps[-1] / 1000, UTC) == last


@pytest.mark.usefixtures("history")
def test_tickers_that_came_later_have_the_colors_of_streamlit(viewer: Superset) -> None:
    def colors() -> Any:
        found = viewer.ask("GET", "/api/v1/dashboard/market").json()["result"]
        return json.loads(found["json_metadata"])["label_colors"]

    wait_until(lambda: set(SYMBOLS) <= colors().keys(), "the new symbols")
    for symbol in (*SYMBOLS, "MSFT"):
        assert colors()[symbol] == colors()[f"Close, {symbol}"] == symbol_color(symbol)


@pytest.mark.usefixtures("history")
def test_the_quality_of_the_data_is_that_of_the_stored_rows(viewer: Superset) -> None:
    wait_for_symbols(viewer)
    whole = span(at(DAYS[1], 0), at(DAYS[1], 5 * ROWS))
    rows, read = viewer.data(chart("receipt_delay", "trade_timestamp"), only("TEST:A"), time_range=whole)
    assert rows == [
        {
            "symbol": "TEST:A",
            "Received trades": ROWS,
            "Median delay": pytest.approx(statistics.median(DELAYS)),
            "99 % of delays": pytest.approx(max(DELAYS)),
            "Late trades": 2,
        }
    ]
    assert read == ROWS
    rows, _ = viewer.data(chart("trades_a_minute", "window_start"), only("TEST:A"), time_range=whole)
    assert [row["TEST:A"] for row in rows] == [3 * 60 / 5] * ROWS


def test_every_chart_answers_the_viewer(viewer: Superset) -> None:
    found = viewer.charts()
    assert found.keys() == {chart["slice_name"] for chart in CHARTS.values()}
    for name, number in found.items():
        answer = viewer.ask("GET", f"/api/v1/chart/{number}/data/")
        assert answer.status_code == 200, f"{name}: {answer.text}"


def test_the_viewer_looks_and_changes_nothing(stack: Stack, viewer: Superset) -> None:
    chart_number = next(iter(viewer.charts().values()))
    for method, path, body in (
        ("PUT", f"/api/v1/chart/{chart_number}", {"slice_name": "mine"}),
        ("DELETE", f"/api/v1/chart/{chart_number}", None),
        ("PUT", "/api/v1/dashboard/1", {"dashboard_title": "mine"}),
        ("POST", "/api/v1/dataset/", {"database": 1, "table_name": "symbols"}),
        ("POST", "/api/v1/sqllab/execute/", {"database_id": 1, "sql": "SELECT 1"}),
        ("GET", "/api/v1/database/", None),
        ("GET", "/api/v1/security/users/", None),
        ("GET", "/api/v1/assets/export/", None),
    ):
        assert viewer.ask(method, path, json=body).status_code in (403, 404), f"{method} {path}"
    admin = Superset(stack, "admin")
    assert admin.ask("GET", "/api/v1/database/").json()["count"] == 1
    assert admin.charts() == viewer.charts()


def test_nobody_else_sees_anything(stack: Stack) -> None:
    nobody = Superset(stack, None)
    for path in ("/api/v1/dashboard/market", "/api/v1/chart/1/data/", "/api/v1/dataset/1"):
        assert nobody.ask("GET", path).status_code in (401, 404), path
    assert nobody.ask("GET", "/api/v1/dashboard/").json().get("result", []) == []
    for path in ("/", "/superset/dashboard/market/", "/sqllab/"):
        answer = nobody.ask("GET", path)
        assert answer.status_code == 302
        assert re.match(
            r"(http://127.0.0.1:\d+)?(/login|/superset/dashboard/market/)", answer.headers["Location"]
        )


def test_a_range_that_is_too_long_is_refused_in_a_sentence(viewer: Superset) -> None:
    number = viewer.charts()[CHARTS["stock_trades"]["slice_name"]]
    context = json.loads(viewer.ask("GET", f"/api/v1/chart/{number}").json()["result"]["query_context"])
    for query in context["queries"]:
        query["time_range"] = "2001-01-01T00:00:00 : 2001-03-01T00:00:00"
        query["filters"][0]["val"] = query["time_range"]
    answer = viewer.ask("POST", "/api/v1/chart/data", json=context)
    assert answer.status_code == 400
    assert "The time range was 59 days long" in answer.json()["message"]
    assert "Traceback" not in answer.text
