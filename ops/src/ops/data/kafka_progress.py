"""What Kafka knows of a replay: how far its trades were processed, and which became dead letters."""

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from common.kafka import is_transient
from ops.data.stall_detector import StallDetector
from ops.errors import MarketError
from ops.report import Report

Config = Mapping[str, str | int]

# Kafka answers within a second; after this time the request is sent again.
REQUEST_SECONDS = 10.0
POLL_SECONDS = 0.25


def explain_kafka_error(error: KafkaException | TimeoutError) -> str:
    """Return why a request to Kafka failed for now; raise MarketError when no retry can help."""
    if isinstance(error, TimeoutError):
        return "Kafka did not answer in time"
    reason = error.args[0].str().rstrip(".")
    if not is_transient(error):
        raise MarketError(f"Kafka refused a request: {reason}.") from None
    return f"Kafka did not answer ({reason})"


def end_offsets(admin: AdminClient, topic: str) -> dict[int, int]:
    """Return the offset behind the last message of each partition; raise KafkaException or TimeoutError."""
    metadata = admin.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    answers = admin.list_offsets(
        {TopicPartition(topic, partition): OffsetSpec.latest() for partition in metadata.partitions},
        request_timeout=REQUEST_SECONDS,
    )
    return {place.partition: future.result(REQUEST_SECONDS).offset for place, future in answers.items()}


class GroupProgress:
    """How far consumer groups have processed a topic."""

    def __init__(self, config: Config, topic: str) -> None:
        self._admin = AdminClient(dict(config))
        self._topic = topic

    def wait_until_committed(self, group: str, activity: str, report: Report) -> None:
        """Wait until a group has processed what is in the topic now.

        Raises MarketError when it makes no progress, or Kafka does not answer, for too long.
        """
        stall = StallDetector(f"The stream processor made no progress {activity}", report)
        ends: dict[int, int] = {}
        remaining: int | None = None
        while remaining != 0:
            try:
                ends = ends or end_offsets(self._admin, self._topic)
                committed = self._committed(group, ends)
                remaining = sum(max(end - committed.get(partition, 0), 0) for partition, end in ends.items())
                sentence = f"{activity}: {remaining:,} messages remained"
            except (KafkaException, TimeoutError) as error:
                sentence = f"{activity}: {explain_kafka_error(error)}"
            if remaining != 0:
                stall.update(remaining, sentence)
                time.sleep(POLL_SECONDS)

    def _committed(self, group: str, partitions: Iterable[int]) -> dict[int, int]:
        request = [TopicPartition(self._topic, partition) for partition in partitions]
        [future] = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, request)], request_timeout=REQUEST_SECONDS
        ).values()
        answer = future.result(REQUEST_SECONDS).topic_partitions
        return {place.partition: place.offset for place in answer if place.offset >= 0}


class DeadLetterCounter:
    """Counts the dead letters that are written from its start on; to be closed.

    The constructor raises KafkaException or TimeoutError when Kafka does not answer.
    """

    def __init__(self, config: Config, topic: str) -> None:
        self._topic = topic
        self._admin = AdminClient(dict(config))
        self._trades: dict[tuple[bytes | None, ...], int] = {}
        self._offsets = end_offsets(self._admin, topic)
        self._consumer = Consumer({**config, "group.id": "ops.replay", "enable.auto.commit": False})
        # Assigned, not subscribed: a command that looks on is no member of a group.
        self._consumer.assign(
            [TopicPartition(topic, partition, offset) for partition, offset in self._offsets.items()]
        )

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def count(self, journals: Iterable[str]) -> int:
        """Count the refused trades of some journals; one that was sent twice counts once.

        Raises KafkaException or TimeoutError when Kafka does not answer.
        """
        ends = end_offsets(self._admin, self._topic)
        deadline = time.monotonic() + REQUEST_SECONDS
        while any(self._offsets.get(partition, 0) < end for partition, end in ends.items()):
            for message in self._consumer.consume(500, timeout=POLL_SECONDS):
                if message.error() is None:
                    self._add(message)
                    self._offsets[message.partition()] = message.offset() + 1
            if time.monotonic() > deadline:
                raise TimeoutError
        wanted = {journal.encode() for journal in journals}
        return sum(
            trades for key, trades in self._trades.items() if (key[0] or b"").partition(b":")[0] in wanted
        )

    def _add(self, message: Message) -> None:
        headers = dict(message.headers() or [])
        place = headers.get("trade_id") or headers.get("position")
        try:
            trades = int(headers.get("trades") or b"1")
        except ValueError:
            trades = 1
        self._trades[headers.get("frame"), place, message.value()] = trades
