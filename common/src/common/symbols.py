"""What follows from a symbol's name."""

from typing import Literal

from common.identity import Source

SYMBOLS_BUCKET = "all"
EXCHANGE_SEPARATOR = ":"  # between exchange and pair in the name of a crypto pair

AssetClass = Literal["stock", "crypto"]


def asset_class(symbol: str) -> AssetClass:
    """Return `crypto` for an exchange-prefixed pair (`BINANCE:BTCUSDT`), else `stock`."""
    return "crypto" if EXCHANGE_SEPARATOR in symbol else "stock"


def calendar(symbol: str, source: Source) -> str:
    """Return the trading calendar: `24/7` for crypto and for demo stocks, else New York's sessions."""
    return "24/7" if asset_class(symbol) == "crypto" or source == "demo" else "XNYS"
