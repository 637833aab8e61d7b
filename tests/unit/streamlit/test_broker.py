"""What the Pipeline page reads from Kafka, against librdkafka's mock broker."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic import SecretStr

from collector.encoding import Event, encode_event, encode_trades
from common.kafka import TRADES_GROUP
from common.schemas import trades_schema
from mock_kafka import MockKafka
from stack import free_ports
from streamlit_pages import broker as module
from streamlit_pages.broker import Broker, BrokerUnavailableError, Partition
from streamlit_pages.settings import StreamlitSettings

AT_MS = 1_768_489_021_500


def settings(home: Path, **changes: Any) -> StreamlitSettings:
    password = SecretStr("x")
    return StreamlitSettings(
        market_home=home, cassandra_streamlit_password=password, kafka_streamlit_password=password, **changes
    )


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> MockKafka:
    mock = MockKafka()
    monkeypatch.setattr(module, "client_config", lambda *_: {"bootstrap.servers": mock.address})
    for topic in ("market", "market.events", "market.dead-letter"):
        send(mock, topic, None, b"", 0, {})  # the mock makes a topic when it is first named
    return mock


def send(
    kafka: MockKafka, topic: str, key: bytes | None, value: bytes, partition: int, headers: dict[str, bytes]
) -> None:
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(topic, value, key, partition, headers=list(headers.items()), timestamp=AT_MS)
    assert producer.flush(60) == 0


def trade(symbol: str, price: float) -> bytes:
    return encode_trades("trade", symbol, [{"c": None, "p": price, "s": symbol, "t": AT_MS, "v": 1.0}])


HEADERS = {"schema": trades_schema().fingerprint.encode(), "frame": b"journal:7", "received_ms": b"1"}


def test_messages_are_decoded_with_their_headers_newest_first(tmp_path: Path, kafka: MockKafka) -> None:
    send(kafka, "market", b"A", trade("A", 1.5), 0, HEADERS)
    send(kafka, "market", b"B", trade("B", 2.5), 0, HEADERS)
    broker = Broker(settings(tmp_path))
    newest, other, unreadable = broker.newest("market", 0, None, 10)
    assert newest.content == {
        "data": [{"c": None, "p": 2.5, "s": "B", "t": AT_MS, "v": 1.0}],
        "type": "trade",
    }
    assert (newest.key, newest.partition, newest.offset, newest.reason) == ("B", 0, 2, None)
    assert newest.headers == {name: value.decode() for name, value in HEADERS.items()}
    assert int(newest.at.timestamp() * 1000) == AT_MS
    assert other.key == "A"
    assert (unreadable.content, unreadable.reason) == ("", "not readable (KeyError)")


def test_messages_of_one_symbol_or_partition_and_a_limit(tmp_path: Path, kafka: MockKafka) -> None:
    for number in range(6):
        symbol = "AB"[number % 2]
        send(kafka, "market", symbol.encode(), trade(symbol, float(number)), number % 3, HEADERS)
    broker = Broker(settings(tmp_path))
    assert {message.key for message in broker.newest("market", None, "A", 10)} == {"A"}
    assert len(broker.newest("market", None, "A", 10)) == 3
    assert [message.content["data"][0]["p"] for message in broker.newest("market", 1, None, 10)] == [4.0, 1.0]
    assert len(broker.newest("market", None, None, 2)) == 2


def test_events_are_decoded(tmp_path: Path, kafka: MockKafka) -> None:
    event = Event(AT_MS, "s1", "gap", "reconnected", 3.5)
    send(kafka, "market.events", None, encode_event(event), 0, {})
    [newest, _] = Broker(settings(tmp_path)).newest("market.events", None, None, 2)
    assert newest.content == event._asdict()


def test_bytes_that_no_schema_reads_are_shown_as_they_are(tmp_path: Path, kafka: MockKafka) -> None:
    send(kafka, "market", b"\xff", b"\xffgarbage", 0, HEADERS)
    newest = Broker(settings(tmp_path)).newest("market", 0, None, 1)[0]
    assert newest.content == "\\xffgarbage"
    assert newest.reason is not None
    assert newest.reason.startswith("not readable (")


def test_partitions_tell_what_is_not_processed(tmp_path: Path, kafka: MockKafka) -> None:
    for _ in range(4):
        send(kafka, "market", b"A", trade("A", 1.0), 1, HEADERS)
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": TRADES_GROUP})
    consumer.commit(offsets=[TopicPartition("market", 1, 3)], asynchronous=False)
    consumer.close()
    found = {(one.topic, one.number): one for one in Broker(settings(tmp_path)).partitions()}
    assert found["market", 1] == Partition("market", 1, 0, 4, 1, None)
    assert found["market", 0] == Partition("market", 0, 0, 1, None, None)
    assert found["market.dead-letter", 0].trades_lag is None


def test_dead_letters_are_read(tmp_path: Path, kafka: MockKafka) -> None:
    send(kafka, "market.dead-letter", None, b'{"s":"A"}', 0, {"reason": b"no price", "frame": b"journal:3"})
    letter = Broker(settings(tmp_path)).dead_letters("A", 5)[0]
    assert (letter.symbol, letter.reason, letter.frame, letter.line) == ("A", "no price", "journal:3", 3)


@pytest.mark.parametrize("read", ["partitions", "newest", "dead_letters"])
def test_a_kafka_that_does_not_answer_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    port = free_ports(1)[0]
    broker = Broker(settings(tmp_path, kafka_port=port))
    arguments = {"partitions": (), "newest": ("market", None, None, 1), "dead_letters": (None, 1)}[read]
    with pytest.raises(BrokerUnavailableError, match=f"Kafka does not answer at 127.0.0.1:{port}"):
        getattr(broker, read)(*arguments)
