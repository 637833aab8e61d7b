"""What the tables of trades, bars and running averages hold, beside what polars makes of the trades."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
from polars.testing import assert_frame_equal

import oracle
from stack import Stack

EPOCH = datetime(1970, 1, 1)


def milliseconds(moment: datetime) -> int:
    """Return the driver's naive UTC time as ms since the epoch."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def stored(stack: Stack, table: str, columns: list[str], expected: pl.DataFrame) -> pl.DataFrame:
    """Return a table's rows for the symbols and days of `expected`, shaped as it is."""
    days = expected.select(
        "symbol", day=pl.from_epoch(pl.col("window_start"), time_unit="ms").dt.date().cast(pl.String)
    ).unique()
    session = stack.cassandra()
    rows = [
        row
        for symbol, day in days.rows()
        for row in session.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE symbol = %s AND day = %s", (symbol, day)
        )
    ]
    session.cluster.shutdown()
    shaped = [(row[0], milliseconds(row[1]), *row[2:]) for row in rows]
    return pl.DataFrame(shaped, schema={name: expected.schema[name] for name in columns}, orient="row").sort(
        "symbol", "window_start"
    )


def check(stack: Stack, trades: pl.DataFrame) -> None:
    """Compare trades, bars and running averages in Cassandra with polars over the received trades."""
    tables: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "bars_5s": oracle.bars,
        "running_averages_15s": oracle.running_averages,
    }
    for table, expect in tables.items():
        expected = expect(trades)
        actual = stored(stack, table, expected.columns, expected)
        assert_frame_equal(actual, expected, rel_tol=1e-9, abs_tol=1e-9)
    hours = trades.select("symbol", hour=pl.col("t") // 3_600_000 * 3_600_000).unique()
    session = stack.cassandra()
    rows = [
        (symbol, milliseconds(row.trade_timestamp), row.trade_id, row.price, row.volume, row.trade_conditions)
        for symbol, hour in hours.rows()
        for row in session.execute(
            "SELECT trade_timestamp, trade_id, price, volume, trade_conditions FROM trades "
            "WHERE symbol = %s AND hour = %s",
            (symbol, datetime.fromtimestamp(hour / 1000, UTC)),
        )
    ]
    session.cluster.shutdown()
    schema = {"symbol": pl.String, "t": pl.Int64, "trade_id": pl.String}
    schema |= {name: trades.schema[name] for name in ("p", "v", "c")}
    actual = pl.DataFrame([(*row[:5], row[5] or []) for row in rows], schema=schema, orient="row")
    assert actual.height == trades.height
    assert actual.select("symbol", "trade_id").n_unique() == actual.height
    # trade ids sort in arrival order within a symbol
    assert_frame_equal(
        actual.sort("symbol", "trade_id").drop("trade_id"),
        trades.sort("symbol", "arrival", maintain_order=True).select("symbol", "t", "p", "v", "c"),
    )
