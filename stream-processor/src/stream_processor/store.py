"""What the stream processor reads back from Cassandra, and the list of symbols."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import pyarrow as pa
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from cassandra.query import tuple_factory
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from common.cassandra import connect
from common.symbols import SYMBOLS_BUCKET, asset_class, calendar
from stream_processor.bars import BAR_COLUMNS, window_start
from stream_processor.columns import Columns, ddl
from stream_processor.settings import StreamProcessorSettings
from stream_processor.windows import BAR, Range, Selection, SymbolActivity, Window, hour_of

Item = TypeVar("Item")

KEYS_PER_QUERY = 100
# A worker holds the first page of so many ranges at once.
RANGES_IN_MEMORY = 8
CONCURRENT_QUERIES = 32
WINDOWS_PER_TASK = 500

STORED_TRADE_COLUMNS: Columns = {
    "symbol": "string",
    "trade_timestamp": "timestamp",
    "trade_id": "bigint",
    "price": "double",
    "volume": "double",
    "trade_conditions": "array<string>",
}
_ARROW_TYPES = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "array<string>": pa.list_(pa.string()),
}
_ARROW_TRADES = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in STORED_TRADE_COLUMNS.items()])


def open_session(settings: StreamProcessorSettings, **options: Any) -> Session:
    """Log in to Cassandra as the stream processor."""
    password = settings.cassandra_stream_processor_password
    return connect(settings, settings.cassandra_username, password, **options)


class Store:
    """Reads of bars, and the upkeep of the list of symbols, over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        columns = ", ".join(BAR_COLUMNS)
        self._select_bars = session.prepare(
            f"SELECT {columns} FROM bars_5s WHERE symbol = ? AND day = ? AND window_start IN ?"  # noqa: S608
        )
        self._insert_symbol = session.prepare(
            "INSERT INTO symbols (bucket, symbol, asset_class, source, calendar, first_seen, last_seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        self._known = {
            row.symbol: SymbolActivity(
                row.symbol, row.first_seen.replace(tzinfo=UTC), row.last_seen.replace(tzinfo=UTC), row.source
            )
            for row in session.execute(
                "SELECT symbol, first_seen, last_seen, source FROM symbols WHERE bucket = %s",
                [SYMBOLS_BUCKET],
            )
        }

    def bars(self, windows: Iterable[Window]) -> dict[Window, Any]:
        """Return the stored bars of `windows`, as rows of BAR_COLUMNS; windows without a bar are left out."""
        starts: dict[tuple[str, date], list[datetime]] = defaultdict(list)
        for window in windows:
            starts[window.symbol, window.start.date()].append(window.start)
        arguments = [
            (symbol, day, chunk)
            for (symbol, day), all_starts in starts.items()
            for chunk in _chunks(all_starts, KEYS_PER_QUERY)
        ]
        found: dict[Window, Any] = {}
        for _, rows in execute_concurrent_with_args(
            self._session,
            self._select_bars,
            arguments,
            concurrency=CONCURRENT_QUERIES,
            raise_on_first_error=True,
        ):
            for row in rows:
                start = row.window_start.replace(tzinfo=UTC)
                found[Window(row.symbol, start)] = row._replace(day=row.day.date(), window_start=start)
        return found

    def ranges(self, selection: Selection) -> list[Range]:
        """Return the ranges that hold the stored trades of a selection, of an hour each, in order."""
        partitions = self._session.execute("SELECT DISTINCT symbol, hour FROM trades")
        return selection.ranges((row.symbol, row.hour.replace(tzinfo=UTC)) for row in partitions)

    def upsert_symbols(self, activities: Iterable[SymbolActivity]) -> None:
        """Extend each symbol's span of time and remember its latest source."""
        statements = []
        for activity in activities:
            extended = activity.extended(self._known.get(activity.symbol, activity))
            self._known[activity.symbol] = extended
            values = (
                SYMBOLS_BUCKET,
                extended.symbol,
                asset_class(extended.symbol),
                extended.source,
                calendar(extended.symbol, extended.source),
                extended.first,
                extended.last,
            )
            statements.append((self._insert_symbol, values))
        execute_concurrent(
            self._session, statements, concurrency=CONCURRENT_QUERIES, raise_on_first_error=True
        )


def stored_trades(spark: SparkSession, wanted: list[Range]) -> DataFrame:
    """Return the stored trades of some ranges, as `bars` needs them; Spark's workers read them.

    Their trade_id is only their place among the trades of their range, which are in the order of the ids.
    """
    windows = sum((one.end - one.start) // BAR for one in wanted)
    tasks = min(-(-windows // WINDOWS_PER_TASK), len(wanted), spark.sparkContext.defaultParallelism)
    return (
        spark.createDataFrame([tuple(one) for one in wanted], "symbol string, start timestamp, end timestamp")
        .coalesce(tasks)
        .mapInArrow(_read_trades, ddl(STORED_TRADE_COLUMNS))
        .withColumn("window_start", window_start(F.col("trade_timestamp")))
    )


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))


_worker_session: list[Session] = []


def _read_trades(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if not _worker_session:
        _worker_session.append(open_session(StreamProcessorSettings.load(), row_factory=tuple_factory))
    session = _worker_session[0]
    # Numbers instead of times, since Python's times would be most of the work.
    select = session.prepare(
        "SELECT to_unix_timestamp(trade_timestamp), price, volume, trade_conditions FROM trades "
        "WHERE symbol = ? AND hour = ? AND trade_timestamp >= ? AND trade_timestamp < ?"
    )
    for batch in batches:
        for chunk in _chunks([Range(**row) for row in batch.to_pylist()], RANGES_IN_MEMORY):
            arguments = [(one.symbol, hour_of(one.start), one.start, one.end) for one in chunk]
            results = execute_concurrent_with_args(
                session, select, arguments, concurrency=CONCURRENT_QUERIES, raise_on_first_error=True
            )
            for one, (_, pages) in zip(chunk, results, strict=True):
                first = 0
                while rows := pages.current_rows:
                    yield _arrow_trades(one.symbol, rows, first)
                    first += len(rows)
                    pages.fetch_next_page()


def _arrow_trades(symbol: str, rows: list[tuple[Any, ...]], first: int) -> pa.RecordBatch:
    times, prices, volumes, conditions = zip(*rows, strict=True)
    columns = (
        pa.repeat(symbol, len(rows)),
        pa.array(times, pa.timestamp("ms", "UTC")),
        pa.array(range(first, first + len(rows)), pa.int64()),
        pa.array(prices, pa.float64()),
        pa.array(volumes, pa.float64()),
        pa.array(conditions, pa.list_(pa.string())),
    )
    return pa.record_batch(
        [column.cast(field.type) for column, field in zip(columns, _ARROW_TRADES, strict=True)],
        schema=_ARROW_TRADES,
    )
