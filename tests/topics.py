"""What Kafka's topics hold, read from their beginning."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from collector.journal import journal_ids, read_lines
from common.frames import read_frame
from common.kafka import client_config
from common.recording import decode
from common.schemas import trades_schema
from common.settings import KafkaSettings
from stack import Stack

Symbol = tuple[str, str]


def admin_login(stack: Stack) -> dict[str, str | int]:
    """Return the login of the user that may do everything."""
    settings = KafkaSettings(kafka_port=int(stack.settings["KAFKA_PORT"]))
    return client_config(settings, "admin", SecretStr(stack.secrets()["KAFKA_ADMIN_PASSWORD"]))


def topic_names(stack: Stack) -> set[str]:
    """Return the names of all topics."""
    return set(AdminClient(admin_login(stack)).list_topics(timeout=60).topics)


def delete_topic(stack: Stack, topic: str) -> None:
    """Delete a topic with all its messages."""
    admin = AdminClient(admin_login(stack))  # which has to live until the answer comes
    admin.delete_topics([topic])[topic].result(timeout=60)


def read_topic(stack: Stack, topic: str) -> list[Any]:
    """Return every message that a topic holds now."""
    options: dict[str, str | int | bool] = {"group.id": "tests", "enable.auto.commit": False}
    consumer = Consumer(admin_login(stack) | options | {"enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found = []
    left = set(partitions)
    while left:
        for message in consumer.consume(1000, timeout=0.5):
            if message.error() is None:
                found.append(message)
            else:
                left.discard(message.partition())
    consumer.close()
    return found


def published(stack: Stack) -> dict[Symbol, list[int]]:
    """Return, for each (frame, symbol) of the journals, how many trades each of its messages holds."""
    journals = set(journal_ids(stack.home / "journal"))
    found: dict[Symbol, list[int]] = {}
    for message in read_topic(stack, stack.topic):
        frame = dict(message.headers() or []).get("frame", b"").decode()
        if frame.partition(":")[0] not in journals:
            continue
        decoded = fastavro.schemaless_reader(io.BytesIO(message.value()), trades_schema().parsed, None)
        found.setdefault((frame, message.key().decode()), []).append(len(decoded["data"]))
    return found


def journaled(folder: Path, journal: str) -> Counter[Symbol]:
    """Return how many trades each (frame, symbol) of a journal has."""
    return Counter(
        {
            (f"{journal}:{number}", symbol): len(trades)
            for number, line in enumerate(read_lines(folder, journal), start=1)
            for symbol, trades in read_frame(decode(line).text).trades.items()
        }
    )


def all_journaled(folder: Path) -> Counter[Symbol]:
    """Return the same of all journals."""
    return sum((journaled(folder, journal) for journal in journal_ids(folder)), Counter())


def frames_in_order(stack: Stack, journals: set[str]) -> dict[str, list[tuple[str, int]]]:
    """Return, by symbol, the (journal, line) of its messages in the order in which Kafka first had them."""
    found: dict[str, dict[tuple[str, int], None]] = {}
    for message in read_topic(stack, stack.topic):
        journal, _, line = dict(message.headers() or []).get("frame", b"").decode().partition(":")
        if journal in journals:
            found.setdefault(message.key().decode(), {})[journal, int(line)] = None
    return {symbol: list(frames) for symbol, frames in found.items()}


def stored(stack: Stack, journal: str) -> int:
    """Count a journal's trades in Cassandra."""
    select = "SELECT count(*) FROM trades WHERE symbol = %s AND hour = %s"
    of_journal = " AND trade_id >= %s AND trade_id < %s ALLOW FILTERING"
    session = stack.cassandra()
    partitions = session.execute("SELECT DISTINCT symbol, hour FROM trades").all()
    count = sum(
        session.execute(select + of_journal, (symbol, hour, f"{journal}:", f"{journal};")).one()[0]
        for symbol, hour in partitions
    )
    session.cluster.shutdown()
    return int(count)
