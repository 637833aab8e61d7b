"""The one place that writes bars and running averages."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from common.cassandra import KEYSPACE
from common.schemas import trade_conditions
from stream_processor.bars import BAR_COLUMNS, bars, running_averages
from stream_processor.columns import ddl
from stream_processor.store import Store, stored_trades
from stream_processor.windows import Range, Window, WindowTrades, neighbourhood, ranges, utc


class BarWriter:
    """Writes the bars of trades, and the running averages over them.

    Two processes of one home take turns: a bar that was computed before another process wrote it would else
    replace a newer one.
    """

    def __init__(self, spark: SparkSession, store: Store, home: Path) -> None:
        self._spark = spark
        self._store = store
        self._lock_file = home / "run" / "bars.lock"
        self._conditions = trade_conditions()
        self._bar_columns = tuple(map(F.col, BAR_COLUMNS))
        self._changed, self._unchanged = (F.lit(flag).alias("changed") for flag in (True, False))
        self._bar_schema = spark.createDataFrame([], ddl(BAR_COLUMNS)).schema

    def update(self, trades: DataFrame, few: bool) -> tuple[Mapping[Window, WindowTrades], list[Window]]:
        """Write the bars of the windows that a batch of stored trades touches.

        The bars of the batch are final where a window had no bar, since every earlier batch wrote the bars of
        its own. The trades of the other windows, the batch's among them, are read back. With `few` trades one
        task does each step. Returns the batch's windows, and those that had a bar already.
        """
        with self._turn():
            made = bars(trades, self._conditions, few).persist()
            try:
                touched = windows_of(made)
                stored = self._store.bars(neighbourhood(touched))
                known = [window for window in stored if window in touched]
                neighbours = [row for window, row in stored.items() if window not in touched]
                changed = made.select(*self._bar_columns)
                if known:
                    read_back = self._stored_bars(ranges(known), few).select(*self._bar_columns)
                    new = self._without(changed, known)
                    changed = read_back.unionByName(new) if len(known) < len(touched) else read_back
                    changed = (changed.coalesce(1) if few else changed).persist()
                if touched:
                    self._write(changed, neighbours, few)
                if known:
                    changed.unpersist()
            finally:
                made.unpersist()
        return touched, known

    def rebuild(self, wanted: list[Range]) -> tuple[int, int]:
        """Write the bars of stored trades again; return how many, and how many stayed as they are.

        A bar that counts more trades than are stored stays: the others have expired.
        """
        with self._turn():
            made = self._stored_bars(wanted, few=False).persist()
            try:
                touched = windows_of(made)
                stored = self._store.bars(neighbourhood(touched))
                kept = {
                    window
                    for window, row in stored.items()
                    if window in touched and (row.trade_count or 0) > touched[window].trades
                }
                changed = made.select(*self._bar_columns)
                neighbours = [
                    row for window, row in stored.items() if window not in touched or window in kept
                ]
                if len(kept) < len(touched):
                    changed = self._without(changed, sorted(kept)) if kept else changed
                    self._write(changed, neighbours, few=False, replaces=True)
            finally:
                made.unpersist()
        return len(touched) - len(kept), len(kept)

    def _stored_bars(self, wanted: list[Range], few: bool) -> DataFrame:
        return bars(stored_trades(self._spark, wanted), self._conditions, few)

    def _without(self, rows: DataFrame, windows: list[Window]) -> DataFrame:
        places = self._spark.createDataFrame(windows, "symbol string, window_start timestamp")
        return rows.join(F.broadcast(places), ["symbol", "window_start"], "left_anti")

    def _write(self, changed: DataFrame, neighbours: list[Any], few: bool, replaces: bool = False) -> None:
        append(changed, "bars_5s", replaces)
        all_bars = changed.select("*", self._changed)
        if neighbours:
            others = self._spark.createDataFrame(neighbours, self._bar_schema)
            all_bars = all_bars.unionByName(others.select("*", self._unchanged))
        averages = running_averages(all_bars.coalesce(1) if few else all_bars)
        append(averages, "running_averages_15s", replaces)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def append(frame: DataFrame, table: str, replaces: bool = False) -> None:
    """Write rows to a table; a null leaves what is there, or with `replaces` removes it, by a tombstone."""
    (
        frame.write.format("org.apache.spark.sql.cassandra")
        .options(keyspace=KEYSPACE, table=table)
        .option("spark.cassandra.output.ignoreNulls", not replaces)
        .mode("append")
        .save()
    )


def windows_of(made: DataFrame) -> dict[Window, WindowTrades]:
    """Return the windows of bars that have ACTIVITY_COLUMNS too."""
    rows = made.select(*_window_columns()).collect()
    return {
        Window(symbol, utc(start)): WindowTrades(count, utc(first), utc(last), newest)
        for symbol, start, count, first, last, newest in rows
    }


@cache
def _window_columns() -> tuple[Column, ...]:
    return (
        F.col("symbol"),
        F.unix_millis("window_start"),
        F.col("trade_count"),
        F.unix_millis("first_trade"),
        F.unix_millis("last_trade"),
        F.col("newest_trade_id"),
    )
