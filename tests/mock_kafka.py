"""librdkafka's mock broker: Kafka's protocol in this process, for tests of the publisher."""

from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

READ_SECONDS = 60


class MockKafka:
    """A broker that makes each topic when it is first named."""

    def __init__(self) -> None:
        self._host = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        [broker] = self._host.list_topics(timeout=READ_SECONDS).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def read(self, topic: str) -> list[Any]:
        """Return every message of a topic, by partition in the order of their arrival."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 5,
            }
        )
        partitions = consumer.list_topics(topic, timeout=READ_SECONDS).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        found: list[Any] = []
        unread = set(partitions)
        while unread:
            message = consumer.poll(READ_SECONDS)
            assert message is not None, f"the mock broker did not answer for {topic}"
            if message.error() is None:
                found.append(message)
            else:
                unread.discard(message.partition())
        consumer.close()
        return found
