"""The tickers: where they come from, which are known, and the search for others."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.settings import DEFAULT_TICKERS, CollectorSettings
from collector.tickers import TickerSource, search_tickers, unknown_tickers
from feeds import running_feed


def settings(
    home: Path, *tickers: str, feed: str = "live", url: str = "http://127.0.0.1:1"
) -> CollectorSettings:
    return CollectorSettings(
        market_home=home,
        finnhub_api_token=SecretStr("secret0token") if feed == "live" else None,
        finnhub_rest_url=url,
        finnhub_stocks_tickers=tickers,
        market_feed=feed,  # type: ignore[arg-type]
    )


def never(seconds: float) -> None:
    raise AssertionError(f"waited for {seconds} s")


def test_unknown_tickers_are_looked_up_where_the_feed_comes_from(tmp_path: Path) -> None:
    def unknown(*tickers: str, feed: str = "live") -> list[str]:
        return unknown_tickers(settings(tmp_path, *tickers, feed=feed, url=url), tickers, never)

    with running_feed() as port:
        url = f"http://127.0.0.1:{port}/api/v1"
        assert unknown(*DEFAULT_TICKERS) == []
        assert unknown("AAPL", "NOSUCH", "BTCUSDT", "aapl") == ["NOSUCH", "BTCUSDT", "aapl"]
    assert unknown("AAPL", "NOSUCH", feed="demo") == ["NOSUCH"]
    assert unknown("AAPL", "NOSUCH", feed="none") == []


def test_no_look_up_is_made_when_none_is_wanted(tmp_path: Path) -> None:
    unwanted = settings(tmp_path, "NOSUCH", feed="demo").model_copy(
        update={"finnhub_validate_tickers": False}
    )
    assert unknown_tickers(unwanted, ("NOSUCH",), never) == []


def test_a_search_asks_finnhub_with_a_token_and_the_demo_without(tmp_path: Path) -> None:
    with running_feed() as port:
        live = search_tickers(settings(tmp_path, "A", url=f"http://127.0.0.1:{port}/api/v1"), "apple", never)
    demo = search_tickers(settings(tmp_path, "A", feed="demo"), "apple", never)
    assert live == demo
    assert demo[0] == {
        "symbol": "AAPL",
        "displaySymbol": "AAPL",
        "type": "Common Stock",
        "description": "APPLE INC",
    }
    [bitcoin] = search_tickers(settings(tmp_path, "A", feed="demo"), "btcusdt", never)
    assert (bitcoin["symbol"], bitcoin["displaySymbol"], bitcoin["type"]) == (
        "BINANCE:BTCUSDT",
        "BTCUSDT",
        "Crypto",
    )
    assert search_tickers(settings(tmp_path, "A", feed="demo"), "nosuchthing", never) == []


def write(path: Path, text: str) -> None:
    """Write a file so that its time of change differs from before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return the paths of `.env` and of the home's own file."""
    return tmp_path / ".env", tmp_path / "tickers"


def source(home: Path, env_file: Path, *tickers: str) -> TickerSource:
    return TickerSource(settings(home, *tickers), env_file)


def test_an_unchanged_env_file_leaves_the_start_as_it_was(tmp_path: Path, files: tuple[Path, Path]) -> None:
    env, _ = files
    env.write_text("FINNHUB_STOCKS_TICKERS=MSFT\n")
    tickers = source(tmp_path, env, "AAPL")
    assert tickers.tickers == ("AAPL",)
    assert (tickers.poll(), tickers.poll(force=True)) == (False, False)


def test_a_changed_env_file_is_taken_and_its_old_line_brings_the_start_back(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    env, _ = files
    write(env, "FINNHUB_STOCKS_TICKERS=AAPL\n")
    tickers = source(tmp_path, env, "AAPL")
    write(env, "FINNHUB_STOCKS_TICKERS=MSFT,AAPL\n")
    assert tickers.poll() is True
    assert tickers.tickers == ("MSFT", "AAPL")
    assert tickers.poll() is False
    write(env, "FINNHUB_STOCKS_TICKERS=AAPL\n")
    assert tickers.poll() is True
    assert tickers.tickers == ("AAPL",)
    write(env, "")
    assert tickers.poll() is False
    write(env, "# nothing\n")
    assert tickers.poll(force=True) is False


@pytest.mark.parametrize("text", ["MSFT\nBINANCE:BTCUSDT\n\n", " MSFT , \nBINANCE:BTCUSDT"])
def test_the_file_of_the_home_wins(tmp_path: Path, files: tuple[Path, Path], text: str) -> None:
    env, own = files
    own.write_text(text)
    tickers = source(tmp_path, env, "AAPL")
    assert tickers.tickers == ("MSFT", "BINANCE:BTCUSDT")
    own.unlink()
    assert tickers.poll() is True
    assert tickers.tickers == ("AAPL",)


@pytest.mark.parametrize("text", ["", "A B", "\xff", "x" * 100])
def test_a_list_that_cannot_be_used_changes_nothing_and_is_logged_once(
    tmp_path: Path, files: tuple[Path, Path], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    env, own = files
    tickers = source(tmp_path, env, "AAPL")
    own.write_text(text)
    assert (tickers.poll(), tickers.poll()) == (False, False)
    assert tickers.tickers == ("AAPL",)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
