"""The collector's settings."""

import ast
import json
import re
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from common.settings import FeedSettings, KafkaSettings, MetricsSettings

DEFAULT_TICKERS = (
    "AAPL",
    "AMZN",
    "MSFT",
    "BINANCE:ETHUSDT",
    "BINANCE:BTCUSDT",
    "BINANCE:XRPUSDT",
    "BINANCE:DOGEUSDT",
)
TICKER = re.compile(r"[A-Za-z0-9.:_/^=-]{1,40}")


def parse_tickers(value: Any) -> tuple[str, ...]:
    """Read `A,B`, or a list in the manner of JSON or Python; drop repeats; raise ValueError."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                try:
                    value = ast.literal_eval(text)
                except (ValueError, SyntaxError):
                    raise ValueError(
                        f"{text} was not a list of tickers such as AAPL,BINANCE:BTCUSDT"
                    ) from None
        else:
            value = text.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(ticker, str) for ticker in value):
        raise ValueError("it was not a list of tickers such as AAPL,BINANCE:BTCUSDT")
    tickers = tuple(dict.fromkeys(ticker.strip() for ticker in value if ticker.strip()))
    if not tickers:
        raise ValueError("no ticker was named")
    for ticker in tickers:
        if not TICKER.fullmatch(ticker):
            raise ValueError(f"{ticker!r} was not a ticker")
    return tickers


class CollectorSettings(KafkaSettings, FeedSettings, MetricsSettings):
    """What to receive, from where, how long to keep it, and the login to Kafka."""

    finnhub_stocks_tickers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_tickers)] = (
        DEFAULT_TICKERS
    )
    finnhub_validate_tickers: bool = True
    finnhub_websocket_url: str = Field(default="wss://ws.finnhub.io", pattern=r"^wss?://[^\s?#]+$")
    finnhub_rest_url: str = Field(default="https://finnhub.io/api/v1", pattern=r"^https?://[^\s?#]+$")
    finnhub_silence_seconds: float = Field(default=150, ge=1, le=86_400)
    journal_rotate_megabytes: int = Field(default=64, ge=1)
    journal_rotate_minutes: int = Field(default=60, ge=1)
    journal_retention_days: int = Field(default=30, ge=1)
    journal_retention_gigabytes: float = Field(default=20.0, gt=0)
    journal_fsync: bool = False
    kafka_username: ClassVar[str] = "collector"
    kafka_collector_password: SecretStr = SecretStr("")
