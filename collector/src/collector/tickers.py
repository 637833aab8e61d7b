"""Which tickers to subscribe to, whether the feed knows them, and the search for others."""

import logging
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from collector.finnhub import FinnhubClient, Row
from collector.settings import CollectorSettings, parse_tickers
from common.instruments import instruments, search
from common.settings import ROOT

log = logging.getLogger(__name__)

NAME = "FINNHUB_STOCKS_TICKERS"
MAX_FILE_BYTES = 64 * 1024
Wait = Callable[[float], object]


class TickerError(Exception):
    """Say in one sentence which tickers cannot be used."""


class TickerSource:
    """The tickers as files say now: `tickers` in MARKET_HOME, else a changed `.env`, else those of the start.

    The services are given the environment of the start, so that only a change in `.env` says something new.
    """

    def __init__(self, settings: CollectorSettings, env_file: Path = ROOT / ".env") -> None:
        self._start = settings.finnhub_stocks_tickers
        self._env_file = env_file
        self._own_file = settings.market_home / "tickers"
        self._first_line = self._line()
        self._stamps: object = None
        self.tickers = self._start
        self.poll()

    def poll(self, force: bool = False) -> bool:
        """Look whether a file changed, or read them anyway; return whether the tickers did.

        A list that cannot be read is logged and changes nothing.
        """
        stamps = [_stamp(self._own_file), _stamp(self._env_file)]
        if stamps == self._stamps and not force:
            return False
        self._stamps = stamps
        try:
            tickers = self._read()
        except (OSError, ValueError) as error:
            log.error("The changed tickers were not taken: %s.", error)
            return False
        changed, self.tickers = tickers != self.tickers, tickers
        return changed

    def _read(self) -> tuple[str, ...]:
        if self._own_file.exists():
            with self._own_file.open("rb") as file:
                text = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
            return parse_tickers(",".join(text.split("\n")))
        line = self._line()
        return self._start if line is None or line == self._first_line else parse_tickers(line)

    def _line(self) -> str | None:
        try:
            return dotenv_values(self._env_file, interpolate=False).get(NAME) or None
        except (OSError, UnicodeDecodeError):
            return None


def unknown_tickers(settings: CollectorSettings, tickers: tuple[str, ...], wait: Wait) -> list[str]:
    """Return the tickers that the feed in use does not know; raise FinnhubError when it cannot be asked."""
    if settings.feed == "none" or not settings.finnhub_validate_tickers:
        return []
    if settings.feed == "demo":
        known = instruments()
        return [ticker for ticker in tickers if ticker not in known]
    client = _client(settings, wait)
    return [ticker for ticker in tickers if all(row["symbol"] != ticker for row in client.search(ticker))]


def search_tickers(settings: CollectorSettings, words: str, wait: Wait) -> list[Row]:
    """Return the symbols for some words: from Finnhub with a token, else of the demo; raise FinnhubError."""
    if settings.finnhub_api_token is not None:
        return _client(settings, wait).search(words)
    return [
        {
            "symbol": instrument.symbol,
            "displaySymbol": instrument.symbol.replace("BINANCE:", ""),
            "type": "Common Stock" if instrument.asset_class == "stock" else "Crypto",
            "description": instrument.name.upper(),
        }
        for instrument in search(words)
    ]


def _client(settings: CollectorSettings, wait: Wait) -> FinnhubClient:
    return FinnhubClient(settings.finnhub_rest_url, settings.finnhub_api_token or SecretStr(""), wait)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
