"""The three streaming queries: raw trades, bars with running averages, and the feed's events."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.streaming import StreamingQuery

from common.bars import BAR_SECONDS
from common.cassandra import KEYSPACE
from common.kafka import BARS_GROUP, EVENTS_GROUP, TRADES_GROUP, client_config
from common.schemas import trade_conditions, trades_schema, trades_schemas
from stream_processor.bars import BAR_COLUMNS, bars, running_averages, window_start
from stream_processor.columns import ddl
from stream_processor.errors import explain
from stream_processor.messages import (
    EVENT_COLUMNS,
    MAX_REQUEST_BYTES,
    TRADE_COLUMNS,
    event_dead_letters,
    read_events,
    read_trades,
    trade_dead_letters,
)
from stream_processor.metrics import Metrics
from stream_processor.observer import Observer
from stream_processor.offsets import Progress, batch_end
from stream_processor.session import kafka_options
from stream_processor.settings import StreamProcessorSettings
from stream_processor.store import STORED_TRADE_COLUMNS, Store, open_session, stored_trades
from stream_processor.windows import (
    Window,
    WindowTrades,
    count_late,
    neighbourhood,
    symbol_activity,
)

# How often Kafka is asked for more. A longer tick would be idle time while there is a backlog; a query whose
# batch was small waits by itself.
BACKLOG_TRIGGER = "200 milliseconds"
EVENTS_TRIGGER = "5 seconds"
SMALL_BATCH_TRADES = 100
SMALL_BATCH_SECONDS = 1.0
BACKLOG_MESSAGES = 1_000
LATENCY_QUANTILES = [(part + 0.5) / 20 for part in range(20)]
STORED_WITHIN_SECONDS = 300.0


class Queries:
    """Starts the queries and holds what they share."""

    def __init__(self, settings: StreamProcessorSettings, spark: SparkSession, metrics: Metrics) -> None:
        self._settings = settings
        self._spark = spark
        self._metrics = metrics
        self._reasons: dict[str, str] = {}
        self._stopping = threading.Event()
        login = client_config(settings, settings.kafka_username, settings.kafka_stream_processor_password)
        self._store = Store(open_session(settings))
        self._trades_progress = Progress(login, TRADES_GROUP)
        self._trades_progress.restore(settings.kafka_topic_name)
        self._bars_progress = Progress(login, BARS_GROUP)
        self._bars_progress.restore(settings.kafka_topic_name)
        self._events_progress = Progress(login, EVENTS_GROUP)
        self._events_progress.restore(settings.events_topic)
        metrics.watch_lag(
            {
                "trades": self._trades_progress.lag,
                "bars": self._bars_progress.lag,
                "events": self._events_progress.lag,
            }
        )
        good = F.col("reason").isNull()
        self._observer = Observer(
            spark,
            F.count_if(good).alias("stored"),
            F.count("reason").alias("refused"),
            F.percentile_approx(F.when(good, F.col("received_ms")), LATENCY_QUANTILES, 100).alias("received"),
        )
        self._conditions = trade_conditions()
        self._bar_schema = spark.createDataFrame([], ddl(BAR_COLUMNS)).schema

    def start(self) -> list[StreamingQuery]:
        """Start all queries."""
        topic = self._settings.kafka_topic_name
        trades = read_trades(self._read(topic), trades_schemas(), trades_schema())
        good = (
            trades.where("reason IS NULL")
            .withColumn("window_start", window_start(F.col("trade_timestamp")))
            .select(*STORED_TRADE_COLUMNS)
        )
        return [
            self._run("trades", trades, BACKLOG_TRIGGER, self._write_trades),
            self._run("bars", good, BACKLOG_TRIGGER, self._write_bars),
            self._run(
                "events",
                read_events(self._read(self._settings.events_topic)),
                EVENTS_TRIGGER,
                self._write_events,
            ),
        ]

    def stop(self, running: list[StreamingQuery]) -> None:
        """Stop the queries; bars that wait for their trades give up, and are repeated at the next start."""
        self._stopping.set()
        self._trades_progress.give_up()
        for query in running:
            query.stop()

    def failure(self, query: StreamingQuery) -> str:
        """Return in one sentence why a query has ended."""
        return self._reasons.get(query.name) or explain(query.exception())

    def _read(self, topic: str) -> DataFrame:
        return (
            self._spark.readStream.format("kafka")
            .options(**kafka_options(self._settings))
            .option("subscribe", topic)
            .option("startingOffsets", "earliest")
            .option("includeHeaders", True)
            .option("failOnDataLoss", False)
            .option("maxOffsetsPerTrigger", self._settings.spark_max_messages_per_batch)
            .load()
        )

    def _run(
        self, name: str, frame: DataFrame, trigger: str, write: Callable[[DataFrame, int], None]
    ) -> StreamingQuery:
        def process(batch: DataFrame, batch_id: int) -> None:
            try:
                write(batch, batch_id)
            except Exception as error:
                self._reasons[name] = explain(error)
                raise

        return (
            frame.writeStream.queryName(name)
            .foreachBatch(process)
            .trigger(processingTime=trigger)
            .option("checkpointLocation", str(self._checkpoint(name)))
            .start()
        )

    def _checkpoint(self, name: str) -> Path:
        return self._settings.checkpoints / name

    def _write_trades(self, trades: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        observed, figures = self._observer.observe(trades)
        _append(observed.where("reason IS NULL").select(*TRADE_COLUMNS), "trades")
        found = figures()
        stored, refused = found["stored"], found["refused"]
        now_ms = time.time_ns() // 1_000_000
        self._metrics.latency.add(stored, [(now_ms - ms) / 1000 for ms in found.get("received", ())])
        self._metrics.trades_stored.inc(stored)
        if refused:
            self._write_dead_letters(trade_dead_letters(trades), refused)
        self._metrics.add_batch("trades", time.monotonic() - started)
        self._trades_progress.commit(batch_end(self._checkpoint("trades"), batch_id))
        if stored < SMALL_BATCH_TRADES:
            self._stopping.wait(started + SMALL_BATCH_SECONDS - time.monotonic())

    def _write_bars(self, trades: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        end = batch_end(self._checkpoint("bars"), batch_id)
        if not self._trades_progress.wait_for(end, STORED_WITHIN_SECONDS):
            raise TimeoutError(
                f"The trades of batch {batch_id} were not stored within {STORED_WITHIN_SECONDS:.0f} s."
            )
        work_started = time.monotonic()
        made = bars(trades, self._conditions).persist()
        try:
            touched = windows_of(made)
            if touched:
                self._update_bars(made, touched)
                self._store.upsert_symbols(symbol_activity(touched))
        finally:
            made.unpersist()
        self._metrics.bars_written.inc(len(touched))
        self._metrics.add_batch("bars", time.monotonic() - work_started)
        self._bars_progress.commit(end)
        self._trades_progress.wait_ahead(end, BACKLOG_MESSAGES, started + BAR_SECONDS - time.monotonic())

    def _update_bars(self, made: DataFrame, touched: dict[Window, WindowTrades]) -> None:
        """Write the bars of the windows that a batch touches, and the running averages over them.

        `made` are the bars of the batch's trades. They are final where a window had no bar, since every
        earlier batch wrote the bars of its own. The trades of the other windows, the batch's among them, are
        read back.
        """
        stored = self._store.bars(neighbourhood(touched))
        known = [window for window in stored if window in touched]
        neighbours = [row for window, row in stored.items() if window not in touched]

        changed = made.select(*BAR_COLUMNS)
        if known:
            read_back = bars(stored_trades(self._spark, known), self._conditions).select(*BAR_COLUMNS)
            places = self._spark.createDataFrame(known, "symbol string, window_start timestamp")
            new = changed.join(F.broadcast(places), ["symbol", "window_start"], "left_anti")
            changed = (read_back.unionByName(new) if len(known) < len(touched) else read_back).persist()
        try:
            _append(changed, "bars_5s")
            all_bars = changed.withColumn("changed", F.lit(True)).unionByName(
                self._spark.createDataFrame(neighbours, self._bar_schema).withColumn("changed", F.lit(False))
            )
            _append(running_averages(all_bars), "running_averages_15s")
        finally:
            if known:
                changed.unpersist()
        self._metrics.late.inc(count_late(touched, known, datetime.now(UTC)))

    def _write_events(self, events: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        events.persist()
        try:
            _append(events.where("reason IS NULL").select(*EVENT_COLUMNS), "feed_events")
            refused = events.where("reason IS NOT NULL").count()
            if refused:
                self._write_dead_letters(event_dead_letters(events), refused)
        finally:
            events.unpersist()
        self._metrics.add_batch("events", time.monotonic() - started)
        self._events_progress.commit(batch_end(self._checkpoint("events"), batch_id))

    def _write_dead_letters(self, letters: DataFrame, count: int) -> None:
        (
            letters.write.format("kafka")
            .options(**kafka_options(self._settings))
            .option("kafka.max.request.size", MAX_REQUEST_BYTES)
            .option("topic", self._settings.dead_letter_topic)
            .save()
        )
        self._metrics.dead_lettered.inc(count)


def _append(frame: DataFrame, table: str) -> None:
    frame.write.format("org.apache.spark.sql.cassandra").options(keyspace=KEYSPACE, table=table).mode(
        "append"
    ).save()


def windows_of(made: DataFrame) -> dict[Window, WindowTrades]:
    """Return the windows of a batch's bars, which have ACTIVITY_COLUMNS too."""
    rows = made.select(
        "symbol",
        F.unix_millis("window_start"),
        "trade_count",
        F.unix_millis("first_trade"),
        F.unix_millis("last_trade"),
        "newest_trade_id",
    ).collect()
    return {
        Window(symbol, _utc(start)): WindowTrades(count, _utc(first), _utc(last), newest)
        for symbol, start, count, first, last, newest in rows
    }


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
