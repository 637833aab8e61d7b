"""The collector's settings, its check of the tickers, and its logs."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.journal import JournalError
from collector.logs import start_logging
from collector.republish import parse_moment
from collector.settings import DEFAULT_TICKERS, CollectorSettings
from collector.tickers import TickerError, unknown_tickers
from common.settings import ROOT, SettingsError
from feeds import running_feed

TOKEN = "secret0token"
PATHS = ("collector/src", "common/src")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("FINNHUB_", "MARKET_", "KAFKA_", "FEED_", "JOURNAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("AAPL", ("AAPL",)),
        (" AAPL , BINANCE:BTCUSDT,,AAPL ", ("AAPL", "BINANCE:BTCUSDT")),
        ('["AAPL", "MSFT"]', ("AAPL", "MSFT")),
        ("['AAPL','BINANCE:ETHUSDT']", ("AAPL", "BINANCE:ETHUSDT")),
    ],
)
def test_tickers_are_read_from_commas_and_lists(
    monkeypatch: pytest.MonkeyPatch, text: str, tickers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FINNHUB_STOCKS_TICKERS", text)
    assert CollectorSettings.load().finnhub_stocks_tickers == tickers


@pytest.mark.parametrize("text", [",", "[", "[1]", "AA PL", "['AAPL", "{}"])
def test_what_is_no_list_of_tickers_is_told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FINNHUB_STOCKS_TICKERS", text)
    with pytest.raises(SettingsError, match="FINNHUB_STOCKS_TICKERS"):
        CollectorSettings.load()


def test_the_feed_is_live_with_a_token_and_else_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CollectorSettings(_env_file=None).feed == "demo"  # type: ignore[call-arg]
    monkeypatch.setenv("FINNHUB_API_TOKEN", TOKEN)
    assert CollectorSettings.load().feed == "live"
    monkeypatch.setenv("MARKET_FEED", "none")
    assert CollectorSettings.load().feed == "none"
    assert TOKEN not in repr(CollectorSettings.load())


def check(rest_url: str, *tickers: str, feed: str = "live") -> list[str]:
    settings = CollectorSettings(
        finnhub_api_token=SecretStr(TOKEN),
        finnhub_rest_url=rest_url,
        finnhub_stocks_tickers=tickers,
        market_feed=feed,  # type: ignore[arg-type]
    )
    return unknown_tickers(settings, threading.Event())


@contextmanager
def answering(status: int, body: str, seen: list[str]) -> Iterator[str]:
    """Answer every request alike; note path and token of each."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers['X-Finnhub-Token']}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_unknown_tickers_are_found_by_look_up() -> None:
    with running_feed() as port:
        url = f"http://127.0.0.1:{port}/api/v1"
        assert check(url, *DEFAULT_TICKERS) == []
        assert check(url, "AAPL", "NOSUCH", "BTCUSDT", "aapl") == ["NOSUCH", "BTCUSDT", "aapl"]
    assert check("http://127.0.0.1:1", "AAPL", "NOSUCH", feed="demo") == ["NOSUCH"]
    assert check("http://127.0.0.1:1", "AAPL", "NOSUCH", feed="none") == []


def test_the_token_travels_in_a_header_only() -> None:
    seen: list[str] = []
    with answering(200, json.dumps({"result": [{"symbol": "A/B"}]}), seen) as url:
        assert check(url, "A/B") == []
    assert seen == [f"/search?q=A%2FB {TOKEN}"]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, "", "refused the token"),
        (500, "", "HTTP status 500"),
        (200, "hello", "could not be looked up"),
        (200, "{}", "could not be looked up"),
    ],
)
def test_a_look_up_that_fails_is_a_sentence(status: int, body: str, sentence: str) -> None:
    with answering(status, body, []) as url, pytest.raises(TickerError, match=sentence) as error:
        check(url, "AAPL")
    assert TOKEN not in str(error.value)


def test_nothing_at_the_address_is_a_sentence() -> None:
    with answering(200, "", []) as url:
        pass
    with pytest.raises(TickerError, match="AAPL could not be looked up"):
        check(url, "AAPL")


def test_logs_cannot_tell_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        start_logging(SecretStr(TOKEN), None, SecretStr(""))
        try:
            raise RuntimeError(f"wss://ws.finnhub.io?token={TOKEN}")
        except RuntimeError:
            logging.getLogger("x").exception("it failed with %s", TOKEN)
    finally:
        root.handlers, root.level = handlers, level
    said = capsys.readouterr().err
    assert "it failed with ***" in said
    assert "RuntimeError" in said
    assert TOKEN not in said


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "collector", *arguments],
        env=os.environ | {"PYTHONPATH": ":".join(str(ROOT / path) for path in PATHS)} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (["--check"], {"MARKET_FEED": "live", "FINNHUB_API_TOKEN": ""}, "FINNHUB_API_TOKEN was missing"),
        (
            ["--check"],
            {"MARKET_FEED": "demo", "FINNHUB_STOCKS_TICKERS": "AAPL,NOSUCH"},
            "did not know NOSUCH",
        ),
        (["--check"], {"MARKET_FEED": "maybe"}, "MARKET_FEED was wrong"),
        ([], {"MARKET_FEED": "none"}, "KAFKA_COLLECTOR_PASSWORD was missing"),
        (["--republish", "--from", "monday"], {"KAFKA_COLLECTOR_PASSWORD": "x"}, "monday was not a time"),
        (["--republish"], {"KAFKA_COLLECTOR_PASSWORD": "x"}, "There was no journal"),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_status(
    arguments: list[str], settings: dict[str, str], sentence: str
) -> None:
    done = run(*arguments, **settings)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_good_settings_pass_the_check_in_silence() -> None:
    done = run("--check", MARKET_FEED="demo")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    assert parse_moment("2026-01-31") == parse_moment("2026-01-31T01:00:00+01:00")
    assert parse_moment("2026-01-31T00:00:00Z").timestamp() == 1_769_817_600
    with pytest.raises(JournalError):
        parse_moment("31/01/2026")
