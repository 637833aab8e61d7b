"""Bars and running averages as pure functions of trades.

What a trade may update follows from its sale conditions: `schemas/trade_conditions.csv`, combined by AND.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from common.bars import BAR_SECONDS
from common.schemas import Condition
from stream_processor.columns import Columns
from stream_processor.windows import BARS_PER_AVERAGE

BAR_COLUMNS: Columns = {
    "symbol": "string",
    "day": "date",
    "window_start": "timestamp",
    "open": "double",
    "high": "double",
    "low": "double",
    "close": "double",
    "volume": "double",
    "vwap": "double",
    "trade_count": "bigint",
    "price_sum": "double",
    "price_count": "bigint",
    "value_sum": "double",
    "value_volume": "double",
    "value_count": "bigint",
}
KEYS = ("symbol", "window_start")
INPUT_COLUMNS = (
    *KEYS,
    "trade_timestamp",
    "trade_id",
    "price",
    "volume",
    "trade_conditions",
)
"""The columns of trades from which bars follow."""
ACTIVITY_COLUMNS = ("first_trade", "last_trade", "newest_trade_id")
"""What is known of the trades of a bar beside it: the first and last time, and the newest trade id."""
SUMS = ("trade_count", "price_sum", "price_count", "value_sum", "value_volume", "value_count")
"""The columns of a bar that add up over the bars of a running average."""


def window_start(timestamp: Column) -> Column:
    """Return the start of the bar that a time falls into."""
    milliseconds = F.unix_millis(timestamp)
    return F.timestamp_millis(milliseconds - F.pmod(milliseconds, F.lit(BAR_SECONDS * 1000)))


def bars(trades: DataFrame, conditions: tuple[Condition, ...], few: bool = False) -> DataFrame:
    """Return the bar of every window of `trades`; a repeated trade_id counts once.

    The rows have BAR_COLUMNS and ACTIVITY_COLUMNS. `trades` needs INPUT_COLUMNS; an id may be of any type.
    With `few` one task does all, since each takes some milliseconds whatever it does.
    """
    columns = _bar_columns(conditions)
    permitted = trades.select(*columns.permissions)
    return (
        (permitted.coalesce(1) if few else permitted.repartition(*KEYS))
        .groupBy(*KEYS, "trade_timestamp", "trade_id")
        .agg(*columns.once)
        .groupBy(*KEYS)
        .agg(*columns.sums)
        .select(*columns.result)
    )


def running_averages(bars: DataFrame) -> DataFrame:
    """Return the running averages that the bars marked `changed` touch.

    `bars` has BAR_COLUMNS and `changed`; it must hold every stored bar within ten seconds of a changed one.
    """
    columns = _average_columns()
    return (
        bars.select("*", columns.start)
        .groupBy("symbol", "start")
        .agg(*columns.sums)
        .where("changed")
        .select(*columns.result)
    )


class _BarColumns(NamedTuple):
    """How bars follow from trades, step by step."""

    permissions: tuple[Column, ...]
    once: tuple[Column, ...]
    sums: tuple[Column, ...]
    result: tuple[Column, ...]


class _AverageColumns(NamedTuple):
    """How running averages follow from bars, step by step."""

    start: Column
    sums: tuple[Column, ...]
    result: tuple[Column, ...]


# Made once, since each piece of a column is a call from Python into the JVM: 1,300 calls a batch otherwise.
@cache
def _bar_columns(conditions: tuple[Condition, ...]) -> _BarColumns:
    order = F.struct("trade_timestamp", "trade_id")
    price, value = F.col("price"), F.col("price") * F.col("volume")
    has_value = F.col("has_price") & F.col("has_volume")
    return _BarColumns(
        permissions=(
            *map(F.col, (*KEYS, "trade_timestamp", "trade_id", "price", "volume")),
            _permits(conditions, lambda condition: condition.high_low).alias("has_price"),
            _permits(conditions, lambda condition: condition.open_close != "no").alias("may_open"),
            _permits(conditions, lambda condition: condition.open_close == "yes").alias("opens"),
            _permits(conditions, lambda condition: condition.volume).alias("has_volume"),
        ),
        once=tuple(
            F.first(name).alias(name)
            for name in ("price", "volume", "has_price", "may_open", "opens", "has_volume")
        ),
        sums=(
            F.coalesce(
                F.min_by("price", F.when(F.col("opens"), order)),
                F.min_by("price", F.when(F.col("may_open"), order)),
            ).alias("open"),
            F.max(F.when(F.col("has_price"), price)).alias("high"),
            F.min(F.when(F.col("has_price"), price)).alias("low"),
            F.coalesce(
                F.max_by("price", F.when(F.col("opens"), order)),
                F.max_by("price", F.when(F.col("may_open"), order)),
            ).alias("close"),
            _sum(F.col("has_volume"), F.col("volume")).alias("volume"),
            F.count("*").alias("trade_count"),
            _sum(F.col("has_price"), price).alias("price_sum"),
            F.count_if("has_price").alias("price_count"),
            _sum(has_value, value).alias("value_sum"),
            _sum(has_value, F.col("volume")).alias("value_volume"),
            F.count_if(has_value).alias("value_count"),
            F.min("trade_timestamp").alias("first_trade"),
            F.max("trade_timestamp").alias("last_trade"),
            F.max("trade_id").alias("newest_trade_id"),
        ),
        result=tuple(
            {
                "day": F.to_date("window_start").alias("day"),
                "vwap": _ratio("value_sum", "value_volume").alias("vwap"),
            }.get(name, F.col(name))
            for name in (*BAR_COLUMNS, *ACTIVITY_COLUMNS)
        ),
    )


@cache
def _average_columns() -> _AverageColumns:
    starts = F.array(
        *(
            F.col("window_start") - F.expr(f"INTERVAL {BAR_SECONDS * back} SECONDS")
            for back in range(BARS_PER_AVERAGE)
        )
    )
    return _AverageColumns(
        start=F.explode(starts).alias("start"),
        sums=(F.bool_or("changed").alias("changed"), *(F.sum(name).alias(name) for name in SUMS)),
        result=(
            F.col("symbol"),
            F.to_date("start").alias("day"),
            F.col("start").alias("window_start"),
            _ratio("price_sum", "price_count").alias("average_price"),
            _ratio("value_sum", "value_volume").alias("vwap"),
            _ratio("value_sum", "value_count").alias("price_volume"),
            F.col("trade_count"),
        ),
    )


def _permits(conditions: tuple[Condition, ...], permitted: Callable[[Condition], bool]) -> Column:
    """Return whether none of a trade's conditions forbids an update."""
    forbidding = [F.lit(condition.code) for condition in conditions if not permitted(condition)]
    return ~F.coalesce(F.arrays_overlap("trade_conditions", F.array(*forbidding)), F.lit(False))


def _sum(included: Column, value: Column) -> Column:
    return F.coalesce(F.sum(F.when(included, value)), F.lit(0.0))


def _ratio(numerator: str, denominator: str) -> Column:
    return F.when(F.col(denominator) != 0, F.col(numerator) / F.col(denominator))
