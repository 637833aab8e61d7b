"""Bars and running averages by Spark against polars, over trades with every kind of sale condition."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

import oracle
from common.schemas import trade_conditions
from stream_processor.bars import bars, running_averages, window_start

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BAR_COLUMNS = ["symbol", "window_start", "open", "high", "low", "close", "volume", "vwap", "trade_count"]
AVERAGE_COLUMNS = ["symbol", "window_start", "average_price", "vwap", "price_volume", "trade_count"]


@pytest.fixture(scope="module")
def trades() -> pl.DataFrame:
    """Return 4,000 trades in few windows: equal times, times going backwards, and mixed conditions."""
    chance = random.Random(7)
    codes = [condition.code for condition in trade_conditions()] + ["1", "8", "41", "99"]
    start = 1_700_000_000_000
    rows = [
        {
            "symbol": chance.choice(["AAPL", "IBM", "BINANCE:BTCUSDT"]),
            "t": start + chance.randrange(0, 3_600_000) // 250 * 250,
            "p": round(chance.uniform(90, 110), 2),
            "v": float(chance.choice([0, 0, 1, 100, 250.5])),
            "c": chance.choices(codes, k=chance.choice([0, 0, 1, 1, 2, 3])),
        }
        for _ in range(4_000)
    ]
    return pl.DataFrame(rows, schema_overrides={"c": pl.List(pl.String)}).with_row_index("arrival")


@pytest.fixture(scope="module")
def stored(spark: SparkSession, trades: pl.DataFrame) -> DataFrame:
    """Return the trades as the stream processor sees them, each of them twice."""
    rows = [
        (
            row["symbol"],
            EPOCH + timedelta(milliseconds=row["t"]),
            f"{row['arrival']:010d}",
            row["p"],
            row["v"],
            row["c"] or None,
        )
        for row in trades.iter_rows(named=True)
    ]
    schema = (
        "symbol string, trade_timestamp timestamp, trade_id string, price double, volume double, "
        "trade_conditions array<string>"
    )
    return spark.createDataFrame(rows * 2, schema).withColumn(
        "window_start", window_start(F.col("trade_timestamp"))
    )


def _sorted(frame: DataFrame, columns: list[str]) -> pl.DataFrame:
    rows = frame.withColumn("window_start", F.unix_millis("window_start")).select(*columns).collect()
    return pl.DataFrame([row.asDict() for row in rows], infer_schema_length=None).sort(
        "symbol", "window_start"
    )


@pytest.mark.parametrize("few", [True, False])
def test_bars_agree_with_polars_and_a_repeated_trade_counts_once(
    stored: DataFrame, trades: pl.DataFrame, few: bool
) -> None:
    actual = _sorted(bars(stored, trade_conditions(), few), BAR_COLUMNS)
    expected = oracle.bars(trades)
    assert expected["open"].null_count() > 0, "the trades should hold windows without a price"
    assert_frame_equal(actual, expected, rel_tol=1e-12)


def test_running_averages_agree_with_polars(stored: DataFrame, trades: pl.DataFrame) -> None:
    changed = bars(stored, trade_conditions()).withColumn("changed", F.lit(True))
    assert_frame_equal(
        _sorted(running_averages(changed), AVERAGE_COLUMNS), oracle.running_averages(trades), rel_tol=1e-12
    )


def test_only_the_averages_over_changed_bars_are_given(stored: DataFrame, trades: pl.DataFrame) -> None:
    one = trades["t"].min() // 5000 * 5000
    around = bars(stored, trade_conditions()).where(
        F.unix_millis("window_start").between(one - 10_000, one + 10_000)
    )
    averages = running_averages(around.withColumn("changed", F.unix_millis("window_start") == one))
    expected = oracle.running_averages(trades).filter(pl.col("window_start").is_between(one - 10_000, one))
    symbols = trades.filter(pl.col("t") // 5000 * 5000 == one)["symbol"].unique().to_list()
    assert_frame_equal(
        _sorted(averages, AVERAGE_COLUMNS), expected.filter(pl.col("symbol").is_in(symbols)), rel_tol=1e-12
    )
