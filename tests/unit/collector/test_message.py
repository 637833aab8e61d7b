"""From a journal's line to Kafka's messages."""

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import message
from collector.message import MAX_DEAD_LETTER_BYTES, Message, messages, refused_message
from common.frames import read_frame
from common.recording import Frame, encode, frame_text
from common.schemas import trades_schema

JOURNAL = "20260115T145700000d"
FINGERPRINT = b"11e5bddbbac67e60"


def trade(symbol: str, price: float | None) -> dict[str, object]:
    return {"c": None, "p": price, "s": symbol, "t": 1_768_489_020_000, "v": 1}


def line(*trades: object, received_ms: int = 1_768_489_020_123) -> bytes:
    return encode(Frame(received_ms, json.dumps({"data": trades, "type": "trade"})))


def test_a_frame_becomes_one_message_a_symbol() -> None:
    found = messages(JOURNAL, 7, line(trade("A", 1.5), trade("B", 2), trade("A", 1.25)))
    headers = [
        ("frame", b"20260115T145700000d:7"),
        ("received_ms", b"1768489020123"),
        ("schema", FINGERPRINT),
    ]
    assert [(one.key, one.headers, one.trades, one.dead) for one in found] == [
        (b"A", headers, 2, False),
        (b"B", headers, 1, False),
    ]
    decoded = [
        fastavro.schemaless_reader(io.BytesIO(one.value), trades_schema().parsed, None) for one in found
    ]
    assert decoded == [
        {"data": [trade("A", 1.5), trade("A", 1.25)], "type": "trade"},
        {"data": [trade("B", 2)], "type": "trade"},
    ]


def test_a_refused_trade_becomes_a_dead_letter_with_its_place() -> None:
    good, bad = trade("A", 1.5), trade("A", None)
    kept, dead = messages(JOURNAL, 1, line(good, bad))
    assert (kept.key, kept.trades, kept.dead) == (b"A", 1, False)
    assert dead == Message(
        None,
        json.dumps(bad).encode(),
        [
            ("reason", b"p was missing or not a number"),
            ("frame", b"20260115T145700000d:1"),
            ("received_ms", b"1768489020123"),
            ("trades", b"1"),
            ("position", b"1"),
        ],
        1,
        dead=True,
    )


def test_a_trade_that_is_not_unicode_becomes_a_readable_dead_letter() -> None:
    frame = b'{"data":[{"c":null,"p":1,"s":"A\xff","t":1,"v":1}],"type":"trade"}'
    [dead] = messages(JOURNAL, 1, encode(Frame(1, frame_text(frame))))
    assert dead.value == b'{"c":null,"p":1,"s":"A\\udcff","t":1,"v":1}'


def test_a_damaged_line_of_the_journal_becomes_a_dead_letter() -> None:
    [dead] = messages(JOURNAL, 3, b'{"received_ms":1,\xff\n')
    assert (dead.key, dead.value, dead.trades, dead.dead) == (None, b'{"received_ms":1,\\xff\n', 1, True)
    assert dict(dead.headers) == {
        "reason": b"the journal's line was damaged",
        "frame": b"20260115T145700000d:3",
        "received_ms": b"0",
        "trades": b"1",
        "position": b"0",
    }


def test_pings_and_news_become_no_message() -> None:
    assert messages(JOURNAL, 1, encode(Frame(1, '{"type":"ping"}'))) == []
    assert messages(JOURNAL, 1, encode(Frame(1, '{"type":"news","data":[{}]}'))) == []


@pytest.mark.parametrize("extra", [0, 1])
def test_a_huge_frame_is_cut_in_dead_letters_and_says_so(extra: int) -> None:
    [dead] = messages(JOURNAL, 1, encode(Frame(1, "x" * (MAX_DEAD_LETTER_BYTES + extra))))
    assert len(dead.value) == MAX_DEAD_LETTER_BYTES == 1_048_576
    cut = b" (cut to 1048576 bytes; the journal holds the frame)" if extra else b""
    assert dict(dead.headers)["reason"] == b"the frame was not JSON" + cut


def test_a_message_that_kafka_refuses_stands_for_its_trades_in_dead_letters() -> None:
    [whole] = messages(JOURNAL, 1, line(trade("A", 1), trade("A", 2)))
    dead = refused_message(whole, "Broker: Message size too large")
    headers = [
        ("frame", b"20260115T145700000d:1"),
        ("received_ms", b"1768489020123"),
        ("reason", b"Broker: Message size too large; the journal holds the frame"),
        ("trades", b"2"),
    ]
    assert dead == Message(b"A", whole.value, headers, 2, dead=True)
    large = whole._replace(value=b"x" * (MAX_DEAD_LETTER_BYTES + 1))
    assert refused_message(large, "").value == b"x" * MAX_DEAD_LETTER_BYTES


def test_whatever_fails_costs_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> bytes:
        raise RecursionError

    monkeypatch.setattr(message, "encode_trades", fails)
    text = json.dumps({"data": [trade("A", 1)], "type": "trade"})
    [dead] = messages(JOURNAL, 9, encode(Frame(5, text)))
    assert (dead.value, dead.dead) == (text.encode(), True)
    assert dict(dead.headers)["reason"] == b"the frame could not be encoded (RecursionError)"
    assert dict(dead.headers)["frame"] == b"20260115T145700000d:9"


@given(st.binary())
def test_any_bytes_from_a_socket_become_messages(data: bytes) -> None:
    text = frame_text(data)
    found = messages(JOURNAL, 1, encode(Frame(1, text)))
    assert sum(one.trades for one in found) == read_frame(text).trade_count


@given(st.binary())
def test_any_line_of_a_journal_becomes_messages(line: bytes) -> None:
    for one in messages(JOURNAL, 1, line):
        assert one.dead
        assert dict(one.headers)["reason"]
