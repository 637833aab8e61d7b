"""The three streaming queries: raw trades, bars with running averages, and the feed's events."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.streaming import StreamingQuery

from common.bars import BAR_SECONDS
from common.kafka import BARS_GROUP, EVENTS_GROUP, TRADES_GROUP, client_config
from common.schemas import trades_schema, trades_schemas
from stream_processor.bar_writer import BarWriter, append
from stream_processor.bars import INPUT_COLUMNS, window_start
from stream_processor.errors import explain
from stream_processor.messages import (
    EVENT_COLUMNS,
    MAX_REQUEST_BYTES,
    TRADE_COLUMNS,
    event_dead_letters,
    read_events,
    read_trades,
    stored_columns,
    trade_dead_letters,
)
from stream_processor.metrics import Metrics
from stream_processor.observer import Observer
from stream_processor.offsets import Progress, batch_end
from stream_processor.session import kafka_options
from stream_processor.settings import StreamProcessorSettings
from stream_processor.store import Store, open_session
from stream_processor.windows import count_late, symbol_activity

# At once, as a tick would be idle time while there is a backlog. A query whose batch was small waits by
# itself, and one that finds nothing asks Kafka again after `session.POLLING_MS`.
BACKLOG_TRIGGER = "0 seconds"
EVENTS_TRIGGER = "5 seconds"
SMALL_BATCH_TRADES = 100
SMALL_BATCH_SECONDS = 1.0
BACKLOG_MESSAGES = 1_000
# So many messages are the work of one task: each task takes some milliseconds whatever it does.
FEW_MESSAGES = 1_000
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
        # Made once: each piece is a call from Python into the JVM.
        self._stored_columns = stored_columns()
        self._observed_columns = tuple(map(F.col, (*TRADE_COLUMNS, "reason", "received_ms")))
        self._observer = Observer(
            spark,
            F.count_if(good).alias("stored"),
            F.count("reason").alias("refused"),
            F.percentile_approx(F.when(good, F.col("received_ms")), LATENCY_QUANTILES, 100).alias("received"),
        )
        self._bar_writer = BarWriter(spark, self._store, settings.market_home)

    def start(self) -> list[StreamingQuery]:
        """Start all queries."""
        topic = self._settings.kafka_topic_name
        trades = read_trades(self._read(topic), trades_schemas(), trades_schema())
        good = (
            trades.where("reason IS NULL")
            .withColumn("window_start", window_start(F.col("trade_timestamp")))
            .select(*INPUT_COLUMNS)
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
        end = batch_end(self._checkpoint("trades"), batch_id)
        few = self._trades_progress.ahead_to(end) < FEW_MESSAGES
        # Spark would else make every column of what is observed.
        written = trades.select(*self._observed_columns)
        observed, figures = self._observer.observe(written.coalesce(1) if few else written)
        append(observed.where("reason IS NULL").select(*self._stored_columns), "trades")
        found = figures()
        stored, refused = found["stored"], found["refused"]
        now_ms = time.time_ns() // 1_000_000
        self._metrics.latency.add(stored, [(now_ms - ms) / 1000 for ms in found.get("received", ())])
        self._metrics.trades_stored.inc(stored)
        if refused:
            self._write_dead_letters(trade_dead_letters(trades), refused)
        self._metrics.add_batch("trades", time.monotonic() - started)
        self._trades_progress.commit(end)
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
        few = self._bars_progress.ahead_to(end) < FEW_MESSAGES
        touched, known = self._bar_writer.update(trades, few)
        if touched:
            self._store.upsert_symbols(symbol_activity(touched))
        self._metrics.bars_written.inc(len(touched))
        self._metrics.late.inc(count_late(touched, known, datetime.now(UTC)))
        self._metrics.add_batch("bars", time.monotonic() - work_started)
        self._bars_progress.commit(end)
        self._trades_progress.wait_ahead(end, BACKLOG_MESSAGES, started + BAR_SECONDS - time.monotonic())

    def _write_events(self, events: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        events.persist()
        try:
            append(events.where("reason IS NULL").select(*EVENT_COLUMNS), "feed_events")
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
