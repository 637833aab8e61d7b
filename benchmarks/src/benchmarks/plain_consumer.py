"""The stream processor's peer: a plain consumer that stores trades, bars and running averages.

`python -m benchmarks.plain_consumer TOPIC MESSAGES` reads so many messages from the topic's beginning and
prints the seconds and the CPU seconds that it took. It handles no late trade, repeated message or restart.
"""

import io
import json
import math
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import fastavro
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent
from cassandra.query import BatchStatement, BatchType, PreparedStatement
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from common.cassandra import connect
from common.identity import trade_id
from common.schemas import trade_conditions, trades_schema
from ops.clients import kafka_config
from ops.settings import OpsSettings

MESSAGES_AT_ONCE = 2_000
ROWS_PER_BATCH = 200
CONCURRENT_BATCHES = 16
BAR_MS = 5_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_PRICE = {condition.code for condition in trade_conditions() if not condition.high_low}

Partition = tuple[str, Any]
Rows = dict[Partition, list[tuple[Any, ...]]]


class Bar:
    """The sums of a window."""

    __slots__ = (
        "close",
        "count",
        "high",
        "low",
        "open",
        "price_count",
        "price_sum",
        "value_sum",
        "value_volume",
        "volume",
    )

    def __init__(self) -> None:
        self.open: float | None = None
        self.close: float | None = None
        self.high, self.low = -math.inf, math.inf
        self.volume = self.price_sum = self.value_sum = self.value_volume = 0.0
        self.count = self.price_count = 0

    def add(self, price: float, volume: float, priced: bool) -> None:
        """Count a trade."""
        self.count += 1
        self.volume += volume
        if priced:
            if self.open is None:
                self.open = price
            self.close = price
            self.high, self.low = max(self.high, price), min(self.low, price)
            self.price_sum += price
            self.price_count += 1
            self.value_sum += price * volume
            self.value_volume += volume


def main() -> None:
    """Store everything."""
    topic, count = sys.argv[1], int(sys.argv[2])
    settings = OpsSettings.load()
    consumer = Consumer({**kafka_config(settings), "group.id": "ops.plain-consumer"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    session = connect(settings, "admin", settings.cassandra_admin_password)
    writer = Writer(session)
    schema = trades_schema().parsed
    bars: dict[tuple[str, int], Bar] = defaultdict(Bar)
    start, cpu = time.perf_counter(), time.process_time()
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    done = 0
    while done < count:
        rows: Rows = defaultdict(list)
        touched: dict[tuple[str, int], None] = {}
        messages = consumer.consume(MESSAGES_AT_ONCE, timeout=0.1)
        for message in messages:
            headers = dict(message.headers())
            journal, _, line = headers["frame"].decode().partition(":")
            received = int(headers["received_ms"])
            decoded = fastavro.schemaless_reader(io.BytesIO(message.value()), schema, None)
            kind = decoded["type"]
            for index, trade in enumerate(decoded["data"]):
                symbol, at, price, volume, conditions = (trade[name] for name in "stpvc")
                hour = at - at % 3_600_000
                rows[symbol, hour].append(
                    (
                        symbol,
                        hour,
                        at,
                        trade_id(journal, int(line), index),
                        price,
                        volume,
                        conditions,
                        received,
                        kind,
                    )
                )
                place = symbol, at - at % BAR_MS
                bars[place].add(price, volume, not (conditions and NO_PRICE.intersection(conditions)))
                touched[place] = None
        writer.write(writer.insert_trade, rows)
        writer.write(writer.insert_bar, bar_rows(bars, touched))
        writer.write(writer.insert_average, average_rows(bars, touched))
        done += len(messages)
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
    session.cluster.shutdown()


def bar_rows(bars: dict[tuple[str, int], Bar], touched: dict[tuple[str, int], None]) -> Rows:
    """Return the rows of the touched bars by partition."""
    rows: Rows = defaultdict(list)
    for symbol, start in touched:
        bar = bars[symbol, start]
        day = (EPOCH + timedelta(milliseconds=start)).date()
        rows[symbol, day].append(
            (
                symbol,
                day,
                start,
                bar.open,
                bar.high if bar.price_count else None,
                bar.low if bar.price_count else None,
                bar.close,
                bar.volume,
                bar.value_sum / bar.value_volume if bar.value_volume else None,
                bar.count,
                bar.price_sum,
                bar.price_count,
                bar.value_sum,
                bar.value_volume,
                bar.price_count,
            )
        )
    return rows


def average_rows(bars: dict[tuple[str, int], Bar], touched: dict[tuple[str, int], None]) -> Rows:
    """Return the rows of the running averages over touched bars by partition."""
    rows: Rows = defaultdict(list)
    starts = {(symbol, start - back): None for symbol, start in touched for back in (0, BAR_MS, 2 * BAR_MS)}
    for symbol, start in starts:
        parts = [
            bar for ahead in (0, BAR_MS, 2 * BAR_MS) if (bar := bars.get((symbol, start + ahead))) is not None
        ]
        prices = sum(bar.price_count for bar in parts)
        value, volume = sum(bar.value_sum for bar in parts), sum(bar.value_volume for bar in parts)
        day = (EPOCH + timedelta(milliseconds=start)).date()
        rows[symbol, day].append(
            (
                symbol,
                day,
                start,
                sum(bar.price_sum for bar in parts) / prices if prices else None,
                value / volume if volume else None,
                value / prices if prices else None,
                sum(bar.count for bar in parts),
            )
        )
    return rows


class Writer:
    """Writes rows in batches of one partition each."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.insert_trade = self._prepare(
            "trades",
            "symbol, hour, trade_timestamp, trade_id, price, volume, trade_conditions, ingest_timestamp, "
            "type",
        )
        self.insert_bar = self._prepare(
            "bars_5s",
            "symbol, day, window_start, open, high, low, close, volume, vwap, trade_count, price_sum, "
            "price_count, value_sum, value_volume, value_count",
        )
        self.insert_average = self._prepare(
            "running_averages_15s",
            "symbol, day, window_start, average_price, vwap, price_volume, trade_count",
        )

    def _prepare(self, table: str, columns: str) -> PreparedStatement:
        marks = ", ".join("?" for _ in columns.split(","))
        return self._session.prepare(f"INSERT INTO {table} ({columns}) VALUES ({marks})")

    def write(self, insert: PreparedStatement, rows: Rows) -> None:
        """Write rows and wait until all are acknowledged."""
        batches = []
        for of_partition in rows.values():
            waiting = iter(of_partition)
            while chunk := list(islice(waiting, ROWS_PER_BATCH)):
                batch = BatchStatement(BatchType.UNLOGGED)
                for row in chunk:
                    batch.add(insert, row)
                batches.append((batch, ()))
        execute_concurrent(self._session, batches, concurrency=CONCURRENT_BATCHES, raise_on_first_error=True)


if __name__ == "__main__":
    main()
