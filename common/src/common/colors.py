"""The color of a symbol, the same in every chart of every page."""

import zlib

COLORS = {
    "AAPL": "#5AC189",
    "AMZN": "#FF7F44",
    "MSFT": "#20A7C9",
    "BINANCE:BTCUSDT": "#F7931A",
    "BINANCE:ETHUSDT": "#627EEA",
    "BINANCE:XRPUSDT": "#20A7C9",
    "BINANCE:DOGEUSDT": "#C2A633",
}
OTHERS = (
    "#1FA8C9",
    "#FCC700",
    "#A868B7",
    "#3CCCCB",
    "#E04355",
    "#A1A6BD",
    "#8FD3E4",
    "#ACE1C4",
    "#FEC0A1",
    "#B2B2B2",
    "#EFA1AA",
    "#D3B3DA",
)


def symbol_color(symbol: str) -> str:
    """Return a symbol's color; one that is not listed keeps the one that its name gives it."""
    return COLORS.get(symbol) or OTHERS[zlib.crc32(symbol.encode()) % len(OTHERS)]
