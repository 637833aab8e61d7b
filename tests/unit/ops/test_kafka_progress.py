"""What is read from Kafka about a replay, over librdkafka's own mock of a broker."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from ops.data import kafka_progress
from ops.data.kafka_progress import DeadLetterCounter, GroupProgress, explain_kafka_error
from ops.errors import MarketError
from stack import free_ports

JOURNAL = "20260101T000000000d"
OTHER = "20260102T000000000d"
GROUP = "tests"


@pytest.fixture
def broker() -> Iterator[str]:
    """Run a mock broker in a producer; give its address."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0, "bootstrap.servers": "ignored"})
    [server] = producer.list_topics(timeout=60).brokers.values()
    yield f"{server.host}:{server.port}"


def config(address: str) -> dict[str, str | int]:
    return {"bootstrap.servers": address, "log_level": 0}


def send(address: str, topic: str, *messages: tuple[bytes, dict[str, bytes]]) -> None:
    producer = Producer(config(address))
    for value, headers in messages:
        producer.produce(topic, value, headers=list(headers.items()), partition=0)
    assert producer.flush(60) == 0


def commit(address: str, topic: str, offset: int) -> None:
    consumer = Consumer(config(address) | {"group.id": GROUP})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits of what is to fail."""
    monkeypatch.setattr(kafka_progress, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr("ops.data.stall_detector.NO_PROGRESS_SECONDS", 0.5)


@pytest.mark.usefixtures("hurried")
def test_a_wait_for_a_kafka_that_is_gone_ends_with_a_sentence() -> None:
    progress = GroupProgress(config(f"127.0.0.1:{free_ports(1)[0]}"), "market")
    with pytest.raises(
        MarketError,
        match=r"^The stream processor made no progress writing the bars for .* Kafka did not answer",
    ):
        progress.wait_until_committed(GROUP, "writing the bars", lambda _: None)


def test_a_wait_ends_when_the_group_has_committed_what_was_there(broker: str) -> None:
    send(broker, "market", *[(b"x", {})] * 3)
    commit(broker, "market", 3)
    GroupProgress(config(broker), "market").wait_until_committed(GROUP, "storing", lambda _: None)


def test_a_group_that_has_not_committed_is_waited_for_and_named_when_it_stalls(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.data.stall_detector.NO_PROGRESS_SECONDS", 0.5)
    send(broker, "market", *[(b"x", {})] * 3)
    commit(broker, "market", 1)
    with pytest.raises(MarketError, match=r"no progress storing for .*storing: 2 messages remained\."):
        GroupProgress(config(broker), "market").wait_until_committed(GROUP, "storing", lambda _: None)


@pytest.mark.usefixtures("hurried")
def test_a_topic_that_is_lost_is_no_topic_without_messages(broker: str) -> None:
    del broker
    progress = GroupProgress(config(f"127.0.0.1:{free_ports(1)[0]}"), "lost")
    with pytest.raises(MarketError):
        progress.wait_until_committed(GROUP, "storing", lambda _: None)


def letter(frame: str, value: bytes = b"value", **headers: bytes) -> tuple[bytes, dict[str, bytes]]:
    return value, {"frame": frame.encode(), "reason": b"why", **headers}


def test_dead_letters_are_counted_by_journal_and_one_that_is_sent_twice_once(broker: str) -> None:
    topic = "market.dead-letter"
    send(broker, topic, letter(f"{JOURNAL}:1", b"before the start"))
    counter = DeadLetterCounter(config(broker), topic)
    try:
        assert counter.count([JOURNAL]) == 0
        whole_message = letter(f"{JOURNAL}:2", b"unreadable", trades=b"5")
        single_trade = letter(f"{JOURNAL}:3", trade_id=f"{JOURNAL}:3:0".encode())
        second_trade = letter(f"{JOURNAL}:3", trade_id=f"{JOURNAL}:3:1".encode())
        send(broker, topic, whole_message, single_trade, second_trade, whole_message)
        send(broker, topic, letter(f"{OTHER}:1"), letter(f"{JOURNAL}:4", trades=b"many"), (b"alien", {}))
        assert counter.count([JOURNAL]) == 5 + 1 + 1 + 1
        assert counter.count([OTHER]) == 1
        assert counter.count([JOURNAL, OTHER]) == 9
        assert counter.count([]) == 0
    finally:
        counter.close()


@pytest.mark.usefixtures("hurried")
def test_without_kafka_nothing_is_counted_as_no_dead_letter() -> None:
    with pytest.raises((KafkaException, TimeoutError)):
        DeadLetterCounter(config(f"127.0.0.1:{free_ports(1)[0]}"), "market.dead-letter")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimeoutError(), "Kafka did not answer in time"),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), "Kafka did not answer ("),
    ],
)
def test_what_a_retry_may_cure_is_described(error: Any, sentence: str) -> None:
    assert explain_kafka_error(error).startswith(sentence)


def test_a_missing_right_ends_the_wait() -> None:
    refused = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(MarketError, match=r"^Kafka refused a request: "):
        explain_kafka_error(refused)
