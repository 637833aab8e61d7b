"""What the pages read from Kafka, as a user who may only read."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from common.dead_letters import DeadLetter, newest_dead_letters, newest_first
from common.kafka import BARS_GROUP, TRADES_GROUP, client_config
from common.schemas import events_schema, trades_schemas
from streamlit_pages.settings import StreamlitSettings

ANSWER_SECONDS = 5.0
SEARCH_SECONDS = 10.0
LONGEST_SEARCH = 2_000  # messages that are looked through for those of one symbol
GROUPS = {"trades": TRADES_GROUP, "bars": BARS_GROUP}


class BrokerUnavailableError(Exception):
    """Kafka cannot be read now; the message is one sentence."""


class Partition(NamedTuple):
    """A partition: the offsets of its first message and behind its last one, and what is not yet processed.

    `trades_lag` counts messages whose trades are not stored, `bars_lag` those that are not in bars; None
    where the topic holds no trades or nothing was ever processed.
    """

    topic: str
    number: int
    first: int
    end: int
    trades_lag: int | None
    bars_lag: int | None


class Message(NamedTuple):
    """A decoded message; `reason` says why `content` is its bytes only."""

    at: datetime
    partition: int
    offset: int
    key: str | None
    headers: dict[str, str]
    content: Any
    reason: str | None


class Broker:
    """Reads from Kafka; each raises BrokerUnavailableError when it does not answer."""

    def __init__(self, settings: StreamlitSettings) -> None:
        self._settings = settings
        self._config = client_config(settings, "streamlit", settings.kafka_streamlit_password) | {
            "log_level": 0
        }

    def partitions(self) -> tuple[Partition, ...]:
        """Return every partition of the topics of trades, events and dead letters."""
        settings = self._settings
        with self._consumer() as consumer:
            places = [
                TopicPartition(topic, number)
                for topic in (settings.kafka_topic_name, settings.events_topic, settings.dead_letter_topic)
                for number in sorted(
                    consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
                )
            ]
            ends = {
                (place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
                for place in places
            }
            trades = [place for place in places if place.topic == settings.kafka_topic_name]
            done = {name: self._committed(group, trades) for name, group in GROUPS.items()}
        return tuple(
            Partition(
                topic,
                number,
                first,
                end,
                *(_lag(done[name].get((topic, number)), first, end) for name in ("trades", "bars")),
            )
            for (topic, number), (first, end) in ends.items()
        )

    def newest(self, topic: str, number: int | None, symbol: str | None, limit: int) -> tuple[Message, ...]:
        """Return the newest messages of a topic, newest first; of one partition or symbol if named."""
        found: list[Message] = []
        with self._consumer() as consumer:
            partitions = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
            for partition in partitions if number is None else [number]:
                of_partition: list[Message] = []
                place = TopicPartition(topic, partition)
                deadline = time.monotonic() + SEARCH_SECONDS
                for count, raw in enumerate(newest_first(consumer, place, ANSWER_SECONDS, deadline)):
                    if symbol is None or raw.key() == symbol.encode():
                        of_partition.append(self._decode(raw))
                    if len(of_partition) >= limit or count >= LONGEST_SEARCH:
                        break
                found += of_partition
        return tuple(sorted(found, key=lambda message: message.at, reverse=True)[:limit])

    def dead_letters(self, symbol: str | None, limit: int) -> tuple[DeadLetter, ...]:
        """Return the newest dead letters, newest first."""
        with self._consumer() as consumer:
            return tuple(
                newest_dead_letters(
                    consumer,
                    self._settings.dead_letter_topic,
                    self._settings.market_home / "journal",
                    symbol=symbol,
                    limit=limit,
                    answer=ANSWER_SECONDS,
                    search=SEARCH_SECONDS,
                )
            )

    def _decode(self, raw: Any) -> Message:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in raw.headers() or []}
        value, key, reason = raw.value() or b"", raw.key(), None
        try:
            content: Any = self._read(raw.topic(), headers.get("schema", ""), value)
        except (ValueError, KeyError, EOFError, IndexError, TypeError) as error:
            content, reason = (
                value.decode("utf-8", "backslashreplace"),
                f"not readable ({type(error).__name__})",
            )
        return Message(
            at=datetime.fromtimestamp(raw.timestamp()[1] / 1000, UTC),
            partition=raw.partition(),
            offset=raw.offset(),
            key=key.decode("utf-8", "replace") if key else None,
            headers=headers,
            content=content,
            reason=reason,
        )

    def _read(self, topic: str, fingerprint: str, value: bytes) -> Any:
        events = topic == self._settings.events_topic
        schema = events_schema() if events else trades_schemas()[fingerprint]
        return fastavro.schemaless_reader(io.BytesIO(value), schema.parsed, None)

    def _committed(self, group: str, places: list[TopicPartition]) -> dict[tuple[str, int], int]:
        request = [
            ConsumerGroupTopicPartitions(group, [TopicPartition(one.topic, one.partition) for one in places])
        ]
        admin = AdminClient(self._config)  # it has to live until the answer is there
        [future] = admin.list_consumer_group_offsets(request).values()
        answer = future.result(ANSWER_SECONDS).topic_partitions
        return {(place.topic, place.partition): place.offset for place in answer if place.offset >= 0}

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer(
            {**self._config, "group.id": "streamlit", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        )
        try:
            yield consumer
        except (KafkaException, TimeoutError) as error:
            raise BrokerUnavailableError(
                f"Kafka does not answer at {self._settings.bootstrap_servers}."
            ) from error
        finally:
            consumer.close()


def _lag(done: int | None, first: int, end: int) -> int | None:
    return None if done is None else max(0, end - max(done, first))
