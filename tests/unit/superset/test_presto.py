"""Connections to Presto, against a server that answers on a socket."""

import json
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from jinja2 import TemplateError
from pyhive.exc import OperationalError

from server_thread import running
from superset_dashboards import presto
from superset_dashboards.partitions import Symbol

ROWS = [["AAPL", "stock", "2026-03-04 15:00:00.250"], ["BINANCE:BTCUSDT", "crypto", "2026-03-04 15:00:01"]]
COLUMNS = [{"name": name, "type": "varchar"} for name in ("symbol", "asset_class", "last_seen")]


class Presto(HTTPServer):
    """Answers every request with `status` and `answer`, and keeps the queries and the headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer = 200, {"id": "1", "columns": COLUMNS, "data": ROWS, "stats": {}}
        self.queries: list[str] = []
        self.time_zones: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Presto)
        server.queries.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        server.time_zones.append(self.headers["X-Presto-Time-Zone"])
        body = json.dumps(server.answer, separators=(",", ":")).encode()  # compact, as Presto sends it
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Presto]:
    server = Presto()
    with running(server):
        yield server


def known(server: Presto) -> presto.KnownSymbols:
    return presto.KnownSymbols("127.0.0.1", server.server_port)


def test_no_proxy_is_asked_for_presto(server: Presto, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert [symbol.name for symbol in known(server)()] == ["AAPL", "BINANCE:BTCUSDT"]


def test_symbols_are_read_in_utc_and_cached(server: Presto) -> None:
    symbols = known(server)
    expected = [
        Symbol("AAPL", "stock", datetime(2026, 3, 4, 15, 0, 0, 250_000)),
        Symbol("BINANCE:BTCUSDT", "crypto", datetime(2026, 3, 4, 15, 0, 1)),
    ]
    assert symbols() == symbols() == expected
    assert server.queries == [presto.SYMBOLS_QUERY]
    assert server.time_zones == ["UTC"]


def test_old_symbols_are_read_again(server: Presto, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = known(server)
    symbols()
    monkeypatch.setattr(presto, "SYMBOLS_MAX_AGE_SECONDS", -1)
    server.answer = {**server.answer, "data": ROWS[:1]}
    assert [symbol.name for symbol in symbols()] == ["AAPL"]


def test_the_last_known_symbols_serve_while_presto_does_not_answer(
    server: Presto, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = known(server)
    before = symbols()
    monkeypatch.setattr(presto, "SYMBOLS_MAX_AGE_SECONDS", -1)
    server.status = 503
    assert symbols() == before


def test_without_any_symbols_the_error_is_one_sentence(server: Presto) -> None:
    server.status = 503
    with pytest.raises(TemplateError, match=r"^Presto is still starting; the page tries again by itself\.$"):
        known(server)()


def test_a_closed_port_is_one_sentence() -> None:
    with HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(OperationalError, match=r"^Presto does not answer; the page tries again by itself\.$"):
        presto.PrestoSession().get(f"http://127.0.0.1:{port}/v1/info")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"errorName": "NO_NODES_AVAILABLE"}, "Presto is still starting; the page tries again by itself."),
        (
            {"failureInfo": {"type": "com.datastax.driver.core.exceptions.NoHostAvailableException"}},
            "Cassandra does not answer; the page tries again by itself.",
        ),
        (
            {"message": "line 1:8: Column 'nothing' cannot be resolved"},
            "line 1:8: Column 'nothing' cannot be resolved",
        ),
        ({}, "Presto refused the query without a reason."),
    ],
)
def test_errors_of_a_query_are_sentences(server: Presto, error: dict[str, Any], expected: str) -> None:
    server.answer = {**server.answer, "error": {"code": 1, **error}}
    with pytest.raises(TemplateError) as raised:
        known(server)()
    assert str(raised.value) == expected


def test_every_engine_gets_the_session() -> None:
    parameters: dict[str, Any] = {"connect_args": {"protocol": "http"}}
    assert presto.connect_engine("presto://", parameters) == ("presto://", parameters)
    assert isinstance(parameters["connect_args"]["requests_session"], presto.PrestoSession)
    assert parameters["connect_args"]["protocol"] == "http"
