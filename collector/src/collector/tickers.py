"""Ask the feed whether it knows the tickers."""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable

from pydantic import SecretStr

from collector.settings import CollectorSettings
from common.instruments import instruments

TIMEOUT_SECONDS = 15.0
ATTEMPTS = 4
TOO_MANY_CALLS_SECONDS = 20.0


class TickerError(Exception):
    """Say in one sentence why the tickers could not be looked up."""


def unknown_tickers(settings: CollectorSettings, stopping: threading.Event) -> list[str]:
    """Return the tickers that the feed in use does not know; raise TickerError when it does not answer."""
    if settings.feed == "none" or not settings.finnhub_validate_tickers:
        return []
    if settings.feed == "demo":
        known = instruments()
        return [ticker for ticker in settings.finnhub_stocks_tickers if ticker not in known]
    token = settings.finnhub_api_token or SecretStr("")
    return [
        ticker
        for ticker in settings.finnhub_stocks_tickers
        if ticker not in _found(settings.finnhub_rest_url, ticker, token, stopping)
    ]


def _found(rest_url: str, ticker: str, token: SecretStr, stopping: threading.Event) -> Iterable[str]:
    """Return the symbols that Finnhub finds for a ticker; wait when it says that the calls were too many."""
    request = urllib.request.Request(  # noqa: S310
        f"{rest_url}/search?{urllib.parse.urlencode({'q': ticker})}",
        headers={"X-Finnhub-Token": token.get_secret_value()},
    )
    for _ in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return {str(result["symbol"]) for result in json.load(answer)["result"]}
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise TickerError("Finnhub refused the token: check FINNHUB_API_TOKEN.") from None
            if error.code != 429:
                raise TickerError(
                    f"Finnhub answered the look-up of {ticker} with HTTP status {error.code}."
                ) from None
            if stopping.wait(TOO_MANY_CALLS_SECONDS):
                break
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise TickerError(f"{ticker} could not be looked up at {rest_url}: {reason}.") from None
    raise TickerError("Finnhub said too often that the calls were too many; try again in a minute.")
