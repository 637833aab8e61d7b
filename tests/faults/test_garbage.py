"""What cannot be read goes to the dead letters with its reason, and the stream goes on."""

import io
import time
from collections import Counter

import fastavro
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from common.identity import journal_id
from common.kafka import client_config
from common.schemas import trades_schema
from common.settings import KafkaSettings
from stack import Stack, wait_until
from topics import read_topic

pytestmark = pytest.mark.timeout(600)

MINUTE_MS = 60_000
BILLION = b"\x80\xa8\xd6\xb9\x07"  # as Avro writes a length; Java has no memory for so many
LONG = b"\xff" * 3 * 1024**2
UNREADABLE_EVENT = "the feed event could not be decoded as Avro"


def avro(**changes: object) -> bytes:
    """Return a message with one trade."""
    trade = {"c": None, "p": 10.5, "s": "GARBAGE", "t": 1_700_000_000_000, "v": 2.0} | changes
    value = io.BytesIO()
    fastavro.schemaless_writer(value, trades_schema().parsed, {"data": [trade], "type": "trade"})
    return value.getvalue()


def test_garbage_on_the_topic_becomes_dead_letters_and_good_trades_go_on(stack: Stack) -> None:
    now = time.time_ns() // 1_000_000
    journal = journal_id(now, "replay")
    good = {"frame": f"{journal}:1", "received_ms": str(now), "schema": trades_schema().fingerprint}
    ahead = now + 6 * MINUTE_MS
    bad = [
        (b"\xff\x00 garbage", good, "the value could not be decoded as Avro"),
        (None, good, "the value could not be decoded as Avro"),
        (BILLION, good, "the value could not be decoded as Avro"),
        (b"\x02\x00" + BILLION, good, "the value could not be decoded as Avro"),
        (LONG, good, "the value could not be decoded as Avro (cut to 1048576 bytes)"),
        (
            avro(),
            good | {"schema": "0123456789abcdef"},
            "the header schema was missing or named no known schema",
        ),
        (avro(), good | {"frame": "line 1"}, "the header frame was missing or not <journal id>:<line>"),
        *(
            (avro(), good | {"received_ms": ms}, "the header received_ms was missing or no time in ms")
            for ms in ("now", str(2**62))
        ),
        (avro(t=ahead), good, "the trade was stamped more than 5 minutes after its receipt"),
        (avro(t=-1), good, "the time was before 2000 or after 9999"),
        (avro(t=1_700_000_000), good, "the time was before 2000 or after 9999"),
        (avro(t=2**62), good, "the time was before 2000 or after 9999"),
        (avro(p=float("nan")), good, "the price or the volume was not a finite number"),
        (avro(v=float("inf")), good, "the price or the volume was not a finite number"),
        (avro(p=0), good, "the price was not above 0"),
        (avro(p=-1), good, "the price was not above 0"),
        (avro(v=-1), good, "the volume was negative"),
        (avro(s=""), good, "the symbol was empty"),
        (avro(s="G" * 65), good, "the symbol was longer than 64 characters"),
    ]
    messages = [
        *bad,
        (avro(t=now + 4 * MINUTE_MS), good | {"frame": f"{journal}:2"}, None),
        (avro(), good, None),
    ]

    dead_letters = f"{stack.topic}.dead-letter"
    before = len(read_topic(stack, dead_letters))
    settings = KafkaSettings(kafka_port=int(stack.settings["KAFKA_PORT"]))
    password = SecretStr(stack.secrets()["KAFKA_COLLECTOR_PASSWORD"])
    producer = Producer(client_config(settings, "collector", password) | {"message.max.bytes": 4 * 1024**2})
    for value, headers, _ in messages:
        producer.produce(stack.topic, value, b"GARBAGE", headers=list(headers.items()))
    events = f"{stack.topic}.events"
    offset = len(read_topic(stack, events))
    producer.produce(events, b"\xff\xff garbage")
    assert producer.flush(30) == 0

    wait_until(lambda: len(read_topic(stack, dead_letters)) - before > len(bad), "the dead letters", 120)
    letters = [dict(letter.headers()) for letter in read_topic(stack, dead_letters)[before:]]
    reasons = [*(reason for *_, reason in bad), UNREADABLE_EVENT]
    assert Counter(letter["reason"].decode() for letter in letters) == Counter(reasons)
    [event] = [letter for letter in letters if letter["reason"].decode() == UNREADABLE_EVENT]
    place = (event["topic"].decode(), event["partition"].decode(), event["offset"].decode())
    assert place == (events, "0", str(offset))
    places = {
        (message.topic(), message.partition(), message.offset()) for message in read_topic(stack, stack.topic)
    }
    for letter in letters:
        if letter is not event:
            assert (letter["topic"].decode(), int(letter["partition"]), int(letter["offset"])) in places

    def bars() -> list[dict[str, object]]:
        return stack.query("select trade_count, close from cassandra.market.bars_5s where symbol = 'GARBAGE'")

    wait_until(lambda: len(bars()) == 2, "the bars of the good trades", 120)
    assert bars() == [{"trade_count": 1, "close": 10.5}] * 2
    assert stack.status()["pipeline"]["dead_lettered"] >= len(reasons)
