"""The input of the stream's benchmark, and what it expects of the tables."""

import io

import fastavro
import polars as pl
from polars.testing import assert_frame_equal

import oracle
from benchmarks.trades import SYMBOLS, Span, expected_averages, expected_bars, make_messages, make_trades
from common.schemas import trades_schema

JOURNAL = "20240808T120000123r"
TRADES = make_trades(Span(1000, 6000))


def test_messages_hold_the_trades_of_one_symbol_in_order() -> None:
    messages = make_messages(TRADES, 25, JOURNAL)
    assert [headers["frame"] for *_, headers in messages] == [
        f"{JOURNAL}:{line}" for line in range(1, TRADES.height // 25 + 1)
    ]
    decoded = [
        trade | {"key": symbol}
        for symbol, value, _ in messages
        for trade in fastavro.schemaless_reader(io.BytesIO(value), trades_schema().parsed, None)["data"]
    ]
    assert all(trade["s"] == trade["key"] for trade in decoded)
    for symbol in SYMBOLS:
        expected = TRADES.filter(pl.col("symbol") == symbol).select("c", "p", "t", "v").rows()
        found = [trade for trade in decoded if trade["s"] == symbol]
        assert [(trade["c"], trade["p"], trade["t"], trade["v"]) for trade in found] == expected


def test_expected_rows_agree_with_the_oracle_of_the_tests() -> None:
    twice = pl.concat([TRADES, TRADES])
    arrived = twice.with_row_index("arrival").with_columns(pl.col("c").fill_null([]))
    for found, expected in (
        (expected_bars(twice), oracle.bars(arrived)),
        (expected_averages(twice), oracle.running_averages(arrived)),
    ):
        assert_frame_equal(found, expected.select(found.columns), rel_tol=1e-12)
