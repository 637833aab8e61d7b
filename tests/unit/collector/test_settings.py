"""The collector's settings and its command line."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collector.__main__ import check, limited
from collector.finnhub import FinnhubUnavailableError
from collector.journal import JournalError
from collector.republish import parse_moment
from collector.settings import CollectorSettings
from common.settings import ROOT, SettingsError
from stack import free_ports

TOKEN = "secret0token"
PATHS = ("collector/src", "common/src")


pytestmark = pytest.mark.usefixtures("bare_environment")


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


def test_tickers_are_searched_as_a_table_and_as_json() -> None:
    table = run("--search", "apple", MARKET_FEED="demo")
    assert table.returncode == 0
    assert table.stdout.splitlines() == [
        "symbol  displaySymbol  type          description",
        "AAPL    AAPL           Common Stock  APPLE INC",
    ]
    [row] = json.loads(run("--search", "apple", "--json", MARKET_FEED="demo").stdout)
    assert row["symbol"] == "AAPL"
    assert run("--search", "nosuch", MARKET_FEED="demo").stdout == "Nothing was found for nosuch.\n"


def test_a_look_up_without_an_answer_is_a_warning_and_keeps_nothing_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("FINNHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("FINNHUB_REST_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    stopping = threading.Event()
    stopping.set()  # no pause lasts
    check(CollectorSettings.load(), stopping)
    [warning] = capsys.readouterr().err.strip().splitlines()
    assert "Connection refused" in warning
    assert warning.endswith("The tickers were not validated.")


def test_lookups_that_would_last_too_long_are_given_up() -> None:
    waits: list[float] = []
    wait = limited(waits.append)
    wait(20.0)
    with pytest.raises(FinnhubUnavailableError, match="over 30 s"):
        wait(30.1)
    assert waits == [20.0]


def test_good_settings_pass_the_check_in_silence() -> None:
    done = run("--check", MARKET_FEED="demo")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    assert parse_moment("2026-01-31") == parse_moment("2026-01-31T01:00:00+01:00")
    assert parse_moment("2026-01-31T00:00:00Z").timestamp() == 1_769_817_600
    with pytest.raises(JournalError):
        parse_moment("31/01/2026")
