"""Trades as input of a benchmark, their messages, and what the tables must hold of them."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from collector.encoding import encode_trades
from common.frames import Trade
from common.schemas import trades_schema

SYMBOLS = (
    "AAPL",
    "AMZN",
    "MSFT",
    "GOOG",
    "IBM",
    "BINANCE:BTCUSDT",
    "BINANCE:ETHUSDT",
    "BINANCE:XRPUSDT",
    "BINANCE:SOLUSDT",
    "BINANCE:DOGEUSDT",
)
ODD_LOT = "12"  # updates the volume only
CONDITIONS = (None, ["1"], ["1", ODD_LOT])
TRADE_MS = 100  # between two trades of a symbol
KEYS = ["symbol", "window_start"]

Messages = list[tuple[str, bytes, dict[str, str]]]
"""Key, value and headers of each message."""


class Span(NamedTuple):
    """`length` trades from the number `first` on of an endless series; equal numbers are equal trades."""

    first: int
    length: int


def make_trades(span: Span) -> pl.DataFrame:
    """Return trades of all symbols in turn, as columns symbol, t (ms), p, v and c."""
    start = 1_704_067_200_000  # 2024
    rows = [
        (
            symbol := SYMBOLS[number % len(SYMBOLS)],
            start + number // len(SYMBOLS) * TRADE_MS + number * 37 % TRADE_MS,
            10.0 + number * 7919 % 10_007 / 100,
            float(number * 31 % 500),
            None if ":" in symbol else CONDITIONS[number // len(SYMBOLS) % len(CONDITIONS)],
        )
        for number in range(span.first, span.first + span.length)
    ]
    schema = {"symbol": pl.String, "t": pl.Int64, "p": pl.Float64, "v": pl.Float64, "c": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_messages(trades: pl.DataFrame, size: int, journal: str) -> Messages:
    """Return messages of `size` trades of one symbol each, in the order of time."""
    received_ms = str(time.time_ns() // 1_000_000)
    schema = trades_schema().fingerprint
    by_symbol: list[list[Trade]] = [
        list(of_symbol.iter_rows(named=True))
        for of_symbol in trades.select("symbol", "t", "p", "v", "c")
        .rename({"symbol": "s"})
        .partition_by("s", maintain_order=True)
    ]
    pieces = (
        (str(piece[0]["s"]), encode_trades("trade", str(piece[0]["s"]), piece))
        for pieces in zip(*(_pieces(of_symbol, size) for of_symbol in by_symbol), strict=True)
        for piece in pieces
    )
    return [
        (symbol, value, {"frame": f"{journal}:{line}", "received_ms": received_ms, "schema": schema})
        for line, (symbol, value) in enumerate(pieces, start=1)
    ]


def _pieces(trades: list[Trade], size: int) -> Iterator[list[Trade]]:
    return (trades[at : at + size] for at in range(0, len(trades), size))


def expected_bars(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the bars of trades; each trade counts as often as it is there."""
    priced = ~pl.col("c").list.contains(ODD_LOT).fill_null(value=False)
    price, value = pl.col("p").filter(priced), (pl.col("p") * pl.col("v")).filter(priced)
    volume = pl.col("v").filter(priced).sum()
    return (
        trades.with_columns(window_start=pl.col("t") // 5000 * 5000)
        .sort("t", maintain_order=True)
        .group_by(KEYS)
        .agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            volume=pl.col("v").sum(),
            vwap=pl.when(volume != 0).then(value.sum() / volume),
            trade_count=pl.len().cast(pl.Int64),
        )
        .sort(KEYS)
    )


def expected_averages(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the running averages of trades."""
    priced = ~pl.col("c").list.contains(ODD_LOT).fill_null(value=False)
    value, volume = (pl.col("p") * pl.col("v")).filter(priced), pl.col("v").filter(priced).sum()
    return (
        trades.with_columns(
            window_start=pl.concat_list(pl.col("t") // 5000 * 5000 - back for back in (0, 5000, 10_000))
        )
        .explode("window_start")
        .group_by(KEYS)
        .agg(
            average_price=pl.col("p").filter(priced).mean(),
            vwap=pl.when(volume != 0).then(value.sum() / volume),
            price_volume=value.mean(),
            trade_count=pl.len().cast(pl.Int64),
        )
        .sort(KEYS)
    )
