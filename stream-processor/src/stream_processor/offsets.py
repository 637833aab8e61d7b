"""How far each query has come, told to Kafka as the offsets of a consumer group."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

Offsets = dict[tuple[str, int], int]

OFFSET_LOG_VERSION = "v1"  # as Spark 3.5 writes it
ANSWER_WITHIN_SECONDS = 30.0  # pragma: no mutate: longer than a broker needs to start
LAG_WITHIN_SECONDS = 2.0  # pragma: no mutate: a broker answers at once, and a monitoring system waits
PAUSE_SECONDS = 0.5  # pragma: no mutate: between two attempts


def batch_end(checkpoint: Path, batch_id: int) -> Offsets:
    """Return the offsets at which a batch ends, from the log that Spark writes before it runs the batch.

    The log has a version, the batch's metadata and one line a source: `{topic: {partition: offset}}`.
    Raises ValueError when it has another format.
    """
    path = checkpoint / "offsets" / str(batch_id)
    version, _, *sources = path.read_text(encoding="utf-8").splitlines()
    if version != OFFSET_LOG_VERSION or len(sources) != 1:
        raise ValueError(f"{path} was not an offset log {OFFSET_LOG_VERSION} of one source.")
    [source] = sources
    return {
        (topic, int(partition)): offset
        for topic, partitions in json.loads(source).items()
        for partition, offset in partitions.items()
    }


class Progress:
    """The offsets up to which one query's results are in Cassandra.

    They are committed for a consumer group, so that Kafka's own tools show the lag and `./market replay` can
    wait for it, and found there again after a restart.
    """

    def __init__(self, login: Mapping[str, str | int], group: str) -> None:
        self._consumer = Consumer({**login, "group.id": group, "enable.auto.commit": False})
        self._reached: Offsets = {}
        self._moved = threading.Condition()
        self._given_up = False

    @property
    def reached(self) -> Offsets:
        """Return the offsets before which everything is stored."""
        with self._moved:
            return dict(self._reached)

    def restore(self, topic: str) -> None:
        """Read the committed offsets of a topic; raise KafkaException when Kafka does not answer in time."""
        partitions = self._consumer.list_topics(topic, timeout=ANSWER_WITHIN_SECONDS).topics[topic].partitions
        places = [TopicPartition(topic, partition) for partition in partitions]
        committed = _retried(lambda: self._consumer.committed(places, timeout=ANSWER_WITHIN_SECONDS))
        with self._moved:
            self._reached = {(p.topic, p.partition): max(p.offset, 0) for p in committed}

    def commit(self, offsets: Offsets) -> None:
        """Tell Kafka that everything before `offsets` is stored."""
        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        _retried(lambda: self._consumer.commit(offsets=places, asynchronous=False))
        with self._moved:
            self._reached = self._reached | offsets
            self._moved.notify_all()

    def lag(self) -> dict[int, int]:
        """Return for each partition how many messages are not stored yet; raise KafkaException.

        Messages that Kafka has removed do not count.
        """
        lag = {}
        for (topic, partition), offset in self.reached.items():
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=LAG_WITHIN_SECONDS
            )
            lag[partition] = max(high - max(offset, low), 0)
        return lag

    def wait_for(self, offsets: Offsets, seconds: float) -> bool:
        """Wait until everything before `offsets` is stored; return whether it is.

        The wait ends when nothing more was stored for so many seconds.
        """
        with self._moved:
            while not (self._given_up or self._covers(offsets)):
                if not self._moved.wait(timeout=seconds):
                    break
            return self._covers(offsets)

    def wait_ahead(self, offsets: Offsets, messages: int, seconds: float) -> None:
        """Wait some seconds, or until so many messages after `offsets` are stored."""
        with self._moved:
            self._moved.wait_for(
                lambda: self._given_up or self._ahead(offsets) >= messages, timeout=max(seconds, 0)
            )

    def ahead_to(self, offsets: Offsets) -> int:
        """Return how many messages before `offsets` are not stored yet."""
        reached = self.reached
        return sum(max(offset - reached.get(place, 0), 0) for place, offset in offsets.items())

    def give_up(self) -> None:
        """End every wait."""
        with self._moved:
            self._given_up = True
            self._moved.notify_all()

    def _ahead(self, offsets: Offsets) -> int:
        return sum(max(reached - offsets.get(place, 0), 0) for place, reached in self._reached.items())

    def _covers(self, offsets: Offsets) -> bool:
        return all(self._reached.get(partition, 0) >= offset for partition, offset in offsets.items())


def _retried(
    call: Callable[[], list[TopicPartition]], seconds: float = ANSWER_WITHIN_SECONDS
) -> list[TopicPartition]:
    """Repeat a call while the group has no coordinator, as just after Kafka's start."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            partitions = call()
            error = next((partition.error for partition in partitions if partition.error is not None), None)
            if error is None:
                return partitions
            raise KafkaException(error)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
